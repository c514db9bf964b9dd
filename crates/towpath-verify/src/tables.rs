//! Rows of a database against the manifest, read afresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RowDigest;
use towpath_model::event::Stage;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PlannedTable, RowSource};
use towpath_model::verification::{Difference, TableProof};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::bytes_in::BytesIn;
use crate::chunks::Digester;
use crate::locate::locate;
use crate::options::VerifyContext;
use crate::row_stream::{RowVisitor, each_row};

/// What was found on one side.
#[derive(Debug, Clone, Default)]
pub struct SideProof {
    /// Every table that could be read, with both digests.
    pub tables: Vec<TableProof>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Reads every table of one side and compares it with the manifest. On the target, rows that differ
/// are looked for; on a live source the digests alone tell that it moved on.
pub async fn prove_side(
    context: &VerifyContext,
    url: &ConnectionUrl,
    side: Side,
) -> Result<SideProof> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..context.options.jobs.max(1).min(context.plan.tables.len()) {
        workers.spawn(one_worker(
            context.clone(),
            url.clone(),
            side,
            number,
            next.clone(),
        ));
    }
    let mut proof = SideProof::default();
    while let Some(joined) = workers.join_next().await {
        let found = joined.map_err(|panic| {
            Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                .because(panic)
        })??;
        proof.tables.extend(found.tables);
        proof.differences.extend(found.differences);
    }
    proof.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(proof)
}

async fn one_worker(
    context: VerifyContext,
    url: ConnectionUrl,
    side: Side,
    number: usize,
    next: Arc<AtomicUsize>,
) -> Result<SideProof> {
    let mut options = context.options.session.clone();
    options.application_name = format!("towpath/{}/verify-{number}", context.plan.run);
    let mut session = Session::connect(&url, side, &options).await?;
    let mut proof = SideProof::default();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(table) = context.plan.tables.get(at) else {
            break;
        };
        context.stop.check()?;
        match read_digest(&context, &mut session, table).await {
            Ok(found) => prove_table(&context, &mut session, table, found, &mut proof).await?,
            Err(failure) if matches!(failure.kind(), ErrorKind::Source | ErrorKind::Target) => {
                proof.differences.push(Difference::TableUnreadable {
                    table: table.name.clone(),
                    reason: format!("{failure:?}"),
                });
                // After a refused COPY the stream's state is not certain; begin afresh.
                session = Session::connect(&url, side, &options).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
    session.close().await;
    Ok(proof)
}

async fn prove_table(
    context: &VerifyContext,
    session: &mut Session,
    table: &PlannedTable,
    found: RowDigest,
    proof: &mut SideProof,
) -> Result<()> {
    let exported = context
        .manifest
        .tables
        .iter()
        .find(|exported| exported.table == table.id)
        .ok_or_else(|| {
            Failure::new(
                ErrorKind::DocumentCorrupt,
                format!("the manifest does not hold table {}", table.name),
            )
        })?;
    let expected = exported.digest;
    context.events.advance(Stage::Verify, exported.raw_bytes);
    proof.tables.push(TableProof {
        table: table.name.clone(),
        expected,
        found,
    });
    if expected != found {
        let located = match session.side() {
            Side::Target => locate(context, session, table, exported).await?,
            Side::Source => Vec::new(),
        };
        proof.differences.push(Difference::Rows {
            table: table.name.clone(),
            expected,
            found,
            located,
        });
    }
    Ok(())
}

async fn read_digest(
    context: &VerifyContext,
    session: &mut Session,
    table: &PlannedTable,
) -> Result<RowDigest> {
    let mut digester = Digester {
        key: context.key.bytes(),
        digest: RowDigest::default(),
    };
    each_row_of(context, session, table, &mut digester).await?;
    Ok(digester.digest)
}

/// Tells a visitor of every row of a table of the server, in one transaction that changes nothing.
pub(crate) async fn each_row_of(
    context: &VerifyContext,
    session: &mut Session,
    table: &PlannedTable,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    let name = table.name.quoted();
    if table.force_row_security && session.side() == Side::Target {
        // The RDS master owns the table and has no BYPASSRLS: under FORCE even the owner would be
        // refused. Lifted for this transaction only, which is rolled back below.
        session.begin_proving().await?;
        session
            .execute(&format!("alter table {name} no force row level security"))
            .await?;
    } else {
        session.begin_reading().await?;
    }
    session
        .use_search_path(&context.plan.source.facts.search_path)
        .await?;
    let statement = copy_statement(table, session.side(), &context.key.null_marker());
    let copy = session.copy_out(&statement).await?;
    let columns = table.columns.len();
    each_row(&mut BytesIn::Server(copy), table.format, columns, visitor).await?;
    session.rollback().await
}

fn copy_statement(table: &PlannedTable, side: Side, null_marker: &str) -> String {
    let form = match table.format {
        Format::Binary => "format binary".to_owned(),
        Format::Csv => format!("format csv, null {}", quote_literal(null_marker)),
    };
    let query = match table.rows {
        RowSource::Table => rows_of_table(table, side),
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
