//! The ledger on the target: which chunks are in, which statements are done.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use towpath_model::manifest::StoredChunk;
use towpath_model::name::quote_literal;
use towpath_model::plan::Plan;
use towpath_model::{Result, RunId, TableId};
use towpath_postgres::Session;

use crate::catch_up::TableCaughtUp;

const CREATE: &str = "
create schema if not exists towpath;
revoke all on schema towpath from public;
create table if not exists towpath.run (
    run text primary key,
    plan_created_at text not null,
    began_at timestamptz not null default pg_catalog.now()
);
create table if not exists towpath.chunk (
    run text not null references towpath.run,
    table_id text not null,
    no int8 not null,
    attempt int8 not null,
    raw_hash text not null,
    rows int8 not null,
    digest text not null,
    loaded_at timestamptz not null default pg_catalog.now(),
    primary key (run, table_id, no)
);
create table if not exists towpath.large_object (
    run text not null references towpath.run,
    table_id text not null,
    no int8 not null,
    loid oid not null,
    primary key (run, loid)
);
create table if not exists towpath.step (
    run text not null references towpath.run,
    script text not null,
    no int8 not null,
    done_at timestamptz not null default pg_catalog.now(),
    primary key (run, script, no)
);
comment on schema towpath is 'Ledger of towpath: what was loaded into this database, and from which run.';
";

/// Who loaded the target, as far as its ledger tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadedBy {
    /// There is no ledger.
    Nobody,
    /// A run.
    Run(RunId),
}

/// Reads who loaded the target. Writes nothing.
pub async fn loaded_by(session: &mut Session) -> Result<LoadedBy> {
    let exists = session
        .scalar("select pg_catalog.to_regclass('towpath.run')::text", &[])
        .await?;
    if exists.is_none() {
        return Ok(LoadedBy::Nobody);
    }
    let run = session
        .scalar(
            "select run from towpath.run order by began_at desc limit 1",
            &[],
        )
        .await?;
    run.map_or(Ok(LoadedBy::Nobody), |run| run.parse().map(LoadedBy::Run))
}

/// Makes the ledger and enters the run, in the transaction that is open.
///
/// What is there of another run is forgotten: whoever calls this proves in the same transaction that
/// no row of it is left. A process of that run which is still at work cannot enter anything any
/// more, because its entries refer to its run, and so none of its rows are committed.
pub(crate) async fn enter_run(session: &mut Session, plan: &Plan) -> Result<()> {
    session.execute(CREATE).await?;
    for table in ["chunk", "large_object", "step", "run"] {
        let sql = format!("delete from towpath.{table} where run <> $1");
        session.execute_with(&sql, &[plan.run.as_str()]).await?;
    }
    session
        .execute_with(
            "insert into towpath.run (run, plan_created_at) values ($1, $2) on conflict do nothing",
            &[plan.run.as_str(), &plan.created_at],
        )
        .await
        .map(|_| ())
}

/// A chunk that is in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ChunkRow {
    pub(crate) table_id: String,
    pub(crate) no: u32,
    pub(crate) attempt: u32,
    pub(crate) raw_hash: String,
    pub(crate) rows: u64,
}

impl ChunkRow {
    /// Whether this row tells of exactly this stored chunk.
    pub(crate) fn is(&self, chunk: &StoredChunk) -> bool {
        self.table_id == chunk.chunk.table.as_str()
            && self.no == chunk.chunk.no
            && self.attempt == chunk.attempt
            && self.raw_hash == chunk.raw_hash.to_string()
    }
}

/// The chunks that are in.
pub(crate) async fn chunks(session: &mut Session, run: &RunId) -> Result<Vec<ChunkRow>> {
    session
        .fetch(
            "select table_id, no, attempt, raw_hash, rows from towpath.chunk where run = $1",
            &[run.as_str()],
        )
        .await
}

/// The chunks that are in, to be asked for one.
pub(crate) struct Entered(HashMap<String, HashMap<u32, ChunkRow>>);

