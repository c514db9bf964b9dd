//! The planner knows something about every table with rows.

use towpath_model::health::HealthCheck;

use super::{Facts, counted, pass, warn};

const CHECK: &str = "statistics";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let missing = &facts.target.without_statistics;
    if missing.is_empty() {
        let count = usize::try_from(facts.target.tables).unwrap_or(usize::MAX);
        return pass(
            CHECK,
            format!("{} with rows have statistics", counted(count, "table")),
        );
    }
    warn(
        CHECK,
        "tables have rows and no statistics, so their queries are planned blindly",
        missing.iter().map(ToString::to_string).collect(),
        "`analyze` them; autovacuum never analyses the parent of partitions by itself",
    )
}
