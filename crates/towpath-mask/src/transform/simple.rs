//! Transformers that need no more than the value: redaction, hashes, coordinates.

use super::draw::Draw;
use super::shape::Shape;
use crate::codec::{Type, write_float4, write_float8};

/// Letters and digits give way to a character.
pub(super) struct Redact {
    character: char,
    keep_first: usize,
    keep_last: usize,
}

impl Redact {
    pub(super) fn new(character: Option<char>, keep_first: u32, keep_last: u32) -> Self {
        // A letter could be what stands there already, and then nothing would change.
        let character = character.filter(|character| !character.is_alphanumeric());
        Self {
            character: character.unwrap_or('*'),
            keep_first: usize::try_from(keep_first).unwrap_or(usize::MAX),
            keep_last: usize::try_from(keep_last).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn apply(&self, value: &str, out: &mut String) -> bool {
        if self.write(value, (self.keep_first, self.keep_last), out) {
            return true;
        }
        // What is kept must not be all there is.
        out.clear();
        self.write(value, (0, 0), out)
    }

    fn write(&self, value: &str, keep: (usize, usize), out: &mut String) -> bool {
        let from = keep.0;
        let to = match keep.1 {
            0 => usize::MAX,
            last => value.chars().count().saturating_sub(last),
        };
        let mut is_changed = false;
        for (at, char) in value.chars().enumerate() {
            let is_redacted = at >= from && at < to && char.is_alphanumeric();
            is_changed |= is_redacted;
            out.push(if is_redacted { self.character } else { char });
        }
        is_changed
    }
}

/// Digits of a hash where the rules say nothing: 128 bits.
pub(super) const HASH_DIGITS: u32 = 32;

/// Keyed hash in hexadecimal digits.
pub(super) struct Hash {
    key: [u8; 32],
    digits: usize,
    is_bytes: bool,
}

impl Hash {
    pub(super) fn new(key: [u8; 32], digits: Option<u32>, column_type: Type) -> Self {
        let digits = digits.unwrap_or(HASH_DIGITS).clamp(1, 64);
        Self {
            key,
            digits: usize::try_from(digits).unwrap_or(32),
            is_bytes: column_type == Type::Bytes,
        }
    }

    pub(super) fn apply(&self, value: &str, max_chars: Option<usize>, out: &mut String) -> bool {
        let mut draw = Draw::of(&self.key, value.as_bytes());
        // Few digits may be the value itself; the stream has more of them.
        for _ in 0..32 {
            out.clear();
            self.write(&mut draw, max_chars, out);
            if out != value {
                return true;
            }
        }
        false
    }

    fn write(&self, draw: &mut Draw<'_>, max_chars: Option<usize>, out: &mut String) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digits = match self.is_bytes {
            true => {
                out.push_str("\\x");
                self.digits.next_multiple_of(2)
            }
            false => self.digits.min(max_chars.unwrap_or(usize::MAX)),
        };
        let mut left = digits;
        while left > 0 {
            let mut bits = draw.bits();
            for _ in 0..left.min(16) {
                out.push(char::from(HEX[usize::try_from(bits >> 60).unwrap_or(0)]));
                bits <<= 4;
            }
            left -= left.min(16);
        }
    }
}

/// Decimals of coordinates are cut, never rounded: what is cut is the same for all that are near.
pub(super) struct Coordinates {
    decimals: usize,
    form: Form,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Cut decimals become zeros: a `numeric` prints as many as it has.
    Zeros,
    /// As `real` prints it.
    Real,
    /// As `double precision` prints it.
    Double,
    /// As it comes, in a text.
    Plain,
}

/// What stands beside coordinates in a text, but for numbers.
const BESIDE: [&str; 20] = [
    "n",
    "e",
    "s",
    "w",
    "o",
    "lat",
    "lng",
    "lon",
    "long",
    "latitude",
    "longitude",
    "x",
    "y",
    "z",
    "m",
    "point",
    "srid",
    "geo",
    "type",
    "coordinates",
];

impl Coordinates {
    pub(super) fn new(key: [u8; 32], decimals: u32, column_type: Type) -> Self {
        Self {
            shape: Shape::new(key, 0, 0, Type::Text),
            decimals: usize::try_from(decimals).unwrap_or(usize::MAX),
            form: match column_type {
                Type::Numeric(_) => Form::Zeros,
                Type::Float4 => Form::Real,
                Type::Float8 | Type::Point => Form::Double,
                _ => Form::Plain,
            },
        }
    }

