use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clone_rules::VirtualReference;
use crate::keys::{declared, idle};
use crate::masking::Condition;
use crate::structure::ObjectId;

fn object(id: ObjectId, aspects: Value) -> SchemaObject {
    let aspects: BTreeMap<String, Value> = serde_json::from_value(aspects).unwrap();
    SchemaObject {
        id,
        oid: 0,
        owner: None,
        extension: None,
        comment: None,
        grants: Default::default(),
        aspects: aspects.into(),
    }
}

fn table_of(schema: &str, name: &str, aspects: Value) -> SchemaObject {
    object(ObjectId::of(ObjectKind::Table, schema, name), aspects)
}

fn columns(names: &[&str]) -> Value {
    let columns = names
        .iter()
        .map(|name| json!({"name": name, "type": "text"}));
    json!({ "columns": columns.collect::<Vec<_>>() })
}

fn constraint_of(table: &str, name: &str, kind: &str, definition: &str) -> SchemaObject {
    object(
        ObjectId::on(ObjectKind::Constraint, "public", table, name),
        json!({"type": kind, "definition": definition}),
    )
}

fn of(objects: Vec<SchemaObject>) -> KeyFacts {
    KeyFacts::of(&Structure::new(objects))
}

#[test]
fn types_are_looked_through() {
    let domain = |name: &str, below: &str, not_null: bool, check: &str| {
        object(
            ObjectId::of(ObjectKind::Domain, "public", name),
            json!({
                "type": below, "not_null": not_null,
                "constraints": [{"name": format!("{name}_check"), "definition": check}],
            }),
        )
    };
    let facts = of(vec![
        domain(
            "Short Name",
            "character varying(20)",
            true,
            "CHECK ((length((VALUE)::text) > 1))",
        ),
        domain(
            "shorter",
            "public.\"Short Name\"",
            false,
            "CHECK (((VALUE)::text <> 'VALUE'::text))",
        ),
        domain(
            "tags",
            "public.shorter[]",
            false,
            "CHECK ((cardinality(VALUE) < 9)) NOT VALID",
        ),
        object(
            ObjectId::of(ObjectKind::Type, "app", "mood"),
            json!({"kind": "enum", "labels": ["a"]}),
        ),
        table_of(
            "public",
            "t",
            json!({"columns": [
                {"name": "plain", "type": "numeric(10,2)", "not_null": true, "comment": "c"},
                {"name": "of \"it\"", "type": "public.shorter"},
                {"name": "tags", "type": "public.tags"},
                {"name": "mood", "type": "app.mood"},
                {"name": "moods", "type": "app.mood[]"},
                {"name": "sum", "type": "integer", "generated": "lower((\"of \"\"it\"\"\" || plain))", "generated_kind": "stored"},
            ]}),
        ),
    ]);
    let name = QualifiedName::new("public", "t");
    let columns = &facts.tables[&name].columns;
    assert_eq!(columns[3].labels, ["a"]);
    assert_eq!(columns[5].computed_of, ["plain", "of \"it\""]);
    assert!(
        columns[..5]
            .iter()
            .all(|column| column.computed_of.is_empty())
    );
    let base: Vec<(&str, bool, bool)> = facts.tables[&name]
        .columns
        .iter()
        .map(|it| (it.base_type.as_str(), it.not_null, it.generated))
        .collect();
    assert_eq!(
        base,
        [
            ("numeric(10,2)", true, false),
            ("character varying(20)", true, false),
            ("character varying(20)[]", false, false),
            ("enum", false, false),
            ("enum[]", false, false),
            ("integer", false, true),
        ]
    );
    let checks: Vec<(&str, &str)> = facts
        .checks
        .iter()
        .map(|it| (it.columns[0].as_str(), it.expression.as_str()))
        .collect();
    assert_eq!(
        checks,
        [
            ("of \"it\"", r#"(length(("of ""it""")::text) > 1)"#),
            ("of \"it\"", r#"(("of ""it""")::text <> 'VALUE'::text)"#),
            ("tags", r#"(cardinality("tags") < 9)"#),
        ]
    );
}

#[test]
fn keys_are_told_from_their_definitions() {
    let facts = of(vec![
        table_of("public", "p", columns(&["x", "y", "note"])),
        table_of(
            "public",
            "c",
            columns(&["a", "b", "during", "lower", "flag", "extra"]),
        ),
        constraint_of(
            "p",
            "p_pkey",
            "primary key",
            "PRIMARY KEY (x, y) INCLUDE (note)",
        ),
        constraint_of(
            "c",
            "c_u",
            "unique",
            "UNIQUE NULLS NOT DISTINCT (b) DEFERRABLE",
        ),
        constraint_of("c", "c_o", "unique", "UNIQUE (a, during WITHOUT OVERLAPS)"),
        constraint_of(
            "c",
            "c_x",
            "exclude",
            "EXCLUDE USING gist (a WITH =, COALESCE(during, b) WITH &&) WHERE ((flag IS NULL))",
        ),
        constraint_of(
            "c",
            "c_fk",
            "foreign key",
            "FOREIGN KEY (a, b) REFERENCES public.p(x, y) MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL (a) NOT VALID",
        ),
        constraint_of(
            "c",
            "c_period",
            "foreign key",
            "FOREIGN KEY (a, PERIOD during) REFERENCES public.p(x, PERIOD y)",
        ),
        constraint_of(
            "c",
            "c_z",
            "foreign key",
            "FOREIGN KEY (period, a) REFERENCES public.p(period, x)",
        ),
        constraint_of(
            "c",
            "c_check",
            "check",
            "CHECK (((a <> ')'::text) AND (lower(b) = b))) NO INHERIT NOT VALID",
        ),
        object(
            ObjectId::on(ObjectKind::Index, "public", "c", "c_i"),
            json!({"definition": "CREATE UNIQUE INDEX \"c_i (\" ON public.c USING btree (lower(extra), ((a || b))) INCLUDE (during) NULLS NOT DISTINCT WHERE (NOT (flag = 'x'::text))"}),
        ),
        object(
            ObjectId::on(ObjectKind::Index, "public", "c", "c_plain"),
            json!({"definition": "CREATE INDEX c_plain ON public.c USING btree (a)"}),
        ),
    ]);
    let uniques: Vec<(&str, Vec<&str>, bool, bool)> = facts
        .uniques
        .iter()
        .map(|key| {
            let columns = key.columns.iter().map(String::as_str).collect();
            (
                key.name.as_str(),
                columns,
                key.is_exclusion,
                key.nulls_are_equal,
            )
        })
        .collect();
    assert_eq!(
        uniques,
        [
            // `lower` is a column here, too: rather one too many.
            ("c_i", vec!["a", "b", "lower", "flag", "extra"], false, true),
            ("c_o", vec!["a", "during"], true, false),
            ("c_u", vec!["b"], false, true),
            ("c_x", vec!["a", "b", "during", "flag"], true, false),
            ("p_pkey", vec!["x", "y"], false, false),
        ]
    );
    let within: Vec<&str> = facts.uniques[0].within.iter().map(String::as_str).collect();
    assert_eq!(within, ["a", "b", "lower", "flag", "extra"]);
    assert!(facts.uniques[2].within.is_empty());
    let fk = &facts.references[0];
    assert_eq!((fk.name.as_str(), fk.is_full), ("c_fk", true));
    assert_eq!(fk.child_columns, ["a", "b"]);
    assert_eq!(fk.parent_columns, ["x", "y"]);
    assert_eq!(fk.parent, QualifiedName::new("public", "p"));
    assert_eq!(facts.references[1].child_columns, ["a", "during"]);
    assert_eq!(facts.references[1].parent_columns, ["x", "y"]);
    let periods: Vec<bool> = facts.references.iter().map(|it| it.is_period).collect();
    assert_eq!(periods, [false, true, false], "a column is called so");
    assert_eq!(facts.references[2].child_columns, ["period", "a"]);
    assert_eq!(facts.checks[0].columns, ["a", "b", "lower"]);
    assert_eq!(
        facts.checks[0].expression,
        "((a <> ')'::text) AND (lower(b) = b))"
    );
}

#[test]
fn partitions_have_their_parents_and_no_keys_twice() {
    let copy = |id: ObjectId, kind: &str, definition: &str| {
        object(
            id,
            json!({"type": kind, "definition": definition, "inherited": true, "parent": "public.e e_fk"}),
        )
    };
    let on = |name: &str| ObjectId::on(ObjectKind::Constraint, "public", "Part 1", name);
    let mut root = columns(&["at", "id", "range"]);
    root["partition_key"] = json!("RANGE (at, date_trunc('day'::text, id))");
    let mut middle = columns(&["at", "id"]);
    middle["partition_key"] = json!("LIST (id)");
    middle["partition_of"] = json!("public.e");
    let mut leaf = columns(&["at", "id"]);
    leaf["partition_of"] = json!("public.\"Part 1\"");
    let mut heir = columns(&["at"]);
    heir["inherits"] = json!(["public.leaf", "app.\"x.y\""]);
    let facts = of(vec![
        table_of("public", "e", root),
        table_of("public", "Part 1", middle),
        table_of("public", "leaf", leaf),
        table_of("public", "heir", heir),
        constraint_of(
            "e",
            "e_fk",
            "foreign key",
            "FOREIGN KEY (id) REFERENCES public.u(id)",
        ),
        copy(
            on("e_fk"),
            "foreign key",
            "FOREIGN KEY (id) REFERENCES public.u(id)",
        ),
        copy(on("e_pkey"), "primary key", "PRIMARY KEY (id)"),
        object(
            ObjectId::on(ObjectKind::Index, "public", "leaf", "i"),
            json!({"definition": "CREATE UNIQUE INDEX i ON public.leaf USING btree (id)", "attached_to": "public.i"}),
        ),
    ]);
    let parents = |name: &str| {
        facts.tables[&QualifiedName::new("public", name)]
            .parents
            .clone()
    };
    let public = |name: &str| QualifiedName::new("public", name);
    assert_eq!(parents("leaf"), [public("Part 1"), public("e")]);
    assert_eq!(
        parents("heir"),
        [
            public("leaf"),
            QualifiedName::new("app", "x.y"),
            public("Part 1"),
            public("e")
        ]
    );
    let root = &facts.tables[&public("e")];
    assert!(root.is_partitioned && root.partition_columns == ["at", "id"]);
    assert_eq!(facts.references.len(), 1);
    assert!(facts.uniques.is_empty());
}

#[test]
fn declared_references_are_looked_up() {
    let facts = of(vec![
        table_of("public", "users", columns(&["id"])),
        table_of("app", "Notes", columns(&["author", "kind"])),
    ]);
    let rule = |from: &str, to: &str, when: Option<&str>| VirtualReference {
        from: from.to_owned(),
        to: to.to_owned(),
        when: when.map(|column| Condition {
            column: column.to_owned(),
            is: Some(vec!["it's".to_owned()]),
            ..Condition::default()
        }),
    };
    let rules = [
        rule("app.Notes(author)", "users(id)", Some("kind")),
        rule("app.notes(author)", "users(id)", None),
        rule("app.Notes(author, kind)", "users(id)", None),
        rule("app.Notes(author)", "users", None),
        rule("app.Notes(author)", "users(id)", Some("sort")),
    ];
    let (found, refused) = declared(&rules, &facts);
    assert_eq!(found.len(), 1);
    assert!(found[0].is_declared);
    assert_eq!(
        found[0].condition.as_deref(),
        Some(
            r#"("kind" is not null and pg_catalog.format('%s', "kind") = any (array['it''s']::pg_catalog.text[]))"#
        )
    );
    // Tables come and go.
    let gone = idle(&rules, &facts);
    assert_eq!(gone.len(), 1);
    assert!(gone[0].contains("no table app.notes"), "{gone:?}");
    assert_eq!(refused.len(), 3);
    for (sentence, why) in
        refused
            .iter()
            .zip(["as many columns", "not written as", "no column sort"])
    {
        assert!(sentence.contains(why), "{sentence}");
    }
}

/// As the server quotes a name, but always.
fn quoted(name: &str) -> String {
    quote_identifier(name)
}

proptest! {
    #[test]
    fn hostile_names_survive_the_server_s_text(
        names in proptest::collection::btree_set("[a-zA-Z\"'(),.$ ;ä\\\\-]{1,12}", 4..7),
        table in "[a-z\"(. )]{1,9}",
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let own: Vec<&str> = names.iter().map(String::as_str).collect();
        let list = own.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let on = |kind, name: &str, aspects| {
            object(ObjectId::on(kind, "s (", &table, name), aspects)
        };
        let facts = of(vec![
            table_of("s (", &table, columns(&own)),
            on(ObjectKind::Constraint, "fk", json!({
                "type": "foreign key",
                "definition": format!(
                    "FOREIGN KEY ({list}) REFERENCES {}.{}({list}) MATCH FULL",
                    quoted("s ("), quoted(&table)
                ),
            })),
            on(ObjectKind::Constraint, "u", json!({
                "type": "unique", "definition": format!("UNIQUE ({list})"),
            })),
            on(ObjectKind::Index, "i", json!({
                "definition": format!(
                    "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({list})",
                    quoted(" USING ("), quoted("s ("), quoted(&table)
                ),
            })),
        ]);
        let name = QualifiedName::new("s (", &table);
        prop_assert_eq!(&facts.references[0].child_columns, &names);
        prop_assert_eq!(&facts.references[0].parent_columns, &names);
        prop_assert_eq!(&facts.references[0].parent, &name);
        prop_assert!(facts.references[0].is_full);
        for key in &facts.uniques {
            prop_assert_eq!(&key.columns, &names);
        }
        prop_assert_eq!(facts.uniques.len(), 2);
    }
}
