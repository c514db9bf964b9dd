//! Arrays of built-in types.

use super::{Type, decode_scalar, encode_scalar};
use crate::transform::{Elements, write_element};

/// Most dimensions of an array (src/include/utils/array.h, `MAXDIM`).
const DEEPEST: usize = 6;

/// An array of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Array {
    element: Type,
    oid: u32,
}

impl Array {
    /// Nothing where the number of the element's type is not the same everywhere, or its binary
    /// form is not known.
    pub(super) fn of(element: Type, base_type: &str) -> Option<Self> {
        let oid = match element {
            Type::Boolean => 16,
            Type::Bytes => 17,
            Type::Byte => 18,
            Type::Name => 19,
            Type::Integer(8) => 20,
            Type::Integer(2) => 21,
            Type::Integer(4) => 23,
            Type::Text if base_type.starts_with("text") => 25,
            Type::Text => 1043,
            Type::Oid => 26,
            Type::Json => 114,
            Type::Float4 => 700,
            Type::Float8 => 701,
            Type::Mac(6) => 829,
            Type::Mac(8) => 774,
            Type::Inet => 869,
            Type::Cidr => 650,
            Type::Padded(_) => 1042,
            Type::Date => 1082,
            Type::Time => 1083,
            Type::Timestamp => 1114,
            Type::TimestampTz => 1184,
            Type::TimeTz => 1266,
            Type::Numeric(_) => 1700,
            Type::Uuid => 2950,
            Type::Jsonb => 3802,
            _ => return None,
        };
        Some(Self { element, oid })
    }

    pub(super) fn decode(self, value: &[u8]) -> Option<String> {
        let mut reader = Reader(value);
        let depth = usize::try_from(reader.number()?).ok()?;
        let _has_nulls = reader.number()?;
        let oid = reader.number()?;
        if depth > DEEPEST || u32::try_from(oid).ok()? != self.oid {
            return None;
        }
        if depth == 0 {
            return Some("{}".to_owned());
        }
        let mut bounds = Vec::with_capacity(depth);
        for _ in 0..depth {
            // An array of no elements has no dimensions: a loop over others takes bytes at every turn.
            let length = usize::try_from(reader.number()?)
                .ok()
                .filter(|length| *length > 0)?;
            bounds.push((length, i64::from(reader.number()?)));
        }
        let mut out = String::new();
        if bounds.iter().any(|(_, lower)| *lower != 1) {
            for (length, lower) in &bounds {
                let upper = lower + i64::try_from(*length).ok()? - 1;
                out.push_str(&format!("[{lower}:{upper}]"));
            }
            out.push('=');
        }
        self.decode_level(&mut reader, &bounds, &mut out)?;
        reader.0.is_empty().then_some(out)
    }

    fn decode_level(
        self,
        reader: &mut Reader<'_>,
        bounds: &[(usize, i64)],
        out: &mut String,
    ) -> Option<()> {
        let Some(((length, _), inner)) = bounds.split_first() else {
            return self.decode_element(reader, out);
        };
        out.push('{');
        for at in 0..*length {
            if at > 0 {
                out.push(',');
            }
            self.decode_level(reader, inner, out)?;
        }
        out.push('}');
        Some(())
    }

    fn decode_element(self, reader: &mut Reader<'_>, out: &mut String) -> Option<()> {
        let length = reader.number()?;
        if length == -1 {
            out.push_str("NULL");
            return Some(());
        }
        let bytes = reader.bytes(usize::try_from(length).ok()?)?;
        write_element(&decode_scalar(self.element, bytes)?, out);
        Some(())
    }

    pub(super) fn encode(self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        let (lowers, body) = read_bounds(text)?;
        let lengths = read_lengths(body)?;
        if lengths.is_empty() {
            for number in [0, 0, i32::from_be_bytes(self.oid.to_be_bytes())] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            return Some(());
        }
        if lengths.len() > DEEPEST
            || lowers
                .as_ref()
                .is_some_and(|all| all.len() != lengths.len())
        {
            return None;
        }
        out.extend_from_slice(&i32::try_from(lengths.len()).ok()?.to_be_bytes());
        let has_nulls = out.len();
        out.extend_from_slice(&0_i32.to_be_bytes());
        out.extend_from_slice(&self.oid.to_be_bytes());
        for (at, length) in lengths.iter().enumerate() {
            let lower = lowers.as_ref().map_or(1, |lowers| lowers[at]);
            out.extend_from_slice(&i32::try_from(*length).ok()?.to_be_bytes());
            out.extend_from_slice(&lower.to_be_bytes());
        }
        let mut count = 0;
        let mut nulls = 0;
        let mut elements = Elements::of(body);
        let mut between = String::new();
        loop {
            between.clear();
            let element = elements.next(&mut between);
            for _ in 0..between.matches("NULL").count() {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                nulls += 1;
                count += 1;
            }
            let Some(element) = element else { break };
            let place = out.len();
            out.extend_from_slice(&[0; 4]);
            encode_scalar(self.element, &element, out)?;
            let length = i32::try_from(out.len() - place - 4).ok()?;
            out[place..place + 4].copy_from_slice(&length.to_be_bytes());
            count += 1;
        }
        if nulls > 0 {
            out[has_nulls..has_nulls + 4].copy_from_slice(&1_i32.to_be_bytes());
        }
        (count == lengths.iter().product::<usize>()).then_some(())
    }
}

/// Lower bounds before the first brace, where they are told.
fn read_bounds(text: &str) -> Option<(Option<Vec<i32>>, &str)> {
    if !text.starts_with('[') {
        return Some((None, text));
    }
    let (bounds, body) = text.split_once('=')?;
    let mut lowers = Vec::new();
    for bound in bounds.strip_prefix('[')?.strip_suffix(']')?.split("][") {
        lowers.push(bound.split_once(':')?.0.parse().ok()?);
    }
    Some((Some(lowers), body))
}

/// Elements of each dimension; nothing at all for an empty array. Told from the first of each.
fn read_lengths(body: &str) -> Option<Vec<usize>> {
    let mut skeleton = String::new();
    let mut elements = Elements::of(body);
    while elements.next(&mut skeleton).is_some() {
        skeleton.push('e');
    }
    let skeleton = skeleton.replace("NULL", "e");
    if !skeleton.starts_with('{') {
        return None;
    }
    let depth = skeleton.bytes().take_while(|byte| *byte == b'{').count();
    if skeleton == "{}" {
        return Some(Vec::new());
    }
    let mut counts = vec![0; depth];
    let mut lengths = vec![None; depth];
    let mut level: usize = 0;
    for byte in skeleton.bytes() {
        match byte {
            b'{' => {
                *counts.get_mut(level)? = 1;
                level += 1;
            }
            b',' => *counts.get_mut(level.checked_sub(1)?)? += 1,
            b'}' => {
                level = level.checked_sub(1)?;
                let count = *counts.get(level)?;
                if *lengths.get_mut(level)?.get_or_insert(count) != count {
                    return None;
                }
            }
            _ => {}
        }
    }
    lengths.into_iter().collect()
}

struct Reader<'v>(&'v [u8]);

impl<'v> Reader<'v> {
    fn bytes(&mut self, length: usize) -> Option<&'v [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }
}
