//! Large objects: through a staging table, so that a chunk is one COPY and one transaction like any
//! other.
//!
//! A chunk makes each of its objects under the source's OID and fills it page by page. Which objects
//! it made stands in the ledger, in the same transaction: nothing else may ever be taken away, for
//! objects carry no name by which to tell whose they are.

use towpath_model::manifest::StoredChunk;
use towpath_model::plan::PlannedTable;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;

use crate::ledger::{self, ChunkRow};
use crate::options::LoadContext;

/// Where the pages of a chunk arrive. Pages are incompressible or will be compressed where they go.
const STAGE: &str = "create temporary table towpath_large_object (
    loid pg_catalog.oid not null,
    start pg_catalog.int8 not null,
    data pg_catalog.bytea storage external not null
) on commit drop";

/// The same for servers that do not know `storage` in `create table` (before 16).
const STAGE_BEFORE_16: &str = "create temporary table towpath_large_object (
    loid pg_catalog.oid not null,
    start pg_catalog.int8 not null,
    data pg_catalog.bytea not null
) on commit drop;
alter table pg_temp.towpath_large_object alter column data set storage external";

/// The COPY into the staging table.
pub(crate) const COPY: &str =
    "copy pg_temp.towpath_large_object (loid, start, data) from stdin with (format binary)";

const TAKEN: &str = "select s.loid::pg_catalog.text
   from pg_temp.towpath_large_object s
   join pg_catalog.pg_largeobject_metadata m on m.oid = s.loid
  order by s.loid limit 1";

const MAKE: &str = "select pg_catalog.lo_create(made.loid)
   from (select distinct loid from pg_temp.towpath_large_object) as made";

/// Pages that are not there were holes, and reading a hole gives zeroes.
const FILL: &str = "select pg_catalog.lo_put(loid, start, data) from pg_temp.towpath_large_object";

/// Objects taken away in one transaction: each needs a lock of its own, and the server's table of
/// locks is small (PostgreSQL manual, `max_locks_per_transaction`).
const UNLINKED_AT_ONCE: u32 = 500;

/// Makes the staging table, in the chunk's transaction.
pub(crate) async fn stage(session: &mut Session) -> Result<()> {
    let sql = if session.version_num() >= 160_000 {
        STAGE
    } else {
        STAGE_BEFORE_16
    };
    session.execute(sql).await
}

/// Makes and fills the objects of the staged chunk and enters them, in the chunk's transaction.
pub(crate) async fn make(session: &mut Session, run: &RunId, chunk: &StoredChunk) -> Result<()> {
    if let Some(oid) = session.scalar(TAKEN, &[]).await? {
        return Err(Failure::new(
            ErrorKind::TargetNotEmpty,
            format!("large object {oid} is on the target already, and not of this run"),
        )
        .hint("find out who made it; unlink it there, or use another database"));
    }
    session.execute(MAKE).await?;
    session.execute(FILL).await?;
    ledger::enter_large_objects(session, run, chunk).await
}

/// Takes away what chunks have made that do not count: those that are not among `known`, and those
/// whose own undoing was cut off. Says whether a chunk was forgotten.
pub(crate) async fn reset(
    context: &LoadContext,
    session: &mut Session,
    table: &PlannedTable,
    entered: &[&ChunkRow],
    known: &[StoredChunk],
) -> Result<bool> {
    let run = &context.plan.run;
    let stale: Vec<u32> = entered
        .iter()
        .filter(|row| !known.iter().any(|chunk| row.is(chunk)))
        .map(|row| row.no)
        .collect();
    // First the word that the chunk is in, then its objects, some at a time: whatever dies in
    // between, no chunk counts as loaded whose objects are gone.
    ledger::forget_chunks(session, run, table.id.as_str(), &stale).await?;
    loop {
        context.stop.check()?;
        session.begin_writing("").await?;
        let unlinked =
            ledger::unlink_orphans(session, run, table.id.as_str(), UNLINKED_AT_ONCE).await?;
        session.commit().await?;
        if unlinked == 0 {
            return Ok(!stale.is_empty());
        }
    }
}

/// Takes away every large object that the login owns, for a clearing of the whole target.
pub(crate) async fn unlink_all(session: &mut Session) -> Result<()> {
    let sql = format!(
        "select pg_catalog.count(pg_catalog.lo_unlink(m.oid))::pg_catalog.text
           from (select oid
                   from pg_catalog.pg_largeobject_metadata
                  where pg_catalog.pg_has_role(lomowner, 'USAGE')
                  limit {UNLINKED_AT_ONCE}) as m"
    );
    while session.scalar(&sql, &[]).await?.as_deref() != Some("0") {}
    Ok(())
}
