//! Digests of a table's rows by the first bits of their hashes: where two sides differ, only rows of
//! buckets that differ have to be looked at again.

use towpath_model::digest::RowDigest;
use towpath_model::manifest::ExportedTable;

use crate::row_digest::HashedRows;

/// Bytes of rows that share a bucket, as long as there are not too many of them.
const BYTES: u64 = 64 << 10;

/// Bits of the most buckets that there are: 2.5 MiB of digests for each worker.
const MOST_BITS: u32 = 16;

/// A row's hash.
pub(crate) type RowHash = [u8; 32];

/// How many bits of a hash tell its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits(u32);

impl Bits {
    /// One bucket for all rows.
    pub(crate) const NONE: Self = Self(0);

    /// What suits the rows of a table.
    pub(crate) fn suiting(exported: &ExportedTable) -> Self {
        let wanted = exported.raw_bytes.div_ceil(BYTES).max(1);
        Self(wanted.next_power_of_two().trailing_zeros().min(MOST_BITS))
    }

    /// How many buckets there are.
    pub(crate) fn count(self) -> usize {
        1 << self.0
    }

    /// Which bucket a row is in.
    pub(crate) fn bucket(self, hash: &RowHash) -> usize {
        let first = u16::from_be_bytes([hash[0], hash[1]]);
        usize::from(first) >> (MOST_BITS - self.0)
    }
}

/// The digests of all buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Buckets {
    bits: Bits,
    digests: Vec<RowDigest>,
}

/// A bucket that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Differing {
    pub(crate) bucket: usize,
    /// Rows of both sides together.
    pub(crate) rows: u64,
}

impl Buckets {
    pub(crate) fn new(bits: Bits) -> Self {
        Self {
            bits,
            digests: vec![RowDigest::default(); bits.count()],
        }
    }

    /// One bucket with this digest.
    pub(crate) fn of(digest: RowDigest) -> Self {
        Self {
            bits: Bits::NONE,
            digests: vec![digest],
        }
    }

    pub(crate) fn bits(&self) -> Bits {
        self.bits
    }

    /// The digest of all rows.
    pub(crate) fn total(&self) -> RowDigest {
        self.digests.iter().collect()
    }

    /// Adds what is in the buckets of another; of less bits, all its rows are lost to sight.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.bits != other.bits {
            *self = Self::of(self.total());
            self.digests[0].add(&other.total());
            return;
        }
        for (mine, theirs) in self.digests.iter_mut().zip(&other.digests) {
            mine.add(theirs);
        }
    }

    /// Adds rows to a bucket.
    pub(crate) fn add_to(&mut self, bucket: usize, digest: &RowDigest) {
        if let Some(mine) = self.digests.get_mut(bucket) {
            mine.add(digest);
        }
    }

    /// Keeps nothing but the digest of all rows.
    pub(crate) fn forget(&mut self) {
        if self.bits != Bits::NONE {
            *self = Self::of(self.total());
        }
    }

    /// The buckets that differ.
    pub(crate) fn differing(&self, other: &Self) -> Vec<Differing> {
        let pairs = self.digests.iter().zip(&other.digests).enumerate();
        pairs
            .filter(|(_, (a, b))| a != b)
            .map(|(bucket, (a, b))| Differing {
                bucket,
                rows: a.rows + b.rows,
            })
            .collect()
    }
}

impl HashedRows for Buckets {
    fn take(&mut self, hash: &RowHash, _: &[u8]) {
        self.digests[self.bits.bucket(hash)].add_row(hash);
    }
}

/// Parts that a bucket can be cut into.
const SHARES: u64 = 1 << 16;

/// Which rows are looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    bits: Bits,
    chosen: Vec<bool>,
    /// Of 65,536 parts of each bucket, how many.
    share: u64,
}

impl Filter {
    /// As many of the buckets as `rows_max` rows are in, of one that holds more a part; and whether
    /// that is less than all.
    pub(crate) fn choose(bits: Bits, differing: &[Differing], rows_max: u64) -> (Self, bool) {
        let mut filter = Self {
            bits,
            chosen: vec![false; bits.count()],
            share: SHARES,
        };
        let mut rows = 0u64;
        for (at, it) in differing.iter().enumerate() {
            rows = rows.saturating_add(it.rows);
            if rows > rows_max && at > 0 {
                return (filter, true);
            }
            filter.chosen[it.bucket] = true;
            if rows > rows_max {
                let share = u128::from(SHARES) * u128::from(rows_max) / u128::from(rows);
                filter.share = u64::try_from(share).unwrap_or(SHARES).max(1);
                return (filter, true);
            }
        }
        (filter, false)
    }

    pub(crate) fn takes(&self, hash: &RowHash) -> bool {
        let part = u64::from(u16::from_be_bytes([hash[2], hash[3]]));
        self.chosen[self.bits.bucket(hash)] && part < self.share
    }

    /// Numbers of the chosen buckets.
    pub(crate) fn buckets(&self) -> Vec<usize> {
        let chosen = self.chosen.iter().enumerate();
        chosen.filter_map(|(at, is)| is.then_some(at)).collect()
    }

    pub(crate) fn bits(&self) -> Bits {
        self.bits
    }

    /// Of 65,536 parts of each bucket how many are looked at; nothing when it is all of them.
    pub(crate) fn share(&self) -> Option<u64> {
        (self.share < SHARES).then_some(self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(row: u64) -> RowHash {
        *blake3::hash(&row.to_le_bytes()).as_bytes()
    }

    fn filled(bits: u32, rows: impl Iterator<Item = u64>) -> Buckets {
        let mut buckets = Buckets::new(Bits(bits));
        rows.for_each(|row| buckets.take(&hash(row), &[]));
        buckets
    }

    #[test]
    fn a_row_changes_its_own_bucket_only_and_buckets_add_up() {
        for bits in [0, 1, 7, 16] {
            let (a, b) = (filled(bits, 0..1000), filled(bits, 1..1000));
            let differing = a.differing(&b);
            assert_eq!(differing.len(), 1);
            assert_eq!(differing[0].bucket, Bits(bits).bucket(&hash(0)));
            assert_eq!(a.total(), filled(0, 0..1000).total());
            let mut sum = filled(bits, 0..400);
            sum.add(&filled(bits, 400..1000));
            assert_eq!(sum, a);
            sum.forget();
            assert_eq!(sum, filled(0, 0..1000));
        }
    }

    #[test]
    fn what_is_looked_at_is_bounded() {
        let differing = |rows: &[u64]| -> Vec<Differing> {
            let buckets = rows.iter().enumerate();
            buckets
                .map(|(bucket, rows)| Differing {
                    bucket,
                    rows: *rows,
                })
                .collect()
        };
        let (all, is_partial) = Filter::choose(Bits(2), &differing(&[10, 10, 10]), 30);
        assert_eq!((all.buckets(), is_partial), (vec![0, 1, 2], false));
        assert_eq!(all.share(), None);
        let (some, is_partial) = Filter::choose(Bits(2), &differing(&[10, 10, 11]), 30);
        assert_eq!((some.buckets(), is_partial), (vec![0, 1], true));
        let (part, is_partial) = Filter::choose(Bits(0), &differing(&[u64::MAX]), 1000);
        assert_eq!((part.buckets(), is_partial), (vec![0], true));
        assert_eq!(part.share(), Some(1));
        let (half, _) = Filter::choose(Bits(0), &differing(&[2000]), 1000);
        let taken = (0..2000).filter(|row| half.takes(&hash(*row))).count();
        assert!((850..1150).contains(&taken), "{taken} of 2000");
    }
}
