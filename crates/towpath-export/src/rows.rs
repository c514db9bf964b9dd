//! Finds the rows in what COPY writes, masks them, and digests them.

use towpath_mask::TableMask;
use towpath_model::digest::{RowDigest, RunKey};
use towpath_model::masking::MaskTally;
use towpath_model::plan::{Format, PlannedTable};
use towpath_model::{ErrorKind, Failure, Result};

use crate::options::Masking;
use crate::row_hashes::RowHashes;

/// Opens every binary COPY stream (PostgreSQL manual, COPY, "Binary Format").
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Fixed part of the header: signature, flags, length of the extension area.
pub(crate) const HEADER: usize = SIGNATURE.len() + 4 + 4;

/// Ends every binary stream: a count of fields that no row has.
pub(crate) const TRAILER: &[u8] = &[0xff, 0xff];

/// Tells the rows of one COPY stream apart, message by message. The server sends one row a message;
/// each is proven to be exactly one, because a pooler or a relative of PostgreSQL may batch
/// otherwise, and then count and digest would be wrong in silence.
pub(crate) struct Framing {
    format: Format,
    columns: usize,
    header_seen: bool,
    trailer_seen: bool,
}

/// A message: what stands around rows, and a row where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'m> {
    /// Header or trailer of the stream.
    pub(crate) frame: &'m [u8],
    /// The row, which comes after the frame.
    pub(crate) row: Option<&'m [u8]>,
}

impl Framing {
    /// Begins a stream of rows with so many columns.
    pub(crate) fn new(format: Format, columns: usize) -> Self {
        Self {
            format,
            columns,
            header_seen: false,
            trailer_seen: false,
        }
    }

    /// Takes one message.
    pub(crate) fn take<'m>(&mut self, message: &'m [u8]) -> Result<Message<'m>> {
        match self.format {
            Format::Csv => self.take_csv(message),
            Format::Binary => self.take_binary(message),
        }
    }

    fn take_csv<'m>(&mut self, message: &'m [u8]) -> Result<Message<'m>> {
        // A newline inside quotes is not the end of a row: an even number of quotes precedes it.
        let quotes = message.iter().filter(|byte| **byte == b'"').count();
        if message.last() != Some(&b'\n') || quotes % 2 != 0 {
            return Err(batched("a message is not one CSV row"));
        }
        Ok(Message {
            frame: &[],
            row: Some(message),
        })
    }

    fn take_binary<'m>(&mut self, message: &'m [u8]) -> Result<Message<'m>> {
        let rest = if self.header_seen {
            message
        } else {
            self.take_header(message)?
        };
        let frame = |frame| Message { frame, row: None };
        if rest.is_empty() {
            return Ok(frame(message));
        }
        if self.trailer_seen {
            return Err(batched("rows follow the trailer"));
        }
        if rest == TRAILER {
            self.trailer_seen = true;
            return Ok(frame(message));
        }
        if binary_row_len(rest, self.columns) != Some(rest.len()) {
            return Err(batched("a message is not one binary row"));
        }
        Ok(Message {
            frame: &message[..message.len() - rest.len()],
            row: Some(rest),
        })
    }

    fn take_header<'m>(&mut self, message: &'m [u8]) -> Result<&'m [u8]> {
        let header = message
            .get(..HEADER)
            .filter(|header| header.starts_with(SIGNATURE));
        // Flags and extension are zero in every version up to now; anything else would change the
        // form of the rows.
        match header {
            Some(header) if header[SIGNATURE.len()..] == [0; 8] => {
                self.header_seen = true;
                Ok(&message[HEADER..])
            }
            _ => Err(batched(
                "the stream does not open with a binary COPY header",
            )),
        }
    }

    /// Proves that the stream has ended as it should.
    pub(crate) fn end(&self) -> Result<()> {
        if self.format == Format::Binary && !self.trailer_seen {
            return Err(batched("the stream ended without its trailer"));
        }
        Ok(())
    }
}

/// A binary stream of no rows: header and trailer.
pub(crate) const NO_ROWS: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff";

/// What the rows of a stream were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamDigest {
    /// Of the rows as they are stored.
    pub(crate) rows: RowDigest,
    /// What masking did, where there are masks.
    pub(crate) masked: Option<MaskTally>,
}

/// Takes the rows of one stream: masks them where their table has masks, and digests them as they are
/// stored.
pub(crate) struct Rows {
    framing: Framing,
    hashes: RowHashes,
    masks: Option<Box<Masks>>,
}

/// What rows with masks need besides.
struct Masks {
    mask: TableMask,
    /// Of the columns that are not masked.
    hashes: RowHashes,
    /// What is stored of the last message, and its columns that are not masked; kept for their room.
    stored: Vec<u8>,
    unmasked: Vec<u8>,
}

