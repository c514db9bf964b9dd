//! Copies chunks from the snapshot to the store.
//!
//! A worker reads one chunk after another; making a chunk durable and journalling it happens beside
//! that, so that the source does not stand still while a disk flushes or S3 answers, and so that
//! chunks of many small tables share flushes and journal objects.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use towpath_model::event::Stage;
use towpath_model::failure::Retry;
use towpath_model::journal::Entry;
use towpath_model::manifest::{Codec, StoredChunk};
use towpath_model::plan::{PlannedChunk, PlannedTable};
use towpath_model::{ChunkId, ErrorKind, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder};
use towpath_store::{BLOCK, ChunkWriter, ChunkWritten, SealedChunk};

use crate::options::ExportContext;
use crate::reading::begin_reading;
use crate::rows::{Rows, StreamDigest};
use crate::worker::{AsyncTask, KEEP_ALIVE, run_all};

/// First size of a worker's buffer; most tables are small.
const BUFFER: usize = 64 << 10;

/// Mebibytes that chunks may hold which are read and not yet stored: many small ones, or the end of
/// a big one.
const FINISHING_MIB: u32 = 32;

/// How often chunks that the store did not take are read again.
const ROUNDS: u32 = 3;

/// Objects of earlier processes that may be in the way of one chunk.
const ATTEMPTS_MAX: u32 = 1000;

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
    let mut all = kept;
    let mut round = 1;
    while !tasks.is_empty() {
        let finishing = Finishing::new(stored.clone());
        let work = CopyWork(finishing.clone());
        let read = run_all(context, holder, tasks, work).await;
        let outcome = finishing.outcome(context, holder).await?;
        match (read, outcome.failure) {
            // What stopped because a chunk could not be stored is not news.
            (Err(read), Some(failure)) if read.kind() == ErrorKind::Interrupted => {
                return Err(failure);
            }
            (Err(failure), _) | (Ok(_), Some(failure)) => return Err(failure),
            (Ok(_), None) => {}
        }
        all.extend(outcome.stored);
        tasks = outcome.in_the_way;
        if !outcome.refused.is_empty() {
            if round == ROUNDS {
                return Err(could_not_store(outcome.refused));
            }
            round += 1;
            tasks.extend(outcome.refused.into_iter().map(|(task, _)| task));
        }
    }
    Ok(all)
}

fn could_not_store(refused: Vec<(CopyTask, Failure)>) -> Failure {
    let what = format!("could not store {} chunks", refused.len());
    let (_, first) = refused.into_iter().next().unzip();
    match first {
        Some(failure) => failure.while_doing(what),
        None => Failure::new(ErrorKind::Internal, what),
    }
}

#[derive(Clone)]
struct CopyTask {
    table_no: usize,
    chunk: PlannedChunk,
    attempt: u32,
}

#[derive(Clone)]
struct CopyWork(Finishing);

impl AsyncTask<CopyTask, ()> for CopyWork {
    async fn run(
        &self,
        context: &ExportContext,
        session: &mut Session,
        task: &CopyTask,
    ) -> Result<()> {
        let table = &context.plan.tables[task.table_no];
        let doing = || {
            let id = table.chunk_id(task.chunk.no);
            format!("could not export chunk {id} of {}", table.name)
        };
        let mut task = task.clone();
        let read = loop {
            match read_chunk(context, session, table, &task).await {
                // A process may have died after its object was stored and before it was journalled.
                // Such an orphan is never overwritten.
                Err(failure) if failure.kind() == ErrorKind::ObjectExists => {
                    task = next_attempt(task, failure).map_err(|f| f.while_doing(doing()))?;
                }
                other => break other.map_err(|failure| failure.while_doing(doing()))?,
            }
        };
        self.0.begin(context, task, read).await
    }
}

fn next_attempt(task: CopyTask, failure: Failure) -> Result<CopyTask> {
    let attempt = next_number(task.attempt, failure)?;
    Ok(CopyTask { attempt, ..task })
}

/// The attempt after one whose object's name is taken.
pub(crate) fn next_number(attempt: u32, failure: Failure) -> Result<u32> {
    if attempt >= ATTEMPTS_MAX {
        return Err(failure.hint("the run folder is full of attempts; start over with --new-run"));
    }
    Ok(attempt + 1)
}

/// A chunk that is read whole.
struct ReadChunk {
    sealed: SealedChunk,
    key: String,
    digest: StreamDigest,
}

