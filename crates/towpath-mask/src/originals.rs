//! What the source holds in masked columns, as keyed hashes: enough to tell whether a value of the
//! clone is one of them, and no value of any row.
//!
//! The set is a Bloom filter (B. H. Bloom, "Space/time trade-offs in hash coding with allowable
//! errors", 1970) in blocks (F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient
//! Bloom filters", 2007): its size is fixed, nothing can be read out of it, and what it says is there
//! may not be, by a chance that [`Originals::false_positive`] tells. What it says is not there is not.
//! Hashes are keyed, so that a memory dump cannot be tried out with a list of addresses.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use towpath_model::masking::{Fake, JsonRest, Transformer};
use towpath_model::{ChunkId, TableId};

use crate::classify::{self, Kind};
use crate::key::MaskKey;

/// Bits of the filter for each value that is expected.
const BITS_FOR_ONE: u64 = 48;

/// Bits that are set for each value.
const PROBES: usize = 24;

/// Bits of a block, in which all probes of a value are: 512 bytes. In smaller ones values are spread
/// too unevenly for the chance that is wanted here.
const BLOCK_BITS: u64 = 4096;
const BLOCK_WORDS: usize = 64;

/// Bytes of the filter at least, and at most.
const FLOOR_BYTES: u64 = 1 << 20;
const CAP_BYTES: u64 = 512 << 20;

/// Cells that are noted of a run; of more, those of some rows.
const CELLS: u64 = 4_000_000;

/// A set of originals. Shared by all workers; its size is fixed when it is made.
pub struct Originals {
    of_values: [u8; 32],
    of_cells: [u8; 32],
    words: Box<[AtomicU64]>,
    blocks: u64,
    /// Cells of one row in so many are noted.
    rows_apart: u64,
    /// Values that were not there before, as far as the filter can tell.
    noted: AtomicU64,
    /// Chunks whose originals were noted to the last one.
    chunks: Mutex<BTreeSet<ChunkId>>,
}

impl std::fmt::Debug for Originals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Originals({} of {} KiB)",
            self.noted(),
            self.words.len() / 128
        )
    }
}

impl Originals {
    /// For about so many values.
    pub fn new(key: &MaskKey, values: u64) -> Self {
        Self::of_run(key, values, 0)
    }

    /// For about so many values and cells.
    pub fn of_run(key: &MaskKey, values: u64, cells: u64) -> Self {
        let rows_apart = cells.div_ceil(CELLS).max(1).next_power_of_two();
        let bits = values
            .saturating_add(cells / rows_apart)
            .saturating_mul(BITS_FOR_ONE);
        Self::sized(key, (bits / 8).clamp(FLOOR_BYTES, CAP_BYTES), rows_apart)
    }

    fn sized(key: &MaskKey, bytes: u64, rows_apart: u64) -> Self {
        let blocks = bytes.div_ceil(BLOCK_BITS / 8);
        let words = usize::try_from(blocks).unwrap_or(0) * BLOCK_WORDS;
        Self {
            of_values: key.derive("originals: values"),
            of_cells: key.derive("originals: cells"),
            words: std::iter::repeat_with(AtomicU64::default)
                .take(words)
                .collect(),
            blocks,
            rows_apart,
            noted: AtomicU64::new(0),
            chunks: Mutex::default(),
        }
    }

    /// Notes a value of a masked column: as a whole, where it tells of somebody by itself, and what is
    /// found within it.
    pub fn note_value(&self, value: &str) {
        self.note_told(value, |_| true);
    }

    /// The same of what the values of its column tell.
    pub fn note_what(&self, tells: Tells, value: &str) {
        match tells {
            Tells::Nothing => {}
            Tells::Mails => self.note_told(value, |looks| looks == Looks::Email),
            Tells::All => self.note_value(value),
        }
    }

    fn note_told(&self, value: &str, counts: impl Fn(Looks) -> bool) {
        each_telling(value, |looks, normal| {
            if counts(looks) {
                self.note(&blake3::keyed_hash(&self.of_values, normal.as_bytes()));
            }
        });
    }

