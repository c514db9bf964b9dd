//! Takes over the chunks of a sealed run: as they are, or masked on the way from one folder of the
//! store to the other. The source is not asked for anything.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use towpath_model::digest::RunKey;
use towpath_model::event::{Events, Stage};
use towpath_model::journal::Entry;
use towpath_model::manifest::{Manifest, StoredChunk};
use towpath_model::plan::{Format, Plan, PlannedTable};
use towpath_model::stop::Stop;
use towpath_model::subset::TableSubset;
use towpath_model::{ChunkId, ErrorKind, Failure, Result, TableId};
use towpath_postgres::SnapshotHolder;
use towpath_store::{ChunkReader, ChunkWriter, CodecPolicy, Journal, RunStore};

use crate::copy::{next_number, object_key};
use crate::cutter::Cutter;
use crate::options::Masking;
use crate::rows::{NO_ROWS, Rows, StreamDigest};
use crate::worker::KEEP_ALIVE;

/// Objects taken over as they are at once: each is a link, or a request that S3 answers when it has
/// copied.
const ADOPTED_AT_ONCE: usize = 8;

/// Everything that taking over needs.
#[derive(Clone)]
pub struct TakeOver {
    /// Folder of the sealed run.
    pub from: RunStore,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Folder of this run.
    pub store: RunStore,
    /// Its journal.
    pub journal: Journal,
    /// Its plan, with the slices of the sealed run.
    pub plan: Arc<Plan>,
    /// Key of the row digests: that of the sealed run.
    pub key: RunKey,
    /// Chunks masked at once.
    pub jobs: usize,
    /// Chooses how each masked chunk is compressed.
    pub codec: CodecPolicy,
    /// How masked columns are masked; needed where the plan has masks.
    pub masking: Option<Masking>,
    /// Where progress goes.
    pub events: Events,
    /// Raised when the work should end at the next safe point.
    pub stop: Stop,
}

