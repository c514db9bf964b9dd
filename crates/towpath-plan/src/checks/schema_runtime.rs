//! What will load and then fail when it is used: the operator must have seen it. What would fail
//! the load itself stops the plan.

use std::collections::BTreeSet;

use towpath_model::plan::CheckResult;
use towpath_model::schema::{Certainty, RuntimeBreak};
use towpath_model::structure::{ObjectId, ObjectKind};

use super::{Facts, fail, pass, some_of, warn};

const CHECK: &str = "schema-run-time";

pub(super) fn check(facts: &Facts<'_>) -> Vec<CheckResult> {
    let breaks = &facts.schema.report.breaks_at_run_time;
    if breaks.is_empty() {
        return vec![pass(CHECK, "nothing found that would fail at run time")];
    }
    let mut results = Vec::new();
    let during_load: Vec<String> = named(breaks.iter().filter(|broken| broken.during_load));
    if !during_load.is_empty() {
        results.push(fail(
            CHECK,
            format!("the load would fail at {}", some_of(&during_load)),
            "change the function on the source so that it works without what it needs, or drop what calls it",
        ));
    }
    let is_write = |broken: &&RuntimeBreak| {
        broken.object.kind == ObjectKind::Trigger && broken.certainty == Certainty::Surely
    };
    let writes: Vec<String> = named(breaks.iter().filter(is_write));
    if !writes.is_empty() {
        results.push(warn(
            CHECK,
            format!("writes to their tables will fail: {}", some_of(&writes)),
            "rewrite their functions before the cutover, or let them go disabled with schema.broken_triggers = \"disable\"",
        ));
    }
    let is_other = |broken: &&RuntimeBreak| !broken.during_load && !is_write(broken);
    let others: Vec<String> = named(breaks.iter().filter(is_other));
    // One object may need several things.
    let objects: BTreeSet<&ObjectId> = breaks
        .iter()
        .filter(is_other)
        .map(|broken| &broken.object)
        .collect();
    if !others.is_empty() {
        results.push(warn(
            CHECK,
            format!(
                "{} will fail, or may, when used on the target: {}",
                match objects.len() {
                    1 => "1 object".to_owned(),
                    many => format!("{many} objects"),
                },
                some_of(&others)
            ),
            "replace what they call before the cutover; the report of the run or of `towpath export --schema-only` lists all of them with their callers",
        ));
    }
    results
}

fn named<'b>(breaks: impl Iterator<Item = &'b RuntimeBreak>) -> Vec<String> {
    breaks
        .map(|broken| match broken.certainty {
            Certainty::Surely => format!("{} needs {}", broken.object, broken.needs),
            Certainty::Perhaps => format!("{} perhaps needs {}", broken.object, broken.needs),
        })
        .collect()
}
