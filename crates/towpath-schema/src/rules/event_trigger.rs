//! Event triggers: the platform's stay, the user's need a target that lets its master make them.
//!
//! They are made last of all, or they would fire for every statement of the load.

use towpath_model::structure::{ObjectKind, SchemaObject, Structure};

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
    let target = evidence.target;
    Some(if is_owned_by_platform(object) {
        Verdict::dropped("belongs to the platform")
    } else if target.is_superuser || target.abilities.makes_event_triggers {
        Verdict::kept("made by the user; made last, so that it does not fire during the load")
    } else {
        Verdict::dropped("the target's server refuses event triggers of its master")
    })
}

/// Whether the user has event triggers, so that it is worth to ask the target about them.
pub(crate) fn has_of_user(structure: &Structure) -> bool {
    structure.objects.values().any(|object| {
        object.id.kind == ObjectKind::EventTrigger
            && object.extension.is_none()
            && !is_owned_by_platform(object)
    })
}
