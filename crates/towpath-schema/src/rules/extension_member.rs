//! Members of an extension come with it, or not at all. Rows that an extension keeps in tables of
//! its own (jobs, queues, secrets) do not travel with the schema: the reason says so.

use towpath_model::structure::{ObjectKind, SchemaObject};

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
    let comes = evidence.target.available_extensions.contains_key(extension);
    Some(Verdict::dropped(match (comes, object.id.kind) {
        (true, _) => format!("belongs to extension {extension} and comes with it"),
        (false, ObjectKind::Table) => format!(
            "belongs to extension {extension}, which the target does not offer; its rows stay behind"
        ),
        (false, _) => format!("belongs to extension {extension}, which the target does not offer"),
    }))
}
