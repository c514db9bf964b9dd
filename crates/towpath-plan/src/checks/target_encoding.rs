//! Text must fit.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-encoding";
    let (source, target) = (&facts.source.encoding, &facts.target.encoding);
    if target != "UTF8" {
        return fail(
            CHECK,
            format!("the target database is {target}, the source is {source}"),
            "create the target database with encoding UTF8",
        );
    }
    pass(CHECK, format!("{source} to {target}"))
}
