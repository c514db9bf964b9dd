//! Stored objects against the manifest: every byte, and every row counted and digested again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use towpath_model::digest::RowDigest;
use towpath_model::event::Stage;
use towpath_model::manifest::StoredChunk;
use towpath_model::plan::PlannedTable;
use towpath_model::verification::Difference;
use towpath_model::{ErrorKind, Failure, Result, TableId};

use crate::bytes_in::{BytesIn, ObjectBytes, ObjectFacts};
use crate::options::VerifyContext;
use crate::row_digest::RowDigester;
use crate::row_stream::each_row;

/// Checks every stored chunk; gives how many, and what differs.
pub(crate) async fn check(context: &VerifyContext) -> Result<(u64, Vec<Difference>)> {
    let chunks: Arc<Vec<StoredChunk>> = Arc::new(context.manifest.chunks().cloned().collect());
    let tables = context.plan.tables.iter().enumerate();
    let places: Arc<HashMap<TableId, usize>> =
        Arc::new(tables.map(|(at, table)| (table.id.clone(), at)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..context.options.jobs.max(1).min(chunks.len()) {
        workers.spawn(one_worker(
            context.clone(),
            chunks.clone(),
            places.clone(),
            next.clone(),
        ));
    }
    let mut differences = Vec::new();
    while let Some(joined) = workers.join_next().await {
        let found = joined.map_err(|panic| {
            Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                .because(panic)
        })?;
        differences.extend(found?);
    }
    Ok((chunks.len() as u64, differences))
}

async fn one_worker(
    context: VerifyContext,
    chunks: Arc<Vec<StoredChunk>>,
    places: Arc<HashMap<TableId, usize>>,
    next: Arc<AtomicUsize>,
) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(chunk) = chunks.get(at) else {
            return Ok(differences);
        };
        context.stop.check()?;
        let table = places.get(&chunk.chunk.table).ok_or_else(|| {
            Failure::new(
                ErrorKind::DocumentCorrupt,
                format!(
                    "chunk {} of the manifest is of no planned table",
                    chunk.chunk
                ),
            )
        })?;
        let table = &context.plan.tables[*table];
        differences.extend(check_chunk(&context, table, chunk).await?);
        context.events.advance(Stage::Verify, chunk.raw_bytes);
    }
}

async fn check_chunk(
    context: &VerifyContext,
    table: &PlannedTable,
    chunk: &StoredChunk,
) -> Result<Option<Difference>> {
    let Some(object) = ObjectBytes::open(&context.store, chunk).await? else {
        let (chunk, key) = (chunk.chunk.clone(), chunk.key.clone());
        return Ok(Some(Difference::ChunkMissing { chunk, key }));
    };
    let (facts, rows) = read_whole(context, table, object).await?;
    Ok(compare(chunk, &facts, rows))
}

/// Reads an object to its end, whatever its rows look like; rows are nothing when they could not be
/// told apart.
async fn read_whole(
    context: &VerifyContext,
    table: &PlannedTable,
    object: ObjectBytes,
) -> Result<(ObjectFacts, Option<RowDigest>)> {
    let mut source = BytesIn::Object(Box::new(object));
    let mut digester = RowDigester::new(context.key.bytes());
    let columns = table.columns.len();
    let framed = each_row(&mut source, table.format, columns, &mut digester).await;
    let rows = match framed {
        Ok(()) => Some(digester.finish()),
        Err(failure) if failure.kind() == ErrorKind::ChunkCorrupt => None,
        Err(failure) => return Err(failure),
    };
    while source.next().await?.is_some() {}
    let BytesIn::Object(object) = source else {
        return Err(Failure::new(
            ErrorKind::Internal,
            "an object became a server",
        ));
    };
    Ok((object.facts(), rows))
}

fn compare(
    chunk: &StoredChunk,
    facts: &ObjectFacts,
    rows: Option<RowDigest>,
) -> Option<Difference> {
    let differs = |link: &str, expected: String, found: String| {
        Some(Difference::ChunkCorrupt {
            chunk: chunk.chunk.clone(),
            key: chunk.key.clone(),
            link: link.to_owned(),
            expected,
            found,
        })
    };
    let sized = |bytes: u64, hash: &dyn std::fmt::Display| format!("{bytes} bytes, blake3 {hash}");
    if (facts.stored_bytes, facts.stored_hash) != (chunk.stored_bytes, chunk.stored_hash) {
        return differs(
            "stored bytes",
            sized(chunk.stored_bytes, &chunk.stored_hash),
            sized(facts.stored_bytes, &facts.stored_hash),
        );
    }
    if let Some(why) = &facts.undecodable {
        return differs("compression", "a Zstandard frame".to_owned(), why.clone());
    }
    if (facts.raw_bytes, facts.raw_hash) != (chunk.raw_bytes, chunk.raw_hash) {
        return differs(
            "raw bytes",
            sized(chunk.raw_bytes, &chunk.raw_hash),
            sized(facts.raw_bytes, &facts.raw_hash),
        );
    }
    let told = |digest: &RowDigest| format!("{} rows, digest {}", digest.rows, digest.hex());
    match rows {
        Some(digest) if digest == chunk.digest => None,
        Some(digest) => differs("rows", told(&chunk.digest), told(&digest)),
        None => differs(
            "rows",
            told(&chunk.digest),
            "rows that cannot be told apart".to_owned(),
        ),
    }
}
