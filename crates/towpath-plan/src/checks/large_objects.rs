//! Large objects live outside tables and are not carried yet: leaving them is the operator's word.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass, warn};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-large-objects";
    match (facts.large_objects, facts.leave_large_objects) {
        (0, _) => pass(CHECK, "no large objects"),
        (count, true) => warn(
            CHECK,
            format!("{count} large objects stay on the source"),
            "copy them by other means if anything still reads them",
        ),
        (count, false) => fail(
            CHECK,
            format!("{count} large objects would not be carried"),
            "move them to bytea or to S3, or leave them behind with `large_objects = \"leave\"` under [schema]",
        ),
    }
}
