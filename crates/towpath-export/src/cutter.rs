//! Cuts what a chunk holds into the messages that COPY wrote, wherever its blocks begin and end.

use towpath_model::plan::Format;
use towpath_model::{ErrorKind, Failure, Result};

use crate::rows::{HEADER, TRAILER, binary_row_len};

/// Finds messages in blocks.
pub(crate) struct Cutter {
    format: Format,
    columns: usize,
    /// What the last block has begun and not ended.
    pending: Vec<u8>,
    header_seen: bool,
    /// Of a line of CSV that is pending: how much was looked at, and whether that ends in quotes.
    scanned: usize,
    is_quoted: bool,
}

impl Cutter {
    /// Of a stream of rows with so many columns.
    pub(crate) fn new(format: Format, columns: usize) -> Self {
        Self {
            format,
            columns,
            pending: Vec::new(),
            header_seen: false,
            scanned: 0,
            is_quoted: false,
        }
    }

    /// Gives `each` every message that is whole now.
    pub(crate) fn block(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        // Only what a block's end has cut in two is put together.
        let mut pending = std::mem::take(&mut self.pending);
        let is_cut = !pending.is_empty();
        if is_cut {
            pending.extend_from_slice(block);
        }
        let bytes = if is_cut { pending.as_slice() } else { block };
        let mut rest = bytes;
        while let Some(length) = self.message(rest)? {
            let (message, after) = rest.split_at(length);
            each(message)?;
            rest = after;
        }
        let left = rest.len();
        if is_cut {
            pending.drain(..pending.len() - left);
        } else {
            pending.extend_from_slice(&block[block.len() - left..]);
        }
        self.pending = pending;
        Ok(())
    }

    /// Proves that nothing is left over.
    pub(crate) fn end(&self) -> Result<()> {
        match self.pending.is_empty() {
            true => Ok(()),
            false => Err(corrupt("the stored rows do not end as COPY ends them")),
        }
    }

    /// Length of the message that `bytes` begin with, once it is there whole.
    fn message(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        match self.format {
            Format::Csv => Ok(self.line(bytes)),
            Format::Binary if !self.header_seen => {
                self.header_seen = bytes.len() >= HEADER;
                Ok(self.header_seen.then_some(HEADER))
            }
            Format::Binary if bytes.starts_with(TRAILER) => Ok(Some(TRAILER.len())),
            Format::Binary => self.row(bytes),
        }
    }

    /// Nobody waits for the end of a row that begins like none: all that is left of the chunk would be
    /// held by then.
    fn row(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let fields = bytes.first_chunk().map(|count| i16::from_be_bytes(*count));
        let is_one = |fields| usize::try_from(fields) == Ok(self.columns);
        match fields.is_none_or(is_one) {
            true => Ok(binary_row_len(bytes, self.columns)),
            false => Err(corrupt("a stored row has another number of columns")),
        }
    }

    /// A newline ends a row unless it is quoted, and it is quoted when the quotes before it are odd
    /// in number (PostgreSQL manual, COPY, "CSV Format").
    fn line(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate().skip(self.scanned) {
            match byte {
                b'"' => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => {
                    self.scanned = 0;
                    return Some(at + 1);
                }
                _ => {}
            }
        }
        self.scanned = bytes.len();
        None
    }
}

fn corrupt(what: &str) -> Failure {
    Failure::new(ErrorKind::ChunkCorrupt, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages(
        format: Format,
        columns: usize,
        bytes: &[u8],
        block: usize,
    ) -> Result<Vec<Vec<u8>>> {
        let mut cutter = Cutter::new(format, columns);
        let mut all = Vec::new();
        for block in bytes.chunks(block) {
            cutter.block(block, |message| {
                all.push(message.to_vec());
                Ok(())
            })?;
        }
        cutter.end()?;
        Ok(all)
    }

    fn binary(rows: &[Vec<Option<Vec<u8>>>]) -> Vec<Vec<u8>> {
        let header = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 8]].concat();
        let mut all = vec![header];
        all.extend(rows.iter().map(|row| {
            let mut bytes = i16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
            for field in row {
                let length = field
                    .as_ref()
                    .map_or(-1, |it| i32::try_from(it.len()).unwrap());
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(field.as_deref().unwrap_or_default());
            }
            bytes
        }));
        all.push(TRAILER.to_vec());
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn messages_come_back_whatever_the_blocks(
            rows in proptest::collection::vec(
                proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 3),
                0..20,
            ),
            lines in proptest::collection::vec("([a-z]{0,3}|\"([a,\r\n]|\"\"){0,5}\"),x\n", 0..20),
            block in 1usize..80,
        ) {
            let all = binary(&rows);
            prop_assert_eq!(&messages(Format::Binary, 3, &all.concat(), block).unwrap(), &all);
            let all: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(&messages(Format::Csv, 2, &all.concat(), block).unwrap(), &all);
        }
    }

    #[test]
    fn what_is_cut_off_is_told() {
        let all = binary(&[vec![Some(b"a".to_vec())]]).concat();
        assert!(messages(Format::Binary, 1, &all[..all.len() - 3], 7).is_err());
        assert!(messages(Format::Csv, 1, b"a\n\"b", 2).is_err());
    }

    #[test]
    fn a_row_of_other_columns_is_not_waited_for() {
        let all = binary(&[vec![Some(b"a".to_vec())], vec![Some(b"b".to_vec())]]).concat();
        let mut cutter = Cutter::new(Format::Binary, 2);
        let cut = cutter.block(&all[..HEADER + 2], |_| Ok(()));
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::ChunkCorrupt);
    }
}
