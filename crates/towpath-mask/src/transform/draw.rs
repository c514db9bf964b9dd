//! Keyed numbers: everything a mask decides is drawn from the key and the value.

/// A stream of numbers that a key and a value determine.
pub(super) struct Draw<'k> {
    key: &'k [u8; 32],
    seed: [u8; 32],
    block: [u8; 32],
    at: usize,
    blocks: u64,
}

impl<'k> Draw<'k> {
    /// The stream of a value.
    pub(super) fn of(key: &'k [u8; 32], value: &[u8]) -> Self {
        let seed = *blake3::keyed_hash(key, value).as_bytes();
        Self {
            key,
            seed,
            block: seed,
            at: 0,
            blocks: 0,
        }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        if self.at == 4 {
            self.blocks += 1;
            let mut input = [0; 40];
            input[..32].copy_from_slice(&self.seed);
            input[32..].copy_from_slice(&self.blocks.to_le_bytes());
            self.block = *blake3::keyed_hash(self.key, &input).as_bytes();
            self.at = 0;
        }
        let mut word = [0; 8];
        word.copy_from_slice(&self.block[self.at * 8..self.at * 8 + 8]);
        self.at += 1;
        u64::from_le_bytes(word)
    }

    /// A number below a bound. Of small bounds several fit into 64 bits, so the stream of one hash
    /// is enough for a name or an address; the bias of a bound below a million is under 2^-40.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.bits()) * u128::from(bound.max(1))) >> 64).unwrap_or(0)
    }

    /// A place in a list.
    pub(super) fn place(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.below(length)).unwrap_or(0)
    }

    /// One of a list.
    pub(super) fn one_of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.place(list.len())).copied()
    }

    /// A number between -1 and 1, neither of them.
    pub(super) fn either_way(&mut self) -> f64 {
        let bits = self.bits() >> 12;
        // 52 bits are exact in a double.
        let part = f64::from_bits(0x3ff0_0000_0000_0000 | bits) - 1.0;
        (part - 0.5) * 2.0
    }
}

/// Thirteen letters and digits that are 64 bits: what keeps made-up values apart.
pub(super) fn token(mut bits: u64, out: &mut String) {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    for _ in 0..13 {
        let digit = DIGITS[usize::from(u8::try_from(bits & 31).unwrap_or(0))];
        out.push(char::from(digit));
        bits >>= 5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let key = [7; 32];
        let mut seen = [false; 5];
        let mut draw = Draw::of(&key, b"value");
        for _ in 0..200 {
            seen[draw.place(5)] = true;
            assert!(draw.either_way().abs() <= 1.0);
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(draw.below(1), 0);
    }

    #[test]
    fn tokens_are_as_many_as_numbers() {
        let mut all = std::collections::HashSet::new();
        for bits in [
            0,
            1,
            31,
            32,
            u64::MAX,
            u64::MAX - 1,
            1 << 63,
            1 << 60,
            1 << 59,
        ] {
            let mut text = String::new();
            token(bits, &mut text);
            assert_eq!(text.len(), 13);
            assert!(all.insert(text));
        }
    }
}