impl Rows {
    /// Begins a stream of a table.
    pub(crate) fn new(
        key: &RunKey,
        table: &PlannedTable,
        masking: Option<&Masking>,
    ) -> Result<Self> {
        let masks = match (table.masks.is_empty(), masking) {
            (true, _) => None,
            (false, Some(masking)) => {
                let originals = masking.originals.clone();
                Some(Box::new(Masks {
                    mask: TableMask::new(&masking.key, key, table, originals)?,
                    hashes: RowHashes::new(key),
                    stored: Vec::new(),
                    unmasked: Vec::new(),
                }))
            }
            // Nothing may pass unmasked because somebody forgot the key.
            (false, None) => {
                let letter = format!("{} has masks and there is no key for them", table.name);
                return Err(Failure::new(ErrorKind::Internal, letter));
            }
        };
        Ok(Self {
            framing: Framing::new(table.format, table.columns.len()),
            hashes: RowHashes::new(key),
            masks,
        })
    }

    /// Takes one message; gives what of it is stored.
    pub(crate) fn take<'m>(&'m mut self, message: &'m [u8]) -> Result<&'m [u8]> {
        let Message { frame, row } = self.framing.take(message)?;
        let Some(masks) = &mut self.masks else {
            if let Some(row) = row {
                self.hashes.add(row);
            }
            return Ok(message);
        };
        let Some(row) = row else {
            return Ok(message);
        };
        masks.stored.clear();
        masks.unmasked.clear();
        masks.stored.extend_from_slice(frame);
        masks
            .mask
            .mask(row, &mut masks.stored, &mut masks.unmasked)?;
        self.hashes.add(&masks.stored[frame.len()..]);
        masks.hashes.add(&masks.unmasked);
        Ok(&masks.stored)
    }

    /// The digest, once the stream has ended as it should.
    pub(crate) fn finish(self) -> Result<StreamDigest> {
        self.framing.end()?;
        let masked = self
            .masks
            .map(|masks| masks.mask.finish(masks.hashes.finish()));
        Ok(StreamDigest {
            rows: self.hashes.finish(),
            masked,
        })
    }
}

/// Length of the binary row at the beginning of `bytes`, if there is one of so many columns.
pub(crate) fn binary_row_len(bytes: &[u8], columns: usize) -> Option<usize> {
    let count = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    if usize::try_from(count).ok()? != columns {
        return None;
    }
    let mut at = 2;
    for _ in 0..columns {
        let length = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4;
        if length > 0 {
            at += usize::try_from(length).ok()?;
        } else if length < -1 {
            return None;
        }
    }
    (at <= bytes.len()).then_some(at)
}

fn batched(what: &str) -> Failure {
    Failure::new(
        ErrorKind::Source,
        format!("could not tell rows apart in the COPY stream: {what}"),
    )
    .hint(
        "connect to the database itself or by Supabase's session pooler, not through another proxy",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RunKey {
        RunKey::new([3; 32])
    }

    fn header() -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend_from_slice(&[0; 8]);
        header
    }

    fn row(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            match field {
                None => row.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(bytes) => {
                    row.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
                    row.extend_from_slice(bytes);
                }
            }
        }
        row
    }

    fn digest(messages: &[Vec<u8>], columns: usize) -> Result<RowDigest> {
        let mut rows = Rows {
            framing: Framing::new(Format::Binary, columns),
            hashes: RowHashes::new(&key()),
            masks: None,
        };
        for message in messages {
            assert_eq!(rows.take(message)?, message);
        }
        rows.finish().map(|digest| digest.rows)
    }

    #[test]
    fn no_rows_are_a_stream() {
        assert_eq!(NO_ROWS, [header(), TRAILER.to_vec()].concat());
    }

    #[test]
    fn null_and_empty_are_different_rows() {
        let trailer = vec![0xff, 0xff];
        let of = |field| digest(&[header(), row(&[field]), trailer.clone()], 1).unwrap();
        assert_ne!(of(None), of(Some(b"")));
        assert_eq!(of(None).rows, 1);
    }

    #[test]
    fn the_header_may_ride_with_the_first_row() {
        let one = row(&[Some(b"a"), None]);
        let trailer = vec![0xff, 0xff];
        let apart = digest(&[header(), one.clone(), trailer.clone()], 2).unwrap();
        let joined = digest(&[[header(), one].concat(), trailer], 2).unwrap();
        assert_eq!(apart, joined);
    }

    #[test]
    fn batched_or_cut_streams_are_refused() {
        let one = row(&[Some(b"a")]);
        let trailer = vec![0xff, 0xff];
        assert!(
            digest(
                &[
                    header(),
                    [one.clone(), one.clone()].concat(),
                    trailer.clone()
                ],
                1
            )
            .is_err()
        );
        assert!(digest(&[header(), one.clone()], 1).is_err());
        assert!(digest(&[one.clone(), trailer.clone()], 1).is_err());
        assert!(digest(&[header(), one, trailer], 2).is_err());
        let mut csv = Framing::new(Format::Csv, 1);
        csv.take(b"\"a\nb\"\n").unwrap();
        assert!(csv.take(b"a").is_err());
        assert!(csv.take(b"\"a\n").is_err());
    }
}
