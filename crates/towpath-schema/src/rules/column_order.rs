//! The order of columns of tables that inherit.
//!
//! A table that was adopted (`alter table c inherit p`), or whose parent got a column later, has its
//! columns in an order that no CREATE TABLE makes: `INHERITS` puts those of the parents first, and
//! pg_dump leaves those to the parents that are not the child's own (`shouldPrintColumn` in
//! `pg_dump.c`, `MergeAttributes` in `tablecmds.c`). So it arrives in another order, and says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use towpath_model::convergence::quoted;
use towpath_model::name::{QualifiedName, readable};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};
use towpath_model::{ErrorKind, Failure, Result};

use super::Evidence;
use crate::decision::{Decisions, Verdict};

/// The id of this rule.
pub(crate) const RULE: &str = "column-order";

/// The aspect that changes.
pub(crate) const ASPECT: &str = "column_order";

/// Marks the tables whose columns come in another order.
///
/// # Errors
///
/// [`ErrorKind::Blocked`] when a table that goes stores rows of such a table: the text of a row has
/// its values by place, and would be read into other columns.
pub(super) fn decide(evidence: &Evidence<'_>, decisions: &mut Decisions) -> Result<()> {
    let moved: Vec<(&ObjectId, String)> = children(evidence)
        .filter(|child| child.extension.is_none() && decisions.is_replayed(&child.id))
        .filter_map(|child| {
            let (before, after) = (names(child), on_target(child, evidence)?);
            Some((&child.id, reason(&before, &after)))
        })
        .collect();
    refuse_stored_rows(&moved, evidence, decisions)?;
    for (child, reason) in moved {
        let Some(report) = decisions.report(child) else {
            continue;
        };
        let mut changed: Vec<&str> = report.changed.iter().map(String::as_str).collect();
        changed.push(ASPECT);
        let verdict = Verdict::rewritten(format!("{}; {reason}", report.reason), &changed);
        decisions.set(child, RULE, verdict);
    }
    Ok(())
}

/// The order that the target makes, when it is another one.
pub(crate) fn on_target(child: &SchemaObject, evidence: &Evidence<'_>) -> Option<Vec<String>> {
    child.aspects.get(ASPECT)?;
    let after = made(child, evidence);
    (after != names(child)).then(|| after.into_iter().map(str::to_owned).collect())
}

fn children<'e>(evidence: &Evidence<'e>) -> impl Iterator<Item = &'e SchemaObject> {
    let objects = evidence.structure.objects.values();
    objects.filter(|object| object.aspects.contains_key(ASPECT))
}

/// Columns as CREATE TABLE puts them: those of the parents, each once, then the child's own.
fn made<'e>(table: &'e SchemaObject, evidence: &Evidence<'e>) -> Vec<&'e str> {
    let own = || {
        let not_local: BTreeSet<&str> = columns(table)
            .filter(|column| column.get("local") == Some(&Value::Bool(false)))
            .filter_map(|column| column.get("name")?.as_str())
            .collect();
        let mut own = names(table);
        own.retain(|name| !not_local.contains(name));
        own
    };
    let parents = parents(table, evidence);
    if parents.is_empty() {
        return names(table);
    }
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    let inherited = parents.into_iter().flat_map(|it| made(it, evidence));
    for name in inherited.chain(own()) {
        if seen.insert(name) {
            order.push(name);
        }
    }
    order
}

fn parents<'e>(table: &SchemaObject, evidence: &Evidence<'e>) -> Vec<&'e SchemaObject> {
    let listed = table.aspects.get("inherits").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|name| relation(&quoted(name.as_str()?), evidence))
        .collect()
}

/// The table of this name, every part of it quoted.
fn relation<'e>(name: &str, evidence: &Evidence<'e>) -> Option<&'e SchemaObject> {
    let (schema, name) = unquoted(name)?;
    [ObjectKind::Table, ObjectKind::ForeignTable]
        .into_iter()
        .find_map(|kind| {
            let id = ObjectId::of(kind, &schema, &name);
            evidence.structure.objects.get(&id)
        })
}

fn unquoted(name: &str) -> Option<(String, String)> {
    let mut is_quoted = false;
    let dot = name.find(|character| {
        is_quoted ^= character == '"';
        character == '.' && !is_quoted
    })?;
    let bare = |part: &str| {
        let inner = part.strip_prefix('"')?.strip_suffix('"')?;
        Some(inner.replace("\"\"", "\""))
    };
    Some((bare(name.get(..dot)?)?, bare(name.get(dot + 1..)?)?))
}

