//! One database that is read: in one snapshot, by workers that take piece after piece of its tables.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RowDigest;
use towpath_model::event::Stage;
use towpath_model::plan::PlannedTable;
use towpath_model::verification::Reading;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder};

use crate::buckets::{Bits, Buckets, Filter};
use crate::bytes_in::BytesIn;
use crate::held::{Aim, Party};
use crate::options::VerifyContext;
use crate::pushdown;
use crate::row_digest::RowHasher;
use crate::row_query::copy_statement;
use crate::row_stream::{Both, RowVisitor, each_row};
use crate::slices::{Slice, must_lift_row_security, slices};

/// How often the holder of the snapshot is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A database, its snapshot held.
pub(crate) struct OpenSide {
    holder: SnapshotHolder,
    pub(crate) reader: Arc<Reader>,
    /// The pieces of all tables.
    pub(crate) pieces: Vec<Slice>,
}

impl OpenSide {
    pub(crate) async fn open(
        context: &VerifyContext,
        url: &ConnectionUrl,
        side: Side,
    ) -> Result<Self> {
        let options = context.session_options(side, "verify-snapshot");
        let session = Session::connect(url, side, &options).await?;
        let mut holder = SnapshotHolder::take(session).await?;
        let pieces = slices(holder.session(), &context.plan.tables).await?;
        let reader = Arc::new(Reader {
            context: context.clone(),
            url: url.clone(),
            side,
            snapshot: holder.facts().id.clone(),
            idle: Mutex::new(Vec::new()),
            opened: AtomicUsize::new(0),
        });
        Ok(Self {
            holder,
            reader,
            pieces,
        })
    }

    /// The session that holds the snapshot.
    pub(crate) fn session(&mut self) -> &mut Session {
        self.holder.session()
    }

    /// The pieces of one table.
    pub(crate) fn pieces_of(&self, table_no: usize) -> Vec<Slice> {
        let pieces = self.pieces.iter();
        let of_table = pieces.filter(|piece| piece.table_no == table_no);
        of_table.cloned().collect()
    }

    /// Waits for work that needs the snapshot, and keeps it.
    pub(crate) async fn attend<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(KEEP_ALIVE) => self.holder.keep_alive().await?,
            }
        }
    }

    /// Lets the snapshot go.
    pub(crate) async fn close(self) -> Result<()> {
        self.reader.close().await;
        self.holder.release().await
    }
}

/// What is done with pieces.
#[derive(Clone)]
pub(crate) enum Look {
    /// They are digested; those that towpath reads itself are told to others, too.
    Digest(Arc<Reads>, Option<Arc<dyn Visits>>),
    /// The server digests them by bucket.
    DigestBuckets(Arc<Mutex<Buckets>>, Bits),
    /// Their rows are read a second time: where the server chooses them, those of a filter only.
    Rows {
        aim: Aim,
        party: Party,
        chosen_by_server: Option<Arc<Filter>>,
    },
}

/// Who has a visitor for every piece, to see the rows that are digested.
pub(crate) trait Visits: Send + Sync {
    /// The visitor of a piece of a table; nothing where its rows are of no use.
    fn visitor(self: Arc<Self>, table_no: usize) -> Option<Box<dyn RowVisitor>>;

    /// A piece of a table could not be read.
    fn refused(&self, table_no: usize, reason: String);
}

/// Reads a database in a snapshot.
pub(crate) struct Reader {
    context: VerifyContext,
    url: ConnectionUrl,
    side: Side,
    snapshot: String,
    /// Sessions that see the snapshot and have nothing to do.
    idle: Mutex<Vec<Session>>,
    opened: AtomicUsize,
}

struct Work {
    pieces: Vec<Slice>,
    next: AtomicUsize,
    look: Look,
}

/// Looks at pieces, as many at once as there are jobs.
pub(crate) async fn look(reader: Arc<Reader>, pieces: Vec<Slice>, look: Look) -> Result<()> {
    let jobs = reader.context.options.jobs.max(1).min(pieces.len());
    let work = Arc::new(Work {
        pieces,
        next: AtomicUsize::new(0),
        look,
    });
    let mut workers = JoinSet::new();
    for _ in 0..jobs {
        workers.spawn(one_worker(reader.clone(), work.clone()));
    }
    while let Some(joined) = workers.join_next().await {
        joined.map_err(|panic| {
            Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                .because(panic)
        })??;
    }
    Ok(())
}

