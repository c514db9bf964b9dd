//! The locks of a fence.

use std::time::Duration;

use tokio::sync::Notify;
use towpath_model::event::Stage;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;
use towpath_postgres::catalog::queries::sqlstate;

use crate::blockers::{self, Blocker};
use crate::options::FenceOptions;
use crate::tables::Table;

/// How an attempt ended that did not get its locks.
pub(crate) struct InTheWay {
    failure: Failure,
    blockers: Vec<Blocker>,
}

/// Runs SQL that takes locks, and looks who is in the way meanwhile. The inner failure is a lock
/// that did not come in time; the transaction is then to be rolled back.
pub(crate) async fn patiently(
    session: &mut Session,
    watcher: &mut Session,
    pid: &str,
    sql: &str,
    options: &FenceOptions,
) -> Result<Result<(), InTheWay>> {
    let wait = options.patience.wait;
    // `lock_timeout` bounds each lock, `statement_timeout` all of them together.
    let millis = wait.as_millis();
    session
        .execute(&format!(
            "set local lock_timeout = '{millis}ms'; set local statement_timeout = '{millis}ms'"
        ))
        .await?;
    let done = Notify::new();
    let locking = async {
        let locked = session.execute(sql).await;
        done.notify_one();
        locked
    };
    let looking = blockers::look(watcher, pid, wait / 2, options.patience.cancel, &done);
    let (locked, seen) = tokio::join!(locking, looking);
    match locked {
        Ok(()) => Ok(Ok(())),
        Err(failure) if is_wait_over(&failure) => Ok(Err(InTheWay {
            failure,
            blockers: seen.unwrap_or_default(),
        })),
        Err(failure) => Err(explained(failure)),
    }
}

/// 53200: the server's table of locks is full.
fn explained(failure: Failure) -> Failure {
    let is_full = sqlstate(&failure) == Some("53200");
    let letter = failure.while_doing("could not take the locks of the fence");
    match is_full {
        true => letter.hint("every table is a lock: raise max_locks_per_transaction of the source, which takes a restart"),
        false => letter,
    }
}

/// 55P03: the lock did not come in time; 57014: nor did all of them; 40P01: somebody who waits for
/// us has what we wait for, and the server chose us.
fn is_wait_over(failure: &Failure) -> bool {
    matches!(sqlstate(failure), Some("55P03" | "57014" | "40P01"))
}

/// The statement that takes the locks of these tables, in their order.
pub(crate) fn statement<'t>(tables: impl Iterator<Item = &'t Table>) -> Option<String> {
    let names: Vec<String> = tables
        .map(|table| format!("only {}", table.quoted()))
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "lock table {} in share row exclusive mode",
            names.join(", ")
        )
    })
}

/// After an attempt that failed: lets writers go on for a while, or gives up.
pub(crate) async fn pause(
    attempt: u32,
    in_the_way: InTheWay,
    options: &FenceOptions,
) -> Result<()> {
    let InTheWay { failure, blockers } = in_the_way;
    let who = match blockers.as_slice() {
        [] => "somebody who was gone when it was looked".to_owned(),
        some => {
            let named: Vec<String> = some.iter().take(5).map(ToString::to_string).collect();
            named.join("; ")
        }
    };
    if attempt >= options.patience.attempts {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "the locks of the fence did not come within {} s, {attempt} times; in the way: {who}",
                options.patience.wait.as_secs_f32()
            ),
        )
        .because(failure)
        .hint("end those transactions, or let fence.cancel_blockers end them; then the same command tries again"));
    }
    options.events.note(
        Stage::Switch,
        format!("the fence waits for locks; in the way: {who}"),
    );
    sleep(options.patience.wait.min(LONGEST_PAUSE), options).await
}

/// Writers that have queued behind an attempt are through long before.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

async fn sleep(time: Duration, options: &FenceOptions) -> Result<()> {
    tokio::time::sleep(time).await;
    options.stop.check()
}