    /// Cuts every number. A text that holds anything but coordinates keeps its shape alone.
    pub(super) fn apply(&self, value: &str, out: &mut String) -> bool {
        if self.form == Form::Plain && !are_coordinates(value) {
            return self.shape.apply(value, out);
        }
        let mut rest = value;
        while let Some(start) = rest.find(|char: char| char.is_ascii_digit()) {
            let (before, number) = rest.split_at(start);
            let (number, after) = number.split_at(end_of_number(number, self.form));
            let unsigned = before.strip_suffix('-');
            out.push_str(unsigned.unwrap_or(before));
            self.cut(unsigned.is_some(), number, out);
            rest = after;
        }
        out.push_str(rest);
        out != value
    }

    fn cut(&self, is_negative: bool, number: &str, out: &mut String) {
        let sign = if is_negative { "-" } else { "" };
        let parsed: f64 = number.parse().unwrap_or(0.0);
        let cut = match number.contains(['e', 'E']) {
            // No decimals that anybody could cut.
            true if parsed >= 1e6 => number.to_owned(),
            true => self.cut_plain(&format!("{parsed:.30}")),
            false => self.cut_plain(number),
        };
        match self.form {
            Form::Real => {
                write_float4(format!("{sign}{cut}").parse().unwrap_or(0.0), out);
            }
            Form::Double => {
                write_float8(format!("{sign}{cut}").parse().unwrap_or(0.0), out);
            }
            Form::Zeros | Form::Plain => {
                // `numeric` has no negative zero.
                if !cut.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                    out.push_str(sign);
                }
                out.push_str(&cut);
            }
        }
    }

    fn cut_plain(&self, number: &str) -> String {
        let Some((whole, decimals)) = number.split_once('.') else {
            return number.to_owned();
        };
        let kept = &decimals[..self.decimals.min(decimals.len())];
        let zeros = match self.form {
            Form::Zeros => decimals.len() - kept.len(),
            _ => 0,
        };
        match kept.len() + zeros {
            0 => whole.to_owned(),
            width => format!("{whole}.{kept:0<width$}"),
        }
    }
}

/// Whether a text is nothing but numbers with decimals, and what is written beside them. What has no
/// decimals, a comma for a point, or minutes and seconds, could not be cut: `525200080`,
/// `52,520008`, `52°31′12″`.
fn are_coordinates(text: &str) -> bool {
    let is_word = |word: &str| {
        word.is_empty()
            || BESIDE
                .iter()
                .any(|beside| word.eq_ignore_ascii_case(beside))
    };
    let is_srid = |before: &str| before.to_ascii_lowercase().ends_with("srid=");
    if text.contains(['\'', '′', '″']) {
        return false;
    }
    let mut rest = text;
    while let Some(start) = rest.find(|char: char| char.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        if before == "," && !text.contains('.') {
            return false;
        }
        let (number, after) = number.split_at(end_of_number(number, Form::Plain));
        let whole = number.split(['.', 'e', 'E']).next().unwrap_or(number);
        let is_cut = number.len() > whole.len() || whole.len() <= 3 || is_srid(before);
        if !is_cut
            || !before
                .split(|char: char| !char.is_alphanumeric())
                .all(is_word)
        {
            return false;
        }
        rest = after;
    }
    rest.split(|char: char| !char.is_alphanumeric())
        .all(is_word)
}

/// Where a number ends that begins with a digit. In a text an `E` behind it may be the east.
fn end_of_number(text: &str, form: Form) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let start = end + 1 + sign;
        let may_be = form != Form::Plain || bytes.get(end + 1) == Some(&b'-');
        if may_be && start <= bytes.len() && digits(start) > start {
            end = digits(start);
        }
    }
    end
}
