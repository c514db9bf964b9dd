//! Values as a person reads them: keys, and others where somebody asked for them.
//!
//! Binary forms are those of the types' send functions (PostgreSQL sources, `src/backend/utils/adt`).

use std::fmt::Write;

use towpath_model::plan::Format;

/// Characters of a value that are shown.
const SHOWN: usize = 120;

/// A value of a key, whole, as text.
pub(crate) fn key_text(format: Format, type_name: &str, bytes: &[u8]) -> String {
    let text = match format {
        Format::Csv => String::from_utf8_lossy(bytes).into_owned(),
        Format::Binary => decoded(type_name, bytes).unwrap_or_else(|| format!("\\x{}", hex(bytes))),
    };
    // It goes to a terminal.
    text.chars()
        .map(|c| match c.is_control() {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        })
        .collect()
}

/// A value that may be long and cut to `head`: quoted, so that blanks are seen.
pub(crate) fn shown(format: Format, type_name: &str, head: &[u8], length: usize) -> String {
    let is_whole = head.len() == length;
    let text = match format {
        Format::Csv => Some(String::from_utf8_lossy(head).into_owned()),
        Format::Binary if is_text(type_name) || is_whole => decoded(type_name, head),
        Format::Binary => None,
    };
    let Some(text) = text else {
        return format!("binary, {length} bytes");
    };
    let is_short = is_whole && text.chars().nth(SHOWN).is_none();
    match is_short {
        true => format!("{text:?}"),
        false => {
            let text: String = text.chars().take(SHOWN).collect();
            format!("{text:?}… ({length} bytes)")
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_text(type_name: &str) -> bool {
    let names = ["text", "name", "json", "xml", "bpchar", "citext"];
    names.contains(&type_name) || type_name.starts_with("character")
}

/// The text of a binary form; nothing where the type is not known here.
fn decoded(type_name: &str, bytes: &[u8]) -> Option<String> {
    let name = without_modifier(type_name);
    Some(match name.as_str() {
        "smallint" => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "integer" => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "bigint" => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "oid" => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "real" => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "double precision" => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        "boolean" => (if bytes == [1] { "true" } else { "false" }).to_owned(),
        "uuid" => uuid(bytes)?,
        "numeric" => numeric(bytes)?,
        "date" => date(i32::from_be_bytes(bytes.try_into().ok()?)),
        "timestamp without time zone" => timestamp(i64::from_be_bytes(bytes.try_into().ok()?), ""),
        "timestamp with time zone" => timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "+00"),
        "time without time zone" => time(i64::from_be_bytes(bytes.try_into().ok()?)),
        // One byte tells the version of the form.
        "jsonb" => String::from_utf8_lossy(bytes.get(1..)?).into_owned(),
        "bytea" => format!("\\x{}", hex(bytes)),
        name if is_text(name) => String::from_utf8_lossy(bytes).into_owned(),
        // A type of another schema that travels in binary is an enum or a domain; labels are text.
        name if name.contains('.') && bytes.iter().all(u8::is_ascii_graphic) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => return None,
    })
}

/// `numeric(10,2)` is `numeric`, `timestamp(3) with time zone` is `timestamp with time zone`.
fn without_modifier(type_name: &str) -> String {
    match (type_name.find('('), type_name.find(')')) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{}", &type_name[..from], &type_name[to + 1..])
        }
        _ => type_name.to_owned(),
    }
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let hex = hex(bytes);
    (hex.len() == 32).then(|| {
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-")
    })
}

/// Days since 2000-01-01; the ends of the range are the infinities.
fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => civil(i64::from(days)),
    }
}

/// Microseconds since 2000-01-01.
fn timestamp(micros: i64, zone: &str) -> String {
    const DAY: i64 = 86_400_000_000;
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => format!(
            "{} {}{zone}",
            civil(micros.div_euclid(DAY)),
            time(micros.rem_euclid(DAY))
        ),
    }
}

fn time(micros: i64) -> String {
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let clock = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    match micros {
        0 => clock,
        micros => format!("{clock}.{:06}", micros)
            .trim_end_matches('0')
            .to_owned(),
    }
}