impl Entered {
    pub(crate) fn of(rows: Vec<ChunkRow>) -> Self {
        let mut by_table: HashMap<String, HashMap<u32, ChunkRow>> = HashMap::new();
        for row in rows {
            let of_table = by_table.entry(row.table_id.clone()).or_default();
            of_table.insert(row.no, row);
        }
        Self(by_table)
    }

    /// Whether exactly this stored chunk is in.
    pub(crate) fn has(&self, chunk: &StoredChunk) -> bool {
        let of_table = self.0.get(chunk.chunk.table.as_str());
        of_table
            .and_then(|rows| rows.get(&chunk.chunk.no))
            .is_some_and(|row| row.is(chunk))
    }
}

/// Enters chunks and commits the transaction that has copied them. The primary key refuses a second
/// entry, and then nothing is committed: what follows an error in one message is not looked at
/// (PostgreSQL manual, "Multiple Statements in a Simple Query").
pub(crate) async fn commit_chunks(
    session: &mut Session,
    run: &RunId,
    chunks: &[StoredChunk],
) -> Result<()> {
    let rows: Vec<String> = chunks
        .iter()
        .map(|chunk| {
            format!(
                "({}, {}, {}, {}, {}, {}, {})",
                quote_literal(run.as_str()),
                quote_literal(chunk.chunk.table.as_str()),
                chunk.chunk.no,
                chunk.attempt,
                quote_literal(&chunk.raw_hash.to_string()),
                chunk.digest.rows,
                quote_literal(&chunk.digest.hex()),
            )
        })
        .collect();
    session
        .execute(&format!(
            "insert into towpath.chunk (run, table_id, no, attempt, raw_hash, rows, digest) values {};
             commit",
            rows.join(", ")
        ))
        .await
}

/// Makes room in the ledger for tables that are brought up to the source, in the transaction that is
/// open. Ledgers of earlier versions have none.
pub(crate) async fn open_caught_up(session: &mut Session) -> Result<()> {
    session
        .execute(
            "create table if not exists towpath.caught_up (
                 run text not null references towpath.run on delete cascade,
                 table_id text not null,
                 written int8 not null,
                 removed int8 not null,
                 times int8 not null default 1,
                 caught_up_at timestamptz not null default pg_catalog.now(),
                 primary key (run, table_id)
             )",
        )
        .await
}

/// Enters a table that was brought up to the source, in the transaction that did it: the chunks of
/// the table no longer tell what it holds.
pub(crate) async fn enter_caught_up(
    session: &mut Session,
    run: &RunId,
    table: &TableId,
    changes: &TableCaughtUp,
) -> Result<()> {
    session
        .execute_with(
            "insert into towpath.caught_up as c (run, table_id, written, removed)
             values ($1, $2, $3::int8, $4::int8)
             on conflict (run, table_id) do update
                set written = c.written + excluded.written,
                    removed = c.removed + excluded.removed,
                    times = c.times + 1,
                    caught_up_at = excluded.caught_up_at",
            &[
                run.as_str(),
                table.as_str(),
                &changes.written.to_string(),
                &changes.removed.to_string(),
            ],
        )
        .await
        .map(|_| ())
}

/// Forgets the chunks of a table, in the transaction that empties it.
pub(crate) async fn forget_table(session: &mut Session, run: &RunId, table: &str) -> Result<()> {
    session
        .execute_with(
            "delete from towpath.chunk where run = $1 and table_id = $2",
            &[run.as_str(), table],
        )
        .await
        .map(|_| ())
}

/// Enters the large objects that the staged chunk has made, in its transaction.
pub(crate) async fn enter_large_objects(
    session: &mut Session,
    run: &RunId,
    chunk: &StoredChunk,
) -> Result<()> {
    session
        .execute_with(
            "insert into towpath.large_object (run, table_id, no, loid)
             select distinct $1, $2, $3::int8, loid from pg_temp.towpath_large_object",
            &[
                run.as_str(),
                chunk.chunk.table.as_str(),
                &chunk.chunk.no.to_string(),
            ],
        )
        .await
        .map(|_| ())
}

