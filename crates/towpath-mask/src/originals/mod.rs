//! What the source holds in masked columns, as keyed hashes: enough to tell whether a value of the
//! clone is one of them, and no value of any row.
//!
//! The set is a Bloom filter (B. H. Bloom, "Space/time trade-offs in hash coding with allowable
//! errors", 1970) in blocks (F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient
//! Bloom filters", 2007): its size is fixed, nothing can be read out of it, and what it says is there
//! may not be, by a chance that [`Originals::false_positive`] tells. What it says is not there is not.
//! Hashes are keyed, so that a memory dump cannot be tried out with a list of addresses.

mod telling;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use towpath_model::{ChunkId, TableId};

use crate::key::MaskKey;
use telling::each_telling;

pub use telling::{Looks, Tells, may_meet_by_chance, tells};

/// Bits of the filter for each value that is expected.
const BITS_FOR_ONE: u64 = 48;

/// Bits that are set for each value.
const PROBES: usize = 24;

/// Bits of a block, in which all probes of a value are: 512 bytes. In smaller ones values are spread
/// too unevenly for the chance that is wanted here.
const BLOCK_BITS: u64 = 4096;
const BLOCK_WORDS: usize = 64;

/// Bytes of the filter at least, and at most.
const FLOOR_BYTES: u64 = 1 << 20;
const CAP_BYTES: u64 = 512 << 20;

/// Cells that are noted of a run; of more, those of some rows.
const CELLS: u64 = 4_000_000;

/// A set of originals. Shared by all workers; its size is fixed when it is made.
pub struct Originals {
    of_values: [u8; 32],
    of_cells: [u8; 32],
    words: Box<[AtomicU64]>,
    blocks: u64,
    /// Cells of one row in so many are noted.
    rows_apart: u64,
    /// Values that were not there before, as far as the filter can tell.
    noted: AtomicU64,
    /// Chunks whose originals were noted to the last one.
    chunks: Mutex<BTreeSet<ChunkId>>,
}

impl std::fmt::Debug for Originals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Originals({} of {} KiB)",
            self.noted(),
            self.words.len() / 128
        )
    }
}

impl Originals {
    /// For about so many values.
    pub fn new(key: &MaskKey, values: u64) -> Self {
        Self::of_run(key, values, 0)
    }

    /// For about so many values and cells.
    pub fn of_run(key: &MaskKey, values: u64, cells: u64) -> Self {
        let rows_apart = cells.div_ceil(CELLS).max(1).next_power_of_two();
        let bits = values
            .saturating_add(cells / rows_apart)
            .saturating_mul(BITS_FOR_ONE);
        Self::sized(key, (bits / 8).clamp(FLOOR_BYTES, CAP_BYTES), rows_apart)
    }

    fn sized(key: &MaskKey, bytes: u64, rows_apart: u64) -> Self {
        let blocks = bytes.div_ceil(BLOCK_BITS / 8);
        let words = usize::try_from(blocks).unwrap_or(0) * BLOCK_WORDS;
        Self {
            of_values: key.derive("originals: values"),
            of_cells: key.derive("originals: cells"),
            words: std::iter::repeat_with(AtomicU64::default)
                .take(words)
                .collect(),
            blocks,
            rows_apart,
            noted: AtomicU64::new(0),
            chunks: Mutex::default(),
        }
    }

    /// Notes a value of a masked column: as a whole, where it tells of somebody by itself, and what is
    /// found within it.
    pub fn note_value(&self, value: &str) {
        self.note_told(value, |_| true);
    }

    /// The same of what the values of its column tell.
    pub fn note_what(&self, tells: Tells, value: &str) {
        match tells {
            Tells::Nothing => {}
            Tells::Mails => self.note_told(value, |looks| looks == Looks::Email),
            Tells::All => self.note_value(value),
        }
    }

    fn note_told(&self, value: &str, counts: impl Fn(Looks) -> bool) {
        each_telling(value, |looks, normal| {
            if counts(looks) {
                self.note(&blake3::keyed_hash(&self.of_values, normal.as_bytes()));
            }
        });
    }

    /// Notes which value a masked column has in the row of a key. Fields are as COPY carries them,
    /// those of CSV without their quotes.
    pub fn note_cell(&self, column: &ColumnKey, key: &[&[u8]], value: &[u8]) {
        if self.looks_at(key) {
            self.note(&column.cell(key, value));
        }
    }

    /// What the cells of a column are hashed under, made once and used for every row.
    pub fn column(&self, table: &TableId, column: &str) -> ColumnKey {
        let mut named = Vec::new();
        for part in [table.as_str(), column] {
            // Lengths keep ("a", "bc") and ("ab", "c") apart.
            named.extend_from_slice(&(part.len() as u64).to_le_bytes());
            named.extend_from_slice(part.as_bytes());
        }
        ColumnKey(*blake3::keyed_hash(&self.of_cells, &named).as_bytes())
    }

