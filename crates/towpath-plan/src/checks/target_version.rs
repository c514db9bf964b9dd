//! A dump of a newer server does not load into an older one.

use serde_json::Value;
use towpath_model::plan::CheckResult;
use towpath_model::structure::{ObjectKind, SchemaObject, Structure};

use super::{Facts, fail, pass, some_of, warn};

const CHECK: &str = "target-version";

/// The newest version that pairs were tried with.
const NEWEST_TRIED: u32 = 18;

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    let (source, target) = (facts.source.major(), facts.target.major());
    if target < source {
        return fail(
            CHECK,
            format!(
                "the target is PostgreSQL {target}, the source is {source}; {}",
                lost(&facts.schema.expected, source, target)
            ),
            format!("create the RDS instance with PostgreSQL {source} or newer"),
        );
    }
    if target > NEWEST_TRIED {
        return warn(
            CHECK,
            format!(
                "PostgreSQL {source} to {target}, and nothing newer than {NEWEST_TRIED} was tried"
            ),
            format!("create the RDS instance with PostgreSQL {NEWEST_TRIED}, or rehearse first"),
        );
    }
    pass(CHECK, format!("PostgreSQL {source} to {target}"))
}

/// What of the structure that goes an older server does not know.
fn lost(structure: &Structure, source: u32, target: u32) -> String {
    let lost: Vec<String> = FEATURES
        .iter()
        .filter(|feature| feature.since > target && feature.since <= source)
        .filter_map(|feature| {
            let objects: Vec<_> = structure
                .objects
                .values()
                // What an extension brings is of the extension's version there.
                .filter(|object| object.extension.is_none() && (feature.is_in)(object))
                .map(|object| &object.id)
                .collect();
            (!objects.is_empty()).then(|| format!("{} ({})", feature.name, some_of(&objects)))
        })
        .collect();
    if lost.is_empty() {
        return "nothing that we look for would be lost, but an older server may read the same words otherwise"
            .to_owned();
    }
    format!("it would lose {}", lost.join("; "))
}

/// Something that servers know from a major version on. The versions are those of the release
/// notes of PostgreSQL 14 to 18.
struct Feature {
    since: u32,
    name: &'static str,
    is_in: fn(&SchemaObject) -> bool,
}

