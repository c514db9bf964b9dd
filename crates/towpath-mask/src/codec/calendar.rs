//! The proleptic Gregorian calendar, in days since 2000-01-01, as PostgreSQL counts them.

/// Julian day of 2000-01-01.
const EPOCH: i64 = 2_451_545;

/// Day number of a date; years before Christ are zero and less. (Fliegel and Van Flandern,
/// "A machine algorithm for processing calendar dates", CACM 11, 1968, for the leap years' cycle.)
pub(crate) fn day_of(year: i64, month: u32, day: u32) -> i64 {
    // Years that begin in March have their leap day last.
    let shifted = if month > 2 { year } else { year - 1 };
    let month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + 1_721_120 - EPOCH
}

/// Year, month and day of a day number.
pub(crate) fn date_of(day: i64) -> (i64, u32, u32) {
    let day = day + EPOCH - 1_721_120;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let small = |number: i64| u32::try_from(number).unwrap_or(1);
    (era * 400 + year + next, small(month), small(day))
}

/// Whether there is such a date.
pub(crate) fn is_date(year: i64, month: u32, day: u32) -> bool {
    let is_leap =
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Writes a date as PostgreSQL's ISO style does, the year of four digits at least; the era of years
/// before Christ comes last, behind a time, so it is told and not written.
pub(crate) fn write_date(day: i64, out: &mut String) -> bool {
    let (year, month, day) = date_of(day);
    let is_before_christ = year <= 0;
    let year = if is_before_christ { 1 - year } else { year };
    write_padded(year, 4, out);
    out.push('-');
    write_padded(month.into(), 2, out);
    out.push('-');
    write_padded(day.into(), 2, out);
    is_before_christ
}

/// Writes a number of at least so many digits, with zeros before it; days and times are made of them,
/// and formatted strings cost as much as all else that is done to one.
pub(super) fn write_padded(number: i64, width: usize, out: &mut String) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut from) = (number.unsigned_abs(), digits.len());
    while rest > 0 && from > 0 {
        from -= 1;
        digits[from] += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    let from = from.min(digits.len() - width.min(digits.len()));
    out.extend(digits[from..].iter().map(|digit| char::from(*digit)));
}

/// Reads a date at the beginning of a text, and gives its parts and what follows; the era, which
/// may come last, is not looked for.
pub(crate) fn read_date(text: &str) -> Option<(i64, u32, u32, &str)> {
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let end = rest
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(rest.len());
    let (day, rest) = rest.split_at(end);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // The last year of `date` has seven digits.
    if !(4..=7).contains(&year.len())
        || !is_number(year)
        || month.len() != 2
        || !is_number(month)
        || day.len() != 2
    {
        return None;
    }
    Some((
        year.parse().ok()?,
        month.parse().ok()?,
        day.parse().ok()?,
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_numbers_are_as_formatted_ones() {
        for (number, width) in [
            (0, 2),
            (7, 2),
            (42, 2),
            (2024, 4),
            (123, 2),
            (5_874_897, 4),
            (9, 6),
        ] {
            let mut out = String::from("at ");
            write_padded(number, width, &mut out);
            assert_eq!(out, format!("at {number:0width$}"));
        }
    }

    #[test]
    fn days_and_dates_are_each_other() {
        assert_eq!(day_of(2000, 1, 1), 0);
        assert_eq!(day_of(1970, 1, 1), -10_957);
        assert_eq!(day_of(2000, 3, 1), 60);
        // PostgreSQL's first date, 4714-11-24 BC, is Julian day 0.
        assert_eq!(day_of(-4713, 11, 24), -2_451_545);
        let mut before = None;
        for day in (-2_451_545..2_145_031_948).step_by(40_009) {
            for day in [day, day + 1] {
                let (year, month, of_month) = date_of(day);
                assert_eq!(day_of(year, month, of_month), day);
                assert!(is_date(year, month, of_month), "{year}-{month}-{of_month}");
                assert!(before < Some((year, month, of_month)));
                before = Some((year, month, of_month));
            }
        }
        assert!(!is_date(1900, 2, 29) && is_date(2000, 2, 29) && !is_date(2001, 4, 31));
    }
}
