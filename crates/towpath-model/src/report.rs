//! The run's report: everything a person wants to know afterwards, in one document.

use serde::{Deserialize, Serialize};

use crate::cutover::{Checked, Checklist, Fence, WriteGap};
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

/// How an item of a checklist stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// Seen to hold.
    Passed,
    /// Seen, and worth a look.
    Warned,
    /// Seen not to hold.
    Failed,
    /// Not asked for, or not applicable.
    Skipped,
    /// Not looked at yet.
    Open,
    /// Nothing that towpath could see; a person ticks it.
    ByHand,
}

impl ItemState {
    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passed => "done",
            Self::Warned => "look",
            Self::Failed => "FAIL",
            Self::Skipped => "skipped",
            Self::Open => "open",
            Self::ByHand => "by hand",
        }
    }
}

/// An item of the checklists before and after a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChecklistItem {
    /// Which list.
    pub list: Checklist,
    /// What must hold, in words.
    pub item: String,
    /// Checks, gates and levels that tick it, by name; empty where a person does.
    pub by: Vec<String>,
    /// How it stands.
    pub state: ItemState,
    /// What was seen.
    pub seen: String,
}

/// Something that happened during a cutover or a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When, RFC 3339, by the clock of the machine that ran towpath.
    pub at: String,
    /// What.
    pub what: String,
}

/// Cutovers and rollbacks of a run. Where there were several, all of them are in the timeline, and
/// the rest is of the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutoverReport {
    /// What happened, in order.
    pub timeline: Vec<Happened>,
    /// The fence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Whether it stands, as far as the journal knows.
    pub fence_stands: bool,
    /// The time without writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<WriteGap>,
    /// The gates, each with what it said last.
    pub gates: Vec<Checked>,
    /// The probes, likewise.
    pub probes: Vec<Checked>,
}

/// A clone that was swapped in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapReport {
    /// When, RFC 3339, by the clock of the machine that ran towpath.
    pub at: String,
    /// What the clone before is called now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
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
    /// The latest verification; the one before it where the latest is the clean look at rows that a
    /// cutover takes behind its fence.
    pub verification: Option<Verification>,
    /// Bindings.
    pub bindings: Vec<BindingReport>,
    /// RDS snapshot of the target before the load.
    pub target_snapshot: Option<String>,
    /// Timings in order.
    pub timings: Vec<Timing>,
    /// Cutovers and rollbacks; nothing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutover: Option<CutoverReport>,
    /// The checklists before and after the move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checklists: Vec<ChecklistItem>,
    /// When a clone was swapped in; nothing where it was not, or none is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swapped: Option<SwapReport>,
    /// What a rehearsal found besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
}

impl Document for Report {
    const FORMAT: &'static str = "towpath-report";
    const VERSION: u32 = 1;
}
