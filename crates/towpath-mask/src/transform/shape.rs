//! Values that keep their shape: texts, numbers, UUIDs, hardware addresses.

use super::noise::{Decimal, write_digits};
use super::permutation::{move_digits, move_number};
use crate::codec::Type;

/// Digits become digits, and letters letters of their script and case, at the same places.
///
/// Letters and digits beyond ASCII are permuted among those of the same case in the same 128 code
/// points: within Latin-1, within Greek, within Cyrillic. Taking them to `a` to `z` would let `é` and
/// `e` meet.
pub(super) struct Shape {
    key: [u8; 32],
    keep_first: usize,
    keep_last: usize,
    column_type: Type,
}

impl Shape {
    pub(super) fn new(key: [u8; 32], keep_first: u32, keep_last: u32, column_type: Type) -> Self {
        Self {
            key,
            keep_first: usize::try_from(keep_first).unwrap_or(usize::MAX),
            keep_last: usize::try_from(keep_last).unwrap_or(usize::MAX),
            column_type,
        }
    }

    pub(super) fn apply(&self, value: &str, out: &mut String) -> bool {
        match self.column_type {
            Type::Integer(_) | Type::Oid | Type::Numeric(_) => self.apply_to_number(value, out),
            Type::Mac(bytes) => self.apply_to_mac(value, bytes, out),
            _ => {
                self.apply_to_text(value, (self.keep_first, self.keep_last), out)
                    // What is kept must not be all there is.
                    || self.apply_to_text(value, (0, 0), out)
            }
        }
    }

    fn apply_to_text(&self, value: &str, keep: (usize, usize), out: &mut String) -> bool {
        out.clear();
        let end = match keep.1 {
            0 => usize::MAX,
            last => value.chars().count().saturating_sub(last),
        };
        let mut radices = Vec::with_capacity(value.len());
        let mut digits = Vec::with_capacity(value.len());
        // What stays is part of the shape, so that texts that differ in it are permuted apart.
        let mut shape = Vec::with_capacity(value.len() * 2);
        for (at, char) in value.chars().enumerate() {
            let class = Class::of(char).filter(|_| at >= keep.0 && at < end);
            match class {
                Some((class, digit)) => {
                    shape.push(0);
                    shape.extend_from_slice(&class.label());
                    radices.push(class.size());
                    digits.push(digit);
                }
                None => {
                    shape.push(1);
                    shape.extend_from_slice(&u32::from(char).to_le_bytes());
                }
            }
        }
        if !move_digits(&self.key, &shape, &radices, &mut digits) {
            return false;
        }
        let mut moved = digits.iter();
        for (at, char) in value.chars().enumerate() {
            let class = Class::of(char).filter(|_| at >= keep.0 && at < end);
            out.push(match class {
                Some((class, _)) => moved
                    .next()
                    .and_then(|digit| class.at(*digit))
                    .unwrap_or(char),
                None => char,
            });
        }
        true
    }

    /// A number becomes one of as many digits and the same sign. The bounds of the integer types
    /// part the numbers of as many digits, so that an `integer` fits, and equal numbers of different
    /// types meet.
    pub(super) fn apply_to_number(&self, value: &str, out: &mut String) -> bool {
        // Within `json` a number may have an exponent, which stays.
        let (number, exponent) = match value.find(['e', 'E']) {
            Some(at) => value.split_at(at),
            None => (value, ""),
        };
        let Some(decimal) = Decimal::parse(number) else {
            return false;
        };
        let digits = decimal.digits();
        let mut tweak = vec![u8::from(decimal.is_negative)];
        tweak.extend_from_slice(&u64::try_from(decimal.scale()).unwrap_or(0).to_le_bytes());
        let moved = match digits.len() {
            0..=38 => self.move_short(&digits, decimal.is_negative, &mut tweak),
            _ => self.move_long(&digits, &tweak),
        };
        let Some(moved) = moved else {
            return false;
        };
        write_digits(decimal.is_negative, &moved, decimal.scale(), out);
        out.push_str(exponent);
        true
    }

