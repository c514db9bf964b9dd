//! Numbers.

use super::types::Type;

/// Signs of `numeric` (src/backend/utils/adt/numeric.c).
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

pub(super) fn decode(scalar: Type, value: &[u8], out: &mut String) -> Option<()> {
    match scalar {
        Type::Integer(2) => out.push_str(&i16::from_be_bytes(value.try_into().ok()?).to_string()),
        Type::Integer(4) => out.push_str(&i32::from_be_bytes(value.try_into().ok()?).to_string()),
        Type::Integer(_) => out.push_str(&i64::from_be_bytes(value.try_into().ok()?).to_string()),
        Type::Oid => out.push_str(&u32::from_be_bytes(value.try_into().ok()?).to_string()),
        Type::Float4 => write_float4(f32::from_be_bytes(value.try_into().ok()?), out),
        Type::Float8 => write_float8(f64::from_be_bytes(value.try_into().ok()?), out),
        Type::Numeric(_) => decode_numeric(value, out)?,
        _ => return None,
    }
    Some(())
}

pub(super) fn encode(scalar: Type, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match scalar {
        Type::Integer(2) => out.extend_from_slice(&text.parse::<i16>().ok()?.to_be_bytes()),
        Type::Integer(4) => out.extend_from_slice(&text.parse::<i32>().ok()?.to_be_bytes()),
        Type::Integer(_) => out.extend_from_slice(&text.parse::<i64>().ok()?.to_be_bytes()),
        Type::Oid => out.extend_from_slice(&text.parse::<u32>().ok()?.to_be_bytes()),
        Type::Float4 => {
            let real = text.parse::<f32>().ok().filter(|real| !real.is_infinite());
            let real = match text {
                "Infinity" => f32::INFINITY,
                "-Infinity" => f32::NEG_INFINITY,
                _ => real?,
            };
            out.extend_from_slice(&real.to_be_bytes());
        }
        Type::Float8 => out.extend_from_slice(&read_float8(text)?.to_be_bytes()),
        Type::Numeric(_) => encode_numeric(text, out)?,
        _ => return None,
    }
    Some(())
}

pub(super) fn read_float8(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Writes a `real` as PostgreSQL does: shortest digits, an exponent from a million on.
pub(crate) fn write_float4(number: f32, out: &mut String) {
    if !number.is_finite() {
        return write_unusual(f64::from(number), out);
    }
    let bits = number.to_bits();
    let parts = Parts::of(u64::from(bits & 0x7f_ffff), bits >> 23 & 0xff, 23, 150);
    let shortest = parts.inside(
        format!("{number:e}"),
        |digits| format!("{number:.digits$e}"),
        |text| text.parse() == Ok(number),
    );
    write_shortest(&shortest, 6, out);
}

/// Writes a `double precision` as PostgreSQL does: shortest digits, an exponent from 10^15 on
/// (src/common/d2s.c).
pub(crate) fn write_float8(number: f64, out: &mut String) {
    if !number.is_finite() {
        return write_unusual(number, out);
    }
    let bits = number.to_bits();
    let exponent = u32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let parts = Parts::of(bits & 0xf_ffff_ffff_ffff, exponent, 52, 1075);
    let shortest = parts.inside(
        format!("{number:e}"),
        |digits| format!("{number:.digits$e}"),
        |text| text.parse() == Ok(number),
    );
    write_shortest(&shortest, 15, out);
}

/// A binary number, as mantissa times a power of two.
struct Parts {
    mantissa: u64,
    exponent: i64,
    /// Its neighbour below is only half as far away as the one above.
    is_power: bool,
}

impl Parts {
    fn of(fraction: u64, exponent: u32, width: u32, bias: i64) -> Self {
        let hidden = if exponent > 0 { 1 << width } else { 0 };
        Self {
            mantissa: fraction | hidden,
            exponent: i64::from(exponent.max(1)) - bias,
            is_power: fraction == 0 && exponent > 1,
        }
    }

    /// The shortest digits that lie between the middles to both neighbours. A reader takes a middle
    /// for the even one of the two, so the standard library's digits may be one; PostgreSQL's never
    /// are.
    fn inside(
        &self,
        shortest: String,
        with_digits: impl Fn(usize) -> String,
        is_same: impl Fn(&str) -> bool,
    ) -> String {
        // Of two that are as near PostgreSQL takes the even one, and so does rounding to digits.
        let digits = shortest.bytes().take_while(|byte| *byte != b'e');
        let digits = digits.filter(u8::is_ascii_digit).count();
        let rounded = with_digits(digits.saturating_sub(1));
        // Below a power of two numbers are nearer, and what rounds to few digits may be another.
        let is_same = !self.is_power || is_same(&rounded);
        let mut text = if is_same { rounded } else { shortest };
        for digits in digits..20 {
            if !self.is_at_middle(&text) {
                break;
            }
            let longer = with_digits(digits);
            if longer.len() > text.len() {
                let (mantissa, exponent) = longer.split_once('e').unwrap_or((&longer, "0"));
                text = format!("{}e{exponent}", mantissa.trim_end_matches('0'));
            }
        }
        text
    }

    fn is_at_middle(&self, scientific: &str) -> bool {
        if !self.mantissa.is_multiple_of(2) {
            return false;
        }
        let Some((number, exponent)) = odd_times_power_of_two(scientific) else {
            return false;
        };
        let mantissa = u128::from(self.mantissa);
        let is_middle = |twice: u128, exponent_of: i64| number == twice && exponent == exponent_of;
        let below = match self.is_power {
            true => is_middle(4 * mantissa - 1, self.exponent - 2),
            false => is_middle((2 * mantissa).saturating_sub(1), self.exponent - 1),
        };
        below || is_middle(2 * mantissa + 1, self.exponent - 1)
    }
}

/// A decimal number as an odd one times a power of two; nothing for those of which that cannot be
/// said within 128 bits, which no middle is.
fn odd_times_power_of_two(scientific: &str) -> Option<(u128, i64)> {
    let (mantissa, exponent) = scientific.trim_start_matches('-').split_once('e')?;
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let tens = exponent.parse::<i64>().ok()? - i64::try_from(decimals.len()).ok()?;
    let fives = 5_u128.checked_pow(u32::try_from(tens.unsigned_abs()).ok()?)?;
    let number = match tens {
        0.. => digits.checked_mul(fives)?,
        _ if digits.is_multiple_of(fives) => digits / fives,
        _ => return None,
    };
    if number == 0 {
        return None;
    }
    let twos = number.trailing_zeros();
    Some((number >> twos, tens + i64::from(twos)))
}

fn write_unusual(number: f64, out: &mut String) {
    out.push_str(if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    });
}

