//! Names and references as people write them in rules: `schema.table`, `table(column, column)`. Parts
//! stand as the catalog has them, in whatever case; a part that holds anything but letters, digits,
//! `_`, `$` and `-` is put into double quotes, as in SQL.

use std::collections::BTreeSet;

use super::{KeyFacts, Reference};
use crate::clone_rules::VirtualReference;
use crate::masking::Condition;
use crate::name::{QualifiedName, quote_identifier, quote_literal};

/// Where a table is whose schema nobody says.
const DEFAULT_SCHEMA: &str = "public";

/// The table that a text begins with, and what follows.
pub fn leading_table(text: &str) -> Option<(QualifiedName, &str)> {
    let (first, rest) = part(text.trim_start())?;
    let behind = rest.trim_start();
    match behind.strip_prefix('.') {
        None => Some((QualifiedName::new(DEFAULT_SCHEMA, first), rest)),
        Some(after) => {
            let (second, rest) = part(after.trim_start())?;
            Some((QualifiedName::new(first, second), rest))
        }
    }
}

/// The table that a text names, and nothing else.
pub fn table_named(text: &str) -> Option<QualifiedName> {
    let (table, rest) = leading_table(text)?;
    rest.trim().is_empty().then_some(table)
}

/// `table(column, column)`.
fn columns_named(text: &str) -> Option<(QualifiedName, Vec<String>)> {
    let (table, rest) = leading_table(text)?;
    let mut rest = rest.trim_start().strip_prefix('(')?;
    let mut columns = Vec::new();
    loop {
        let (column, behind) = part(rest.trim_start())?;
        columns.push(column);
        let behind = behind.trim_start();
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => {
                let end = behind.strip_prefix(')')?;
                return end.trim().is_empty().then_some((table, columns));
            }
        }
    }
}

/// One name, and what follows.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
        let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

/// Why a reference is not used.
enum Unused {
    /// Its table or column is not there, any more perhaps: nothing refers to anything then.
    Gone(String),
    /// It cannot be meant.
    Refused(String),
}

/// The references that rules declare, and sentences about those that cannot be meant. One whose table
/// or column is not there is left out; see [`idle`].
pub fn declared(rules: &[VirtualReference], facts: &KeyFacts) -> (Vec<Reference>, Vec<String>) {
    let mut references = Vec::new();
    let mut refusals = Vec::new();
    for (rule, no) in rules.iter().zip(1..) {
        match reference(rule, facts) {
            Ok(reference) => references.push(reference),
            Err(Unused::Refused(why)) => refusals.push(sentence(no, rule, &why)),
            Err(Unused::Gone(_)) => {}
        }
    }
    (references, refusals)
}

/// Sentences about declared references that say nothing of this database: its tables come and go, and
/// the rules are the same for all of them.
pub fn idle(rules: &[VirtualReference], facts: &KeyFacts) -> Vec<String> {
    let numbered = rules.iter().zip(1..);
    numbered
        .filter_map(|(rule, no)| match reference(rule, facts) {
            Err(Unused::Gone(why)) => Some(sentence(no, rule, &why)),
            _ => None,
        })
        .collect()
}

fn sentence(no: usize, rule: &VirtualReference, why: &str) -> String {
    format!("reference {no}, from {} to {}: {why}", rule.from, rule.to)
}

fn reference(rule: &VirtualReference, facts: &KeyFacts) -> Result<Reference, Unused> {
    let (child, child_columns) = side(&rule.from, "from", facts)?;
    let (parent, parent_columns) = side(&rule.to, "to", facts)?;
    if child_columns.len() != parent_columns.len() {
        return Err(Unused::Refused(
            "both sides need as many columns".to_owned(),
        ));
    }
    let condition = match &rule.when {
        None => None,
        // Without its condition it would lead elsewhere.
        Some(when) => Some(condition_of(when, &child, facts).ok_or_else(|| {
            Unused::Refused(format!("there is no column {} in {child}", when.column))
        })?),
    };
    Ok(Reference {
        name: format!("{} → {}", rule.from, rule.to),
        child,
        child_columns,
        parent,
        parent_columns,
        is_full: false,
        condition,
        is_declared: true,
        is_period: false,
    })
}

