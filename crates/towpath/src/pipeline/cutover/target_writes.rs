//! What the target has accepted since consumers came.
//!
//! Four ways to know, the cheap ones first. Transaction ids: when none was assigned since, nothing was
//! written at all. Statistics: rows counted there were written. Statistics again: when they count
//! nothing and no session can hold a count back, nothing was written. Rows: each carries the id of the
//! transaction that wrote it, and as many as there were must be there still. A managed server writes
//! by itself, so ids that have moved on prove nothing either way.

use std::time::Duration;

use serde::Deserialize;
use towpath_model::connection::Side;
use towpath_model::cutover::Baseline;
use towpath_model::plan::PlannedTable;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;
use towpath_store::{RunStore, read_journal};
use towpath_verify::open_manifest;

use crate::context::Context;
use crate::run_files::StoredPlan;
use crate::run_state::RunState;

/// Patience with a target that perhaps is gone: whoever goes back wants to be gone from it.
const CONNECT: Duration = Duration::from_secs(5);

/// How long rows may be looked at. What takes longer is not known: a way back takes seconds.
const LOOK: &str = "5s";

/// Bytes of tables up to which their rows are looked at.
const LOOKED_AT_MAX: u64 = 4 << 30;

/// Tables looked at in one statement.
const TOGETHER: usize = 50;

/// How long a session without work may hold its counts back: since 15, ten seconds
/// (`PGSTAT_IDLE_INTERVAL` in `pgstat.c`), and one more for the way. Before, until it works again.
pub const HELD_BACK_MS: u64 = 11_000;

/// How often, and how many times, the sessions of this run are waited for: they have counts too.
const GOODBYE: Duration = Duration::from_millis(100);
const GOODBYES: u32 = 50;

/// What was accepted since a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Proven: no row of any table was written since.
    Nothing,
    /// At least so many rows; 0 when transactions have written, no table of the run is known to hold
    /// a row of theirs, and it could not be proven that none does.
    AtLeast(u64),
}

/// Tables of the database that are no extension's and not towpath's own, and large objects.
const TABLES: &str = "
    select c.oid, c.relname, pg_catalog.pg_relation_filenode(c.oid) as file
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relpersistence <> 't' and n.nspname <> 'towpath'
       and (c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            or c.oid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass)
       and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                          and d.objid = c.oid and d.deptype = 'e')";

#[derive(Deserialize)]
struct Snapshot {
    xmin: String,
    xmax: String,
    at_ms: u64,
}

#[derive(Deserialize)]
struct Counter {
    oid: u32,
    rows: u64,
}

#[derive(Deserialize)]
struct Shape {
    reset: String,
    tables: String,
    files: String,
}

/// What the target says of itself.
struct Counts {
    counters: Vec<Counter>,
    shape: Shape,
}

async fn connect(context: &Context, name: &str) -> Result<Session> {
    let mut options = context.session_options(Side::Target, name);
    options.connect_timeout = options.connect_timeout.min(CONNECT);
    let mut session = Session::connect(&context.url(Side::Target)?, Side::Target, &options).await?;
    session.execute("set statement_timeout = '10s'").await?;
    Ok(session)
}

async fn snapshot(session: &mut Session) -> Result<Snapshot> {
    session
        .fetch_one(
            "select pg_catalog.pg_snapshot_xmin(s)::pg_catalog.text as xmin,
                    pg_catalog.pg_snapshot_xmax(s)::pg_catalog.text as xmax,
                    (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8 as at_ms
               from pg_catalog.pg_current_snapshot() as s",
            &[],
        )
        .await
}

async fn counts(session: &mut Session) -> Result<Counts> {
    let counters = session
        .fetch(
            &format!(
                "select t.oid::pg_catalog.int8 as oid,
                        s.n_tup_ins + s.n_tup_upd + s.n_tup_del as rows
                   from ({TABLES}) as t
                   join pg_catalog.pg_stat_all_tables s on s.relid = t.oid
                  where s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0"
            ),
            &[],
        )
        .await?;
    let shape = session
        .fetch_one(
            &format!(
                "select coalesce((select stats_reset::pg_catalog.text
                                    from pg_catalog.pg_stat_database
                                   where datname = pg_catalog.current_database()), '') as reset,
                        pg_catalog.md5(coalesce(pg_catalog.string_agg(
                            t.oid::pg_catalog.text, ' ' order by t.oid), '')) as tables,
                        pg_catalog.md5(coalesce(pg_catalog.string_agg(
                            pg_catalog.concat(t.oid, ':', t.file), ' ' order by t.oid), '')) as files
                   from ({TABLES}) as t"
            ),
            &[],
        )
        .await?;
    Ok(Counts { counters, shape })
}

