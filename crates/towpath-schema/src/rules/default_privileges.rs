//! Default privileges: those of the user's owner become the target owner's.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings, lives_in_managed_schema};
use crate::decision::Verdict;
use crate::reserved::{USER_OWNER, is_reserved_role};

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::DefaultPrivileges {
        return None;
    }
    let role = object.id.name.as_str();
    let owner = &evidence.options.target_owner;
    Some(if is_reserved_role(role) {
        Verdict::dropped("its role belongs to the platform")
    } else if lives_in_managed_schema(&object.id) {
        Verdict::dropped("its schema belongs to the platform")
    } else if role == USER_OWNER {
        Verdict::rewritten(format!("of role {owner} on the target"), &["grants"])
    } else {
        Verdict::kept("made by the user")
    })
}
