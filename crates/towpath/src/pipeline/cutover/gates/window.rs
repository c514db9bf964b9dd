//! The maintenance window: when a cutover may be made, and whether there is time enough left.

use time::{Date, Month};
use towpath_model::{ErrorKind, Failure, Result};

use super::{Answer, Asked, closed_unless};
use crate::pipeline::cutover::watch;
use crate::table;

const SETTING: &str = "cutover.window";
const DAY_S: i64 = 86_400;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The days on which a window opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    EveryDay,
    /// From 0 for Monday.
    Weekday(i64),
    /// Days since 1970.
    Date(i64),
}

/// One window, in the local time of its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    on: On,
    /// Seconds after midnight.
    from_s: i64,
    /// Length; a window that ends before it begins ends on the next day.
    length_s: i64,
    /// Seconds east of UTC.
    offset_s: i64,
}

impl Window {
    /// Reads `Sat 22:00-02:00 UTC`, `daily 01:00-03:00 +02:00`, `2026-12-05 22:00-02:00 UTC`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (day, times, zone) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let (from, to) = times.split_once('-')?;
        let (from_s, to_s) = (time_of_day(from)?, time_of_day(to)?);
        let length_s = match (to_s - from_s).rem_euclid(DAY_S) {
            0 => DAY_S,
            length => length,
        };
        let offset_s = match zone {
            "UTC" | "Z" => 0,
            _ => match zone.split_at_checked(1)? {
                ("+", offset) => time_of_day(offset)?,
                ("-", offset) => -time_of_day(offset)?,
                _ => return None,
            },
        };
        let on = match day.to_ascii_lowercase().as_str() {
            "daily" => On::EveryDay,
            word => match DAYS.iter().zip(0..).find(|(name, _)| **name == word) {
                Some((_, number)) => On::Weekday(number),
                None => On::Date(date(word)?),
            },
        };
        Some(Self {
            on,
            from_s,
            length_s,
            offset_s,
        })
    }

    fn opens_on(&self, day: i64) -> bool {
        match self.on {
            On::EveryDay => true,
            // 1970 began on a Thursday.
            On::Weekday(weekday) => (day + 3).rem_euclid(7) == weekday,
            On::Date(date) => day == date,
        }
    }

    /// Seconds left, where it is open. One that has opened yesterday may be open still.
    fn left_s(&self, now_s: i64) -> Option<i64> {
        let local = now_s + self.offset_s;
        let today = local.div_euclid(DAY_S);
        [today - 1, today]
            .into_iter()
            .filter(|day| self.opens_on(*day))
            .map(|day| day * DAY_S + self.from_s)
            .filter(|opens| (*opens..opens + self.length_s).contains(&local))
            .map(|opens| opens + self.length_s - local)
            .max()
    }
}

/// `HH:MM` as seconds after midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str, most: i64| -> Option<i64> {
        let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|it| is_plain && *it <= most)
    };
    Some(two(hours, 23)? * 3600 + two(minutes, 59)? * 60)
}

/// `YYYY-MM-DD` as days since 1970.
fn date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = Month::try_from(parts.next()?.parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, parts.next()?.parse().ok()?).ok()?;
    let epoch = Date::from_calendar_date(1970, Month::January, 1).ok()?;
    Some((date - epoch).whole_days())
}

pub(super) fn ask(asked: &Asked<'_>, now_s: u64) -> Answer {
    closed_unless(look(asked, now_s))
}

fn look(asked: &Asked<'_>, now_s: u64) -> Result<Answer> {
    let windows = asked.context.settings.list(SETTING);
    if windows.is_empty() {
        return Ok(Answer::Skipped(format!("{SETTING} is not set")));
    }
    let needs_s = expected_s(asked)?;
    judge(&windows, now_s, needs_s)
}

/// How long the cutover will take, roughly: behind the fence the rows of both sides are read as the
/// verification has read those of the target, and then there is the watch.
fn expected_s(asked: &Asked<'_>) -> Result<u64> {
    let verifications = asked.state.timings.iter().filter(|it| it.what == "verify");
    let reading_s = verifications
        .map(|it| it.millis.div_ceil(1000))
        .max()
        .unwrap_or(0);
    let watch_s = match asked.arguments.watch.as_deref() {
        None => 0,
        Some(text) => watch::duration(text)?.as_secs(),
    };
    Ok(reading_s + watch_s)
}

