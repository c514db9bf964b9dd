//! Row-level security is on where the source had it, under the same policies.

use serde_json::Value;
use towpath_model::health::HealthCheck;
use towpath_model::structure::{ObjectKind, StructureDifference};

use super::differences::{self, Part, part};
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "row-security";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::RowSecurity));
    if !names.is_empty() {
        return fail(
            CHECK,
            "rows may be seen by others than before",
            names,
            "`alter table … enable row level security` at once, and make the policies again from the run's schema files",
        );
    }
    // A policy that lets more through is an addition that takes something away.
    let more: Vec<String> = facts
        .differences
        .iter()
        .filter(|it| matches!(it, StructureDifference::Extra { .. }))
        .filter(|it| part(it) == Part::RowSecurity)
        .map(differences::told)
        .collect();
    if !more.is_empty() {
        return warn(
            CHECK,
            "all policies are there, and some that the run did not make",
            more,
            "look whether somebody made them on purpose: policies let through what any of them lets through",
        );
    }
    let protected = facts.expected.objects.values().filter(|object| {
        object.id.kind == ObjectKind::Table
            && object.aspects.get("row_security").and_then(Value::as_bool) == Some(true)
    });
    pass(
        CHECK,
        format!(
            "on for {}, with {} as the run made them",
            counted(protected.count(), "table"),
            match differences::expected(facts, ObjectKind::Policy) {
                1 => "1 policy".to_owned(),
                many => format!("{many} policies"),
            }
        ),
    )
}
