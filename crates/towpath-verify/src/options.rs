//! What a verification needs to know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::{RowDigest, RunKey};
use towpath_model::event::Events;
use towpath_model::inventory::SequenceState;
use towpath_model::manifest::{ExportedTable, Manifest};
use towpath_model::plan::Plan;
use towpath_model::rehearsal::LeftAlone;
use towpath_model::stop::Stop;
use towpath_model::verification::{Measure, Reading};
use towpath_model::{ErrorKind, Failure, Result, TableId};
use towpath_postgres::SessionOptions;
use towpath_store::RunStore;

use crate::access::AccessOptions;
use crate::clone::CloneContext;
use crate::health::HealthOptions;

/// What can be looked at, each alone or together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Stored objects against the manifest: bytes, hashes, rows. Needs no database.
    Chunks,
    /// Rows of every table of the target against the manifest.
    Rows,
    /// Sequences of the target against the manifest.
    Sequences,
    /// Structure of the target against what the schema report promises.
    Schema,
    /// How many rows every table of the target holds against the manifest.
    Counts,
    /// What roles see and may do on the target against the source.
    Access,
    /// The target's health after the move.
    Health,
}

impl Level {
    /// Those that are looked at when none is named. Together they prove the copy, and the gate of
    /// the cutover wants them all.
    pub const ALL: [Level; 4] = [Level::Chunks, Level::Rows, Level::Sequences, Level::Schema];

    /// Those that there are, in the order they are looked at and shown.
    pub const EVERY: [Level; 7] = [
        Level::Chunks,
        Level::Counts,
        Level::Rows,
        Level::Sequences,
        Level::Schema,
        Level::Access,
        Level::Health,
    ];

    /// Whether these levels together prove the copy.
    pub fn prove_the_copy(levels: &BTreeSet<Level>) -> bool {
        Level::ALL.iter().all(|level| levels.contains(level))
    }

    /// The level of a word.
    pub fn named(label: &str) -> Option<Self> {
        let mut every = Level::EVERY.into_iter();
        every.find(|level| level.label() == label)
    }

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Level::Chunks => "chunks",
            Level::Rows => "rows",
            Level::Sequences => "sequences",
            Level::Schema => "schema",
            Level::Counts => "counts",
            Level::Access => "access",
            Level::Health => "health",
        }
    }
}

/// Settings of a verification.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// What to look at.
    pub levels: BTreeSet<Level>,
    /// Objects and tables looked at at once.
    pub jobs: usize,
    /// How to connect to the target.
    pub session: SessionOptions,
    /// How to connect to the source.
    pub source_session: SessionOptions,
    /// Differing rows named per table.
    pub max_differences: usize,
    /// What rows of the target are compared with.
    pub measure: Measure,
    /// Who digests rows.
    pub reading: Reading,
    /// Whether differences tell values of rows.
    pub show_values: bool,
    /// What the level `access` needs to know.
    pub access: AccessOptions,
    /// What the level `health` needs to know.
    pub health: HealthOptions,
    /// What a rehearsal has left as it was, and is not compared.
    pub left_alone: LeftAlone,
}

/// Everything that every worker of a verification shares.
#[derive(Clone)]
pub struct VerifyContext {
    /// Target; a verification of chunks alone needs none.
    pub target: Option<ConnectionUrl>,
    /// Source, for what looks at both sides.
    pub source: Option<ConnectionUrl>,
    /// Run store.
    pub store: RunStore,
    /// Plan.
    pub plan: Arc<Plan>,
    /// Manifest, proven to be whole.
    pub manifest: Arc<Manifest>,
    /// Rows and digests of tables that were brought up to the source behind a fence: what they should
    /// hold in place of what was exported.
    pub caught_up: Arc<BTreeMap<TableId, RowDigest>>,
    /// States of sequences that a cutover has set: what they should be in place of what was exported.
    pub carried: Arc<Vec<SequenceState>>,
    /// What a clone is verified for besides; nothing where none is made.
    pub clone: Option<Arc<CloneContext>>,
    /// Key of the row digests.
    pub key: RunKey,
    /// Settings.
    pub options: VerifyOptions,
    /// Where progress goes.
    pub events: Events,
    /// Raised when the work should end at the next safe point.
    pub stop: Stop,
}

impl VerifyContext {
    /// How to connect to a side, under a name that a person finds in `pg_stat_activity`.
    pub(crate) fn session_options(&self, side: Side, name: &str) -> SessionOptions {
        let mut options = match side {
            Side::Source => self.options.source_session.clone(),
            Side::Target => self.options.session.clone(),
        };
        options.application_name = format!("towpath/{}/{name}", self.plan.run);
        options
    }

    /// The target, which every level but `chunks` needs.
    pub(crate) fn target(&self) -> Result<&ConnectionUrl> {
        let target = self.target.as_ref();
        target.ok_or_else(|| Failure::new(ErrorKind::Internal, "no target to verify"))
    }

    /// The source, where the levels or the measure need it.
    pub(crate) fn source(&self) -> Result<&ConnectionUrl> {
        let source = self.source.as_ref();
        source.ok_or_else(|| Failure::new(ErrorKind::Internal, "no source to verify against"))
    }

    /// What a table of the plan should hold on the target.
    pub(crate) fn expected(&self, table_no: usize) -> Result<RowDigest> {
        let exported = self.exported(table_no)?;
        let since = self.caught_up.get(&exported.table);
        Ok(since.copied().unwrap_or(exported.digest))
    }

    /// What was exported of a table of the plan, by its number there. The manifest lists tables in
    /// the plan's order.
    pub(crate) fn exported(&self, table_no: usize) -> Result<&ExportedTable> {
        let table = &self.plan.tables[table_no];
        let same = |exported: &&ExportedTable| exported.table == table.id;
        let in_order = self.manifest.tables.get(table_no).filter(same);
        in_order
            .or_else(|| self.manifest.tables.iter().find(same))
            .ok_or_else(|| {
                Failure::new(
                    ErrorKind::DocumentCorrupt,
                    format!("the manifest does not hold table {}", table.name),
                )
            })
    }
}
