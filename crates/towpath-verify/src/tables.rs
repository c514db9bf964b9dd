//! Rows of a database against the manifest, read afresh.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RowDigest;
use towpath_model::event::Stage;
use towpath_model::manifest::ExportedTable;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PlannedTable, RowSource};
use towpath_model::verification::{Difference, TableProof};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder};

use crate::bytes_in::BytesIn;
use crate::locate::locate;
use crate::options::VerifyContext;
use crate::row_digest::RowDigester;
use crate::row_stream::{RowVisitor, each_row};
use crate::slices::{Slice, must_lift_row_security, slices};

/// What was found on one side.
#[derive(Debug, Clone, Default)]
pub struct SideProof {
    /// Every table that could be read, with both digests.
    pub tables: Vec<TableProof>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Reads every table of one side, all in one snapshot, and compares it with the manifest. On the
/// target, rows that differ are looked for; on a live source the digests alone tell that it moved on.
pub async fn prove_side(
    context: &VerifyContext,
    url: &ConnectionUrl,
    side: Side,
) -> Result<SideProof> {
    let session = connect(context, url, side, "snapshot").await?;
    let mut holder = SnapshotHolder::take(session).await?;
    let pieces = slices(holder.session(), &context.plan.tables).await?;
    let proving = Arc::new(Proving {
        states: TableState::of(&pieces, context.plan.tables.len()),
        pieces,
        next: AtomicUsize::new(0),
        snapshot: holder.facts().id.clone(),
        url: url.clone(),
        side,
    });
    let mut workers = JoinSet::new();
    for number in 0..context.options.jobs.max(1).min(proving.pieces.len()) {
        workers.spawn(one_worker(context.clone(), proving.clone(), number));
    }
    let mut proof = SideProof::default();
    loop {
        tokio::select! {
            joined = workers.join_next() => match joined {
                None => break,
                Some(joined) => {
                    let found = joined.map_err(|panic| {
                        Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                            .because(panic)
                    })??;
                    proof.tables.extend(found.tables);
                    proof.differences.extend(found.differences);
                }
            },
            () = tokio::time::sleep(KEEP_ALIVE) => holder.keep_alive().await?,
        }
    }
    holder.release().await?;
    proof.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(proof)
}

/// How often the holder of the snapshot is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What the workers share.
struct Proving {
    pieces: Vec<Slice>,
    next: AtomicUsize,
    states: Vec<Mutex<TableState>>,
    snapshot: String,
    url: ConnectionUrl,
    side: Side,
}

/// What is known of a table so far.
#[derive(Default)]
struct TableState {
    /// Pieces that are not read yet.
    left: usize,
    /// Of the pieces read.
    digest: RowDigest,
    unreadable: Option<String>,
}

impl TableState {
    fn of(pieces: &[Slice], tables: usize) -> Vec<Mutex<Self>> {
        let mut states: Vec<Self> = (0..tables).map(|_| Self::default()).collect();
        for piece in pieces {
            states[piece.table_no].left += 1;
        }
        states.into_iter().map(Mutex::new).collect()
    }

    /// Takes what was read of a piece; gives the whole table, if this was the last one.
    fn enter(&mut self, read: Result<RowDigest, String>) -> Option<Result<RowDigest, String>> {
        match read {
            Ok(digest) => self.digest.add(&digest),
            Err(reason) => {
                self.unreadable.get_or_insert(reason);
            }
        }
        self.left -= 1;
        (self.left == 0).then(|| self.unreadable.take().map_or(Ok(self.digest), Err))
    }
}

async fn connect(
    context: &VerifyContext,
    url: &ConnectionUrl,
    side: Side,
    name: &str,
) -> Result<Session> {
    let mut options = context.options.session.clone();
    options.application_name = format!("towpath/{}/verify-{name}", context.plan.run);
    Session::connect(url, side, &options).await
}

async fn one_worker(
    context: VerifyContext,
    proving: Arc<Proving>,
    number: usize,
) -> Result<SideProof> {
    let connect = async || {
        let name = number.to_string();
        let mut session = connect(&context, &proving.url, proving.side, &name).await?;
        enter_snapshot(&context, &mut session, &proving.snapshot).await?;
        Ok::<_, Failure>(session)
    };
    let mut session = connect().await?;
    let mut proof = SideProof::default();
    loop {
        let at = proving.next.fetch_add(1, Ordering::Relaxed);
        let Some(piece) = proving.pieces.get(at) else {
            break;
        };
        context.stop.check()?;
        let table = &context.plan.tables[piece.table_no];
        let read = match read_piece(&context, &proving, &mut session, piece).await {
            Ok(digest) => Ok(digest),
            Err(failure) if matches!(failure.kind(), ErrorKind::Source | ErrorKind::Target) => {
                // After a refused COPY the stream's state is not certain; begin afresh.
                session = connect().await?;
                Err(format!("{failure:?}"))
            }
            Err(failure) => return Err(failure),
        };
        let whole = proving.states[piece.table_no]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .enter(read);
        match whole {
            None => {}
            Some(Ok(found)) => {
                let differs = prove_table(&context, piece.table_no, found, &mut proof)?;
                if let Some(exported) = differs {
                    session.rollback().await?;
                    let located = match proving.side {
                        Side::Target => locate(&context, &mut session, table, exported).await?,
                        Side::Source => Vec::new(),
                    };
                    proof.differences.push(Difference::Rows {
                        table: table.name.clone(),
                        expected: exported.digest,
                        found,
                        located,
                    });
                    enter_snapshot(&context, &mut session, &proving.snapshot).await?;
                }
            }
            Some(Err(reason)) => proof.differences.push(Difference::TableUnreadable {
                table: table.name.clone(),
                reason,
            }),
        }
    }
    session.rollback().await?;
    session.close().await;
    Ok(proof)
}

async fn enter_snapshot(
    context: &VerifyContext,
    session: &mut Session,
    snapshot: &str,
) -> Result<()> {
    session.begin_reading_snapshot(snapshot).await?;
    let search_path = &context.plan.source.facts.search_path;
    session.use_search_path(search_path).await
}

/// Enters a table into the proof; gives what was exported of it if that is something else.
fn prove_table<'c>(
    context: &'c VerifyContext,
    table_no: usize,
    found: RowDigest,
    proof: &mut SideProof,
) -> Result<Option<&'c ExportedTable>> {
    let table = &context.plan.tables[table_no];
    let exported = context.exported(table_no)?;
    let expected = exported.digest;
    context.events.advance(Stage::Verify, exported.raw_bytes);
    proof.tables.push(TableProof {
        table: table.name.clone(),
        expected,
        found,
    });
    Ok((expected != found).then_some(exported))
}

