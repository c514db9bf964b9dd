//! Proves chunks of an earlier snapshot under a new one.
//!
//! A snapshot dies with its holder. The plan's slices are fixed page ranges, so after a crash each
//! stored chunk can be read again under the new snapshot and compared by its keyed digest: equal
//! means that the stored object holds exactly the rows that the new snapshot shows there. What
//! differs is exported again. Nothing is assumed about how quiet the source was.

use towpath_model::Result;
use towpath_model::event::Stage;
use towpath_model::journal::Entry;
use towpath_model::manifest::StoredChunk;
use towpath_postgres::{Session, SnapshotHolder};

use crate::copy::pump;
use crate::options::ExportContext;
use crate::reading::copy_statement;
use crate::worker::{AsyncTask, run_all};

/// Outcome of the proof.
#[derive(Debug, Clone, Default)]
pub struct Proven {
    /// Chunks that hold under the new snapshot.
    pub kept: Vec<StoredChunk>,
    /// How many do not, and will be exported again.
    pub stale: usize,
}

/// Reads every chunk's slice under the current snapshot and compares it with what is stored.
pub async fn prove(
    context: &ExportContext,
    holder: &mut SnapshotHolder,
    chunks: Vec<StoredChunk>,
) -> Result<Proven> {
    let proofs = run_all(context, holder, chunks.clone(), ProveWork).await?;
    let mut proven = Proven::default();
    for (chunk, holds) in chunks.into_iter().zip(proofs) {
        if holds {
            proven.kept.push(chunk);
        } else {
            proven.stale += 1;
        }
    }
    Ok(proven)
}

#[derive(Clone)]
struct ProveWork;

impl AsyncTask<StoredChunk, bool> for ProveWork {
    async fn run(
        &self,
        context: &ExportContext,
        session: &mut Session,
        stored: &StoredChunk,
    ) -> Result<bool> {
        let planned = context.plan.table(&stored.chunk.table).and_then(|table| {
            let chunk = table
                .chunks
                .iter()
                .find(|chunk| chunk.no == stored.chunk.no)?;
            Some((table, chunk))
        });
        let Some((table, chunk)) = planned else {
            return Ok(false);
        };
        let statement = copy_statement(table, chunk, &context.key);
        let digest = pump(context, session, table, &statement, None)
            .await
            .map_err(|failure| {
                failure.while_doing(format!("could not prove chunk {}", stored.chunk))
            })?;
        let holds = digest == stored.digest;
        let (chunk, attempt) = (stored.chunk.clone(), stored.attempt);
        let entry = if holds {
            Entry::ChunkProven { chunk, attempt }
        } else {
            Entry::ChunkStale { chunk, attempt }
        };
        context.journal.append(entry).await?;
        context.events.advance(Stage::Export, stored.raw_bytes);
        Ok(holds)
    }
}
