//! Rows that differ are found, and named alike, whoever reads them: against the export, against the
//! source, and by digests of the servers' own.

use std::collections::BTreeSet;

use serde_json::Value;
use towpath_tests::{Project, TargetShape, pair, pair_on, project};

/// Three ways to look at rows that find the same.
const WAYS: [&[&str]; 3] = [
    &["--source", "manifest"],
    &["--source", "live"],
    &["--source", "live", "--read", "pushdown"],
];

const TABLES: &str = r#"
    create schema "Odd ""schema";
    create table public.keyed (
        id integer primary key, a text, b numeric(12, 3), at timestamptz, tags text[], mood text
    );
    insert into public.keyed
    select n, 'text ' || n, n / 7.0, '2026-01-01'::timestamptz + n * interval '1 hour',
           array['x', n::text], null
    from generate_series(1, 40) n;
    create table "Odd ""schema"."select, from" (
        "Key ""one" text, k2 date, "value " text, doubled integer generated always as (length("Key ""one")) stored,
        primary key ("Key ""one", k2)
    );
    insert into "Odd ""schema"."select, from"
    select key, '2026-02-03', nullif(key, 'c') from unnest(array['a', 'b''; --', 'c', E'd\n,"', '']) key;
    create table public.keyless (a text, b integer);
    insert into public.keyless select 'same', 1 from generate_series(1, 3);
    insert into public.keyless values ('two', 2), ('two', 2), ('', null), (null, null), ('(a,b)', 4), ('"', 5);
    create table public.as_text (id integer primary key, kind regtype, line text);
    insert into public.as_text
    select n, 'integer'::regtype, case n % 3 when 0 then null when 1 then '' else E'a\n"b",c\\' end
    from generate_series(1, 30) n;
    create table public.parted (region text, id integer, v text, primary key (region, id)) partition by list (region);
    create table public.parted_a partition of public.parted for values in ('a');
    create table public.parted_b partition of public.parted for values in ('b');
    insert into public.parted select case when n < 5 then 'a' else 'b' end, n, 'v' from generate_series(1, 9) n;
    create table public.wide (id bigint primary key, filler text, photo bytea);
    insert into public.wide select n, repeat(md5(n::text), 4), decode(md5(n::text), 'hex') from generate_series(1, 6000) n;
    insert into public.wide values (0, repeat('long ', 60000), null);
"#;

const CORRUPTIONS: &str = r#"
    set session_replication_role = replica;
    update public.keyed set a = a || ' ' where id = 3;
    update public.keyed set b = b + 0.001, at = at + interval '1 microsecond' where id = 4;
    update public.keyed set tags = array['x', null] where id = 5;
    update public.keyed set id = 1000 where id = 6;
    delete from public.keyed where id = 7;
    insert into public.keyed (id) values (1001);
    alter table public.keyed drop constraint keyed_pkey;
    insert into public.keyed select * from public.keyed where id = 8;
    update "Odd ""schema"."select, from" set "value " = '' where "Key ""one" = 'c';
    update "Odd ""schema"."select, from" set k2 = '2026-02-04' where "Key ""one" like 'd%';
    delete from public.keyless where ctid in (select ctid from public.keyless where a = 'same' limit 1);
    insert into public.keyless values ('two', 2), ('two', 2), ('new', 3), ('new', 3);
    update public.keyless set a = '' where a is null;
    update public.keyless set a = '(a', b = 4 where a = '(a,b)';
    update public.as_text set line = '' where id = 3;
    update public.as_text set line = line || '.' where id = 5;
    update public.parted set region = 'b' where id = 1;
    update public.wide set filler = filler || '!' where id = 0;
    update public.wide set photo = '\x00' where id = 4711;
"#;

fn name(table: &Value) -> String {
    let part = |part: &str| table[part].as_str().expect("a name").to_owned();
    format!("{}.{}", part("schema"), part("name"))
}

/// What was located, one line each; of rows without a key their hashes.
fn located(verification: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for difference in verification["differences"].as_array().expect("differences") {
        assert_eq!(difference["kind"], "rows", "{difference}");
        assert!(difference.get("rest").is_none(), "{difference}");
        for row in difference["located"].as_array().expect("rows") {
            let texts = |value: &Value| -> Vec<String> {
                let list = value.as_array().map_or(&[][..], Vec::as_slice);
                list.iter()
                    .map(|it| it.as_str().expect("a text").to_owned())
                    .collect()
            };
            let key = row["key"].as_array().expect("a key");
            let mut key: Vec<String> = key.iter().map(|pair| texts(pair).join("=")).collect();
            if key.is_empty() {
                key.push(row["row"].as_str().expect("a hash").to_owned());
            }
            lines.insert(format!(
                "{} {} {} [{}] x{}",
                name(&difference["table"]),
                row["how"].as_str().expect("a word"),
                key.join(","),
                texts(&row["columns"]).join(","),
                row["times"].as_u64().unwrap_or(1)
            ));
        }
    }
    lines
}

