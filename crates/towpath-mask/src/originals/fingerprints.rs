//! A set of hashes of 64 bits that many write at once, none is taken out of, and that grows.
//!
//! A line is what the processor fetches at once, so that a hash that is noted or looked for costs one
//! fetch nearly always. A level that has no room near a hash's place leaves it to the next one; as
//! nothing is ever taken out, a free slot on the way says that the hash is not there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots of a line: 64 bytes.
const LINE: usize = 8;

/// Lines that are tried from a hash's place on: with four, two thirds of a level fill before the
/// first hash finds no room.
const WINDOW: u64 = 4;

/// Levels at most. Each is as great as all before it.
const LEVELS: usize = 12;

#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

/// A hash is in the slot or not; zero stands for a free slot.
pub(super) struct Fingerprints {
    levels: [OnceLock<Box<[Line]>>; LEVELS],
    first_bytes: u64,
    cap_bytes: u64,
    held: AtomicU64,
    refused: AtomicU64,
}

/// What became of a hash on one level.
enum Put {
    New,
    There,
    Full,
}

impl Fingerprints {
    /// A set whose first level has about so many bytes, and which never takes more than others.
    pub(super) fn new(first_bytes: u64, cap_bytes: u64) -> Self {
        Self {
            levels: Default::default(),
            first_bytes: first_bytes.min(cap_bytes),
            cap_bytes,
            held: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Puts a hash in, unless all room is taken.
    pub(super) fn put(&self, hash: u64) {
        let hash = hash.max(1);
        for (no, level) in self.levels.iter().enumerate() {
            let lines = level.get_or_init(|| self.lines(no));
            match put(lines, hash) {
                Put::New => {
                    self.held.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Put::There => return,
                Put::Full => {}
            }
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a hash was put in.
    pub(super) fn holds(&self, hash: u64) -> bool {
        let hash = hash.max(1);
        for lines in self.levels.iter().map_while(OnceLock::get) {
            for slot in window(lines, hash) {
                match slot.load(Ordering::Relaxed) {
                    0 => return false,
                    held if held == hash => return true,
                    _ => {}
                }
            }
        }
        false
    }

    /// How many there are.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many found no room, each time that they came.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Bytes of the levels that there are.
    pub(super) fn bytes(&self) -> u64 {
        let levels = self.levels.iter().map_while(OnceLock::get);
        levels
            .map(|lines| size_of_val::<[Line]>(lines) as u64)
            .sum()
    }

    fn lines(&self, no: usize) -> Box<[Line]> {
        let before: u64 = match no {
            0 => 0,
            no => self.first_bytes << (no - 1),
        };
        let bytes = before.max(self.first_bytes);
        let bytes = bytes.min(self.cap_bytes.saturating_sub(before));
        let lines = usize::try_from(bytes / size_of::<Line>() as u64).unwrap_or(0);
        std::iter::repeat_with(Line::default).take(lines).collect()
    }
}

fn put(lines: &[Line], hash: u64) -> Put {
    for slot in window(lines, hash) {
        // Looked at first: most values of most columns come many times, and a line of the cache that
        // is only read can be in every core's.
        let mut held = slot.load(Ordering::Relaxed);
        if held == 0 {
            match slot.compare_exchange(0, hash, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Put::New,
                Err(other) => held = other,
            }
        }
        if held == hash {
            return Put::There;
        }
    }
    Put::Full
}

/// The slots where a hash may be, in the order in which they are tried.
fn window(lines: &[Line], hash: u64) -> impl Iterator<Item = &AtomicU64> {
    let many = lines.len() as u64;
    // The high half of a product: even for any number of lines.
    let home = (u128::from(hash) * u128::from(many)) >> 64;
    let home = u64::try_from(home).unwrap_or(0);
    (0..WINDOW.min(many))
        .filter_map(move |step| {
            let at = match home + step {
                at if at >= many => at - many,
                at => at,
            };
            lines.get(usize::try_from(at).ok()?)
        })
        .flat_map(|line| &line.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_that_is_too_small_grows_and_forgets_nothing() {
        let set = Fingerprints::new(1 << 12, 1 << 24);
        let hashes = || (1..20_000u64).map(|no| no.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        hashes().for_each(|hash| set.put(hash));
        hashes().for_each(|hash| set.put(hash));
        assert_eq!(set.held(), 19_999);
        assert_eq!(set.refused(), 0);
        assert!(hashes().all(|hash| set.holds(hash)));
        assert!(!hashes().any(|hash| set.holds(hash ^ 1)));
        assert!(
            set.bytes() > 160_000 && set.bytes() < 1 << 20,
            "{}",
            set.bytes()
        );
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let set = Fingerprints::new(1 << 12, 1 << 14);
        (1..10_000u64).for_each(|no| set.put(no.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        assert!(set.bytes() <= 1 << 14);
        assert_eq!(set.held() + set.refused(), 9_999);
        assert!(set.held() > 1_500 && set.held() <= 1 << 11);
    }

    #[test]
    fn many_may_put_the_same_at_once() {
        let set = Fingerprints::new(1 << 12, 1 << 24);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (1..50_000u64).for_each(|no| set.put(no.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                });
            }
        });
        assert_eq!(set.held(), 49_999);
    }

    proptest! {
        #[test]
        fn it_is_a_set(put in prop::collection::vec(any::<u64>(), 0..600), asked in any::<[u64; 8]>()) {
            let (set, model): (_, std::collections::HashSet<u64>) =
                (Fingerprints::new(64, 1 << 20), put.iter().map(|hash| (*hash).max(1)).collect());
            put.iter().for_each(|hash| set.put(*hash));
            prop_assert_eq!(set.held(), model.len() as u64);
            for hash in put.iter().chain(&asked) {
                prop_assert_eq!(set.holds(*hash), model.contains(&(*hash).max(1)));
            }
        }
    }
}
