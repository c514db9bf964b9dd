//! Between the form in which COPY carries a value and its type's text form.

use std::borrow::Cow;

use towpath_model::Result;
use towpath_model::plan::Format;

/// Reads and writes values of one type in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {}

impl Codec {
    /// The codec of a type below all domains, `enum` for an enum; nothing when the type's binary form
    /// is not known here. In CSV every value is its text form already.
    pub fn of(_format: Format, _base_type: &str) -> Option<Self> {
        Some(Self {})
    }

    /// The text form of a value.
    pub fn decode<'v>(&self, _value: &'v [u8]) -> Result<Cow<'v, str>> {
        Ok(Cow::Borrowed(""))
    }

    /// Writes a value that is given in its text form.
    pub fn encode(&self, _text: &str, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}
