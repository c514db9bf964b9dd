//! What became of values that come again.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

/// Places; each remembers the last value that fell to it. Some thousands of different values rarely
/// meet in one.
const PLACES: usize = 16_384;

/// Longer values are not remembered: they rarely come again, and take room.
const BYTES: usize = 64;

/// After so many values it is seen whether remembering is worth it.
const TRIAL: u32 = 16_384;

/// One value in so many has to come again for that.
const WORTH: u32 = 8;

/// Remembers what a function of a value alone gave. Towns, paths, tenants come again and again in a
/// column, and to keep a value's shape takes a dozen hashes; where no value comes twice it soon
/// stops, and costs nothing.
#[derive(Default)]
pub(super) struct Memo(RefCell<Remembered>);

#[derive(Default)]
struct Remembered {
    hasher: RandomState,
    places: Vec<Option<Box<Known>>>,
    asked: u32,
    known: u32,
    is_over: bool,
}

struct Known {
    value: Box<str>,
    became: Box<str>,
}

impl Memo {
    /// Appends what the function appends; false where it gives false, which is not remembered.
    pub(super) fn apply(
        &self,
        value: &str,
        out: &mut String,
        function: impl FnOnce(&str, &mut String) -> bool,
    ) -> bool {
        let mut remembered = self.0.borrow_mut();
        let Some(place) = remembered.place(value) else {
            return function(value, out);
        };
        if let Some(known) = &remembered.places[place]
            && *known.value == *value
        {
            out.push_str(&known.became);
            remembered.known += 1;
            return true;
        }
        let from = out.len();
        let is_changed = function(value, out);
        if let (true, Some(became)) = (is_changed, out.get(from..)) {
            remembered.places[place] = Some(Box::new(Known {
                value: value.into(),
                became: became.into(),
            }));
        }
        is_changed
    }
}

impl Remembered {
    /// Where this value is remembered; nothing where it is not worth it.
    fn place(&mut self, value: &str) -> Option<usize> {
        if self.is_over || value.len() > BYTES {
            return None;
        }
        self.asked += 1;
        if self.asked == TRIAL {
            self.is_over = self.known < TRIAL / WORTH;
            (self.asked, self.known) = (0, 0);
            if self.is_over {
                self.places = Vec::new();
                return None;
            }
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let hash = self.hasher.hash_one(value);
        usize::try_from(hash % PLACES as u64).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn times(memo: &Memo, values: impl IntoIterator<Item = String>) -> u32 {
        let times = Cell::new(0);
        for value in values {
            let mut out = String::from("before ");
            let is_changed = memo.apply(&value, &mut out, |value, out| {
                times.set(times.get() + 1);
                out.push_str(value);
                out.push('!');
                !value.is_empty()
            });
            assert_eq!(is_changed, !value.is_empty());
            assert_eq!(out, format!("before {value}!"));
        }
        times.get()
    }

    #[test]
    fn what_comes_again_is_made_once() {
        let values = || (0..40_000).map(|no| format!("town {}", no % 100));
        // A hundred values meet in a place here and there.
        assert!(times(&Memo::default(), values()) < 8_000);
    }

    #[test]
    fn where_nothing_comes_again_nothing_is_kept() {
        let memo = Memo::default();
        assert_eq!(
            times(&memo, (0..20_000).map(|no| format!("no {no}"))),
            20_000
        );
        assert!(memo.0.borrow().places.is_empty());
    }

    #[test]
    fn what_is_long_or_unchanged_is_made_each_time() {
        let long = "x".repeat(BYTES + 1);
        assert_eq!(times(&Memo::default(), vec![long; 3]), 3);
        assert_eq!(times(&Memo::default(), vec![String::new(); 3]), 3);
    }
}
