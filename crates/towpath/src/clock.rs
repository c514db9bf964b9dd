//! Time and randomness: effects that the rest receives as arguments.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use towpath_model::{ErrorKind, Failure, Result, RunId};

/// Now, RFC 3339 in UTC, whole seconds.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0)
        .unwrap_or(now)
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let nanoseconds = OffsetDateTime::now_utc().unix_timestamp_nanos();
    u64::try_from(nanoseconds / 1_000_000).unwrap_or(0)
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| {
        Failure::new(
            ErrorKind::Internal,
            "the operating system gave no random bytes",
        )
        .because(cause.to_string())
    })?;
    Ok(bytes)
}

/// A new run id.
pub fn new_run_id() -> Result<RunId> {
    let today = OffsetDateTime::now_utc().date();
    let date = format!(
        "{:04}{:02}{:02}",
        today.year(),
        u8::from(today.month()),
        today.day()
    );
    Ok(RunId::compose(&date, random()?))
}