fn columns(table: &SchemaObject) -> impl Iterator<Item = &Value> {
    let columns = table.aspects.get("columns").and_then(Value::as_array);
    columns.into_iter().flatten()
}

/// Columns as they are on the source.
fn names(table: &SchemaObject) -> Vec<&str> {
    match table.aspects.get(ASPECT).and_then(Value::as_array) {
        Some(order) => order.iter().filter_map(Value::as_str).collect(),
        None => columns(table)
            .filter_map(|column| column.get("name")?.as_str())
            .collect(),
    }
}

fn reason(before: &[&str], after: &[String]) -> String {
    let pairs = || before.iter().zip(after).map(|(was, is)| was == is);
    let begin = pairs().take_while(|same| *same).count();
    let end = before.len() - pairs().rev().take_while(|same| *same).count();
    let listed = |names: &mut dyn Iterator<Item = &str>| {
        let names: Vec<String> = names.map(readable).collect();
        names.join(", ")
    };
    format!(
        "from place {} its columns come as {}, not as {}, because INHERITS puts those of the parents first: \
         inserts and selects that do not name their columns, and functions that return its rows value by \
         value, mean other columns",
        begin + 1,
        listed(&mut after[begin..end].iter().map(String::as_str)),
        listed(&mut before[begin..end].iter().copied()),
    )
}

/// Tables that go and have a column of the row type of a table whose order changes, directly or
/// within arrays, composite types, domains, ranges and rows of other tables.
fn refuse_stored_rows(
    moved: &[(&ObjectId, String)],
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let qualified = |id: &ObjectId| {
        let schema = id.schema.as_deref().unwrap_or_default();
        QualifiedName::new(schema, &id.name).quoted()
    };
    let mut holding: BTreeMap<String, &ObjectId> = moved
        .iter()
        .map(|(child, _)| (qualified(child), *child))
        .collect();
    let mut refused = BTreeSet::new();
    loop {
        let known = holding.len();
        for object in evidence.structure.objects.values() {
            let Some(of) = types_in(object).find_map(|name| holding.get(&name).copied()) else {
                continue;
            };
            if object.id.kind == ObjectKind::Table && decisions.is_replayed(&object.id) {
                refused.insert(format!("{} stores rows of {of}", object.id));
            }
            holding.entry(qualified(&object.id)).or_insert(of);
        }
        if holding.len() == known {
            break;
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = refused.into_iter().collect();
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "rows are stored by the place of their columns, which changes on the target: {}",
            list.join("; ")
        ),
    )
    .hint("make the inheriting table anew on the source, with the columns of its parents first, or store its rows as jsonb"))
}

/// Types that a value of the object's type consists of, every part of a name quoted.
fn types_in(object: &SchemaObject) -> impl Iterator<Item = String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let fields = ["columns", "attributes"]
        .into_iter()
        .filter(|_| {
            matches!(
                object.id.kind,
                ObjectKind::Table | ObjectKind::ForeignTable | ObjectKind::Type
            )
        })
        .filter_map(|aspect| object.aspects.get(aspect)?.as_array())
        .flatten()
        .filter_map(move |field| text(field, "type"));
    let base = match object.id.kind {
        ObjectKind::Domain => object.aspects.get("type"),
        ObjectKind::Type => object.aspects.get("subtype"),
        _ => None,
    };
    let base = base.and_then(Value::as_str).map(str::to_owned);
    fields
        .chain(base)
        .map(|name| quoted(name.trim_end_matches("[]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_moves_is_listed() {
        let after: Vec<String> = ["a", "C d", "b", "e"].map(str::to_owned).into();
        let told = reason(&["a", "b", "C d", "e"], &after);
        assert!(
            told.starts_with(
                "from place 2 its columns come as \"C d\", b, not as b, \"C d\", because"
            ),
            "{told}"
        );
    }

    #[test]
    fn names_are_taken_apart() {
        let parts = |name: &str| unquoted(&quoted(name));
        let both = |schema: &str, name: &str| Some((schema.to_owned(), name.to_owned()));
        assert_eq!(parts("kinds.child"), both("kinds", "child"));
        assert_eq!(parts(r#""K. ""x""".child"#), both("K. \"x\"", "child"));
        assert_eq!(parts(r#"a."x"".""y""""#), both("a", "x\".\"y\""));
    }
}
