//! The run store must be there.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "store";
    match &facts.store_problem {
        None => pass(CHECK, "the run store can be reached"),
        Some((finding, remedy)) => fail(CHECK, finding.clone(), remedy.clone()),
    }
}
