//! JSON objects and arrays as fields at their places in the text: what is not ours keeps every
//! byte, spaces included.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use towpath_model::connection::Secret;

/// The fields of an object, or the items of an array under their numbers. Holds secrets: no
/// `Debug`.
pub(crate) struct Fields<'a> {
    text: &'a str,
    fields: Vec<Field<'a>>,
    is_object: bool,
}

struct Field<'a> {
    name: String,
    raw: &'a str,
    span: Range<usize>,
}

/// A field as far as it is of interest.
pub(crate) enum Content<'a> {
    /// The text of a string, or a number.
    Text(String),
    /// An object or an array.
    Deeper(&'a str),
    Other,
}

impl<'a> Fields<'a> {
    /// The text as an object or an array; nothing when it is neither.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let is_object = text.trim_start().starts_with('{');
        if !is_object && !text.trim_start().starts_with('[') {
            return None;
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let found = reader.deserialize_any(InOrder).ok()?;
        reader.end().ok()?;
        let fields = found.into_iter().map(|(name, raw)| {
            // A raw value borrows from the text it was read from.
            let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
            Field {
                name,
                raw: raw.get(),
                span: start..start + raw.get().len(),
            }
        });
        Some(Self {
            fields: fields.collect(),
            text,
            is_object,
        })
    }

    /// Names with the texts of those fields that are strings or numbers.
    pub(crate) fn texts(&self) -> Vec<(String, Option<String>)> {
        let text = |field: &Field<'_>| match content(field.raw) {
            Content::Text(text) => Some(text),
            _ => None,
        };
        let fields = self.fields.iter();
        fields
            .map(|field| (field.name.clone(), text(field)))
            .collect()
    }

    /// Every field with what it holds.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&str, Content<'a>)> {
        let fields = self.fields.iter();
        fields.map(|field| (field.name.as_str(), content(field.raw)))
    }

    /// A field as it is written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.fields.iter();
        fields
            .find(|field| field.name == name)
            .map(|field| field.raw)
    }

    /// Names of the fields, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// The same text without a field that is not the first.
    pub(crate) fn without(&self, name: &str) -> Secret {
        let at = self.fields.iter().position(|field| field.name == name);
        let Some([before, field]) = at.and_then(|at| self.fields.get(at.checked_sub(1)?..=at))
        else {
            return Secret::new(self.text);
        };
        Secret::new(format!(
            "{}{}",
            &self.text[..before.span.end],
            &self.text[field.span.end..]
        ))
    }

    /// The same text with new fields in place of old ones of their name, or after the last.
    pub(crate) fn with(&self, new: &[(String, New)]) -> Secret {
        let mut text = String::new();
        let mut at = 0;
        for field in &self.fields {
            let found = new.iter().find(|(name, _)| *name == field.name);
            let Some((_, value)) = found else { continue };
            text.push_str(&self.text[at..field.span.start]);
            text.push_str(&value.written(field.raw));
            at = field.span.end;
        }
        if let Some(last) = self.fields.last().filter(|_| self.is_object) {
            text.push_str(&self.text[at..last.span.end]);
            at = last.span.end;
            for (name, value) in new {
                if !self.fields.iter().any(|field| field.name == *name) {
                    text.push_str(&format!(",{}:{}", quoted(name), value.written("")));
                }
            }
        }
        text.push_str(&self.text[at..]);
        Secret::new(text)
    }
}

/// What a field becomes.
pub(crate) enum New {
    /// A text, written as a number where a number was.
    Text(Secret),
    /// JSON.
    Json(Secret),
}

impl New {
    fn written(&self, raw: &str) -> String {
        match self {
            Self::Json(json) => json.reveal().to_owned(),
            Self::Text(text) if is_number(raw) && text.reveal().parse::<u64>().is_ok() => {
                text.reveal().to_owned()
            }
            Self::Text(text) => quoted(text.reveal()),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c.is_ascii_digit())
}

fn content(raw: &str) -> Content<'_> {
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map_or(Content::Other, Content::Text),
        Some(b'{' | b'[') => Content::Deeper(raw),
        _ if is_number(raw) => Content::Text(raw.to_owned()),
        _ => Content::Other,
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object or array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, raw)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            fields.push((name.into_owned(), raw));
        }
        Ok(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(raw) = items.next_element::<&'de RawValue>()? {
            fields.push((fields.len().to_string(), raw));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(name: &str, value: &str) -> (String, New) {
        (name.to_owned(), New::Text(Secret::new(value)))
    }

    #[test]
    fn foreign_fields_their_order_and_their_spaces_survive() {
        let given = " {\"z\": 1.10000000000000000001, \"port\":  6543,\n \"a\": {\"k\":  [1]} }\n";
        let fields = Fields::read(given).unwrap();
        assert_eq!(
            fields
                .with(&[text("port", "5432"), text("host", "h\"")])
                .reveal(),
            " {\"z\": 1.10000000000000000001, \"port\":  5432,\n \"a\": {\"k\":  [1]},\"host\":\"h\\\"\" }\n"
        );
        let items = Fields::read("[ 1, \"b\\u0041\" ]").unwrap();
        assert_eq!(items.texts()[1], ("1".to_owned(), Some("bA".to_owned())));
        assert_eq!(items.with(&[text("1", "c")]).reveal(), "[ 1, \"c\" ]");
        for other in ["{broken", "{} x", "\"a\"", "1", ""] {
            assert!(Fields::read(other).is_none(), "{other}");
        }
        assert_eq!(
            Fields::read("{}").unwrap().with(&[text("a", "b")]).reveal(),
            "{}"
        );
    }

    proptest! {
        #[test]
        fn nothing_changes_where_nothing_is_new(names in proptest::collection::vec("\\PC{0,5}", 0..5), value in "\\PC{0,9}") {
            let fields: Vec<String> = names.iter().map(|name| format!("{} :\t{}", quoted(name), quoted(&value))).collect();
            let object = format!("{{ {} }}", fields.join(" , "));
            let again = Fields::read(&object).unwrap().with(&[]);
            prop_assert_eq!(again.reveal(), &object);
        }
    }
}