/// Stores every chunk of the plan that is not among `kept`, and gives all of them. A chunk is
/// journalled before it is told to `stored`. `tried` gives the highest attempt at a chunk that an
/// earlier process may have begun.
///
/// Kept chunks of masked tables are read once more at their source: what their values were is to be
/// noted again, and they are proven to be what masking makes of them on the way.
pub async fn take_over(
    context: &TakeOver,
    kept: Vec<StoredChunk>,
    tried: impl Fn(&ChunkId) -> u32,
    stored: Option<mpsc::Sender<StoredChunk>>,
) -> Result<Vec<StoredChunk>> {
    let sources: HashMap<&ChunkId, &StoredChunk> = context
        .manifest
        .chunks()
        .map(|chunk| (&chunk.chunk, chunk))
        .collect();
    let kept_chunks: HashMap<&ChunkId, &StoredChunk> =
        kept.iter().map(|chunk| (&chunk.chunk, chunk)).collect();
    let notes = (context.masking.as_ref()).is_some_and(|masking| masking.originals.is_some());
    let (mut rewritten, mut adopted) = (Vec::new(), Vec::new());
    for (table_no, table) in context.plan.tables.iter().enumerate() {
        for planned in &table.chunks {
            let id = table.chunk_id(planned.no);
            let source = *sources.get(&id).ok_or_else(|| {
                let letter = format!("run {} has no chunk {id}", context.from.run());
                Failure::new(ErrorKind::Internal, letter)
            })?;
            let task = TakeOverTask {
                table_no,
                source: source.clone(),
                attempt: tried(&id) + 1,
                kept: kept_chunks.get(&id).copied().cloned(),
            };
            let is_rewritten = !table.masks.is_empty() || is_emptied(table);
            match (is_rewritten, task.kept.is_some()) {
                (false, false) => adopted.push(task),
                (true, false) => rewritten.push(task),
                (true, true) if notes => rewritten.push(task),
                (_, true) => {}
            }
        }
    }
    drop(kept_chunks);
    let jobs = context.jobs.max(1);
    let rewriting = at_once(
        context,
        rewritten,
        jobs,
        &stored,
        |context, task| async move { rewrite(context, task).await.map(Some) },
    );
    let adopting = at_once(
        context,
        adopted,
        ADOPTED_AT_ONCE,
        &stored,
        |context, task| async move { adopt(context, task).await.map(Some) },
    );
    let (rewritten, adopted) = tokio::join!(rewriting, adopting);
    let (rewritten, adopted) = match (rewritten, adopted) {
        (Ok(rewritten), Ok(adopted)) => (rewritten, adopted),
        // What stopped because of the other's failure is not news.
        (Err(failure), Err(news)) if failure.kind() == ErrorKind::Interrupted => return Err(news),
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    let mut all = kept;
    let known: HashSet<ChunkId> = all.iter().map(|chunk| chunk.chunk.clone()).collect();
    let new = rewritten.into_iter().chain(adopted);
    all.extend(new.filter(|chunk| !known.contains(&chunk.chunk)));
    Ok(all)
}

/// Takes over all chunks of some tables as they are, whatever masks they have: the caller knows that
/// they are those that an export would make. All chunks of a table or none: page ranges of two
/// snapshots do not make one table, and of a table with a chunk that is not there any more, or is of
/// another length, none is given. The snapshot's session is kept alive meanwhile: copies of thousands
/// of chunks take S3 a while.
pub async fn adopt_tables(
    context: &TakeOver,
    holder: &mut SnapshotHolder,
    tables: &BTreeSet<TableId>,
    tried: impl Fn(&ChunkId) -> u32,
) -> Result<Vec<StoredChunk>> {
    let places = context.plan.tables.iter().zip(0..);
    let places: HashMap<&TableId, usize> = places.map(|(table, no)| (&table.id, no)).collect();
    let mut tasks = Vec::new();
    for source in context.manifest.chunks() {
        if let (true, Some(table_no)) = (
            tables.contains(&source.chunk.table),
            places.get(&source.chunk.table),
        ) {
            tasks.push(TakeOverTask {
                table_no: *table_no,
                source: source.clone(),
                attempt: tried(&source.chunk) + 1,
                kept: None,
            });
        }
    }
    let work = |context, task| async move { found(adopt(context, task).await) };
    let mut adopting = Box::pin(at_once(context, tasks, ADOPTED_AT_ONCE, &None, work));
    let mut adopted = loop {
        tokio::select! {
            adopted = &mut adopting => break adopted?,
            () = tokio::time::sleep(KEEP_ALIVE) => holder.keep_alive().await?,
        }
    };
    let mut chunks: HashMap<TableId, usize> = HashMap::new();
    for chunk in &adopted {
        *chunks.entry(chunk.chunk.table.clone()).or_default() += 1;
    }
    let is_whole = |table: &PlannedTable| chunks.get(&table.id) == Some(&table.chunks.len());
    let tables = context.plan.tables.iter();
    let whole: HashSet<&TableId> = tables.filter(|it| is_whole(it)).map(|it| &it.id).collect();
    adopted.retain(|chunk| whole.contains(&chunk.chunk.table));
    Ok(adopted)
}

/// Nothing where the chunk of the other run is damaged as far as can be seen without reading it.
fn found(adopted: Result<StoredChunk>) -> Result<Option<StoredChunk>> {
    match adopted {
        Err(failure)
            if matches!(
                failure.kind(),
                ErrorKind::ObjectMissing | ErrorKind::ChunkCorrupt
            ) =>
        {
            tracing::warn!(?failure, "a stored chunk cannot be used again");
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Whether the plan wants none of a table's rows.
fn is_emptied(table: &PlannedTable) -> bool {
    table.subset == Some(TableSubset::Empty)
}

#[derive(Clone)]
struct TakeOverTask {
    table_no: usize,
    source: StoredChunk,
    attempt: u32,
    /// What an earlier process has stored of it.
    kept: Option<StoredChunk>,
}

/// Does `work` on every task, so many at once; it may give nothing. The first failure stops the others
/// at their next safe point.
async fn at_once<F>(
    context: &TakeOver,
    tasks: Vec<TakeOverTask>,
    workers: usize,
    stored: &Option<mpsc::Sender<StoredChunk>>,
    work: impl Fn(TakeOver, TakeOverTask) -> F + Clone + Send + 'static,
) -> Result<Vec<StoredChunk>>
where
    F: Future<Output = Result<Option<StoredChunk>>> + Send,
{
    let (tasks, next) = (Arc::new(tasks), Arc::new(AtomicUsize::new(0)));
    let mut running = JoinSet::new();
    for _ in 0..workers.min(tasks.len()) {
        let (context, work, stored) = (context.clone(), work.clone(), stored.clone());
        let (tasks, next) = (tasks.clone(), next.clone());
        running.spawn(async move {
            let mut done = Vec::new();
            while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                context.stop.check()?;
                let is_new = task.kept.is_none();
                let table = &context.plan.tables[task.table_no].name;
                let id = task.source.chunk.clone();
                let chunk = work(context.clone(), task.clone())
                    .await
                    .map_err(|failure| {
                        failure.while_doing(format!("could not take over chunk {id} of {table}"))
                    })?;
                if let (true, Some(chunk), Some(stored)) = (is_new, &chunk, &stored) {
                    // A loader that has gone failed; its error is the one that will be told.
                    let _ = stored.send(chunk.clone()).await;
                }
                done.extend(chunk);
            }
            Ok::<_, Failure>(done)
        });
    }
    let mut all = Vec::new();
    let mut first: Option<Failure> = None;
    while let Some(joined) = running.join_next().await {
        let failure = match joined {
            Ok(Ok(done)) => {
                all.extend(done);
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(panic) => {
                let letter = "a worker that takes over chunks panicked";
                Failure::new(ErrorKind::Internal, letter).because(panic)
            }
        };
        context.stop.raise();
        if (first.as_ref()).is_none_or(|first| first.kind() == ErrorKind::Interrupted) {
            first = Some(failure);
        }
    }
    first.map_or(Ok(all), Err)
}

/// Takes a chunk over as it is.
async fn adopt(context: TakeOver, task: TakeOverTask) -> Result<StoredChunk> {
    let (table, source) = (&context.plan.tables[task.table_no], &task.source);
    let mut attempt = task.attempt;
    let key = loop {
        let key = object_key(table, source.chunk.no, attempt, source.codec);
        let adopted = context
            .store
            .adopt(&context.from, &source.key, &key, source.stored_bytes)
            .await;
        match adopted {
            Ok(()) => break key,
            // A process may have died after the object was there and before it was journalled.
            Err(failure) if failure.kind() == ErrorKind::ObjectExists => {
                attempt = next_number(attempt, failure)?;
            }
            Err(failure) => return Err(failure),
        }
    };
    let chunk = StoredChunk {
        key,
        attempt,
        masked: source.masked.clone().filter(|_| !table.masks.is_empty()),
        ..source.clone()
    };
    journal(&context, chunk).await
}

/// Masks a chunk from one folder into the other; of one that is stored already the values are noted
/// again.
async fn rewrite(context: TakeOver, task: TakeOverTask) -> Result<StoredChunk> {
    let table = &context.plan.tables[task.table_no];
    if let Some(kept) = task.kept {
        let digest = pump_stored(&context, table, &task.source, None).await?;
        if digest.rows != kept.digest {
            return Err(Failure::new(
                ErrorKind::ChunkCorrupt,
                format!(
                    "chunk {} is stored and masks differ from those it has",
                    kept.chunk
                ),
            )
            .hint("the key of masks is another one? begin the clone anew"));
        }
        context.events.advance(Stage::Export, kept.raw_bytes);
        return Ok(kept);
    }
    let codec = context.codec.choose();
    let mut attempt = task.attempt;
    loop {
        let key = object_key(table, task.source.chunk.no, attempt, codec);
        let stored = match ChunkWriter::create(&context.store, &key, codec).await {
            Ok(writer) => Box::pin(rewrite_into(&context, table, &task.source, writer)).await,
            Err(failure) => Err(failure),
        };
        let (written, digest) = match stored {
            Ok(stored) => stored,
            Err(failure) if failure.kind() == ErrorKind::ObjectExists => {
                attempt = next_number(attempt, failure)?;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        context.codec.learn(codec, &written.measured);
        let chunk = StoredChunk {
            chunk: task.source.chunk.clone(),
            attempt,
            key,
            codec: written.codec,
            raw_bytes: written.raw_bytes,
            raw_hash: written.raw_hash,
            stored_bytes: written.stored_bytes,
            stored_hash: written.stored_hash,
            digest: digest.rows,
            masked: digest.masked,
        };
        return journal(&context, chunk).await;
    }
}

async fn journal(context: &TakeOver, chunk: StoredChunk) -> Result<StoredChunk> {
    let entry = Entry::ChunkStored(chunk.clone());
    context.journal.append(entry).await?;
    context.events.advance(Stage::Export, chunk.raw_bytes);
    Ok(chunk)
}

async fn rewrite_into(
    context: &TakeOver,
    table: &PlannedTable,
    source: &StoredChunk,
    mut writer: ChunkWriter,
) -> Result<(towpath_store::ChunkWritten, StreamDigest)> {
    match pump_stored(context, table, source, Some(&mut writer)).await {
        Ok(digest) => Ok((writer.finish().await?, digest)),
        Err(failure) => {
            if let Err(abort) = writer.abort().await {
                tracing::warn!(?abort, "could not clear what was sent of a chunk");
            }
            Err(failure)
        }
    }
}

/// Reads a stored chunk to its proven end, masking and digesting rows and writing blocks.
async fn pump_stored(
    context: &TakeOver,
    table: &PlannedTable,
    source: &StoredChunk,
    mut writer: Option<&mut ChunkWriter>,
) -> Result<StreamDigest> {
    let mut blocks = Blocks::of(context, table, source).await?;
    let mut stream = Stream {
        cutter: Cutter::new(table.format, table.columns.len()),
        rows: Rows::new(&context.key, table, context.masking.as_ref())?,
        masked: Vec::new(),
    };
    while let Some(block) = blocks.next().await? {
        context.stop.check()?;
        let done;
        (stream, done) = masked(stream, block).await?;
        done?;
        if let Some(writer) = writer.as_deref_mut() {
            let block = std::mem::take(&mut stream.masked);
            stream.masked = writer.write(block).await?;
        }
        stream.masked.clear();
    }
    stream.cutter.end()?;
    let digest = stream.rows.finish()?;
    if digest.rows.rows != blocks.rows(source) {
        return Err(Failure::new(
            ErrorKind::Internal,
            format!(
                "{} rows were masked, {} are stored",
                digest.rows.rows,
                blocks.rows(source)
            ),
        ));
    }
    if let Some(masking) = &context.masking {
        masking.note_chunk(&source.chunk);
    }
    Ok(digest)
}

/// What a chunk is made of.
enum Blocks {
    /// Another run's chunk.
    Stored(Box<ChunkReader>),
    /// What COPY writes of no rows.
    Empty(Option<Bytes>),
}

impl Blocks {
    async fn of(context: &TakeOver, table: &PlannedTable, source: &StoredChunk) -> Result<Self> {
        Ok(match (is_emptied(table), table.format) {
            (false, _) => {
                let reader = ChunkReader::open(&context.from, source).await?;
                Self::Stored(Box::new(reader))
            }
            (true, Format::Binary) => Self::Empty(Some(Bytes::from_static(NO_ROWS))),
            (true, Format::Csv) => Self::Empty(None),
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Stored(reader) => reader.next().await,
            Self::Empty(block) => Ok(block.take()),
        }
    }

    /// How many rows there must be.
    fn rows(&self, source: &StoredChunk) -> u64 {
        match self {
            Self::Stored(_) => source.digest.rows,
            Self::Empty(_) => 0,
        }
    }
}

/// Rows on their way through the masks.
struct Stream {
    cutter: Cutter,
    rows: Rows,
    /// What is to be stored of the last block.
    masked: Vec<u8>,
}

/// Masks a block where it holds up nobody who waits for servers: milliseconds of nothing but work.
async fn masked(mut stream: Stream, block: Bytes) -> Result<(Stream, Result<()>)> {
    let work = move || {
        let Stream {
            cutter,
            rows,
            masked,
        } = &mut stream;
        let done = cutter.block(&block, |message| {
            masked.extend_from_slice(rows.take(message)?);
            Ok(())
        });
        (stream, done)
    };
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|panic| Failure::new(ErrorKind::Internal, "masking panicked").because(panic))
}
