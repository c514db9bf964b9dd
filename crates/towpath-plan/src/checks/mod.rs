//! The checklist before a run. One file per check; each is a pure function of [`Facts`], so that a
//! check can be proven to fail without breaking a server.

mod extensions;
mod large_objects;
mod migration_history;
mod same_server;
mod schema_runtime;
mod schema_secrets;
mod source_fence;
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

use towpath_model::QualifiedName;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::inventory::{
    ForeignLargeObjects, LargeObjects, MigrationHistory, Relation, ServerFacts,
};
use towpath_model::plan::{CheckResult, Verdict};
pub(crate) use towpath_model::readable::some_of;
use towpath_model::schema::CleanSchema;
use towpath_model::secret_text::Handling;
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
    /// Tables of the target that hold rows.
    pub filled_tables: &'f [QualifiedName],
    /// What an earlier load left on the target.
    pub target_state: TargetState,
    /// The operator has named the target database to be cleared before the load.
    pub will_be_cleared: bool,
    /// Large objects on the source.
    pub large_objects: &'f LargeObjects,
    /// What the configuration says of them.
    pub large_object_fate: LargeObjectFate,
    /// Large objects on the target.
    pub target_large_objects: &'f ForeignLargeObjects,
    /// The source's migration history.
    pub migrations: Option<&'f MigrationHistory>,
    /// What the configuration says of secrets.
    pub secrets: Handling,
    /// Why the store cannot be used, if so: the finding and the remedy.
    pub store_problem: Option<(String, String)>,
}

/// What becomes of large objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LargeObjectFate {
    /// They go along.
    #[default]
    Carry,
    /// They stay on the source.
    Leave,
    /// A source that has some is refused.
    Refuse,
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
        source_fence::check(facts),
        large_objects::on_source(facts),
        unlogged::check(facts),
        migration_history::check(facts),
        tls::check(facts, Side::Target),
        same_server::check(facts),
        target_login::check(facts),
        target_version::check(facts),
        target_encoding::check(facts),
        target_structure::check(facts),
        target_empty::check(facts),
        large_objects::on_target(facts),
        extensions::check(facts),
        schema_secrets::check(facts),
        store::check(facts),
    ];
    results.extend(schema_runtime::check(facts));
    results
}

pub(crate) use migration_history::secret_versions;

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

#[cfg(test)]
pub(crate) mod tests;
