//! Loads chunks: rows and ledger rows in one transaction, a big chunk or several small ones.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use towpath_model::event::{Stage, Unit};
use towpath_model::failure::Retry;
use towpath_model::manifest::StoredChunk;
use towpath_model::plan::PlannedTable;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;
use towpath_store::ChunkReader;

use crate::analysis;
use crate::board::Board;
use crate::build::build;
use crate::crew::{self, may_try_again, the_news};
use crate::early::Early;
use crate::ledger::{self, Entered};
use crate::options::LoadContext;
use crate::prepare::refuse_emptied;
use crate::rows;
use crate::script::POST_DATA;

/// Raw bytes of a chunk up to which it shares a transaction with others: the way to the server and
/// the commit cost more than the rows.
const SMALL: u64 = 1 << 20;

/// Chunks of one transaction at most.
const CHUNKS_TOGETHER: usize = 64;

/// Raw bytes of the small chunks of one transaction at most: they are in memory at once.
const BYTES_TOGETHER: u64 = 8 << 20;

/// What a load has done.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Chunks that are in, those of earlier processes included.
    pub chunks: u64,
    /// Tables whose statistics are those of all their rows.
    pub analysed: HashSet<QualifiedName>,
}

/// Loads every chunk that comes, until the sender is dropped. Chunks that are in the ledger are
/// skipped. What may come early is built on each table as soon as all its planned chunks are in.
pub async fn load_chunks(
    context: &LoadContext,
    early: Early,
    chunks: mpsc::Receiver<StoredChunk>,
) -> Result<Loaded> {
    let mut session = context.connect("ledger").await?;
    let run = &context.plan.run;
    let entered = Entered::of(ledger::chunks(&mut session, run).await?);
    let done = ledger::steps(&mut session, run, POST_DATA).await?;
    let parents = analysis::parents(&mut session).await?;
    session.close().await;
    let left = early.numbers.iter().filter(|no| !done.contains(no)).count();
    context
        .events
        .start(Stage::PostData, left as u64, Unit::Items);
    let jobs = context.options.jobs.max(1);
    let board = Arc::new(Board::new(
        &context.plan.tables,
        early,
        &done,
        &parents,
        jobs,
        context.options.target_processors,
    ));
    let shared = Arc::new(Shared {
        feed: Mutex::new(Feed {
            chunks,
            put_back: None,
        }),
        entered,
        board: board.clone(),
    });
    let mut workers = JoinSet::new();
    for number in 0..jobs {
        workers.spawn(one_worker(context.clone(), number, shared.clone()));
    }
    drop(shared);
    let copying = async {
        let counts = crew::join(workers, &context.stop).await;
        board.rows_are_in();
        counts
    };
    let (counts, built) = tokio::join!(copying, build(context, &board));
    match (counts, built) {
        (Ok(counts), Ok(())) => Ok(Loaded {
            chunks: counts.into_iter().sum(),
            analysed: board.analysed(),
        }),
        (Err(failure), Ok(())) | (Ok(_), Err(failure)) => Err(failure),
        (Err(first), Err(second)) => Err(the_news(first, second)),
    }
}

/// What the workers share.
struct Shared {
    feed: Mutex<Feed>,
    entered: Entered,
    board: Arc<Board>,
}

/// Chunks on their way to the workers.
struct Feed {
    chunks: mpsc::Receiver<StoredChunk>,
    /// Taken while a batch of small ones was gathered, and too big for it.
    put_back: Option<StoredChunk>,
}

impl Feed {
    /// The next chunk, and while it is small those that wait behind it; none at the end.
    async fn next(&mut self, is_small: impl Fn(&StoredChunk) -> bool) -> Vec<StoredChunk> {
        let first = match self.put_back.take() {
            Some(chunk) => Some(chunk),
            None => self.chunks.recv().await,
        };
        let Some(first) = first else {
            return Vec::new();
        };
        let mut bytes = first.raw_bytes;
        let gathers = is_small(&first);
        let mut batch = vec![first];
        while gathers && batch.len() < CHUNKS_TOGETHER {
            let Ok(chunk) = self.chunks.try_recv() else {
                break;
            };
            bytes += chunk.raw_bytes;
            if !is_small(&chunk) || bytes > BYTES_TOGETHER {
                self.put_back = Some(chunk);
                break;
            }
            batch.push(chunk);
        }
        batch
    }
}

