//! What the source may be asked to bear: limits, and what a reading means against them. Pure.

use std::time::Duration;

use towpath_model::{ErrorKind, Failure, Result};

/// Readings in a row that must be calm before work goes on: a source that hovers around its limit
/// would otherwise be started and stopped all the time.
const CALM_READINGS: u32 = 2;

/// Something that is measured on the source, and how much of it is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Client sessions that run something, towpath's own not counted.
    Sessions(u64),
    /// Bytes of WAL kept for the worst slot, or not replayed by the worst standby.
    LagBytes(u64),
    /// Milliseconds until the worst standby has replayed what was written.
    LagMs(u64),
    /// What a query of the operator's gives.
    Query(f64),
}

/// How much the source may be burdened.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceLimits {
    /// What is measured; the query's is missing when it answers yes or no by itself.
    pub limits: Vec<Limit>,
    /// The operator's query.
    pub query: Option<String>,
}

impl SourceLimits {
    /// Reads limits as they are configured: `40`, `sessions=40`, `lag=512MiB`, `lag=30s` and
    /// `query=10`, separated by commas. Nothing when there is neither a limit nor a query.
    pub fn parse(text: &str, query: Option<String>) -> Result<Option<Self>> {
        // It is wrapped in another query, where no semicolon may be.
        let query = query.map(|sql| sql.trim().trim_end_matches(';').trim_end().to_owned());
        let mut limits: Vec<Limit> = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let limit = parse_limit(item).ok_or_else(|| unreadable(item))?;
            let same =
                |other: &Limit| std::mem::discriminant(other) == std::mem::discriminant(&limit);
            if limits.iter().any(same) {
                return Err(unreadable(item).because("it is the second of its kind"));
            }
            if matches!(limit, Limit::Query(_)) && query.is_none() {
                return Err(unreadable(item).because("there is no query in source.load_query"));
            }
            limits.push(limit);
        }
        let some = !limits.is_empty() || query.is_some();
        Ok(some.then_some(Self { limits, query }))
    }
}

fn unreadable(item: &str) -> Failure {
    Failure::new(
        ErrorKind::Config,
        format!("could not use {item:?} as a limit of the source's load"),
    )
    .hint("use sessions=40, lag=512MiB, lag=30s, or query=10 with source.load_query; several with commas")
}

fn parse_limit(item: &str) -> Option<Limit> {
    match item.split_once('=') {
        None => item.parse().ok().map(Limit::Sessions),
        Some((name, value)) => match name.trim() {
            "sessions" => value.trim().parse().ok().map(Limit::Sessions),
            "lag" => parse_lag(value.trim()),
            "query" => {
                let limit: f64 = value.trim().parse().ok()?;
                limit.is_finite().then_some(Limit::Query(limit))
            }
            _ => None,
        },
    }
}

/// A number with a unit of bytes or of time, as PostgreSQL writes its own settings.
fn parse_lag(text: &str) -> Option<Limit> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let bytes = |shift: u32| number.checked_mul(1 << shift).map(Limit::LagBytes);
    let ms = |each: u64| number.checked_mul(each).map(Limit::LagMs);
    match text[digits..].trim() {
        "B" => bytes(0),
        "kB" | "KiB" => bytes(10),
        "MB" | "MiB" => bytes(20),
        "GB" | "GiB" => bytes(30),
        "ms" => ms(1),
        "s" => ms(1000),
        "min" => ms(60_000),
        _ => None,
    }
}

/// How one measure stands to its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    level: Level,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Over,
    /// At the limit or just below it: no reason to pause, none to go on.
    Near,
    Calm,
}

impl Reading {
    /// Of something that is counted. `who` names the worst, where there is one.
    pub(crate) fn of_count(limit: Limit, found: u64, who: &str) -> Self {
        let who = match who {
            "" => String::new(),
            who => format!(" ({who})"),
        };
        let (most, text) = match limit {
            Limit::Sessions(most) => {
                let s = if found == 1 { "" } else { "s" };
                (
                    most,
                    format!("{found} session{s} active on source, limit {most}"),
                )
            }
            Limit::LagBytes(most) => (
                most,
                format!(
                    "WAL lag on source is {}{who}, limit {}",
                    size(found),
                    size(most)
                ),
            ),
            Limit::LagMs(most) => (
                most,
                format!("replication lag on source is {found} ms{who}, limit {most} ms"),
            ),
            Limit::Query(_) => (u64::MAX, String::new()),
        };
        let level = if found > most {
            Level::Over
        } else if found > most - most / 10 {
            Level::Near
        } else {
            Level::Calm
        };
        Self { level, text }
    }

    /// Of a number that the operator's query gave.
    pub(crate) fn of_number(limit: f64, found: f64) -> Self {
        let level = if found > limit {
            Level::Over
        } else if found > limit - limit.abs() / 10.0 {
            Level::Near
        } else {
            Level::Calm
        };
        Self {
            level,
            text: format!("source.load_query gives {found}, limit {limit}"),
        }
    }

    /// Of a yes or no that it gave.
    pub(crate) fn of_verdict(is_over: bool) -> Self {
        Self {
            level: if is_over { Level::Over } else { Level::Calm },
            text: format!("source.load_query says {is_over}"),
        }
    }

    /// Of a query that had nothing to say: no row, or NULL.
    pub(crate) fn of_nothing() -> Self {
        Self {
            level: Level::Calm,
            text: "source.load_query gives nothing".to_owned(),
        }
    }
}