const FEATURES: [Feature; 22] = [
    Feature {
        since: 14,
        name: "multiranges",
        is_in: |it| {
            !it.aspects.get("multirange").is_none_or(Value::is_null) || has_type(it, "multirange")
        },
    },
    Feature {
        since: 14,
        name: "function bodies of standard SQL",
        is_in: |it| {
            it.id.kind == ObjectKind::Function && text(it, "body").starts_with("BEGIN ATOMIC")
        },
    },
    Feature {
        since: 14,
        name: "compression methods of columns",
        is_in: |it| columns(it).any(|column| column.get("compression").is_some()),
    },
    Feature {
        since: 15,
        name: "unique constraints with NULLS NOT DISTINCT",
        is_in: |it| defines(it, "NULLS NOT DISTINCT"),
    },
    Feature {
        since: 15,
        name: "views that ask as their callers (security_invoker)",
        is_in: |it| {
            it.id.kind == ObjectKind::View
                && has_option(it, "security_invoker=", &["true", "on", "1", "yes"])
        },
    },
    Feature {
        since: 15,
        name: "publications of schemas, columns or chosen rows",
        is_in: |it| it.id.kind == ObjectKind::Publication && is_narrow(it),
    },
    Feature {
        since: 15,
        name: "unlogged sequences",
        is_in: |it| it.id.kind == ObjectKind::Sequence && text(it, "persistence") == "unlogged",
    },
    Feature {
        since: 15,
        name: "privileges on settings",
        is_in: |it| it.id.kind == ObjectKind::Parameter,
    },
    Feature {
        since: 16,
        name: "memberships that do not inherit, or may not switch",
        is_in: |it| it.id.kind == ObjectKind::Role && has_options(it),
    },
    Feature {
        since: 16,
        name: "collations with rules",
        is_in: |it| it.id.kind == ObjectKind::Collation && !text(it, "rules").is_empty(),
    },
    Feature {
        since: 16,
        name: "constructors and tests of JSON",
        is_in: |it| {
            [
                "JSON_OBJECT(",
                "JSON_ARRAY(",
                "JSON_OBJECTAGG(",
                "JSON_ARRAYAGG(",
                " IS JSON",
            ]
            .iter()
            .any(|word| says(it, word))
        },
    },
    Feature {
        since: 16,
        name: "SYSTEM_USER",
        is_in: |it| says(it, "SYSTEM_USER"),
    },
    Feature {
        since: 17,
        name: "the privilege MAINTAIN",
        is_in: |it| it.grants.iter().any(|grant| grant.privilege == "MAINTAIN"),
    },
    Feature {
        since: 17,
        name: "JSON_TABLE and the query functions of JSON",
        is_in: |it| {
            ["JSON_TABLE(", "JSON_VALUE(", "JSON_QUERY(", "JSON_EXISTS("]
                .iter()
                .any(|word| says(it, word))
        },
    },
    Feature {
        since: 17,
        name: "collations of the builtin provider",
        is_in: |it| it.id.kind == ObjectKind::Collation && text(it, "provider") == "builtin",
    },
    Feature {
        since: 17,
        name: "identity columns that partitions inherit",
        is_in: |it| {
            it.id.kind == ObjectKind::Table
                && !text(it, "partition_key").is_empty()
                && columns(it).any(|column| column.get("identity").is_some())
        },
    },
    Feature {
        since: 17,
        name: "event triggers at login",
        is_in: |it| it.id.kind == ObjectKind::EventTrigger && text(it, "event") == "login",
    },
    Feature {
        since: 18,
        name: "virtual generated columns",
        is_in: |it| {
            columns(it).any(|column| {
                column.get("generated_kind").and_then(Value::as_str) == Some("virtual")
            })
        },
    },
    Feature {
        since: 18,
        name: "constraints over periods (WITHOUT OVERLAPS, PERIOD)",
        is_in: |it| defines(it, "WITHOUT OVERLAPS") || defines(it, "PERIOD "),
    },
    Feature {
        since: 18,
        name: "constraints that are not enforced",
        is_in: |it| defines(it, "NOT ENFORCED"),
    },
    Feature {
        since: 18,
        name: "NOT NULL with a comment, for this table only, or not validated",
        is_in: |it| {
            columns(it).any(|column| {
                [
                    "not_null_validated",
                    "not_null_inherited",
                    "not_null_comment",
                ]
                .iter()
                .any(|aspect| column.get(aspect).is_some())
            })
        },
    },
    Feature {
        since: 18,
        name: "publications of generated columns",
        is_in: |it| {
            it.id.kind == ObjectKind::Publication && !text(it, "generated_columns").is_empty()
        },
    },
];

fn text<'o>(object: &'o SchemaObject, aspect: &str) -> &'o str {
    object
        .aspects
        .get(aspect)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn columns(object: &SchemaObject) -> impl Iterator<Item = &Value> {
    let columns = object.aspects.get("columns").and_then(Value::as_array);
    columns.into_iter().flatten()
}

/// Whether a constraint, or an index, is defined by these words.
fn defines(object: &SchemaObject, words: &str) -> bool {
    let is_definition = matches!(object.id.kind, ObjectKind::Constraint | ObjectKind::Index);
    is_definition && text(object, "definition").contains(words)
}

fn has_option(object: &SchemaObject, option: &str, values: &[&str]) -> bool {
    let options = object.aspects.get("options").and_then(Value::as_array);
    options.into_iter().flatten().any(|given| {
        given
            .as_str()
            .and_then(|given| given.strip_prefix(option))
            .is_some_and(|value| values.contains(&value.to_lowercase().as_str()))
    })
}

fn has_type(object: &SchemaObject, word: &str) -> bool {
    columns(object).any(|column| {
        column
            .get("type")
            .and_then(Value::as_str)
            .is_some_and(|type_name| type_name.contains(word))
    })
}

fn is_narrow(publication: &SchemaObject) -> bool {
    let list = |aspect| {
        let list = publication.aspects.get(aspect).and_then(Value::as_array);
        list.into_iter().flatten()
    };
    list("schemas").next().is_some()
        || list("tables")
            .any(|table| table.get("columns").is_some() || table.get("where").is_some())
}