    /// Notes which value a masked column has in the row of a key. Fields are as COPY carries them,
    /// those of CSV without their quotes.
    pub fn note_cell(&self, column: &ColumnKey, key: &[&[u8]], value: &[u8]) {
        if self.looks_at(key) {
            self.note(&column.cell(key, value));
        }
    }

    /// What the cells of a column are hashed under, made once and used for every row.
    pub fn column(&self, table: &TableId, column: &str) -> ColumnKey {
        let mut named = Vec::new();
        for part in [table.as_str(), column] {
            // Lengths keep ("a", "bc") and ("ab", "c") apart.
            named.extend_from_slice(&(part.len() as u64).to_le_bytes());
            named.extend_from_slice(part.as_bytes());
        }
        ColumnKey(*blake3::keyed_hash(&self.of_cells, &named).as_bytes())
    }

    /// Notes that every value of a chunk was noted. What was masked by an earlier process was not.
    pub fn note_chunk(&self, chunk: &ChunkId) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.insert(chunk.clone());
    }

    /// Whether every value of a chunk was noted.
    pub fn has_seen(&self, chunk: &ChunkId) -> bool {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.contains(chunk)
    }

    /// Whether this value was noted, or something within it.
    pub fn holds_value(&self, value: &str) -> bool {
        let mut is_held = false;
        self.look(value, |_, held| is_held |= held);
        is_held
    }

    /// Tells what a value holds that tells of somebody: what it looks like, and whether it was noted.
    pub fn look(&self, value: &str, mut told: impl FnMut(Looks, bool)) {
        each_telling(value, |looks, normal| {
            let hash = blake3::keyed_hash(&self.of_values, normal.as_bytes());
            told(looks, self.holds(&hash));
        });
    }

    /// Whether this value was noted for this row.
    pub fn holds_cell(&self, column: &ColumnKey, key: &[&[u8]], value: &[u8]) -> bool {
        self.looks_at(key) && self.holds(&column.cell(key, value))
    }

    /// Whether cells of the row of this key are noted.
    pub fn looks_at(&self, key: &[&[u8]]) -> bool {
        // No secret: which rows are looked at is the same on both sides, and evenly chosen is enough.
        let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = key.iter().flat_map(|field| field.iter().copied());
        self.rows_apart == 1
            || spread(bytes.fold(0xcbf2_9ce4_8422_2325, mix)).is_multiple_of(self.rows_apart)
    }

    /// One row in so many is looked at, cell by cell.
    pub fn rows_apart(&self) -> u64 {
        self.rows_apart
    }

    /// How many different values and cells were noted, about.
    pub fn noted(&self) -> u64 {
        self.noted.load(Ordering::Relaxed)
    }

    /// How likely it is that something is taken for an original that is none.
    pub fn false_positive(&self) -> f64 {
        let chance = |block: &[AtomicU64]| {
            let ones: u32 = block
                .iter()
                .map(|word| word.load(Ordering::Relaxed).count_ones())
                .sum();
            let full = f64::from(ones) / (64 * BLOCK_WORDS) as f64;
            (0..PROBES).fold(1.0, |chance, _| chance * full)
        };
        let sum: f64 = self.words.chunks(BLOCK_WORDS).map(chance).sum();
        sum / (self.blocks.max(1) as f64)
    }

    /// The words of a hash's block, and the bits that stand for it there.
    fn probes(&self, hash: &blake3::Hash) -> (&[AtomicU64], impl Iterator<Item = (usize, u64)>) {
        let (words, _) = hash.as_bytes().as_chunks::<8>();
        let [block, one, two, three] = [0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at]));
        // The high half of a product: even for any number of blocks.
        let block = (u128::from(block) * u128::from(self.blocks)) >> 64;
        let from = usize::try_from(block).unwrap_or(0) * BLOCK_WORDS;
        let bits = (0..PROBES).map(move |at| {
            // Five numbers of twelve bits in a word.
            let word = match at / 5 {
                0 => one,
                1 => two,
                2 => three,
                3 => spread(one ^ two.rotate_left(17)),
                _ => spread(two ^ three.rotate_left(31)),
            };
            let bit = (word >> (12 * (at % 5))) % BLOCK_BITS;
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        });
        (&self.words[from..from + BLOCK_WORDS], bits)
    }

    fn note(&self, hash: &blake3::Hash) {
        let (block, probes) = self.probes(hash);
        let mut is_new = false;
        for (word, bit) in probes {
            // Looked at first: most values of most columns are there many times, and a line of the
            // cache that is only read can be in every core's.
            if block[word].load(Ordering::Relaxed) & bit == 0 {
                block[word].fetch_or(bit, Ordering::Relaxed);
                is_new = true;
            }
        }
        if is_new {
            self.noted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn holds(&self, hash: &blake3::Hash) -> bool {
        let (block, mut probes) = self.probes(hash);
        probes.all(|(word, bit)| block[word].load(Ordering::Relaxed) & bit != 0)
    }
}

/// The key of the cells of one column.
#[derive(Clone)]
pub struct ColumnKey([u8; 32]);

/// Bytes of a cell that are hashed without room of their own.
const SHORT: usize = 256;

impl ColumnKey {
    fn cell(&self, key: &[&[u8]], value: &[u8]) -> blake3::Hash {
        let parts = || key.iter().copied().chain([value]);
        let length: usize = parts().map(|part| 4 + part.len()).sum();
        let mut short = [0; SHORT];
        let mut long = Vec::new();
        let bytes = match short.get_mut(..length) {
            Some(short) => short,
            None => {
                long.resize(length, 0);
                long.as_mut_slice()
            }
        };
        let mut rest = &mut *bytes;
        for part in parts() {
            // A field has less than 2^30 bytes (PostgreSQL manual, appendix K).
            let size = u32::try_from(part.len()).unwrap_or(u32::MAX);
            let (head, tail) = rest.split_at_mut(4);
            head.copy_from_slice(&size.to_le_bytes());
            let (body, tail) = tail.split_at_mut(part.len());
            body.copy_from_slice(part);
            rest = tail;
        }
        blake3::keyed_hash(&self.0, bytes)
    }
}

/// Spreads a word over all its bits (the finalizer of SplitMix64, G. L. Steele, D. Lea, C. H. Flood,
/// "Fast splittable pseudorandom number generators", 2014).
const fn spread(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// What values of a column say by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// Nothing: a town, a day or a number may be anybody's, and that another row has it says nothing.
    /// Their cells are noted alone.
    Nothing,
    /// What they hold of e-mail addresses: the rest may stay as it is, and does stay somewhere.
    Mails,
    /// All that they are.
    All,
}

/// What values of a column that is masked like this say by themselves.
pub fn tells(transformer: &Transformer) -> Tells {
    match transformer {
        Transformer::Fake {
            what: Fake::City | Fake::PostalCode | Fake::Street | Fake::UserAgent,
            ..
        } => Tells::Nothing,
        Transformer::DateShift { .. }
        | Transformer::Noise { .. }
        | Transformer::Coordinates { .. }
        | Transformer::EmptyBytes => Tells::Nothing,
        Transformer::Json {
            rest: JsonRest::Keep,
            ..
        } => Tells::Mails,
        _ => Tells::All,
    }
}

/// Whether a mask's own values may be somebody's by chance, because those that it makes are of the
/// same kind as those that there are.
pub fn may_meet_by_chance(transformer: &Transformer) -> bool {
    match transformer {
        // Ranges that are kept free are small, and test data uses them, too.
        Transformer::Fake { what, .. } => {
            !matches!(what, Fake::Email | Fake::Url | Fake::Iban | Fake::Text)
        }
        Transformer::Constant { .. }
        | Transformer::DateShift { .. }
        | Transformer::Noise { .. }
        | Transformer::FormatPreserving { .. }
        | Transformer::Uuid
        | Transformer::Coordinates { .. } => true,
        Transformer::Json { .. }
        | Transformer::Scrub { .. }
        | Transformer::Null
        | Transformer::Redact { .. }
        | Transformer::Hash { .. }
        | Transformer::EmptyBytes => false,
    }
}

/// What something looks like that tells of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Looks {
    /// An e-mail address.
    Email,
    /// A number of a telephone, an account or a card.
    Number,
    /// An IBAN.
    Iban,
    /// A public IP address.
    Ip,
    /// A UUID.
    Uuid,
    /// An id of letters and digits.
    Token,
    /// A token, a key or a password by its form.
    Secret,
    /// A name of a person.
    Name,
    /// A text that nobody writes twice.
    Text,
}

