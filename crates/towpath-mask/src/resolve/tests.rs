mod refusals;

use std::collections::BTreeSet;

use proptest::prelude::*;
use towpath_model::ids::TableId;
use towpath_model::keys::{ColumnFacts, Reference, TableFacts, UniqueKey};
use towpath_model::masking::Uniqueness;
use towpath_model::plan::{Format, PlannedChunk, RowSource};

use super::*;
use crate::rules::parse;

/// A database as masks see it.
#[derive(Default)]
struct World {
    facts: KeyFacts,
    tables: Vec<PlannedTable>,
    preset: Preset,
}

fn public(name: &str) -> QualifiedName {
    QualifiedName::new("public", name)
}

impl World {
    /// A table, its columns as `name type`; `!` behind the type: not null.
    fn table(mut self, name: &str, columns: &[&str]) -> Self {
        let columns: Vec<ColumnFacts> = columns
            .iter()
            .map(|text| {
                let (name, type_name) = text.split_once(' ').unwrap();
                let bare = type_name.trim_end_matches('!');
                ColumnFacts {
                    name: name.to_owned(),
                    type_name: bare.to_owned(),
                    base_type: bare.to_owned(),
                    not_null: bare != type_name,
                    ..ColumnFacts::default()
                }
            })
            .collect();
        let name = public(name);
        self.tables.push(PlannedTable {
            id: TableId::of(&name),
            name: name.clone(),
            columns: columns.iter().map(|it| it.name.clone()).collect(),
            key: Vec::new(),
            types: columns.iter().map(|it| it.type_name.clone()).collect(),
            rows: RowSource::Table,
            expressions: BTreeMap::new(),
            masks: BTreeMap::new(),
            subset: None,
            format: Format::Binary,
            format_reason: None,
            bytes: 0,
            estimated_rows: 0,
            force_row_security: false,
            chunks: vec![PlannedChunk::WHOLE],
        });
        let facts = TableFacts {
            columns,
            ..TableFacts::default()
        };
        self.facts.tables.insert(name, facts);
        self
    }

    fn facts_of(&mut self, table: &str) -> &mut TableFacts {
        self.facts.tables.get_mut(&public(table)).unwrap()
    }

    fn column(mut self, table: &str, column: &str, change: impl Fn(&mut ColumnFacts)) -> Self {
        let columns = &mut self.facts_of(table).columns;
        change(columns.iter_mut().find(|it| it.name == column).unwrap());
        let copied = columns.iter().filter(|it| !it.generated);
        let copied: Vec<String> = copied.map(|it| it.name.clone()).collect();
        let name = public(table);
        let planned = self.tables.iter_mut().find(|table| table.name == name);
        planned.unwrap().columns = copied;
        self
    }

    fn comment(self, table: &str, column: &str, comment: &str) -> Self {
        self.column(table, column, |it| it.comment = Some(comment.to_owned()))
    }

    /// `child.column` → `parent.column`.
    fn key(mut self, name: &str, child: (&str, &str), parent: (&str, &str)) -> Self {
        self.facts.references.push(Reference {
            name: name.to_owned(),
            child: public(child.0),
            child_columns: vec![child.1.to_owned()],
            parent: public(parent.0),
            parent_columns: vec![parent.1.to_owned()],
            is_full: false,
            condition: None,
            is_declared: false,
            is_period: false,
        });
        self
    }

    fn unique(mut self, name: &str, table: &str, columns: &[&str]) -> Self {
        self.facts.uniques.push(UniqueKey {
            name: name.to_owned(),
            table: public(table),
            columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            within: Vec::new(),
            is_exclusion: name.ends_with("_excl"),
            nulls_are_equal: name.ends_with("_nulls"),
        });
        self
    }

    fn partition(mut self, child: &str, parent: &str, key: &str) -> Self {
        self.facts_of(child).parents.push(public(parent));
        let root = self.facts_of(parent);
        root.is_partitioned = true;
        root.partition_columns = vec![key.to_owned()];
        self.tables.retain(|table| table.name != public(parent));
        self
    }