/// A membership whose options an older server cannot express: it inherits as its member does.
fn has_options(role: &SchemaObject) -> bool {
    let inherits = role.aspects.get("inherit").and_then(Value::as_bool);
    let memberships = role.aspects.get("memberships").and_then(Value::as_array);
    memberships.into_iter().flatten().any(|membership| {
        let option = |name| membership.get(name).and_then(Value::as_bool);
        option("set") == Some(false)
            || option("inherit").is_some_and(|option| Some(option) != inherits)
    })
}

/// Whether some text of the object says this. The server writes keywords in capitals; in the body
/// of a function they are as the user wrote them.
fn says(object: &SchemaObject, words: &str) -> bool {
    fn in_value(value: &Value, words: &str) -> bool {
        match value {
            Value::String(text) => text.contains(words),
            Value::Array(items) => items.iter().any(|item| in_value(item, words)),
            Value::Object(fields) => fields.values().any(|field| in_value(field, words)),
            _ => false,
        }
    }
    let body = text(object, "body");
    object
        .aspects
        .iter()
        .any(|(aspect, value)| aspect != "body" && in_value(value, words))
        || body.to_uppercase().contains(words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use towpath_model::structure::{Grant, ObjectId};

    use super::*;

    fn object(id: ObjectId, aspects: Value) -> SchemaObject {
        SchemaObject {
            id,
            oid: 1,
            owner: None,
            extension: None,
            comment: None,
            grants: BTreeSet::new(),
            aspects: serde_json::from_value(aspects).unwrap(),
        }
    }

    fn structure() -> Structure {
        let table = |name: &str| ObjectId::of(ObjectKind::Table, "public", name);
        let mut maintained = object(table("maintained"), json!({"columns": []}));
        maintained.grants.insert(Grant {
            grantee: "anon".to_owned(),
            privilege: "MAINTAIN".to_owned(),
            column: None,
            grantable: false,
        });
        Structure::new([
            maintained,
            object(
                table("computed"),
                json!({"columns": [{"name": "b", "generated_kind": "virtual"}]}),
            ),
            object(
                ObjectId::on(ObjectKind::Constraint, "public", "slots", "slots_key"),
                json!({"definition": "UNIQUE NULLS NOT DISTINCT (slot)"}),
            ),
            object(
                ObjectId::of(ObjectKind::View, "public", "mine"),
                json!({"definition": "SELECT 1", "options": ["security_invoker=TRUE"]}),
            ),
            object(
                ObjectId::of(ObjectKind::Function, "public", "rows").with_args(""),
                json!({"body": "select * from json_table('{}', '$' columns (a int))"}),
            ),
            object(
                ObjectId::global(ObjectKind::Role, "app"),
                json!({"inherit": true, "memberships": [{"role": "r", "set": false}]}),
            ),
            object(
                table("plain"),
                json!({"columns": [{"name": "a", "type": "integer"}]}),
            ),
        ])
    }

    #[test]
    fn what_an_older_server_does_not_know_is_named_by_object() {
        let structure = structure();
        let to_16 = lost(&structure, 17, 16);
        assert!(
            to_16.contains("MAINTAIN (table public.maintained)"),
            "{to_16}"
        );
        assert!(
            to_16.contains("JSON_TABLE") && to_16.contains("public.rows"),
            "{to_16}"
        );
        assert!(
            !to_16.contains("virtual") && !to_16.contains("NULLS NOT DISTINCT"),
            "{to_16}"
        );
        let to_15 = lost(&structure, 17, 15);
        assert!(to_15.contains("may not switch (role app)"), "{to_15}");
        let to_14 = lost(&structure, 18, 14);
        for object in ["slots_key", "public.mine", "public.computed"] {
            assert!(to_14.contains(object), "{object}: {to_14}");
        }
        assert!(!to_14.contains("public.plain"), "{to_14}");
    }

    #[test]
    fn nothing_to_lose_is_said_too() {
        let plain = ObjectId::of(ObjectKind::Table, "public", "plain");
        let structure = Structure::new([object(plain, json!({"columns": []}))]);
        assert!(lost(&structure, 17, 15).starts_with("nothing"));
    }
}