impl Looks {
    /// In a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Email => "e-mail",
            Self::Number => "telephone",
            Self::Iban => "IBAN",
            Self::Ip => "IP address",
            Self::Uuid => "UUID",
            Self::Token => "token",
            Self::Secret => "secret",
            Self::Name => "name",
            Self::Text => "text",
        }
    }
}

/// Bytes of a word that may be a secret.
const SECRET: u32 = 16;

/// Digits of a number that tells of somebody: less than these are counts, prices and days.
const DIGITS: usize = 9;

/// Tells what a value is as a whole, where that tells of somebody, and what is found within it, each
/// in the form in which two spellings of the same are equal.
fn each_telling(value: &str, mut told: impl FnMut(Looks, &str)) {
    let value = value.trim();
    let whole = whole(value);
    if let Some((looks, normal)) = &whole {
        told(*looks, normal);
    }
    // The others are one thing and hold no other.
    let is_text = matches!(whole, None | Some((Looks::Text | Looks::Token, _)));
    if !is_text || !may_hold_some(value) {
        return;
    }
    for (kind, place) in classify::find(value) {
        let Some(found) = value.get(place) else {
            continue;
        };
        let Some((looks, normal)) = part(kind, found) else {
            continue;
        };
        let is_told = whole.as_ref().is_some_and(|(_, all)| *all == normal);
        if !is_told || looks == Looks::Secret {
            told(looks, &normal);
        }
    }
}

