//! Hashes of bytes, and the digest of a set of rows.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::{ErrorKind, Failure};

/// A blake3 hash, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first eight hex digits: enough for a person to compare.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl From<blake3::Hash> for Hash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Hash {
    type Error = Failure;
    fn try_from(text: String) -> Result<Self, Failure> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|cause| {
            Failure::new(
                ErrorKind::DocumentCorrupt,
                format!("{text:?} is not a blake3 hash"),
            )
            .because(cause)
        })?;
        Ok(Self(bytes))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

/// Digest of a multiset of rows: how many, and the sum modulo 2^256 of each row's keyed hash.
///
/// Independent of order, so it does not change when rows move; a sum and not an exclusive or, so
/// that a row doubled is a difference; adds up, so chunks give their table's digest. Without the
/// run key nobody can construct other rows of the same digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowDigest {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the rows' hashes, least significant limb first.
    #[serde(with = "sum_as_hex")]
    sum: [u64; 4],
}

impl RowDigest {
    /// Adds one row by its 32-byte keyed hash.
    #[inline]
    pub fn add_row(&mut self, hash: &[u8; 32]) {
        let mut limbs = [0u64; 4];
        for (limb, bytes) in limbs.iter_mut().zip(hash.chunks_exact(8)) {
            let mut word = [0u8; 8];
            word.copy_from_slice(bytes);
            *limb = u64::from_le_bytes(word);
        }
        self.add(&Self {
            rows: 1,
            sum: limbs,
        });
    }

    /// Adds another set of rows.
    #[inline]
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        let mut carry = false;
        for (mine, theirs) in self.sum.iter_mut().zip(other.sum) {
            let (with_theirs, over) = mine.overflowing_add(theirs);
            let (with_carry, over_again) = with_theirs.overflowing_add(u64::from(carry));
            *mine = with_carry;
            carry = over || over_again;
        }
    }

    /// Of rows that somebody else has hashed twice by 64 bits each: the sums of either hash. Adds up
    /// as the others do, and cannot be compared with them.
    pub fn of_sums(rows: u64, one: u128, two: u128) -> Self {
        let halves = |sum: u128| {
            let bytes = sum.to_le_bytes();
            let (halves, _) = bytes.as_chunks::<8>();
            [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]
        };
        let ([a, b], [c, d]) = (halves(one), halves(two));
        let sum = [a, b, c, d];
        Self { rows, sum }
    }

    /// The sum as 64 hex digits, most significant first.
    pub fn hex(&self) -> String {
        let mut bytes = [0u8; 32];
        for (limb, place) in self.sum.iter().rev().zip(bytes.chunks_exact_mut(8)) {
            place.copy_from_slice(&limb.to_be_bytes());
        }
        hex::encode(bytes)
    }
}

impl<'a> FromIterator<&'a RowDigest> for RowDigest {
    fn from_iter<I: IntoIterator<Item = &'a RowDigest>>(digests: I) -> Self {
        digests
            .into_iter()
            .fold(Self::default(), |mut sum, digest| {
                sum.add(digest);
                sum
            })
    }
}

mod sum_as_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(sum: &[u64; 4], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::RowDigest { rows: 0, sum: *sum }.hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u64; 4], D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        let mut sum = [0u64; 4];
        for (limb, word) in sum.iter_mut().rev().zip(bytes.chunks_exact(8)) {
            let mut place = [0u8; 8];
            place.copy_from_slice(word);
            *limb = u64::from_be_bytes(place);
        }
        Ok(sum)
    }
}

/// The key of a run's row digests. Not a credential, but whoever holds it beside the digests can
/// test guesses about rows, so it lives in the run store, is never printed and goes with `clean`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(Hash);

impl RunKey {
    /// A key of 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Hash(random))
    }

    /// The bytes, for a keyed hasher.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// The marker that stands for NULL in this run's CSV chunks: a reader of CSV cannot see
    /// quotes, so the marker must be a text that no value can equal. Derived from the run key, it
    /// is 96 bits that nobody knew when the rows were written.
    pub fn null_marker(&self) -> String {
        let derived = blake3::derive_key("towpath 2026-11 csv null marker", self.bytes());
        format!("\\N{}", hex::encode(&derived[..12]))
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u64) -> [u8; 32] {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    #[test]
    fn order_and_grouping_do_not_matter_but_multiplicity_does() {
        let digest = |rows: &[u64]| {
            let mut digest = RowDigest::default();
            rows.iter().for_each(|n| digest.add_row(&row(*n)));
            digest
        };
        assert_eq!(digest(&[1, 2, 3, 4]), digest(&[4, 3, 2, 1]));
        assert_eq!(
            [digest(&[1, 2]), digest(&[3, 4])]
                .iter()
                .collect::<RowDigest>(),
            digest(&[1, 2, 3, 4])
        );
        assert_ne!(digest(&[1, 1, 2]), digest(&[1, 2, 2]));
        assert_ne!(digest(&[1, 1]), digest(&[]));
    }

    #[test]
    fn carries_run_through_all_limbs() {
        let mut digest = RowDigest {
            rows: 0,
            sum: [u64::MAX; 4],
        };
        digest.add(&RowDigest {
            rows: 1,
            sum: [1, 0, 0, 0],
        });
        assert_eq!(digest.hex(), "0".repeat(64));
    }

    #[test]
    fn survives_json() {
        let mut digest = RowDigest::default();
        digest.add_row(&row(7));
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<RowDigest>(&text).unwrap(), digest);
    }
}
