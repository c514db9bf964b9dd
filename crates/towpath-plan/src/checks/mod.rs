//! The checklist before a run. One file per check; each is a pure function of [`Facts`], so that a
//! check can be proven to fail without breaking a server.

mod large_objects;
mod same_server;
mod schema_runtime;
mod source_login;
mod source_readable;
mod source_version;
mod store;
mod target_empty;
mod target_encoding;
mod target_login;
mod target_structure;
mod target_version;
mod tls;
mod unlogged;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::inventory::{Relation, ServerFacts};
use towpath_model::plan::{CheckResult, Verdict};
use towpath_model::schema::CleanSchema;
use towpath_model::structure::Structure;

/// Everything that the checks look at.
pub struct Facts<'f> {
    /// Source URL.
    pub source_url: &'f ConnectionUrl,
    /// Target URL.
    pub target_url: &'f ConnectionUrl,
    /// Source server and login.
    pub source: &'f ServerFacts,
    /// Target server and login.
    pub target: &'f ServerFacts,
    /// Relations of the source whose rows go.
    pub relations: &'f [&'f Relation],
    /// The clean schema.
    pub schema: &'f CleanSchema,
    /// Structure of the target as it is now.
    pub target_structure: &'f Structure,
    /// What an earlier load left on the target.
    pub target_state: TargetState,
    /// The operator has named the target database to be cleared before the load.
    pub will_be_cleared: bool,
    /// Large objects on the source.
    pub large_objects: u64,
    /// The configuration says to leave large objects behind.
    pub leave_large_objects: bool,
    /// Why the store cannot be used, if so: the finding and the remedy.
    pub store_problem: Option<(String, String)>,
}

/// What an earlier load left on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    /// No ledger of towpath's.
    Untouched,
    /// The ledger of this very run: it will be resumed.
    ThisRun,
    /// The ledger of another run.
    OtherRun(String),
}

/// Runs every check, in the order a person reads them.
pub fn run(facts: &Facts<'_>) -> Vec<CheckResult> {
    let mut results = vec![
        tls::check(facts, Side::Source),
        source_login::check(facts),
        source_version::check(facts),
        source_readable::check(facts),
        large_objects::check(facts),
        unlogged::check(facts),
        tls::check(facts, Side::Target),
        same_server::check(facts),
        target_login::check(facts),
        target_version::check(facts),
        target_encoding::check(facts),
        target_structure::check(facts),
        target_empty::check(facts),
        store::check(facts),
    ];
    results.extend(schema_runtime::check(facts));
    results
}

pub(crate) fn pass(check: &str, finding: impl Into<String>) -> CheckResult {
    result(check, Verdict::Pass, finding, "")
}

pub(crate) fn warn(
    check: &str,
    finding: impl Into<String>,
    remedy: impl Into<String>,
) -> CheckResult {
    result(check, Verdict::Warn, finding, remedy)
}

pub(crate) fn fail(
    check: &str,
    finding: impl Into<String>,
    remedy: impl Into<String>,
) -> CheckResult {
    result(check, Verdict::Fail, finding, remedy)
}

fn result(
    check: &str,
    verdict: Verdict,
    finding: impl Into<String>,
    remedy: impl Into<String>,
) -> CheckResult {
    CheckResult {
        check: check.to_owned(),
        verdict,
        finding: finding.into(),
        remedy: remedy.into(),
    }
}

/// The first names of a list and how many more there are.
pub(crate) fn some_of<T: ToString>(items: &[T]) -> String {
    const SHOWN: usize = 5;
    let mut text = items
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests;
