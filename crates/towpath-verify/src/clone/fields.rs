//! Fields of a row as they stand in it, so that some of them can be put together again byte for byte.

use std::borrow::Cow;
use std::ops::Range;

use towpath_model::digest::RunKey;
use towpath_model::plan::{Format, PlannedTable};

/// How rows of a table are cut.
pub(super) struct Cut {
    format: Format,
    columns: usize,
    null_marker: Vec<u8>,
}

/// Where fields are in a row, quotes included; nothing for NULL.
pub(super) type Places = Vec<Option<Range<usize>>>;

impl Cut {
    pub(super) fn of(table: &PlannedTable, key: &RunKey) -> Self {
        Self {
            format: table.format,
            columns: table.columns.len(),
            null_marker: key.null_marker().into_bytes(),
        }
    }

    /// Finds the fields; whether there are as many as columns.
    pub(super) fn cut(&self, row: &[u8], places: &mut Places) -> bool {
        places.clear();
        match self.format {
            Format::Binary => self.cut_binary(row, places),
            Format::Csv => self.cut_csv(row, places),
        }
        .is_some()
            && places.len() == self.columns
    }

    fn cut_binary(&self, row: &[u8], places: &mut Places) -> Option<()> {
        let mut at = 2;
        for _ in 0..self.columns {
            let length = row.get(at..)?.first_chunk::<4>()?;
            at += 4;
            match usize::try_from(i32::from_be_bytes(*length)) {
                Ok(length) => {
                    row.get(at..at.checked_add(length)?)?;
                    places.push(Some(at..at + length));
                    at += length;
                }
                Err(_) => places.push(None),
            }
        }
        (at == row.len()).then_some(())
    }

    /// A comma ends a field unless the quotes before it are odd in number.
    fn cut_csv(&self, row: &[u8], places: &mut Places) -> Option<()> {
        let line = row.strip_suffix(b"\n")?;
        if self.columns == 0 {
            return Some(());
        }
        let mut from = 0;
        let mut is_quoted = false;
        let mut end = |from: usize, to: usize| {
            let is_null = line[from..to] == *self.null_marker;
            places.push((!is_null).then_some(from..to));
        };
        for (at, byte) in line.iter().enumerate() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b',' if !is_quoted => {
                    end(from, at);
                    from = at + 1;
                }
                _ => {}
            }
        }
        end(from, line.len());
        Some(())
    }

    /// The value of a field, without its quotes.
    pub(super) fn value<'r>(&self, row: &'r [u8], place: &Range<usize>) -> Cow<'r, [u8]> {
        let field = &row[place.clone()];
        match (self.format, field) {
            (Format::Csv, [b'"', inner @ .., b'"']) => unquoted(inner),
            _ => Cow::Borrowed(field),
        }
    }

    /// Puts some of the fields together as COPY does for a query of these columns alone.
    pub(super) fn project(&self, row: &[u8], places: &Places, chosen: &[usize], out: &mut Vec<u8>) {
        out.clear();
        let field = |at: &usize| places.get(*at).and_then(|place| place.as_ref());
        match self.format {
            Format::Binary => {
                let count = i16::try_from(chosen.len()).unwrap_or(i16::MAX);
                out.extend_from_slice(&count.to_be_bytes());
                for place in chosen.iter().map(field) {
                    match place {
                        // With its length, which stands before it.
                        Some(place) => out.extend_from_slice(&row[place.start - 4..place.end]),
                        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                    }
                }
            }
            Format::Csv => {
                for (no, place) in chosen.iter().map(field).enumerate() {
                    if no > 0 {
                        out.push(b',');
                    }
                    match place.map(|place| &row[place.clone()]) {
                        None => out.extend_from_slice(&self.null_marker),
                        // Alone in its line it would end the rows (PostgreSQL manual, COPY, "CSV
                        // Format"), so it has quotes there.
                        Some(b"\\.") if chosen.len() == 1 => out.extend_from_slice(b"\"\\.\""),
                        Some(field) => out.extend_from_slice(field),
                    }
                }
                out.push(b'\n');
            }
        }
    }
}

fn unquoted(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&b'"') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(byte) = rest.next() {
        out.push(*byte);
        if *byte == b'"' {
            // The second one of a pair.
            rest.next();
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(format: Format, columns: usize) -> Cut {
        Cut {
            format,
            columns,
            null_marker: b"\\N00".to_vec(),
        }
    }

    fn projected(cut: &Cut, row: &[u8], chosen: &[usize]) -> Vec<u8> {
        let mut places = Vec::new();
        assert!(cut.cut(row, &mut places));
        let mut out = b"left".to_vec();
        cut.project(row, &places, chosen, &mut out);
        out
    }

    #[test]
    fn lines_are_cut_and_put_together() {
        let cut = cut(Format::Csv, 4);
        let row = b"a,\"b,\"\"\n\"\"\",\\N00,\n";
        let mut places = Vec::new();
        assert!(cut.cut(row, &mut places));
        let values: Vec<Option<Vec<u8>>> = places
            .iter()
            .map(|place| {
                place
                    .as_ref()
                    .map(|place| cut.value(row, place).into_owned())
            })
            .collect();
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(values, [some("a"), some("b,\"\n\""), None, some("")]);
        assert_eq!(projected(&cut, row, &[1, 2]), b"\"b,\"\"\n\"\"\",\\N00\n");
        assert_eq!(projected(&cut, row, &[3]), b"\n");
        assert_eq!(projected(&cut, row, &[]), b"\n");
        assert!(!cut.cut(b"a,b\n", &mut places));
    }

    #[test]
    fn what_would_end_the_rows_has_quotes_when_alone() {
        let cut = cut(Format::Csv, 2);
        assert_eq!(projected(&cut, b"\\.,x\n", &[0]), b"\"\\.\"\n");
        assert_eq!(projected(&cut, b"\\.,x\n", &[0, 1]), b"\\.,x\n");
    }

    #[test]
    fn tuples_are_cut_and_put_together() {
        let cut = cut(Format::Binary, 3);
        let row = [&[0, 3, 0, 0, 0, 2][..], b"ab", &[0xff; 4], &[0, 0, 0, 0]].concat();
        assert_eq!(
            projected(&cut, &row, &[0, 1]),
            [&[0, 2, 0, 0, 0, 2][..], b"ab", &[0xff; 4]].concat()
        );
        assert_eq!(projected(&cut, &row, &[]), [0, 0]);
        let mut places = Vec::new();
        assert!(!cut.cut(&row[..row.len() - 1], &mut places));
    }
}
