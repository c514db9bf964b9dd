//! A fence on the source stays there: it is towpath's own, and a target under it would refuse writes.

use towpath_model::cutover::FENCE_SCHEMA;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    let is_schema = object.id == ObjectId::global(ObjectKind::Schema, FENCE_SCHEMA);
    let is_within = |id: &ObjectId| id.schema.as_deref() == Some(FENCE_SCHEMA);
    // Whose a trigger is shows in whose function it calls.
    let calls = || {
        let function = evidence.source.trigger_functions.get(&object.id);
        object.id.kind == ObjectKind::Trigger && function.is_some_and(is_within)
    };
    (is_schema || is_within(&object.id) || calls()).then(|| {
        let comment = object.comment.as_deref().filter(|_| is_schema);
        Verdict::dropped(comment.unwrap_or("belongs to a fence of towpath's on the source"))
    })
}
