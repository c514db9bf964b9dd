//! What verification found: `verify/<n>.json`.

use serde::{Deserialize, Serialize};

use crate::digest::{Hash, RowDigest};
use crate::document::Document;
use crate::ids::{ChunkId, RunId};
use crate::inventory::SequenceState;
use crate::name::QualifiedName;
use crate::structure::StructureDifference;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Difference {
    /// A stored object is gone.
    ChunkMissing {
        /// Which chunk.
        chunk: ChunkId,
        /// Key of the object.
        key: String,
    },
    /// A stored object is not what the manifest says.
    ChunkCorrupt {
        /// Which chunk.
        chunk: ChunkId,
        /// Key of the object.
        key: String,
        /// Which link broke: `stored bytes`, `raw bytes`, `rows`.
        link: String,
        /// What the manifest says.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A schema file is not what the manifest says.
    FileCorrupt {
        /// Key of the object.
        key: String,
        /// Hash the manifest says.
        expected: Hash,
        /// Hash found, or nothing when the file is gone.
        found: Option<Hash>,
    },
    /// A table holds other rows than were exported.
    Rows {
        /// Which table.
        table: QualifiedName,
        /// Rows and digest exported.
        expected: RowDigest,
        /// Rows and digest on the target.
        found: RowDigest,
        /// The rows that differ, as far as they were looked for.
        located: Vec<RowDifference>,
    },
    /// A table of the manifest is not on the target, or its columns cannot be read.
    TableUnreadable {
        /// Which table.
        table: QualifiedName,
        /// Why.
        reason: String,
    },
    /// A sequence is elsewhere.
    Sequence {
        /// State exported.
        expected: SequenceState,
        /// State on the target; nothing when the sequence is not there.
        found: Option<SequenceState>,
    },
    /// The structure differs.
    Structure(StructureDifference),
}

/// How one row differs. Named by its key, never by its other values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// Missing on the target, extra there, or changed.
    pub how: RowChange,
    /// Columns and values of the primary key; for keyless tables empty.
    pub key: Vec<(String, String)>,
    /// Keyed hash of the row, short; for keyless tables all there is.
    pub row: String,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowChange {
    /// Exported, not on the target.
    Missing,
    /// On the target, not exported.
    Extra,
    /// On both with the same key and other values.
    Changed,
}

/// What was compared for one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProof {
    /// Which.
    pub table: QualifiedName,
    /// Rows and digest exported.
    pub expected: RowDigest,
    /// Rows and digest read afresh from the target.
    pub found: RowDigest,
}

/// `verify/<n>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The run.
    pub run: RunId,
    /// Root hash of the manifest that was the measure.
    pub manifest: Hash,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// What was looked at: `chunks`, `rows`, `sequences`, `schema`.
    pub levels: Vec<String>,
    /// Stored objects checked.
    pub chunks_checked: u64,
    /// Tables compared.
    pub tables: Vec<TableProof>,
    /// Sequences compared.
    pub sequences_checked: u64,
    /// Objects of the structure compared.
    pub objects_checked: u64,
    /// What differs; empty means proven equal.
    pub differences: Vec<Difference>,
}

impl Verification {
    /// No difference was found.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Document for Verification {
    const FORMAT: &'static str = "towpath-verification";
    const VERSION: u32 = 1;
}
