//! What the source holds in masked columns, as keyed hashes: enough to tell whether a value of the
//! clone is one of them, and no value of any row.
//!
//! Hashes have 64 bits, of SipHash under keys that the process draws at random and keeps to itself
//! (`std::hash::RandomState`; J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012).
//! The set lives as long as the process and is written nowhere, so that it needs no hash that others
//! could make again, and BLAKE3 takes four times as long for values of a few bytes. What the set says
//! is there may not be, by a chance that [`Originals::false_positive`] tells. What it says is not there
//! is not, unless [`Originals::refused`] says that there was no room for all.

mod fingerprints;
mod telling;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};

use towpath_model::{ChunkId, TableId};

use fingerprints::Fingerprints;
use telling::{each_telling, may_hold_address};

pub use telling::{Looks, Tells, may_meet_by_chance, tells};

/// Bytes for each value that is expected. Values are expected to differ in every row: where they do,
/// the set grows, and where they do not, it need not.
const BYTES_FOR_ONE: u64 = 6;

/// Bytes of the set at first at least, and at any time at most.
const FLOOR_BYTES: u64 = 1 << 20;
const CAP_BYTES: u64 = 512 << 20;

/// Cells that are noted of a run; of more, those of some rows.
const CELLS: u64 = 4_000_000;

/// A set of originals. Shared by all workers; it has a greatest size.
pub struct Originals {
    of_values: RandomState,
    of_cells: RandomState,
    held: Fingerprints,
    /// Cells of one row in so many are noted.
    rows_apart: u64,
    /// Chunks whose originals were noted to the last one.
    chunks: Mutex<BTreeSet<ChunkId>>,
}

impl std::fmt::Debug for Originals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Originals({} in {} KiB)",
            self.noted(),
            self.held.bytes() / 1024
        )
    }
}

/// The row of a key.
#[derive(Debug, Clone, Copy)]
pub struct RowKey(u64);

/// A masked column of a table.
#[derive(Debug, Clone, Copy)]
pub struct ColumnKey(u64);

impl Originals {
    /// For about so many values and cells.
    pub fn new(values: u64, cells: u64) -> Self {
        let rows_apart = cells.div_ceil(CELLS).max(1).next_power_of_two();
        let many = values.saturating_add(cells / rows_apart);
        let bytes = many.saturating_mul(BYTES_FOR_ONE);
        Self {
            of_values: RandomState::new(),
            of_cells: RandomState::new(),
            held: Fingerprints::new(bytes.clamp(FLOOR_BYTES, CAP_BYTES), CAP_BYTES),
            rows_apart,
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
            // Most documents hold none, and are not looked through for all the rest.
            Tells::Mails if !may_hold_address(value) => {}
            Tells::Mails => self.note_told(value, |looks| looks == Looks::Email),
            Tells::All => self.note_value(value),
        }
    }

    fn note_told(&self, value: &str, counts: impl Fn(Looks) -> bool) {
        each_telling(value, |looks, normal| {
            if counts(looks) {
                self.held.put(self.of_values.hash_one(normal));
            }
        });
    }

    /// Notes which value a masked column has in a row. The value is as COPY carries it, that of CSV
    /// without its quotes.
    pub fn note_cell(&self, column: ColumnKey, row: RowKey, value: &[u8]) {
        self.held.put(self.cell(column, row, value));
    }

    /// What the cells of a column are noted under, made once and used for every row.
    pub fn column(&self, table: &TableId, column: &str) -> ColumnKey {
        ColumnKey(self.of_cells.hash_one((table.as_str(), column)))
    }

    /// What the cells of the row of this key are noted under; nothing where they are not. Fields are as
    /// COPY carries them, those of CSV without their quotes.
    pub fn row<F: AsRef<[u8]>>(&self, key: impl IntoIterator<Item = F>) -> Option<RowKey> {
        let mut hasher = self.of_cells.build_hasher();
        for field in key {
            // With its length, which keeps ("a", "bc") and ("ab", "c") apart.
            field.as_ref().hash(&mut hasher);
        }
        let row = hasher.finish();
        row.is_multiple_of(self.rows_apart).then_some(RowKey(row))
    }

    fn cell(&self, column: ColumnKey, row: RowKey, value: &[u8]) -> u64 {
        self.of_cells.hash_one((column.0, row.0, value))
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
            told(looks, self.held.holds(self.of_values.hash_one(normal)));
        });
    }

    /// Whether this value was noted for this row.
    pub fn holds_cell(&self, column: ColumnKey, row: RowKey, value: &[u8]) -> bool {
        self.held.holds(self.cell(column, row, value))
    }

    /// One row in so many is looked at, cell by cell.
    pub fn rows_apart(&self) -> u64 {
        self.rows_apart
    }

    /// How many different values and cells were noted, about.
    pub fn noted(&self) -> u64 {
        self.held.held()
    }

    /// How many values and cells found no room: of them nothing is known.
    pub fn refused(&self) -> u64 {
        self.held.refused()
    }

    /// How likely it is that something is taken for an original that is none: that one of those that
    /// are held has the same hash.
    pub fn false_positive(&self) -> f64 {
        self.noted() as f64 / 2f64.powi(64)
    }
}

#[cfg(test)]
mod tests;
