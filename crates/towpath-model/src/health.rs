//! What the checklist after a move found: part of `verify/<n>.json`.

use serde::{Deserialize, Serialize};

use crate::plan::{CheckResult, Verdict};

/// One check of the target after a move, with everything that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Id, verdict, finding and remedy.
    #[serde(flatten)]
    pub result: CheckResult,
    /// Every object that the finding is about; the finding itself names the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthFinding {
    /// Id of the check.
    pub check: String,
    /// What was found.
    pub finding: String,
    /// What to do.
    pub remedy: String,
}

/// What one server would do for a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryPlan {
    /// What the planner thinks it costs, in its own unit.
    pub cost: f64,
    /// How long it took, where it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<f64>,
    /// Nodes of the plan from the top, each with its depth, relation and index:
    /// `1 Index Scan on public.orders using orders_pkey`.
    pub nodes: Vec<String>,
}

/// A query of the source's statistics, planned on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedQuery {
    /// `queryid` of `pg_stat_statements` on the source.
    pub query: String,
    /// How often the source ran it.
    pub calls: u64,
    /// How long the source took for all of them.
    pub total_ms: f64,
    /// Tables that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// The text, only when values were asked for, and never stored: it may hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The source's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<QueryPlan>,
    /// The target's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<QueryPlan>,
    /// What is worse on the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regressions: Vec<String>,
    /// Why it was not compared, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// The checklist after a move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthProof {
    /// Every check, in the order a person reads them.
    pub checks: Vec<HealthCheck>,
    /// Queries of the source's statistics, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<ComparedQuery>,
}

impl HealthProof {
    /// The checks that failed.
    pub fn findings(&self) -> impl Iterator<Item = HealthFinding> {
        self.checks
            .iter()
            .filter(|check| check.result.verdict == Verdict::Fail)
            .map(|check| HealthFinding {
                check: check.result.check.clone(),
                finding: check.result.finding.clone(),
                remedy: check.result.remedy.clone(),
            })
    }

    /// The checks as a checklist.
    pub fn results(&self) -> Vec<CheckResult> {
        let results = self.checks.iter().map(|check| check.result.clone());
        results.collect()
    }
}
