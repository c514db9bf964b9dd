//! Loads chunks: one transaction each, ledger row included.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use towpath_model::event::Stage;
use towpath_model::failure::Retry;
use towpath_model::manifest::StoredChunk;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PlannedTable, RowSource};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;
use towpath_store::ChunkReader;

use crate::large_objects;
use crate::ledger::{self, ChunkRow};
use crate::options::LoadContext;

/// How often a chunk is tried when a connection breaks.
const ATTEMPTS: u32 = 6;

/// Loads every chunk that comes, until the sender is dropped. Chunks that are in the ledger are
/// skipped. Gives the number of chunks that are in afterwards, those skipped included.
pub async fn load_chunks(
    context: &LoadContext,
    chunks: mpsc::Receiver<StoredChunk>,
) -> Result<u64> {
    let mut session = context.connect("ledger").await?;
    let loaded = Arc::new(ledger::chunks(&mut session, &context.plan.run).await?);
    session.close().await;
    let chunks = Arc::new(Mutex::new(chunks));
    let mut workers = JoinSet::new();
    for number in 0..context.options.jobs.max(1) {
        workers.spawn(one_worker(
            context.clone(),
            number,
            chunks.clone(),
            loaded.clone(),
        ));
    }
    let mut total = 0;
    let mut first_failure: Option<Failure> = None;
    while let Some(joined) = workers.join_next().await {
        let failure = match joined {
            Ok(Ok(count)) => {
                total += count;
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(panic) => {
                Failure::new(ErrorKind::Internal, "a worker of the load panicked").because(panic)
            }
        };
        context.stop.raise();
        if first_failure
            .as_ref()
            .is_none_or(|first| first.kind() == ErrorKind::Interrupted)
        {
            first_failure = Some(failure);
        }
    }
    match first_failure {
        Some(failure) => Err(failure),
        None => Ok(total),
    }
}

async fn one_worker(
    context: LoadContext,
    number: usize,
    chunks: Arc<Mutex<mpsc::Receiver<StoredChunk>>>,
    loaded: Arc<Vec<ChunkRow>>,
) -> Result<u64> {
    let name = format!("{number}");
    let mut session = context.connect(&name).await?;
    let mut count = 0;
    loop {
        // The lock is held while waiting for the next chunk: whoever waits first gets it first.
        let Some(chunk) = chunks.lock().await.recv().await else {
            break;
        };
        context.stop.check()?;
        if !loaded.iter().any(|row| row.is(&chunk)) {
            let mut attempt = 1;
            while let Err(failure) = load_chunk(&context, &mut session, &chunk).await {
                if failure.kind().retry() == Retry::Never || attempt == ATTEMPTS {
                    return Err(failure
                        .while_doing(format!("could not load chunk {} into target", chunk.chunk)));
                }
                tracing::warn!(?failure, attempt, "trying again on a new connection");
                // About half a minute in all: what a failover takes to answer again.
                tokio::time::sleep(Duration::from_secs(1 << (attempt - 1))).await;
                attempt += 1;
                session = match context.connect(&name).await {
                    Ok(session) => session,
                    Err(_) if attempt < ATTEMPTS => continue,
                    Err(failure) => return Err(failure),
                };
                if is_loaded(&mut session, &context, &chunk).await? {
                    // The commit went through and its answer was lost.
                    break;
                }
            }
        }
        count += 1;
        context.events.advance(Stage::Load, chunk.raw_bytes);
    }
    session.close().await;
    Ok(count)
}

async fn is_loaded(
    session: &mut Session,
    context: &LoadContext,
    chunk: &StoredChunk,
) -> Result<bool> {
    let rows = ledger::chunks(session, &context.plan.run).await?;
    Ok(rows.iter().any(|row| row.is(chunk)))
}

async fn load_chunk(
    context: &LoadContext,
    session: &mut Session,
    chunk: &StoredChunk,
) -> Result<()> {
    let table = context.plan.table(&chunk.chunk.table).ok_or_else(|| {
        Failure::new(
            ErrorKind::Internal,
            format!("chunk {} is of no planned table", chunk.chunk),
        )
    })?;
    let mut reader = ChunkReader::open(&context.store, chunk).await?;
    session.begin_writing(context.search_path()).await?;
    let loaded = async {
        load_rows(context, session, &mut reader, table, chunk).await?;
        ledger::enter_chunk(session, &context.plan.run, chunk).await?;
        session.commit().await
    }
    .await;
    if loaded.is_err() {
        // The first failure is the one to tell; if even this fails, the server forgets by itself.
        let _ = session.rollback().await;
    }
    loaded
}

/// Brings the rows in, in the chunk's transaction.
async fn load_rows(
    context: &LoadContext,
    session: &mut Session,
    reader: &mut ChunkReader,
    table: &PlannedTable,
    chunk: &StoredChunk,
) -> Result<()> {
    let statement = match table.rows {
        RowSource::Table => copy_statement(table, context),
        RowSource::LargeObjects { .. } => {
            large_objects::stage(session).await?;
            large_objects::COPY.to_owned()
        }
    };
    let rows = copy_rows(session, reader, &statement).await?;
    if rows != chunk.digest.rows {
        return Err(Failure::new(
            ErrorKind::ChunkCorrupt,
            format!(
                "the target took {rows} rows, {} were exported",
                chunk.digest.rows
            ),
        )
        .at(context.store.describe(&chunk.key)));
    }
    match table.rows {
        RowSource::Table => Ok(()),
        RowSource::LargeObjects { .. } => {
            large_objects::make(session, &context.plan.run, chunk).await
        }
    }
}

/// Sends the chunk's bytes. The reader proves hashes and sizes before it says that it is at the
/// end; nothing is committed before that.
async fn copy_rows(
    session: &mut Session,
    reader: &mut ChunkReader,
    statement: &str,
) -> Result<u64> {
    let mut copy = session.copy_in(statement).await?;
    loop {
        match reader.next().await {
            Ok(Some(block)) => {
                if let Err(refusal) = copy.send(&block).await {
                    // The server may stumble over damage before the hash is known.
                    while reader.next().await?.is_some() {}
                    return Err(refusal);
                }
            }
            Ok(None) => return copy.finish().await,
            Err(failure) => {
                // Damage is the news, whatever the server says about the bytes it got.
                let _ = copy.abort("the stored chunk is damaged").await;
                return Err(failure);
            }
        }
    }
}

fn copy_statement(table: &PlannedTable, context: &LoadContext) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| quote_identifier(c)).collect();
    // A table without columns to copy takes no column list, not even an empty one.
    let columns = if columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", columns.join(", "))
    };
    let options = match table.format {
        Format::Binary => "format binary".to_owned(),
        Format::Csv => {
            format!(
                "format csv, null {}",
                quote_literal(&context.key.null_marker())
            )
        }
    };
    format!(
        "copy {}{columns} from stdin with ({options})",
        table.name.quoted()
    )
}
