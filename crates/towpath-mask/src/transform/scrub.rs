//! Free text: what is personal in it gives way to what the same values become in columns of their
//! own.

use std::ops::Range;

use towpath_model::Result;
use towpath_model::masking::{Fake, Locale, Transformer};

use super::RowText;
use super::fake::Maker;
use super::fit::{default_domain, kind};
use super::simple::Redact;
use crate::classify::{self, Kind};
use crate::codec::Type;
use crate::key::MaskKey;

/// Characters that a value of another column must have to be looked for.
const SHORTEST: usize = 2;

/// Looks for personal data in texts.
pub(super) struct Scrubber {
    columns: Vec<Named>,
    email: Maker,
    phone: Maker,
    iban: Maker,
    ip: Maker,
    name: Maker,
    redact: Redact,
}

/// A column whose values are looked for.
struct Named {
    place: usize,
    /// What stands for the whole value.
    maker: Maker,
}

impl Scrubber {
    pub(super) fn new(key: &MaskKey, locale: Locale, columns: Vec<(String, usize)>) -> Self {
        let maker = |what| maker(key, what, locale);
        let columns = columns.into_iter().map(|(column, place)| Named {
            place,
            maker: maker(what_of(&column)),
        });
        Self {
            columns: columns.collect(),
            email: maker(Fake::Email),
            phone: maker(Fake::Phone),
            iban: maker(Fake::Iban),
            ip: maker(Fake::Ip),
            name: maker(Fake::Name),
            redact: Redact::new(None, 0, 0),
        }
    }

    pub(super) fn apply(
        &self,
        value: &str,
        row: &dyn RowText,
        max_chars: Option<usize>,
        out: &mut String,
    ) -> Result<bool> {
        let mut found = Vec::new();
        for (kind, range) in classify::find(value) {
            let mut with = String::new();
            self.stand_in(kind, &value[range.clone()], &mut with);
            found.push((range, with));
        }
        for column in &self.columns {
            if let Some(text) = row.text(column.place)? {
                self.find_value(value, &text, column, &mut found);
            }
        }
        if found.is_empty() {
            return Ok(false);
        }
        write_replaced(value, found, out);
        let room = max_chars.unwrap_or(usize::MAX);
        if out.len() > room && out.chars().count() > room {
            out.clear();
            return Ok(self.redact.apply(value, out));
        }
        Ok(out != value)
    }

    fn stand_in(&self, kind: Kind, text: &str, out: &mut String) {
        let maker = match kind {
            Kind::Email => &self.email,
            Kind::Phone => &self.phone,
            Kind::Account => &self.iban,
            Kind::Ip => &self.ip,
            Kind::Name => &self.name,
            _ => {
                out.extend(text.chars().map(|_| '*'));
                return;
            }
        };
        maker.apply(text, None, out);
    }

    /// The whole value of another column, each word of it, and each part of a word.
    fn find_value(
        &self,
        text: &str,
        value: &str,
        column: &Named,
        found: &mut Vec<(Range<usize>, String)>,
    ) {
        let value = value.trim();
        if value.chars().count() < SHORTEST {
            return;
        }
        let maker = if value.contains('@') {
            &self.email
        } else {
            &column.maker
        };
        let mut whole = String::new();
        maker.apply(value, None, &mut whole);
        for range in occurrences(text, value) {
            found.push((range, whole.clone()));
        }
        let stand_ins: Vec<&str> = whole.split_whitespace().collect();
        let Some(last) = stand_ins.last() else {
            return;
        };
        for (at, word) in value.split_whitespace().enumerate() {
            let with = stand_ins.get(at).unwrap_or(last);
            for part in parts(word).filter(|part| *part != value) {
                for range in occurrences(text, part) {
                    found.push((range, (*with).to_owned()));
                }
            }
        }
    }
}

/// A word without what is put around it, and the names that it is put together of: `(Lee-Smith),` is
/// `Lee-Smith`, `Lee` and `Smith`. An address is one.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    let is_between = |char: char| !char.is_alphanumeric();
    let whole = word.trim_matches(is_between);
    let is_one = whole.contains('@') || whole.contains("://");
    let parts = whole.split(is_between).filter(move |part| {
        !is_one && part.len() < whole.len() && part.chars().all(char::is_alphabetic)
    });
    // Two digits, or two small letters, are no name: `de`, `of`.
    let is_capital = |char: char| char.is_alphabetic() && !char.is_lowercase();
    let is_long = move |part: &&str| {
        let shortest = match part.starts_with(is_capital) {
            true => SHORTEST,
            false => SHORTEST + 1,
        };
        part.chars().count() >= shortest
    };
    std::iter::once(whole).chain(parts).filter(is_long)
}

/// As a column that is masked by this kind of made-up data has it.
fn maker(key: &MaskKey, what: Fake, locale: Locale) -> Maker {
    let transformer = Transformer::Fake {
        what,
        locale: None,
        unique: false,
    };
    let purpose = format!(
        "{}\u{0}{what:?} {locale:?}\u{0}{}",
        kind(&transformer),
        default_domain(&transformer)
    );
    Maker::new(key.derive(&purpose), what, locale, false, Type::Text)
}

