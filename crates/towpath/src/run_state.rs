//! Where a run is, folded from its journal.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::ChunkId;
use towpath_model::cutover::{Baseline, CaughtUpTable, Fence, WriteGap};
use towpath_model::digest::Hash;
use towpath_model::inventory::SequenceState;
use towpath_model::journal::{Entry, Line, RunStage};
use towpath_model::manifest::StoredChunk;
use towpath_model::report::Timing;
use towpath_model::{ErrorKind, Failure, Result, RunId};

/// The last snapshot of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSnapshot {
    /// `pg_current_snapshot()`.
    pub snapshot: String,
    /// Hash of the pre-data script in it.
    pub pre_data: Hash,
    /// Hash of the post-data script in it.
    pub post_data: Hash,
}

/// The fence, as the journal tells it. Only the source knows whether it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FenceState {
    /// Never put up, or lifted.
    #[default]
    None,
    /// A process began to put it up, and is not known to have ended that.
    Perhaps,
    /// It was put up.
    Stands(Fence),
}

/// The rows that a run has staged in its store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StagedRows {
    /// As far as the journal knows they are there.
    #[default]
    Kept,
    /// Somebody began to delete them and is not known to have ended that.
    Going {
        /// When it began.
        since: String,
    },
    /// They are deleted, and proven to be gone.
    Gone {
        /// When that was proven.
        at: String,
        /// Objects that went, versions included, by the process that proved it.
        objects: u64,
    },
}

impl StagedRows {
    fn hear(&mut self, line: &Line) {
        match &line.entry {
            // What is gone does not come back by looking again.
            Entry::Cleaning if *self == Self::Kept => {
                *self = Self::Going {
                    since: line.at.clone(),
                };
            }
            Entry::Cleaned { objects } => {
                *self = Self::Gone {
                    at: line.at.clone(),
                    objects: *objects,
                };
            }
            _ => {}
        }
    }
}

/// What the journal tells.
#[derive(Debug, Clone, Default)]
pub struct RunState {
    /// The furthest stage entered; nothing before the first.
    pub stage: Option<RunStage>,
    /// The last snapshot.
    pub snapshot: Option<LastSnapshot>,
    /// Chunks that are stored and not known to be stale.
    pub chunks: BTreeMap<ChunkId, StoredChunk>,
    /// Which of them are known to show the rows of the last snapshot.
    pub proven: BTreeSet<ChunkId>,
    /// Highest attempt at each chunk.
    pub attempts: BTreeMap<ChunkId, u32>,
    /// RDS snapshot of the target.
    pub target_snapshot: Option<String>,
    /// Timings in order.
    pub timings: Vec<Timing>,
    /// The fence on the source, as far as the journal knows.
    pub fence: FenceState,
    /// Tables that no longer are what was exported, because they were brought up to a fence.
    pub caught_up: Vec<CaughtUpTable>,
    /// Sequences of the target as a cutover has set them, in place of the manifest's.
    pub carried: Vec<SequenceState>,
    /// What the target had been written before the first consumer came.
    pub baseline: Option<Baseline>,
    /// The time without writes of the last cutover.
    pub write_gap: Option<WriteGap>,
    /// The clone serves, or has served.
    pub swapped: bool,
    /// What became of the staged rows.
    pub staged: StagedRows,
    /// When the run was last heard of.
    pub last_heard: Option<String>,
}

impl RunState {
    /// Folds a journal.
    pub fn of(lines: &[Line]) -> Self {
        lines.iter().fold(Self::default(), |mut state, line| {
            state.last_heard = Some(line.at.clone());
            state.staged.hear(line);
            state.apply(&line.entry);
            state
        })
    }

    fn apply(&mut self, entry: &Entry) {
        match entry {
            // Export and load overlap, so up to `Loaded` the furthest stage counts; later a rollback
            // may follow a cutover and a cutover a rollback, and the last word counts.
            Entry::Stage { stage } if *stage <= RunStage::Loaded => {
                self.stage = self.stage.max(Some(*stage));
                // A load sets them as the manifest has them.
                self.carried.clear();
            }
            Entry::Stage { stage } => self.stage = Some(*stage),
            Entry::Snapshot {
                snapshot,
                pre_data,
                post_data,
                ..
            } => {
                if self
                    .snapshot
                    .as_ref()
                    .is_some_and(|last| last.snapshot != *snapshot)
                {
                    self.proven.clear();
                }
                self.snapshot = Some(LastSnapshot {
                    snapshot: snapshot.clone(),
                    pre_data: *pre_data,
                    post_data: *post_data,
                });
            }
            Entry::ChunkStored(chunk) => {
                let attempt = self.attempts.entry(chunk.chunk.clone()).or_default();
                *attempt = (*attempt).max(chunk.attempt);
                self.proven.insert(chunk.chunk.clone());
                self.chunks.insert(chunk.chunk.clone(), chunk.clone());
            }
            Entry::ChunkStale { chunk, attempt } => {
                if self
                    .chunks
                    .get(chunk)
                    .is_some_and(|stored| stored.attempt == *attempt)
                {
                    self.chunks.remove(chunk);
                    self.proven.remove(chunk);
                }
            }
            Entry::ChunkProven { chunk, .. } => {
                self.proven.insert(chunk.clone());
            }
            Entry::TargetSnapshot { identifier } => {
                self.target_snapshot = Some(identifier.clone());
            }
            Entry::Timing {
                what,
                millis,
                began_at_ms,
            } => {
                self.timings.push(Timing {
                    what: what.clone(),
                    millis: *millis,
                    began_at_ms: *began_at_ms,
                });
            }
            // A fence that was perhaps put up counts until it is known to be lifted.
            Entry::FenceIntent => self.fence = FenceState::Perhaps,
            Entry::Fenced(fence) => {
                self.fence = FenceState::Stands(fence.clone());
                self.write_gap = None;
            }
            Entry::Unfenced => self.fence = FenceState::None,
            Entry::CaughtUp { now, .. } => self.caught_up.clone_from(now),
            Entry::SequencesCarried { states } => self.carried.clone_from(states),
            Entry::TargetBaseline(baseline) => self.baseline = Some(baseline.clone()),
            Entry::WriteGap(gap) => self.write_gap = Some(gap.clone()),
            Entry::CloneSwapped { .. } => self.swapped = true,
            // When is not in the entry.
            Entry::Cleaning | Entry::Cleaned { .. } => {}
            // The report's alone.
            Entry::Checked(_)
            | Entry::SwitchIntent { .. }
            | Entry::SwitchDone { .. }
            | Entry::UndoDone { .. } => {}
        }
    }

    /// Refuses what needs the staged rows of a run that are deleted.
    pub fn require_staged(&self, run: &RunId) -> Result<()> {
        let (what, at) = match &self.staged {
            StagedRows::Kept => return Ok(()),
            StagedRows::Going { since } => ("are being deleted, since", since),
            StagedRows::Gone { at, .. } => ("were deleted on", at),
        };
        Err(Failure::new(
            ErrorKind::NotFound,
            format!("the staged rows of run {run} {what} {at}"),
        )
        .hint("`towpath clean` took them on purpose; what needs them begins with a new export: `towpath run --new-run`, or `towpath clone` without --from"))
    }

    /// Highest attempt at a chunk; 0 when there was none.
    pub fn attempts_at(&self, chunk: &ChunkId) -> u32 {
        self.attempts.get(chunk).copied().unwrap_or(0)
    }
}
