//! The run's report: everything a person wants to know afterwards, in one document.

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::journal::RunStage;
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::rehearsal::Rehearsal;
use crate::schema::SchemaReport;
use crate::verification::Verification;

/// A stage or step and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// What.
    pub what: String,
    /// How long, in milliseconds.
    pub millis: u64,
    /// When it began, in milliseconds since 1970, where the journal says so: stages overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at_ms: Option<u64>,
}

/// A binding as the report tells it: names and states, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingReport {
    /// Name of the binding, such as `lambda orders-api DATABASE_URL`.
    pub binding: String,
    /// Value before, masked.
    pub before: String,
    /// Value after, masked.
    pub after: String,
    /// `planned`, `switched`, `restored`.
    pub state: String,
}

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When the report was written, RFC 3339.
    pub written_at: String,
    /// Where the run is.
    pub stage: RunStage,
    /// The plan.
    pub plan: Plan,
    /// Every decision about the schema.
    pub schema: SchemaReport,
    /// What was exported, once sealed.
    pub manifest: Option<Manifest>,
    /// The latest verification.
    pub verification: Option<Verification>,
    /// Bindings.
    pub bindings: Vec<BindingReport>,
    /// RDS snapshot of the target before the load.
    pub target_snapshot: Option<String>,
    /// Timings in order.
    pub timings: Vec<Timing>,
    /// What a rehearsal found besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
}

impl Document for Report {
    const FORMAT: &'static str = "towpath-report";
    const VERSION: u32 = 1;
}
