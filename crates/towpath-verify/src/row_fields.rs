//! The fields of a row, as COPY writes them (PostgreSQL manual, COPY, "CSV Format" and "Tuples").

use std::borrow::Cow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use csv_async::{AsyncReaderBuilder, ByteRecord, Terminator};
use towpath_model::digest::RunKey;
use towpath_model::plan::{Format, PlannedTable};

/// A field: nothing is NULL.
pub(crate) type Field<'r> = Option<Cow<'r, [u8]>>;

/// How the rows of a table look.
#[derive(Debug)]
pub(crate) struct RowShape {
    pub(crate) format: Format,
    pub(crate) columns: Vec<String>,
    pub(crate) types: Vec<String>,
    /// Places of the primary key's columns, in its order.
    pub(crate) key: Vec<usize>,
    null_marker: String,
}

impl RowShape {
    pub(crate) fn of(table: &PlannedTable, key: &RunKey) -> Self {
        let place = |name: &String| table.columns.iter().position(|column| column == name);
        Self {
            format: table.format,
            columns: table.columns.clone(),
            types: table.types.clone(),
            key: table.key.iter().filter_map(place).collect(),
            null_marker: key.null_marker(),
        }
    }

    /// The fields, one for each column; of a row that is none of this shape, less.
    pub(crate) fn fields<'r>(&self, row: &'r [u8]) -> Vec<Field<'r>> {
        match self.format {
            Format::Binary => binary_fields(row, self.columns.len()),
            Format::Csv => csv_fields(row, &self.null_marker),
        }
    }
}

fn binary_fields(row: &[u8], columns: usize) -> Vec<Field<'_>> {
    let mut fields = Vec::with_capacity(columns);
    let mut rest = row.get(2..).unwrap_or_default();
    for _ in 0..columns {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            fields.push(None);
            rest = after;
            continue;
        };
        let Some((field, after)) = after.split_at_checked(length) else {
            break;
        };
        fields.push(Some(Cow::Borrowed(field)));
        rest = after;
    }
    fields
}

/// Fields of a line. Quotes cannot tell NULL from a text; the marker does, which no value equals.
pub(crate) fn csv_fields(row: &[u8], null_marker: &str) -> Vec<Field<'static>> {
    let Some(record) = csv_record(row) else {
        return Vec::new();
    };
    // The reader passes over a blank line: the row of one column that holds an empty text.
    if record.is_empty() {
        return vec![Some(Cow::Borrowed(&[]))];
    }
    let field = |bytes: &[u8]| Some(Cow::Owned(bytes.to_vec()));
    record
        .iter()
        .map(|bytes| field(bytes).filter(|_| bytes != null_marker.as_bytes()))
        .collect()
}

/// What a reader of files takes off their beginning. In a row it is text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The one record of a line; nothing when it is none.
fn csv_record(row: &[u8]) -> Option<ByteRecord> {
    if row.starts_with(BYTE_ORDER_MARK) {
        return read_record(&[BYTE_ORDER_MARK, row].concat());
    }
    read_record(row)
}

fn read_record(row: &[u8]) -> Option<ByteRecord> {
    let mut reader = AsyncReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .create_reader(row);
    let mut record = ByteRecord::new();
    // What is in memory is there at once: nobody has to be woken.
    let mut waiting = Context::from_waker(Waker::noop());
    let read = pin!(reader.read_byte_record(&mut record)).poll(&mut waiting);
    match read {
        Poll::Ready(Ok(_)) => Some(record),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(row: &str) -> Vec<Option<String>> {
        csv_fields(row.as_bytes(), "\\N")
            .into_iter()
            .map(|field| field.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            .collect()
    }

    #[test]
    fn fields_of_a_line() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts("\n"), [some("")]);
        assert_eq!(texts("a,,\\N\n"), [some("a"), some(""), None]);
        for row in ["\u{feff}x", "\u{feff}\u{feff}", "\u{feff}"] {
            assert_eq!(texts(&format!("{row}\n")), [some(row)]);
            assert_eq!(texts(&format!("\"{row}\",\n")), [some(row), some("")]);
        }
        assert_eq!(
            texts("\"a,\"\"b\"\"\n\",\"\"\"\",\"\"\n"),
            [some("a,\"b\"\n"), some("\""), some("")]
        );
    }

    #[test]
    fn fields_of_a_tuple() {
        let row = [&[0, 2][..], &[0xff, 0xff, 0xff, 0xff], &[0, 0, 0, 2], b"ab"].concat();
        let fields = binary_fields(&row, 2);
        assert_eq!(fields[0], None);
        assert_eq!(fields[1].as_deref(), Some(&b"ab"[..]));
        assert_eq!(binary_fields(&row[..row.len() - 1], 2).len(), 1);
    }
}
