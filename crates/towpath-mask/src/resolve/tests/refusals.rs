//! What the database would bear and the rules did not mean: refused, or told.

use super::*;

#[test]
fn a_condition_that_holds_in_no_row_is_refused() {
    let world = World::default()
        .table(
            "t",
            &[
                "a text",
                "flag boolean",
                "no integer",
                "sum numeric(10,2)",
                "code character(3)",
                "role app.role",
                "at timestamp with time zone",
                "odd app.odd",
            ],
        )
        .table("u", &["id text"])
        .column("t", "role", |it| {
            it.base_type = "enum".to_owned();
            it.labels = vec!["admin".to_owned(), "user".to_owned()];
        });
    let mask = |when: &str| rule("t", "a", &format!("with = \"redact\"\nwhen = {{ {when} }}"));
    for (column, value, why) in [
        ("flag", "\"true\"", "write 't'"),
        ("no", "\"007\"", "write '7'"),
        ("no", "\"seven\"", "never prints"),
        ("sum", "1.5", "write '1.50'"),
        (
            "role",
            "\"admn\"",
            "no label of app.role, which has admin, user",
        ),
        ("at", "\"2026-01-01\"", "type timestamp with time zone"),
    ] {
        for list in ["is", "is_not"] {
            let when = format!("column = \"{column}\", {list} = [{value}]");
            let said = world.refused(&mask(&when));
            assert!(said.contains(why) && said.contains(column), "{said}");
            let said = world.refused(&format!(
                "[[reference]]\nfrom = \"t(a)\"\nto = \"u(id)\"\nwhen = {{ {when} }}\n"
            ));
            assert!(said.contains("reference 1") && said.contains(why), "{said}");
        }
    }
    for (column, value) in [
        ("flag", "true"),
        ("no", "7"),
        ("sum", "1.50"),
        ("code", "\"DE\""),
        ("role", "\"admin\""),
        ("at", "\"2026-01-01 00:00:00+00\""),
        ("odd", "\"whatever\""),
    ] {
        let when = format!("column = \"{column}\", is = [{value}]");
        assert_eq!(world.masks(&mask(&when)).len(), 1, "{column}");
    }
    let said = world.refused(&rule("t", "role", "with = \"constant\"\nvalue = \"root\""));
    assert!(said.contains("no label of app.role"), "{said}");
}

#[test]
fn keys_that_become_null_in_some_rows_only_are_refused_where_the_others_would_not_meet() {
    let some = "with = \"null\"\nwhen = { column = \"reader\", is_null = true }";
    let author = rule("notes", "author", some);
    assert_eq!(people().masks(&author), masked(&[("notes.author", "null")]));
    let said = people().refused(&format!(
        "{author}{}",
        rule("users", "id", "with = \"uuid\"")
    ));
    assert!(
        said.contains("NULL only by a condition on reader"),
        "{said}"
    );
    let world = World::default()
        .table("p", &["k text", "x text"])
        .table("c", &["p text"])
        .key("fk", ("c", "p"), ("p", "k"));
    let some = "with = \"null\"\nwhen = { column = \"x\", is_null = true }";
    let said = world.refused(&rule("p", "k", some));
    assert!(said.contains("rows of public.c.p"), "{said}");
    // A key of two columns that matches in full is NULL as a whole.
    let pair = |mut world: World| {
        world.facts.references.push(Reference {
            name: "pair_fk".to_owned(),
            child: public("c"),
            child_columns: vec!["a".to_owned(), "b".to_owned()],
            parent: public("p"),
            parent_columns: vec!["a".to_owned(), "b".to_owned()],
            is_full: true,
            condition: None,
            is_declared: false,
            is_period: false,
        });
        world
    };
    let world = || {
        pair(
            World::default()
                .table("p", &["a text!", "b text!"])
                .table("c", &["a text", "b text"]),
        )
    };
    let a = rule("c", "a", "with = \"null\"");
    let said = world().refused(&a);
    assert!(said.contains("mask b with null as well"), "{said}");
    assert_eq!(world().masks(&rule("c", "*", "with = \"null\"")).len(), 2);
}

#[test]
fn generated_columns_are_what_their_columns_are() {
    let world = World::default()
        .table("p", &["id text!"])
        .table("c", &["doc text", "p text", "mail text"])
        .column("c", "p", |it| {
            it.generated = true;
            it.computed_of = vec!["doc".to_owned()];
        })
        .key("fk", ("c", "p"), ("p", "id"));
    let said = world.refused(&rule("p", "id", "with = \"hash\""));
    assert!(
        said.contains("public.c.p is generated, and foreign key fk"),
        "{said}"
    );
    let world = world.unique("c_p_key", "c", &["p"]);
    let said = world.refused(&rule("c", "doc", "with = \"redact\""));
    assert!(said.contains("c_p_key needs distinct values"), "{said}");
    assert_eq!(
        world.masks(&rule("c", "mail", "with = \"redact\"")).len(),
        1
    );
}

#[test]
fn distinct_values_need_the_room_that_there_is() {
    let world = World::default()
        .table("p", &["id text!"])
        .table("c", &["p character varying(20)"])
        .key("fk", ("c", "p"), ("p", "id"))
        .unique("p_pkey", "p", &["id"]);
    let warnings = world.resolve(&rule("p", "id", "with = \"hash\"")).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("p_pkey") && warnings[0].contains("meet by chance"));
    // A condition of a key that NULL meets is met by more rows.
    let mut world = World::default()
        .table("t", &["mail text", "gone date"])
        .unique("t_key", "t", &["mail", "gone"]);
    world.facts.uniques[0].within = vec!["gone".to_owned()];
    let warnings = world
        .resolve(&rule("t", "gone", "with = \"null\""))
        .warnings;
    assert!(
        warnings[0].contains("t_key has it in an expression"),
        "{warnings:?}"
    );
}

#[test]
fn a_rule_that_a_condition_keeps_from_its_rows_is_told() {
    let world = World::default().table("t", &["mail text", "kind text"]);
    let some = "with = \"fake-email\"\nwhen = { column = \"kind\", is = [\"a\"] }";
    let rules = format!(
        "{}{}",
        rule("t", "mail", some),
        rule("t", "*", "with = \"redact\"")
    );
    let warnings = world.resolve(&rules).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with(
            "public.t.mail: mask 1 of rules.toml masks it under a condition, and mask 2"
        )
    );
}

#[test]
fn what_a_preset_masks_is_let_go_by_name_only() {
    let auth = QualifiedName::new("auth", "users");
    let mut world = World::default().table("users", &["mail text"]);
    let facts = world.facts.tables.remove(&public("users")).unwrap();
    world.facts.tables.insert(auth.clone(), facts);
    world.tables[0].name = auth.clone();
    world
        .preset
        .columns
        .push((auth, "mail".to_owned(), Transformer::Null));
    let allow = |table: &str| format!("[[allow]]\ntable = \"{table}\"\ncolumn = \"*\"\n");
    for (tables, is_masked) in [("*.*", true), ("{auth,x}.*", true), ("auth.*", false)] {
        let found = world.masks(&allow(tables));
        assert_eq!(!found.is_empty(), is_masked, "{tables}");
    }
    let both = format!("{}{}", allow("*.*"), allow("auth.users"));
    assert!(world.masks(&both).is_empty());
}
