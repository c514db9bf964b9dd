//! Rows of chunks into tables, in a transaction that the caller has begun.

use tokio::task::JoinSet;
use towpath_model::manifest::StoredChunk;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PlannedTable, RowSource};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;
use towpath_store::ChunkReader;

use crate::large_objects;
use crate::options::LoadContext;

/// Small chunks read from the store at once: a store far away takes as long for a kilobyte as for a
/// mebibyte.
const READ_AT_ONCE: usize = 8;

/// Copies a chunk as it comes from the store.
pub(crate) async fn stream(
    context: &LoadContext,
    session: &mut Session,
    mut reader: ChunkReader,
    table: &PlannedTable,
    chunk: &StoredChunk,
) -> Result<()> {
    match table.rows {
        RowSource::Table => {
            let statement = copy_statement(table, context);
            let rows = copy_stream(session, &mut reader, &statement).await?;
            refuse_other_count(context, chunk, rows)
        }
        RowSource::LargeObjects { .. } => {
            large_objects::stage(session).await?;
            let rows = copy_stream(session, &mut reader, large_objects::COPY).await?;
            refuse_other_count(context, chunk, rows)?;
            large_objects::make(session, &context.plan.run, chunk).await
        }
    }
}

/// Reads whole chunks, in order; the hashes and sizes of each are proven when this is done.
pub(crate) async fn read_all(
    context: &LoadContext,
    chunks: &[StoredChunk],
) -> Result<Vec<Vec<u8>>> {
    let mut all: Vec<Vec<u8>> = Vec::with_capacity(chunks.len());
    for window in chunks.chunks(READ_AT_ONCE) {
        let mut reading = JoinSet::new();
        for (at, chunk) in window.iter().cloned().enumerate() {
            let store = context.store.clone();
            reading.spawn(async move {
                let mut reader = ChunkReader::open(&store, &chunk).await?;
                let mut raw = Vec::new();
                while let Some(block) = reader.next().await? {
                    raw.extend_from_slice(&block);
                }
                Ok::<_, Failure>((at, raw))
            });
        }
        let first = all.len();
        all.resize(first + window.len(), Vec::new());
        while let Some(read) = reading.join_next().await {
            let (at, raw) = read.map_err(|panic| {
                Failure::new(ErrorKind::Internal, "a reader of the load panicked").because(panic)
            })??;
            all[first + at] = raw;
        }
    }
    Ok(all)
}

/// Copies a chunk that was read and proven.
pub(crate) async fn put(
    context: &LoadContext,
    session: &mut Session,
    table: &PlannedTable,
    chunk: &StoredChunk,
    raw: &[u8],
) -> Result<()> {
    // Nothing but an empty stream's framing; the bytes were proven.
    if chunk.digest.rows == 0 {
        return Ok(());
    }
    let mut copy = session.copy_in(&copy_statement(table, context)).await?;
    copy.send(raw).await?;
    let rows = copy.finish().await?;
    refuse_other_count(context, chunk, rows)
}

fn refuse_other_count(context: &LoadContext, chunk: &StoredChunk, rows: u64) -> Result<()> {
    if rows == chunk.digest.rows {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::ChunkCorrupt,
        format!(
            "the target took {rows} rows, {} were exported",
            chunk.digest.rows
        ),
    )
    .at(context.store.describe(&chunk.key)))
}

/// Sends the chunk's bytes. The reader proves hashes and sizes before it says that it is at the
/// end; nothing is committed before that.
async fn copy_stream(
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
