//! Putting a fence up: one transaction, tried a few times.

use serde::Deserialize;
use serde_json::Value;
use towpath_model::cutover::{Fence, FenceMode};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::holder::Waiting;
use crate::install::TableNote;
use crate::lock::{self, InTheWay};
use crate::options::FenceOptions;
use crate::state::Note;
use crate::tables::{self, Strength, Table};
use crate::{install, lift, state};

/// A fence that was put up.
pub struct Up {
    /// The fence.
    pub fence: Fence,
    /// Who keeps clients waiting, where they wait.
    pub waiting: Option<Waiting>,
}

/// Puts a fence up. None of this run may stand: [`state::find`] first.
///
/// # Errors
///
/// [`ErrorKind::Blocked`] when locks do not come, a table cannot be fenced and was not accepted, or
/// the source is fenced already. Nothing is left on the source then. [`ErrorKind::Connect`] says
/// nothing of what is there: the answer to the commit may be lost.
pub async fn put_up(options: &FenceOptions) -> Result<Up> {
    let mut session = options.connect("fence").await?;
    let mut watcher = options.connect("fence-watch").await?;
    make_way(&mut session).await?;
    let pid = session
        .scalar("select pg_catalog.pg_backend_pid()::pg_catalog.text", &[])
        .await?
        .unwrap_or_default();
    for attempt in 1.. {
        options.stop.check()?;
        match once(&mut session, &mut watcher, &pid, options).await? {
            Ok((fence, key)) => {
                session.commit().await?;
                watcher.close().await;
                let waiting = match options.mode {
                    FenceMode::Refuse => {
                        session.close().await;
                        None
                    }
                    FenceMode::Wait => Some(Waiting::hold(session, key, options.max_wait)),
                };
                return Ok(Up { fence, waiting });
            }
            Err(in_the_way) => {
                session.rollback().await?;
                lock::pause(attempt, in_the_way, options).await?;
            }
        }
    }
    Err(Failure::new(ErrorKind::Internal, "nothing was attempted"))
}

/// What another fence has left behind is cleared away; one that stands is not.
async fn make_way(session: &mut Session) -> Result<()> {
    let Some(found) = state::find(session).await? else {
        return Ok(());
    };
    if !found.is_open {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!("the source is fenced by run {} already", found.run),
        )
        .hint(format!(
            "end that cutover, or `towpath unfence {}`",
            found.run
        )));
    }
    let left = lift::clear(session).await?;
    if left == 0 {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        "what is left of an earlier fence could not be cleared away: its tables are in use",
    )
    .hint("end long transactions on the source; the same command tries again"))
}

/// Where the source was when nobody could write any more.
#[derive(Deserialize)]
struct Moment {
    lsn: String,
    at_ms: u64,
    xid: String,
}

async fn once(
    session: &mut Session,
    watcher: &mut Session,
    pid: &str,
    options: &FenceOptions,
) -> Result<Result<(Fence, i32), InTheWay>> {
    session.execute(install::BEGIN).await?;
    let tables = tables::read(session, options).await?;
    let key = key(session).await?;
    let schema = install::schema(&options.run, options.mode, key, &options.message);
    session
        .execute(&schema)
        .await
        .map_err(|failure| failure.while_doing("could not make the schema of the fence"))?;
    if options.mode == FenceMode::Wait {
        let hold = "select pg_catalog.pg_advisory_lock($1::int4, $2::int4)::text";
        let class = install::LOCK_CLASS.to_string();
        session.scalar(hold, &[&class, &key.to_string()]).await?;
    }
    let locks = lock::statement(fenced(&tables).filter(|table| table.may_lock));
    // The right to make a trigger is not the right to lock; making it takes the same lock.
    let unlockable = fenced(&tables).filter(|table| !table.may_lock);
    let sql: Vec<String> = locks
        .into_iter()
        .chain(unlockable.map(install::triggers))
        .collect();
    if !sql.is_empty()
        && let Err(in_the_way) =
            lock::patiently(session, watcher, pid, &sql.join(";\n"), options).await?
    {
        return Ok(Err(in_the_way));
    }
    let moment = moment(session).await?;
    if changed(&tables, &tables::read(session, options).await?) {
        return Err(Failure::new(
            ErrorKind::Blocked,
            "tables were made, dropped or attached while the fence was put up",
        )
        .hint("stop migrations of the schema, then the same command tries again"));
    }
    // Every lock is held from here on.
    let rest: Vec<String> = fenced(&tables)
        .filter(|table| table.may_lock)
        .map(install::triggers)
        .collect();
    let mut all = vec!["set local statement_timeout = 0".to_owned()];
    all.extend(rest);
    session
        .execute(&all.join(";\n"))
        .await
        .map_err(|failure| failure.while_doing("could not make the triggers of the fence"))?;
    let fence = fence(&tables, moment, session, options, key).await?;
    Ok(Ok((fence, key)))
}