async fn read_piece(
    context: &VerifyContext,
    proving: &Proving,
    session: &mut Session,
    piece: &Slice,
) -> Result<RowDigest> {
    let table = &context.plan.tables[piece.table_no];
    let mut digester = RowDigester::new(context.key.bytes());
    if must_lift_row_security(table, proving.side) {
        session.rollback().await?;
        each_row_of(context, session, table, &mut digester).await?;
        enter_snapshot(context, session, &proving.snapshot).await?;
    } else {
        let condition = piece.condition();
        visit(context, session, table, &condition, &mut digester).await?;
    }
    Ok(digester.finish())
}

/// Tells a visitor of every row of a table of the server, in one transaction that changes nothing.
pub(crate) async fn each_row_of(
    context: &VerifyContext,
    session: &mut Session,
    table: &PlannedTable,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    if must_lift_row_security(table, session.side()) {
        // Lifted for this transaction only, which is rolled back below.
        session.begin_proving().await?;
        let name = table.name.quoted();
        session
            .execute(&format!("alter table {name} no force row level security"))
            .await?;
    } else {
        session.begin_reading().await?;
    }
    session
        .use_search_path(&context.plan.source.facts.search_path)
        .await?;
    visit(context, session, table, "", visitor).await?;
    session.rollback().await
}

/// Tells a visitor of the rows of a table that meet a condition, in the transaction that is open.
async fn visit(
    context: &VerifyContext,
    session: &mut Session,
    table: &PlannedTable,
    condition: &str,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    let marker = context.key.null_marker();
    let statement = copy_statement(table, session.side(), condition, &marker);
    let copy = session.copy_out(&statement).await?;
    let columns = table.columns.len();
    each_row(&mut BytesIn::Server(copy), table.format, columns, visitor).await
}

fn copy_statement(table: &PlannedTable, side: Side, condition: &str, null_marker: &str) -> String {
    let form = match table.format {
        Format::Binary => "format binary".to_owned(),
        Format::Csv => format!("format csv, null {}", quote_literal(null_marker)),
    };
    let query = match table.rows {
        RowSource::Table => format!("{}{condition}", rows_of_table(table, side)),
        RowSource::LargeObjects { page_bytes } => pages_of_large_objects(page_bytes),
    };
    format!("copy ({query}) to stdout ({form})")
}

/// On the source, a column that was not exported as it is must be read as it was exported; on the
/// target it holds just that.
fn rows_of_table(table: &PlannedTable, side: Side) -> String {
    let column = |name: &String| match table.expressions.get(name) {
        Some(expression) if side == Side::Source => expression.clone(),
        _ => quote_identifier(name),
    };
    let list: Vec<String> = table.columns.iter().map(column).collect();
    format!(
        "select {} from only {}",
        list.join(","),
        table.name.quoted()
    )
}

/// Every page of every large object that is no hole, and the last page whatever it holds: its place
/// tells the object's size.
fn pages_of_large_objects(page_bytes: u32) -> String {
    format!(
        "with measured as (
             select opened.oid, opened.size, pg_catalog.lo_close(opened.fd) as closed
             from (
                 select found.oid, found.fd, pg_catalog.lo_lseek64(found.fd, 0, 2) as size
                 from (
                     select oid, pg_catalog.lo_open(oid, 262144) as fd
                     from pg_catalog.pg_largeobject_metadata
                     offset 0
                 ) as found
                 offset 0
             ) as opened
         )
         select oid, at * {page_bytes}, piece
         from (
             select m.oid, m.size, n.at,
                    pg_catalog.lo_get(m.oid, n.at * {page_bytes}, {page_bytes}) as piece
             from measured m,
                  generate_series(0, greatest((m.size - 1) / {page_bytes}, 0)) as n (at)
             where m.closed = 0
             offset 0
         ) as paged
         where pg_catalog.octet_length(pg_catalog.btrim(piece, '\\x00'::pg_catalog.bytea)) > 0
            or (at + 1) * {page_bytes} >= size"
    )
}
