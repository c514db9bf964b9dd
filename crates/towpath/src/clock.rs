//! Time and randomness: effects that the rest receives as arguments.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use towpath_model::{ErrorKind, Failure, Result, RunId};

use crate::settings::Settings;

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

/// A setting that is a time such as `90s`, `10m`, `24h` or `7d`.
pub fn duration_of(settings: &Settings, key: &str) -> Result<Duration> {
    duration(settings.text(key)).ok_or_else(|| {
        Failure::new(
            ErrorKind::Config,
            format!("{key} is {:?}, which is no time", settings.text(key)),
        )
        .at(format!("from the {}", settings.origin(key)))
        .hint("use a number with its unit: 90s, 10m, 24h, 7d")
    })
}

/// Reads `90s`, `10m`, `24h` or `7d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    // `parse` would take a sign.
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_plain)?;
    number.checked_mul(seconds).map(Duration::from_secs)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_its_unit() {
        let seconds = |text| duration(text).map(|it| it.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("10m"), Some(600));
        assert_eq!(seconds("24h"), Some(86_400));
        assert_eq!(seconds("7d"), Some(604_800));
        let wrong = [
            "",
            "s",
            "10",
            "+1s",
            "-1s",
            "1.5h",
            "1 h",
            "1é",
            "99999999999999999999d",
        ];
        for text in wrong {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }
}
