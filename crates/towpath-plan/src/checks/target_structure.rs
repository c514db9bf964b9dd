//! A table of the same name and another structure is never silently kept.

use towpath_model::plan::CheckResult;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Facts, TargetState, fail, pass};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-structure";
    if facts.target_state == TargetState::ThisRun {
        return pass(CHECK, "holds what this run has loaded so far");
    }
    if facts.will_be_cleared {
        return pass(CHECK, "will be cleared before the load");
    }
    let differing = facts
        .schema
        .expected
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Table)
        .find_map(|expected| {
            let there = facts.target_structure.objects.get(&expected.id)?;
            column_difference(expected, there).map(|how| (expected, how))
        });
    match differing {
        None => pass(CHECK, "no table of the same name with another structure"),
        Some((table, how)) => fail(
            CHECK,
            format!(
                "{} exists on the target with another structure: {how}",
                table.id
            ),
            format!(
                "rename or drop it, use an empty database, or clear this one with --replace {}",
                facts.target.database
            ),
        ),
    }
}

/// The first column that differs, said so that a person can act.
fn column_difference(expected: &SchemaObject, there: &SchemaObject) -> Option<String> {
    let columns = |object: &SchemaObject| {
        object
            .aspects
            .get("columns")
            .and_then(|v| v.as_array())
            .cloned()
            .unwrap_or_default()
    };
    let (wanted, found) = (columns(expected), columns(there));
    let text = |column: &serde_json::Value, field: &str| {
        column
            .get(field)
            .and_then(|v| v.as_str())
            .unwrap_or("?")
            .to_owned()
    };
    for (place, column) in wanted.iter().enumerate() {
        match found.get(place) {
            None => return Some(format!("column {} is missing", text(column, "name"))),
            Some(other) if text(other, "name") != text(column, "name") => {
                return Some(format!(
                    "column {} is {}, expected {}",
                    place + 1,
                    text(other, "name"),
                    text(column, "name")
                ));
            }
            Some(other) if text(other, "type") != text(column, "type") => {
                return Some(format!(
                    "column {} is {}, expected {}",
                    text(column, "name"),
                    text(other, "type"),
                    text(column, "type")
                ));
            }
            Some(_) => {}
        }
    }
    found
        .get(wanted.len())
        .map(|column| format!("column {} is extra", text(column, "name")))
}
