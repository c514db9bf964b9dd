//! Every value arrives as it was, whatever it is, in either format.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{pair, project};

/// Texts that formats have tripped over.
fn nasty_text() -> impl Strategy<Value = Option<String>> {
    let words = prop_oneof![
        Just(String::new()),
        Just("\\N".to_owned()),
        Just("\\.".to_owned()),
        Just("NULL".to_owned()),
        Just("\"".to_owned()),
        Just("\"\"".to_owned()),
        Just(",".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\r".to_owned()),
        Just("\t".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\u{1}".to_owned()),
        Just("e\u{301}😀".to_owned()),
        Just("\\N000000000000000000000000".to_owned()),
        "[\\x01-\\x7f]{0,8}",
        "\\PC{0,12}",
    ];
    let text = proptest::collection::vec(words, 0..4).prop_map(|words| words.concat());
    proptest::option::weighted(0.85, text)
}

fn literal(value: &Option<String>) -> String {
    match value {
        None => "null".to_owned(),
        Some(text) => format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
    }
}

#[test]
fn any_text_arrives_in_both_formats() {
    let pair = pair();
    pair.source.psql(
        "create type public.shade as enum ('light', 'dark');
         create table public.fuzz_binary (a text, b text);
         -- An array of an enum holds the enum's OID in its binary form, so this one goes as CSV.
         create table public.fuzz_csv (a text, b text, c public.shade[]);
         create table public.fuzz_single (a text, c public.shade[] generated always as (null) stored);",
    );
    // One server run for all cases: the property is about rows, and rows are cheap.
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let rows = proptest::collection::vec((nasty_text(), nasty_text()), 400);
    let tree = rows.new_tree(&mut runner).expect("rows");
    let values: Vec<String> = tree
        .current()
        .iter()
        .map(|(a, b)| format!("({}, {})", literal(a), literal(b)))
        .collect();
    let values = values.join(",\n");
    pair.source.psql(&format!(
        "insert into public.fuzz_binary values {values};
         insert into public.fuzz_csv select a, b, array['dark', null]::public.shade[] from public.fuzz_binary;
         insert into public.fuzz_single select a from public.fuzz_binary"
    ));
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let plan = project.document("plan.json");
    let format_of = |name: &str| {
        let tables = plan["tables"].as_array().expect("tables");
        let table = tables
            .iter()
            .find(|table| table["name"]["name"] == name)
            .expect(name);
        table["format"].as_str().expect("a format").to_owned()
    };
    assert_eq!(format_of("fuzz_binary"), "binary");
    assert_eq!(format_of("fuzz_csv"), "csv");
    assert_same_rows(&pair);
    let nulls = "select count(*) filter (where a is null), count(*) filter (where a = '') from public.fuzz_csv";
    assert_eq!(pair.source.psql(nulls), pair.target.psql(nulls));
}

#[test]
fn blank_lines_of_csv_are_rows() {
    let pair = pair();
    // One column that travels as CSV: COPY writes an empty text as an empty line.
    pair.source.psql(
        "create table public.one_column (c extensions.citext);
         insert into public.one_column values (''), ('a'), (''), (null), ('');
         create table public.only_blank (c extensions.citext);
         insert into public.only_blank values (''), ('');",
    );
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    assert_same_rows(&pair);
    pair.target.psql("delete from public.only_blank");
    let end = project.expect(12, &["verify", "--rows"]);
    assert!(end.stdout.contains("public.only_blank"), "{end}");
}

#[test]
fn a_statement_timeout_of_the_database_does_not_stop_the_load() {
    let pair = pair();
    pair.source
        .psql("alter database postgres set statement_timeout = '20ms'");
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    assert_eq!(pair.target.psql("show statement_timeout"), "20ms");
    pair.source
        .psql_superuser("alter database postgres reset statement_timeout");
    pair.target
        .psql_superuser("alter database app reset statement_timeout");
    assert_same_rows(&pair);
}