async fn read_chunk(
    context: &ExportContext,
    session: &mut Session,
    table: &PlannedTable,
    task: &CopyTask,
) -> Result<ReadChunk> {
    let codec = context.options.codec.choose();
    let key = object_key(table, task.chunk.no, task.attempt, codec);
    let mut writer = ChunkWriter::create(&context.store, &key, codec).await?;
    match read(context, session, table, &task.chunk, Some(&mut writer)).await {
        Ok(digest) => Ok(ReadChunk {
            sealed: writer.seal().await?,
            key,
            digest,
        }),
        Err(failure) => {
            if let Err(abort) = writer.abort().await {
                tracing::warn!(?abort, "could not clear what was sent of a chunk");
            }
            Err(failure)
        }
    }
}

/// Key of a chunk's object.
pub(crate) fn object_key(table: &PlannedTable, no: u32, attempt: u32, codec: Codec) -> String {
    format!(
        "chunks/{}/{no:04}.{attempt}.{}{}",
        table.id,
        table.format.extension(),
        codec.suffix()
    )
}

/// Chunks that are read and on their way to being durable and journalled.
#[derive(Clone)]
struct Finishing {
    running: Arc<Mutex<JoinSet<Finished>>>,
    room: Arc<Semaphore>,
    /// Chunks that the store is at work on.
    storing: Arc<AtomicU32>,
    stored: Option<mpsc::Sender<StoredChunk>>,
}

struct Finished {
    task: CopyTask,
    result: Result<StoredChunk>,
}

/// What became of the chunks that were read.
#[derive(Default)]
struct Outcome {
    stored: Vec<StoredChunk>,
    /// Another process's object has the name; the task names the next.
    in_the_way: Vec<CopyTask>,
    /// The store did not take them for a reason that may pass.
    refused: Vec<(CopyTask, Failure)>,
    failure: Option<Failure>,
}

impl Finishing {
    fn new(stored: Option<mpsc::Sender<StoredChunk>>) -> Self {
        Self {
            running: Arc::default(),
            room: Arc::new(Semaphore::new(FINISHING_MIB as usize)),
            storing: Arc::default(),
            stored,
        }
    }

    /// Leaves a chunk to be finished, once there is room.
    async fn begin(&self, context: &ExportContext, task: CopyTask, read: ReadChunk) -> Result<()> {
        let mib = u32::try_from(read.sealed.held_bytes() >> 20).unwrap_or(FINISHING_MIB);
        let permits = (mib + 1).min(FINISHING_MIB);
        let room = self.room.clone().acquire_many_owned(permits).await;
        let room = room.map_err(|closed| {
            Failure::new(ErrorKind::Internal, "chunks are not finished any more").because(closed)
        })?;
        let (context, stored, beside) = (
            context.clone(),
            self.stored.clone(),
            Arc::clone(&self.storing),
        );
        let finish = async move {
            let result = Box::pin(finish(&context, &task, read, stored, room, beside)).await;
            if matches!(&result, Err(failure) if !may_be_repeated(failure)) {
                context.stop.raise();
            }
            Finished { task, result }
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.spawn(finish);
        Ok(())
    }

    /// Waits for everything that was begun; the snapshot's session is kept alive meanwhile, because
    /// a slow loader makes this long.
    async fn outcome(
        self,
        context: &ExportContext,
        holder: &mut SnapshotHolder,
    ) -> Result<Outcome> {
        let mut running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *running)
        };
        let mut outcome = Outcome::default();
        loop {
            tokio::select! {
                joined = running.join_next() => match joined {
                    None => return Ok(outcome),
                    Some(Ok(finished)) => outcome.take(context, finished),
                    Some(Err(panic)) => {
                        context.stop.raise();
                        let letter = Failure::new(ErrorKind::Internal, "storing a chunk panicked");
                        outcome.failure.get_or_insert(letter.because(panic));
                    }
                },
                () = tokio::time::sleep(KEEP_ALIVE) => holder.keep_alive().await?,
            }
        }
    }
}

fn may_be_repeated(failure: &Failure) -> bool {
    failure.kind() == ErrorKind::ObjectExists || failure.kind().retry() == Retry::Later
}

