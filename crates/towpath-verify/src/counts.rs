//! How many rows every table of the target holds: a look that costs a scan and proves a number only.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Stage;
use towpath_model::plan::{PlannedTable, RowSource};
use towpath_model::verification::{Difference, TableCount};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder};

use crate::options::VerifyContext;
use crate::slices::must_lift_row_security;
use crate::tables::pages_of_large_objects;

/// How often the holder of the snapshot is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What was counted.
#[derive(Default)]
pub(crate) struct CountProof {
    /// Every table that could be counted, by name.
    pub(crate) counts: Vec<TableCount>,
    /// What differs.
    pub(crate) differences: Vec<Difference>,
}

/// Counts every table of the target, all in one snapshot, and compares with the manifest.
pub(crate) async fn check(context: &VerifyContext, target: &ConnectionUrl) -> Result<CountProof> {
    let session = connect(context, target, "verify-count-snapshot").await?;
    let mut holder = SnapshotHolder::take(session).await?;
    let counting = Arc::new(Counting {
        next: AtomicUsize::new(0),
        snapshot: holder.facts().id.clone(),
        target: target.clone(),
    });
    let mut workers = JoinSet::new();
    for number in 0..context.options.jobs.max(1).min(context.plan.tables.len()) {
        workers.spawn(one_worker(context.clone(), counting.clone(), number));
    }
    let mut proof = CountProof::default();
    loop {
        tokio::select! {
            joined = workers.join_next() => match joined {
                None => break,
                Some(joined) => {
                    let found = joined.map_err(|panic| {
                        Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                            .because(panic)
                    })??;
                    proof.counts.extend(found.counts);
                    proof.differences.extend(found.differences);
                }
            },
            () = tokio::time::sleep(KEEP_ALIVE) => holder.keep_alive().await?,
        }
    }
    holder.release().await?;
    proof.counts.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(proof)
}

/// What the workers share.
struct Counting {
    next: AtomicUsize,
    snapshot: String,
    target: ConnectionUrl,
}

async fn connect(context: &VerifyContext, target: &ConnectionUrl, name: &str) -> Result<Session> {
    let options = context.session_options(Side::Target, name);
    Session::connect(target, Side::Target, &options).await
}

async fn one_worker(
    context: VerifyContext,
    counting: Arc<Counting>,
    number: usize,
) -> Result<CountProof> {
    let connect = async || {
        let name = format!("verify-count-{number}");
        let mut session = connect(&context, &counting.target, &name).await?;
        enter_snapshot(&context, &mut session, &counting.snapshot).await?;
        Ok::<_, Failure>(session)
    };
    let mut session = connect().await?;
    let mut proof = CountProof::default();
    loop {
        let table_no = counting.next.fetch_add(1, Ordering::Relaxed);
        let Some(table) = context.plan.tables.get(table_no) else {
            break;
        };
        context.stop.check()?;
        let exported = context.exported(table_no)?;
        match count(&context, &counting, &mut session, table).await {
            Ok(found) => {
                let expected = context.expected(table_no)?.rows;
                let table = table.name.clone();
                if found != expected {
                    let table = table.clone();
                    proof.differences.push(Difference::Counts {
                        table,
                        expected,
                        found,
                    });
                }
                proof.counts.push(TableCount {
                    table,
                    expected,
                    found,
                });
            }
            Err(failure) if failure.kind() == ErrorKind::Target => {
                // The transaction is lost with the statement.
                session = connect().await?;
                proof.differences.push(Difference::TableUnreadable {
                    table: table.name.clone(),
                    reason: format!("{failure:?}"),
                });
            }
            Err(failure) => return Err(failure),
        }
        context.events.advance(Stage::Verify, exported.raw_bytes);
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

async fn count(
    context: &VerifyContext,
    counting: &Counting,
    session: &mut Session,
    table: &PlannedTable,
) -> Result<u64> {
    let statement = statement(table);
    if !must_lift_row_security(table, Side::Target) {
        return rows(session, &statement).await;
    }
    // Lifted for this transaction only, which is rolled back below.
    session.rollback().await?;
    session.begin_proving().await?;
    let lift = format!(
        "alter table {} no force row level security",
        table.name.quoted()
    );
    session.execute(&lift).await?;
    let search_path = &context.plan.source.facts.search_path;
    session.use_search_path(search_path).await?;
    let counted = rows(session, &statement).await?;
    session.rollback().await?;
    enter_snapshot(context, session, &counting.snapshot).await?;
    Ok(counted)
}

async fn rows(session: &mut Session, statement: &str) -> Result<u64> {
    let text = session.scalar(statement, &[]).await?;
    let number = text.as_deref().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Failure::new(ErrorKind::Internal, "a count is no number"))
}

/// What the manifest counts as a row: of large objects, a page.
fn statement(table: &PlannedTable) -> String {
    match table.rows {
        RowSource::Table => format!(
            "select pg_catalog.count(*)::pg_catalog.text from only {}",
            table.name.quoted()
        ),
        RowSource::LargeObjects { page_bytes } => format!(
            "select pg_catalog.count(*)::pg_catalog.text from ({}) as pages",
            pages_of_large_objects(page_bytes)
        ),
    }
}
