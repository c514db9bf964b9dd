//! The plan: everything that execution obeys. Written once, quoted by digest ever after.

use serde::{Deserialize, Serialize};

use crate::digest::Hash;
use crate::document::Document;
use crate::ids::{ChunkId, RunId, TableId};
use crate::inventory::ServerFacts;
use crate::name::QualifiedName;

/// How the rows of a table travel. The same format is used for the digest on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `COPY (format binary)`: every column's type has the same binary form on both sides.
    Binary,
    /// `COPY (format csv)` with the run's NULL marker.
    Csv,
}

impl Format {
    /// Part of an object's key.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Binary => "bin",
            Format::Csv => "csv",
        }
    }
}

/// A slice of a table by heap page: exactly once within one snapshot, whatever the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRange {
    /// First page.
    pub from_page: u32,
    /// First page after the slice; `None` for the last slice, which takes what grew since.
    pub to_page: Option<u32>,
}

/// A chunk to be exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChunk {
    /// Number within the table, from 1.
    pub no: u32,
    /// Pages, or `None` for the whole table.
    pub pages: Option<PageRange>,
}

/// A table to be copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTable {
    /// Id in the run store.
    pub id: TableId,
    /// Name on both sides.
    pub name: QualifiedName,
    /// Columns to copy, in order: all but the generated ones.
    pub columns: Vec<String>,
    /// Columns of the primary key, in key order; empty for keyless tables.
    pub key: Vec<String>,
    /// Types of the columns to copy.
    pub types: Vec<String>,
    /// How rows travel.
    pub format: Format,
    /// Why not binary, when not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_reason: Option<String>,
    /// Bytes of heap and TOAST when planned.
    pub bytes: u64,
    /// Estimate of rows when planned; -1 when unknown.
    pub estimated_rows: i64,
    /// Whether the table forces row-level security on its owner: digests on the target are read
    /// under a policy-free path then.
    pub force_row_security: bool,
    /// Slices, which together cover the table exactly once.
    pub chunks: Vec<PlannedChunk>,
}

impl PlannedTable {
    /// Whether its slices cover every page exactly once: numbered from 1, from page 0 on without a
    /// gap, the last one open.
    pub fn covers_every_page(&self) -> bool {
        if let [PlannedChunk { no: 1, pages: None }] = self.chunks.as_slice() {
            return true;
        }
        let mut next_page = Some(0);
        for (chunk, no) in self.chunks.iter().zip(1u32..) {
            match (chunk.pages, next_page) {
                (Some(range), Some(page)) if chunk.no == no && range.from_page == page => {
                    next_page = range.to_page;
                }
                _ => return false,
            }
        }
        !self.chunks.is_empty() && next_page.is_none()
    }

    /// The id of one of its chunks.
    pub fn chunk_id(&self, no: u32) -> ChunkId {
        ChunkId {
            table: self.id.clone(),
            no,
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Worth knowing; the run goes on.
    Warn,
    /// The run would lose something or fail later; it does not start.
    Fail,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Id of the check, as in `source-login`.
    pub check: String,
    /// Verdict.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do; empty when it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// Where a database is and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseIdentity {
    /// `host:port/database`, without secrets.
    pub endpoint: String,
    /// Facts about server and login.
    pub facts: ServerFacts,
}

/// `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run this plan is for.
    pub run: RunId,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// Version of towpath that made it.
    pub made_by: String,
    /// Source.
    pub source: DatabaseIdentity,
    /// Target.
    pub target: DatabaseIdentity,
    /// Run store, without secrets.
    pub store: String,
    /// Tables, biggest first.
    pub tables: Vec<PlannedTable>,
    /// Sequences whose state is carried.
    pub sequences: Vec<QualifiedName>,
    /// Hash of `schema/pre-data.sql`.
    pub pre_data: Hash,
    /// Hash of `schema/post-data.sql`.
    pub post_data: Hash,
    /// Counts of decisions about objects: kept, rewritten, emulated, dropped.
    pub decisions: DecisionCounts,
    /// The checklist.
    pub checks: Vec<CheckResult>,
    /// Estimated seconds of the copy, with the rate assumed; for people.
    pub estimated_seconds: u64,
}

/// How many objects met which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionCounts {
    /// Kept as they are.
    pub kept: usize,
    /// Changed on the way.
    pub rewritten: usize,
    /// Replaced by something of towpath's own.
    pub emulated: usize,
    /// Left out.
    pub dropped: usize,
}

impl Plan {
    /// The table with this id.
    pub fn table(&self, id: &TableId) -> Option<&PlannedTable> {
        self.tables.iter().find(|table| table.id == *id)
    }

    /// Bytes of all tables when planned.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.tables.iter().map(|table| table.chunks.len()).sum()
    }

    /// The worst verdict of the checklist.
    pub fn verdict(&self) -> Verdict {
        self.checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .unwrap_or(Verdict::Pass)
    }
}

impl Document for Plan {
    const FORMAT: &'static str = "towpath-plan";
    const VERSION: u32 = 1;
}