/// Whether it is worth looking for parts: numbers have digits, addresses an `@`, and secrets are long
/// words.
fn may_hold_some(value: &str) -> bool {
    let (mut digits, mut word) = (0, 0);
    value.bytes().any(|byte| {
        word = if byte.is_ascii_whitespace() {
            0
        } else {
            word + 1
        };
        digits += u32::from(byte.is_ascii_digit());
        byte == b'@' || byte == b'%' || digits >= 4 || word >= SECRET
    }) || value.contains("-----")
}

fn part(kind: Kind, found: &str) -> Option<(Looks, Cow<'_, str>)> {
    match kind {
        Kind::Email if found.contains("%40") => {
            let plain = found.replacen("%40", "@", 1);
            Some((Looks::Email, Cow::Owned(normal(&plain).into_owned())))
        }
        Kind::Email => Some((Looks::Email, normal(found))),
        Kind::Phone | Kind::Account => number(found),
        Kind::Ip => address(found).map(|found| (Looks::Ip, found)),
        Kind::Secret => Some((Looks::Secret, normal(found))),
        _ => None,
    }
}

/// A number of digits, or of letters and digits as an IBAN is, without what people put between.
fn number(text: &str) -> Option<(Looks, Cow<'static, str>)> {
    let compact: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let digits = compact.bytes().filter(u8::is_ascii_digit).count();
    if digits < DIGITS {
        return None;
    }
    match digits == compact.len() {
        // `+49 30 …`, `0049 30 …`
        true => {
            let number = compact.trim_start_matches('0');
            (number.len() + 2 >= DIGITS).then(|| (Looks::Number, Cow::Owned(number.to_owned())))
        }
        false => Some((Looks::Iban, Cow::Owned(compact))),
    }
}

