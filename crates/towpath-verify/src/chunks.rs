//! Stored objects against the manifest: every byte, and every row counted and digested again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use towpath_model::custody::{ChunkLinks, Link};
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

/// What was seen of the stored chunks.
pub(crate) struct ChunkProof {
    /// Of every chunk of the manifest, in its order, which links hold.
    pub(crate) links: Vec<ChunkLinks>,
    /// What differs, in the same order.
    pub(crate) differences: Vec<Difference>,
}

/// What was seen of one: its place in the manifest, its links, and the difference that they are.
type Seen = (usize, ChunkLinks, Option<Difference>);

/// Checks every stored chunk.
pub(crate) async fn check(context: &VerifyContext) -> Result<ChunkProof> {
    let tables = context.manifest.tables.iter().enumerate();
    let places = tables.flat_map(|(table, it)| (0..it.chunks.len()).map(move |at| (table, at)));
    let planned = context.plan.tables.iter().enumerate();
    let work = Arc::new(Work {
        places: places.collect(),
        planned: planned.map(|(at, it)| (it.id.clone(), at)).collect(),
        next: AtomicUsize::new(0),
    });
    let count = work.places.len();
    let mut workers = JoinSet::new();
    for _ in 0..context.options.jobs.max(1).min(count) {
        workers.spawn(one_worker(context.clone(), work.clone()));
    }
    let mut links = vec![ChunkLinks::default(); count];
    let mut differences = BTreeMap::new();
    while let Some(joined) = workers.join_next().await {
        let found = joined.map_err(|panic| {
            Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                .because(panic)
        })?;
        for (at, seen, difference) in found? {
            links[at] = seen;
            differences.extend(difference.map(|difference| (at, difference)));
        }
    }
    Ok(ChunkProof {
        links,
        differences: differences.into_values().collect(),
    })
}

/// What the workers share.
struct Work {
    /// Table and chunk, by their places in the manifest.
    places: Vec<(usize, usize)>,
    /// Places of the tables in the plan.
    planned: HashMap<TableId, usize>,
    next: AtomicUsize,
}

async fn one_worker(context: VerifyContext, work: Arc<Work>) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    loop {
        let at = work.next.fetch_add(1, Ordering::Relaxed);
        let Some((table, place)) = work.places.get(at).copied() else {
            return Ok(seen);
        };
        context.stop.check()?;
        let chunk = &context.manifest.tables[table].chunks[place];
        let table = work.planned.get(&chunk.chunk.table).ok_or_else(|| {
            Failure::new(
                ErrorKind::DocumentCorrupt,
                format!(
                    "chunk {} of the manifest is of no planned table",
                    chunk.chunk
                ),
            )
        })?;
        let table = &context.plan.tables[*table];
        let (links, difference) = check_chunk(&context, table, chunk).await?;
        seen.push((at, links, difference));
        context.events.advance(Stage::Verify, chunk.raw_bytes);
    }
}

async fn check_chunk(
    context: &VerifyContext,
    table: &PlannedTable,
    chunk: &StoredChunk,
) -> Result<(ChunkLinks, Option<Difference>)> {
    let Some(object) = ObjectBytes::open(&context.store, chunk).await? else {
        let links = ChunkLinks {
            stored: Link::BROKEN,
            ..ChunkLinks::default()
        };
        let (chunk, key) = (chunk.chunk.clone(), chunk.key.clone());
        return Ok((links, Some(Difference::ChunkMissing { chunk, key })));
    };
    let (facts, rows) = read_whole(context, table, object).await?;
    Ok((links(chunk, &facts, rows), compare(chunk, &facts, rows)))
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

/// Each link by itself: an object that was packed anew has other bytes and the same rows.
fn links(chunk: &StoredChunk, facts: &ObjectFacts, rows: Option<RowDigest>) -> ChunkLinks {
    let raw = match facts.undecodable {
        Some(_) => Link::BROKEN,
        None => Link::compare(
            &(chunk.raw_bytes, chunk.raw_hash),
            &(facts.raw_bytes, facts.raw_hash),
        ),
    };
    ChunkLinks {
        stored: Link::compare(
            &(chunk.stored_bytes, chunk.stored_hash),
            &(facts.stored_bytes, facts.stored_hash),
        ),
        raw,
        rows: Link::compare(&Some(chunk.digest), &rows),
    }
}

/// The first link that broke, as a difference.
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
