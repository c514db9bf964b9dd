//! Advice: indexes that are the same but for their names.

use towpath_model::health::HealthCheck;
use towpath_model::name::readable;

use super::{Facts, pass, warn};

const CHECK: &str = "duplicate-indexes";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let duplicates = &facts.target.duplicate_indexes;
    if duplicates.is_empty() {
        return pass(CHECK, "no two indexes are the same");
    }
    let names = duplicates
        .iter()
        .map(|it| {
            let indexes: Vec<String> = it.indexes.iter().map(|name| readable(name)).collect();
            format!("{} on {}", indexes.join(" = "), it.table)
        })
        .collect();
    warn(
        CHECK,
        "advice: indexes are the same, and every write pays for each",
        names,
        "drop all but the first of each, unless a constraint needs it",
    )
}