fn side(text: &str, key: &str, facts: &KeyFacts) -> Result<(QualifiedName, Vec<String>), Unused> {
    let (table, columns) = columns_named(text).ok_or_else(|| {
        Unused::Refused(format!("`{key}` is not written as schema.table(column)"))
    })?;
    if !facts.tables.contains_key(&table) {
        return Err(Unused::Gone(format!("there is no table {table}")));
    }
    if let Some(missing) = columns
        .iter()
        .find(|column| facts.column(&table, column).is_none())
    {
        return Err(Unused::Gone(format!(
            "there is no column {missing} in {table}"
        )));
    }
    if columns.iter().collect::<BTreeSet<_>>().len() != columns.len() {
        return Err(Unused::Refused("a column is named twice".to_owned()));
    }
    Ok((table, columns))
}

/// The condition of a reference as SQL over a table's columns; nothing where the column is not there.
pub fn condition_of(
    condition: &Condition,
    table: &QualifiedName,
    facts: &KeyFacts,
) -> Option<String> {
    let column = facts.column(table, &condition.column)?;
    Some(condition_sql(condition, &column.base_type))
}

/// A condition as SQL over the table's columns. Compares the text form, which is not what a cast to
/// text gives for every type: booleans are `t` and `f`. What means nothing to a type is left out, as
/// masks leave it out: blanks behind a `character`, and the case of a `citext`.
fn condition_sql(condition: &Condition, base_type: &str) -> String {
    let column = quote_identifier(&condition.column);
    let is_padded = ["character", "bpchar"]
        .iter()
        .any(|name| base_type == *name || base_type.starts_with(&format!("{name}(")));
    let plain = match base_type.ends_with("citext") {
        true => "lower",
        false if is_padded => "rtrim",
        false => "",
    };
    let plain = |text: String| match plain {
        "" => text,
        function => format!("pg_catalog.{function}({text})"),
    };
    let listed = |values: &[String]| {
        let values: Vec<String> = values
            .iter()
            .map(|value| plain(quote_literal(value)))
            .collect();
        format!("array[{}]::pg_catalog.text[]", values.join(", "))
    };
    let text = plain(format!("pg_catalog.format('%s', {column})"));
    let mut parts = Vec::new();
    if let Some(values) = &condition.is {
        parts.push(format!(
            "({column} is not null and {text} = any ({}))",
            listed(values)
        ));
    }
    if let Some(values) = &condition.is_not {
        parts.push(format!(
            "({column} is null or {text} <> all ({}))",
            listed(values)
        ));
    }
    match condition.is_null {
        Some(true) => parts.push(format!("{column} is null")),
        Some(false) => parts.push(format!("{column} is not null")),
        None => {}
    }
    match parts.is_empty() {
        true => "true".to_owned(),
        false => parts.join(" and "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_of_what_means_something_to_a_type() {
        let condition = Condition {
            column: "k".to_owned(),
            is: Some(vec!["DE ".to_owned()]),
            ..Condition::default()
        };
        for (base_type, text, value) in [
            ("text", "pg_catalog.format('%s', \"k\")", "'DE '"),
            (
                "character(3)",
                "pg_catalog.rtrim(pg_catalog.format('%s', \"k\"))",
                "pg_catalog.rtrim('DE ')",
            ),
            (
                "character varying(3)",
                "pg_catalog.format('%s', \"k\")",
                "'DE '",
            ),
            (
                "extensions.citext",
                "pg_catalog.lower(pg_catalog.format('%s', \"k\"))",
                "pg_catalog.lower('DE ')",
            ),
        ] {
            assert_eq!(
                condition_sql(&condition, base_type),
                format!("(\"k\" is not null and {text} = any (array[{value}]::pg_catalog.text[]))")
            );
        }
    }

    #[test]
    fn names_are_as_the_catalog_has_them() {
        let named = |text| table_named(text);
        let of = |schema: &str, name: &str| Some(QualifiedName::new(schema, name));
        assert_eq!(named("orders"), of("public", "orders"));
        assert_eq!(named(" app.Orders "), of("app", "Orders"));
        assert_eq!(
            named(r#""App Data" . "weird ""t"".x""#),
            of("App Data", r#"weird "t".x"#)
        );
        for bad in ["", "a.b.c", "a b", "\"a", "a.", ".a", "\"\"", "a(b)"] {
            assert_eq!(named(bad), None, "{bad}");
        }
        assert_eq!(
            columns_named("notes(author, \"a, b\")"),
            Some((
                QualifiedName::new("public", "notes"),
                vec!["author".to_owned(), "a, b".to_owned()]
            ))
        );
        assert_eq!(columns_named("notes()"), None);
        assert_eq!(
            leading_table("a.b = 1"),
            Some((QualifiedName::new("a", "b"), " = 1"))
        );
    }
}
