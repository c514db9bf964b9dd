//! Rows of binary COPY (PostgreSQL manual, COPY, "Binary Format"): a count of fields, and each field
//! after its length.

use std::ops::Range;

use towpath_model::Result;

use super::malformed;

/// Where the fields of a row are; kept for its room.
#[derive(Default)]
pub(super) struct Fields {
    places: Vec<Option<Range<usize>>>,
}

impl Fields {
    /// Finds the fields of a row.
    pub(super) fn split<'r>(
        &'r mut self,
        row: &'r [u8],
        columns: usize,
    ) -> Result<super::Fields<'r>> {
        self.places.clear();
        let cut = || malformed("it is no binary row of the table's columns");
        let count = row.first_chunk::<2>().ok_or_else(cut)?;
        if usize::try_from(i16::from_be_bytes(*count)).ok() != Some(columns) {
            return Err(cut());
        }
        let mut at = 2;
        for _ in 0..columns {
            let length = row.get(at..).and_then(<[u8]>::first_chunk::<4>);
            let length = i32::from_be_bytes(*length.ok_or_else(cut)?);
            at += 4;
            self.places.push(match usize::try_from(length) {
                Ok(length) => {
                    let from = at;
                    at += length;
                    Some(from..at)
                }
                Err(_) if length == -1 => None,
                Err(_) => return Err(cut()),
            });
        }
        match at == row.len() {
            true => Ok(super::Fields {
                bytes: row,
                places: &self.places,
            }),
            false => Err(cut()),
        }
    }
}

/// Begins a row of so many fields.
pub(super) fn begin(out: &mut Vec<u8>, fields: usize) -> Result<()> {
    let count = i16::try_from(fields).map_err(|_| malformed("it has too many columns"))?;
    out.extend_from_slice(&count.to_be_bytes());
    Ok(())
}

/// Writes a field.
pub(super) fn put(out: &mut Vec<u8>, field: Option<&[u8]>) -> Result<()> {
    let Some(field) = field else {
        out.extend_from_slice(&(-1i32).to_be_bytes());
        return Ok(());
    };
    let length = i32::try_from(field.len()).map_err(|_| malformed("a value is too long"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field);
    Ok(())
}
