//! Dates and times moved by days.

use towpath_model::Result;

use super::RowText;
use super::draw::Draw;
use super::shape::Shape;
use crate::codec::Type;
use crate::codec::calendar::{day_of, is_date, read_date, write_date};

/// First day of all types: 4714-11-24 BC, Julian day 0.
const FIRST: i64 = -2_451_545;
/// Behind the last day of `timestamp`, 294276-12-31, and of `date`, 5874897-12-31 (PostgreSQL
/// manual, "Date/Time Types").
const END_OF_TIMESTAMPS: i64 = 106_751_983;
const END_OF_DATES: i64 = 2_145_031_949;

/// Moves dates by as many days for all of one subject.
pub(super) struct DateShift {
    key: [u8; 32],
    max_days: u64,
    subject: Option<usize>,
    end: i64,
    is_text: bool,
    shape: Shape,
}

impl DateShift {
    pub(super) fn new(
        key: [u8; 32],
        max_days: u32,
        subject: Option<usize>,
        column_type: Type,
    ) -> Self {
        Self {
            key,
            max_days: u64::from(max_days.max(1)),
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
        let subject = match self.subject {
            Some(column) => row.text(column)?,
            None => None,
        };
        let subject = subject.as_deref().unwrap_or(value);
        let mut draw = Draw::of(&self.key, subject.as_bytes());
        let place = draw.below(self.max_days * 2);
        let days = i64::try_from(place % self.max_days).unwrap_or(0) + 1;
        Ok(if place < self.max_days { days } else { -days })
    }

    fn write_moved(&self, value: &str, days: i64, out: &mut String) -> bool {
        // Of a text all of it must be a date: what stands beside one would stay.
        if self.is_text && !value.bytes().all(is_of_moments) {
            return false;
        }
        if let Some((day, month, rest)) = read_german(value) {
            let (year, rest) = rest.split_at(4);
            let Ok(year) = year.parse() else { return false };
            return is_date(year, month, day)
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
        if !is_date(year, month, day) {
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

    /// The other way where this one leads out of the calendar.
    fn moved(&self, day: i64, days: i64) -> Option<i64> {
        [day + days, day - days]
            .into_iter()
            .find(|moved| (FIRST..self.end).contains(moved))
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

/// Whether a character is of a date, a time, a zone, or an era.
fn is_of_moments(byte: u8) -> bool {
    byte.is_ascii_digit()
        || matches!(
            byte,
            b'-' | b'+' | b':' | b'.' | b' ' | b'T' | b'Z' | b'B' | b'C'
        )
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
