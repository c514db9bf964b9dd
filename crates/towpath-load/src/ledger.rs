//! The ledger on the target: which chunks are in, which statements are done.

use serde::Deserialize;
use towpath_model::manifest::StoredChunk;
use towpath_model::plan::Plan;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;

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

/// Makes the ledger, and enters the run. A target that holds another run is refused.
pub(crate) async fn open(session: &mut Session, plan: &Plan) -> Result<()> {
    if let LoadedBy::Run(run) = loaded_by(session).await?
        && run != plan.run
    {
        return Err(Failure::new(
            ErrorKind::TargetNotEmpty,
            format!(
                "could not load run {}: the target was loaded by run {run}",
                plan.run
            ),
        )
        .hint(format!(
            "use another database, or clear this one with --replace {}",
            plan.target.facts.database
        )));
    }
    session.begin_writing("").await?;
    session.execute(CREATE).await?;
    session
        .execute_with(
            "insert into towpath.run (run, plan_created_at) values ($1, $2) on conflict do nothing",
            &[plan.run.as_str(), &plan.created_at],
        )
        .await?;
    session.commit().await
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

/// Enters a chunk, in the transaction that copies it. The primary key refuses a second entry.
pub(crate) async fn enter_chunk(
    session: &mut Session,
    run: &RunId,
    chunk: &StoredChunk,
) -> Result<()> {
    session
        .execute_with(
            "insert into towpath.chunk (run, table_id, no, attempt, raw_hash, rows, digest)
             values ($1, $2, $3::int8, $4::int8, $5, $6::int8, $7)",
            &[
                run.as_str(),
                chunk.chunk.table.as_str(),
                &chunk.chunk.no.to_string(),
                &chunk.attempt.to_string(),
                &chunk.raw_hash.to_string(),
                &chunk.digest.rows.to_string(),
                &chunk.digest.hex(),
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

#[derive(Deserialize)]
struct StepRow {
    no: u32,
}

/// The statements of a script that are done.
pub(crate) async fn steps(session: &mut Session, run: &RunId, script: &str) -> Result<Vec<u32>> {
    let rows: Vec<StepRow> = session
        .fetch(
            "select no from towpath.step where run = $1 and script = $2",
            &[run.as_str(), script],
        )
        .await?;
    Ok(rows.into_iter().map(|row| row.no).collect())
}

/// Enters a statement, in the transaction that ran it.
pub(crate) async fn enter_step(
    session: &mut Session,
    run: &RunId,
    script: &str,
    no: u32,
) -> Result<()> {
    session
        .execute_with(
            "insert into towpath.step (run, script, no) values ($1, $2, $3::int8)",
            &[run.as_str(), script, &no.to_string()],
        )
        .await
        .map(|_| ())
}
