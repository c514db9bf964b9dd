//! What will load and then fail when it is used: the operator must have seen it.

use towpath_model::plan::CheckResult;

use super::{Facts, pass, some_of, warn};

pub(super) fn check(facts: &Facts<'_>) -> Vec<CheckResult> {
    const CHECK: &str = "schema-run-time";
    let breaks = &facts.schema.report.breaks_at_run_time;
    if breaks.is_empty() {
        return vec![pass(CHECK, "nothing found that would fail at run time")];
    }
    let named: Vec<String> = breaks
        .iter()
        .map(|broken| format!("{} needs {}", broken.object, broken.needs))
        .collect();
    vec![warn(
        CHECK,
        format!(
            "{} objects will fail when used on the target: {}",
            breaks.len(),
            some_of(&named)
        ),
        "replace what they call before the cutover; schema/report.json lists all of them",
    )]
}
