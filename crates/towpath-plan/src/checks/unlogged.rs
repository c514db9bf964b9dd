//! Unlogged tables are copied, but RDS empties them at a crash or failover.

use towpath_model::plan::CheckResult;

use super::{Facts, pass, some_of, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-unlogged";
    let unlogged: Vec<_> = facts
        .relations
        .iter()
        .filter(|table| table.unlogged)
        .map(|table| &table.name)
        .collect();
    if unlogged.is_empty() {
        return pass(CHECK, "no unlogged tables");
    }
    warn(
        CHECK,
        format!(
            "unlogged tables are emptied by a crash or failover: {}",
            some_of(&unlogged)
        ),
        "`alter table … set logged` if their rows matter",
    )
}
