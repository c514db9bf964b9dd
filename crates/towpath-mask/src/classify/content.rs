//! By content: what a sample of a column's values has in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

use super::name::{self, by_key};
use super::{Kind, Suspicion, find, first_names};

/// More words than a label, a title or a name has.
const WORDS_OF_LABEL: usize = 8;

/// More words than a text within a document has that is no free text.
const WORDS_IN_DOCUMENT: usize = 12;

/// Kinds in the order in which one is named where several are found equally often.
const ORDER: [Kind; 10] = [
    Kind::Secret,
    Kind::Account,
    Kind::Email,
    Kind::Phone,
    Kind::Ip,
    Kind::Device,
    Kind::Address,
    Kind::Name,
    Kind::Position,
    Kind::FreeText,
];

/// What sampled values say; NULLs left out. The column's name tells what they are not: four numbers
/// in a `version` are no address. No value is in the answer.
pub fn by_content(column: &str, base_type: &str, values: &[String]) -> Option<Suspicion> {
    let form = Form::of(base_type)?;
    let mut seen = Seen::default();
    for value in values.iter().filter(|value| !value.trim().is_empty()) {
        seen.look_at(value, form);
    }
    if name::tells_of_versions(column) {
        seen.kinds.remove(&Kind::Ip);
    }
    seen.suspicion()
}

/// Kinds that are told by their own form, wherever they stand.
const fn by_find(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Email | Kind::Phone | Kind::Account | Kind::Ip | Kind::Device
    )
}

/// Whether what stands in values of a type may tell of somebody.
pub fn may_tell(base_type: &str) -> bool {
    Form::of(base_type).is_some()
}

/// How values of a type are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Document,
    /// Words with their places.
    Words,
}

/// Numbers and shapes of extensions.
const NUMBERS: [&str; 6] = [
    "vector",
    "halfvec",
    "sparsevec",
    "geometry",
    "geography",
    "raster",
];