    fn resolve(&self, rules: &str) -> Resolved {
        let rules = parse(rules, "rules.toml").unwrap();
        resolve_with(
            &rules,
            "rules.toml",
            &self.preset,
            &self.facts,
            &self.tables,
        )
    }

    /// Without a refusal.
    fn masks(&self, rules: &str) -> BTreeMap<String, String> {
        let resolved = self.resolve(rules);
        assert_eq!(resolved.refusals, Vec::<String>::new());
        titles(&resolved)
    }

    /// With exactly one refusal.
    fn refused(&self, rules: &str) -> String {
        let resolved = self.resolve(rules);
        assert_eq!(resolved.refusals.len(), 1, "{:#?}", resolved.refusals);
        resolved.refusals[0].clone()
    }
}

fn titles(resolved: &Resolved) -> BTreeMap<String, String> {
    let of = |(table, masks): (&QualifiedName, &BTreeMap<String, PlannedMask>)| {
        let name = table.name.clone();
        let titles = masks.iter().map(move |(column, mask)| {
            let title = crate::rules::title(&mask.transformer);
            (format!("{name}.{column}"), title)
        });
        titles.collect::<Vec<_>>()
    };
    resolved.masks.iter().flat_map(of).collect()
}

fn masked(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(place, title)| ((*place).to_owned(), (*title).to_owned()))
        .collect()
}

fn rule(table: &str, column: &str, rest: &str) -> String {
    format!("[[mask]]\ntable = \"{table}\"\ncolumn = \"{column}\"\n{rest}\n")
}

#[test]
fn file_wins_over_comment_over_preset_and_the_first_rule_over_later_ones() {
    let mut world = World::default()
        .table(
            "t",
            &["a text", "b text", "c text", "d text", "e text", "f text"],
        )
        .comment("t", "a", "towpath:mask(null)")
        .comment("t", "b", "towpath:mask(name)")
        .comment("t", "d", "towpath:allow(why not)");
    for column in ["b", "c", "d", "e"] {
        let preset = (public("t"), column.to_owned(), Transformer::Null);
        world.preset.columns.push(preset);
    }
    let rules = format!(
        "{}{}[[allow]]\ntable = \"t\"\ncolumn = \"e\"\n",
        rule("t", "A", "with = \"redact\""),
        rule("*", "a", "with = \"hash\""),
    );
    assert_eq!(
        world.masks(&rules),
        masked(&[("t.a", "redact"), ("t.b", "fake-name"), ("t.c", "null")])
    );
    let warnings = world.resolve(&rules).warnings;
    assert_eq!(warnings, ["mask 2 of rules.toml matches no column"]);
}

#[test]
fn types_are_matched_above_and_below_domains() {
    let world = World::default()
        .table("t", &["a app.mail", "b character varying(9)", "c inet"])
        .column("t", "a", |it| it.base_type = "text".to_owned());
    let typed = |name: &str| format!("[[mask]]\ntype = \"{name}\"\nwith = \"null\"\n");
    assert_eq!(world.masks(&typed("mail")), masked(&[("t.a", "null")]));
    assert_eq!(world.masks(&typed("text")), masked(&[("t.a", "null")]));
    assert_eq!(
        world.masks(&typed("{inet,character varying}")),
        masked(&[("t.b", "null"), ("t.c", "null")])
    );
}

fn people() -> World {
    World::default()
        .table("users", &["id uuid!", "mail text"])
        .table("notes", &["author uuid", "reader uuid", "id integer!"])
        .table("likes", &["who uuid!", "note integer!"])
        .key("notes_fk", ("notes", "author"), ("users", "id"))
        .key("readers_fk", ("notes", "reader"), ("users", "id"))
        .key("likes_fk", ("likes", "who"), ("users", "id"))
        .key("likes_note", ("likes", "note"), ("notes", "id"))
        .unique("users_pkey", "users", &["id"])
}

