//! Rows of COPY in CSV: read by csv-async, written as PostgreSQL writes them, because the target will
//! print the same row and every byte is hashed.

use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use csv_async::{AsyncReader, AsyncReaderBuilder, ByteRecord, Terminator};
use tokio::io::{AsyncRead, ReadBuf};
use towpath_model::Result;

use super::malformed;

/// What the reader is fed before anything else. It drops a byte order mark at the beginning of its
/// input, and the first value of a table may begin with one; it keeps a copy of the first record,
/// which should not be a row.
const FIRST: &[u8] = b"-\n";

/// Reads rows, and keeps the last one.
pub(super) struct Fields {
    reader: AsyncReader<Feed>,
    record: ByteRecord,
    places: Vec<Option<Range<usize>>>,
    marker: Vec<u8>,
}

impl Fields {
    pub(super) fn new(null_marker: String) -> Result<Self> {
        let mut builder = AsyncReaderBuilder::new();
        // A carriage return outside of quotes would be a value's own; PostgreSQL ends lines by one
        // newline, and writes no value that holds either without quotes.
        builder
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'));
        let mut fields = Self {
            reader: builder.create_reader(Feed::default()),
            record: ByteRecord::new(),
            places: Vec::new(),
            marker: null_marker.into_bytes(),
        };
        fields.read(FIRST)?;
        Ok(fields)
    }

    /// Finds the fields of a row, and gives the marker of NULL with them.
    pub(super) fn split(
        &mut self,
        row: &[u8],
        columns: usize,
    ) -> Result<(super::Fields<'_>, &[u8])> {
        self.places.clear();
        // Readers of CSV skip blank lines; here one is an empty text in the only column.
        if row == b"\n" && columns == 1 {
            self.record.clear();
            self.places.push(Some(0..0));
        } else {
            self.read(row)?;
            if self.record.len() != columns {
                return Err(malformed("it is no CSV row of the table's columns"));
            }
            let places = (0..columns).map(|at| {
                let is_null = self.record.get(at) == Some(self.marker.as_slice());
                self.record.range(at).filter(|_| !is_null)
            });
            self.places.extend(places);
        }
        let fields = super::Fields {
            bytes: self.record.as_slice(),
            places: &self.places,
        };
        Ok((fields, &self.marker))
    }

    /// Reads exactly one record, which is there whole: nothing ever waits.
    fn read(&mut self, row: &[u8]) -> Result<()> {
        self.reader.get_mut().hold(row);
        let before = self.reader.position().byte();
        let mut context = Context::from_waker(Waker::noop());
        let polled = {
            let reading = pin!(self.reader.read_byte_record(&mut self.record));
            reading.poll(&mut context)
        };
        let read = self.reader.position().byte() - before;
        match polled {
            Poll::Ready(Ok(true)) if usize::try_from(read).ok() == Some(row.len()) => Ok(()),
            // The reader's own words may hold the row's.
            Poll::Ready(_) | Poll::Pending => Err(malformed("it is not one row of CSV")),
        }
    }
}

/// Bytes that are there, and no end.
#[derive(Default)]
struct Feed {
    bytes: Vec<u8>,
    read: usize,
}

impl Feed {
    fn hold(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.read = 0;
    }
}

impl AsyncRead for Feed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        if rest.is_empty() {
            return Poll::Pending;
        }
        let now = rest.len().min(to.remaining());
        to.put_slice(&rest[..now]);
        self.read += now;
        Poll::Ready(Ok(()))
    }
}

/// A line on its way.
pub(super) struct Line<'w> {
    out: &'w mut Vec<u8>,
    marker: &'w [u8],
    is_alone: bool,
    is_first: bool,
}

impl<'w> Line<'w> {
    /// Of so many fields.
    pub(super) fn new(out: &'w mut Vec<u8>, marker: &'w [u8], fields: usize) -> Self {
        Self {
            out,
            marker,
            is_alone: fields == 1,
            is_first: true,
        }
    }

    /// Writes a field with the quotes that PostgreSQL gives it, no more: around what reads as NULL,
    /// around separators, and around `\.` where it has the line for itself
    /// (src/backend/commands/copyto.c, `CopyAttributeOutCSV`).
    pub(super) fn put(&mut self, field: Option<&[u8]>) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        let Some(field) = field else {
            self.out.extend_from_slice(self.marker);
            return;
        };
        let is_special = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
        let is_quoted = field.iter().any(is_special)
            || field == self.marker
            || (self.is_alone && field == b"\\.");
        if !is_quoted {
            self.out.extend_from_slice(field);
            return;
        }
        self.out.push(b'"');
        let mut parts = field.split(|byte| *byte == b'"');
        if let Some(first) = parts.next() {
            self.out.extend_from_slice(first);
        }
        for part in parts {
            self.out.extend_from_slice(b"\"\"");
            self.out.extend_from_slice(part);
        }
        self.out.push(b'"');
    }

    pub(super) fn end(self) {
        self.out.push(b'\n');
    }
}
