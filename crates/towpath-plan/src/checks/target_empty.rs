//! What is on the target already was put there by somebody, and stays.

use towpath_model::plan::CheckResult;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Facts, TargetState, fail, pass, some_of, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-empty";
    match &facts.target_state {
        TargetState::ThisRun => return pass(CHECK, "holds what this run has loaded so far"),
        TargetState::OtherRun(run) if facts.will_be_cleared => {
            return warn(
                CHECK,
                format!("everything that run {run} loaded will be dropped"),
                "end here if it is still needed",
            );
        }
        TargetState::OtherRun(run) => {
            return fail(
                CHECK,
                format!("the target was loaded by run {run}"),
                format!(
                    "use another database, or clear this one with --replace {}",
                    facts.target.database
                ),
            );
        }
        TargetState::Untouched => {}
    }
    let there: Vec<_> = facts
        .target_structure
        .objects
        .values()
        .filter(|o| is_users(o))
        .map(|o| &o.id)
        .collect();
    if there.is_empty() {
        return pass(CHECK, "no user objects");
    }
    if facts.will_be_cleared {
        return warn(
            CHECK,
            format!(
                "everything on the target will be dropped: {}",
                some_of(&there)
            ),
            "end here if it is still needed",
        );
    }
    fail(
        CHECK,
        format!("the target is not empty: {}", some_of(&there)),
        format!(
            "use an empty database, or clear this one with --replace {}",
            facts.target.database
        ),
    )
}

/// Objects that only a user makes; roles, schemas and extensions may well be there before.
fn is_users(object: &SchemaObject) -> bool {
    object.extension.is_none()
        && object.id.schema.as_deref() != Some("towpath")
        && matches!(
            object.id.kind,
            ObjectKind::Table
                | ObjectKind::ForeignTable
                | ObjectKind::View
                | ObjectKind::MaterializedView
                | ObjectKind::Sequence
                | ObjectKind::Function
                | ObjectKind::Type
                | ObjectKind::Domain
        )
}