/// From `-1.25e-7`, as Rust writes it.
fn write_shortest(scientific: &str, plain_below: i32, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let unsigned = mantissa.strip_prefix('-');
    if unsigned.is_some() {
        out.push('-');
    }
    let mantissa = unsigned.unwrap_or(mantissa);
    if !(-4..plain_below).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(mantissa);
        out.push('e');
        out.push(sign);
        out.push_str(&format!("{:02}", exponent.unsigned_abs()));
        return;
    }
    let digits = mantissa
        .bytes()
        .filter(|byte| *byte != b'.')
        .map(char::from);
    let zeros = |count: u32, out: &mut String| (0..count).for_each(|_| out.push('0'));
    if exponent < 0 {
        out.push_str("0.");
        zeros(exponent.unsigned_abs() - 1, out);
        out.extend(digits);
        return;
    }
    let mut left = exponent.unsigned_abs() + 1;
    for digit in digits {
        if left == 0 {
            out.push('.');
            left = u32::MAX;
        }
        out.push(digit);
        left -= 1;
    }
    if left <= exponent.unsigned_abs() {
        zeros(left, out);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn signed(word: u16) -> i64 {
    i64::from(i16::from_be_bytes(word.to_be_bytes()))
}

fn decode_numeric(value: &[u8], out: &mut String) -> Option<()> {
    let count = usize::from(word(value, 0)?);
    let weight = signed(word(value, 2)?);
    let sign = word(value, 4)?;
    let scale = usize::from(word(value, 6)?);
    if value.len() != 8 + count * 2 {
        return None;
    }
    match sign {
        0 => {}
        NEGATIVE => out.push('-'),
        NAN => {
            out.push_str("NaN");
            return Some(());
        }
        INFINITY => {
            out.push_str("Infinity");
            return Some(());
        }
        NEGATIVE_INFINITY => {
            out.push_str("-Infinity");
            return Some(());
        }
        _ => return None,
    }
    // Groups of four digits, the first one worth 10000^weight.
    let group = |place: i64| -> Option<u16> {
        match usize::try_from(weight - place) {
            Ok(at) if at < count => word(value, 8 + at * 2),
            _ => Some(0),
        }
    };
    match weight {
        0.. => {
            out.push_str(&group(weight)?.to_string());
            for place in (0..weight).rev() {
                out.push_str(&format!("{:04}", group(place)?));
            }
        }
        _ => out.push('0'),
    }
    if scale > 0 {
        out.push('.');
        let end = out.len() + scale;
        let mut place = -1;
        while out.len() < end {
            out.push_str(&format!("{:04}", group(place)?));
            place -= 1;
        }
        out.truncate(end);
    }
    Some(())
}

fn encode_numeric(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let header = |count: usize, weight: i64, sign: u16, scale: usize, out: &mut Vec<u8>| {
        out.extend_from_slice(&u16::try_from(count).ok()?.to_be_bytes());
        out.extend_from_slice(&i16::try_from(weight).ok()?.to_be_bytes());
        out.extend_from_slice(&sign.to_be_bytes());
        // Scales are of 14 bits.
        let scale = u16::try_from(scale).ok().filter(|scale| *scale <= 0x3fff)?;
        out.extend_from_slice(&scale.to_be_bytes());
        Some(())
    };
    match text {
        "NaN" => return header(0, 0, NAN, 0, out),
        "Infinity" => return header(0, 0, INFINITY, 0x20, out),
        "-Infinity" => return header(0, 0, NEGATIVE_INFINITY, 0x20, out),
        _ => {}
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(decimals) {
        return None;
    }
    let mut groups: Vec<u16> = Vec::with_capacity((whole.len() + decimals.len()) / 4 + 2);
    let lead = whole.len() % 4;
    let (first, rest) = whole.split_at(lead);
    if !first.is_empty() {
        groups.push(first.parse().ok()?);
    }
    groups.extend(rest.as_bytes().chunks(4).map(four));
    let mut weight = i64::try_from(groups.len()).ok()? - 1;
    groups.extend(decimals.as_bytes().chunks(4).map(four));
    // No zeros at either end.
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i64::try_from(zeros).ok()?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let is_negative = unsigned.len() < text.len() && !groups.is_empty();
    let weight = if groups.is_empty() { 0 } else { weight };
    let sign = if is_negative { NEGATIVE } else { 0 };
    header(groups.len(), weight, sign, decimals.len(), out)?;
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
    Some(())
}

/// Up to four digits, as if zeros followed.
fn four(digits: &[u8]) -> u16 {
    (0..4).fold(0, |sum, at| {
        sum * 10 + digits.get(at).map_or(0, |digit| u16::from(digit - b'0'))
    })
}
