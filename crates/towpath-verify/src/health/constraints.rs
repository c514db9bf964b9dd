//! Every constraint is there, and the server has looked at the rows that it is about.

use serde_json::Value;
use towpath_model::health::HealthCheck;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "constraints";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::Constraints));
    if !names.is_empty() {
        return fail(
            CHECK,
            "constraints do not hold what they held",
            names,
            "`alter table … validate constraint …`, or make the constraint again",
        );
    }
    let open: Vec<String> = facts
        .found
        .objects
        .values()
        .filter(|object| object.extension.is_none() && is_not_validated(object))
        .map(|object| object.id.to_string())
        .collect();
    if !open.is_empty() {
        return warn(
            CHECK,
            "all constraints are there, but rows may break some: they are not validated, on the source neither or made since",
            open,
            "`alter table … validate constraint …` once the rows are clean",
        );
    }
    let count = differences::expected(facts, ObjectKind::Constraint);
    pass(
        CHECK,
        format!("{} are there and validated", counted(count, "constraint")),
    )
}

fn is_not_validated(object: &SchemaObject) -> bool {
    object.id.kind == ObjectKind::Constraint
        && object.aspects.get("validated").and_then(Value::as_bool) == Some(false)
}