/// A public address: the others are in every network.
fn address(text: &str) -> Option<Cow<'_, str>> {
    let (host, _) = text.split_once('/').unwrap_or((text, ""));
    let is_public = match host.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => {
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.octets()[0] < 2)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || (first == 0x2001 && second == 0xdb8))
        }
    };
    is_public.then(|| normal(host))
}

/// Small letters, one blank for many.
fn normal(text: &str) -> Cow<'_, str> {
    let is_normal = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
    if is_normal {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    if text.is_ascii() {
        // The same, without a look at the tables of Unicode.
        let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
        for byte in text.bytes() {
            match is_blank(byte) {
                true if normal.is_empty() || normal.ends_with(' ') => {}
                true => normal.push(' '),
                false => normal.push(char::from(byte.to_ascii_lowercase())),
            }
        }
        normal.truncate(normal.trim_end_matches(' ').len());
        return Cow::Owned(normal);
    }
    for word in text.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    Cow::Owned(normal)
}

/// What a value is as a whole, where that alone tells of somebody.
fn whole(text: &str) -> Option<(Looks, Cow<'_, str>)> {
    if text.len() < 6 {
        return None;
    }
    let bytes = text.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let (letters, words) = match text.is_ascii() {
        true => {
            let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
            let begins = |pair: &&[u8]| is_blank(pair[0]) && !is_blank(pair[1]);
            let first = usize::from(!is_blank(bytes[0]));
            (
                bytes.iter().filter(|b| b.is_ascii_alphabetic()).count(),
                first + bytes.windows(2).filter(begins).count(),
            )
        }
        false => (
            text.chars().filter(|c| c.is_alphabetic()).count(),
            text.split_whitespace().count(),
        ),
    };
    // A day, with or without a time.
    if bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') && letters < 3 {
        return None;
    }
    if let Some(at) = text.find('@')
        && words == 1
        && at > 0
        && text[at..].contains('.')
        && !text.contains("://")
    {
        return Some((Looks::Email, normal(text)));
    }
    if text.contains(':') || text.matches('.').count() == 3 {
        let host = text.split_once('/').map_or(text, |(host, _)| host);
        if host.parse::<IpAddr>().is_ok() {
            return address(text).map(|found| (Looks::Ip, found));
        }
    }
    if is_uuid(bytes) {
        let is_nil = bytes.iter().all(|b| b"0-".contains(b));
        return (!is_nil).then(|| (Looks::Uuid, normal(text)));
    }
    if letters == 0 {
        let is_number = bytes
            .iter()
            .all(|b| b.is_ascii_digit() || b"+-()/ .".contains(b));
        let is_plain = digits == bytes.len() && digits <= DIGITS;
        let is_decimal = words == 1 && text.matches('.').count() == 1 && digits + 2 >= bytes.len();
        return (is_number && !is_plain && !is_decimal)
            .then(|| number(text))
            .flatten();
    }
    if is_iban(bytes) {
        return number(text);
    }
    match words {
        1 if text.len() >= 16 && digits >= 2 && letters >= 2 => Some((Looks::Token, normal(text))),
        2..=4 if is_name(text) => Some((Looks::Name, normal(text))),
        2.. if text.len() >= 20 => Some((Looks::Text, normal(text))),
        _ => None,
    }
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Two letters of a country, two digits, and what the country numbers accounts by (ISO 13616), in
/// groups or not.
fn is_iban(bytes: &[u8]) -> bool {
    let compact = bytes.iter().filter(|b| **b != b' ');
    let opens = compact.clone().take(4).enumerate().all(|(at, b)| match at {
        0 | 1 => b.is_ascii_alphabetic(),
        _ => b.is_ascii_digit(),
    });
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let length = compact.clone().count();
    opens
        && (15..=34).contains(&length)
        && digits >= 10
        && compact.clone().all(u8::is_ascii_alphanumeric)
}

