//! What an export needs to know.

use towpath_mask::{MaskKey, Originals};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RunKey;
use towpath_model::event::Events;
use towpath_model::plan::Plan;
use towpath_model::stop::Stop;
use towpath_model::subset::KeptRows;
use towpath_model::{ChunkId, Result, RunId};
use towpath_postgres::{Session, SessionOptions};
use towpath_store::{CodecPolicy, Journal, RunStore};

use crate::guard::{Gate, Guard, name_session};

/// Settings of an export.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Chunks read at once; one connection each.
    pub jobs: usize,
    /// How to connect.
    pub session: SessionOptions,
    /// Chooses how each chunk is compressed.
    pub codec: CodecPolicy,
    /// What the source may be asked to bear, where there is a limit.
    pub guard: Option<Guard>,
}

/// What masking needs beside the plan.
#[derive(Clone)]
pub struct Masking {
    /// Key of the masks.
    pub key: MaskKey,
    /// Where originals are noted for the residual scan.
    pub originals: Option<std::sync::Arc<Originals>>,
}

impl Masking {
    /// Notes that every row of a chunk was masked, and what it held noted.
    pub(crate) fn note_chunk(&self, chunk: &ChunkId) {
        if let Some(originals) = &self.originals {
            originals.note_chunk(chunk);
        }
    }
}

/// Everything that every worker of an export shares.
#[derive(Clone)]
pub struct ExportContext {
    /// Source.
    pub source: ConnectionUrl,
    /// Name of the exported snapshot.
    pub snapshot_id: String,
    /// Run store.
    pub store: RunStore,
    /// Journal.
    pub journal: Journal,
    /// Plan.
    pub plan: std::sync::Arc<Plan>,
    /// Key of the row digests.
    pub key: RunKey,
    /// Settings.
    pub options: ExportOptions,
    /// Where progress goes.
    pub events: Events,
    /// Raised when the work should end at the next safe point.
    pub stop: Stop,
    /// How masked columns are masked; needed where the plan has masks.
    pub masking: Option<Masking>,
    /// Which rows of which tables go, in the snapshot.
    pub kept: std::sync::Arc<KeptRows>,
    /// Closed while the source has too much to do; whoever runs workers puts the guard's here.
    pub gate: Gate,
}

impl ExportContext {
    /// A new session in the exported snapshot.
    pub(crate) async fn connect(&self, worker: usize) -> Result<Session> {
        let mut options = self.options.session.clone();
        options.application_name = application_name(&self.plan.run, worker);
        let mut session = Session::connect(&self.source, Side::Source, &options).await?;
        if self.options.guard.is_some() {
            name_session(&mut session, &options.application_name).await?;
        }
        session.begin_reading_snapshot(&self.snapshot_id).await?;
        session
            .use_search_path(&self.plan.source.facts.search_path)
            .await?;
        Ok(session)
    }
}

fn application_name(run: &RunId, worker: usize) -> String {
    format!("towpath/{run}/export-{worker}")
}
