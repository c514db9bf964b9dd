//! Finds the rows that differ, in bounded memory.
//!
//! Whoever digested a table did so by buckets of its rows' hashes. Rows of the buckets that differ are
//! read a second time and held, of both sides, and what is there as often on either is let go. A
//! missing and an extra row of the same key are one changed row, and its columns are compared. Where
//! so much differs that only some of the buckets can be held, the other versions of the rows found are
//! looked for in a third reading.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use towpath_model::manifest::ExportedTable;
use towpath_model::verification::{Reading, RowDifference};
use towpath_model::{ErrorKind, Failure, Result};

use crate::buckets::{Bits, Buckets, Filter};
use crate::bytes_in::{BytesIn, ObjectBytes};
use crate::held::{Aim, Differing, Held, Party, Twins, rows_max};
use crate::options::VerifyContext;
use crate::row_digest::RowHasher;
use crate::row_fields::RowShape;
use crate::row_stream::each_row;
use crate::side::{Look, OpenSide, Reader, look};
use crate::slices::Slice;

/// What was located.
#[derive(Debug, Default)]
pub(crate) struct Located {
    pub(crate) rows: Vec<RowDifference>,
    /// Why these are not all.
    pub(crate) rest: Option<String>,
}

/// Pieces of a table and who reads them.
struct Pieces {
    reader: Arc<Reader>,
    pieces: Vec<Slice>,
}

impl Pieces {
    fn of(side: &OpenSide, table_no: usize) -> Self {
        Self {
            reader: side.reader.clone(),
            pieces: side.pieces_of(table_no),
        }
    }

    async fn look(&self, look_at: Look) -> Result<()> {
        look(self.reader.clone(), self.pieces.clone(), look_at).await
    }

    /// The server's own digests by bucket.
    async fn digest_buckets(&self, bits: Bits) -> Result<Buckets> {
        let into = Arc::new(Mutex::new(Buckets::new(bits)));
        self.look(Look::DigestBuckets(into.clone(), bits)).await?;
        let buckets = into.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(buckets.clone())
    }
}

/// Where the rows are that the target should hold.
enum Expected {
    Export,
    Source(Pieces),
}

struct Looker<'l> {
    context: &'l VerifyContext,
    table_no: usize,
    exported: &'l ExportedTable,
    shape: Arc<RowShape>,
    expected: Expected,
    found: Pieces,
    reading: Reading,
}

/// The rows that differ between the export and the target, at most as many as the options allow.
pub(crate) async fn against_export(
    context: &VerifyContext,
    target: &mut OpenSide,
    table_no: usize,
    found: &Buckets,
) -> Result<Located> {
    if context.expected(table_no)? != context.exported(table_no)?.digest {
        let rest = "the table was caught up behind a fence, and no chunk holds its rows; `--source live` names those that differ from the source";
        return Ok(Located {
            rows: Vec::new(),
            rest: Some(rest.to_owned()),
        });
    }
    let pieces = Pieces::of(target, table_no);
    let looker = Looker::new(context, table_no, Expected::Export, pieces)?;
    let work = async {
        match looker.exported_buckets(found.bits()).await? {
            Ok(expected) => looker.locate(&expected, found).await,
            Err(rest) => Ok(Located {
                rows: Vec::new(),
                rest: Some(rest),
            }),
        }
    };
    target.attend(told(work)).await
}

/// The same between the source and the target as they are now.
pub(crate) async fn between(
    context: &VerifyContext,
    source: &mut OpenSide,
    target: &mut OpenSide,
    table_no: usize,
    digests: (&Buckets, &Buckets),
    reading: Reading,
) -> Result<Located> {
    let expected = Expected::Source(Pieces::of(source, table_no));
    let found = Pieces::of(target, table_no);
    let mut looker = Looker::new(context, table_no, expected, found)?;
    looker.reading = reading;
    let work = async {
        match reading {
            Reading::Stream => looker.locate(digests.0, digests.1).await,
            Reading::Pushdown => looker.locate_by_servers().await,
        }
    };
    source.attend(target.attend(told(work))).await
}