/// Takes the baseline: counters before the snapshot, so that a write in between is counted later.
pub async fn baseline(context: &Context, plan: &StoredPlan) -> Result<Baseline> {
    let mut session = connect(context, "towpath/baseline").await?;
    wait_for_goodbyes(&mut session, &format!("towpath/{}/", plan.plan.run)).await?;
    let Counts { counters, shape } = counts(&mut session).await?;
    let snapshot = snapshot(&mut session).await?;
    session.close().await;
    Ok(Baseline {
        xid: snapshot.xmin,
        written: counters.into_iter().map(|it| (it.oid, it.rows)).collect(),
        reset: shape.reset,
        tables: shape.tables,
        files: shape.files,
        at_ms: snapshot.at_ms,
    })
}

/// A session leaves its counts when it ends, and it ends a little later than its connection. Who does
/// not end in time makes more rows look accepted than were, never less.
async fn wait_for_goodbyes(session: &mut Session, prefix: &str) -> Result<()> {
    for _ in 0..GOODBYES {
        let left = session
            .scalar(
                "select 'left' from pg_catalog.pg_stat_activity
                  where datname = pg_catalog.current_database()
                    and pid <> pg_catalog.pg_backend_pid()
                    and pg_catalog.starts_with(application_name, $1)
                  limit 1",
                &[prefix],
            )
            .await?;
        if left.is_none() {
            break;
        }
        tokio::time::sleep(GOODBYE).await;
    }
    Ok(())
}

/// What was accepted since.
pub async fn since(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    baseline: &Baseline,
) -> Result<Accepted> {
    let mut session = connect(context, "towpath/accepted").await?;
    let now = snapshot(&mut session).await?;
    if now.xmax == baseline.xid {
        session.close().await;
        return Ok(Accepted::Nothing);
    }
    // Before the counters: who is quiet now has left its counts already.
    let is_quiet = is_quiet(&mut session).await?;
    let counts = counts(&mut session).await?;
    let rows = counted(&counts.counters, baseline);
    if rows > 0 {
        session.close().await;
        return Ok(Accepted::AtLeast(rows));
    }
    let shape = &counts.shape;
    let are_counts_whole = shape.reset == baseline.reset && shape.files == baseline.files;
    if is_quiet && are_counts_whole {
        session.close().await;
        return Ok(Accepted::Nothing);
    }
    if shape.tables != baseline.tables {
        session.close().await;
        return Ok(Accepted::AtLeast(0));
    }
    let looked = Box::pin(look(&mut session, store, plan, baseline)).await;
    session.close().await;
    match looked {
        Ok(accepted) => Ok(accepted),
        // Too long, or a table that may not be read: not known.
        Err(failure) if failure.kind() == ErrorKind::Target => {
            tracing::warn!(?failure, "could not look at the rows of the target");
            Ok(Accepted::AtLeast(0))
        }
        Err(failure) => Err(failure),
    }
}

/// Rows that the statistics have counted since. A counter that has gone down was reset since, and what
/// it counts has come later still.
fn counted(counters: &[Counter], baseline: &Baseline) -> u64 {
    let before = |oid| baseline.written.get(&oid).copied().unwrap_or(0);
    counters
        .iter()
        .map(|it| it.rows.checked_sub(before(it.oid)).unwrap_or(it.rows))
        .sum()
}

/// Rows that the statistics have counted since, and the time on the target; for who watches. A count
/// comes up to a second after its commit, and up to ten when its session has nothing more to do.
pub async fn seen(session: &mut Session, baseline: &Baseline) -> Result<(u64, u64)> {
    let counts = counts(session).await?;
    let now = snapshot(session).await?;
    Ok((counted(&counts.counters, baseline), now.at_ms))
}

/// A session to the target for [`seen`].
pub async fn watching(context: &Context) -> Result<Session> {
    connect(context, "towpath/watch").await
}