fn verify(project: &Project, code: i32, arguments: &[&str]) -> Value {
    let arguments = [&["verify", "--rows", "--json"], arguments].concat();
    let end = project.expect(code, &arguments);
    let line: Value = serde_json::from_str(end.stdout.trim()).expect("a line of JSON");
    line["verification"].clone()
}

fn without_hashes(lines: &BTreeSet<String>) -> Vec<String> {
    let keyless = |line: &&String| line.starts_with("public.keyless");
    let mut told: Vec<String> = lines
        .iter()
        .filter(|line| !keyless(line))
        .cloned()
        .collect();
    for line in lines.iter().filter(keyless) {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[2].len(), 16, "{line}");
        told.push(format!("{} {} {}", words[0], words[1], words[4]));
    }
    told.sort();
    told
}

#[test]
fn every_kind_of_difference_is_named_alike_by_all_ways_to_look() {
    let pair = pair();
    pair.source.psql(TABLES);
    let vast = vast_rows();
    pair.source.psql(&format!(
        "create table public.vast (id bigint primary key, filler text);
         insert into public.vast select n, repeat(md5(n::text), 4) from generate_series(1, {vast}) n"
    ));
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    // Against the export, the run has looked itself.
    for way in &WAYS[1..] {
        let clean = verify(&project, 0, way);
        let tables = clean["live"].as_array().expect("tables");
        assert!(tables.len() > 10, "{way:?}");
        assert!(
            tables.iter().all(|it| it["reading"] == clean["reading"]),
            "{clean}"
        );
    }

    pair.target.psql_superuser(CORRUPTIONS);
    let found = WAYS.map(|way| located(&verify(&project, 12, way)));
    assert_eq!(found[0], found[1], "export and source");
    assert_eq!(found[1], found[2], "stream and pushdown");
    assert_eq!(
        without_hashes(&found[0]),
        [
            "Odd \"schema.select, from changed Key \"one=c,k2=2026-02-03 [value ] x1",
            "Odd \"schema.select, from extra Key \"one=d\\n,\",k2=2026-02-04 [] x1",
            "Odd \"schema.select, from missing Key \"one=d\\n,\",k2=2026-02-03 [] x1",
            "public.as_text changed id=3 [line] x1",
            "public.as_text changed id=5 [line] x1",
            "public.keyed changed id=3 [a] x1",
            "public.keyed changed id=4 [b,at] x1",
            "public.keyed changed id=5 [tags] x1",
            "public.keyed duplicated id=8 [] x1",
            "public.keyed extra id=1000 [] x1",
            "public.keyed extra id=1001 [] x1",
            "public.keyed missing id=6 [] x1",
            "public.keyed missing id=7 [] x1",
            "public.keyless duplicated x1",
            "public.keyless duplicated x2",
            "public.keyless extra x1",
            "public.keyless extra x2",
            "public.keyless missing x1",
            "public.keyless missing x1",
            "public.keyless missing x1",
            "public.parted_a missing region=a,id=1 [] x1",
            "public.parted_b extra region=b,id=1 [] x1",
            "public.wide changed id=0 [filler] x1",
            "public.wide changed id=4711 [photo] x1",
        ]
    );

    values_are_told_on_demand_and_never_stored(&project);
    the_source_moves_on(&pair, &project);
    what_is_named_is_bounded(&pair, &project);
}

fn values_are_told_on_demand_and_never_stored(project: &Project) {
    let told = project.expect(12, &["verify", "--rows", "--show-values"]);
    for line in [
        "a: \"text 3\" → \"text 3 \"",
        "b: \"0.571\" → \"0.572\"",
        "line: null → \"\"",
        "photo: \"\\\\x",
        "… (300000 bytes) → \"long long",
        "tags: binary, ",
    ] {
        assert!(told.stdout.contains(line), "{line}: {told}");
    }
    let silent = project.expect(12, &["verify", "--rows"]);
    assert!(
        silent.stdout.contains("changed: id=3: differs in a"),
        "{silent}"
    );
    for (path, bytes) in project.store_files() {
        if path.to_string_lossy().contains("verify") {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("text 3"), "{} holds a value", path.display());
        }
    }
    assert!(!silent.stdout.contains("text 3"), "{silent}");
}

