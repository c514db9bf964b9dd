//! Finds the rows in what COPY writes, and digests them.

use towpath_model::digest::{RowDigest, RunKey};
use towpath_model::plan::Format;
use towpath_model::{ErrorKind, Failure, Result};

use crate::row_hashes::RowHashes;

/// Opens every binary COPY stream (PostgreSQL manual, COPY, "Binary Format").
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Fixed part of the header: signature, flags, length of the extension area.
const HEADER: usize = SIGNATURE.len() + 4 + 4;

/// Digests the rows of one COPY stream, message by message. The server sends one row a message;
/// each is proven to be exactly one, because a pooler or a relative of PostgreSQL may batch
/// otherwise, and then count and digest would be wrong in silence.
pub struct RowDigester {
    hashes: RowHashes,
    format: Format,
    columns: usize,
    header_seen: bool,
    trailer_seen: bool,
}

impl RowDigester {
    /// Begins a stream of rows with so many columns.
    pub fn new(key: &RunKey, format: Format, columns: usize) -> Self {
        Self {
            hashes: RowHashes::new(key),
            format,
            columns,
            header_seen: false,
            trailer_seen: false,
        }
    }

    /// Takes one message.
    pub fn take(&mut self, message: &[u8]) -> Result<()> {
        match self.format {
            Format::Csv => self.take_csv(message),
            Format::Binary => self.take_binary(message),
        }
    }

    fn take_csv(&mut self, message: &[u8]) -> Result<()> {
        // A newline inside quotes is not the end of a row: an even number of quotes precedes it.
        let quotes = message.iter().filter(|byte| **byte == b'"').count();
        if message.last() != Some(&b'\n') || quotes % 2 != 0 {
            return Err(batched("a message is not one CSV row"));
        }
        self.add(message);
        Ok(())
    }

    fn take_binary(&mut self, message: &[u8]) -> Result<()> {
        let rest = if self.header_seen {
            message
        } else {
            self.take_header(message)?
        };
        if rest.is_empty() {
            return Ok(());
        }
        if self.trailer_seen {
            return Err(batched("rows follow the trailer"));
        }
        if rest == [0xff, 0xff] {
            self.trailer_seen = true;
            return Ok(());
        }
        if binary_row_len(rest, self.columns) != Some(rest.len()) {
            return Err(batched("a message is not one binary row"));
        }
        self.add(rest);
        Ok(())
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

    fn add(&mut self, row: &[u8]) {
        self.hashes.add(row);
    }

    /// The digest, once the stream has ended as it should.
    pub fn finish(self) -> Result<RowDigest> {
        if self.format == Format::Binary && !self.trailer_seen {
            return Err(batched("the stream ended without its trailer"));
        }
        Ok(self.hashes.finish())
    }
}

/// Length of the binary row at the beginning of `bytes`, if there is one of so many columns.
fn binary_row_len(bytes: &[u8], columns: usize) -> Option<usize> {
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
        let mut digester = RowDigester::new(&key(), Format::Binary, columns);
        for message in messages {
            digester.take(message)?;
        }
        digester.finish()
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
        let mut csv = RowDigester::new(&key(), Format::Csv, 1);
        csv.take(b"\"a\nb\"\n").unwrap();
        assert!(csv.take(b"a").is_err());
        assert!(csv.take(b"\"a\n").is_err());
    }
}
