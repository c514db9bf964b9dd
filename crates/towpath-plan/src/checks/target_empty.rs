//! Rows that are on the target already were put there by somebody, and stay.

use towpath_model::plan::CheckResult;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Facts, TargetState, fail, pass, some_of, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-empty";
    if facts.target_state == TargetState::ThisRun {
        return pass(CHECK, "holds what this run has loaded so far");
    }
    let loaded_by = match &facts.target_state {
        TargetState::OtherRun(run) => format!(", loaded by run {run}"),
        TargetState::Untouched | TargetState::ThisRun => String::new(),
    };
    let there: Vec<_> = facts
        .target_structure
        .objects
        .values()
        .filter(|o| is_users(o))
        .map(|o| &o.id)
        .collect();
    if facts.will_be_cleared && !(there.is_empty() && loaded_by.is_empty()) {
        return warn(
            CHECK,
            format!(
                "everything on the target will be dropped{loaded_by}: {}",
                some_of(&there)
            ),
            "end here if it is still needed",
        );
    }
    if !facts.filled_tables.is_empty() {
        return fail(
            CHECK,
            format!(
                "tables of the target hold rows{loaded_by}: {}",
                some_of(facts.filled_tables)
            ),
            format!(
                "empty them, use another database, or clear this one with --replace {}",
                facts.target.database
            ),
        );
    }
    match there.len() {
        0 => pass(CHECK, "no user objects"),
        _ => pass(CHECK, "no table holds a row; what is there is compared"),
    }
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