/// The source is no corruption when it has been written to.
fn the_source_moves_on(pair: &towpath_tests::Pair, project: &Project) {
    pair.source.psql(
        "update public.as_text set line = 'now' where id = 9;
         insert into public.parted values ('b', 10, 'v');
         create table public.later (id integer primary key)",
    );
    let story = |way: &[&str]| -> Vec<(String, String)> {
        let verification = verify(project, 12, way);
        let differences = verification["differences"].as_array().expect("differences");
        let told = differences.iter().map(|it| {
            let story = it["story"].as_str().unwrap_or_default();
            (name(&it["table"]), story.to_owned())
        });
        told.collect()
    };
    let has = |stories: &[(String, String)], table: &str, story: &str| {
        let wanted = (table.to_owned(), story.to_owned());
        assert!(stories.contains(&wanted), "{wanted:?}: {stories:?}");
    };
    let stream = story(WAYS[1]);
    has(&stream, "public.keyed", "target-differs");
    has(&stream, "public.as_text", "both-differ");
    let pushed = story(WAYS[2]);
    has(&pushed, "public.keyed", "unknown");
    has(&pushed, "public.as_text", "unknown");
    let told = project.expect(12, &["verify", "--rows", "--source", "live"]);
    assert!(
        told.stdout
            .contains("the source has changed since the export"),
        "{told}"
    );
    pair.target.psql_superuser(
        "set session_replication_role = replica;
         delete from public.parted where region = 'b' and id = 1;
         insert into public.parted values ('a', 1, 'v')",
    );
    has(&story(WAYS[1]), "public.parted_b", "source-moved");
    let against_export = verify(project, 12, WAYS[0]);
    let mut each = against_export["differences"]
        .as_array()
        .expect("differences")
        .iter();
    assert!(each.all(|it| name(&it["table"]) != "public.parted_b"));
}

/// In the long form as many rows as are never held at once.
fn vast_rows() -> usize {
    match std::env::var_os("TOWPATH_TEST_FULL") {
        Some(_) => 250_000,
        None => 1000,
    }
}

fn what_is_named_is_bounded(pair: &towpath_tests::Pair, project: &Project) {
    pair.target.psql_superuser(
        "set session_replication_role = replica;
         update public.wide set filler = 'all of them' where id > 0;
         update public.vast set filler = 'all of them'",
    );
    for way in WAYS {
        let arguments = [way, &["--max-differences", "3"]].concat();
        let verification = verify(project, 12, &arguments);
        let differences = verification["differences"].as_array().expect("differences");
        let is_vast = vast_rows() > 1000;
        for (table, told) in [
            ("public.wide", "5998 more rows differ"),
            (
                "public.vast",
                if is_vast {
                    "only some of them"
                } else {
                    "997 more rows differ"
                },
            ),
        ] {
            let mut each = differences.iter();
            let of_table = each.find(|it| name(&it["table"]) == table);
            let of_table = of_table.expect("the table differs");
            let rows = of_table["located"].as_array().expect("rows");
            assert_eq!(rows.len(), 3, "{way:?}");
            for row in rows {
                assert_eq!(row["how"], "changed", "{way:?} {of_table}");
                assert_eq!(row["columns"], serde_json::json!(["filler"]), "{of_table}");
            }
            let rest = of_table["rest"].as_str().expect("that there is more");
            assert!(rest.contains(told), "{way:?}: {rest}");
        }
    }
}

/// Between major versions towpath reads what a server might write differently, and says so.
#[test]
fn between_versions_servers_digest_what_they_write_alike() {
    let majors = (15, 17);
    if std::env::var_os("TOWPATH_TEST_FULL").is_none() {
        assert_eq!(towpath_tests::Installation::of(majors.1).major(), majors.1);
        return;
    }
    let shape = TargetShape {
        major: majors.1,
        ..TargetShape::default()
    };
    let pair = pair_on(majors.0, &shape);
    pair.source.psql(
        "create type public.pair as (a integer, b \"char\"[]);
         create domain public.mark as public.pair;
         create table public.marks (id integer primary key, m public.mark);
         insert into public.marks values (1, row(1, array['x'::\"char\"]))",
    );
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let proof = verify(&project, 0, WAYS[2]);
    let tables = proof["live"].as_array().expect("tables");
    let of = |reading: &str| tables.iter().filter(|it| it["reading"] == reading).count();
    assert!(of("pushdown") > 10, "{proof}");
    let marks = tables
        .iter()
        .find(|it| name(&it["table"]) == "public.marks");
    let reason = marks.expect("the table is compared")["reason"].as_str();
    assert_eq!(
        reason,
        Some(
            "column m holds pg_catalog.char, whose text is not proven to be the same on 15 and 17"
        )
    );
}
