//! Triggers and rules are there and fire when they did.

use towpath_model::health::HealthCheck;
use towpath_model::structure::ObjectKind;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass};

const CHECK: &str = "triggers";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::Triggers));
    if !names.is_empty() {
        return fail(
            CHECK,
            "triggers or rules do not do what they did",
            names,
            "`alter table … enable trigger …` (or disable, as it was), or make it again; look for rows that were written meanwhile",
        );
    }
    let count = differences::expected(facts, ObjectKind::Trigger);
    pass(
        CHECK,
        format!(
            "{} are there, enabled as they were",
            counted(count, "trigger")
        ),
    )
}
