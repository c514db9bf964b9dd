//! Dates and times moved by days.

use towpath_model::Result;

use super::draw::Draw;
use super::shape::Shape;
use super::{Asked, RowText};
use crate::codec::Type;
use crate::codec::calendar::{day_of, is_date, read_date, write_date};

/// First day of all types: 4714-11-24 BC, Julian day 0.
const FIRST: i64 = -2_451_545;
/// Behind the last day of `timestamp`, 294276-12-31, and of `date`, 5874897-12-31 (PostgreSQL
/// manual, "Date/Time Types").
const END_OF_TIMESTAMPS: i64 = 106_751_983;
const END_OF_DATES: i64 = 2_145_031_949;

/// 0001-01-01, and the day behind 9999-12-31: what applications take for never and for ever, and
/// what most of them cannot read a day before or behind.
const FIRST_OF_FOUR: i64 = -730_119;
const END_OF_FOUR: i64 = 2_921_940;

/// A thousand years. No date is farther than that from both ends of the calendar.
pub(super) const MOST_DAYS: u32 = 365_000;

/// Moves dates by as many days for all of one subject.
pub(super) struct DateShift {
    key: [u8; 32],
    max_days: u64,
    subject: Option<Asked>,
    end: i64,
    is_text: bool,
    shape: Shape,
}

impl DateShift {
    pub(super) fn new(
        key: [u8; 32],
        max_days: u32,
        subject: Option<Asked>,
        column_type: Type,
    ) -> Self {
        Self {
            key,
            max_days: u64::from(max_days.clamp(1, MOST_DAYS)),
            subject,
            end: match column_type {
                Type::Timestamp | Type::TimestampTz => END_OF_TIMESTAMPS,
                _ => END_OF_DATES,
            },
            is_text: !matches!(
                column_type,
                Type::Date | Type::Timestamp | Type::TimestampTz
            ),
            shape: Shape::new(key, 0, 0, Type::Text),
        }
    }

    /// A text that is no date keeps its shape.
    pub(super) fn apply(&self, value: &str, row: &dyn RowText, out: &mut String) -> Result<bool> {
        let days = self.days(value, row)?;
        if self.write_moved(value, days, out) {
            return Ok(true);
        }
        out.clear();
        Ok(self.is_text && self.shape.apply(value, out))
    }

    /// How far: never nowhere. A subject that is NULL is no subject.
    fn days(&self, value: &str, row: &dyn RowText) -> Result<i64> {
        match &self.subject {
            Some(asked) => asked.ask(row, |subject| self.days_of(subject.unwrap_or(value))),
            None => Ok(self.days_of(value)),
        }
    }

    fn days_of(&self, subject: &str) -> i64 {
        let mut draw = Draw::of(&self.key, subject.as_bytes());
        let place = draw.below(self.max_days * 2);
        let days = i64::try_from(place % self.max_days).unwrap_or(0) + 1;
        if place < self.max_days { days } else { -days }
    }

    fn write_moved(&self, value: &str, days: i64, out: &mut String) -> bool {
        // Of a text all of it must be a date: what stands beside one would stay.
        let is_all = |rest: &str| !self.is_text || is_time(rest);
        if let Some((day, month, rest)) = read_german(value) {
            let (year, rest) = rest.split_at(4);
            let Ok(year) = year.parse() else { return false };
            return is_date(year, month, day)
                && is_all(rest)
                && self.write_german(day_of(year, month, day), days, rest, out);
        }
        let (text, is_before_christ) = match value.strip_suffix(" BC") {
            Some(text) => (text, true),
            None => (value, false),
        };
        let Some((year, month, day, rest)) = read_date(text) else {
            return false;
        };
        let year = if is_before_christ { 1 - year } else { year };
        if !is_date(year, month, day) || !is_all(rest) {
            return false;
        }
        let Some(moved) = self.moved(day_of(year, month, day), days) else {
            return false;
        };
        let is_before_christ = write_date(moved, out);
        out.push_str(rest);
        if is_before_christ {
            out.push_str(" BC");
        }
        true
    }

    /// The other way where this one leads out of the calendar, or to years of another width.
    fn moved(&self, day: i64, days: i64) -> Option<i64> {
        let four = FIRST_OF_FOUR..END_OF_FOUR;
        let calendar = match four.contains(&day) {
            true => four,
            false => FIRST..self.end,
        };
        [day + days, day - days]
            .into_iter()
            .find(|moved| calendar.contains(moved))
    }

    fn write_german(&self, day: i64, days: i64, rest: &str, out: &mut String) -> bool {
        let mut iso = String::new();
        let Some(moved) = self.moved(day, days) else {
            return false;
        };
        if write_date(moved, &mut iso) {
            return false;
        }
        let mut parts = iso.split('-');
        let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        if year.len() != 4 {
            return false;
        }
        out.push_str(&format!("{day}.{month}.{year}{rest}"));
        true
    }
}

/// Whether what is behind a date is a time of the day, with or without a zone, or nothing.
fn is_time(rest: &str) -> bool {
    let Some(clock) = rest.strip_prefix([' ', 'T', 't']) else {
        return rest.is_empty();
    };
    let is_clock = || {
        let minutes = two_digits(clock, 25)?.strip_prefix(':')?;
        let rest = two_digits(minutes, 60)?;
        let Some(seconds) = rest.strip_prefix(':') else {
            return Some(rest);
        };
        let rest = two_digits(seconds, 61)?;
        let Some(fraction) = rest.strip_prefix('.') else {
            return Some(rest);
        };
        let rest = fraction.trim_start_matches(|char: char| char.is_ascii_digit());
        (1..=9)
            .contains(&(fraction.len() - rest.len()))
            .then_some(rest)
    };
    is_clock().is_some_and(is_zone)
}

/// Nothing, `Z`, `+02`, ` +0200`, `-08:00`.
fn is_zone(text: &str) -> bool {
    let text = text.strip_prefix(' ').unwrap_or(text);
    let Some(hours) = text.strip_prefix(['+', '-']) else {
        return matches!(text, "" | "Z" | "z");
    };
    let minutes = two_digits(hours, 16).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    minutes.is_some_and(|minutes| minutes.is_empty() || two_digits(minutes, 60) == Some(""))
}

/// What follows a number of two digits that is below a bound.
fn two_digits(text: &str, bound: u32) -> Option<&str> {
    let (digits, rest) = text.split_at_checked(2)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u32>().ok().filter(|_| is_number)?;
    (number < bound).then_some(rest)
}

/// `24.12.1990`, as texts may have it.
fn read_german(text: &str) -> Option<(u32, u32, &str)> {
    let (day, rest) = text.split_once('.')?;
    let (month, rest) = rest.split_once('.')?;
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let year = rest.get(..4)?;
    if day.len() != 2
        || month.len() != 2
        || !is_number(day)
        || !is_number(month)
        || !is_number(year)
    {
        return None;
    }
    Some((day.parse().ok()?, month.parse().ok()?, rest))
}