impl Outcome {
    fn take(&mut self, context: &ExportContext, finished: Finished) {
        let Finished { task, result } = finished;
        let failure = match result {
            Ok(chunk) => {
                self.stored.push(chunk);
                return;
            }
            Err(failure) if failure.kind() == ErrorKind::ObjectExists => {
                match next_attempt(task, failure) {
                    Ok(task) => {
                        self.in_the_way.push(task);
                        return;
                    }
                    Err(failure) => failure,
                }
            }
            Err(failure) if failure.kind().retry() == Retry::Later => {
                tracing::warn!(?failure, "a chunk was not stored; it will be read again");
                self.refused.push((task, failure));
                return;
            }
            Err(failure) => {
                let table = &context.plan.tables[task.table_no];
                let id = table.chunk_id(task.chunk.no);
                failure.while_doing(format!("could not store chunk {id} of {}", table.name))
            }
        };
        self.failure.get_or_insert(failure);
    }
}

/// Makes a chunk durable, journals it, and tells the loader, in this order.
async fn finish(
    context: &ExportContext,
    task: &CopyTask,
    read: ReadChunk,
    stored: Option<mpsc::Sender<StoredChunk>>,
    room: OwnedSemaphorePermit,
    storing: Arc<AtomicU32>,
) -> Result<StoredChunk> {
    let beside = storing.fetch_add(1, Ordering::Relaxed) + 1;
    let written = read.sealed.finish().await;
    storing.fetch_sub(1, Ordering::Relaxed);
    let ChunkWritten {
        codec,
        raw_bytes,
        raw_hash,
        stored_bytes,
        stored_hash,
        mut measured,
    } = written?;
    // What many chunks share takes each of them longer; what counts is how long a worker's share
    // of them takes.
    let jobs = u32::try_from(context.options.jobs).unwrap_or(1).max(1);
    measured.storing = measured.storing * jobs / beside.max(jobs);
    context.options.codec.learn(codec, &measured);
    let chunk = StoredChunk {
        chunk: context.plan.tables[task.table_no].chunk_id(task.chunk.no),
        attempt: task.attempt,
        key: read.key,
        codec,
        raw_bytes,
        raw_hash,
        stored_bytes,
        stored_hash,
        digest: read.digest.rows,
        masked: read.digest.masked,
    };
    context
        .journal
        .append(Entry::ChunkStored(chunk.clone()))
        .await?;
    context.events.advance(Stage::Export, chunk.raw_bytes);
    if let Some(stored) = stored {
        // A loader that has gone failed; its error is the one that will be told.
        let _ = stored.send(chunk.clone()).await;
    }
    // Not before the loader has taken it: a slow target is to slow the source.
    drop(room);
    Ok(chunk)
}

/// Reads a chunk of the source; the rows are masked, digested and, where there is a writer, written.
pub(crate) async fn read(
    context: &ExportContext,
    session: &mut Session,
    table: &PlannedTable,
    chunk: &PlannedChunk,
    writer: Option<&mut ChunkWriter>,
) -> Result<StreamDigest> {
    let statement = begin_reading(context, session, table, chunk).await?;
    let digest = pump(context, session, table, &statement, writer).await?;
    if let Some(masking) = &context.masking {
        masking.note_chunk(&table.chunk_id(chunk.no));
    }
    Ok(digest)
}

/// Reads a COPY stream to its end, masking and digesting rows and writing blocks. What is buffered is
/// what may be stored: unmasked values are in the message alone, and in nothing that outlives it.
async fn pump(
    context: &ExportContext,
    session: &mut Session,
    table: &PlannedTable,
    statement: &str,
    mut writer: Option<&mut ChunkWriter>,
) -> Result<StreamDigest> {
    let mut stream = Rows::new(&context.key, table, context.masking.as_ref())?;
    // COPY gives one small message a row, and now and then one far larger than a block.
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut rows = session.copy_out(statement).await?;
    while let Some(message) = rows.next().await? {
        let stored = stream.take(&message)?;
        let Some(writer) = writer.as_deref_mut() else {
            continue;
        };
        let mut rest = stored;
        while buffer.len() + rest.len() >= BLOCK {
            let (now, later) = rest.split_at(BLOCK - buffer.len());
            buffer.extend_from_slice(now);
            rest = later;
            buffer = writer.write(buffer).await?;
            context.gate.pass(&context.stop).await?;
            buffer.reserve_exact(BLOCK);
        }
        buffer.extend_from_slice(rest);
    }
    if let Some(writer) = writer {
        writer.write(buffer).await?;
    }
    stream.finish()
}