async fn one_worker(reader: Arc<Reader>, work: Arc<Work>) -> Result<()> {
    let mut session = reader.session().await?;
    loop {
        let at = work.next.fetch_add(1, Ordering::Relaxed);
        let Some(piece) = work.pieces.get(at) else {
            break;
        };
        reader.context.stop.check()?;
        if let Err(failure) = reader.look_at(&mut session, piece, &work.look).await {
            work.look.refused(reader.side, piece, failure)?;
            // After a refused COPY the stream's state is not certain; begin afresh.
            session = reader.connect().await?;
        }
    }
    reader.give_back(session);
    Ok(())
}

impl Look {
    /// A table that cannot be read is a difference; anything else ends the verification.
    fn refused(&self, side: Side, piece: &Slice, failure: Failure) -> Result<()> {
        match (self, failure.kind()) {
            (Look::Digest(reads, others), ErrorKind::Source | ErrorKind::Target) => {
                let reason = format!("{failure:?}");
                if let Some(others) = others {
                    others.refused(piece.table_no, reason.clone());
                }
                reads.enter(side, piece.table_no, Err(reason));
                Ok(())
            }
            _ => Err(failure),
        }
    }
}

impl Reader {
    async fn connect(&self) -> Result<Session> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let options = (self.context).session_options(self.side, &format!("verify-{number}"));
        let mut session = Session::connect(&self.url, self.side, &options).await?;
        self.enter_snapshot(&mut session).await?;
        Ok(session)
    }

    async fn enter_snapshot(&self, session: &mut Session) -> Result<()> {
        session.begin_reading_snapshot(&self.snapshot).await?;
        session.use_search_path(self.search_path()).await
    }

    fn search_path(&self) -> &str {
        &self.context.plan.source.facts.search_path
    }

    /// A session that sees the snapshot. One that had nothing to do for long may be gone.
    async fn session(&self) -> Result<Session> {
        let idle = self.idle().pop();
        if let Some(mut session) = idle {
            let alive = session.execute("select 1");
            let alive = tokio::time::timeout(KEEP_ALIVE, alive).await;
            if matches!(alive, Ok(Ok(()))) {
                return Ok(session);
            }
        }
        self.connect().await
    }

    fn give_back(&self, session: Session) {
        self.idle().push(session);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close(&self) {
        let idle: Vec<Session> = self.idle().drain(..).collect();
        for session in idle {
            session.close().await;
        }
    }

    async fn look_at(&self, session: &mut Session, piece: &Slice, look: &Look) -> Result<()> {
        let table = &self.context.plan.tables[piece.table_no];
        if !must_lift_row_security(table, self.side) {
            return self.look_within(session, piece, look).await;
        }
        // Lifted for this transaction only, which is rolled back below.
        session.rollback().await?;
        session.begin_proving().await?;
        let name = table.name.quoted();
        session
            .execute(&format!("alter table {name} no force row level security"))
            .await?;
        session.use_search_path(self.search_path()).await?;
        self.look_within(session, piece, look).await?;
        session.rollback().await?;
        self.enter_snapshot(session).await
    }

    async fn look_within(&self, session: &mut Session, piece: &Slice, look: &Look) -> Result<()> {
        let key = &self.context.key;
        let table = &self.context.plan.tables[piece.table_no];
        let condition = piece.condition();
        match look {
            Look::Digest(reads, others) => {
                let (reading, bits) = reads.how(piece.table_no);
                let buckets = match reading {
                    Reading::Pushdown => {
                        let digest = pushdown::digest(key, session, table, &condition).await?;
                        Buckets::of(digest)
                    }
                    Reading::Stream => {
                        let buckets = Buckets::new(bits);
                        let mut hasher = RowHasher::handing_to(key.bytes(), buckets);
                        let others = others.clone().and_then(|it| it.visitor(piece.table_no));
                        let mut both = Both(&mut hasher, others);
                        self.stream(session, table, &condition, &mut both).await?;
                        hasher.finish()
                    }
                };
                let whole = reads.enter(self.side, piece.table_no, Ok(buckets));
                (self.context.events).advance(Stage::Verify, whole);
                Ok(())
            }
            Look::DigestBuckets(into, bits) => {
                let found =
                    pushdown::digest_buckets(key, session, table, &condition, *bits).await?;
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                into.add(&found);
                Ok(())
            }
            Look::Rows {
                aim,
                party,
                chosen_by_server,
            } => {
                let mut visitor = aim.visitor(key.bytes(), *party);
                let Some(filter) = chosen_by_server else {
                    return (self.stream(session, table, &condition, visitor.as_mut())).await;
                };
                let statement = pushdown::copy_statement(key, table, self.side, &condition, filter);
                stream(session, table, &statement, visitor.as_mut()).await
            }
        }
    }

    /// Tells a visitor of the rows of a table that meet a condition.
    async fn stream(
        &self,
        session: &mut Session,
        table: &PlannedTable,
        condition: &str,
        visitor: &mut dyn RowVisitor,
    ) -> Result<()> {
        let marker = self.context.key.null_marker();
        let statement = copy_statement(table, self.side, condition, &marker);
        stream(session, table, &statement, visitor).await
    }
}

