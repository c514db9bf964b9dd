//! Event triggers that came along are there and enabled as they were.

use towpath_model::health::HealthCheck;
use towpath_model::structure::ObjectKind;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass};

const CHECK: &str = "event-triggers";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let names = differences::all_told(differences::of(facts, Part::EventTriggers));
    if !names.is_empty() {
        return fail(
            CHECK,
            "event triggers do not do what they did",
            names,
            "`alter event trigger … enable`, or make it again",
        );
    }
    let count = differences::expected(facts, ObjectKind::EventTrigger);
    pass(
        CHECK,
        match count {
            0 => "none came along".to_owned(),
            count => format!("{} as they were", counted(count, "event trigger")),
        },
    )
}
