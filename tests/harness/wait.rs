//! Waiting for a condition, never for a duration.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// Polls until `condition` holds. Panics with `what` if it does not within `limit`.
pub fn wait_until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(limit, condition),
        "waited {limit:?} in vain until {what}"
    );
}

/// Polls until `condition` holds (true) or `limit` is over (false).
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
}
