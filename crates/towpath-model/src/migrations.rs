//! The migration history that Supabase's command line keeps in the database, and how it is read when
//! secrets in it may not leave the source.
//!
//! The replacement happens on the source's server, inside of the statement that reads the rows, so
//! the secret is never on the wire. It depends on nothing but the row: export, proof and
//! verification read the same.

use crate::inventory::Column;
use crate::name::{QualifiedName, quote_identifier, quote_literal};
use crate::secret_text::{self, LEFT_OUT};

/// Whether this is the table of a migration history.
pub fn is_history(table: &QualifiedName) -> bool {
    table.schema == "supabase_migrations" && table.name == "schema_migrations"
}

/// Whether a column may hold statements. Versions and names are what the history is known by, and
/// stay.
fn may_hold_statements(column: &Column) -> bool {
    !column.generated && !matches!(column.name.as_str(), "version" | "name")
}

/// A column as text, and what stands in for it, both in SQL and the latter of the column's own type;
/// nothing for types that hold no text.
fn as_text(column: &Column) -> Option<(String, String)> {
    let name = quote_identifier(&column.name);
    let type_name = column.type_name.as_str();
    let element = type_name.strip_suffix("[]").unwrap_or(type_name);
    let is_array = element != type_name;
    let literal = quote_literal(LEFT_OUT);
    let left_out = match element {
        "json" | "jsonb" => quote_literal(&format!("\"{LEFT_OUT}\"")),
        _ if element == "text" || element.starts_with("character varying") => literal,
        _ => return None,
    };
    Some(if is_array {
        (
            format!("pg_catalog.array_to_string({name}, E'\\n')"),
            format!("array[{left_out}]::{type_name}"),
        )
    } else {
        (
            format!("{name}::pg_catalog.text"),
            format!("{left_out}::{type_name}"),
        )
    })
}

/// The condition in SQL under which what a column of the history holds stays on the source; nothing
/// when it holds no statements.
pub fn secret_condition(column: &Column) -> Option<String> {
    if !may_hold_statements(column) {
        return None;
    }
    let (text, _) = as_text(column)?;
    Some(secret_text::sql_condition(&text))
}

/// What is read of a column of the history in place of the column itself.
pub fn redacted(column: &Column) -> Option<String> {
    let condition = secret_condition(column)?;
    let (_, instead) = as_text(column)?;
    let name = quote_identifier(&column.name);
    Some(format!(
        "case when {condition} then {instead} else {name} end"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, type_name: &str) -> Column {
        Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            binary_safe: true,
            generated: false,
            key_position: None,
        }
    }

    #[test]
    fn only_columns_that_may_hold_statements_are_replaced() {
        for (name, type_name, replaced) in [
            ("version", "text", false),
            ("name", "text", false),
            ("statements", "text[]", true),
            ("rollback", "text[]", true),
            ("created_by", "text", true),
            ("logs", "jsonb", true),
            ("steps", "character varying(40)[]", true),
            ("checksums", "bytea[]", false),
            ("at", "timestamp with time zone", false),
        ] {
            let expression = redacted(&column(name, type_name));
            assert_eq!(expression.is_some(), replaced, "{name}");
            if let Some(expression) = expression {
                assert!(expression.ends_with(&format!("else \"{name}\" end")));
            }
        }
    }
}
