//! Row security that the source's owner passes although it is forced.
//!
//! FORCE binds nobody but a table's owner, and Supabase's `postgres` has BYPASSRLS: there it has no
//! effect. The target's owner cannot have BYPASSRLS, so the same words would filter what functions
//! with SECURITY DEFINER and views see, and policies that ask such functions would recurse.

use serde_json::Value;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

/// The aspect that changes.
pub(crate) const ASPECT: &str = "force_row_security";

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    let is = |object: &SchemaObject, aspect: &str| {
        object.aspects.get(aspect).and_then(Value::as_bool) == Some(true)
    };
    if object.id.kind != ObjectKind::Table || !is(object, ASPECT) || evidence.target.bypasses_rls {
        return None;
    }
    let owner = object.owner.as_deref()?;
    let role = evidence
        .structure
        .objects
        .get(&ObjectId::global(ObjectKind::Role, owner))?;
    (is(role, "bypassrls") || is(role, "superuser")).then(|| {
        Verdict::rewritten(
            format!(
                "row security stays on and is not forced: {owner} passes it on the source, forced or not, \
                 and {} must pass it too",
                evidence.options.target_owner
            ),
            &[ASPECT],
        )
    })
}