impl Form {
    /// What PostgreSQL itself brings is known. Whatever has a schema is a row, or of an extension, and
    /// may hold anything.
    fn of(base_type: &str) -> Option<Self> {
        let name = base_type.trim_end_matches("[]");
        let name = name.split('(').next().unwrap_or_default().trim_end();
        let (is_qualified, name) = match name.rsplit_once('.') {
            Some((_, name)) => (true, name),
            None => (false, name),
        };
        match name {
            "json" | "jsonb" | "hstore" => Some(Form::Document),
            "tsvector" => Some(Form::Words),
            "text" | "character varying" | "character" | "name" | "citext" | "xml" | "varchar"
            | "bpchar" => Some(Form::Text),
            name if is_qualified && !NUMBERS.contains(&name) => Some(Form::Text),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Seen {
    values: usize,
    /// In how many values something of a kind is.
    kinds: BTreeMap<Kind, usize>,
    /// In how many texts it is all there is.
    whole: usize,
    /// Values that are nothing but the digits of a card: ids of sixteen digits are one in ten by
    /// chance.
    bare_cards: usize,
    /// Values that are one first name.
    single_names: usize,
}

impl Seen {
    fn look_at(&mut self, value: &str, form: Form) {
        self.values += 1;
        let value = value.trim();
        let kinds = match form {
            Form::Words => in_words(value),
            Form::Document => in_document(value, DEPTH),
            Form::Text if is_document(value) => in_document(value, DEPTH),
            Form::Text => {
                if value.bytes().all(|byte| byte.is_ascii_digit()) && !find(value).is_empty() {
                    self.bare_cards += 1;
                    return;
                }
                if first_names::is_one(value) {
                    self.single_names += 1;
                }
                let found: usize = find(value).iter().map(|(_, range)| range.len()).sum();
                if found * 5 >= value.len() * 4 {
                    self.whole += 1;
                }
                in_text(value)
            }
        };
        for kind in kinds {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }

    /// Values that there must be of a kind. Few are enough of what is told by its form alone; what
    /// could be something else must be the rule.
    fn enough(&self, kind: Kind) -> usize {
        let share = |per_cent: usize| (self.values * per_cent).div_ceil(100).max(1);
        match kind {
            Kind::Secret => 1,
            Kind::Email | Kind::Account | Kind::Ip => share(3).min(3),
            Kind::Phone => share(5),
            Kind::Device | Kind::Address => share(10),
            Kind::Name => share(15),
            Kind::FreeText => share(30),
            Kind::Position | Kind::Birth | Kind::Whole => share(50),
        }
    }

    fn suspicion(mut self) -> Option<Suspicion> {
        if self.bare_cards * 2 > self.values {
            *self.kinds.entry(Kind::Account).or_default() += self.bare_cards;
        }
        if self.single_names * 5 >= self.values * 2 {
            *self.kinds.entry(Kind::Name).or_default() += self.single_names;
        }
        let enough = |kind: &Kind| {
            let count = self.kinds.get(kind).copied().unwrap_or(0);
            (count > 0 && count >= self.enough(*kind)).then_some((*kind, count))
        };
        let found: Vec<(Kind, usize)> = ORDER.iter().filter_map(enough).collect();
        // Long texts are masked as such, whatever else is in them; but not what opens doors.
        let (kind, count) = found
            .iter()
            .find(|(kind, _)| *kind == Kind::Secret)
            .or_else(|| found.iter().find(|(kind, _)| *kind == Kind::FreeText))
            .or_else(|| found.iter().rev().max_by_key(|(_, count)| *count))?;
        Some(Suspicion {
            kind: *kind,
            because: format!("{count} of {} sampled values", self.values),
            is_part: by_find(*kind) && self.whole * 10 < self.values * 9,
        })
    }
}

static STREET: LazyLock<Regex> = LazyLock::new(|| {
    constant(
        r"(?:stra(?:\xc3\x9f|ss)e|str\.|weg|allee|gasse|platz|damm|ufer|ring)\s+[0-9]{1,4}\s?[a-z]?(?:[^a-z0-9]|$)|(?:^|[^a-z0-9.])[0-9]{1,5}[a-z]?\s+(?:[a-z.']+\s+){1,3}(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|square|terrace)\.?(?:[^a-z]|$)",
    )
});

static POSITION: LazyLock<Regex> =
    LazyLock::new(|| constant(r"^\(?-?[0-9]{1,2}\.[0-9]{3,},\s*-?[0-9]{1,3}\.[0-9]{3,}\)?$"));

fn constant(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .unicode(false)
        .build()
        .expect("the pattern is a constant that a test has built")
}

fn in_text(value: &str) -> BTreeSet<Kind> {
    let mut kinds: BTreeSet<Kind> = find(value).into_iter().map(|(kind, _)| kind).collect();
    let bytes = value.as_bytes();
    if STREET.is_match(bytes) {
        kinds.insert(Kind::Address);
    }
    if POSITION.is_match(bytes) {
        kinds.insert(Kind::Position);
    }
    if value.starts_with("Mozilla/") && value.contains('(') {
        kinds.insert(Kind::Device);
    }
    if is_full_name(value) {
        kinds.insert(Kind::Name);
    }
    if words(value) > WORDS_OF_LABEL {
        kinds.insert(Kind::FreeText);
    }
    kinds
}

/// Words that hold a letter.
fn words(value: &str) -> usize {
    value
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphabetic))
        .count()
}

/// Two to four words as names have them, a frequent first name among them.
fn is_full_name(value: &str) -> bool {
    if value.len() > 60 {
        return false;
    }
    let words: Vec<&str> = value
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    let particle = |word: &str| {
        [
            "von", "van", "de", "der", "den", "zu", "di", "da", "la", "le", "el", "bin", "al",
        ]
        .contains(&word)
    };
    let fits = |word: &&str| {
        particle(word)
            || word.starts_with(char::is_uppercase)
                && word
                    .chars()
                    .all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '.'))
    };
    let first_name = |word: &&str| word.split('-').any(first_names::is_one);
    (2..=5).contains(&words.len()) && words.iter().all(fits) && words.iter().any(first_name)
}

/// What the words of a `tsvector` say, which stand between single quotes.
fn in_words(value: &str) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    let mut count = 0;
    for word in value.split('\'').skip(1).step_by(2) {
        count += 1;
        kinds.extend(find(word).into_iter().map(|(kind, _)| kind));
        if first_names::is_one(word) {
            kinds.insert(Kind::Name);
        }
    }
    if count > WORDS_OF_LABEL {
        kinds.insert(Kind::FreeText);
    }
    kinds
}

/// Documents within texts of documents that are read: those of an array, those that were stored as
/// text.
const DEPTH: usize = 3;

/// Texts may hold documents, and arrays of PostgreSQL look like some.
fn is_document(value: &str) -> bool {
    value.starts_with(['{', '[']) && value.contains("\":")
}