/// Forgets some chunks of a table, in a transaction of its own.
pub(crate) async fn forget_chunks(
    session: &mut Session,
    run: &RunId,
    table: &str,
    chunks: &[u32],
) -> Result<()> {
    if chunks.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = chunks.iter().map(u32::to_string).collect();
    session
        .execute_with(
            "delete from towpath.chunk
              where run = $1 and table_id = $2 and no = any ($3::int8[])",
            &[run.as_str(), table, &format!("{{{}}}", list.join(","))],
        )
        .await
        .map(|_| ())
}

/// Takes away some large objects whose chunk is not in the ledger, and forgets them; gives how many
/// were forgotten. Somebody else may have unlinked them before.
pub(crate) async fn unlink_orphans(
    session: &mut Session,
    run: &RunId,
    table: &str,
    at_most: u32,
) -> Result<u64> {
    let found = session
        .scalar(
            "with orphan as (
                 select o.loid
                   from towpath.large_object o
                  where o.run = $1 and o.table_id = $2
                    and not exists (select from towpath.chunk c
                                     where c.run = o.run and c.table_id = o.table_id
                                       and c.no = o.no)
                  limit $3::int8
             ), forgotten as (
                 delete from towpath.large_object o
                  using orphan
                  where o.run = $1 and o.loid = orphan.loid
                 returning o.loid
             )
             select (pg_catalog.count(*)
                     + 0 * coalesce(pg_catalog.sum(pg_catalog.lo_unlink(m.oid)), 0))::text
               from forgotten f
               left join pg_catalog.pg_largeobject_metadata m on m.oid = f.loid",
            &[run.as_str(), table, &at_most.to_string()],
        )
        .await?;
    Ok(found.and_then(|count| count.parse().ok()).unwrap_or(0))
}

#[derive(Deserialize)]
struct StepRow {
    no: u32,
}

/// The statements of a script that are done.
pub(crate) async fn steps(
    session: &mut Session,
    run: &RunId,
    script: &str,
) -> Result<HashSet<u32>> {
    let rows: Vec<StepRow> = session
        .fetch(
            "select no from towpath.step where run = $1 and script = $2",
            &[run.as_str(), script],
        )
        .await?;
    Ok(rows.into_iter().map(|row| row.no).collect())
}

/// Forgets statements, in the transaction that takes their effect off.
pub(crate) async fn forget_steps(
    session: &mut Session,
    run: &RunId,
    script: &str,
    numbers: &[u32],
) -> Result<()> {
    let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    session
        .execute_with(
            "delete from towpath.step
              where run = $1 and script = $2 and no = any ($3::int8[])",
            &[run.as_str(), script, &format!("{{{}}}", list.join(","))],
        )
        .await
        .map(|_| ())
}

/// The statements of a script that this run has run itself: not those whose effect was there when it
/// began, which were entered in the very transaction that entered the run.
pub(crate) async fn own_steps(
    session: &mut Session,
    run: &RunId,
    script: &str,
) -> Result<HashSet<u32>> {
    let rows: Vec<StepRow> = session
        .fetch(
            "select s.no
               from towpath.step s
               join towpath.run r on r.run = s.run
              where s.run = $1 and s.script = $2 and s.done_at > r.began_at",
            &[run.as_str(), script],
        )
        .await?;
    Ok(rows.into_iter().map(|row| row.no).collect())
}

/// Enters statements, in the transaction that found their effect there.
pub(crate) async fn enter_steps(
    session: &mut Session,
    run: &RunId,
    script: &str,
    numbers: &[u32],
) -> Result<()> {
    session.execute(&entering(run, script, numbers)).await
}

/// The statement that enters statements, to be sent in the transaction that runs them; nothing when
/// there are none.
pub(crate) fn entering(run: &RunId, script: &str, numbers: &[u32]) -> String {
    if numbers.is_empty() {
        return String::new();
    }
    let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!(
        "insert into towpath.step (run, script, no)
         select {}, {}, n::int8 from pg_catalog.unnest(array[{}]) n",
        quote_literal(run.as_str()),
        quote_literal(script),
        list.join(", ")
    )
}