/// Whether no session of others can hold a count back. Whoever cannot be looked at may.
async fn is_quiet(session: &mut Session) -> Result<bool> {
    if session.version_num() < 150_000 {
        return Ok(false);
    }
    let busy = session
        .scalar(
            &format!(
                "select 'busy' from pg_catalog.pg_stat_activity
                  where datname = pg_catalog.current_database()
                    and pid <> pg_catalog.pg_backend_pid()
                    and backend_type <> 'autovacuum worker'
                    and (state is distinct from 'idle'
                         or state_change is null
                         or state_change > pg_catalog.clock_timestamp()
                                           - interval '{HELD_BACK_MS} milliseconds')
                  limit 1"
            ),
            &[],
        )
        .await?;
    let counts = session
        .scalar("select pg_catalog.current_setting('track_counts')", &[])
        .await?;
    Ok(busy.is_none() && counts.as_deref() == Some("on"))
}

#[derive(Deserialize)]
struct Found {
    at: usize,
    rows: u64,
    new: u64,
}

/// Looks at every row of the tables of the run: whether it was written by a later transaction, and
/// whether as many are there as were.
async fn look(
    session: &mut Session,
    store: &RunStore,
    plan: &StoredPlan,
    baseline: &Baseline,
) -> Result<Accepted> {
    let tables = &plan.plan.tables;
    let bytes: u64 = tables.iter().map(|table| table.bytes).sum();
    if bytes > LOOKED_AT_MAX || tables.iter().any(|table| !table.rows.is_table()) {
        return Ok(Accepted::AtLeast(0));
    }
    let manifest = open_manifest(store, &plan.plan, plan.hash, None).await?;
    let state = RunState::of(&read_journal(store).await?);
    let expected = |table: &PlannedTable| {
        let since = state.caught_up.iter().find(|it| it.table == table.id);
        let exported = manifest.tables.iter().find(|it| it.table == table.id);
        let digest = since
            .map(|it| it.digest)
            .or(exported.map(|exported| exported.digest));
        digest.map_or(0, |digest| digest.rows)
    };
    let xid: u64 = baseline.xid.parse().map_err(|cause| {
        Failure::new(ErrorKind::Internal, "a transaction id is no number").because(cause)
    })?;
    session.begin_reading().await?;
    // Even to count rows the planner looks into functions of indexes, whose bodies name no schema.
    session
        .use_search_path(&plan.plan.source.facts.search_path)
        .await?;
    session
        .execute(&format!("set local statement_timeout = '{LOOK}'"))
        .await?;
    let began = std::time::Instant::now();
    let mut accepted = 0;
    for (batch_no, batch) in tables.chunks(TOGETHER).enumerate() {
        if began.elapsed() > Duration::from_secs(5) {
            return Ok(Accepted::AtLeast(accepted));
        }
        for found in session.fetch::<Found>(&looking(batch, xid), &[]).await? {
            let table = &tables[batch_no * TOGETHER + found.at];
            let old = found.rows.saturating_sub(found.new);
            accepted += found.new.max(expected(table).saturating_sub(old));
        }
    }
    session.rollback().await?;
    Ok(match accepted {
        0 => Accepted::Nothing,
        rows => Accepted::AtLeast(rows),
    })
}

/// Ids wrap around, so they are compared by age. `age` counts from one id within a transaction; a row
/// that looks younger than that was frozen long ago.
fn looking(tables: &[PlannedTable], xid: u64) -> String {
    let wrapped = xid % (1 << 32);
    let each: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| {
            format!(
                "select {at} as at, pg_catalog.count(*) as rows,
                        pg_catalog.count(*) filter (
                            where pg_catalog.age(t.xmin) between 0
                              and pg_catalog.age('{wrapped}'::pg_catalog.xid)) as new
                   from only {} as t",
                table.name.quoted()
            )
        })
        .collect();
    each.join(" union all ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_went_down_hides_no_other() {
        let baseline = Baseline {
            xid: "7".to_owned(),
            written: [(1, 100), (2, 5)].into(),
            reset: String::new(),
            tables: String::new(),
            files: String::new(),
            at_ms: 0,
        };
        let counter = |oid, rows| Counter { oid, rows };
        let rows = |counters: &[Counter]| counted(counters, &baseline);
        assert_eq!(rows(&[counter(1, 100), counter(2, 5)]), 0);
        assert_eq!(rows(&[counter(1, 3), counter(2, 7)]), 5);
        assert_eq!(rows(&[counter(9, 4)]), 4, "a table that is new");
    }
}