/// What keys and strings of a document say. Read leniently: samples are cut, and columns of texts
/// hold much that only looks like a document.
fn in_document(value: &str, depth: usize) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    // What the key says that a value stands under, and what those around it say.
    let mut under: Option<Kind> = None;
    let mut around: Vec<Option<Kind>> = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find(|c: char| "\",{}[]".contains(c) || c.is_ascii_digit()) {
        let (mark, after) = rest[at..].split_at(1);
        rest = after;
        match mark {
            "\"" => {
                let (text, behind) = string(rest);
                rest = behind;
                let behind = rest.trim_start();
                // Of JSON, and of `hstore`.
                if behind.starts_with(':') || behind.starts_with("=>") {
                    under = by_key(&text).or(around.last().copied().flatten());
                } else if depth > 0 && is_document(&text) {
                    kinds.extend(in_document(&text, depth - 1));
                } else if !text.trim().is_empty() {
                    kinds.extend(under.filter(|kind| *kind != Kind::Secret || opens_doors(&text)));
                    kinds.extend(in_text(&text).into_iter().filter(|kind| match kind {
                        Kind::FreeText => words(&text) > WORDS_IN_DOCUMENT,
                        _ => true,
                    }));
                }
            }
            "[" => around.push(under),
            "{" => {
                // A part of an address is one; `"email": {"sent": "daily"}` holds none.
                under = under.filter(|kind| *kind == Kind::Address);
                around.push(under);
            }
            "]" | "}" => {
                around.pop();
                under = around.last().copied().flatten();
            }
            "," => under = around.last().copied().flatten(),
            // A number; of one with four digits and more a person may be told.
            _ => {
                let length = rest
                    .find(|c: char| !c.is_ascii_digit() && c != '.')
                    .unwrap_or(rest.len());
                if length >= 3 {
                    kinds.extend(under);
                }
                rest = &rest[length..];
            }
        }
    }
    kinds
}

/// Whether a text under the key `token` could be one: `{"token": "sign-in"}` is about something else.
fn opens_doors(text: &str) -> bool {
    text.len() >= 12 && !text.contains(char::is_whitespace)
}

