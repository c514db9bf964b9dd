//! Dates and times.

use super::calendar::{day_of, is_date, read_date, write_date, write_padded};
use super::types::Type;

const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;
const MINUTE: i64 = 60_000_000;
const SECOND: i64 = 1_000_000;

pub(super) fn decode(scalar: Type, value: &[u8], out: &mut String) -> Option<()> {
    match scalar {
        Type::Date => {
            let day = i32::from_be_bytes(value.try_into().ok()?);
            match day {
                i32::MAX => out.push_str("infinity"),
                i32::MIN => out.push_str("-infinity"),
                _ if write_date(i64::from(day), out) => out.push_str(" BC"),
                _ => {}
            }
        }
        Type::Timestamp | Type::TimestampTz => {
            let moment = i64::from_be_bytes(value.try_into().ok()?);
            match moment {
                i64::MAX => out.push_str("infinity"),
                i64::MIN => out.push_str("-infinity"),
                _ => write_moment(moment, scalar == Type::TimestampTz, out),
            }
        }
        Type::Time => write_time(i64::from_be_bytes(value.try_into().ok()?), out),
        Type::TimeTz => {
            let (time, zone) = value.split_at_checked(8)?;
            write_time(i64::from_be_bytes(time.try_into().ok()?), out);
            // Kept in seconds west of Greenwich.
            write_zone(-i64::from(i32::from_be_bytes(zone.try_into().ok()?)), out);
        }
        _ => return None,
    }
    Some(())
}

pub(super) fn encode(scalar: Type, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match (scalar, text) {
        (Type::Date, "infinity") => out.extend_from_slice(&i32::MAX.to_be_bytes()),
        (Type::Date, "-infinity") => out.extend_from_slice(&i32::MIN.to_be_bytes()),
        (Type::Timestamp | Type::TimestampTz, "infinity") => {
            out.extend_from_slice(&i64::MAX.to_be_bytes());
        }
        (Type::Timestamp | Type::TimestampTz, "-infinity") => {
            out.extend_from_slice(&i64::MIN.to_be_bytes());
        }
        (Type::Date, _) => {
            let (day, rest) = read_day(text)?;
            if !rest.is_empty() {
                return None;
            }
            out.extend_from_slice(&i32::try_from(day).ok()?.to_be_bytes());
        }
        (Type::Timestamp | Type::TimestampTz, _) => {
            let (day, rest) = read_day(text)?;
            let time = match scalar {
                Type::TimestampTz => rest.strip_suffix("+00")?,
                _ => rest,
            };
            let time = match time {
                "" if scalar == Type::Timestamp => 0,
                _ => read_time(time.strip_prefix(' ')?)?,
            };
            let moment = day.checked_mul(DAY)?.checked_add(time)?;
            out.extend_from_slice(&moment.to_be_bytes());
        }
        (Type::Time, _) => out.extend_from_slice(&read_time(text)?.to_be_bytes()),
        (Type::TimeTz, _) => {
            let (time, zone) = text.split_at(text.find(['+', '-'])?);
            out.extend_from_slice(&read_time(time)?.to_be_bytes());
            out.extend_from_slice(&i32::try_from(-read_zone(zone)?).ok()?.to_be_bytes());
        }
        _ => return None,
    }
    Some(())
}

fn write_moment(moment: i64, has_zone: bool, out: &mut String) {
    let is_before_christ = write_date(moment.div_euclid(DAY), out);
    out.push(' ');
    write_time(moment.rem_euclid(DAY), out);
    if has_zone {
        out.push_str("+00");
    }
    if is_before_christ {
        out.push_str(" BC");
    }
}

fn write_time(time: i64, out: &mut String) {
    let (hours, rest) = (time / HOUR, time % HOUR);
    let (minutes, rest) = (rest / MINUTE, rest % MINUTE);
    write_padded(hours, 2, out);
    out.push(':');
    write_padded(minutes, 2, out);
    out.push(':');
    write_padded(rest / SECOND, 2, out);
    let fraction = rest % SECOND;
    if fraction > 0 {
        out.push('.');
        write_padded(fraction, 6, out);
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn write_zone(seconds: i64, out: &mut String) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    out.push_str(&format!("{sign}{hours:02}"));
    if minutes > 0 || seconds > 0 {
        out.push_str(&format!(":{minutes:02}"));
    }
    if seconds > 0 {
        out.push_str(&format!(":{seconds:02}"));
    }
}

/// The day number of a date at the beginning, and what is between it and the era.
fn read_day(text: &str) -> Option<(i64, &str)> {
    let (text, is_before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (year, month, day, rest) = read_date(text)?;
    let year = if is_before_christ { 1 - year } else { year };
    is_date(year, month, day).then(|| (day_of(year, month, day), rest))
}

fn read_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':').map(two_digits);
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || fraction.len() > 6 || minutes > 59 || seconds > 59 {
        return None;
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let missing = u32::try_from(6 - fraction.len()).ok()?;
    let fraction: i64 = match fraction {
        "" => 0,
        digits => digits.parse::<i64>().ok()? * 10_i64.pow(missing),
    };
    let time = hours * HOUR + minutes * MINUTE + seconds * SECOND + fraction;
    // `time` goes up to 24:00:00 and has it.
    (time <= DAY).then_some(time)
}

fn read_zone(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let mut parts = text.split(':').map(two_digits);
    let hours = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0))?;
    let seconds = parts.next().unwrap_or(Some(0))?;
    Some(sign * (hours * 3600 + minutes * 60 + seconds))
}

fn two_digits(text: &str) -> Option<i64> {
    let is_right = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_right.then(|| text.parse().ok()).flatten()
}