async fn one_worker(context: LoadContext, number: usize, shared: Arc<Shared>) -> Result<u64> {
    let mut worker = Worker {
        name: format!("{number}"),
        session: None,
        context: &context,
        board: &shared.board,
    };
    let is_small = |chunk: &StoredChunk| {
        chunk.raw_bytes <= SMALL
            && worker_table(&context, &shared.board, chunk).is_ok_and(|table| table.rows.is_table())
    };
    let mut count = 0;
    loop {
        // The lock is held while waiting for the next chunk: whoever waits first gets it first.
        let batch = shared.feed.lock().await.next(is_small).await;
        if batch.is_empty() {
            break;
        }
        context.stop.check()?;
        count += batch.len() as u64;
        let (in_already, batch): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|chunk| shared.entered.has(chunk));
        worker.tell(&in_already);
        if !batch.is_empty() {
            worker.load(batch).await?;
        }
    }
    if let Some(session) = worker.session {
        session.close().await;
    }
    Ok(count)
}

fn worker_table<'c>(
    context: &'c LoadContext,
    board: &Board,
    chunk: &StoredChunk,
) -> Result<&'c PlannedTable> {
    let place = board.place(&chunk.chunk.table);
    place
        .and_then(|at| context.plan.tables.get(at))
        .ok_or_else(|| {
            Failure::new(
                ErrorKind::Internal,
                format!("chunk {} is of no planned table", chunk.chunk),
            )
        })
}

struct Worker<'c> {
    name: String,
    /// Nothing after a failure: whatever state the connection is in, a new one is in none.
    session: Option<Session>,
    context: &'c LoadContext,
    board: &'c Board,
}

/// Chunks that did not go in, and why.
struct Refused {
    failure: Failure,
    left: Vec<StoredChunk>,
}

impl Worker<'_> {
    /// Loads a batch. When one chunk is refused, the others go in one by one before the failure is
    /// told, with the name of the chunk.
    async fn load(&mut self, batch: Vec<StoredChunk>) -> Result<()> {
        let Err(refused) = self.load_together(batch).await else {
            return Ok(());
        };
        if refused.left.len() < 2 || refused.failure.kind().retry() == Retry::Later {
            return Err(refused.told());
        }
        let mut first: Option<Failure> = None;
        for chunk in refused.left {
            self.context.stop.check()?;
            if let Err(refused) = self.load_together(vec![chunk]).await {
                first.get_or_insert(refused.told());
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Loads chunks in one transaction: all of them are in or none is.
    async fn load_together(&mut self, mut left: Vec<StoredChunk>) -> Result<(), Refused> {
        let mut attempt = 1;
        loop {
            let Err(failure) = self.attempt(&mut left, attempt).await else {
                self.tell(&left);
                return Ok(());
            };
            if !may_try_again(&failure, attempt, &self.context.stop).await {
                return Err(Refused { failure, left });
            }
            attempt += 1;
        }
    }

    async fn attempt(&mut self, left: &mut Vec<StoredChunk>, attempt: u32) -> Result<()> {
        let context = self.context;
        let mut session = match self.session.take() {
            Some(session) => session,
            None => context.connect(&self.name).await?,
        };
        if attempt > 1 {
            refuse_emptied(&mut session, context).await?;
            // A commit may have gone through and its answer been lost.
            let entered = Entered::of(ledger::chunks(&mut session, &context.plan.run).await?);
            let (in_already, out): (Vec<_>, Vec<_>) =
                left.drain(..).partition(|chunk| entered.has(chunk));
            self.tell(&in_already);
            *left = out;
        }
        if !left.is_empty() {
            self.transact(&mut session, left).await?;
        }
        self.session = Some(session);
        Ok(())
    }

    async fn transact(&self, session: &mut Session, chunks: &[StoredChunk]) -> Result<()> {
        let context = self.context;
        let table = |chunk| worker_table(context, self.board, chunk);
        match chunks {
            [chunk] if chunk.raw_bytes > SMALL || !table(chunk)?.rows.is_table() => {
                let reader = ChunkReader::open(&context.store, chunk).await?;
                session.begin_writing(context.search_path()).await?;
                rows::stream(context, session, reader, table(chunk)?, chunk).await?;
            }
            _ => {
                let all = rows::read_all(context, chunks).await?;
                session.begin_writing(context.search_path()).await?;
                for (chunk, raw) in chunks.iter().zip(&all) {
                    rows::put(context, session, table(chunk)?, chunk, raw).await?;
                }
            }
        }
        ledger::commit_chunks(session, &context.plan.run, chunks).await
    }

    /// Tells of chunks that are in.
    fn tell(&self, chunks: &[StoredChunk]) {
        for chunk in chunks {
            self.board.is_in(&chunk.chunk);
            self.context.events.advance(Stage::Load, chunk.raw_bytes);
        }
    }
}

impl Refused {
    fn told(self) -> Failure {
        let others = match self.left.len() {
            0 | 1 => String::new(),
            several => format!(" and {} others", several - 1),
        };
        match self.left.first() {
            Some(chunk) if self.failure.kind() != ErrorKind::Interrupted => {
                let doing = format!("could not load chunk {}{others} into target", chunk.chunk);
                self.failure.while_doing(doing)
            }
            _ => self.failure,
        }
    }
}
