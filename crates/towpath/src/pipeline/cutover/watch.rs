//! The watch after a switch.

use std::time::{Duration, Instant};

use towpath_model::cutover::CheckOutcome;
use towpath_model::{ErrorKind, Failure, Result};

use crate::clock;
use crate::pipeline::cutover::probes::Probes;

/// A watch that nobody will sit through is a mistake of the unit.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How often it says how long it still takes.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// The item in the list of probes.
const ITEM: &str = "watch";

/// Asks probes and alarms again and again; gives the first failure, or nothing after the time.
///
/// Whoever stops the watch stops the watch: consumers stay where they are, because nothing has
/// failed. The command then ends as interrupted, not as done: what was asked for, a watch of this
/// length, has not been.
pub async fn watch(probes: &Probes<'_>, time: Duration) -> Result<Option<Failure>> {
    let began = Instant::now();
    let mut told: Option<Instant> = None;
    let mut rounds = 0_u32;
    loop {
        if let Err(failure) = Box::pin(probes.ask(rounds == 0)).await {
            // Stopped between two attempts it was no definite failure.
            if probes.are_stopped() {
                return Err(stopped(probes, began).await?.because(failure));
            }
            let seen = format!("failed after {}: {failure}", words(began.elapsed()));
            probes.record(ITEM, CheckOutcome::Failed, &seen).await?;
            return Ok(Some(failure));
        }
        rounds += 1;
        let left = time.saturating_sub(began.elapsed());
        if left.is_zero() {
            let seen = format!("{}, {rounds} rounds without a failure", words(time));
            probes.record(ITEM, CheckOutcome::Passed, &seen).await?;
            return Ok(None);
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            probes.note(format!(
                "watching: every probe passes; {} left",
                words(left)
            ));
        }
        if !probes.wait(left.min(probes.interval())).await {
            return Err(stopped(probes, began).await?);
        }
    }
}

async fn stopped(probes: &Probes<'_>, began: Instant) -> Result<Failure> {
    let seen = format!(
        "stopped after {}, nothing had failed",
        words(began.elapsed())
    );
    probes.record(ITEM, CheckOutcome::Skipped, &seen).await?;
    Ok(Failure::new(
        ErrorKind::Interrupted,
        "the watch was stopped; every consumer is switched and stays so",
    )
    .hint("`towpath rollback` puts them back"))
}

/// Reads `90s`, `10m`, `1h` or `1h30m`.
pub fn duration(text: &str) -> Result<Duration> {
    let refuse = |why: &str| {
        Failure::new(
            ErrorKind::Usage,
            format!("--watch {text:?} cannot be used: {why}"),
        )
        .hint("write a time such as 90s, 10m or 1h30m")
    };
    let mut time = Some(Duration::ZERO);
    for part in text
        .trim()
        .split_inclusive(|c: char| c.is_ascii_alphabetic())
    {
        time = time
            .zip(clock::duration(part))
            .and_then(|(time, part)| time.checked_add(part));
    }
    match time {
        Some(time) if time > LONGEST => Err(refuse("it is more than a day")),
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err(refuse("it is no time")),
    }
}

/// A time for people, to the second.
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let shown = parts.iter().filter(|(count, _)| *count > 0);
    let text: String = shown
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_as_long_as_its_parts() {
        let seconds = |text| duration(text).map(|time| time.as_secs()).ok();
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("10m"), Some(600));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("1d"), Some(86_400));
        for wrong in [
            "", "10", "m", "0s", "1h30", "25h", "-5m", "1.5h", "10m 5s x",
        ] {
            let refused = duration(wrong).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn a_time_is_told_in_its_units() {
        let told = |seconds| words(Duration::from_secs(seconds));
        assert_eq!(
            [told(0), told(59), told(600), told(5405)],
            ["0s", "59s", "10m", "1h30m5s"]
        );
    }
}
