//! The target after the move, as a checklist. One file per check; each is a pure function of
//! [`Facts`], so that a check can be proven to fail without breaking a server.
//!
//! Whoever uses the target goes on changing it, and the checklist is gone through days later. So it
//! asks for what must not be lost and not for equality, which is the level `schema`: what somebody
//! added since is no finding.

mod autovacuum;
mod collations;
mod constraints;
mod differences;
mod duplicate_indexes;
mod event_triggers;
mod extensions;
mod facts;
mod foreign_keys;
mod grants;
mod indexes;
mod materialized_views;
mod other_objects;
mod owners;
mod queries;
mod query_plan;
mod row_security;
mod sequences;
mod sessions;
mod source_links;
mod source_name;
mod statistics;
mod table_options;
mod tables;
mod triggers;
mod unused_indexes;

use towpath_model::Result;
use towpath_model::health::{HealthCheck, HealthProof};
use towpath_model::plan::{CheckResult, Verdict};
use towpath_model::readable::some_of;

use self::facts::Facts;
use crate::options::VerifyContext;

/// What the checklist needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthOptions {
    /// How many of the source's slowest queries are planned on both sides; none unless somebody
    /// agreed to their being read.
    pub queries: usize,
    /// Queries without parameters are run on both sides, too, and timed.
    pub analyze_queries: bool,
    /// How many times worse a query may be on the target before it is named.
    pub query_regression: f64,
    /// Further names of the source, as host or `host:port`.
    pub source_hosts: Vec<String>,
    /// Consumers have been switched to the target.
    pub after_cutover: bool,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            queries: 0,
            analyze_queries: false,
            query_regression: 2.0,
            source_hosts: Vec::new(),
            after_cutover: false,
        }
    }
}

/// Goes through the checklist. A source that cannot be reached leaves some of it open.
pub(crate) async fn check(context: &VerifyContext) -> Result<HealthProof> {
    let gathered = Box::pin(facts::gather(context)).await?;
    let mut checks = run(&gathered.facts());
    let compared = Box::pin(queries::compare(context, &gathered)).await?;
    let at = checks
        .iter()
        .position(|check| check.result.check == foreign_keys::CHECK)
        .unwrap_or(checks.len());
    checks.insert(at, compared.check);
    Ok(HealthProof {
        checks,
        queries: compared.queries,
    })
}

/// Runs every check but that of queries, in the order a person reads them.
fn run(facts: &Facts<'_>) -> Vec<HealthCheck> {
    vec![
        tables::check(facts),
        constraints::check(facts),
        indexes::check(facts),
        row_security::check(facts),
        triggers::check(facts),
        event_triggers::check(facts),
        sequences::check(facts),
        extensions::check(facts),
        owners::check(facts),
        grants::check(facts),
        table_options::check(facts),
        materialized_views::check(facts),
        other_objects::check(facts),
        statistics::check(facts),
        autovacuum::check(facts),
        collations::check(facts),
        source_links::check(facts),
        sessions::check(facts),
        foreign_keys::check(facts),
        duplicate_indexes::check(facts),
        unused_indexes::check(facts),
    ]
}

fn pass(check: &str, finding: impl Into<String>) -> HealthCheck {
    result(check, Verdict::Pass, finding, Vec::new(), "")
}

fn not_looked_at(check: &str, finding: impl Into<String>) -> HealthCheck {
    result(check, Verdict::NotLookedAt, finding, Vec::new(), "")
}

/// The finding is followed by the first of the names.
fn warn(check: &str, finding: &str, names: Vec<String>, remedy: &str) -> HealthCheck {
    result(check, Verdict::Warn, listed(finding, &names), names, remedy)
}

/// The finding is followed by the first of the names.
fn fail(check: &str, finding: &str, names: Vec<String>, remedy: &str) -> HealthCheck {
    result(check, Verdict::Fail, listed(finding, &names), names, remedy)
}

fn result(
    check: &str,
    verdict: Verdict,
    finding: impl Into<String>,
    names: Vec<String>,
    remedy: &str,
) -> HealthCheck {
    HealthCheck {
        result: CheckResult {
            check: check.to_owned(),
            verdict,
            finding: finding.into(),
            remedy: remedy.to_owned(),
        },
        names,
    }
}

fn listed(finding: &str, names: &[String]) -> String {
    match names {
        [] => finding.to_owned(),
        names => format!("{finding}: {}", some_of(names)),
    }
}

/// `1 table`, `3 tables`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        many if noun.ends_with('x') => format!("{many} {noun}es"),
        many => format!("{many} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
