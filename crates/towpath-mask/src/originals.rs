//! What the source holds in masked columns, as keyed hashes: enough to tell whether a value of the
//! clone is one of them, and no value of any row.

use towpath_model::TableId;

use crate::key::MaskKey;

/// A set of originals. Shared by all workers; its size is fixed when it is made.
pub struct Originals {}

impl Originals {
    /// For about so many values.
    pub fn new(_key: &MaskKey, _values: u64) -> Self {
        Self {}
    }

    /// Notes a value of a masked column. Those that are no identifier by themselves are noted by
    /// [`Originals::note_cell`] alone.
    pub fn note_value(&self, _value: &str) {}

    /// Notes which value a masked column has in the row of a key.
    pub fn note_cell(&self, _table: &TableId, _column: &str, _key: &[&[u8]], _value: &[u8]) {}

    /// Whether this value was noted.
    pub fn holds_value(&self, _value: &str) -> bool {
        false
    }

    /// Whether this value was noted for this row.
    pub fn holds_cell(&self, _table: &TableId, _column: &str, _key: &[&[u8]], _value: &[u8]) -> bool {
        false
    }
}
