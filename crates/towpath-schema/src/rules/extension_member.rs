//! Members of an extension come with it, or not at all. Rows that an extension keeps in tables of
//! its own (jobs, queues, secrets) do not travel with the schema: the reason says so.

use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    let extension = object.extension.as_ref()?;
    if object.id.kind == ObjectKind::Extension {
        return None;
    }
    let comes = evidence.target.offers(extension).is_ok();
    let holds_rows = evidence.source.extension_rows.contains(&object.id);
    let mut reason = if comes {
        format!("belongs to extension {extension} and comes with it")
    } else {
        format!("belongs to extension {extension}, which the target cannot have")
    };
    if holds_rows || (!comes && object.id.kind == ObjectKind::Table) {
        reason.push_str("; its rows stay behind");
    }
    Some(Verdict::dropped(reason))
}

/// Tables that come with their extension, and come empty.
pub(crate) fn left_rows<'a>(
    evidence: &Evidence<'a>,
) -> impl Iterator<Item = (&'a ObjectId, &'a str)> {
    let (structure, target) = (evidence.structure, evidence.target);
    evidence
        .source
        .extension_rows
        .iter()
        .filter_map(move |id| Some((id, structure.objects.get(id)?.extension.as_deref()?)))
        .filter(move |(_, extension)| target.offers(extension).is_ok())
}
