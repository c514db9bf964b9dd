//! A dump of a newer server does not load into an older one.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-version";
    let (source, target) = (facts.source.major(), facts.target.major());
    if target < source {
        return fail(
            CHECK,
            format!("the target is PostgreSQL {target}, the source is {source}"),
            format!("create the RDS instance with PostgreSQL {source} or newer"),
        );
    }
    pass(CHECK, format!("PostgreSQL {source} to {target}"))
}
