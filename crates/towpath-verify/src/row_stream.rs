//! Frames rows in a stream of raw bytes, wherever its blocks begin and end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use csv_async::{AsyncReaderBuilder, ByteRecord, Terminator};
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use towpath_model::plan::Format;
use towpath_model::{ErrorKind, Failure, Result};

use crate::bytes_in::BytesIn;

/// Bytes in flight between the decoder and the CSV reader.
const PIPE: usize = 1 << 20;

/// Told of every row: its bytes exactly as COPY wrote them.
pub(crate) trait RowVisitor: Send {
    /// One row.
    fn row(&mut self, bytes: &[u8]);
}

/// Tells `visitor` of every row of the stream.
pub(crate) async fn each_row(
    source: &mut BytesIn<'_>,
    format: Format,
    columns: usize,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    match format {
        Format::Binary => each_binary_row(source, columns, visitor).await,
        Format::Csv => each_csv_row(source, columns, visitor).await,
    }
}

fn malformed(what: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::ChunkCorrupt, what)
}

async fn each_binary_row(
    source: &mut BytesIn<'_>,
    columns: usize,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    const OPENING: [u8; 19] = [
        b'P', b'G', b'C', b'O', b'P', b'Y', b'\n', 0xff, b'\r', b'\n', 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let mut pending: Vec<u8> = Vec::new();
    let mut at_start = true;
    let mut ended = false;
    while let Some(block) = source.next().await? {
        // A server sends whole rows; only what a block's end has cut in two is put together.
        let is_cut = !pending.is_empty();
        if is_cut {
            pending.extend_from_slice(&block);
        }
        let mut rest = if is_cut { pending.as_slice() } else { &block };
        if at_start {
            if rest.len() < OPENING.len() {
                if !is_cut {
                    pending.extend_from_slice(&block);
                }
                continue;
            }
            rest = rest
                .strip_prefix(&OPENING)
                .ok_or_else(|| malformed("the rows do not open as binary COPY"))?;
            at_start = false;
        }
        while !ended {
            match next_tuple(rest, columns)? {
                Tuple::Row(length) => {
                    let (row, after) = rest.split_at(length);
                    visitor.row(row);
                    rest = after;
                }
                Tuple::End => {
                    ended = true;
                    rest = &rest[2..];
                }
                Tuple::Incomplete => break,
            }
        }
        let left = rest.len();
        if is_cut {
            pending.drain(..pending.len() - left);
        } else {
            pending.extend_from_slice(&block[block.len() - left..]);
        }
    }
    if !ended || !pending.is_empty() {
        return Err(malformed("the rows do not end as binary COPY does"));
    }
    Ok(())
}

enum Tuple {
    Row(usize),
    End,
    Incomplete,
}

fn next_tuple(bytes: &[u8], columns: usize) -> Result<Tuple> {
    let mut cursor = bytes;
    let Some(count) = take::<2>(&mut cursor).map(i16::from_be_bytes) else {
        return Ok(Tuple::Incomplete);
    };
    if count == -1 {
        return Ok(Tuple::End);
    }
    if usize::try_from(count).ok() != Some(columns) {
        return Err(malformed(format!(
            "a row has {count} fields, expected {columns}"
        )));
    }
    for _ in 0..columns {
        let Some(length) = take::<4>(&mut cursor).map(i32::from_be_bytes) else {
            return Ok(Tuple::Incomplete);
        };
        match usize::try_from(length) {
            Ok(length) => match cursor.get(length..) {
                Some(after) => cursor = after,
                None => return Ok(Tuple::Incomplete),
            },
            Err(_) if length == -1 => {}
            Err(_) => return Err(malformed(format!("a field has length {length}"))),
        }
    }
    Ok(Tuple::Row(bytes.len() - cursor.len()))
}

fn take<const N: usize>(cursor: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = cursor.split_first_chunk::<N>()?;
    *cursor = after;
    Some(*head)
}

/// Keeps a copy of what the CSV reader has read, so that a row's own bytes can be hashed: the
/// fields alone would not tell how they were quoted.
struct Tee {
    pipe: DuplexStream,
    copy: VecDeque<u8>,
}

impl AsyncRead for Tee {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.pipe).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &polled {
            let read = buffer.filled()[before..].to_vec();
            self.copy.extend(read);
        }
        polled
    }
}

/// Blank lines as rows, where a table has such rows.
fn blank_rows(lines: &[u8], columns: usize, visitor: &mut dyn RowVisitor) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    if columns > 1 || lines.iter().any(|byte| *byte != b'\n') {
        return Err(malformed("a line is blank where a row has several fields"));
    }
    lines.chunks(1).for_each(|line| visitor.row(line));
    Ok(())
}