    /// Notes that every value of a chunk was noted. What was masked by an earlier process was not.
    pub fn note_chunk(&self, chunk: &ChunkId) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.insert(chunk.clone());
    }

    /// Whether every value of a chunk was noted.
    pub fn has_seen(&self, chunk: &ChunkId) -> bool {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.contains(chunk)
    }

    /// Whether this value was noted, or something within it.
    pub fn holds_value(&self, value: &str) -> bool {
        let mut is_held = false;
        self.look(value, |_, held| is_held |= held);
        is_held
    }

    /// Tells what a value holds that tells of somebody: what it looks like, and whether it was noted.
    pub fn look(&self, value: &str, mut told: impl FnMut(Looks, bool)) {
        each_telling(value, |looks, normal| {
            let hash = blake3::keyed_hash(&self.of_values, normal.as_bytes());
            told(looks, self.holds(&hash));
        });
    }

    /// Whether this value was noted for this row.
    pub fn holds_cell(&self, column: &ColumnKey, key: &[&[u8]], value: &[u8]) -> bool {
        self.looks_at(key) && self.holds(&column.cell(key, value))
    }

    /// Whether cells of the row of this key are noted.
    pub fn looks_at(&self, key: &[&[u8]]) -> bool {
        // No secret: which rows are looked at is the same on both sides, and evenly chosen is enough.
        let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = key.iter().flat_map(|field| field.iter().copied());
        self.rows_apart == 1
            || spread(bytes.fold(0xcbf2_9ce4_8422_2325, mix)).is_multiple_of(self.rows_apart)
    }

    /// One row in so many is looked at, cell by cell.
    pub fn rows_apart(&self) -> u64 {
        self.rows_apart
    }

    /// How many different values and cells were noted, about.
    pub fn noted(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    /// How likely it is that something is taken for an original that is none.
    pub fn false_positive(&self) -> f64 {
        let chance = |block: &[AtomicU64]| {
            let ones: u32 = block
                .iter()
                .map(|word| word.load(Ordering::Relaxed).count_ones())
                .sum();
            let full = f64::from(ones) / (64 * BLOCK_WORDS) as f64;
            (0..PROBES).fold(1.0, |chance, _| chance * full)
        };
        let sum: f64 = self.words.chunks(BLOCK_WORDS).map(chance).sum();
        sum / (self.blocks.max(1) as f64)
    }

    /// The words of a hash's block, and the bits that stand for it there.
    fn probes(&self, hash: &blake3::Hash) -> (&[AtomicU64], impl Iterator<Item = (usize, u64)>) {
        let (words, _) = hash.as_bytes().as_chunks::<8>();
        let [block, one, two, three] = [0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at]));
        // The high half of a product: even for any number of blocks.
        let block = (u128::from(block) * u128::from(self.blocks)) >> 64;
        let from = usize::try_from(block).unwrap_or(0) * BLOCK_WORDS;
        let bits = (0..PROBES).map(move |at| {
            // Five numbers of twelve bits in a word.
            let word = match at / 5 {
                0 => one,
                1 => two,
                2 => three,
                3 => spread(one ^ two.rotate_left(17)),
                _ => spread(two ^ three.rotate_left(31)),
            };
            let bit = (word >> (12 * (at % 5))) % BLOCK_BITS;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        });
        (&self.words[from..from + BLOCK_WORDS], bits)
    }

    fn note(&self, hash: &blake3::Hash) {
        let (block, probes) = self.probes(hash);
        let mut is_new = false;
        for (word, bit) in probes {
            // Looked at first: most values of most columns are there many times, and a line of the
            // cache that is only read can be in every core's.
            if block[word].load(Ordering::Relaxed) & bit == 0 {
                block[word].fetch_or(bit, Ordering::Relaxed);
                is_new = true;
            }
        }
        if is_new {
            self.noted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn holds(&self, hash: &blake3::Hash) -> bool {
        let (block, mut probes) = self.probes(hash);
        probes.all(|(word, bit)| block[word].load(Ordering::Relaxed) & bit != 0)
    }
}

/// The key of the cells of one column.
#[derive(Clone)]
pub struct ColumnKey([u8; 32]);

/// Bytes of a cell that are hashed without room of their own.
const SHORT: usize = 256;

impl ColumnKey {
    fn cell(&self, key: &[&[u8]], value: &[u8]) -> blake3::Hash {
        let parts = || key.iter().copied().chain([value]);
        let length: usize = parts().map(|part| 4 + part.len()).sum();
        let mut short = [0; SHORT];
        let mut long = Vec::new();
        let bytes = match short.get_mut(..length) {
            Some(short) => short,
            None => {
                long.resize(length, 0);
                long.as_mut_slice()
            }
        };
        let mut rest = &mut *bytes;
        for part in parts() {
            // A field has less than 2^30 bytes (PostgreSQL manual, appendix K).
            let size = u32::try_from(part.len()).unwrap_or(u32::MAX);
            let (head, tail) = rest.split_at_mut(4);
            head.copy_from_slice(&size.to_le_bytes());
            let (body, tail) = tail.split_at_mut(part.len());
            body.copy_from_slice(part);
            rest = tail;
        }
        blake3::keyed_hash(&self.0, bytes)
    }
}

/// Spreads a word over all its bits (the finalizer of SplitMix64, G. L. Steele, D. Lea, C. H. Flood,
/// "Fast splittable pseudorandom number generators", 2014).
const fn spread(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests;