#[test]
fn a_mask_of_one_end_of_a_key_is_one_of_all_of_them() {
    let everywhere = masked(&[
        ("users.id", "uuid"),
        ("notes.author", "uuid"),
        ("notes.reader", "uuid"),
        ("likes.who", "uuid"),
    ]);
    for (table, column) in [("users", "id"), ("notes", "author"), ("likes", "who")] {
        assert_eq!(
            people().masks(&rule(table, column, "with = \"uuid\"")),
            everywhere
        );
    }
    let resolved = people().resolve(&rule("likes", "who", "with = \"uuid\""));
    let mask = &resolved.masks[&public("notes")]["reader"];
    assert_eq!(mask.origin, "foreign key readers_fk of public.notes");
    assert_eq!(mask.domain, "uuid");
    // An end that becomes NULL refers to nothing; what it referred to stays.
    assert_eq!(
        people().masks(&rule("notes", "author", "with = \"null\"")),
        masked(&[("notes.author", "null")])
    );
}

#[test]
fn ends_of_a_key_that_would_not_meet_are_refused() {
    let two = |one: &str, other: &str| {
        let rules = format!(
            "{}{}",
            rule("users", "id", one),
            rule("likes", "who", other)
        );
        people().refused(&rules)
    };
    let said = two("with = \"uuid\"", "with = \"uuid\"\ndomain = \"other\"");
    assert!(
        said.contains("their masks differ") && said.contains("public.likes.who"),
        "{said}"
    );
    let said = people().refused(&rule(
        "notes",
        "author",
        "with = \"uuid\"\nwhen = { column = \"id\", is = [\"1\"] }",
    ));
    assert!(said.contains("only by a condition"), "{said}");
    let odd = World::default()
        .table("p", &["id bigint!"])
        .table("c", &["p integer"])
        .key("fk", ("c", "p"), ("p", "id"))
        .unique("p_pkey", "p", &["id"]);
    let said = odd.refused(&rule("p", "id", "with = \"format-preserving\""));
    assert!(
        said.contains("of type integer") && said.contains("would not meet"),
        "{said}"
    );
    // A key cannot become NULL, and what refers to it could not either.
    let said = people()
        .resolve(&rule("users", "id", "with = \"null\""))
        .refusals;
    assert_eq!(said.len(), 2);
    assert!(
        said.iter().all(|why| why.contains("takes no NULL")),
        "{said:?}"
    );
}

#[test]
fn ends_of_a_key_have_the_least_room_of_all() {
    let world = World::default()
        .table("p", &["id text!"])
        .table("c", &["p character varying(40)"])
        .key("fk", ("c", "p"), ("p", "id"))
        .unique("p_pkey", "p", &["id"]);
    let resolved = world.resolve(&rule("p", "id", "with = \"hash\""));
    assert_eq!(resolved.refusals, Vec::<String>::new());
    for (table, column) in [("p", "id"), ("c", "p")] {
        assert_eq!(resolved.masks[&public(table)][column].max_chars, Some(40));
    }
}

