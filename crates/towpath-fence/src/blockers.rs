//! Who stands in the way of a lock.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use towpath_model::Result;
use towpath_postgres::Session;

/// What becomes of sessions that hold a lock that is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CancelBlockers {
    /// They are left alone.
    #[default]
    None,
    /// Those that do nothing in an open transaction are ended.
    Idle,
    /// Statements are cancelled, and sessions that are still in the way are ended.
    All,
}

/// A session, or a prepared transaction, that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Blocker {
    /// Process id; 0 for a prepared transaction.
    pub pid: i32,
    /// `application_name`.
    pub application: String,
    /// Login.
    pub login: String,
    /// State, as in `idle in transaction`; kind of process where it has none.
    pub state: String,
    /// Age of its transaction, in seconds.
    pub age_s: i64,
    /// Name of the prepared transaction; empty for a session.
    pub prepared: String,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prepared.is_empty() {
            return write!(
                f,
                "prepared transaction {:?} of {} for {} s",
                self.prepared, self.login, self.age_s
            );
        }
        write!(f, "process {}", self.pid)?;
        if !self.application.is_empty() {
            write!(f, " ({})", self.application)?;
        }
        if !self.login.is_empty() {
            write!(f, " of {}", self.login)?;
        }
        if !self.state.is_empty() {
            write!(f, ", {}", self.state)?;
        }
        write!(f, " for {} s", self.age_s)
    }
}

/// How often it is looked who is in the way.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks who is in the way of a session until told that it is done; gives who was seen last.
/// From `patience` on they are dealt with as `cancel` says.
pub(crate) async fn look(
    watcher: &mut Session,
    pid: &str,
    patience: Duration,
    cancel: CancelBlockers,
    done: &Notify,
) -> Result<Vec<Blocker>> {
    let began = Instant::now();
    let mut last = Vec::new();
    loop {
        // The first look comes late: a lock that nobody holds costs no query.
        tokio::select! {
            () = done.notified() => return Ok(last),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let seen: Vec<Blocker> = watcher
            .fetch(include_str!("sql/blockers.sql"), &[pid])
            .await?;
        if !seen.is_empty() {
            last = seen;
        }
        if began.elapsed() >= patience {
            let is_late = began.elapsed() >= patience + patience / 2;
            deal_with(watcher, &last, cancel, is_late).await?;
        }
    }
}

/// Ends or cancels. The server refuses where the login may not, and that is told by the lock that
/// does not come.
async fn deal_with(
    watcher: &mut Session,
    blockers: &[Blocker],
    cancel: CancelBlockers,
    is_late: bool,
) -> Result<()> {
    for blocker in blockers.iter().filter(|blocker| blocker.pid != 0) {
        let is_idle = blocker.state.starts_with("idle in transaction");
        let function = match (cancel, is_idle) {
            (CancelBlockers::None, _) | (CancelBlockers::Idle, false) => continue,
            (_, true) => "pg_terminate_backend",
            (CancelBlockers::All, false) if is_late => "pg_terminate_backend",
            (CancelBlockers::All, false) => "pg_cancel_backend",
        };
        let sql = format!("select pg_catalog.{function}($1::pg_catalog.int4)::pg_catalog.text");
        // 42501: a superuser's session, or one of the server's own.
        drop(watcher.scalar(&sql, &[&blocker.pid.to_string()]).await);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocker_is_told_without_its_query() {
        let session = Blocker {
            pid: 7,
            application: "orders".to_owned(),
            login: "app".to_owned(),
            state: "idle in transaction".to_owned(),
            age_s: 61,
            prepared: String::new(),
        };
        assert_eq!(
            session.to_string(),
            "process 7 (orders) of app, idle in transaction for 61 s"
        );
        let prepared = Blocker {
            pid: 0,
            prepared: "order 7".to_owned(),
            ..session
        };
        assert_eq!(
            prepared.to_string(),
            "prepared transaction \"order 7\" of app for 61 s"
        );
    }
}
