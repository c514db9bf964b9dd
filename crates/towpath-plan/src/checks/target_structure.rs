//! Objects of the same name and another structure are never silently kept, nor strangers among them.

use towpath_model::convergence::Convergence;
use towpath_model::expectation::Expectation;
use towpath_model::plan::CheckResult;
use towpath_model::readable::{self, Sides};

use super::{Facts, TargetState, fail, pass, some_of};

const SIDES: Sides<'static> = Sides {
    expected: "source",
    found: "target",
};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "target-structure";
    if facts.target_state == TargetState::ThisRun {
        return pass(CHECK, "holds what this run has loaded so far");
    }
    if facts.will_be_cleared {
        return pass(CHECK, "will be cleared before the load");
    }
    let schema = facts.schema;
    let expectation = Expectation::new(&schema.expected, &schema.report);
    let statements = schema.pre_data.iter().chain(&schema.post_data);
    let convergence = Convergence::new(
        &expectation,
        facts.target_structure,
        &facts.target.user,
        statements,
    );
    let conflicts: Vec<String> = convergence
        .conflicts()
        .iter()
        .map(|conflict| readable::line(conflict, SIDES))
        .collect();
    if conflicts.is_empty() {
        return pass(CHECK, "nothing that is there is different or in the way");
    }
    fail(
        CHECK,
        format!(
            "the target has objects of another structure: {}",
            some_of(&conflicts)
        ),
        format!(
            "`towpath diff source target` shows all of it; change or drop these objects, use another database, or clear this one with --replace {}",
            facts.target.database
        ),
    )
}
