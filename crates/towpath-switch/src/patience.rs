//! How often a binding is tried. The SDK repeats single calls; this repeats the whole of reading
//! where a binding stands and writing under what was read, so that nothing is repeated blindly:
//! when the answer to a write was lost, the reading finds it done.

use std::time::Duration;

use tokio::time::sleep;
use towpath_model::event::{Events, Stage};
use towpath_model::failure::Retry;
use towpath_model::{Failure, Result};

/// Pauses of the way forward: whoever waits longer had better go back.
pub(crate) const FORWARD: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Pauses of the way back, which deserves more patience: there is nothing else to do.
pub(crate) const BACK: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
];

/// Tries until it succeeds, fails for a reason that cannot pass, or the pauses are used up.
pub(crate) async fn patiently<T>(
    pauses: &[Duration],
    events: &Events,
    doing: &str,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    for pause in pauses {
        match Box::pin(attempt()).await {
            Err(failure) if failure.kind().retry() == Retry::Later => {
                note(events, doing, &failure);
                sleep(*pause).await;
            }
            other => return other,
        }
    }
    Box::pin(attempt()).await
}

fn note(events: &Events, doing: &str, failure: &Failure) {
    events.note(Stage::Switch, format!("{doing} again: {failure:?}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::ErrorKind;

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again_and_not_for_ever() {
        let tried = async |kind: ErrorKind, heals_after: usize| {
            let mut tries = 0;
            let outcome = patiently(
                &[Duration::ZERO; 3],
                &Events::silent(),
                "trying",
                async || {
                    tries += 1;
                    match tries > heals_after {
                        true => Ok(()),
                        false => Err(Failure::new(kind, "no")),
                    }
                },
            )
            .await;
            (tries, outcome.is_ok())
        };
        assert_eq!(tried(ErrorKind::Connect, 0).await, (1, true));
        assert_eq!(tried(ErrorKind::Connect, 3).await, (4, true));
        assert_eq!(tried(ErrorKind::Connect, 4).await, (4, false));
        assert_eq!(tried(ErrorKind::Aws, 1).await, (1, false));
        assert_eq!(tried(ErrorKind::Conflict, 1).await, (1, false));
    }
}
