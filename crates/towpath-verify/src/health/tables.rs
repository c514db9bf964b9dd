//! Every table is there with its columns.

use serde_json::Value;
use towpath_model::health::HealthCheck;
use towpath_model::structure::ObjectKind;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass};

const CHECK: &str = "tables";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::Tables));
    if !names.is_empty() {
        return fail(
            CHECK,
            "tables are not what they were",
            names,
            "`towpath verify --schema` tells all of it; make what is missing from the run's schema files",
        );
    }
    let columns: usize = facts
        .expected
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Table)
        .filter_map(|table| table.aspects.get("columns").and_then(Value::as_array))
        .map(Vec::len)
        .sum();
    pass(
        CHECK,
        format!(
            "{} with {} are there as the run made them",
            counted(differences::expected(facts, ObjectKind::Table), "table"),
            counted(columns, "column")
        ),
    )
}
