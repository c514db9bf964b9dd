//! Transformers: one value in, another one out.

use std::borrow::Cow;

use towpath_model::masking::{PlannedMask, Transformer, Uniqueness};
use towpath_model::{ErrorKind, Failure, Result};

use crate::key::MaskKey;

/// The other columns of the row that a value is of, as they were before masking.
pub trait RowText {
    /// The text form of a column, by its place in the plan; nothing for NULL.
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>>;
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masked {
    /// The text in `out` takes its place.
    Value,
    /// NULL takes its place.
    Null,
    /// A condition spares it.
    Spared,
    /// It holds nothing that could be changed.
    Empty,
}

/// The mask of one column, ready to be used.
pub struct ColumnMask {}

impl ColumnMask {
    /// Prepares a mask; `columns` are those of the table as planned.
    pub fn new(_key: &MaskKey, _mask: &PlannedMask, _columns: &[String]) -> Result<Self> {
        Err(Failure::new(ErrorKind::Internal, "not built yet"))
    }

    /// Masks a value, given in its type's text form; the new text is in `out`, which is empty before.
    pub fn apply(&self, _value: &str, _row: &dyn RowText, _out: &mut String) -> Result<Masked> {
        Err(Failure::new(ErrorKind::Internal, "not built yet"))
    }
}

/// Whether distinct values of a type stay distinct.
pub fn uniqueness(_transformer: &Transformer, _base_type: &str, _max_chars: Option<u32>) -> Uniqueness {
    Uniqueness::Lossy
}

/// Whether a transformer can be used for columns of a type; the error is a sentence that says why
/// not, and what to use instead.
pub fn fits(
    _transformer: &Transformer,
    _base_type: &str,
    _max_chars: Option<u32>,
) -> std::result::Result<(), String> {
    Ok(())
}

/// The label that equal values are masked alike under, unless the rules say another one.
pub fn default_domain(_transformer: &Transformer) -> String {
    String::new()
}