#[test]
fn a_polymorphic_reference_masks_the_rows_that_lead_there() {
    let world = World::default()
        .table("patients", &["id uuid!"])
        .table("pets", &["id uuid!"])
        .table("practices", &["id integer!"])
        .table("remarks", &["kind text!", "subject text!"]);
    let to = |kind: &str, table: &str| {
        format!(
            "[[reference]]\nfrom = \"remarks(subject)\"\nto = \"{table}(id)\"\nwhen = {{ column = \"kind\", is = [\"{kind}\"] }}\n"
        )
    };
    let references = format!(
        "{}{}",
        to("patient", "patients"),
        to("practice", "practices")
    );
    let condition = |rules: &str| {
        let resolved = world.resolve(rules);
        assert_eq!(resolved.refusals, Vec::<String>::new());
        let mask = resolved.masks[&public("remarks")]["subject"].clone();
        assert_eq!(mask.transformer, Transformer::Uuid);
        mask.condition.unwrap().is.unwrap()
    };
    let patients = rule("patients", "id", "with = \"uuid\"");
    assert_eq!(condition(&format!("{patients}{references}")), ["patient"]);
    // The same, said by hand.
    let own = rule(
        "remarks",
        "subject",
        "with = \"uuid\"\nwhen = { column = \"kind\", is = [\"patient\"] }",
    );
    assert_eq!(
        condition(&format!("{patients}{own}{references}")),
        ["patient"]
    );
    // Two kinds of rows with one mask.
    let pets = rule("pets", "id", "with = \"uuid\"");
    let both = format!("{patients}{pets}{references}{}", to("pet", "pets"));
    assert_eq!(condition(&both), ["patient", "pet"]);
    // Another mask, or one for rows that lead to what is not masked.
    let other = rule("pets", "id", "with = \"uuid\"\ndomain = \"pets\"");
    let said = world.refused(&format!(
        "{patients}{other}{references}{}",
        to("pet", "pets")
    ));
    assert!(said.contains("rows would lead nowhere"), "{said}");
    let always = rule("remarks", "subject", "with = \"uuid\"");
    let said = world.refused(&format!("{patients}{always}{references}"));
    assert!(
        said.contains("public.practices.id") && said.contains("is not"),
        "{said}"
    );
}

#[test]
fn partitions_follow_their_table() {
    let world = World::default()
        .table("events", &["at date!", "who text"])
        .table("events_1", &["at date!", "who text"])
        .table("events_2", &["at date!", "who text"])
        .partition("events_1", "events", "at")
        .partition("events_2", "events", "at");
    let both = masked(&[("events_1.who", "redact"), ("events_2.who", "redact")]);
    assert_eq!(
        world.masks(&rule("events", "who", "with = \"redact\"")),
        both
    );
    assert_eq!(
        world.masks(&rule("events*", "who", "with = \"redact\"")),
        both
    );
    let said = world.refused(&rule("events_1", "who", "with = \"redact\""));
    assert!(said.contains("write one rule for public.events"), "{said}");
    let differ = format!(
        "{}{}",
        rule("events_1", "who", "with = \"null\""),
        rule("events", "who", "with = \"redact\"")
    );
    assert!(world.refused(&differ).contains("another one"));
    let said = world.refused(&rule("events", "at", "with = \"date-shift\"\nmax_days = 3"));
    assert!(said.contains("in which partition"), "{said}");
}

#[test]
fn a_comment_that_says_nothing_is_refused_of_a_partitioned_table_as_well() {
    let world = World::default()
        .table("events", &["at date!", "who text"])
        .table("events_1", &["at date!", "who text"])
        .comment("events", "who", "towpath:mask(emial)")
        .partition("events_1", "events", "at");
    let said = world.refused("");
    assert!(
        said.contains("public.events.who: its comment says"),
        "{said}"
    );
}

#[test]
fn a_child_of_two_tables_follows_the_one_that_is_masked() {
    let mut world = World::default();
    for table in ["a", "b", "child"] {
        world = world.table(table, &["mail text"]);
    }
    world.facts_of("child").parents = vec![public("a"), public("b")];
    for parent in ["a", "b"] {
        assert_eq!(
            world.masks(&rule(parent, "mail", "with = \"redact\"")),
            masked(&[
                (&format!("{parent}.mail"), "redact"),
                ("child.mail", "redact")
            ])
        );
    }
}