async fn each_csv_row(
    source: &mut BytesIn<'_>,
    columns: usize,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    let (mut writer, reader) = duplex(PIPE);
    let feed = async move {
        while let Some(block) = source.next().await? {
            if writer.write_all(&block).await.is_err() {
                // The reader gave up; its error says why.
                break;
            }
        }
        drop(writer);
        Ok(())
    };
    let read = async move {
        let tee = Tee {
            pipe: reader,
            copy: VecDeque::new(),
        };
        let mut csv = AsyncReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(64 << 10)
            .create_reader(tee);
        let mut record = ByteRecord::new();
        let mut row = Vec::new();
        loop {
            let from = csv.position().byte();
            let more = csv
                .read_byte_record(&mut record)
                .await
                .map_err(|cause| malformed("the rows are not CSV").because(cause))?;
            if !more {
                // What the reader passed over at the end can only be blank rows.
                let rest: Vec<u8> = csv.get_mut().copy.drain(..).collect();
                return blank_rows(&rest, columns, visitor);
            }
            if record.len() != columns {
                return Err(malformed(format!(
                    "a row has {} fields, expected {columns}",
                    record.len()
                )));
            }
            let length = usize::try_from(csv.position().byte() - from).unwrap_or(usize::MAX);
            let copy = &mut csv.get_mut().copy;
            row.clear();
            row.extend(copy.drain(..length.min(copy.len())));
            if row.len() != length || row.last() != Some(&b'\n') {
                return Err(malformed("a row does not end as COPY ends it"));
            }
            // The reader skips blank lines, and COPY writes one for an empty text in a table of one
            // column and for any row of a table of none. A row of more never begins with a newline:
            // a field that does is quoted.
            let blank = row.iter().take_while(|byte| **byte == b'\n').count();
            blank_rows(&row[..blank], columns, visitor)?;
            visitor.row(&row[blank..]);
        }
    };
    let (fed, read): (Result<()>, Result<()>) = tokio::join!(feed, read);
    // A source that broke makes the reader complain too; the source's error is the cause.
    fed.and(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use towpath_model::digest::RunKey;

    struct Collect(Vec<Vec<u8>>);

    impl RowVisitor for Collect {
        fn row(&mut self, bytes: &[u8]) {
            self.0.push(bytes.to_vec());
        }
    }

    /// The rows found in `bytes`, whatever blocks they come in.
    fn rows(bytes: &[u8], block: usize, format: Format, columns: usize) -> Result<Vec<Vec<u8>>> {
        let mut collect = Collect(Vec::new());
        let blocks = bytes.chunks(block.max(1)).map(<[u8]>::to_vec).collect();
        let mut source = BytesIn::Blocks(blocks);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(each_row(&mut source, format, columns, &mut collect))?;
        Ok(collect.0)
    }

    /// A row as COPY writes it in CSV (PostgreSQL manual, COPY, "CSV Format"): quoted when it
    /// must be, NULL as the bare marker.
    fn csv_row(fields: &[Option<String>], marker: &str) -> Vec<u8> {
        let alone = fields.len() == 1;
        let fields: Vec<String> = fields
            .iter()
            .map(|field| match field {
                None => marker.to_owned(),
                Some(text) => {
                    let special = text.contains(['"', ',', '\n', '\r']);
                    // COPY quotes nothing for being empty, unless it would read as NULL.
                    let must = special || text == marker;
                    if must || (alone && text == "\\.") {
                        format!("\"{}\"", text.split('"').collect::<Vec<_>>().join("\"\""))
                    } else {
                        text.clone()
                    }
                }
            })
            .collect();
        format!("{}\n", fields.join(",")).into_bytes()
    }

    fn binary_row(fields: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut row = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            let length = field
                .as_ref()
                .map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
            row.extend_from_slice(&length.to_be_bytes());
            row.extend_from_slice(field.as_deref().unwrap_or_default());
        }
        row
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        let nasty = prop_oneof![
            Just(String::new()),
            Just("\\.".to_owned()),
            Just("\u{feff}x".to_owned()),
            "[\"\\\\,\n\r\t ab]{0,6}",
            "\\PC{0,6}",
        ];
        proptest::option::weighted(0.8, nasty)
    }

    proptest! {
        #[test]
        fn csv_rows_are_found_wherever_blocks_end(
            table in (1usize..4).prop_flat_map(|columns| {
                proptest::collection::vec(proptest::collection::vec(text(), columns), 0..12)
            }),
            block in 1usize..40,
        ) {
            let marker = RunKey::new([9; 32]).null_marker();
            let columns = table.first().map_or(1, Vec::len);
            let wanted: Vec<Vec<u8>> = table.iter().map(|row| csv_row(row, &marker)).collect();
            let found = rows(&wanted.concat(), block, Format::Csv, columns).unwrap();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn what_csv_says_can_be_read_back(table in proptest::collection::vec(text(), 1..5)) {
            let key = RunKey::new([9; 32]);
            let row = csv_row(&table, &key.null_marker());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let read = runtime.block_on(crate::row_key::csv_fields(&row, &key.null_marker()));
            // A byte order mark at the very beginning of a stream is the reader's to drop.
            let wanted: Vec<Option<Vec<u8>>> = table
                .iter()
                .enumerate()
                .map(|(at, field)| field.as_ref().map(|text| {
                    let text = if at == 0 { text.trim_start_matches('\u{feff}') } else { text };
                    text.as_bytes().to_vec()
                }))
                .collect();
            prop_assert_eq!(read, wanted);
        }

        #[test]
        fn binary_rows_are_found_wherever_blocks_end(
            table in (0usize..4).prop_flat_map(|columns| {
                let field = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9));
                proptest::collection::vec(proptest::collection::vec(field, columns), 0..12)
            }),
            block in 1usize..40,
        ) {
            let columns = table.first().map_or(1, Vec::len);
            let wanted: Vec<Vec<u8>> = table.iter().map(|row| binary_row(row)).collect();
            let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
            bytes.extend_from_slice(&[0; 8]);
            bytes.extend(wanted.concat());
            let cut = rows(&bytes, block, Format::Binary, columns);
            prop_assert!(cut.is_err(), "a stream without its trailer passed");
            bytes.extend_from_slice(&[0xff, 0xff]);
            let found = rows(&bytes, block, Format::Binary, columns).unwrap();
            prop_assert_eq!(found, wanted);
        }
    }
}