/// Words that begin with a capital, as names do, and the particles between.
fn is_name(text: &str) -> bool {
    const PARTICLES: [&str; 16] = [
        "von", "van", "de", "der", "den", "del", "della", "di", "da", "dos", "du", "la", "le",
        "zu", "bin", "al",
    ];
    let is_word = |word: &str| {
        let is_capital = word.chars().next().is_some_and(char::is_uppercase);
        let holds = |c: char| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '.');
        PARTICLES.contains(&word) || (is_capital && word.chars().all(holds))
    };
    text.split_whitespace().all(is_word)
}

#[cfg(test)]
mod tests {
    use towpath_model::QualifiedName;

    use super::*;

    fn key() -> MaskKey {
        MaskKey::of_secret(b"a secret")
    }

    fn table(name: &str) -> TableId {
        TableId::of(&QualifiedName::new("public", name))
    }

    fn noted(values: &[&str]) -> Originals {
        let originals = Originals::new(&key(), 100);
        values.iter().for_each(|value| originals.note_value(value));
        originals
    }

    #[test]
    fn what_was_noted_is_held_however_it_is_spelled() {
        let originals = noted(&[
            "Erika.Muster@posteo.de",
            "+49 (30) 901-82 01",
            "DE89 3704 0044 0532 0130 00",
            "Erika von Muster",
            "8.8.4.4",
            "7F3C0D7E-3B1A-4C57-9A53-0B7E3A0C9D11",
            "sk_prod_51HxyzABCDEF",
            "She called twice about the leak in her flat",
        ]);
        for same in [
            "erika.muster@POSTEO.de ",
            "0049 30 9018201",
            "DE89370400440532013000",
            "ERIKA VON  MUSTER",
            "8.8.4.4/32",
            "7f3c0d7e-3b1a-4c57-9a53-0b7e3a0c9d11",
            "she called twice about the leak in her flat",
        ] {
            // A name in capitals is no name by its form, and the same text in small letters.
            let by_form = same.starts_with("ERIKA") || originals.holds_value(same);
            assert!(by_form, "{same}");
        }
        for other in [
            "erika.muster@posteo.org",
            "+49 30 9018202",
            "DE89370400440532013001",
            "Erika von Mustermann",
            "8.8.8.8",
            "7f3c0d7e-3b1a-4c57-9a53-0b7e3a0c9d12",
        ] {
            assert!(!originals.holds_value(other), "{other}");
        }
    }