#[test]
fn a_polymorphic_reference_of_a_partitioned_table_is_one_of_its_partitions() {
    let reference = |kind: &str| {
        format!(
            "[[reference]]\nfrom = \"remarks(subject)\"\nto = \"patients(id)\"\nwhen = {{ column = \"kind\", is = [\"{kind}\"] }}\n"
        )
    };
    let world = World::default()
        .table("patients", &["id uuid!", "dead text"])
        .table("remarks", &["at date!", "kind text!", "subject text!"])
        .table("remarks_1", &["at date!", "kind text!", "subject text!"])
        .partition("remarks_1", "remarks", "at");
    let patients = rule("patients", "id", "with = \"uuid\"");
    // Each in rows of its own, and both are meant.
    let both = format!("{patients}{}{}", reference("patient"), reference("ill"));
    let resolved = world.resolve(&both);
    assert_eq!(resolved.refusals, Vec::<String>::new());
    let mask = &resolved.masks[&public("remarks_1")]["subject"];
    assert_eq!(mask.transformer, Transformer::Uuid);
    let kinds = mask.condition.as_ref().unwrap().is.clone();
    assert_eq!(kinds.unwrap(), ["ill", "patient"]);
    // Patients that go as they are would be referred to by masks.
    let some = "with = \"uuid\"\nwhen = { column = \"dead\", is_null = true }";
    let said = world.refused(&format!(
        "{}{}",
        rule("patients", "id", some),
        reference("patient")
    ));
    assert!(said.contains("masked only by a condition"), "{said}");
}

#[test]
fn what_the_database_would_refuse_is_refused_with_the_way_out() {
    let world = || {
        World::default()
            .table(
                "t",
                &[
                    "id integer!",
                    "mail character varying(30)!",
                    "note text",
                    "seen inet",
                    "made text",
                ],
            )
            .column("t", "made", |it| it.generated = true)
    };
    let mail = |rest: &str| rule("t", "mail", rest);
    let unique = || world().unique("t_mail_key", "t", &["mail"]);
    for (world, rules, why) in [
        (
            world(),
            rule("t", "id", "with = \"redact\""),
            "does not fit",
        ),
        (world(), mail("with = \"null\""), "takes no NULL"),
        (
            world(),
            mail("with = \"constant\"\nvalue = \"0123456789012345678901234567890\""),
            "shorter",
        ),
        (
            unique(),
            mail("with = \"redact\""),
            "format-preserving, uuid or hash",
        ),
        (unique(), mail("with = \"fake-email\""), "unique = true"),
        (unique(), mail("with = \"fake-phone\""), "format-preserving"),
        (
            world().unique("t_excl", "t", &["note"]),
            rule("t", "note", "with = \"hash\""),
            "exclusion constraint",
        ),
        (
            world().unique("t_nulls", "t", &["note", "id"]),
            rule("t", "note", "with = \"null\""),
            "one NULL only",
        ),
        (
            world(),
            rule(
                "t",
                "note",
                "with = \"redact\"\nwhen = { column = \"kind\", is_null = true }",
            ),
            "its condition is on kind",
        ),
        (
            world(),
            rule("t", "note", "with = \"scrub\"\ncolumns = [\"made\"]"),
            "it scrubs values of made",
        ),
        (
            world().comment("t", "note", "towpath:mask(emial)"),
            String::new(),
            "does not understand",
        ),
    ] {
        let said = world.refused(&rules);
        assert!(said.contains(why), "{rules}\n{said}");
        assert!(said.contains("public.t."), "{said}");
    }
    // And what it takes is not.
    assert_eq!(
        unique()
            .masks(&mail("with = \"fake-email\"\nunique = true"))
            .len(),
        1
    );
    let unique_note = world().unique("t_note", "t", &["note"]);
    assert_eq!(
        unique_note
            .masks(&rule("t", "note", "with = \"null\""))
            .len(),
        1
    );
    let generated = world().resolve(&rule("t", "made", "with = \"redact\""));
    assert!(generated.masks.is_empty() && generated.warnings[0].contains("computed anew"));
}

