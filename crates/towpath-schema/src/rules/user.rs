//! Everything else was made by the user.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;
use crate::rewrite::{refused_attributes, refused_settings};

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Function {
        return Some(Verdict::kept("made by the user"));
    }
    let settings = refused_settings(object, evidence);
    let attributes = refused_attributes(object, evidence);
    let mut reason = "made by the user".to_owned();
    let mut changed = Vec::new();
    if !settings.is_empty() {
        reason.push_str(&format!(
            "; without its setting of {}, which the target's master may not give",
            settings.join(", ")
        ));
        changed.extend(["config", "definition"]);
    }
    if !attributes.is_empty() {
        reason.push_str(&format!(
            "; without {}, which only a superuser gives",
            attributes.join(" and ")
        ));
        changed.extend(attributes);
        changed.push("definition");
    }
    Some(if changed.is_empty() {
        Verdict::kept(reason)
    } else {
        Verdict::rewritten(reason, &changed)
    })
}
