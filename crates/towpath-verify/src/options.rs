//! What a verification needs to know.

use std::collections::BTreeSet;
use std::sync::Arc;

use towpath_model::connection::ConnectionUrl;
use towpath_model::digest::RunKey;
use towpath_model::event::Events;
use towpath_model::manifest::{ExportedTable, Manifest};
use towpath_model::plan::Plan;
use towpath_model::stop::Stop;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::SessionOptions;
use towpath_store::RunStore;

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
}

impl Level {
    /// All of them.
    pub const ALL: [Level; 4] = [Level::Chunks, Level::Rows, Level::Sequences, Level::Schema];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Level::Chunks => "chunks",
            Level::Rows => "rows",
            Level::Sequences => "sequences",
            Level::Schema => "schema",
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
    /// How to connect.
    pub session: SessionOptions,
    /// Differing rows named per table.
    pub max_differences: usize,
}

/// Everything that every worker of a verification shares.
#[derive(Clone)]
pub struct VerifyContext {
    /// Target; a verification of chunks alone needs none.
    pub target: Option<ConnectionUrl>,
    /// Run store.
    pub store: RunStore,
    /// Plan.
    pub plan: Arc<Plan>,
    /// Manifest, proven to be whole.
    pub manifest: Arc<Manifest>,
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