    fn move_short(&self, digits: &str, is_negative: bool, tweak: &mut Vec<u8>) -> Option<String> {
        let number: u128 = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
        // A negative zero is a zero, as is what `-0` was meant to be.
        if number == 0 && is_negative {
            return None;
        }
        let (low, high) = numbers_like(number, is_negative);
        tweak.extend_from_slice(&low.to_le_bytes());
        let moved = low + move_number(&self.key, tweak, number - low, high - low + 1)?;
        Some(moved.to_string())
    }

    fn move_long(&self, digits: &str, tweak: &[u8]) -> Option<String> {
        let mut radices = vec![10; digits.len()];
        radices[0] = 9;
        let mut moved: Vec<u8> = digits.bytes().map(|byte| byte - b'0').collect();
        moved[0] -= 1;
        let mut shape = tweak.to_vec();
        shape.extend_from_slice(&u64::try_from(digits.len()).ok()?.to_le_bytes());
        move_digits(&self.key, &shape, &radices, &mut moved);
        moved[0] += 1;
        Some(moved.iter().map(|digit| char::from(b'0' + digit)).collect())
    }

    fn apply_to_mac(&self, value: &str, bytes: u8, out: &mut String) -> bool {
        let digits: String = value.chars().filter(char::is_ascii_hexdigit).collect();
        let Ok(number) = u128::from_str_radix(&digits, 16) else {
            return false;
        };
        let size = 1_u128 << (u32::from(bytes) * 8);
        let Some(moved) = move_number(&self.key, b"mac", number, size) else {
            return false;
        };
        let width = usize::from(bytes) * 2;
        let hex = format!("{moved:0width$x}");
        for (at, digit) in hex.chars().enumerate() {
            if at > 0 && at % 2 == 0 {
                out.push(':');
            }
            out.push(digit);
        }
        true
    }
}

/// The numbers of as many digits, on the same side of the bounds of the integer types.
fn numbers_like(number: u128, is_negative: bool) -> (u128, u128) {
    let mut low = 1;
    while number / low >= 10 {
        low *= 10;
    }
    let mut high = low * 10 - 1;
    if low == 1 && !is_negative {
        low = 0;
    }
    let more = u128::from(is_negative);
    for bound in [i16::MAX.into(), i32::MAX.into(), i64::MAX] {
        let bound = u128::from(bound.unsigned_abs()) + more;
        if bound < number {
            low = low.max(bound + 1);
        } else {
            high = high.min(bound);
        }
    }
    let oid = u128::from(u32::MAX);
    match oid < number {
        true => low = low.max(oid + 1),
        false => high = high.min(oid),
    }
    (low, high)
}

/// Characters that may stand for each other.
#[derive(Clone, Copy)]
struct Class {
    /// The code point divided by 128.
    block: u32,
    sort: Sort,
}

#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Number,
    Upper,
    Lower,
    Letter,
}

impl Sort {
    fn of(char: char) -> Option<Self> {
        // Case first: Roman numerals have one.
        if char.is_uppercase() {
            Some(Self::Upper)
        } else if char.is_lowercase() {
            Some(Self::Lower)
        } else if char.is_numeric() {
            Some(Self::Number)
        } else if char.is_alphabetic() {
            Some(Self::Letter)
        } else {
            None
        }
    }
}

impl Class {
    /// The class of a character, and its place in it. Nothing for what is neither letter nor digit.
    fn of(char: char) -> Option<(Self, u8)> {
        let sort = Sort::of(char)?;
        let class = Self {
            block: u32::from(char) >> 7,
            sort,
        };
        let digit = match char {
            '0'..='9' => u32::from(char) - u32::from('0'),
            'a'..='z' => u32::from(char) - u32::from('a'),
            'A'..='Z' => u32::from(char) - u32::from('A'),
            _ => u32::try_from(class.members().take_while(|other| *other < char).count()).ok()?,
        };
        Some((class, u8::try_from(digit).ok()?))
    }

