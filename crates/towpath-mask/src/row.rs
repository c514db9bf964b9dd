//! Rows of a table as COPY carries them, masked one by one.

use std::sync::Arc;

use towpath_model::digest::RunKey;
use towpath_model::masking::MaskTally;
use towpath_model::plan::PlannedTable;
use towpath_model::{ErrorKind, Failure, Result};

use crate::key::MaskKey;
use crate::originals::Originals;

/// Masks the rows of one stream of a table.
pub struct TableMask {}

impl TableMask {
    /// For a table with masks. What the values were is told to `originals`, as keyed hashes.
    pub fn new(
        _key: &MaskKey,
        _run_key: &RunKey,
        _table: &PlannedTable,
        _originals: Option<Arc<Originals>>,
    ) -> Result<Self> {
        Err(Failure::new(ErrorKind::Internal, "not built yet"))
    }

    /// Masks one row, in the form of the table's format; the new row is appended to `out`.
    pub fn mask(&mut self, _row: &[u8], _out: &mut Vec<u8>) -> Result<()> {
        Err(Failure::new(ErrorKind::Internal, "not built yet"))
    }

    /// What was done.
    pub fn finish(self) -> MaskTally {
        MaskTally::default()
    }
}
