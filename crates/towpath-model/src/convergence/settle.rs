//! The value that an aspect has when the script has run over a target.

use serde_json::{Map, Value};

use super::{Convergence, Decided, decided, decided_of_column, is_default_grant};
use crate::script::Part;
use crate::structure::{Grant, ObjectKind, SchemaObject};

impl Convergence<'_> {
    /// What is found now, with everything put in that later statements of the script establish.
    pub(super) fn settled(
        &self,
        object: &SchemaObject,
        there: &SchemaObject,
        aspect: &str,
        expected: &Value,
        found: Value,
    ) -> Value {
        let settles = match decided(object.id.kind, aspect) {
            Decided::ByCreate => false,
            Decided::Later(initial) => {
                found == initial && !(aspect == "partition_of" && self.parent_is_indexed(object))
            }
            // The schema `public` comes with a comment of the server's.
            Decided::Overwritten(initial) => {
                *expected != initial
                    || (object.id.kind == ObjectKind::Schema && object.id.name == "public")
            }
            Decided::Stated(initial) => {
                // A view that is replaced gets its options with its definition.
                let replaced = object.id.kind == ObjectKind::View;
                self.is_stated(object, |part| {
                    part.aspect == aspect || (replaced && part.aspect == "definition")
                }) && (found == initial || is_placeholder(&object.id.kind, &found))
            }
            Decided::ByEntry => entries_are_expected(expected, &found),
            Decided::ByGrant => self.grants_are_expected(object, there),
            Decided::ByOwner => {
                self.owned.contains(&object.id) && found.as_str() == Some(self.login)
            }
            Decided::ByLastPartition => self.is_on_partitioned(object),
            Decided::ByValidation => {
                self.is_stated(object, |part| part.aspect == "validated")
                    && without_not_valid(expected) == without_not_valid(&found)
            }
            Decided::ByColumn => return self.settled_columns(object, there, expected, found),
            Decided::OfDomain => domain_constraints_settle(expected, &found),
            Decided::OfComposite => without_comments(expected) == without_comments(&found),
        };
        if settles { expected.clone() } else { found }
    }

    fn is_stated(&self, object: &SchemaObject, of: impl Fn(&Part) -> bool) -> bool {
        self.stated
            .get(&object.id)
            .is_some_and(|parts| parts.iter().any(|part| of(part)))
    }

    fn is_on_partitioned(&self, object: &SchemaObject) -> bool {
        super::holder(object, self.expectation.structure)
            .is_some_and(|table| table.aspects.contains_key("partition_key"))
    }

    /// Columns are paired by place, because the order is decided by CREATE too.
    fn settled_columns(
        &self,
        object: &SchemaObject,
        there: &SchemaObject,
        expected: &Value,
        mut found: Value,
    ) -> Value {
        let (Some(wanted), Some(columns)) = (expected.as_array(), found.as_array_mut()) else {
            return found;
        };
        let is_attached_later = object.aspects.contains_key("partition_of")
            && !there.aspects.contains_key("partition_of");
        for (wanted, column) in wanted.iter().zip(columns) {
            let (Some(wanted), Some(column)) = (wanted.as_object(), column.as_object_mut()) else {
                continue;
            };
            if wanted.get("name") == column.get("name") {
                self.settle_column(object, is_attached_later, wanted, column);
            }
        }
        found
    }

    fn settle_column(
        &self,
        object: &SchemaObject,
        is_attached_later: bool,
        wanted: &Map<String, Value>,
        column: &mut Map<String, Value>,
    ) {
        let name = wanted.get("name").and_then(Value::as_str);
        let mut fields: Vec<String> = wanted.keys().chain(column.keys()).cloned().collect();
        fields.sort();
        fields.dedup();
        for field in fields {
            let value = wanted.get(&field).cloned().unwrap_or_default();
            let there = column.get(&field).cloned().unwrap_or_default();
            let is_stated = || {
                self.is_stated(object, |part| {
                    part.aspect == "columns"
                        && part.of.as_deref() == name
                        && part.field.as_deref() == Some(field.as_str())
                })
            };
            let settles = match decided_of_column(&field) {
                Decided::Later(initial) => is_attached_later && there == initial,
                Decided::Overwritten(initial) => value != initial,
                // From 17 on partitions get the identity of their parent's column.
                Decided::Stated(initial) => {
                    there == initial && (is_stated() || (field == "identity" && is_attached_later))
                }
                _ => false,
            };
            if !settles {
                continue;
            }
            match wanted.get(&field) {
                Some(value) => column.insert(field, value.clone()),
                None => column.remove(&field),
            };
        }
    }

    fn grants_are_expected(&self, object: &SchemaObject, there: &SchemaObject) -> bool {
        let expected = |grant: &Grant| {
            object.grants.iter().any(|wanted| {
                wanted.grantable >= grant.grantable
                    && (&wanted.grantee, &wanted.privilege, &wanted.column)
                        == (&grant.grantee, &grant.privilege, &grant.column)
            })
        };
        // What a role was granted before the object was given to it is no grant afterwards.
        let of_owner = |grant: &Grant| {
            self.owned.contains(&object.id)
                && object.owner.as_ref() == Some(&grant.grantee)
                && object.owner != there.owner
        };
        there
            .grants
            .iter()
            .all(|grant| expected(grant) || of_owner(grant) || is_default_grant(&object.id, grant))
    }
}