/// In mebibytes, or bytes where that would say nothing.
fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} B"),
        mib => format!("{mib} MiB"),
    }
}

/// What to do after a set of readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Work as before.
    Work,
    /// Stop taking work.
    Pause(String),
    /// Take none, as before.
    Wait(String),
    /// Take work again.
    Resume(String),
}

/// Whether the workers rest, and since when.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    paused_at: Option<Duration>,
    calm: u32,
}

impl Throttle {
    /// For how long the workers have rested.
    pub(crate) fn paused_for(&self, now: Duration) -> Option<Duration> {
        self.paused_at.map(|since| now.saturating_sub(since))
    }

    /// Takes the readings of one moment: too much of one thing is enough to pause, all must be calm
    /// to go on.
    pub(crate) fn take(&mut self, readings: &[Reading], now: Duration) -> Step {
        let says = |unwanted: &[Level]| {
            let texts: Vec<&str> = readings
                .iter()
                .filter(|reading| !unwanted.contains(&reading.level))
                .map(|reading| reading.text.as_str())
                .collect();
            texts.join("; ")
        };
        let is_over = readings.iter().any(|reading| reading.level == Level::Over);
        if self.paused_at.is_none() {
            if !is_over {
                return Step::Work;
            }
            self.paused_at = Some(now);
            self.calm = 0;
            return Step::Pause(says(&[Level::Near, Level::Calm]));
        }
        if readings.iter().any(|reading| reading.level != Level::Calm) {
            self.calm = 0;
            return Step::Wait(says(&[Level::Calm]));
        }
        self.calm += 1;
        if self.calm < CALM_READINGS {
            return Step::Wait(says(&[]));
        }
        self.paused_at = None;
        Step::Resume(says(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<SourceLimits> {
        SourceLimits::parse(text, Some("select 1;\n ".to_owned())).unwrap()
    }

    #[test]
    fn limits_are_read_as_people_write_them() {
        let limits = |text: &str| parsed(text).unwrap().limits;
        assert_eq!(limits("40"), [Limit::Sessions(40)]);
        assert_eq!(
            limits(" sessions = 0 ,lag=512MiB, query=-1.5"),
            [
                Limit::Sessions(0),
                Limit::LagBytes(512 << 20),
                Limit::Query(-1.5)
            ]
        );
        assert_eq!(
            limits("lag=30s,lag=1 GB"),
            [Limit::LagMs(30_000), Limit::LagBytes(1 << 30)]
        );
        assert_eq!(limits("lag=2min"), [Limit::LagMs(120_000)]);
        assert_eq!(parsed("").unwrap().query.as_deref(), Some("select 1"));
        assert_eq!(SourceLimits::parse(" , ", None).unwrap(), None);
    }

    #[test]
    fn a_limit_that_means_nothing_is_refused() {
        for text in [
            "x",
            "-1",
            "sessions=",
            "lag=10",
            "lag=1TB2",
            "lag=18446744073709551615GB",
            "cpu=3",
            "4,sessions=5",
            "query=NaN",
            "lag=ü",
        ] {
            let failure = SourceLimits::parse(text, Some("select 1".to_owned())).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Config, "{text}");
            assert!(failure.find_hint().is_some());
        }
        assert!(SourceLimits::parse("query=4", None).is_err());
    }

    fn sessions(found: u64) -> Vec<Reading> {
        vec![
            Reading::of_count(Limit::Sessions(20), found, ""),
            Reading::of_nothing(),
        ]
    }

    #[test]
    fn pauses_above_the_limit_and_goes_on_when_it_stays_well_below() {
        let mut throttle = Throttle::default();
        let mut second = 0;
        let mut take = |found| {
            second += 2;
            throttle.take(&sessions(found), Duration::from_secs(second))
        };
        assert_eq!(take(20), Step::Work);
        assert_eq!(
            take(43),
            Step::Pause("43 sessions active on source, limit 20".to_owned())
        );
        assert!(matches!(take(19), Step::Wait(_)), "below, but not by much");
        assert!(matches!(take(18), Step::Wait(_)), "calm for the first time");
        assert!(matches!(take(21), Step::Wait(_)), "not calm after all");
        assert!(matches!(take(18), Step::Wait(_)));
        assert!(matches!(take(1), Step::Resume(text) if text.contains("1 session active")));
        assert_eq!(take(20), Step::Work);
        assert_eq!(throttle.paused_for(Duration::from_secs(99)), None);
    }

    #[test]
    fn a_small_limit_can_be_met_again() {
        for most in 0..10 {
            let calm = Reading::of_count(Limit::Sessions(most), most, "");
            assert_eq!(calm.level, Level::Calm, "{most}");
        }
        assert_eq!(Reading::of_number(0.0, 0.0).level, Level::Calm);
        assert_eq!(Reading::of_number(-10.0, -10.5).level, Level::Near);
        assert_eq!(Reading::of_number(-10.0, -9.0).level, Level::Over);
        assert_eq!(Reading::of_verdict(true).level, Level::Over);
    }

    #[test]
    fn the_worst_is_named() {
        let lag = Reading::of_count(Limit::LagBytes(1 << 20), 5 << 20, "slot forgotten");
        let mut throttle = Throttle::default();
        let step = throttle.take(&[lag], Duration::ZERO);
        let said = "WAL lag on source is 5 MiB (slot forgotten), limit 1 MiB";
        assert_eq!(step, Step::Pause(said.to_owned()));
        let ago = throttle.paused_for(Duration::from_secs(7));
        assert_eq!(ago, Some(Duration::from_secs(7)));
    }
}
