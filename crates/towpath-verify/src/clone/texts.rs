//! Texts within values: what a residual scan reads. Binary forms are those of the types' send
//! functions (PostgreSQL sources, `src/backend/utils/adt` and `contrib/hstore`).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use towpath_model::plan::Format;

/// How texts are found in the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The value is the text.
    Plain,
    /// Texts in double quotes, and what is between: JSON, arrays, rows, pairs.
    Structured,
    /// The same behind a byte that tells the version.
    Jsonb,
    /// An array of texts in binary.
    Array,
    /// Pairs of texts in binary.
    Pairs,
    /// Words with their places in binary.
    Words,
    /// An address in binary.
    Address,
    /// A UUID in binary.
    Id,
    /// An array of UUIDs in binary.
    Ids,
}

/// What holds no text that could be anybody's, or is a number of its own.
const BARE: [&str; 40] = [
    "smallint",
    "integer",
    "bigint",
    "oid",
    "numeric",
    "real",
    "double precision",
    "money",
    "boolean",
    "date",
    "interval",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "enum",
    "xid",
    "xid8",
    "cid",
    "tid",
    "pg_lsn",
    "macaddr",
    "macaddr8",
    "txid_snapshot",
    "pg_snapshot",
];

/// What is known of values of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// They hold texts.
    Texts(Form),
    /// They are UUIDs.
    Ids(Form),
    /// They hold none.
    NoText,
    /// They may hold some that cannot be read.
    Unknown,
}

impl Known {
    /// Of columns of a type.
    pub(super) fn of(format: Format, base_type: &str) -> Self {
        let plain = without_modifier(base_type);
        let (name, is_array) = match plain.strip_suffix("[]") {
            Some(element) => (element, true),
            None => (plain.as_str(), false),
        };
        if name == "uuid" {
            return Self::Ids(match (format, is_array) {
                (Format::Csv, false) => Form::Plain,
                (Format::Csv, true) => Form::Structured,
                (Format::Binary, false) => Form::Id,
                (Format::Binary, true) => Form::Ids,
            });
        }
        if BARE.contains(&name) || name.starts_with("time") {
            return Self::NoText;
        }
        let form = Form::of(format, name, is_array).filter(|_| !BYTES.contains(&name));
        form.map_or(Self::Unknown, Self::Texts)
    }
}

/// What may hold anything, in whatever form its owner gave it.
const BYTES: [&str; 3] = ["bytea", "bit", "bit varying"];

impl Form {
    /// Of a type that may hold texts; nothing where they cannot be read.
    fn of(format: Format, name: &str, is_array: bool) -> Option<Self> {
        let is_text = matches!(
            name,
            "text" | "character varying" | "character" | "name" | "xml" | "\"char\""
        ) || is_of_extension(name, "citext");
        let is_json = matches!(name, "json" | "jsonb");
        let is_hstore = is_of_extension(name, "hstore");
        match format {
            Format::Csv if is_array || is_json || is_hstore => Some(Self::Structured),
            Format::Csv if is_text || matches!(name, "tsvector" | "inet" | "cidr") => {
                Some(Self::Plain)
            }
            // Rows, ranges, and whatever an extension brings.
            Format::Csv => Some(Self::Structured),
            Format::Binary if is_array => (is_text || is_json).then_some(Self::Array),
            Format::Binary if is_text => Some(Self::Plain),
            Format::Binary if is_hstore => Some(Self::Pairs),
            Format::Binary => match name {
                "json" => Some(Self::Structured),
                "jsonb" => Some(Self::Jsonb),
                "tsvector" => Some(Self::Words),
                "inet" | "cidr" => Some(Self::Address),
                _ => None,
            },
        }
    }

    /// Tells every text of a value.
    pub(super) fn texts(self, value: &[u8], told: &mut dyn FnMut(&str)) {
        let text = |bytes: &[u8], told: &mut dyn FnMut(&str)| {
            told(&String::from_utf8_lossy(bytes));
        };
        match self {
            Self::Plain => {
                let value = String::from_utf8_lossy(value);
                told(&value);
                within(&value, DEPTH, told);
            }
            Self::Structured => structured(&String::from_utf8_lossy(value), DEPTH, told),
            Self::Jsonb => {
                let json = value.get(1..).unwrap_or_default();
                structured(&String::from_utf8_lossy(json), DEPTH, told);
            }
            Self::Array => {
                let mut element = |bytes: &[u8]| {
                    // The version of a `jsonb`.
                    let bytes = bytes.strip_prefix(b"\x01").unwrap_or(bytes);
                    let element = String::from_utf8_lossy(bytes);
                    told(&element);
                    within(&element, DEPTH, told);
                };
                _ = array(value, &mut element);
            }
            Self::Pairs => _ = pairs(value, &mut |bytes| text(bytes, told)),
            Self::Words => _ = words(value, &mut |bytes| text(bytes, told)),
            Self::Address => {
                if let Some(address) = address(value) {
                    told(&address);
                }
            }
            Self::Id => id(value, told),
            Self::Ids => _ = array(value, &mut |bytes| id(bytes, told)),
        }
    }
}

