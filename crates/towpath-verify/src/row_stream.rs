//! Frames rows in a stream of raw bytes, wherever its blocks begin and end.

use towpath_model::plan::Format;
use towpath_model::{ErrorKind, Failure, Result};

use crate::bytes_in::BytesIn;

/// Told of every row: its bytes exactly as COPY wrote them.
pub(crate) trait RowVisitor: Send {
    /// One row.
    fn row(&mut self, bytes: &[u8]);

    /// All rows were told.
    fn end(&mut self) {}
}

/// Tells the same rows to one, and to another where there is one.
pub(crate) struct Both<'v>(
    pub(crate) &'v mut dyn RowVisitor,
    pub(crate) Option<Box<dyn RowVisitor>>,
);

impl RowVisitor for Both<'_> {
    fn row(&mut self, bytes: &[u8]) {
        self.0.row(bytes);
        if let Some(other) = &mut self.1 {
            other.row(bytes);
        }
    }

    fn end(&mut self) {
        self.0.end();
        if let Some(other) = &mut self.1 {
            other.end();
        }
    }
}

/// Tells `visitor` of every row of the stream.
pub(crate) async fn each_row(
    source: &mut BytesIn<'_>,
    format: Format,
    columns: usize,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    match format {
        Format::Binary => each_binary_row(source, columns, visitor).await?,
        Format::Csv => each_csv_row(source, columns, visitor).await?,
    }
    visitor.end();
    Ok(())
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

/// Where in a line of CSV the scan is. A newline ends the row unless it is quoted, and it is quoted
/// when the quotes before it are odd in number: one inside a field is doubled (PostgreSQL manual,
/// COPY, "CSV Format").
#[derive(Default)]
struct Line {
    scanned: usize,
    commas: usize,
    is_quoted: bool,
}

impl Line {
    /// Scans on; gives the row's length, once its end is there. `bytes` begin where the row does.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate().skip(self.scanned) {
            match byte {
                b'"' => self.is_quoted = !self.is_quoted,
                b',' if !self.is_quoted => self.commas += 1,
                b'\n' if !self.is_quoted => return Some(at + 1),
                _ => {}
            }
        }
        self.scanned = bytes.len();
        None
    }

    /// A table of no columns has blank lines, and so has one of a single column.
    fn prove_fields(&self, columns: usize, length: usize) -> Result<()> {
        let fields = self.commas + 1;
        if fields == columns || (columns == 0 && length == 1) {
            return Ok(());
        }
        Err(malformed(format!(
            "a row has {fields} fields, expected {columns}"
        )))
    }
}

async fn each_csv_row(
    source: &mut BytesIn<'_>,
    columns: usize,
    visitor: &mut dyn RowVisitor,
) -> Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    let mut line = Line::default();
    while let Some(block) = source.next().await? {
        let is_cut = !pending.is_empty();
        if is_cut {
            pending.extend_from_slice(&block);
        }
        let mut rest = if is_cut { pending.as_slice() } else { &block };
        while let Some(length) = line.end_in(rest) {
            line.prove_fields(columns, length)?;
            let (row, after) = rest.split_at(length);
            visitor.row(row);
            rest = after;
            line = Line::default();
        }
        let left = rest.len();
        if is_cut {
            pending.drain(..pending.len() - left);
        } else {
            pending.extend_from_slice(&block[block.len() - left..]);
        }
    }
    if !pending.is_empty() {
        return Err(malformed("the rows do not end as COPY ends them"));
    }
    Ok(())
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
            // A blank line that is gone leaves no trace in the framing; the hashes tell.
            if wanted.last().is_some_and(|row| row.len() > 1) {
                let whole = wanted.concat();
                let cut = rows(&whole[..whole.len() - 1], block, Format::Csv, columns);
                prop_assert!(cut.is_err(), "a stream without its last newline passed");
            }
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn what_csv_says_can_be_read_back(table in proptest::collection::vec(text(), 1..5)) {
            let key = RunKey::new([9; 32]);
            let row = csv_row(&table, &key.null_marker());
            let read: Vec<Option<Vec<u8>>> = crate::row_fields::csv_fields(&row, &key.null_marker())
                .into_iter()
                .map(|field| field.map(std::borrow::Cow::into_owned))
                .collect();
            let wanted: Vec<Option<Vec<u8>>> = table
                .iter()
                .map(|field| field.as_ref().map(|text| text.as_bytes().to_vec()))
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
