//! Source and target must be two databases.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "two-databases";
    let same_endpoint = facts.source_url.identity() == facts.target_url.identity();
    let same_cluster = facts.source.system_identifier.is_some()
        && facts.source.system_identifier == facts.target.system_identifier;
    if same_endpoint || (same_cluster && facts.source.database == facts.target.database) {
        return fail(
            CHECK,
            "source and target are the same database",
            "check TOWPATH_SOURCE_URL and TOWPATH_TARGET_URL",
        );
    }
    pass(CHECK, "source and target are two databases")
}
