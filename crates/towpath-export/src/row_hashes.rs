//! Keyed hashes of many short rows at once.
//!
//! The hash of a row is the keyed blake3 of its bytes, padded to whole blocks of 64 bytes by one
//! byte 0x80 and zeroes (ISO/IEC 7816-4: no two rows have the same padded form). Rows of equal
//! numbers of blocks then differ in nothing but their content, and a processor hashes up to sixteen
//! of them side by side; one by one, hashing costs more than everything else that is done to a row.
//! ADR 20 has the figures.

use blake3::IncrementCounter;
use blake3::platform::Platform;
use towpath_model::digest::{RowDigest, RunKey};

/// Bytes of a block, and blocks of a chunk: a longer input is a tree of chunks (the paper on BLAKE3,
/// section 2.1).
const BLOCK: usize = 64;
const BLOCKS_MAX: usize = 16;

/// Rows hashed together. No platform has more lanes.
const LANES: usize = 16;

/// Domain flags of the compression function (the same, table 3).
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;

/// Digests rows, some at a time.
pub(crate) struct RowHashes {
    key: [u8; 32],
    words: [u32; 8],
    platform: Platform,
    /// Padded rows that wait for company, by their number of blocks less one.
    waiting: [Vec<u8>; BLOCKS_MAX],
    digest: RowDigest,
}

impl RowHashes {
    pub(crate) fn new(key: &RunKey) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(key.bytes().as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self {
            key: *key.bytes(),
            words,
            platform: Platform::detect(),
            waiting: Default::default(),
            digest: RowDigest::default(),
        }
    }

    pub(crate) fn add(&mut self, row: &[u8]) {
        let blocks = row.len() / BLOCK + 1;
        let Some(waiting) = self.waiting.get_mut(blocks - 1) else {
            self.add_long(row);
            return;
        };
        let end = waiting.len() + blocks * BLOCK;
        waiting.extend_from_slice(row);
        waiting.push(0x80);
        waiting.resize(end, 0);
        if end == LANES * blocks * BLOCK {
            self.hash(blocks);
        }
    }

    fn add_long(&mut self, row: &[u8]) {
        let mut padding = [0; BLOCK];
        padding[0] = 0x80;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(row);
        hasher.update(&padding[..BLOCK - row.len() % BLOCK]);
        self.digest.add_row(hasher.finalize().as_bytes());
    }

    /// Hashes the rows of so many blocks that wait.
    fn hash(&mut self, blocks: usize) {
        match blocks {
            1 => self.hash_all::<64>(blocks),
            2 => self.hash_all::<128>(blocks),
            3 => self.hash_all::<192>(blocks),
            4 => self.hash_all::<256>(blocks),
            5 => self.hash_all::<320>(blocks),
            6 => self.hash_all::<384>(blocks),
            7 => self.hash_all::<448>(blocks),
            8 => self.hash_all::<512>(blocks),
            9 => self.hash_all::<576>(blocks),
            10 => self.hash_all::<640>(blocks),
            11 => self.hash_all::<704>(blocks),
            12 => self.hash_all::<768>(blocks),
            13 => self.hash_all::<832>(blocks),
            14 => self.hash_all::<896>(blocks),
            15 => self.hash_all::<960>(blocks),
            _ => self.hash_all::<1024>(blocks),
        }
    }

    fn hash_all<const PADDED: usize>(&mut self, blocks: usize) {
        let waiting = &mut self.waiting[blocks - 1];
        let (rows, _) = waiting.as_chunks::<PADDED>();
        let Some(first) = rows.first() else {
            return;
        };
        let lanes: [&[u8; PADDED]; LANES] =
            std::array::from_fn(|lane| rows.get(lane).unwrap_or(first));
        let mut hashes = [[0; 32]; LANES];
        self.platform.hash_many(
            &lanes[..rows.len()],
            &self.words,
            0,
            IncrementCounter::No,
            KEYED_HASH,
            CHUNK_START,
            CHUNK_END | ROOT,
            hashes.as_flattened_mut(),
        );
        for hash in &hashes[..rows.len()] {
            self.digest.add_row(hash);
        }
        waiting.clear();
    }

    /// The digest of all rows.
    pub(crate) fn finish(mut self) -> RowDigest {
        (1..=BLOCKS_MAX).for_each(|blocks| self.hash(blocks));
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, by what the crate documents.
    fn plainly(key: &RunKey, rows: &[Vec<u8>]) -> RowDigest {
        let mut digest = RowDigest::default();
        for row in rows {
            let mut padded = row.clone();
            padded.push(0x80);
            padded.resize(padded.len().next_multiple_of(BLOCK), 0);
            digest.add_row(blake3::keyed_hash(key.bytes(), &padded).as_bytes());
        }
        digest
    }

    fn together(key: &RunKey, rows: &[Vec<u8>]) -> RowDigest {
        let mut hashes = RowHashes::new(key);
        rows.iter().for_each(|row| hashes.add(row));
        hashes.finish()
    }

    #[test]
    fn rows_of_every_length_hash_as_defined() {
        let key = RunKey::new([7; 32]);
        for count in [1, 2, 15, 16, 17, 33] {
            for length in 0..1200u32 {
                let row = |no: u32| {
                    (0..length)
                        .map(|at| (at * 31 + no).to_le_bytes()[0])
                        .collect()
                };
                let rows: Vec<Vec<u8>> = (0..count).map(row).collect();
                assert_eq!(
                    together(&key, &rows),
                    plainly(&key, &rows),
                    "{count} of {length}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn rows_of_mixed_lengths_hash_as_defined(
            key in any::<[u8; 32]>(),
            rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..90),
        ) {
            let key = RunKey::new(key);
            prop_assert_eq!(together(&key, &rows), plainly(&key, &rows));
        }
    }
}
