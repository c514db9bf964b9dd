//! Materialized views hold rows where they did.

use towpath_model::health::HealthCheck;
use towpath_model::structure::ObjectKind;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass};

const CHECK: &str = "materialized-views";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names: Vec<String> = differences::of(facts, Part::Filled)
        .map(|difference| difference.object().to_string())
        .collect();
    if !names.is_empty() {
        return fail(
            CHECK,
            "views that were filled are empty, or the other way round",
            names,
            "`refresh materialized view …`",
        );
    }
    let count = differences::expected(facts, ObjectKind::MaterializedView);
    pass(
        CHECK,
        format!(
            "{} filled as they were",
            counted(count, "materialized view")
        ),
    )
}