async fn stream(
    session: &mut Session,
    table: &PlannedTable,
    statement: &str,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    let copy = session.copy_out(statement).await?;
    let columns = table.columns.len();
    each_row(&mut BytesIn::Server(copy), table.format, columns, visitor).await
}

/// What is known of every table so far, of both sides where both are read.
pub(crate) struct Reads {
    tables: Vec<Mutex<TableRead>>,
    /// Who is read: what is known of the tables is complete when they are.
    sides: Vec<Side>,
    /// Whether rows that differ will be looked for.
    locates: bool,
}

struct TableRead {
    reading: Reading,
    bits: Bits,
    /// Rows and digest that should be there.
    expected: RowDigest,
    /// Bytes exported.
    raw_bytes: u64,
    source: SideRead,
    target: SideRead,
}

/// What is known of one side of a table.
#[derive(Default)]
struct SideRead {
    /// Pieces that are not read yet.
    left: usize,
    /// Of the pieces read.
    found: Option<Buckets>,
    unreadable: Option<String>,
}

impl TableRead {
    fn side(&mut self, side: Side) -> &mut SideRead {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }
}

impl Reads {
    /// Nothing is read yet. `readings` tells who digests which table of the plan.
    pub(crate) fn new(
        context: &VerifyContext,
        sides: &[&OpenSide],
        readings: impl Fn(usize) -> Reading,
        locates: bool,
    ) -> Result<Self> {
        let mut tables = Vec::new();
        for table_no in 0..context.plan.tables.len() {
            let exported = context.exported(table_no)?;
            tables.push(TableRead {
                reading: readings(table_no),
                bits: match locates {
                    true => Bits::suiting(exported),
                    false => Bits::NONE,
                },
                expected: context.expected(table_no)?,
                raw_bytes: exported.raw_bytes,
                source: SideRead::default(),
                target: SideRead::default(),
            });
        }
        for side in sides {
            for piece in &side.pieces {
                tables[piece.table_no].side(side.reader.side).left += 1;
            }
        }
        Ok(Self {
            tables: tables.into_iter().map(Mutex::new).collect(),
            sides: sides.iter().map(|side| side.reader.side).collect(),
            locates,
        })
    }

    fn table(&self, table_no: usize) -> std::sync::MutexGuard<'_, TableRead> {
        let table = self.tables[table_no].lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }

    fn how(&self, table_no: usize) -> (Reading, Bits) {
        let table = self.table(table_no);
        (table.reading, table.bits)
    }

    /// Takes what was read of a piece; gives the bytes of the table, once all of it is read.
    fn enter(&self, side: Side, table_no: usize, read: Result<Buckets, String>) -> u64 {
        let table = &mut *self.table(table_no);
        let mine = table.side(side);
        match (read, &mut mine.found) {
            (Ok(found), None) => mine.found = Some(found),
            (Ok(found), Some(known)) => known.add(&found),
            (Err(reason), _) => mine.unreadable = Some(reason),
        }
        mine.left -= 1;
        let is_whole = self.sides.iter().all(|side| table.side(*side).left == 0);
        if !is_whole {
            return 0;
        }
        self.settle(table);
        table.raw_bytes
    }

    /// Buckets of a table that does not differ are of no use any more, and there may be many tables.
    fn settle(&self, table: &mut TableRead) {
        let expected = match self.sides.as_slice() {
            [_] => Some(table.expected),
            _ => table.source.found.as_ref().map(Buckets::total),
        };
        for side in &self.sides {
            let found = &mut table.side(*side).found;
            if let Some(found) = found
                && (!self.locates || Some(found.total()) == expected)
            {
                found.forget();
            }
        }
    }

    /// What was found of a table on a side that was read, or why it could not be.
    pub(crate) fn found(&self, side: Side, table_no: usize) -> Result<Buckets, String> {
        let table = &mut *self.table(table_no);
        let bits = table.bits;
        let mine = table.side(side);
        match mine.unreadable.take() {
            Some(reason) => Err(reason),
            None => Ok(mine.found.take().unwrap_or_else(|| Buckets::new(bits))),
        }
    }
}
