//! Copies chunks from the snapshot to the store.

use std::collections::HashSet;

use tokio::sync::mpsc;
use towpath_model::digest::RowDigest;
use towpath_model::event::Stage;
use towpath_model::journal::Entry;
use towpath_model::manifest::StoredChunk;
use towpath_model::plan::{PlannedChunk, PlannedTable};
use towpath_model::{ChunkId, ErrorKind, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder};
use towpath_store::{ChunkWriter, ChunkWritten};

use crate::options::ExportContext;
use crate::reading::copy_statement;
use crate::rows::RowDigester;
use crate::worker::{AsyncTask, run_all};

/// Rows gathered before they are hashed, compressed and sent: COPY gives one small message a row.
const BUFFER: usize = 1 << 20;

/// Stores every chunk of the plan that is not among `kept`, and gives all of them. A chunk is
/// journalled before it is told to `stored`, so whoever hears of it may rely on it. `tried` gives
/// the highest attempt at a chunk that an earlier process may have begun.
pub async fn copy(
    context: &ExportContext,
    holder: &mut SnapshotHolder,
    kept: Vec<StoredChunk>,
    tried: impl Fn(&ChunkId) -> u32,
    stored: Option<mpsc::Sender<StoredChunk>>,
) -> Result<Vec<StoredChunk>> {
    let kept_ids: HashSet<&ChunkId> = kept.iter().map(|chunk| &chunk.chunk).collect();
    let is_kept = |id: &ChunkId| kept_ids.contains(id);
    let mut tasks = Vec::new();
    for (table_no, table) in context.plan.tables.iter().enumerate() {
        for chunk in &table.chunks {
            let id = table.chunk_id(chunk.no);
            if !is_kept(&id) {
                let attempt = tried(&id) + 1;
                tasks.push(CopyTask {
                    table_no,
                    chunk: chunk.clone(),
                    attempt,
                });
            }
        }
    }
    let copied = run_all(context, holder, tasks, CopyWork { stored }).await?;
    let mut all = kept;
    all.extend(copied);
    Ok(all)
}

#[derive(Clone)]
struct CopyTask {
    table_no: usize,
    chunk: PlannedChunk,
    attempt: u32,
}

#[derive(Clone)]
struct CopyWork {
    stored: Option<mpsc::Sender<StoredChunk>>,
}

impl AsyncTask<CopyTask, StoredChunk> for CopyWork {
    async fn run(
        &self,
        context: &ExportContext,
        session: &mut Session,
        task: &CopyTask,
    ) -> Result<StoredChunk> {
        let table = &context.plan.tables[task.table_no];
        let id = table.chunk_id(task.chunk.no);
        let chunk = copy_chunk(context, session, table, task)
            .await
            .map_err(|failure| {
                failure.while_doing(format!("could not export chunk {id} of {}", table.name))
            })?;
        context
            .journal
            .append(Entry::ChunkStored(chunk.clone()))
            .await?;
        context.events.advance(Stage::Export, chunk.raw_bytes);
        if let Some(stored) = &self.stored {
            // A loader that has gone failed; its error is the one that will be told.
            let _ = stored.send(chunk.clone()).await;
        }
        Ok(chunk)
    }
}

async fn copy_chunk(
    context: &ExportContext,
    session: &mut Session,
    table: &PlannedTable,
    task: &CopyTask,
) -> Result<StoredChunk> {
    let (attempt, key) = free_key(context, table, task).await?;
    let mut writer = ChunkWriter::create(&context.store, &key).await?;
    let statement = copy_statement(table, &task.chunk, &context.key);
    let digest = match pump(context, session, table, &statement, Some(&mut writer)).await {
        Ok(digest) => digest,
        Err(failure) => {
            if let Err(abort) = writer.abort().await {
                tracing::warn!(?abort, "could not clear what was sent of a chunk");
            }
            return Err(failure);
        }
    };
    let ChunkWritten {
        codec,
        raw_bytes,
        raw_hash,
        stored_bytes,
        stored_hash,
    } = writer.finish().await?;
    Ok(StoredChunk {
        chunk: table.chunk_id(task.chunk.no),
        attempt,
        key,
        codec,
        raw_bytes,
        raw_hash,
        stored_bytes,
        stored_hash,
        digest,
    })
}

/// The first attempt whose object does not exist: a process may have died after its object was
/// stored and before it was journalled, and such an orphan is never overwritten.
async fn free_key(
    context: &ExportContext,
    table: &PlannedTable,
    task: &CopyTask,
) -> Result<(u32, String)> {
    for attempt in task.attempt..task.attempt + 1000 {
        let key = format!(
            "chunks/{}/{:04}.{attempt}.{}.zst",
            table.id,
            task.chunk.no,
            table.format.extension()
        );
        if context.store.reader(&key).await?.is_none() {
            return Ok((attempt, key));
        }
    }
    Err(Failure::new(
        ErrorKind::ObjectExists,
        "could not find a free key for a chunk",
    )
    .hint("the run folder holds a thousand attempts; start over with --new-run"))
}

/// Reads a COPY stream to its end, digesting rows and writing blocks.
pub(crate) async fn pump(
    context: &ExportContext,
    session: &mut Session,
    table: &PlannedTable,
    statement: &str,
    mut writer: Option<&mut ChunkWriter>,
) -> Result<RowDigest> {
    let mut digester = RowDigester::new(&context.key, table.format, table.columns.len());
    let mut buffer = Vec::with_capacity(BUFFER + (64 << 10));
    let mut rows = session.copy_out(statement).await?;
    while let Some(message) = rows.next().await? {
        digester.take(&message)?;
        if let Some(writer) = writer.as_deref_mut() {
            buffer.extend_from_slice(&message);
            if buffer.len() >= BUFFER {
                writer.write(&buffer).await?;
                buffer.clear();
            }
        }
    }
    if let Some(writer) = writer {
        writer.write(&buffer).await?;
    }
    digester.finish()
}
