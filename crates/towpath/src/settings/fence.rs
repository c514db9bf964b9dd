//! The fence on the source, and what is caught up under it.

use super::spec::{SettingSpec, setting};

pub(super) const SETTINGS: &[SettingSpec] = &[
    setting(
        "fence.mode",
        "TOWPATH_FENCE_MODE",
        "refuse",
        "refuse: writes to the source fail during the cutover; wait: they wait for the switch; none: no fence, and writes after the export are lost",
    ),
    setting(
        "fence.message",
        "TOWPATH_FENCE_MESSAGE",
        "this database has moved and accepts no writes here any more",
        "what clients are told whose writes are refused; they get SQLSTATE 25006 with it",
    ),
    setting(
        "fence.lock_timeout_s",
        "TOWPATH_FENCE_LOCK_TIMEOUT_S",
        "5",
        "seconds that an attempt at the locks of the fence takes at most; writers wait behind it",
    ),
    setting(
        "fence.attempts",
        "TOWPATH_FENCE_ATTEMPTS",
        "6",
        "attempts at the locks of the fence; writers go on in between",
    ),
    setting(
        "fence.cancel_blockers",
        "TOWPATH_FENCE_CANCEL_BLOCKERS",
        "none",
        "what becomes of sessions that hold a lock for longer than half an attempt. none: nothing; idle: ended when idle in a transaction; all: cancelled, then ended",
    ),
    setting(
        "fence.max_wait_s",
        "TOWPATH_FENCE_MAX_WAIT_S",
        "30",
        "mode wait: seconds that clients wait at most; then the cutover is undone, or their writes fail once consumers are being switched",
    ),
    setting(
        "fence.accept_open",
        "TOWPATH_FENCE_ACCEPT_OPEN",
        "",
        "tables, as in auth.users, that may stay without a fence where the login cannot put one up; pg_catalog.pg_largeobject for large objects",
    ),
    setting(
        "fence.sequence_margin",
        "TOWPATH_FENCE_SEQUENCE_MARGIN",
        "1000",
        "numbers that each sequence of the target leaves out ahead of the source: drawing one is not refused",
    ),
    setting(
        "fence.catch_up",
        "TOWPATH_FENCE_CATCH_UP",
        "tables",
        "tables: rows written to the source since the export are brought to the target behind the fence; never: the cutover is refused when there are any",
    ),
];
