//! Permutations without fixed points, of numbers below a bound and of texts of one shape.
//!
//! A value x becomes E(E⁻¹(x) + k) for a keyed permutation E and a keyed k that is not nothing: what
//! E⁻¹ gives is moved for certain, so that no value stays what it was, and distinct ones stay
//! distinct. E is a Feistel network whose halves are added digit by digit, as NIST SP 800-38G has it
//! for format-preserving encryption, with keyed BLAKE3 as its round function; small domains are
//! shuffled into one cycle (Sattolo 1986).

use super::draw::Draw;

/// Rounds of E. The way through E⁻¹ and E doubles them.
const ROUNDS: u8 = 5;

/// Rounds where a half has 32 bits and more: the fewer values one knows of all, the fewer rounds hide
/// the rest (Luby and Rackoff 1988: four for a permutation that cannot be told from chance).
const ROUNDS_OF_MANY: u8 = 3;

/// Domains up to this size are shuffled.
const SHUFFLED: u128 = 64;

/// Moves a number below `size` to another one below it. A size below two leaves no choice.
pub(super) fn move_number(key: &[u8; 32], tweak: &[u8], number: u128, size: u128) -> Option<u128> {
    if size < 2 || number >= size {
        return None;
    }
    let tweak = tweak_of(key, tweak, size);
    if size <= SHUFFLED {
        let at = usize::try_from(number).ok()?;
        let size = usize::try_from(size).ok()?;
        return u128::try_from(*one_cycle(key, &tweak, size).get(at)?).ok();
    }
    let mut draw = Draw::of(key, &tweak);
    let wide = u128::from(draw.bits()) << 64 | u128::from(draw.bits());
    let step = 1 + wide % (size - 1);
    let network = Network::of(key, tweak, size);
    let inner = network.walk(number, size, Direction::Back);
    // Both are below the size, which may be as great as 2^128 - 1.
    let moved = match inner.checked_add(step) {
        Some(sum) if sum < size => sum,
        _ => inner - (size - step),
    };
    Some(network.walk(moved, size, Direction::Forth))
}

fn tweak_of(key: &[u8; 32], tweak: &[u8], size: u128) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"tweak");
    hasher.update(&size.to_le_bytes());
    hasher.update(tweak);
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

/// A random permutation that is one cycle, so that nothing stays where it is.
fn one_cycle(key: &[u8; 32], tweak: &[u8; 16], size: usize) -> Vec<usize> {
    let mut draw = Draw::of(key, tweak);
    let mut places: Vec<usize> = (0..size).collect();
    for last in (1..size).rev() {
        places.swap(last, draw.place(last));
    }
    places
}

#[derive(Clone, Copy)]
enum Direction {
    Forth,
    Back,
}

/// A Feistel network over as many bits as a number below a bound has.
struct Network<'k> {
    key: &'k [u8; 32],
    tweak: [u8; 16],
    low_bits: u32,
    high_bits: u32,
    rounds: u8,
}

impl<'k> Network<'k> {
    fn of(key: &'k [u8; 32], tweak: [u8; 16], size: u128) -> Self {
        let bits = 128 - (size - 1).leading_zeros();
        Self {
            key,
            tweak,
            low_bits: bits - bits / 2,
            high_bits: bits / 2,
            rounds: if bits < 64 { ROUNDS } else { ROUNDS_OF_MANY },
        }
    }

    /// Goes on until the result is below the size: a permutation of what is below it (Black and
    /// Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Two steps on average at most.
    fn walk(&self, mut number: u128, size: u128, direction: Direction) -> u128 {
        loop {
            number = self.step(number, direction);
            if number < size {
                return number;
            }
        }
    }

    fn step(&self, number: u128, direction: Direction) -> u128 {
        let mut low = number & mask(self.low_bits);
        let mut high = number >> self.low_bits;
        for round in 0..self.rounds {
            let round = match direction {
                Direction::Forth => round,
                Direction::Back => self.rounds - 1 - round,
            };
            if round.is_multiple_of(2) {
                low ^= self.round(round, high) & mask(self.low_bits);
            } else {
                high ^= self.round(round, low) & mask(self.high_bits);
            }
        }
        high << self.low_bits | low
    }

    fn round(&self, round: u8, half: u128) -> u128 {
        let mut input = [0; 33];
        input[0] = round;
        input[1..17].copy_from_slice(&self.tweak);
        input[17..].copy_from_slice(&half.to_le_bytes());
        let hash = blake3::keyed_hash(self.key, &input);
        let mut word = [0; 16];
        word.copy_from_slice(&hash.as_bytes()[..16]);
        u128::from_le_bytes(word)
    }
}

fn mask(bits: u32) -> u128 {
    match 1_u128.checked_shl(bits) {
        Some(power) => power - 1,
        None => u128::MAX,
    }
}

/// Moves a sequence of digits, each below its own radix, to another one. False where there is
/// nothing to move: no digit with a radix of two or more.
pub(super) fn move_digits(key: &[u8; 32], shape: &[u8], radices: &[u8], digits: &mut [u8]) -> bool {
    if !radices.iter().any(|radix| *radix > 1) {
        return false;
    }
    let mut tweak = [0; 16];
    tweak.copy_from_slice(&blake3::keyed_hash(key, shape).as_bytes()[..16]);
    if let ([digit], [radix]) = (&mut *digits, radices) {
        let cycle = one_cycle(key, &tweak, usize::from(*radix));
        let moved = cycle.get(usize::from(*digit)).copied().unwrap_or(0);
        *digit = u8::try_from(moved).unwrap_or(0);
        return true;
    }
    let mut stream = Vec::new();
    for round in (0..ROUNDS).rev() {
        turn(
            key,
            &tweak,
            round,
            radices,
            digits,
            &mut stream,
            Direction::Back,
        );
    }
    shift(key, &tweak, radices, digits, &mut stream);
    for round in 0..ROUNDS {
        turn(
            key,
            &tweak,
            round,
            radices,
            digits,
            &mut stream,
            Direction::Forth,
        );
    }
    true
}

