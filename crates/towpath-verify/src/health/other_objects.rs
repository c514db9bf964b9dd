//! Everything else that the run made: functions, types, views, roles, settings.

use towpath_model::health::HealthCheck;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "other-objects";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let (changed, missing): (Vec<_>, Vec<_>) = differences::of(facts, Part::Other)
        .partition(|difference| differences::aspect(difference).is_some());
    if !missing.is_empty() {
        return fail(
            CHECK,
            "objects are missing",
            differences::all_told(missing),
            "make them again from the run's schema files",
        );
    }
    if !changed.is_empty() {
        return warn(
            CHECK,
            "objects are not what they were",
            differences::all_told(changed),
            "nothing, when a migration of yours did it; `towpath verify --schema` and `towpath diff` tell how they differ",
        );
    }
    let count = facts.expected.objects.len();
    pass(
        CHECK,
        format!("all {} of the schema are there", counted(count, "object")),
    )
}