fn judge(windows: &[String], now_s: u64, needs_s: u64) -> Result<Answer> {
    let now = i64::try_from(now_s).unwrap_or(i64::MAX);
    let told = |seconds: u64| table::duration(seconds.saturating_mul(1000));
    let mut left_s: Option<u64> = None;
    for text in windows {
        let window = Window::parse(text).ok_or_else(|| {
            Failure::new(ErrorKind::Config, format!("{SETTING} names {text:?}")).hint(
                "write Sat 22:00-02:00 UTC, daily 01:00-03:00 +02:00 or 2026-12-05 22:00-02:00 UTC",
            )
        })?;
        let left = window.left_s(now).and_then(|it| u64::try_from(it).ok());
        left_s = left_s.max(left);
    }
    let needs = told(needs_s);
    match left_s {
        Some(left) if left >= needs_s => Ok(Answer::Open(format!(
            "{} left, and about {needs} needed",
            told(left)
        ))),
        Some(left) => Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "the maintenance window ends in {}, and the cutover needs about {needs}",
                told(left)
            ),
        )
        .hint("wait for the next one, or a shorter --watch")),
        None => Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "it is outside of the maintenance window {}",
                windows.join(", ")
            ),
        )
        .hint(format!("wait for it, or change {SETTING}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-12-05 is a Saturday.
    const SATURDAY: i64 = 1_796_428_800;

    fn left(text: &str, now: i64) -> Option<i64> {
        Window::parse(text).unwrap().left_s(now)
    }

    #[test]
    fn a_window_is_open_over_midnight_in_its_own_time() {
        let hour = 3600;
        let text = "Sat 22:00-02:00 UTC";
        assert_eq!(left(text, SATURDAY + 22 * hour), Some(4 * hour));
        assert_eq!(left(text, SATURDAY + 25 * hour), Some(hour));
        assert_eq!(left(text, SATURDAY + 26 * hour), None);
        assert_eq!(left(text, SATURDAY + 22 * hour - 1), None);
        assert_eq!(left(text, SATURDAY - 1), None);
        // Two in the night of Sunday in Helsinki is midnight in Greenwich.
        assert_eq!(
            left("Sun 02:00-03:00 +02:00", SATURDAY + 24 * hour),
            Some(hour)
        );
        assert_eq!(
            left("Fri 20:00-23:00 -05:00", SATURDAY + hour),
            Some(3 * hour)
        );
        assert_eq!(left("daily 00:00-00:00 UTC", SATURDAY), Some(24 * hour));
        assert_eq!(
            left("2026-12-05 22:00-02:00 UTC", SATURDAY + 23 * hour),
            Some(3 * hour)
        );
        assert_eq!(
            left(
                "2026-12-05 22:00-02:00 UTC",
                SATURDAY + 7 * 24 * hour + 23 * hour
            ),
            None
        );
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "Sat",
            "Sat 22:00-02:00",
            "Sat 22-02 UTC",
            "Sat 22:00-24:00 UTC",
            "Sam 22:00-02:00 UTC",
            "Sat 22:00-02:00 CET",
            "Sat 22:00-02:00 +2",
            "2026-13-01 22:00-02:00 UTC",
            "2026-02-30 22:00-02:00 UTC",
            "Sat +2:00-02:00 UTC",
            "Sat 22:00-02:00 UTC x",
            "Sat 22:00-02:00 é",
        ] {
            assert_eq!(Window::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_window_needs_time_left() {
        let now = u64::try_from(SATURDAY + 25 * 3600).unwrap();
        let windows = ["Mon 01:00-02:00 UTC", "Sat 22:00-02:00 UTC"].map(str::to_owned);
        assert!(matches!(judge(&windows, now, 3600), Ok(Answer::Open(_))));
        let late = judge(&windows, now, 3601).unwrap_err();
        assert!(late.to_string().contains("ends in 60 min"), "{late}");
        let outside = judge(&windows[..1], now, 1).unwrap_err();
        assert_eq!(outside.kind(), ErrorKind::Blocked);
        let wrong = judge(&["tonight".to_owned()], now, 1).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Config);
    }
}