/// That a server no longer answers takes nothing from what its digests have shown already.
async fn told(work: impl Future<Output = Result<Located>>) -> Result<Located> {
    match work.await {
        Err(failure) if matches!(failure.kind(), ErrorKind::Source | ErrorKind::Target) => {
            let rest = format!("the rows could not be read a second time: {failure:?}");
            Ok(Located {
                rows: Vec::new(),
                rest: Some(rest),
            })
        }
        other => other,
    }
}

impl<'l> Looker<'l> {
    fn new(
        context: &'l VerifyContext,
        table_no: usize,
        expected: Expected,
        found: Pieces,
    ) -> Result<Self> {
        let table = &context.plan.tables[table_no];
        Ok(Self {
            context,
            table_no,
            exported: context.exported(table_no)?,
            shape: Arc::new(RowShape::of(table, &context.key)),
            expected,
            found,
            reading: Reading::Stream,
        })
    }

    async fn locate_by_servers(&self) -> Result<Located> {
        let bits = Bits::suiting(self.exported);
        let Expected::Source(source) = &self.expected else {
            return Err(Failure::new(ErrorKind::Internal, "no source to digest"));
        };
        let (expected, found) =
            tokio::try_join!(source.digest_buckets(bits), self.found.digest_buckets(bits))?;
        self.locate(&expected, &found).await
    }

    async fn locate(&self, expected: &Buckets, found: &Buckets) -> Result<Located> {
        let row_bytes = self.exported.raw_bytes / self.exported.digest.rows.max(1);
        let differing = expected.differing(found);
        let rows_max = rows_max(row_bytes, self.shape.columns.len());
        let (filter, is_partial) = Filter::choose(expected.bits(), &differing, rows_max);
        let is_pushed = self.reading == Reading::Pushdown;
        let (filter, by_server) = match is_pushed {
            false => (Some(filter), None),
            true => (None, Some(Arc::new(filter))),
        };
        let held = Arc::new(Held::new(self.shape.clone(), filter));
        let aim = Aim::Hold(held.clone());
        tokio::try_join!(
            self.each_expected(&aim, by_server.clone()),
            self.each_found(&aim, by_server)
        )?;
        let (mut rows, count) = held.differing(self.context.options.max_differences);
        drop((held, aim));
        // Servers choose rows by their keys, so both versions are at hand.
        if is_partial && !is_pushed {
            self.find_twins(&mut rows).await?;
        }
        Ok(Located {
            rest: rest(rows.len(), count, is_partial),
            rows: self.told(&rows),
        })
    }

    fn told(&self, rows: &[Differing]) -> Vec<RowDifference> {
        let show_values = self.context.options.show_values;
        let rows = rows.iter().map(|row| row.told(&self.shape, show_values));
        let mut rows: Vec<RowDifference> = rows.collect();
        rows.sort_by(|a, b| (&a.key, a.how, &a.row).cmp(&(&b.key, b.how, &b.row)));
        rows
    }

    async fn find_twins(&self, rows: &mut [Differing]) -> Result<()> {
        for party in [Party::Expected, Party::Found] {
            let twins = Arc::new(Twins::lacking(&self.shape, rows, party));
            if twins.is_empty() {
                continue;
            }
            let aim = Aim::FindTwins(twins.clone());
            match party {
                Party::Expected => self.each_expected(&aim, None).await?,
                Party::Found => self.each_found(&aim, None).await?,
            }
            twins.join(rows, party);
        }
        Ok(())
    }

    async fn each_found(&self, aim: &Aim, chosen_by_server: Option<Arc<Filter>>) -> Result<()> {
        let rows = Look::Rows {
            aim: aim.clone(),
            party: Party::Found,
            chosen_by_server,
        };
        self.found.look(rows).await
    }

    async fn each_expected(&self, aim: &Aim, chosen_by_server: Option<Arc<Filter>>) -> Result<()> {
        match &self.expected {
            Expected::Source(source) => {
                let rows = Look::Rows {
                    aim: aim.clone(),
                    party: Party::Expected,
                    chosen_by_server,
                };
                source.look(rows).await
            }
            Expected::Export => {
                let bad = self.over_chunks(&ChunkAim::Rows(aim.clone())).await?;
                match bad {
                    0 => Ok(()),
                    bad => Err(Failure::new(ErrorKind::ChunkCorrupt, self.told_bad(bad))),
                }
            }
        }
    }