/// pg_dump makes a view that is part of a circle of nothing but typed NULLs first.
fn is_placeholder(kind: &ObjectKind, found: &Value) -> bool {
    *kind == ObjectKind::View
        && found
            .as_str()
            .is_some_and(|text| text.trim_start().starts_with("SELECT NULL::"))
}

/// Whether everything that is there is expected. Values of settings are overwritten, and options of
/// memberships too.
fn entries_are_expected(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (_, Value::Null) => true,
        (Value::Object(expected), Value::Object(found)) => found
            .iter()
            .all(|(name, value)| expected.get(name) == Some(value)),
        (Value::Array(expected), Value::Array(found)) => {
            let role = |entry: &Value| entry.get("role").cloned();
            found.iter().all(|entry| {
                expected.iter().any(|wanted| {
                    wanted == entry || (role(entry).is_some() && role(wanted) == role(entry))
                })
            })
        }
        _ => false,
    }
}

fn without_not_valid(definition: &Value) -> Option<&str> {
    let text = definition.as_str()?;
    Some(text.strip_suffix(" NOT VALID").unwrap_or(text))
}

fn without_comments(list: &Value) -> Value {
    let mut list = list.clone();
    for entry in list.as_array_mut().into_iter().flatten() {
        if let Some(fields) = entry.as_object_mut() {
            fields.remove("comment");
        }
    }
    list
}

/// Constraints that were never validated have statements of their own.
fn domain_constraints_settle(expected: &Value, found: &Value) -> bool {
    let expected = without_comments(expected);
    let found = without_comments(found);
    let (Some(expected), Some(found)) = (expected.as_array(), found.as_array()) else {
        return false;
    };
    let is_late = |constraint: &Value| constraint.get("validated") == Some(&Value::Bool(false));
    found.iter().all(|constraint| expected.contains(constraint))
        && expected
            .iter()
            .all(|constraint| found.contains(constraint) || is_late(constraint))
}

fn value<'o>(object: &'o SchemaObject, part: &Part) -> Option<&'o Value> {
    object.aspects.get(&part.aspect)
}

fn entry<'v>(list: &'v Value, name: &str) -> Option<&'v Value> {
    match list {
        Value::Object(fields) => fields.get(name),
        Value::Array(entries) => entries.iter().find(|entry| match entry {
            Value::String(text) => text == name || quoted(text) == name,
            _ => [("name", false), ("table", true)]
                .iter()
                .any(|(field, is_relation)| {
                    let text = entry.get(field).and_then(Value::as_str);
                    text.is_some_and(|text| text == name || (*is_relation && quoted(text) == name))
                }),
        }),
        _ => None,
    }
}

/// A relation as the server writes it, every part quoted: `public."order"` is `"public"."order"`.
pub fn quoted(relation: &str) -> String {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for character in relation.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|part| match part.starts_with('"') {
            true => part,
            false => format!("\"{part}\""),
        })
        .collect();
    parts.join(".")
}

fn part_value<'o>(part: &Part, object: &'o SchemaObject) -> Option<&'o Value> {
    let mut found = value(object, part)?;
    if let Some(of) = &part.of {
        found = entry(found, of)?;
    }
    if let Some(field) = &part.field {
        found = found.get(field)?;
    }
    (!found.is_null()).then_some(found)
}

/// Whether a part is there.
pub(super) fn has_part(part: &Part, found: &SchemaObject) -> bool {
    match part_value(part, found) {
        None => false,
        Some(Value::Array(entries)) => !entries.is_empty(),
        Some(_) => true,
    }
}

/// Whether a part is what it should be.
pub(super) fn same_part(part: &Part, expected: &SchemaObject, found: &SchemaObject) -> bool {
    part_value(part, expected) == part_value(part, found)
}
