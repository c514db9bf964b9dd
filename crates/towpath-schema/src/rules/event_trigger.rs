//! Event triggers: the platform's stay, the user's need a target that lets its master make them.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings, is_owned_by_platform};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::EventTrigger {
        return None;
    }
    Some(if is_owned_by_platform(object) {
        Verdict::dropped("belongs to the platform")
    } else if evidence.target.is_superuser {
        Verdict::kept("made by the user")
    } else {
        Verdict::dropped(
            "only a superuser may make event triggers; make it by hand where the target allows it",
        )
    })
}