/// Adds to every digit, and to one of them for certain.
fn shift(
    key: &[u8; 32],
    tweak: &[u8; 16],
    radices: &[u8],
    digits: &mut [u8],
    stream: &mut Vec<u8>,
) {
    fill(key, tweak, u8::MAX, &[], digits.len(), stream);
    let mut is_moved = false;
    for ((digit, radix), word) in digits.iter_mut().zip(radices).zip(words(stream)) {
        let step = match *radix {
            0 | 1 => 0,
            radix if is_moved => word % u32::from(radix),
            radix => 1 + word % (u32::from(radix) - 1),
        };
        is_moved |= step > 0;
        add(digit, step, *radix);
    }
}

fn turn(
    key: &[u8; 32],
    tweak: &[u8; 16],
    round: u8,
    radices: &[u8],
    digits: &mut [u8],
    stream: &mut Vec<u8>,
    direction: Direction,
) {
    let middle = digits.len() / 2;
    let (first, second) = digits.split_at_mut(middle);
    let (first_radices, second_radices) = radices.split_at(middle);
    let (changed, changed_radices, other) = if round.is_multiple_of(2) {
        (second, second_radices, &*first)
    } else {
        (first, first_radices, &*second)
    };
    fill(key, tweak, round, other, changed.len(), stream);
    for ((digit, radix), word) in changed.iter_mut().zip(changed_radices).zip(words(stream)) {
        let wide = u32::from(*radix).max(1);
        let step = match direction {
            Direction::Forth => word % wide,
            Direction::Back => (wide - word % wide) % wide,
        };
        add(digit, step, *radix);
    }
}

fn add(digit: &mut u8, step: u32, radix: u8) {
    let sum = (u32::from(*digit) + step) % u32::from(radix).max(1);
    *digit = u8::try_from(sum).unwrap_or(0);
}

/// Four bytes per digit: the bias of a radix of 128 is under 2^-24.
fn words(stream: &[u8]) -> impl Iterator<Item = u32> {
    stream
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

fn fill(
    key: &[u8; 32],
    tweak: &[u8; 16],
    round: u8,
    half: &[u8],
    digits: usize,
    stream: &mut Vec<u8>,
) {
    stream.clear();
    if digits <= 8 && half.len() <= 47 {
        // One block: what nearly every value is.
        let mut input = [0; 64];
        input[0] = round;
        input[1..17].copy_from_slice(tweak);
        input[17..17 + half.len()].copy_from_slice(half);
        let hash = blake3::keyed_hash(key, &input[..17 + half.len()]);
        stream.extend_from_slice(&hash.as_bytes()[..digits * 4]);
        return;
    }
    stream.resize(digits * 4, 0);
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[round]);
    hasher.update(tweak);
    hasher.update(half);
    hasher.finalize_xof().fill(stream);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_number_of_a_domain_moves_and_is_reached_once() {
        for size in [2, 3, 10, 26, 64, 65, 90, 100, 128, 900, 1000, 1024, 1025] {
            let mut seen = HashSet::new();
            for number in 0..size {
                let moved = move_number(&[3; 32], b"t", number, size).expect("a choice");
                assert!(moved < size && moved != number, "{number} of {size}");
                assert!(seen.insert(moved), "{number} of {size}");
            }
        }
        assert_eq!(move_number(&[3; 32], b"t", 0, 1), None);
    }

    #[test]
    fn every_text_of_a_shape_moves_and_is_reached_once() {
        for radices in [
            vec![10],
            vec![10, 10, 10],
            vec![26, 1, 10],
            vec![2, 1, 1, 2, 3],
            vec![128],
        ] {
            let size: u64 = radices.iter().map(|radix| u64::from(*radix)).product();
            let mut seen = HashSet::new();
            for number in 0..size {
                let mut rest = number;
                let mut digits: Vec<u8> = Vec::new();
                for radix in &radices {
                    digits.push(u8::try_from(rest % u64::from(*radix)).expect("a digit"));
                    rest /= u64::from(*radix);
                }
                let before = digits.clone();
                assert!(move_digits(&[3; 32], b"shape", &radices, &mut digits));
                assert_ne!(before, digits);
                assert!(
                    digits
                        .iter()
                        .zip(&radices)
                        .all(|(digit, radix)| digit < radix)
                );
                assert!(seen.insert(digits), "{before:?} of {radices:?}");
            }
        }
        assert!(!move_digits(&[3; 32], b"shape", &[1, 1], &mut [0, 0]));
        assert!(!move_digits(&[3; 32], b"shape", &[], &mut []));
    }

    proptest! {
        #[test]
        fn great_numbers_move_and_stay_apart(
            size in 65_u128..,
            one in any::<u128>(),
            other in any::<u128>(),
            key in any::<[u8; 32]>(),
        ) {
            let (one, other) = (one % size, other % size);
            let moved = move_number(&key, b"", one, size).expect("a choice");
            prop_assert!(moved < size);
            prop_assert_ne!(moved, one);
            if one != other {
                prop_assert_ne!(Some(moved), move_number(&key, b"", other, size));
            }
        }
    }
}