/// A type of an extension, in whatever schema that is.
fn is_of_extension(name: &str, type_name: &str) -> bool {
    name.rsplit('.').next() == Some(type_name)
}

fn without_modifier(type_name: &str) -> String {
    match (type_name.find('('), type_name.find(')')) {
        (Some(from), Some(to)) if from < to && !type_name.contains('"') => {
            format!("{}{}", &type_name[..from], &type_name[to + 1..])
        }
        _ => type_name.to_owned(),
    }
}

/// Documents within documents that are looked into: those of an array, those that were stored as text.
const DEPTH: usize = 3;

/// What is within a text that looks like a document.
fn within(text: &str, depth: usize, told: &mut dyn FnMut(&str)) {
    if depth > 0 && text.trim_start().starts_with(['{', '[']) {
        structured(text, depth - 1, told);
    }
}

/// Texts in double quotes, without their escapes, and the words between.
fn structured(value: &str, depth: usize, told: &mut dyn FnMut(&str)) {
    let mut rest = value;
    while let Some(open) = rest.find('"') {
        between(&rest[..open], told);
        let inner = &rest[open + 1..];
        let Some(close) = closing(inner) else {
            return between(inner, told);
        };
        let text = match inner[..close].contains('\\') {
            true => Cow::Owned(unescaped(&inner[..close])),
            false => Cow::Borrowed(&inner[..close]),
        };
        told(&text);
        within(&text, depth, told);
        rest = &inner[close + 1..];
    }
    between(rest, told);
}

fn between(text: &str, told: &mut dyn FnMut(&str)) {
    let separates = |c: char| matches!(c, '{' | '}' | '[' | ']' | '(' | ')' | ',');
    // Behind a name in quotes: `:` of JSON, `=>` of pairs. Addresses have colons within.
    let around = |c: char| c.is_whitespace() || matches!(c, ':' | '=' | '>');
    let parts = text
        .split(separates)
        .map(|part| part.trim_start_matches(around).trim_end());
    parts.filter(|part| part.len() > 5).for_each(told);
}

fn closing(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| match (is_escaped, byte) {
        (true, _) => {
            is_escaped = false;
            false
        }
        (false, b'\\') => {
            is_escaped = true;
            false
        }
        (false, byte) => byte == b'"',
    })
}

/// Of JSON's escapes and of those of arrays, which have a backslash before anything.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('n' | 'r' | 't') => out.push(' '),
            Some('u') => {
                let hex: String = rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or('\u{fffd}'));
            }
            Some(c) => out.push(c),
            None => {}
        }
    }
    out
}

fn number(rest: &mut &[u8]) -> Option<i32> {
    let (head, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*head))
}

/// A field behind its length; an empty one for NULL.
fn field<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let Ok(length) = usize::try_from(number(rest)?) else {
        return Some(&[]);
    };
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

/// Dimensions, whether there are NULLs, the element's type; length and lower bound of every
/// dimension; elements (`array_send`).
fn array(value: &[u8], told: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut rest = value;
    let dimensions = number(&mut rest)?;
    for _ in 0..2 + 2 * dimensions {
        number(&mut rest)?;
    }
    while !rest.is_empty() {
        told(field(&mut rest)?);
    }
    Some(())
}

/// How many pairs; of each, key and value (`hstore_send`).
fn pairs(value: &[u8], told: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut rest = value;
    number(&mut rest)?;
    while !rest.is_empty() {
        told(field(&mut rest)?);
    }
    Some(())
}

/// How many words; of each, its bytes up to a zero, how many places, and these (`tsvectorsend`).
fn words(value: &[u8], told: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut rest = value;
    number(&mut rest)?;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0)?;
        told(&rest[..end]);
        let (count, after) = rest[end + 1..].split_first_chunk::<2>()?;
        let places = 2 * usize::from(u16::from_be_bytes(*count));
        rest = after.get(places..)?;
    }
    Some(())
}

/// Family, bits, whether it is a network, length, bytes (`network_send`).
fn address(value: &[u8]) -> Option<String> {
    let bytes = value.get(4..)?;
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        _ => None,
    }
}