    #[test]
    fn what_is_within_a_value_is_found_again() {
        let originals = noted(&["write to Erika.Muster@posteo.de, or call +49 30 9018201 later"]);
        for text in [
            "erika.muster@posteo.de",
            r#"{"mail": "ERIKA.MUSTER@posteo.de"}"#,
            "her number is 0049 30 9018201",
        ] {
            assert!(originals.holds_value(text), "{text}");
        }
        let mails = Originals::new(&key(), 9);
        let json = r#"{"mail": "erika.muster@posteo.de", "about": "I like long walks by night"}"#;
        mails.note_what(Tells::Mails, json);
        assert!(mails.holds_value("erika.muster@posteo.de"));
        assert!(!mails.holds_value(r#""I like long walks by night""#));
        mails.note_what(Tells::Nothing, "other@posteo.de");
        assert!(!mails.holds_value("other@posteo.de"));
    }

    #[test]
    fn what_tells_of_nobody_is_not_noted() {
        let plain = [
            "",
            "yes",
            "Berlin",
            "12345",
            "123456789",
            "-12345678.90",
            "123456789.01",
            "2024-02-29",
            "2024-02-29 10:11:12.123456+00",
            "2024-02-29T10:11:12Z",
            "127.0.0.1",
            "192.168.0.17",
            "10.0.0.0/8",
            "000 000 000 000",
            "192.0.2.9",
            "::1",
            "fe80::1",
            "2001:db8::7",
            "true",
            "in review",
            "not paid yet",
            "00000000-0000-0000-0000-000000000000",
            "[]",
            "{}",
            "null",
            "paid in full",
        ];
        let originals = noted(&plain);
        assert_eq!(originals.noted(), 0);
        for value in plain {
            assert!(!originals.holds_value(value), "{value}");
        }
    }

    #[test]
    fn another_key_knows_nothing() {
        let (one, other) = (key(), MaskKey::of_secret(b"another"));
        let (one, other) = (Originals::new(&one, 9), Originals::new(&other, 9));
        one.note_value("someone@posteo.de");
        let words = |it: &Originals| -> Vec<u64> {
            it.words
                .iter()
                .map(|word| word.load(Ordering::Relaxed))
                .collect()
        };
        other.note_value("someone@posteo.de");
        assert_ne!(words(&one), words(&other));
    }

    #[test]
    fn cells_are_those_of_their_row_and_column() {
        let originals = Originals::new(&key(), 10);
        let (table, other) = (table("t"), table("u"));
        originals.note_cell(&originals.column(&table, "city"), &[b"a", b"bc"], b"Ulm");
        assert!(originals.holds_cell(&originals.column(&table, "city"), &[b"a", b"bc"], b"Ulm"));
        assert!(!originals.holds_cell(&originals.column(&table, "city"), &[b"ab", b"c"], b"Ulm"));
        assert!(!originals.holds_cell(&originals.column(&table, "town"), &[b"a", b"bc"], b"Ulm"));
        assert!(!originals.holds_cell(&originals.column(&other, "city"), &[b"a", b"bc"], b"Ulm"));
        assert!(!originals.holds_cell(&originals.column(&table, "city"), &[b"a", b"bc"], b"Bonn"));
        assert!(!originals.holds_value("Ulm"));
    }

    #[test]
    fn of_very_many_cells_the_same_rows_are_chosen_on_both_sides() {
        let originals = Originals::of_run(&key(), 0, 8 * CELLS);
        assert_eq!(originals.rows_apart(), 8);
        let table = table("t");
        let mut held = 0u32;
        for no in 0u32..8000 {
            let key = no.to_be_bytes();
            originals.note_cell(&originals.column(&table, "c"), &[&key], b"value");
            held +=
                u32::from(originals.holds_cell(&originals.column(&table, "c"), &[&key], b"value"));
        }
        assert!((800..1200).contains(&held), "{held} of 8000");
        assert_eq!(originals.noted(), u64::from(held));
    }

    #[test]
    fn size_has_a_floor_and_a_cap() {
        let bytes = |values| Originals::new(&key(), values).words.len() * 8;
        assert_eq!(bytes(0), 1 << 20);
        assert_eq!(bytes(1_000_000), 6_000_128);
    }

    #[test]
    fn the_chance_that_it_tells_is_the_chance_that_it_has() {
        // A small one, and too many values: else nothing could be counted in a test.
        let originals = Originals::sized(&key(), 1 << 14, 1);
        let many = 1u64 << 14;
        for no in 0..many {
            originals.note(&blake3::keyed_hash(&[1; 32], &no.to_le_bytes()));
        }
        let chance = originals.false_positive();
        let tries = 50_000u64;
        let wrong = (many..many + tries)
            .filter(|no| originals.holds(&blake3::keyed_hash(&[1; 32], &no.to_le_bytes())))
            .count() as f64;
        let expected = chance * tries as f64;
        assert!(chance > 0.01, "{chance}");
        assert!(
            (wrong - expected).abs() < 6.0 * expected.sqrt(),
            "{wrong}, expected {expected}"
        );
        let fresh = Originals::new(&key(), 100);
        (0..20_000u64).for_each(|no| fresh.note(&blake3::keyed_hash(&[1; 32], &no.to_le_bytes())));
        assert!(fresh.false_positive() < 1e-15);
    }

    #[test]
    fn chunks_are_seen_when_they_were_told() {
        let originals = noted(&[]);
        let chunk = |no| ChunkId {
            table: table("t"),
            no,
        };
        originals.note_chunk(&chunk(1));
        assert!(originals.has_seen(&chunk(1)) && !originals.has_seen(&chunk(2)));
    }
}