/// A string that begins here, unescaped as far as it matters, and what is behind it.
fn string(text: &str) -> (String, &str) {
    let mut taken = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (taken, &text[at + 1..]),
            '\\' => match characters.next() {
                Some((_, 'n' | 't' | 'r')) => taken.push(' '),
                Some((_, escaped)) => taken.push(escaped),
                None => break,
            },
            c => taken.push(c),
        }
    }
    (taken, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(column: &str, base_type: &str, values: &[&str]) -> Option<Kind> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        by_content(column, base_type, &values).map(|found| found.kind)
    }

    #[test]
    fn personal_content_is_told() {
        let table: &[(&str, &[&str], Kind)] = &[
            ("text", &["ada@example.com", "x", "y"], Kind::Email),
            (
                "text",
                &["x", "+49 170 1234567", "030 1234567"],
                Kind::Phone,
            ),
            ("text", &["DE89370400440532013000"], Kind::Account),
            (
                "text",
                &["4242424242424242", "5555555555554444"],
                Kind::Account,
            ),
            ("text", &["203.0.113.7"], Kind::Ip),
            (
                "text",
                &["a", "b", "sb_secret_abcdefghij0123456789"],
                Kind::Secret,
            ),
            (
                "text",
                &["Anna Schmidt", "Jürgen Müller", "Li Wei"],
                Kind::Name,
            ),
            (
                "text",
                &["Schmidt, Peter", "O'Neill, Mary", "von der Heide, Karl"],
                Kind::Name,
            ),
            ("text", &["Anna", "Peter", "Ada"], Kind::Name),
            ("text", &["Hauptstraße 12", "Am Ring 4"], Kind::Address),
            (
                "text",
                &["221 Baker Street", "1600 Pennsylvania Ave NW"],
                Kind::Address,
            ),
            ("text", &["52.5200, 13.4050"], Kind::Position),
            ("text", &["Mozilla/5.0 (X11; Linux x86_64)"], Kind::Device),
            (
                "text",
                &[
                    "The customer called again because the second parcel never arrived at all.",
                    "",
                ],
                Kind::FreeText,
            ),
            ("jsonb", &[r#"{"a": {"email": "hidden"}}"#], Kind::Email),
            ("jsonb", &[r#"{"a": ["ada@example.com"]}"#], Kind::Email),
            ("jsonb", &[r#"{"phone": 491701234567}"#], Kind::Phone),
            ("jsonb", &[r#"{"a": 1, "emails": [["x"]]}"#], Kind::Email),
            (
                "jsonb",
                &[r#"{"address": {"l": "x", "n": "y"}}"#],
                Kind::Address,
            ),
            ("jsonb", &[r#"{"firstName": "Ada"}"#], Kind::Name),
            (
                "jsonb",
                &["{}", r#"{"token": "c2VjcmV0LXRva2Vu"}"#],
                Kind::Secret,
            ),
            ("json", &[r#"{"first_name": "Ada", "cut of"#], Kind::Name),
            ("jsonb[]", &[r#"{"{\"first_name\": \"Ada\"}"}"#], Kind::Name),
            (
                "text",
                &[r#"{"payload": "{\"first_name\": \"Ada\"}"}"#],
                Kind::Name,
            ),
            (
                "extensions.hstore",
                &[r#""first_name"=>"Ada", "n"=>NULL"#],
                Kind::Name,
            ),
            ("public.person", &["(Ada,ada@example.com)"], Kind::Email),
            (
                "tsvector",
                &["'anna':1 'schmidt':2", "'muell':2 'peter':1"],
                Kind::Name,
            ),
            ("tsvector", &["'ada@example.com':3 'order':1"], Kind::Email),
            (
                "text[]",
                &[r"{ada@example.com,bob@example.com}"],
                Kind::Email,
            ),
            ("character varying(40)", &["ada@example.com"], Kind::Email),
        ];
        for (base_type, values, wanted) in table {
            assert_eq!(kind("c", base_type, values), Some(*wanted), "{values:?}");
        }
    }

    #[test]
    fn ordinary_content_is_left_alone() {
        let table: &[(&str, &str, &[&str])] = &[
            ("c", "text", &[]),
            ("c", "text", &["", "  "]),
            (
                "name",
                "text",
                &[
                    "Blue Shirt",
                    "Red Shoe Deluxe",
                    "USB-C Cable 2m",
                    "Rose Garden",
                ],
            ),
            ("c", "text", &["active", "paused", "PENDING_REVIEW"]),
            ("c", "text", &["how-to-clone", "release-2024-01-05"]),
            ("c", "text", &["018f4e2a-7c1d-7b3a-9f21-0a1b2c3d4e5f"]),
            (
                "c",
                "text",
                &["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
            ),
            ("app_version", "text", &["1.2.3.4", "10.20.30.40"]),
            ("c", "text", &["ORD-2024-000123", "INV-0012-3456-7890"]),
            ("c", "text", &["2024-01-05", "05.01.2024"]),
            ("c", "text", &["Berlin", "Hamburg", "Köln"]),
            ("c", "text", &["Acme GmbH", "Globex Inc."]),
            ("c", "text", &["https://example.com/a/b?c=1"]),
            // One in ten ids of sixteen digits has the check digit of a card.
            (
                "c",
                "text",
                &[
                    "4242424242424242",
                    "4242424242424243",
                    "4242424242424244",
                    "4242424242424245",
                ],
            ),
            (
                "c",
                "jsonb",
                &[r#"{"theme": "dark", "page": 3, "email": null, "phone": ""}"#],
            ),
            (
                "c",
                "jsonb",
                &[
                    r#"{"email": true, "token_count": 5000}"#,
                    r#"{"email": {"sent": "daily"}}"#,
                    r#"{"token": "sign-in", "secret": "a b c d e f g h i"}"#,
                ],
            ),
            ("c", "tsvector", &["'blue':1 'shirt':2", "'red':1 'shoe':2"]),
            ("c", "extensions.vector", &["[0.123456789,-0.5,0301234567]"]),
            ("c", "extensions.ltree", &["top.science.astronomy"]),
            ("c", "integer", &["42"]),
            ("c", "bytea", &["\\x6164614065"]),
        ];
        for (column, base_type, values) in table {
            assert_eq!(kind(column, base_type, values), None, "{values:?}");
        }
    }

    #[test]
    fn one_address_among_hundreds_is_no_column_of_addresses() {
        let mut values = vec!["x"; 199];
        values.push("ada@example.com");
        assert_eq!(kind("c", "text", &values), None);
        values.extend(["ada@example.com"; 2]);
        assert_eq!(kind("c", "text", &values), Some(Kind::Email));
    }

    #[test]
    fn what_stands_among_other_texts_is_told() {
        let is_part = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            by_content("c", "text", &values).unwrap().is_part
        };
        assert!(!is_part(&["ada@example.com", "<bob@example.com>"]));
        assert!(is_part(&["ada@example.com", "started"]));
        assert!(is_part(&[
            "sent to ada@example.com",
            "sent to bob@example.com"
        ]));
    }

    #[test]
    fn nothing_of_a_value_is_in_the_answer() {
        let values = vec!["ada@example.com".to_owned(); 3];
        let found = by_content("c", "text", &values).unwrap();
        assert_eq!(
            found.to_string(),
            "e-mail address, by 3 of 3 sampled values"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_sample_is_taken(values in proptest::collection::vec("[{}\\[\\]\":,\\\\a1 ä]{0,40}|\\PC{0,40}", 0..20)) {
            by_content("c", "jsonb", &values);
            by_content("c", "text", &values);
        }
    }
}
