//! Every table that goes must be readable whole.

use towpath_model::plan::CheckResult;

use super::{Facts, fail, pass, some_of};

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "source-readable";
    let hidden: Vec<_> = facts
        .relations
        .iter()
        .filter(|table| !table.readable)
        .map(|table| &table.name)
        .collect();
    if hidden.is_empty() {
        return pass(
            CHECK,
            match facts.relations.len() {
                1 => "the only table can be read".to_owned(),
                many => format!("all {many} tables can be read"),
            },
        );
    }
    fail(
        CHECK,
        format!("{} may not read {}", facts.source.user, some_of(&hidden)),
        "grant select on them to the login, or connect as the role postgres",
    )
}
