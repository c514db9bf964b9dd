//! Names of database objects, and the one place where they are quoted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A schema-qualified name, as the catalog holds it (unquoted).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QualifiedName {
    /// Schema.
    pub schema: String,
    /// Name within the schema.
    pub name: String,
}

impl QualifiedName {
    /// Makes a name of its two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// The name as SQL: both parts quoted.
    pub fn quoted(&self) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }
}

/// For people: parts are quoted only where they need it.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", readable(&self.schema), readable(&self.name))
    }
}

/// Quotes an identifier for SQL, always with double quotes: no list of reserved words can be out
/// of date then.
pub fn quote_identifier(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Quotes a string literal for SQL, whatever `standard_conforming_strings` says.
pub fn quote_literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// The identifier for people: quoted only when it is not a plain lower-case word.
pub fn readable(identifier: &str) -> String {
    let plain = identifier.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && identifier
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain {
        identifier.to_owned()
    } else {
        quote_identifier(identifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted() {
        let name = QualifiedName::new("App Data", "weird \"col\"");
        assert_eq!(name.quoted(), r#""App Data"."weird ""col""""#);
        assert_eq!(
            QualifiedName::new("public", "orders").to_string(),
            "public.orders"
        );
        assert_eq!(quote_literal(r"a'b\c"), r" E'a''b\\c'");
    }
}
