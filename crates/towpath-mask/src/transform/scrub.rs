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
const SHORTEST: usize = 3;

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

    /// The whole value of another column, and each word of it.
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
        let words: Vec<&str> = value.split_whitespace().collect();
        let stand_ins: Vec<&str> = whole.split_whitespace().collect();
        if words.len() < 2 || stand_ins.is_empty() {
            return;
        }
        for (at, word) in words.iter().enumerate() {
            if word.chars().count() >= SHORTEST {
                let with = stand_ins[at.min(stand_ins.len() - 1)];
                for range in occurrences(text, word) {
                    found.push((range, with.to_owned()));
                }
            }
        }
    }
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

/// Where a value stands in a text, whatever its case, as words of its own.
fn occurrences(text: &str, value: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let first = value.chars().next().map(|char| fold(char).next());
    let mut before: Option<char> = None;
    let mut behind = 0;
    for (at, char) in text.char_indices() {
        let begins = at >= behind
            && Some(fold(char).next()) == first
            && !before.is_some_and(char::is_alphanumeric);
        before = Some(char);
        if !begins {
            continue;
        }
        if let Some(length) = length_of_match(&text[at..], value) {
            let next = text[at + length..].chars().next();
            if !next.is_some_and(char::is_alphanumeric) {
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

fn fold(char: char) -> impl Iterator<Item = char> {
    char.to_lowercase()
}

/// Of places that overlap the first and longest one counts.
fn write_replaced(text: &str, mut found: Vec<(Range<usize>, String)>, out: &mut String) {
    found.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
    let mut copied = 0;
    for (range, with) in found {
        if range.start < copied {
            continue;
        }
        out.push_str(&text[copied..range.start]);
        out.push_str(&with);
        copied = range.end;
    }
    out.push_str(&text[copied..]);
}
