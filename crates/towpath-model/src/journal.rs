//! The journal: append-only events of a run. One object per flush, ordered per writer; a writer is
//! one process of towpath.

use serde::{Deserialize, Serialize};

use crate::cutover::{Baseline, CaughtUpTable, Checked, Fence, WriteGap};
use crate::digest::Hash;
use crate::document::Document;
use crate::ids::ChunkId;
use crate::inventory::SequenceState;
use crate::manifest::StoredChunk;

/// The stages of a run, in order. See `docs/ARCHITECTURE.md` for who enters each and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStage {
    /// A plan is stored. Entered by `plan` or `run`.
    Planned,
    /// Chunks are being stored. Entered by export, under the lease.
    Exporting,
    /// The manifest is stored. Entered by export; never left backwards.
    Sealed,
    /// Chunks are being loaded. Entered by load.
    Loading,
    /// Rows, constraints, policies and grants are on the target. Entered by load.
    Loaded,
    /// A verification found no difference. Entered by verify.
    Verified,
    /// The source accepts no writes any more. Entered by cutover.
    Fenced,
    /// Bindings are being rewritten. Entered by cutover.
    Switching,
    /// Every binding points at the target. Entered by cutover.
    Switched,
    /// Every binding is as it was before the cutover. Entered by rollback.
    RolledBack,
}

/// Something that happened and that a resumed or a reading process must know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Entry {
    /// A stage was entered.
    Stage {
        /// The stage.
        stage: RunStage,
    },
    /// A snapshot was taken; chunks stored after this belong to it.
    Snapshot {
        /// `pg_current_snapshot()`.
        snapshot: String,
        /// WAL position.
        lsn: String,
        /// Hashes of the schema scripts as dumped in this snapshot.
        pre_data: Hash,
        /// The same for post-data.
        post_data: Hash,
    },
    /// A chunk is stored.
    ChunkStored(StoredChunk),
    /// A chunk stored under an earlier snapshot shows the same rows under the current one.
    ChunkProven {
        /// Which.
        chunk: ChunkId,
        /// Which attempt.
        attempt: u32,
    },
    /// A chunk stored under an earlier snapshot shows other rows now; it is an orphan.
    ChunkStale {
        /// Which.
        chunk: ChunkId,
        /// Which attempt.
        attempt: u32,
    },
    /// A sentence for the report, with the seconds it took where that means something.
    Timing {
        /// What.
        what: String,
        /// How long, in milliseconds.
        millis: u64,
        /// When it began, in milliseconds since 1970. Journals of earlier versions do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began_at_ms: Option<u64>,
    },
    /// An RDS snapshot of the target was taken before the load.
    TargetSnapshot {
        /// Its identifier.
        identifier: String,
    },
    /// A clone was swapped in: it serves under its name.
    CloneSwapped {
        /// The name.
        name: String,
        /// What the one before is called now.
        kept: Option<String>,
    },
    /// The staged rows of the run are about to be deleted: from here on they cannot be counted on.
    Cleaning,
    /// The staged rows of the run were deleted, and are proven to be gone.
    Cleaned {
        /// Objects, versions included.
        objects: u64,
    },
    /// A fence is about to be put up on the source.
    FenceIntent,
    /// The source accepts no writes to migrated tables any more.
    Fenced(Fence),
    /// The source accepts writes again.
    Unfenced,
    /// Tables that had changed since the export were brought up to the fence.
    CaughtUp {
        /// How many tables.
        tables: u64,
        /// Rows that differed and were written or deleted on the target.
        rows: u64,
        /// Every table that no longer is what was exported, those of earlier fences included.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        now: Vec<CaughtUpTable>,
    },
    /// Sequences of the target were set to where the fenced source had them, with the margin.
    SequencesCarried {
        /// Where they are now.
        states: Vec<SequenceState>,
    },
    /// What the target had been written before the first consumer came.
    TargetBaseline(Baseline),
    /// A gate of the cutover, an approval, a probe, or an item of a checklist, and how it went.
    Checked(Checked),
    /// The time in which no write was accepted anywhere.
    WriteGap(WriteGap),
    /// A binding is about to be rewritten; the way back is stored already.
    SwitchIntent {
        /// Name of the binding.
        binding: String,
    },
    /// A binding was rewritten and read back.
    SwitchDone {
        /// Name of the binding.
        binding: String,
    },
    /// A binding was put back and read back.
    UndoDone {
        /// Name of the binding.
        binding: String,
    },
}

/// One line of a journal object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When, RFC 3339.
    pub at: String,
    /// What.
    pub entry: Entry,
}

/// `journal/<writer>/head.json`: written by a writer before its first object, so that readers find
/// writers without listing: each head names the writer before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterHead {
    /// Number of the writer, from 1: the n-th process that wrote to this run.
    pub writer: u32,
    /// Host and process, for people.
    pub who: String,
    /// When it began, RFC 3339.
    pub began_at: String,
}

impl Document for WriterHead {
    const FORMAT: &'static str = "towpath-journal-writer";
    const VERSION: u32 = 1;
}
