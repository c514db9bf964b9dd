//! Texts, truth values, bytes, UUIDs and points.

use super::numbers::{read_float8, write_float8};
use super::types::Type;

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

pub(super) fn decode(scalar: Type, value: &[u8], out: &mut String) -> Option<()> {
    match (scalar, value) {
        (Type::Boolean, [0]) => out.push('f'),
        (Type::Boolean, [_]) => out.push('t'),
        // Zero prints as nothing, bytes beyond ASCII as a backslash and octal digits
        // (src/backend/utils/adt/char.c).
        (Type::Byte, [0]) => {}
        (Type::Byte, [byte @ 1..=0x7f]) => out.push(char::from(*byte)),
        (Type::Byte, [byte]) => out.push_str(&format!("\\{byte:03o}")),
        (Type::Bytes, bytes) => {
            out.push_str("\\x");
            push_hex(bytes, out);
        }
        (Type::Uuid, bytes) => {
            let bytes: &[u8; 16] = bytes.try_into().ok()?;
            for (at, byte) in bytes.iter().enumerate() {
                if matches!(at, 4 | 6 | 8 | 10) {
                    out.push('-');
                }
                push_hex(&[*byte], out);
            }
        }
        (Type::Point, bytes) => {
            let (x, y) = bytes.split_at_checked(8)?;
            out.push('(');
            write_float8(f64::from_be_bytes(x.try_into().ok()?), out);
            out.push(',');
            write_float8(f64::from_be_bytes(y.try_into().ok()?), out);
            out.push(')');
        }
        _ => return None,
    }
    Some(())
}

pub(super) fn encode(scalar: Type, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match scalar {
        Type::Boolean => out.push(match text {
            "t" | "true" => 1,
            "f" | "false" => 0,
            _ => return None,
        }),
        Type::Byte => match (text.as_bytes(), text.strip_prefix('\\')) {
            ([], _) => out.push(0),
            ([byte], _) if byte.is_ascii() => out.push(*byte),
            (_, Some(octal)) if octal.len() == 3 => out.push(u8::from_str_radix(octal, 8).ok()?),
            _ => return None,
        },
        Type::Bytes => read_hex(text.strip_prefix("\\x")?, out)?,
        Type::Uuid => {
            let bytes = text.as_bytes();
            let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
            let hyphens = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'-');
            if bytes.len() != 36
                || hyphens
                    .map(|(at, _)| at)
                    .filter(|at| is_hyphen(*at))
                    .count()
                    != 4
            {
                return None;
            }
            let digits: String = text.chars().filter(|char| *char != '-').collect();
            if digits.len() != 32 {
                return None;
            }
            read_hex(&digits, out)?;
        }
        Type::Point => {
            let (x, y) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
            out.extend_from_slice(&read_float8(x)?.to_be_bytes());
            out.extend_from_slice(&read_float8(y)?.to_be_bytes());
        }
        _ => return None,
    }
    Some(())
}

fn push_hex(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn read_hex(digits: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    for pair in digits.chunks_exact(2) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        out.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(())
}