/// The day of the Gregorian calendar, counted from the first of March of the year 0, whose leap day
/// is then a year's last.
fn civil(days_since_2000: i64) -> String {
    const ERA: i64 = 146_097;
    let days = days_since_2000 + 730_425;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1460 + day / 36_524 - day / (ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    match year {
        year if year > 0 => format!("{year:04}-{month:02}-{day:02}"),
        year => format!("{:04}-{month:02}-{day:02} BC", 1 - year),
    }
}

/// Digits to the base of 10,000, the weight of the first one, the sign, and how many decimal places
/// are shown.
fn numeric(bytes: &[u8]) -> Option<String> {
    let (head, digits) = bytes.split_first_chunk::<8>()?;
    let weight = i16::from_be_bytes([head[2], head[3]]);
    let sign = u16::from_be_bytes([head[4], head[5]]);
    let places = usize::from(u16::from_be_bytes([head[6], head[7]]));
    let digits: Vec<u16> = digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|digit| u16::from_be_bytes(*digit))
        .collect();
    let mut text = String::new();
    match sign {
        0 => {}
        0x4000 => text.push('-'),
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    let digit = |at: i32| -> u16 {
        let at = usize::try_from(i32::from(weight) - at).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    let mut whole = String::new();
    for at in (0..=i32::from(weight)).rev() {
        _ = write!(whole, "{:04}", digit(at));
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if places > 0 {
        let mut fraction = String::new();
        let groups = i32::try_from(places.div_ceil(4)).ok()?;
        for at in 1..=groups {
            _ = write!(fraction, "{:04}", digit(-at));
        }
        _ = write!(text, ".{}", &fraction[..places]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(type_name: &str, bytes: &[u8]) -> String {
        key_text(Format::Binary, type_name, bytes)
    }

    #[test]
    fn binary_forms_of_usual_types() {
        assert_eq!(of("integer", &(-7i32).to_be_bytes()), "-7");
        assert_eq!(of("double precision", &(-0.0f64).to_be_bytes()), "-0");
        assert_eq!(of("boolean", &[1]), "true");
        assert_eq!(
            of("uuid", &[0x11; 16]),
            "11111111-1111-1111-1111-111111111111"
        );
        assert_eq!(of("jsonb", b"\x01{\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(of("public.mood", b"happy"), "happy");
        assert_eq!(of("public.count", &5i32.to_be_bytes()), "\\x00000005");
        assert_eq!(of("point", &[0xab]), "\\xab");
        assert_eq!(of("character varying(5)", b"a\x1b[2Jb"), "a\\u{1b}[2Jb");
    }

    #[test]
    fn days_and_times() {
        assert_eq!(of("date", &0i32.to_be_bytes()), "2000-01-01");
        assert_eq!(of("date", &(-1i32).to_be_bytes()), "1999-12-31");
        assert_eq!(of("date", &59i32.to_be_bytes()), "2000-02-29");
        assert_eq!(of("date", &8827i32.to_be_bytes()), "2024-03-02");
        assert_eq!(of("date", &(-730_119i32).to_be_bytes()), "0001-01-01");
        assert_eq!(of("date", &(-730_120i32).to_be_bytes()), "0001-12-31 BC");
        assert_eq!(of("date", &i32::MAX.to_be_bytes()), "infinity");
        assert_eq!(
            of("timestamp(3) with time zone", &(-500_000i64).to_be_bytes()),
            "1999-12-31 23:59:59.5+00"
        );
        assert_eq!(
            of("time without time zone", &1i64.to_be_bytes()),
            "00:00:00.000001"
        );
    }

    #[test]
    fn decimal_numbers() {
        let number = |weight: i16, sign: u16, places: u16, digits: &[u16]| {
            let count = u16::try_from(digits.len()).unwrap();
            let mut bytes = count.to_be_bytes().to_vec();
            bytes.extend(weight.to_be_bytes());
            [sign, places]
                .iter()
                .chain(digits)
                .for_each(|word| bytes.extend(word.to_be_bytes()));
            of("numeric(10,2)", &bytes)
        };
        assert_eq!(number(0, 0, 2, &[12, 5000]), "12.50");
        assert_eq!(number(1, 0x4000, 0, &[12, 34]), "-120034");
        assert_eq!(number(1, 0, 0, &[12]), "120000");
        assert_eq!(number(-2, 0, 8, &[7]), "0.00000007");
        assert_eq!(number(0, 0, 3, &[]), "0.000");
        assert_eq!(number(0, 0xc000, 0, &[]), "NaN");
    }

    #[test]
    fn long_values_are_cut_and_unknown_ones_counted() {
        let long = "x".repeat(200);
        let text = shown(Format::Csv, "text", long.as_bytes(), 5000);
        assert_eq!(text, format!("\"{}\"… (5000 bytes)", "x".repeat(120)));
        assert_eq!(shown(Format::Csv, "text", b"a ", 2), "\"a \"");
        assert_eq!(
            shown(Format::Binary, "point", &[0; 16], 16),
            "binary, 16 bytes"
        );
        assert_eq!(
            shown(Format::Binary, "bytea", &[0; 16], 99),
            "binary, 99 bytes"
        );
    }
}
