//! Digests rows as the manifest defines it, on its own: nothing here is the export's.
//!
//! A row's hash is the keyed blake3 of the row, of one byte 0x80 and of as many zeroes as make its
//! length a multiple of 64. Some hundred rows are gathered, sorted by their number of 64-byte blocks,
//! and those of equal number go through the compression function side by side.

use blake3::platform::{MAX_SIMD_DEGREE, Platform};
use towpath_model::digest::RowDigest;

use crate::row_stream::RowVisitor;

/// Padded bytes and rows gathered before they are hashed: what a core's cache holds.
const GATHERED_BYTES: usize = 128 << 10;
const GATHERED_ROWS: usize = 512;

/// Blocks of the longest row that is gathered; one of more is a tree of its own.
const SHORT: usize = 16;

/// A padded row among those gathered.
struct Padded {
    blocks: usize,
    from: usize,
    /// Bytes of the row, without its padding.
    length: usize,
}

/// Takes rows with their hashes.
pub(crate) trait HashedRows: Send {
    /// One row.
    fn take(&mut self, hash: &[u8; 32], row: &[u8]);
}

impl HashedRows for RowDigest {
    fn take(&mut self, hash: &[u8; 32], _: &[u8]) {
        self.add_row(hash);
    }
}

/// Sums the keyed hashes of rows.
pub(crate) type RowDigester = RowHasher<RowDigest>;

/// Hashes rows, and hands them on.
pub(crate) struct RowHasher<T> {
    key: [u8; 32],
    key_words: [u32; 8],
    platform: Platform,
    bytes: Vec<u8>,
    rows: Vec<Padded>,
    taker: T,
}

impl RowDigester {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::handing_to(key, RowDigest::default())
    }
}

impl<T: HashedRows> RowHasher<T> {
    /// Hands rows to this one.
    pub(crate) fn handing_to(key: &[u8; 32], taker: T) -> Self {
        let word = |at: usize| {
            let byte = |of: usize| u32::from(key[at * 4 + of]) << (8 * of);
            byte(0) | byte(1) | byte(2) | byte(3)
        };
        Self {
            key: *key,
            key_words: std::array::from_fn(word),
            platform: Platform::detect(),
            bytes: Vec::new(),
            rows: Vec::new(),
            taker,
        }
    }

    /// Who was handed all rows seen.
    pub(crate) fn finish(mut self) -> T {
        self.hash_gathered();
        self.taker
    }

    fn hash_gathered(&mut self) {
        self.rows.sort_unstable_by_key(|row| row.blocks);
        let mut hashes = [0u8; 32 * MAX_SIMD_DEGREE];
        for alike in self.rows.chunk_by(|a, b| a.blocks == b.blocks) {
            for together in alike.chunks(MAX_SIMD_DEGREE) {
                let hashes = &mut hashes[..32 * together.len()];
                self.compress(together, hashes);
                for (row, hash) in together.iter().zip(hashes.as_chunks::<32>().0) {
                    let bytes = &self.bytes[row.from..row.from + row.length];
                    self.taker.take(hash, bytes);
                }
            }
        }
        self.rows.clear();
        self.bytes.clear();
    }

    fn compress(&self, rows: &[Padded], hashes: &mut [u8]) {
        match rows.first().map(|row| row.blocks) {
            Some(1) => self.compress_blocks::<0x040>(rows, hashes),
            Some(2) => self.compress_blocks::<0x080>(rows, hashes),
            Some(3) => self.compress_blocks::<0x0c0>(rows, hashes),
            Some(4) => self.compress_blocks::<0x100>(rows, hashes),
            Some(5) => self.compress_blocks::<0x140>(rows, hashes),
            Some(6) => self.compress_blocks::<0x180>(rows, hashes),
            Some(7) => self.compress_blocks::<0x1c0>(rows, hashes),
            Some(8) => self.compress_blocks::<0x200>(rows, hashes),
            Some(9) => self.compress_blocks::<0x240>(rows, hashes),
            Some(10) => self.compress_blocks::<0x280>(rows, hashes),
            Some(11) => self.compress_blocks::<0x2c0>(rows, hashes),
            Some(12) => self.compress_blocks::<0x300>(rows, hashes),
            Some(13) => self.compress_blocks::<0x340>(rows, hashes),
            Some(14) => self.compress_blocks::<0x380>(rows, hashes),
            Some(15) => self.compress_blocks::<0x3c0>(rows, hashes),
            Some(_) => self.compress_blocks::<0x400>(rows, hashes),
            None => {}
        }
    }

    fn compress_blocks<const LENGTH: usize>(&self, rows: &[Padded], hashes: &mut [u8]) {
        let inputs: Vec<&[u8; LENGTH]> = rows
            .iter()
            .filter_map(|row| self.bytes[row.from..].first_chunk())
            .collect();
        assert_eq!(inputs.len(), rows.len(), "a padded row is cut short");
        // Flags of the paper: keyed; a chunk begins; it ends and is the root.
        let (keyed, begins, ends) = (1 << 4, 1, 1 << 1 | 1 << 3);
        let (count, same) = (0, blake3::IncrementCounter::No);
        let words = &self.key_words;
        self.platform
            .hash_many(&inputs, words, count, same, keyed, begins, ends, hashes);
    }
}

impl<T: HashedRows> RowVisitor for RowHasher<T> {
    fn end(&mut self) {
        self.hash_gathered();
    }

    fn row(&mut self, row: &[u8]) {
        const PADDING: [u8; 64] = {
            let mut padding = [0; 64];
            padding[0] = 0x80;
            padding
        };
        let padding = &PADDING[..64 - row.len() % 64];
        let blocks = (row.len() + padding.len()) / 64;
        if blocks > SHORT {
            let mut alone = blake3::Hasher::new_keyed(&self.key);
            alone.update(row).update(padding);
            self.taker.take(alone.finalize().as_bytes(), row);
            return;
        }
        let from = self.bytes.len();
        self.rows.push(Padded {
            blocks,
            from,
            length: row.len(),
        });
        self.bytes.extend_from_slice(row);
        self.bytes.extend_from_slice(padding);
        if self.bytes.len() >= GATHERED_BYTES || self.rows.len() >= GATHERED_ROWS {
            self.hash_gathered();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn defined(key: &[u8; 32], rows: &[Vec<u8>]) -> RowDigest {
        let mut sum = RowDigest::default();
        for row in rows {
            let mut input = [row.as_slice(), &[0x80]].concat();
            while input.len() % 64 > 0 {
                input.push(0);
            }
            sum.add_row(blake3::keyed_hash(key, &input).as_bytes());
        }
        sum
    }

    fn found(key: &[u8; 32], rows: &[Vec<u8>]) -> RowDigest {
        let mut digester = RowDigester::new(key);
        for row in rows {
            digester.row(row);
        }
        digester.finish()
    }

    #[test]
    fn every_length_and_every_number_of_rows() {
        let key = [0xa5; 32];
        for length in 0..1300 {
            let rows = vec![vec![0x5a; length]; length % 40 + 1];
            assert_eq!(found(&key, &rows), defined(&key, &rows), "{length}");
        }
        let many = vec![vec![1; 30]; 3 * GATHERED_ROWS + 5];
        assert_eq!(found(&key, &many), defined(&key, &many));
        assert_eq!(found(&key, &[]), RowDigest::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_rows(
            key in any::<[u8; 32]>(),
            rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2500), 0..120),
        ) {
            prop_assert_eq!(found(&key, &rows), defined(&key, &rows));
        }
    }
}
