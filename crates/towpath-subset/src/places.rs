//! Places out of a server, and back into SQL.

use towpath_model::name::quote_literal;
use towpath_model::subset::{RowSet, tid_array};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

/// What a binary COPY begins with (PostgreSQL manual, COPY, "Binary Format").
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// A row: OID of its table, and its place.
pub type Found = (u32, u64);

/// Gives `each` the rows of a query with two columns: `tableoid` and `ctid`.
///
/// In binary COPY: a million rows of JSON are seconds of parsing. The query goes by the simple
/// protocol, so a text of the operator's must have passed [`Session::fetch`] before, which takes one
/// statement and no other.
pub async fn read(session: &mut Session, query: &str, mut each: impl FnMut(Found)) -> Result<()> {
    let statement = format!("copy ({query}\n) to stdout with (format binary)");
    let mut copy = session.copy_out(&statement).await?;
    let mut reader = Reader::default();
    while let Some(message) = copy.next().await? {
        reader.take(&message, &mut each)?;
    }
    reader.end()
}

/// Where many places are held while they are asked about: a setting that ends with the transaction.
const HELD: &str = "towpath.chosen";

/// Places that may stand in a statement.
const FEW: usize = 1000;

/// The conditions that a row is at one of these places, which are sorted: for one query or several,
/// until others are held.
///
/// In the statement itself many of them would be megabytes in the source's log, and in the texts that
/// `pg_stat_statements` keeps. The planner sees how many they are either way, but looks each up in
/// a list of unknown length: few, in a table of a few pages, which it reads from beginning to end and
/// takes the text apart for every row, are better off as a constant.
pub async fn hold(session: &mut Session, places: &[u64]) -> Result<Vec<String>> {
    let array = tid_array(places);
    let list = match places.len() <= FEW {
        true => quote_literal(&array),
        false => {
            let hold = "select pg_catalog.left(pg_catalog.set_config($1, $2, true), 0)";
            session.scalar(hold, &[HELD, &array]).await?;
            format!("pg_catalog.current_setting({})", quote_literal(HELD))
        }
    };
    Ok(vec![
        format!("ctid = any ({list}::pg_catalog.tid[])"),
        stretch(places),
    ])
}

/// The condition that a row is in the stretch of pages that sorted places are in: what else is in the
/// table need not be read, even where looking for each of them would be slower.
fn stretch(places: &[u64]) -> String {
    let page = |place: Option<&u64>| place.map_or(0, |place| place >> 16);
    let (first, last) = (page(places.first()), page(places.last()));
    format!("ctid >= '({first},0)'::pg_catalog.tid and ctid <= '({last},65535)'::pg_catalog.tid")
}

#[derive(Debug, Default)]
struct Reader {
    pending: Vec<u8>,
    is_begun: bool,
    is_ended: bool,
}

impl Reader {
    /// Takes bytes, wherever they were cut.
    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Found)) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = self.take_one(at, each)? {
            at += length;
        }
        self.pending.drain(..at);
        Ok(())
    }

    /// Reads header, row or end, if all of it is there; gives its length.
    fn take_one(&mut self, at: usize, each: &mut impl FnMut(Found)) -> Result<Option<usize>> {
        let rest = &self.pending[at..];
        if !self.is_begun {
            let Some(header) = rest.get(..SIGNATURE.len() + 8) else {
                return Ok(None);
            };
            if !header.starts_with(SIGNATURE) || header[SIGNATURE.len()..] != [0; 8] {
                return Err(not_understood());
            }
            self.is_begun = true;
            return Ok(Some(header.len()));
        }
        if self.is_ended {
            return match rest.is_empty() {
                true => Ok(None),
                false => Err(not_understood()),
            };
        }
        if rest.get(..2) == Some(&[0xff, 0xff]) {
            self.is_ended = true;
            return Ok(Some(2));
        }
        let Some(row) = rest.first_chunk::<20>() else {
            return Ok(None);
        };
        let [0, 2, 0, 0, 0, 4, a, b, c, d, 0, 0, 0, 6, e, f, g, h, i, j] = *row else {
            return Err(not_understood());
        };
        let place = RowSet::place(u32::from_be_bytes([e, f, g, h]), u16::from_be_bytes([i, j]));
        each((u32::from_be_bytes([a, b, c, d]), place));
        Ok(Some(row.len()))
    }

    fn end(&self) -> Result<()> {
        match self.is_ended && self.pending.is_empty() {
            true => Ok(()),
            false => Err(not_understood()),
        }
    }
}

fn not_understood() -> Failure {
    Failure::new(
        ErrorKind::Internal,
        "places of rows came back in a form that is not known",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: &[(u32, u32, u16)]) -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0; 8]].concat();
        for (table, page, number) in rows {
            bytes.extend([0, 2, 0, 0, 0, 4]);
            bytes.extend(table.to_be_bytes());
            bytes.extend([0, 0, 0, 6]);
            bytes.extend(page.to_be_bytes());
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend([0xff, 0xff]);
        bytes
    }

    #[test]
    fn rows_are_read_wherever_the_stream_is_cut() {
        let rows = [
            (1, 0, 1),
            (u32::MAX - 1, 4_294_967_294, 291),
            (65_535, 65_535, 65_535),
        ];
        let bytes = stream(&rows);
        let expected: Vec<Found> = rows
            .iter()
            .map(|(table, page, number)| (*table, RowSet::place(*page, *number)))
            .collect();
        for size in 1..bytes.len() {
            let (mut reader, mut found) = (Reader::default(), Vec::new());
            for part in bytes.chunks(size) {
                reader.take(part, &mut |row| found.push(row)).unwrap();
            }
            reader.end().unwrap();
            assert_eq!(found, expected, "parts of {size}");
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_no_answer() {
        let bytes = stream(&[(1, 2, 3), (4, 5, 6)]);
        for end in 0..bytes.len() {
            let mut reader = Reader::default();
            reader.take(&bytes[..end], &mut |_| ()).unwrap();
            assert!(reader.end().is_err(), "cut at {end}");
        }
        let more = [bytes, vec![0]].concat();
        assert!(Reader::default().take(&more, &mut |_| ()).is_err());
    }

    #[test]
    fn the_stretch_of_places_has_both_ends() {
        let places = [RowSet::place(0, 1), RowSet::place(70_000, 12)];
        assert_eq!(
            stretch(&places),
            "ctid >= '(0,0)'::pg_catalog.tid and ctid <= '(70000,65535)'::pg_catalog.tid"
        );
    }
}
