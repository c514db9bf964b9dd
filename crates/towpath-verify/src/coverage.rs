//! Whether the export covers what the schema promises: a table that nobody planned, or a column that
//! nobody copied, is in no digest and would be missed in silence.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use towpath_model::QualifiedName;
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::structure::{ObjectKind, SchemaObject, Structure};
use towpath_model::verification::Difference;

/// Tables and columns of the expected structure that the plan leaves out, and tables whose slices
/// leave rows out.
pub(crate) fn check(plan: &Plan, expected: &Structure) -> Vec<Difference> {
    let planned: HashMap<&QualifiedName, &PlannedTable> = plan
        .tables
        .iter()
        .map(|table| (&table.name, table))
        .collect();
    let mut gaps = Vec::new();
    for object in expected
        .objects
        .values()
        .filter(|object| holds_rows(object))
    {
        let Some(schema) = &object.id.schema else {
            continue;
        };
        let name = QualifiedName::new(schema, &object.id.name);
        let missing = match planned.get(&name) {
            None => Some("it is not in the export".to_owned()),
            Some(table) => missing_column(object, table),
        };
        gaps.extend(missing.map(|reason| Difference::TableUnreadable {
            table: name,
            reason,
        }));
    }
    let has_objects = expected
        .objects
        .keys()
        .any(|id| id.kind == ObjectKind::LargeObject);
    if has_objects && plan.tables.iter().all(|table| table.rows.is_table()) {
        gaps.push(Difference::TableUnreadable {
            table: QualifiedName::new("pg_catalog", "pg_largeobject"),
            reason: "large objects are not in the export".to_owned(),
        });
    }
    for table in plan
        .tables
        .iter()
        .filter(|table| !table.covers_everything())
    {
        let reason = "the slices of its export leave rows out".to_owned();
        gaps.push(Difference::TableUnreadable {
            table: table.name.clone(),
            reason,
        });
    }
    gaps
}

/// Partitioned tables hold no rows of their own; members of extensions bring theirs.
fn holds_rows(object: &SchemaObject) -> bool {
    object.id.kind == ObjectKind::Table
        && object.extension.is_none()
        && object
            .aspects
            .get("partition_key")
            .is_none_or(Value::is_null)
}

fn missing_column(object: &SchemaObject, table: &PlannedTable) -> Option<String> {
    let copied: BTreeSet<&str> = table.columns.iter().map(String::as_str).collect();
    let columns = object.aspects.get("columns")?.as_array()?;
    let is_stored = |column: &&Value| column.get("generated").is_none_or(Value::is_null);
    columns
        .iter()
        .filter(is_stored)
        .filter_map(|column| column.get("name")?.as_str())
        .find(|name| !copied.contains(name))
        .map(|name| format!("column {name} is not in the export"))
}
