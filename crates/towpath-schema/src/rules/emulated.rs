//! Functions of the platform that user objects call and that towpath makes anew.

use std::collections::BTreeSet;

use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings, is_owned_by_platform};
use crate::decision::{Decisions, Verdict};
use crate::emulation::{Need, stand_in};

pub(super) fn decide(
    object: &SchemaObject,
    _: &Evidence<'_>,
    findings: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Function || !is_owned_by_platform(object) {
        return None;
    }
    let stand_in = stand_in(&object.id)?;
    match stand_in.need {
        Need::Always => Some(Verdict::stands_in(
            "reads the claims that the session was given, as on the platform",
        )),
        Need::WhenUsed if findings.needed.contains(&object.id) => {
            Some(Verdict::stands_in("an object of the user calls it"))
        }
        Need::WhenUsed => None,
    }
}

/// The functions with a stand-in that something kept depends on or names in its body.
pub(super) fn needed(evidence: &Evidence<'_>, provisional: &Decisions) -> BTreeSet<ObjectId> {
    let mut needed = BTreeSet::new();
    let candidates = evidence
        .structure
        .objects
        .keys()
        .filter(|id| stand_in(id).is_some());
    for id in candidates {
        let depended_on = evidence
            .source
            .dependents
            .get(id)
            .is_some_and(|dependents| dependents.iter().any(|by| provisional.goes(by)));
        let named = evidence.references.all().any(|(by, references)| {
            provisional.goes(by)
                && references
                    .iter()
                    .any(|reference| reference.objects.contains(id))
        });
        if depended_on || named {
            needed.insert(id.clone());
        }
    }
    // One of them may call another: `storage.extension` asks `storage.filename`; the stand-ins do
    // not, so nothing has to be followed further.
    needed
}