    /// Digests of the export by bucket, or why rows of it cannot be told.
    async fn exported_buckets(&self, bits: Bits) -> Result<Result<Buckets, String>> {
        let into = Arc::new(Mutex::new(Buckets::new(bits)));
        let bad = self
            .over_chunks(&ChunkAim::Digest(into.clone(), bits))
            .await?;
        if bad > 0 {
            return Ok(Err(self.told_bad(bad)));
        }
        let buckets = into.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Ok(buckets.clone()))
    }

    fn told_bad(&self, bad: usize) -> String {
        format!(
            "{bad} of {} stored chunks are not what the manifest says, so rows cannot be compared one by one; `towpath verify --chunks` names them",
            self.exported.chunks.len()
        )
    }

    /// Reads the stored chunks; gives how many of them are not what the manifest says.
    async fn over_chunks(&self, aim: &ChunkAim) -> Result<usize> {
        let work = Arc::new(ChunkWork {
            context: self.context.clone(),
            table_no: self.table_no,
            exported: self.exported.clone(),
            next: AtomicUsize::new(0),
            aim: aim.clone(),
        });
        let jobs = self.context.options.jobs.max(1);
        let mut workers = JoinSet::new();
        for _ in 0..jobs.min(self.exported.chunks.len()) {
            workers.spawn(chunk_worker(work.clone()));
        }
        let mut bad = 0;
        while let Some(joined) = workers.join_next().await {
            bad += joined.map_err(|panic| {
                Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                    .because(panic)
            })??;
        }
        Ok(bad)
    }
}

fn rest(told: usize, count: usize, is_partial: bool) -> Option<String> {
    let more = count - told;
    match (is_partial, more) {
        (true, _) => Some("more rows differ: only some of them were looked at".to_owned()),
        (false, 0) => None,
        (false, 1) => Some("1 more row differs".to_owned()),
        (false, more) => Some(format!("{more} more rows differ")),
    }
}

/// What is done with stored chunks.
#[derive(Clone)]
enum ChunkAim {
    Digest(Arc<Mutex<Buckets>>, Bits),
    Rows(Aim),
}

struct ChunkWork {
    context: VerifyContext,
    table_no: usize,
    exported: ExportedTable,
    next: AtomicUsize,
    aim: ChunkAim,
}

async fn chunk_worker(work: Arc<ChunkWork>) -> Result<usize> {
    let mut bad = 0;
    loop {
        let at = work.next.fetch_add(1, Ordering::Relaxed);
        if at >= work.exported.chunks.len() {
            return Ok(bad);
        }
        work.context.stop.check()?;
        match read_chunk(&work, at).await {
            Ok(true) => {}
            Ok(false) => bad += 1,
            Err(failure) if failure.kind() == ErrorKind::ChunkCorrupt => bad += 1,
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the chunk is there and, where that is looked at, holds the rows that it should.
async fn read_chunk(work: &ChunkWork, at: usize) -> Result<bool> {
    let chunk = &work.exported.chunks[at];
    let table = &work.context.plan.tables[work.table_no];
    let Some(object) = ObjectBytes::open(&work.context.store, chunk).await? else {
        return Ok(false);
    };
    let mut source = BytesIn::Object(Box::new(object));
    let (columns, key) = (table.columns.len(), work.context.key.bytes());
    match &work.aim {
        ChunkAim::Rows(aim) => {
            let mut visitor = aim.visitor(key, Party::Expected);
            each_row(&mut source, table.format, columns, visitor.as_mut()).await?;
            Ok(true)
        }
        ChunkAim::Digest(into, bits) => {
            let mut hasher = RowHasher::handing_to(key, Buckets::new(*bits));
            each_row(&mut source, table.format, columns, &mut hasher).await?;
            let buckets = hasher.finish();
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(&buckets);
            Ok(buckets.total() == chunk.digest)
        }
    }
}
