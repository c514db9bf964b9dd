//! Texts of some columns of stored rows: what a sample is looked at by.

use towpath_model::Result;
use towpath_model::digest::RunKey;
use towpath_model::plan::Format;

use super::{Form, binary, csv};
use crate::codec::Codec;

/// Fixed part of the header of binary COPY (PostgreSQL manual, COPY, "Binary Format").
const HEADER: usize = 19;

/// Reads the texts of some columns of a table's rows.
pub struct RowTexts {
    form: Form,
    columns: usize,
    /// Places of the columns, with what reads them; nothing where their binary form is not known.
    wanted: Vec<(usize, Option<Codec>)>,
}

impl RowTexts {
    /// For a table of so many columns; those that are wanted by place, with the type below all
    /// domains.
    pub fn new(
        run_key: &RunKey,
        format: Format,
        columns: usize,
        wanted: &[(usize, &str)],
    ) -> Result<Self> {
        Ok(Self {
            form: match format {
                Format::Binary => Form::Binary(binary::Fields::default()),
                Format::Csv => Form::Csv(Box::new(csv::Fields::new(run_key.null_marker())?)),
            },
            columns,
            wanted: wanted
                .iter()
                .map(|(at, base_type)| (*at, Codec::of(format, base_type)))
                .collect(),
        })
    }

    /// Whether the binary form of every wanted column is known; if not, by place among them.
    pub fn unknown(&self) -> impl Iterator<Item = usize> + '_ {
        let codecs = self.wanted.iter().enumerate();
        codecs.filter_map(|(at, (_, codec))| codec.is_none().then_some(at))
    }

    /// The texts of a row, in the order in which they are wanted; nothing for NULL, and for what
    /// cannot be read.
    pub fn of_row(&mut self, row: &[u8]) -> Result<Vec<Option<String>>> {
        let fields = match &mut self.form {
            Form::Binary(form) => form.split(row, self.columns)?,
            Form::Csv(form) => form.split(row, self.columns)?.0,
        };
        let texts = self.wanted.iter().map(|(at, codec)| {
            let (field, codec) = (fields.get(*at)?, codec.as_ref()?);
            Some(codec.decode(field).ok()?.into_owned())
        });
        Ok(texts.collect())
    }
}

/// The rows of a stored chunk, told apart as its bytes come.
pub struct Pieces {
    format: Format,
    header_seen: bool,
    /// The beginning of a row whose end has not come yet, and what came with it.
    held: Vec<u8>,
    /// How much of it were rows that were given out.
    given: usize,
}

impl Pieces {
    /// Begins a chunk.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            header_seen: format == Format::Csv,
            held: Vec::new(),
            given: 0,
        }
    }

    /// The rows that end in the next bytes.
    pub fn whole_rows(&mut self, bytes: &[u8]) -> Vec<&[u8]> {
        self.held.drain(..self.given);
        self.held.extend_from_slice(bytes);
        self.given = 0;
        if !self.header_seen {
            if self.held.len() < HEADER {
                return Vec::new();
            }
            self.header_seen = true;
            self.given = HEADER;
        }
        let mut rest = &self.held[self.given..];
        let length = |bytes| match self.format {
            Format::Csv => csv_row(bytes),
            Format::Binary => binary_row(bytes),
        };
        let mut rows = Vec::new();
        while let Some((row, others)) =
            length(rest).and_then(|length| rest.split_at_checked(length))
        {
            rows.push(row);
            rest = others;
        }
        self.given = self.held.len() - rest.len();
        rows
    }
}

/// Bytes of the row that these begin with: to the first newline that no quotes are around.
fn csv_row(bytes: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let end = bytes.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'\n' && !quoted
    })?;
    Some(end + 1)
}

/// Likewise: a count of fields, each after its length. The trailer counts -1.
fn binary_row(bytes: &[u8]) -> Option<usize> {
    let count = i16::from_be_bytes(*bytes.first_chunk()?);
    let count = usize::try_from(count).ok()?;
    let mut at = 2_usize;
    for _ in 0..count {
        let length = i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
        // -1 is NULL, of no bytes.
        at = at + 4 + usize::try_from(length).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RunKey {
        RunKey::new([7; 32])
    }

    /// Reads a chunk that comes in pieces of so many bytes.
    fn read(format: Format, chunk: &[u8], size: usize) -> Vec<Option<String>> {
        let mut texts = RowTexts::new(&key(), format, 2, &[(1, "text")]).unwrap();
        let mut pieces = Pieces::new(format);
        let mut read = Vec::new();
        for bytes in chunk.chunks(size) {
            for row in pieces.whole_rows(bytes) {
                read.extend(texts.of_row(row).unwrap());
            }
        }
        read
    }

    #[test]
    fn csv_rows_are_told_apart_and_read() {
        let null = key().null_marker();
        let chunk = format!("1,\"a\nb\"\n2,{null}\n3,\"say \"\"hi\"\"\"\n4,cut");
        let wanted = [Some("a\nb"), None, Some("say \"hi\"")].map(|text| text.map(str::to_owned));
        for size in 1..=chunk.len() {
            assert_eq!(read(Format::Csv, chunk.as_bytes(), size), wanted, "{size}");
        }
    }

    #[test]
    fn binary_rows_are_told_apart_and_read() {
        let mut chunk = vec![0; HEADER];
        for text in [Some("ab"), None, Some("")] {
            chunk.extend([0, 2, 0, 0, 0, 4, 0, 0, 0, 1]);
            match text {
                Some(text) => {
                    chunk.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                    chunk.extend(text.as_bytes());
                }
                None => chunk.extend([0xff; 4]),
            }
        }
        let whole = chunk.len();
        let wanted = [Some("ab"), None, Some("")].map(|text| text.map(str::to_owned));
        for tail in [&[0xff, 0xff][..], &[0, 2, 0, 0], &[0], &[]] {
            chunk.truncate(whole);
            chunk.extend(tail);
            for size in 1..=chunk.len() {
                assert_eq!(read(Format::Binary, &chunk, size), wanted, "{size}");
            }
        }
    }

    #[test]
    fn a_type_without_a_known_binary_form_is_named() {
        let wanted = [(0, "text"), (1, "public.no_such_type")];
        let texts = RowTexts::new(&key(), Format::Binary, 2, &wanted).unwrap();
        assert_eq!(texts.unknown().collect::<Vec<_>>(), [1]);
    }
}
