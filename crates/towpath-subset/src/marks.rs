//! A set of places that grows.

use std::collections::HashSet;

use towpath_model::subset::RowSet;

/// New places are gathered to at least so many before they are sorted in.
const GATHERED: usize = 4096;

/// Eight bytes a place for most of them, whatever order they come in: a table's worth of hash sets
/// would be several times that.
#[derive(Debug, Default)]
pub struct Marks {
    sorted: Vec<u64>,
    recent: HashSet<u64>,
}

impl Marks {
    /// Adds a place; says whether it is new.
    pub fn add(&mut self, place: u64) -> bool {
        if self.recent.is_empty() && self.sorted.last().is_none_or(|last| *last < place) {
            self.sorted.push(place);
            return true;
        }
        if self.holds(place) {
            return false;
        }
        self.recent.insert(place);
        if self.recent.len() > GATHERED.max(self.sorted.len() / 4) {
            self.sorted.extend(self.recent.drain());
            // Two runs that are nearly sorted: what a stable sort is good at.
            self.sorted.sort();
        }
        true
    }

    /// Whether a place is among them.
    pub fn holds(&self, place: u64) -> bool {
        self.recent.contains(&place) || self.sorted.binary_search(&place).is_ok()
    }

    /// All of them.
    pub fn into_rows(mut self) -> RowSet {
        self.sorted.extend(self.recent);
        RowSet::new(self.sorted)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn holds_what_was_added(places in proptest::collection::vec(0u64..20_000, 0..12_000)) {
            let (mut marks, mut expected) = (Marks::default(), BTreeSet::new());
            for place in &places {
                prop_assert_eq!(marks.add(*place), expected.insert(*place));
            }
            for place in (0..20_000).step_by(37) {
                prop_assert_eq!(marks.holds(place), expected.contains(&place));
            }
            let expected: Vec<u64> = expected.into_iter().collect();
            let rows = marks.into_rows();
            prop_assert_eq!(rows.places(), expected.as_slice());
        }
    }
}
