//! What a rules file may hold, key by key. Checked by hand and not by the types' own readers: these
//! pass over a mistyped key beside a transformer without fields, and then a mask meant for one column
//! would be one for all; and they quote values, which may be somebody's.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// A text of one character.
    Character,
    /// A text, number or truth value, kept as the text that it is.
    Scalar,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number that is not negative and no fraction.
    Count,
    /// Any number that is finite.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of texts; one alone needs no brackets.
    Texts,
    /// The same of scalars.
    Scalars,
    /// A table.
    Table(&'static [Field]),
    /// A list of tables.
    Tables(&'static [Field]),
    /// A list of tables that hold a transformer beside these.
    Transformers(&'static [Field]),
}

/// A key and what it takes.
pub(super) type Field = (&'static str, Shape);

/// Why a file is refused, and at which byte. Names keys, never what is behind them.
pub(super) type Refused = (usize, String);

const LOCALE: Shape = Shape::Word(&["en", "de"]);

const CONDITION: &[Field] = &[
    ("column", Shape::Text),
    ("is", Shape::Scalars),
    ("is_not", Shape::Scalars),
    ("is_null", Shape::Flag),
];

/// All of it.
pub(super) const FILE: &[Field] = &[
    ("version", Shape::Count),
    ("locale", LOCALE),
    (
        "mask",
        Shape::Transformers(&[
            ("table", Shape::Text),
            ("column", Shape::Text),
            ("type", Shape::Text),
            ("domain", Shape::Text),
            ("when", Shape::Table(CONDITION)),
        ]),
    ),
    (
        "allow",
        Shape::Tables(&[
            ("table", Shape::Text),
            ("column", Shape::Text),
            ("reason", Shape::Text),
        ]),
    ),
    (
        "reference",
        Shape::Tables(&[
            ("from", Shape::Text),
            ("to", Shape::Text),
            ("when", Shape::Table(CONDITION)),
        ]),
    ),
    (
        "subset",
        Shape::Table(&[
            ("seed", Shape::Text),
            ("roots", Shape::Texts),
            ("percent", Shape::Number),
            ("limit", Shape::Count),
            (
                "table",
                Shape::Tables(&[
                    ("table", Shape::Text),
                    ("where", Shape::Text),
                    ("percent", Shape::Number),
                    ("limit", Shape::Count),
                    ("children", Shape::Word(&["follow", "leave"])),
                    ("rows", Shape::Word(&["all", "none"])),
                ]),
            ),
        ]),
    ),
];

/// Keys without which a table says nothing, by the table's own key.
const REQUIRED: &[(&str, &[&str])] = &[
    ("allow", &["table", "column"]),
    ("reference", &["from", "to"]),
    ("when", &["column"]),
    ("table", &["table"]),
    ("rules", &["path"]),
];

/// Kinds of made-up data: `with = "fake-email"` is short for `with = "fake"` and `what = "email"`.
const FAKES: &[&str] = &[
    "name",
    "first-name",
    "last-name",
    "email",
    "username",
    "phone",
    "address",
    "street",
    "city",
    "postal-code",
    "company",
    "iban",
    "ip",
    "url",
    "user-agent",
    "text",
];

const ENDS: &[Field] = &[("keep_first", Shape::Count), ("keep_last", Shape::Count)];

/// Transformers and what each takes.
const TRANSFORMERS: &[(&str, &[Field])] = &[
    ("null", &[]),
    ("constant", &[("value", Shape::Scalar)]),
    (
        "redact",
        &[
            ("character", Shape::Character),
            ("keep_first", Shape::Count),
            ("keep_last", Shape::Count),
        ],
    ),
    ("hash", &[("digits", Shape::Count)]),
    (
        "fake",
        &[
            ("what", Shape::Word(FAKES)),
            ("locale", LOCALE),
            ("unique", Shape::Flag),
        ],
    ),
    (
        "date-shift",
        &[("max_days", Shape::Count), ("subject", Shape::Text)],
    ),
    (
        "noise",
        &[
            ("percent", Shape::Number),
            ("min", Shape::Number),
            ("max", Shape::Number),
        ],
    ),
    ("format-preserving", ENDS),
    ("uuid", &[]),
    (
        "json",
        &[
            ("rules", Shape::Transformers(&[("path", Shape::Text)])),
            ("rest", Shape::Word(&["keep", "redact", "scrub"])),
        ],
    ),
    ("scrub", &[("columns", Shape::Texts)]),
    ("coordinates", &[("decimals", Shape::Count)]),
    ("empty-bytes", &[]),
];

/// What a transformer cannot do without.
const NEEDED: &[(&str, &[&str])] = &[
    ("constant", &["value"]),
    ("fake", &["what"]),
    ("date-shift", &["max_days"]),
    ("noise", &["percent"]),
    ("coordinates", &["decimals"]),
];

/// A table with these keys and no others, as JSON.
pub(super) fn table(
    key: &str,
    at: usize,
    table: &DeTable<'_>,
    fields: &[Field],
) -> Result<Map<String, Value>, Refused> {
    let mut found = Map::new();
    for (name, value) in table {
        let Some((_, shape)) = fields.iter().find(|(known, _)| *known == name.get_ref()) else {
            return Err((
                name.span().start,
                format!(
                    "unknown key {}; known here: {}",
                    name.get_ref(),
                    listed(fields)
                ),
            ));
        };
        found.insert(
            name.get_ref().to_string(),
            read(name.get_ref(), value, *shape)?,
        );
    }
    let required = REQUIRED.iter().find(|(of, _)| *of == key);
    require(&found, at, required.map_or(&[], |(_, keys)| keys))?;
    Ok(found)
}

fn require(found: &Map<String, Value>, at: usize, keys: &[&str]) -> Result<(), Refused> {
    match keys.iter().find(|key| !found.contains_key(**key)) {
        Some(missing) => Err((at, format!("{missing} is missing here"))),
        None => Ok(()),
    }
}

fn listed(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A table that holds a transformer: the fields of both.
fn transformer(
    key: &str,
    at: usize,
    found: &DeTable<'_>,
    beside: &[Field],
) -> Result<Map<String, Value>, Refused> {
    let entry = found.iter().find(|(name, _)| name.get_ref() == "with");
    let Some((_, with)) = entry else {
        return Err((at, "with is missing here".to_owned()));
    };
    let words = || {
        let names = TRANSFORMERS.iter().map(|(name, _)| *name);
        format!(
            "with is none of {}, fake-{}",
            names.collect::<Vec<_>>().join(", "),
            FAKES.join(", fake-")
        )
    };
    let refuse = || (with.span().start, words());
    let word = with.get_ref().as_str().ok_or_else(refuse)?;
    let what = word.strip_prefix("fake-");
    let name = what.map_or(word, |_| "fake");
    let (_, fields) = TRANSFORMERS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(refuse)?;
    if what.is_some_and(|what| !FAKES.contains(&what)) {
        return Err(refuse());
    }
    // What the short form says already is not said twice.
    let own = fields
        .iter()
        .filter(|(field, _)| what.is_none() || *field != "what");
    let all: Vec<Field> = [("with", Shape::Text)]
        .into_iter()
        .chain(beside.iter().copied())
        .chain(own.copied())
        .collect();
    let mut found = table(key, at, found, &all)?;
    if let Some(what) = what {
        found.insert("with".to_owned(), Value::from("fake"));
        found.insert("what".to_owned(), Value::from(what));
    }
    let needed = NEEDED.iter().find(|(of, _)| *of == name);
    require(&found, at, needed.map_or(&[], |(_, keys)| keys))?;
    if name == "json" && !found.contains_key("rules") {
        found.insert("rules".to_owned(), Value::Array(Vec::new()));
    }
    Ok(found)
}

fn read(key: &str, value: &Spanned<DeValue<'_>>, shape: Shape) -> Result<Value, Refused> {
    let at = value.span().start;
    let wrong = |what: &str| (at, format!("{key} must be {what}"));
    let text = || value.get_ref().as_str();
    match shape {
        Shape::Text => text().map(Value::from).ok_or_else(|| wrong("a text")),
        Shape::Character => {
            let one = |text: &&str| text.chars().count() == 1;
            let text = text().filter(one).map(Value::from);
            text.ok_or_else(|| wrong("a text of one character"))
        }
        Shape::Scalar => scalar(value.get_ref())
            .map(Value::from)
            .ok_or_else(|| wrong("a text, a number, true or false")),
        Shape::Word(words) => text()
            .filter(|text| words.contains(text))
            .map(Value::from)
            .ok_or_else(|| wrong(&format!("one of {}", words.join(", ")))),
        Shape::Count => value
            .get_ref()
            .as_integer()
            .and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok())
            .map(Value::from)
            .ok_or_else(|| wrong("a whole number from 0 on")),
        Shape::Number => number(value.get_ref())
            .map(Value::Number)
            .ok_or_else(|| wrong("a number")),
        Shape::Flag => value
            .get_ref()
            .as_bool()
            .map(Value::from)
            .ok_or_else(|| wrong("true or false")),
        Shape::Texts => several(value, |item| item.as_str().map(str::to_owned))
            .ok_or_else(|| wrong("a list of texts")),
        Shape::Scalars => several(value, scalar).ok_or_else(|| wrong("a list of texts")),
        Shape::Table(fields) => {
            let DeValue::Table(found) = value.get_ref() else {
                return Err(wrong("a table"));
            };
            table(key, at, found, fields).map(Value::Object)
        }
        Shape::Tables(fields) => tables(key, value, |at, found| table(key, at, found, fields)),
        Shape::Transformers(beside) => {
            tables(key, value, |at, found| transformer(key, at, found, beside))
        }
    }
}

fn tables(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    each: impl Fn(usize, &DeTable<'_>) -> Result<Map<String, Value>, Refused>,
) -> Result<Value, Refused> {
    let wrong = |at: usize| (at, format!("{key} must be a list of tables: [[{key}]]"));
    let items = value.get_ref().as_array();
    let items = items.ok_or_else(|| wrong(value.span().start))?;
    let mut found = Vec::new();
    for item in items.iter() {
        let at = item.span().start;
        let DeValue::Table(table) = item.get_ref() else {
            return Err(wrong(at));
        };
        found.push(Value::Object(each(at, table)?));
    }
    Ok(Value::Array(found))
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        // As PostgreSQL writes them.
        DeValue::Boolean(true) => Some("t".to_owned()),
        DeValue::Boolean(false) => Some("f".to_owned()),
        _ => None,
    }
}

fn number(value: &DeValue<'_>) -> Option<Number> {
    let text = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => return None,
    };
    Number::from_f64(text.parse().ok()?)
}

fn several(
    value: &Spanned<DeValue<'_>>,
    each: impl Fn(&DeValue<'_>) -> Option<String>,
) -> Option<Value> {
    if let Some(one) = each(value.get_ref()) {
        return Some(Value::Array(vec![Value::from(one)]));
    }
    let items = value.get_ref().as_array()?;
    let texts: Option<Vec<Value>> = items
        .iter()
        .map(|item| each(item.get_ref()).map(Value::from))
        .collect();
    texts.map(Value::Array)
}
