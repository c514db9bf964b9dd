//! Proof that a fence has stood ever since it was put up.
//!
//! What holds: a trigger that fires always lets no write pass, and its catalog row carries the
//! transaction that made it. Whoever switches it off, drops it or replaces its function leaves
//! another transaction there, also when he sets everything back as it was; so a row of the fence's own
//! transaction proves that the trigger was in force all the time. What goes around triggers is a
//! rewrite of the table (its file has another number then) and a partition that is attached.
//!
//! Triggers on tables of others do not fire for who sets `session_replication_role`. There rows are
//! looked at: none may come from a transaction after the fence's. Deleted rows are not seen that way;
//! they are counted by the statistics, which idle sessions deliver up to ten seconds late (fifteen
//! and later; `PGSTAT_IDLE_INTERVAL` in PostgreSQL), so a delete of just before the fence may be taken
//! for one of after it: the cutover is undone then, and nothing is lost.
//!
//! A superuser can deceive all of this; so can whoever waits for a system in which nothing is open.

use serde::Deserialize;
use towpath_model::cutover::Fence;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;

use crate::state;

#[derive(Deserialize)]
struct Problem {
    name: String,
    problem: String,
}

#[derive(Deserialize)]
struct WeakTable {
    name: String,
    quoted: String,
    xid: String,
    deleted: bool,
}

/// Proves it, or says what has changed.
pub async fn prove(session: &mut Session, run: &RunId, fence: &Fence) -> Result<()> {
    match state::find(session).await? {
        Some(found) if found.run == *run && found.fence.lsn == fence.lsn && !found.is_open => {}
        _ => return Err(broken("it is no longer there")),
    }
    let problems: Vec<Problem> = session.fetch(include_str!("sql/proof.sql"), &[]).await?;
    if let Some(first) = problems.first() {
        let more = match problems.len() {
            1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        return Err(broken(&format!("{} {}{more}", first.name, first.problem)));
    }
    for table in weak_tables(session).await? {
        if was_written(session, &table).await? {
            return Err(broken(&format!("{} was written to", table.name)));
        }
        if table.deleted {
            return Err(broken(&format!(
                "deletes from {} were counted, of after the fence or of seconds before",
                table.name
            )));
        }
    }
    Ok(())
}

fn broken(how: &str) -> Failure {
    Failure::new(
        ErrorKind::Blocked,
        format!("the fence on the source has not held: {how}"),
    )
    .hint("find who does that and stop it; then the same command begins again")
}

/// From version 15 on a transaction reads the statistics once unless told otherwise.
async fn weak_tables(session: &mut Session) -> Result<Vec<WeakTable>> {
    session
        .scalar("select pg_catalog.pg_stat_clear_snapshot()::text", &[])
        .await?;
    session
        .fetch(
            "select t.item ->> 'name' as name, t.item ->> 'quoted' as quoted, n.note ->> 'xid' as xid,
                    pg_catalog.pg_stat_get_tuples_deleted((t.item ->> 'oid')::oid)
                        > (t.item ->> 'deleted')::int8 as deleted
               from (select pg_catalog.obj_description(
                                pg_catalog.to_regprocedure('towpath_fence.refuse()'), 'pg_proc')::jsonb as note) n
              cross join lateral pg_catalog.jsonb_array_elements(n.note -> 'tables') as t (item)
              where t.item ->> 'strength' = 'weak'",
            &[],
        )
        .await
}

/// Frozen rows are infinitely old.
async fn was_written(session: &mut Session, table: &WeakTable) -> Result<bool> {
    let sql = format!(
        "select exists (
             select
             from only {} t
             where pg_catalog.age(t.xmin) < pg_catalog.age($1::pg_catalog.xid))::pg_catalog.text",
        table.quoted
    );
    let answer = session.scalar(&sql, &[&table.xid]).await?;
    Ok(answer.as_deref() != Some("false"))
}
