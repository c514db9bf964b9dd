//! Lifting a fence: opened at once, cleared away when nobody is in the way.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;
use towpath_postgres::catalog::queries::sqlstate;

use crate::install::{self, LOCK_CLASS};
use crate::state::{self, Found, Note};
use crate::{ROW_TRIGGER, TRIGGER};

/// What was lifted.
#[derive(Debug, Clone)]
pub struct Lifted {
    /// Whose fence it was.
    pub found: Found,
    /// Tables on which a trigger is left that lets writes pass, because they were in use all the
    /// time. The next fence, or the same command, clears it away.
    pub left: usize,
}

/// Dropping a trigger takes the strongest lock, and whoever waits for that stops readers too.
const LOCK_TIMEOUT: &str = "1s";

/// Clearing away is tidiness: nothing waits for it longer, however many tables are in use.
const AT_MOST: Duration = Duration::from_secs(3);

const PAUSE: Duration = Duration::from_millis(500);

/// Lifts the fence of a run; of any when none is named. Nothing is done where there is none, or
/// another run's.
pub async fn lift(session: &mut Session, run: Option<&RunId>) -> Result<Option<Lifted>> {
    let Some(found) = state::find(session).await? else {
        return Ok(None);
    };
    if run.is_some_and(|run| *run != found.run) {
        return Ok(None);
    }
    open(session, &found).await?;
    let left = clear(session).await?;
    Ok(Some(Lifted { found, left }))
}

/// From this commit on writes pass: the function lets them, and replacing a function waits for
/// nobody who reads or writes tables.
pub(crate) async fn open(session: &mut Session, found: &Found) -> Result<()> {
    let note = Note {
        is_open: true,
        tables: Value::Array(Vec::new()),
        ..found.note.clone()
    };
    let sql = format!(
        "{};
         {};
         {};
         comment on schema towpath_fence is 'left of a fence of towpath run {}, which is lifted';
         commit",
        install::BEGIN,
        install::opened(),
        install::note(&note.text()?),
        found.run,
    );
    session.execute(&sql).await.map_err(|failure| {
        Failure::new(ErrorKind::Source, "could not lift the fence")
            .because(failure)
            .hint("as the role that put it up: drop schema towpath_fence cascade")
    })?;
    // Who keeps clients waiting may be a process that is gone without its connection.
    let sql = "select pg_catalog.count(pg_catalog.pg_terminate_backend(l.pid))::pg_catalog.text
                 from pg_catalog.pg_locks l
                where l.locktype = 'advisory' and l.mode = 'ExclusiveLock' and l.granted
                  and l.classid = $1::pg_catalog.oid and l.objid = $2::pg_catalog.oid and l.objsubid = 2
                  and l.database = (select d.oid from pg_catalog.pg_database d
                                    where d.datname = pg_catalog.current_database())
                  and l.pid <> pg_catalog.pg_backend_pid()";
    session
        .scalar(sql, &[&LOCK_CLASS.to_string(), &found.note.key.to_string()])
        .await?;
    Ok(())
}

#[derive(Deserialize)]
struct Triggered {
    relation: String,
    is_own: bool,
}

/// Clears away what is left of a fence that is open; gives on how many tables that was not
/// possible. Table by table: no two of them are locked at once.
pub(crate) async fn clear(session: &mut Session) -> Result<usize> {
    let until = Instant::now() + AT_MOST;
    loop {
        let left = clear_once(session, until).await?;
        if left == 0 || Instant::now() >= until {
            return Ok(left);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn clear_once(session: &mut Session, until: Instant) -> Result<usize> {
    let tables: Vec<Triggered> = session
        .fetch(
            "select pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(c.relname)) as relation,
                    pg_catalog.pg_has_role(c.relowner, 'usage') as is_own
               from pg_catalog.pg_class c
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace
              where exists (select
                            from pg_catalog.pg_trigger t
                            where t.tgrelid = c.oid
                              and t.tgfoid = pg_catalog.to_regprocedure('towpath_fence.refuse()'))
              order by c.oid",
            &[],
        )
        .await?;
    let mut left = 0;
    for table in tables.iter().filter(|table| table.is_own) {
        let sql = [TRIGGER, ROW_TRIGGER].map(|trigger| {
            let trigger = towpath_model::name::quote_identifier(trigger);
            format!("drop trigger if exists {trigger} on {}", table.relation)
        });
        let is_cleared = Instant::now() < until && in_time(session, &sql.join("; ")).await?;
        left += usize::from(!is_cleared);
    }
    if left > 0 {
        return Ok(left);
    }
    // Only its owner may drop a trigger, but everybody may drop his own function with whatever
    // depends on it (PostgreSQL manual, "Dependency Tracking").
    let rest = "drop function towpath_fence.refuse() cascade;
                drop schema towpath_fence restrict";
    match in_time(session, rest).await? {
        true => Ok(0),
        false => Ok(tables.iter().filter(|table| !table.is_own).count().max(1)),
    }
}

/// Runs SQL in a transaction of its own; whether the locks came in time.
async fn in_time(session: &mut Session, sql: &str) -> Result<bool> {
    let sql = format!(
        "{}; set local lock_timeout = '{LOCK_TIMEOUT}'; {sql}",
        install::BEGIN
    );
    match session.execute(&sql).await {
        Ok(()) => session.commit().await.map(|()| true),
        Err(failure) if matches!(sqlstate(&failure), Some("55P03" | "40P01" | "57014")) => {
            session.rollback().await.map(|()| false)
        }
        Err(failure) => {
            drop(session.rollback().await);
            Err(failure.while_doing("could not clear the fence away"))
        }
    }
}
