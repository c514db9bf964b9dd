//! Proves chunks of an earlier snapshot under a new one.
//!
//! A snapshot dies with its holder. The plan's slices are fixed page ranges, so after a crash each
//! stored chunk can be read again under the new snapshot and compared by its keyed digest: equal
//! means that the stored object holds exactly the rows that the new snapshot shows there. What
//! differs is exported again. Nothing is assumed about how quiet the source was.

use std::collections::HashMap;
use std::sync::Arc;

use towpath_model::event::Stage;
use towpath_model::journal::Entry;
use towpath_model::manifest::StoredChunk;
use towpath_model::{Result, TableId};
use towpath_postgres::{Session, SnapshotHolder};

use crate::copy::read;
use crate::options::ExportContext;
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
    let tables = context.plan.tables.iter().zip(0..);
    let numbers = tables.map(|(table, no)| (table.id.clone(), no)).collect();
    let work = ProveWork(Arc::new(numbers));
    let proofs = run_all(context, holder, chunks.clone(), work).await?;
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

/// Knows where each table is in the plan.
#[derive(Clone)]
struct ProveWork(Arc<HashMap<TableId, usize>>);

impl AsyncTask<StoredChunk, bool> for ProveWork {
    async fn run(
        &self,
        context: &ExportContext,
        session: &mut Session,
        stored: &StoredChunk,
    ) -> Result<bool> {
        let table_no = self.0.get(&stored.chunk.table).copied();
        let planned = table_no.and_then(|no| {
            let table = &context.plan.tables[no];
            let chunk = table
                .chunks
                .iter()
                .find(|chunk| chunk.no == stored.chunk.no)?;
            Some((table, chunk))
        });
        let Some((table, chunk)) = planned else {
            return Ok(false);
        };
        let reading = read(context, session, table, chunk, None).await;
        let digest = reading.map_err(|failure| {
            failure.while_doing(format!("could not prove chunk {}", stored.chunk))
        })?;
        let holds = digest.rows == stored.digest;
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
