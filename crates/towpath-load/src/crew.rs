//! Workers that share one task: joined together, and stopped together.

use std::time::Duration;

use tokio::task::JoinSet;
use towpath_model::failure::Retry;
use towpath_model::stop::Stop;
use towpath_model::{ErrorKind, Failure, Result};

/// How often work is tried when a connection breaks.
pub(crate) const ATTEMPTS: u32 = 6;

/// Joins every worker; the first failure makes the others stop at their next safe point, and is the
/// one that is told.
pub(crate) async fn join<T: 'static>(
    mut workers: JoinSet<Result<T>>,
    stop: &Stop,
) -> Result<Vec<T>> {
    let mut results = Vec::new();
    let mut first: Option<Failure> = None;
    while let Some(joined) = workers.join_next().await {
        let failure = match joined {
            Ok(Ok(result)) => {
                results.push(result);
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(panic) => {
                Failure::new(ErrorKind::Internal, "a worker of the load panicked").because(panic)
            }
        };
        stop.raise();
        first = Some(match first {
            None => failure,
            Some(first) => the_news(first, failure),
        });
    }
    first.map_or(Ok(results), Err)
}

/// Of two failures the one to tell: what stopped because of the other is not news.
pub(crate) fn the_news(first: Failure, second: Failure) -> Failure {
    match first.kind() {
        ErrorKind::Interrupted => second,
        _ => first,
    }
}

/// Whether to try once more on a new connection, after a pause. About half a minute in all: what a
/// failover takes to answer again.
pub(crate) async fn may_try_again(failure: &Failure, attempt: u32, stop: &Stop) -> bool {
    if failure.kind().retry() == Retry::Never || attempt >= ATTEMPTS {
        return false;
    }
    tracing::warn!(?failure, attempt, "trying again on a new connection");
    for _ in 0..1 << (attempt - 1) {
        // Somebody else's failure ended the run, or somebody asked.
        if stop.is_raised() {
            return false;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    true
}