fn id(value: &[u8], told: &mut dyn FnMut(&str)) {
    const BYTES: usize = 16;
    if value.len() != BYTES {
        return;
    }
    let mut text = String::with_capacity(BYTES * 2 + 4);
    for (at, byte) in value.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    told(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(form: Form, value: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        form.texts(value, &mut |text| found.push(text.to_owned()));
        found
    }

    #[test]
    fn texts_of_what_has_a_structure() {
        let json = br#"{"a": ["x@y.de", 4915112345678], "b\"c": "say \"hi\", \u00e9\\"}"#;
        assert_eq!(
            texts(Form::Structured, json),
            ["a", "x@y.de", "4915112345678", "b\"c", "say \"hi\", é\\"]
        );
        assert_eq!(
            texts(Form::Structured, br#"{"a b",me@x.de,NULL}"#),
            ["a b", "me@x.de"]
        );
        assert_eq!(texts(Form::Jsonb, b"\x01\"a b\""), ["a b"]);
        assert_eq!(
            texts(Form::Structured, br#"(2001:db9::1,"Ada (L.)",+4930901820)"#),
            ["2001:db9::1", "Ada (L.)", "+4930901820"]
        );
        assert_eq!(
            texts(Form::Structured, br#""name"=>"Ada", "number"=>NULL"#),
            ["name", "Ada", "number"]
        );
        // Stored as text, in an array, or twice.
        let twice = br#"{"{\"a\": \"{\\\"b\\\": \\\"c d\\\"}\"}"}"#;
        assert!(texts(Form::Structured, twice).contains(&"c d".to_owned()));
        assert_eq!(
            texts(Form::Plain, br#" {"a": "b c"}"#),
            [r#" {"a": "b c"}"#, "a", "b c"]
        );
        assert_eq!(texts(Form::Plain, br#"she said "hi" to"#).len(), 1);
        assert_eq!(texts(Form::Structured, b"\"never closed"), ["never closed"]);
    }

    #[test]
    fn texts_of_binary_forms() {
        let sized = |text: &str| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [&length[..], text.as_bytes()].concat()
        };
        let numbers =
            |them: &[i32]| -> Vec<u8> { them.iter().flat_map(|it| it.to_be_bytes()).collect() };
        let head = numbers(&[1, 1, 25, 3, 1]);
        let array = [head, sized("a b"), numbers(&[-1]), sized("ü")].concat();
        assert_eq!(texts(Form::Array, &array), ["a b", "", "ü"]);
        assert_eq!(texts(Form::Array, &array[..array.len() - 1]), ["a b", ""]);
        let json = "\u{1}{\"a\": \"b c\"}";
        let documents = [numbers(&[1, 0, 3802, 1, 1]), sized(json)].concat();
        assert_eq!(texts(Form::Array, &documents), [&json[1..], "a", "b c"]);
        let pairs = [numbers(&[1]), sized("key"), sized("value")].concat();
        assert_eq!(texts(Form::Pairs, &pairs), ["key", "value"]);
        let words = [
            &numbers(&[2])[..],
            b"one\0",
            &[0, 1, 0, 5],
            b"x@y.de\0",
            &[0, 0],
        ]
        .concat();
        assert_eq!(texts(Form::Words, &words), ["one", "x@y.de"]);
        assert_eq!(
            texts(Form::Address, &[2, 32, 0, 4, 8, 8, 4, 4]),
            ["8.8.4.4"]
        );
        let bytes: Vec<u8> = (0..16).collect();
        let id = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        assert_eq!(texts(Form::Id, &bytes), [id]);
        let ids = [numbers(&[1, 0, 2950, 1, 1, 16]), bytes].concat();
        assert_eq!(texts(Form::Ids, &ids), [id]);
    }

    #[test]
    fn every_type_that_holds_text_is_read() {
        let texts = Known::Texts;
        for (format, type_name, known) in [
            (Format::Binary, "character varying(20)", texts(Form::Plain)),
            (Format::Binary, "extensions.citext", texts(Form::Plain)),
            (Format::Binary, "text[]", texts(Form::Array)),
            (Format::Binary, "jsonb[]", texts(Form::Array)),
            (Format::Binary, "integer[]", Known::NoText),
            (Format::Binary, "jsonb", texts(Form::Jsonb)),
            (Format::Csv, "jsonb", texts(Form::Structured)),
            (Format::Csv, "public.address", texts(Form::Structured)),
            (Format::Csv, "timestamp(3) with time zone", Known::NoText),
            (Format::Csv, "numeric(10,2)", Known::NoText),
            (Format::Binary, "public.address", Known::Unknown),
            (Format::Binary, "bytea", Known::Unknown),
            (Format::Csv, "bytea[]", Known::Unknown),
            (Format::Binary, "uuid", Known::Ids(Form::Id)),
            (Format::Csv, "uuid[]", Known::Ids(Form::Structured)),
        ] {
            assert_eq!(Known::of(format, type_name), known, "{type_name}");
        }
    }
}