/// What a column of such a name most likely holds.
fn what_of(column: &str) -> Fake {
    let column = column.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| column.contains(part));
    if has(&["mail"]) {
        Fake::Email
    } else if has(&["phone", "mobile", "telefon", "handy"]) {
        Fake::Phone
    } else if has(&["first", "given", "vorname"]) {
        Fake::FirstName
    } else if has(&["last", "family", "surname", "nachname"]) {
        Fake::LastName
    } else if has(&["company", "firma", "organi"]) {
        Fake::Company
    } else if has(&["user", "login", "nick", "handle"]) {
        Fake::Username
    } else if has(&["street", "strasse", "straße"]) {
        Fake::Street
    } else if has(&["city", "town", "stadt"]) {
        Fake::City
    } else {
        Fake::Name
    }
}

/// Where a value stands in a text, whatever its case, as words of its own where words are told apart.
fn occurrences(text: &str, value: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let first = value.chars().next().map(|char| fold(char).next());
    let begins_word = value.starts_with(is_of_word);
    let ends_word = value.ends_with(is_of_word);
    let mut before: Option<char> = None;
    let mut behind = 0;
    for (at, char) in text.char_indices() {
        let begins = at >= behind
            && Some(fold(char).next()) == first
            && !(begins_word && before.is_some_and(is_of_word));
        before = Some(char);
        if !begins {
            continue;
        }
        if let Some(length) = length_of_match(&text[at..], value) {
            let next = text[at + length..].chars().next();
            if !(ends_word && next.is_some_and(is_of_word)) {
                behind = at + length;
                found.push(at..behind);
            }
        }
    }
    found
}

/// Bytes of the text that are the value but for their case.
fn length_of_match(text: &str, value: &str) -> Option<usize> {
    let mut wanted = value.chars().flat_map(fold).peekable();
    for (at, char) in text.char_indices() {
        if wanted.peek().is_none() {
            return Some(at);
        }
        for folded in fold(char) {
            if wanted.next() != Some(folded) {
                return None;
            }
        }
    }
    wanted.peek().is_none().then_some(text.len())
}

/// Letters by those that stand for them where a keyboard or a hurry has no accents.
const PLAIN: [(char, &str); 19] = [
    ('a', "àáâãåāăą"),
    ('c', "çćĉċč"),
    ('d', "ďđ"),
    ('e', "èéêëēĕėęě"),
    ('g', "ĝğġģ"),
    ('h', "ĥħ"),
    ('i', "ìíîïĩīĭįı"),
    ('j', "ĵ"),
    ('k', "ķ"),
    ('l', "ĺļľŀł"),
    ('n', "ñńņňŉ"),
    ('o', "òóôõōŏőø"),
    ('r', "ŕŗř"),
    ('s', "śŝşšșſ"),
    ('t', "ţťŧț"),
    ('u', "ùúûũūŭůűų"),
    ('w', "ŵ"),
    ('y', "ýÿŷ"),
    ('z', "źżž"),
];

/// One form for letters that stand for each other: small and capital ones, those with and without
/// accents, German ones as those write them who have no umlauts, the sigma at the end of a word.
fn fold(char: char) -> impl Iterator<Item = char> {
    // Of no letter but the Turkish İ the small one is two, of which the second is an accent.
    let small = char.to_lowercase().next().unwrap_or(char);
    let [first, second] = match small {
        _ if small.is_ascii() => [Some(small), None],
        'ä' => [Some('a'), Some('e')],
        'ö' => [Some('o'), Some('e')],
        'ü' => [Some('u'), Some('e')],
        'ß' => [Some('s'), Some('s')],
        'ς' => [Some('σ'), None],
        // What stands behind its letter: two dots, and any other accent.
        '\u{308}' => [Some('e'), None],
        '\u{300}'..='\u{36f}' => [None, None],
        _ => {
            let plain = PLAIN.iter().find(|(_, accented)| accented.contains(small));
            [Some(plain.map_or(small, |(plain, _)| *plain)), None]
        }
    };
    first.into_iter().chain(second)
}

/// Whether a character belongs to its neighbours: in scripts that put nothing between words, and in
/// Korean, where particles hang on names, it does not.
fn is_of_word(char: char) -> bool {
    let has_no_blanks = matches!(
        u32::from(char),
        0x0e00..=0x0eff
            | 0x1000..=0x109f
            | 0x1780..=0x17ff
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7ff
            | 0xf900..=0xfaff
            | 0xff66..=0xff9f
            | 0x2_0000..=0x3_ffff
    );
    char.is_alphanumeric() && !has_no_blanks
}

/// Of places that overlap the first and longest one counts; what another one has behind its end gives
/// way to both.
fn write_replaced(text: &str, mut found: Vec<(Range<usize>, String)>, out: &mut String) {
    found.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
    let mut copied = 0;
    for (range, with) in found {
        if range.end <= copied {
            continue;
        }
        out.push_str(text.get(copied..range.start).unwrap_or_default());
        out.push_str(&with);
        copied = range.end;
    }
    out.push_str(&text[copied..]);
}
