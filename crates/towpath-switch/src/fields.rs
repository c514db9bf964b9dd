//! JSON objects as ordered fields with raw values: what is not ours goes back byte for byte.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use towpath_model::connection::Secret;

/// The fields of a JSON object, in their order. Holds secrets: no `Debug`.
pub(crate) struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    /// The text as an object; nothing when it is not one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        text.trim_start()
            .starts_with('{')
            .then(|| serde_json::from_str(text).ok())
            .flatten()
    }

    /// Names with the texts of those fields that are strings or numbers.
    pub(crate) fn texts(&self) -> Vec<(String, Option<String>)> {
        self.0
            .iter()
            .map(|(name, raw)| (name.clone(), text_of(raw)))
            .collect()
    }

    /// Sets a field, as a number where it was a number, at its place or at the end.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let was_number = self.number(name);
        let json = if was_number && value.parse::<u64>().is_ok() {
            Some(value.to_owned())
        } else {
            serde_json::to_string(value).ok()
        };
        let Some(raw) = json.and_then(|json| RawValue::from_string(json).ok()) else {
            return;
        };
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some(field) => field.1 = raw,
            None => self.0.push((name.to_owned(), raw)),
        }
    }

    fn number(&self, name: &str) -> bool {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .is_some_and(|(_, raw)| raw.get().starts_with(|c: char| c.is_ascii_digit()))
    }

    /// The object as text; nothing when it cannot be written.
    pub(crate) fn text(&self) -> Option<Secret> {
        serde_json::to_string(self).ok().map(Secret::new)
    }
}

fn text_of(raw: &RawValue) -> Option<String> {
    let json = raw.get();
    if json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    json.starts_with(|c: char| c.is_ascii_digit())
        .then(|| json.to_owned())
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_fields_and_their_order_survive() {
        let mut fields =
            Fields::read("{\"z\": 1.10000000000000000001, \"port\": 6543, \"a\": {\"k\":  [1]}}")
                .unwrap();
        fields.set("port", "5432");
        fields.set("host", "h\"");
        assert_eq!(
            fields.text().unwrap().reveal(),
            "{\"z\":1.10000000000000000001,\"port\":5432,\"a\":{\"k\":  [1]},\"host\":\"h\\\"\"}"
        );
        assert!(Fields::read("[1]").is_none());
        assert!(Fields::read("{broken").is_none());
    }
}
