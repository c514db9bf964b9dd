//! Ids are types, so that a table's id can never be passed where a run's is meant.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::failure::{ErrorKind, Failure};
use crate::name::QualifiedName;

/// Id of a run: one migration attempt. Lower-case letters and digits with dashes, so that it is a
/// safe part of a file name, an object key, an RDS snapshot identifier and a shell word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// Makes an id of the date (`20261122`) and random bytes: sorts by day, unique by 40 bits.
    pub fn compose(date: &str, random: [u8; 5]) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut word = String::with_capacity(8);
        let number = random
            .iter()
            .fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        for place in (0..8).rev() {
            let digit = usize::try_from((number >> (place * 5)) & 31).unwrap_or(0);
            word.push(char::from(ALPHABET[digit]));
        }
        Self(format!("{date}-{word}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 40 || !text.chars().all(plain) {
            return Err(
                Failure::new(ErrorKind::Usage, format!("{text:?} is not a run id"))
                    .hint("a run id looks like 20261122-7k2m9x0q; `towpath status` shows it"),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RunId {
    type Error = Failure;
    fn try_from(text: String) -> Result<Self, Failure> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of a table within a run: its name, made safe for object keys and file names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(String);

/// Upper-case letters are encoded too: two tables whose names differ only in case must not share a
/// folder on a file system that folds case.
const TABLE_ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

impl TableId {
    /// The id of a table. Different names always give different ids.
    pub fn of(table: &QualifiedName) -> Self {
        let text = format!("{}.{}", Self::part(&table.schema), Self::part(&table.name));
        if text.len() <= 160 {
            return Self(text);
        }
        // Longer than some file systems take for one name: cut, and tell apart by hash.
        let hash = blake3::hash(text.as_bytes()).to_hex();
        Self(format!("{}~{}", &text[..100], &hash[..32]))
    }

    fn part(name: &str) -> String {
        let mut safe = String::with_capacity(name.len());
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                safe.push_str(&format!("%{:02X}", u32::from(c)));
            } else {
                let mut buffer = [0u8; 4];
                safe.extend(utf8_percent_encode(c.encode_utf8(&mut buffer), TABLE_ID));
            }
        }
        safe
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Id of a chunk: a slice of one table, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkId {
    /// The table.
    pub table: TableId,
    /// Number within the table, from 1.
    pub no: u32,
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:04}", self.table, self.no)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_ids_never_meet() {
        let pairs = [
            ("a.b", "c"),
            ("a", "b.c"),
            ("a", "b%2Ec"),
            ("A", "b.c"),
            ("a", "B.c"),
        ];
        let mut ids: Vec<_> = pairs
            .iter()
            .map(|(s, n)| TableId::of(&QualifiedName::new(*s, *n)))
            .collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), pairs.len());
        let long = |c: char| QualifiedName::new("s", format!("{}{c}", "Ü".repeat(31)));
        assert_ne!(TableId::of(&long('a')), TableId::of(&long('b')));
        assert!(TableId::of(&long('a')).as_str().len() <= 160);
    }

    #[test]
    fn run_ids_are_plain() {
        let id = RunId::compose("20261122", [255, 0, 1, 2, 3]);
        assert_eq!(id.as_str().parse::<RunId>().unwrap(), id);
        assert!("../etc".parse::<RunId>().is_err());
    }
}