    fn label(self) -> [u8; 5] {
        let block = self.block.to_le_bytes();
        let sort = match self.sort {
            Sort::Number => 0,
            Sort::Upper => 1,
            Sort::Lower => 2,
            Sort::Letter => 3,
        };
        [block[0], block[1], block[2], block[3], sort]
    }

    fn members(self) -> impl Iterator<Item = char> {
        let first = self.block << 7;
        (first..first + 128)
            .filter_map(char::from_u32)
            .filter(move |char| Sort::of(*char) == Some(self.sort))
    }

    fn size(self) -> u8 {
        match (self.block, self.sort) {
            (0, Sort::Number) => 10,
            (0, _) => 26,
            _ => u8::try_from(self.members().count()).unwrap_or(1),
        }
    }

    fn at(self, digit: u8) -> Option<char> {
        match (self.block, self.sort) {
            (0, Sort::Number) => Some(char::from(b'0' + digit)),
            (0, Sort::Lower) => Some(char::from(b'a' + digit)),
            (0, Sort::Upper) => Some(char::from(b'A' + digit)),
            _ => self.members().nth(usize::from(digit)),
        }
    }
}

/// UUIDs become others of the same version and variant: the other 122 bits are permuted.
pub(super) struct Uuids {
    key: [u8; 32],
    shape: Shape,
}

impl Uuids {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self {
            key,
            shape: Shape::new(key, 0, 0, Type::Text),
        }
    }

    /// A text that is no UUID keeps its shape.
    pub(super) fn apply(&self, value: &str, out: &mut String) -> bool {
        let Some(number) = read_uuid(value) else {
            return self.shape.apply(value, out);
        };
        // Version: bits 76 to 79; variant: bits 62 and 63 (RFC 9562, section 4).
        let version = number >> 76 & 0xf;
        let variant = number >> 62 & 0x3;
        let free = number >> 80 << 74 | (number >> 64 & 0xfff) << 62 | number & (u128::MAX >> 66);
        let tweak = (version << 2 | variant).to_le_bytes();
        let Some(moved) = move_number(&self.key, &tweak[..1], free, 1 << 122) else {
            return false;
        };
        let number = moved >> 74 << 80
            | version << 76
            | (moved >> 62 & 0xfff) << 64
            | variant << 62
            | moved & (u128::MAX >> 66);
        write_uuid_like(value, number, out);
        true
    }
}

/// Reads a UUID in any form that PostgreSQL prints or applications write: with or without hyphens
/// and braces, of one case.
fn read_uuid(text: &str) -> Option<u128> {
    let bare = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let bytes = bare.as_bytes();
    let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let is_right = match bytes.len() {
        32 => bytes.iter().all(u8::is_ascii_hexdigit),
        36 => bytes.iter().enumerate().all(|(at, byte)| {
            if is_hyphen(at) {
                *byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        }),
        _ => false,
    };
    let has_upper = bytes.iter().any(u8::is_ascii_uppercase);
    let has_lower = bytes.iter().any(u8::is_ascii_lowercase);
    // Of both cases there would be no telling which letters of the new one are which.
    if !is_right || has_upper && has_lower {
        return None;
    }
    let mut number: u128 = 0;
    for byte in bytes.iter().filter(|byte| **byte != b'-') {
        let digit = char::from(*byte).to_digit(16)?;
        number = number << 4 | u128::from(digit);
    }
    Some(number)
}

fn write_uuid_like(like: &str, number: u128, out: &mut String) {
    let is_upper = like.bytes().any(|byte| byte.is_ascii_uppercase());
    let digits: &[u8; 16] = match is_upper {
        true => b"0123456789ABCDEF",
        false => b"0123456789abcdef",
    };
    let mut left = 32;
    for char in like.chars() {
        if !char.is_ascii_hexdigit() {
            out.push(char);
            continue;
        }
        left -= 1;
        let digit = usize::try_from(number >> (left * 4) & 0xf).unwrap_or(0);
        out.push(char::from(digits[digit]));
    }
}