/// Earlier fences had other keys: clients that they let pass may still share theirs.
async fn key(session: &mut Session) -> Result<i32> {
    let sql = "select (pg_catalog.txid_current() % 2147483647)::pg_catalog.text";
    let text = session.scalar(sql, &[]).await?.unwrap_or_default();
    text.parse().map_err(|cause| {
        Failure::new(ErrorKind::Internal, "a transaction has no id").because(cause)
    })
}

/// The insert position, not the flushed one: a commit's record is inserted before its locks are
/// given back (`CommitTransaction` in PostgreSQL), so every commit that wrote to a fenced table is
/// before this, whether it was flushed (`synchronous_commit = off`) or not. The clock is read when
/// the last lock was granted: no later commit has written there.
async fn moment(session: &mut Session) -> Result<Moment> {
    session
        .fetch_one(
            "select pg_catalog.pg_current_wal_insert_lsn()::text as lsn,
                    pg_catalog.floor(extract(epoch from pg_catalog.clock_timestamp()) * 1000)::int8 as at_ms,
                    (pg_catalog.txid_current() % 4294967296)::text as xid",
            &[],
        )
        .await
        .map_err(|failure| failure.while_doing("could not read the position of the fence"))
}

fn fenced(tables: &[Table]) -> impl Iterator<Item = &Table> {
    tables
        .iter()
        .filter(|table| table.strength() != Strength::Open)
}

fn changed(before: &[Table], after: &[Table]) -> bool {
    let oids = |tables: &[Table]| -> Vec<u32> { tables.iter().map(|table| table.oid).collect() };
    oids(before) != oids(after)
}

async fn fence(
    tables: &[Table],
    moment: Moment,
    session: &mut Session,
    options: &FenceOptions,
    key: i32,
) -> Result<Fence> {
    let weak: Vec<QualifiedName> = tables
        .iter()
        .filter(|table| table.strength() == Strength::Weak)
        .map(Table::name)
        .collect();
    let fence = Fence {
        lsn: moment.lsn,
        at_ms: moment.at_ms,
        mode: options.mode,
        tables: fenced(tables).count() as u64,
        weak,
        open: tables::open(tables, options),
    };
    let note = Note {
        version: state::VERSION,
        run: options.run.to_string(),
        is_open: false,
        key,
        xid: moment.xid,
        fence: fence.clone(),
        tables: table_notes(tables, session).await?,
    };
    session.execute(&install::note(&note.text()?)).await?;
    Ok(fence)
}

/// What every table is when the fence is put up.
async fn table_notes(tables: &[Table], session: &mut Session) -> Result<Value> {
    let unreadable = |cause: serde_json::Error| {
        Failure::new(
            ErrorKind::Internal,
            "could not note the tables of the fence",
        )
        .because(cause)
    };
    let notes: Vec<TableNote> = tables.iter().map(TableNote::of).collect();
    let notes = serde_json::to_string(&notes).map_err(unreadable)?;
    let text = session
        .scalar(
            "select pg_catalog.jsonb_agg(
                        n.item || pg_catalog.jsonb_build_object(
                            'filenode', pg_catalog.pg_relation_filenode((n.item ->> 'oid')::oid)::int8,
                            'deleted', pg_catalog.pg_stat_get_tuples_deleted((n.item ->> 'oid')::oid)))::text
               from pg_catalog.jsonb_array_elements($1::jsonb) as n (item)",
            &[&notes],
        )
        .await?;
    serde_json::from_str(text.as_deref().unwrap_or("[]")).map_err(unreadable)
}
