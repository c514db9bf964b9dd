//! Subsets: which rows of a table go into a clone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::ids::TableId;
use crate::plan::PageRange;

/// Which rows of a table go, as planned. Tables without one go whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rows")]
pub enum TableSubset {
    /// None.
    Empty,
    /// Those of the key sets, which are made anew in every snapshot.
    Kept {
        /// How many there were when planned.
        estimated_rows: u64,
        /// About how many bytes they are.
        estimated_bytes: u64,
    },
}

/// Rows of one table, by where they are in one snapshot: page and number within the page. Holds no
/// value of any row, works without a key, and takes eight bytes a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    /// Page and number in one word; sorted, each once.
    places: Vec<u64>,
}

impl RowSet {
    /// Of places in any order.
    pub fn new(mut places: Vec<u64>) -> Self {
        places.sort_unstable();
        places.dedup();
        places.shrink_to_fit();
        Self { places }
    }

    /// A place of a page and a number within it, as `ctid` has them.
    pub const fn place(page: u32, number: u16) -> u64 {
        ((page as u64) << 16) | number as u64
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a place is among them.
    pub fn holds(&self, place: u64) -> bool {
        self.places.binary_search(&place).is_ok()
    }

    /// Every place, in order.
    pub fn places(&self) -> &[u64] {
        &self.places
    }

    /// The places within a slice of pages; all without one.
    pub fn within(&self, pages: Option<PageRange>) -> &[u64] {
        let Some(range) = pages else {
            return &self.places;
        };
        let first = |page: u32| {
            self.places
                .partition_point(|place| *place < Self::place(page, 0))
        };
        let end = range.to_page.map_or(self.places.len(), first);
        &self.places[first(range.from_page).min(end)..end]
    }
}

/// Places as the text of an array of `tid`.
pub fn tid_array(places: &[u64]) -> String {
    let mut text = String::with_capacity(places.len() * 14 + 2);
    text.push('{');
    for (at, place) in places.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}\"({},{})\"", place >> 16, place & 0xffff);
    }
    text.push('}');
    text
}

/// The key sets of a subset, of one snapshot. Tables that are not named go whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptRows {
    /// By table.
    pub tables: BTreeMap<TableId, RowSet>,
}

impl KeptRows {
    /// The rows of a table that go; nothing where all go.
    pub fn of(&self, table: &TableId) -> Option<&RowSet> {
        self.tables.get(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_a_set_hold_each_place_once() {
        let places = [(0, 1), (0, 200), (3, 1), (4, 7), (9, 2)];
        let set = RowSet::new(places.map(|(p, n)| RowSet::place(p, n)).to_vec());
        let slice = |from_page, to_page| set.within(Some(PageRange { from_page, to_page })).len();
        assert_eq!(slice(0, Some(4)) + slice(4, Some(9)) + slice(9, None), 5);
        assert_eq!(slice(1, Some(3)), 0);
        assert_eq!(slice(10, None), 0);
        assert_eq!(set.within(None).len(), 5);
        assert!(set.holds(RowSet::place(3, 1)) && !set.holds(RowSet::place(3, 2)));
    }

    #[test]
    fn places_are_written_as_the_server_reads_them() {
        let places = [(0, 1), (70_000, 12), (4_294_967_294, 65_535)];
        assert_eq!(
            tid_array(&places.map(|(page, number)| RowSet::place(page, number))),
            r#"{"(0,1)","(70000,12)","(4294967294,65535)"}"#
        );
        assert_eq!(tid_array(&[]), "{}");
    }
}