#[test]
fn all_refusals_are_told_at_once() {
    let world = World::default().table("t", &["id integer!", "n text!"]);
    let rules = format!(
        "{}{}",
        rule("t", "id", "with = \"redact\""),
        rule("t", "n", "with = \"null\"")
    );
    assert_eq!(world.resolve(&rules).refusals.len(), 2);
}

#[test]
fn a_condition_takes_the_promise_of_uniqueness() {
    let world = World::default().table("t", &["id uuid!", "k text"]);
    let when = "with = \"uuid\"\nwhen = { column = \"k\", is_null = true }";
    let resolved = world.resolve(&rule("t", "id", when));
    let mask = &resolved.masks[&public("t")]["id"];
    assert_eq!(mask.uniqueness, Uniqueness::NotGuaranteed);
}

#[test]
fn rows_whose_masked_columns_have_no_known_form_travel_as_text() {
    let mut world = World::default().table("t", &["a public.weird", "b text", "c app.odd"]);
    let null = rule("t", "a", "with = \"null\"");
    let resolved = world.resolve(&null);
    assert!(resolved.as_csv[&public("t")].contains("public.weird"));
    let conditional = rule(
        "t",
        "b",
        "with = \"null\"\nwhen = { column = \"c\", is_null = true }",
    );
    assert!(world.resolve(&conditional).as_csv[&public("t")].contains("app.odd"));
    assert!(
        world
            .resolve(&rule("t", "b", "with = \"null\""))
            .as_csv
            .is_empty()
    );
    world.tables[0].format = Format::Csv;
    assert!(world.resolve(&null).as_csv.is_empty());
}

#[test]
fn the_rules_of_the_fixture_are_rules() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/clone/rules.toml"
    );
    let rules = parse(&std::fs::read_to_string(path).unwrap(), "rules.toml").unwrap();
    assert!(rules.masks.len() > 20 && rules.references.len() == 3);
    let world = World::default()
        .table("patients", &["last text", "email text"])
        .column("patients", "last", |it| it.name = "Last Name".to_owned());
    let resolved = resolve(&rules, "rules.toml", &world.facts, &world.tables);
    assert_eq!(
        titles(&resolved),
        masked(&[
            ("patients.Last Name", "fake-last-name"),
            ("patients.email", "fake-email")
        ])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever keys tie together has one mask, and nothing else has it.
    #[test]
    fn components_are_masked_whole(
        edges in proptest::collection::vec((0_usize..8, 0_usize..3, 0_usize..8), 0..14),
        seeds in proptest::collection::vec((0_usize..8, 0_usize..3), 0..4),
    ) {
        let name = |table: usize| format!("t{table}");
        let column = |no: usize| format!("c{no}");
        let mut world = World::default();
        for table in 0..8 {
            world = world.table(&name(table), &["c0 uuid", "c1 uuid", "c2 uuid"]);
        }
        for (child, no, parent) in &edges {
            world = world.key(
                &format!("fk{child}{no}{parent}"),
                (&name(*child), &column(*no)),
                (&name(*parent), "c0"),
            );
        }
        let rules: String = seeds
            .iter()
            .map(|(table, no)| rule(&name(*table), &column(*no), "with = \"uuid\""))
            .collect();
        // By hand: what can be reached.
        let mut reached: BTreeSet<(usize, usize)> = seeds.iter().copied().collect();
        loop {
            let before = reached.len();
            for (child, no, parent) in &edges {
                let ends = [(*child, *no), (*parent, 0)];
                if ends.iter().any(|end| reached.contains(end)) {
                    reached.extend(ends);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        let expected: BTreeMap<String, String> = reached
            .iter()
            .map(|(table, no)| (format!("t{table}.c{no}"), "uuid".to_owned()))
            .collect();
        let resolved = world.resolve(&rules);
        prop_assert_eq!(&resolved.refusals, &Vec::<String>::new());
        prop_assert_eq!(titles(&resolved), expected);
    }
}
