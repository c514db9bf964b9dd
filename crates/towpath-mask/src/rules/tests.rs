use towpath_model::masking::{Fake, JsonRest, Locale};

use super::*;

fn refused(text: &str) -> String {
    let failure = parse(text, "rules.toml").unwrap_err();
    assert!(failure.to_string().contains("rules.toml"));
    format!("{failure:?}")
}

const ALL: &str = r#"
version = 1
locale = "de"

[[mask]]
table = "app.*"
column = "*mail"
with = "fake-email"
unique = true
domain = "mail"
when = { column = "kind", is = ["a", 7, true], is_null = false }

[[mask]]
type = "inet"
with = "null"

[[mask]]
column = "flag"
with = "constant"
value = false

[[mask]]
column = "born"
with = "date-shift"
max_days = 30
subject = "id"

[[mask]]
column = "doc"
with = "json"
rest = "scrub"
rules = [
    { path = "a.b", with = "fake", what = "first-name", locale = "en" },
    { path = "**.n", with = "noise", percent = 5, min = 0 },
    { path = "x", with = "null" },
]

[[allow]]
table = "codes"
column = "title"

[[reference]]
from = "notes(author)"
to = "users(id)"
when = { column = "kind", is = "user" }

[subset]
seed = "s"
roots = "users"
percent = 2.5
limit = 1_000

[[subset.table]]
table = 'app."Odd T"'
where = "x > 1"
children = "leave"
"#;

#[test]
fn every_key_is_read() {
    let rules = parse(ALL, "rules.toml").unwrap();
    assert_eq!((rules.version, rules.locale), (1, Locale::De));
    assert_eq!(
        rules.masks[0].transformer,
        Transformer::Fake {
            what: Fake::Email,
            locale: None,
            unique: true
        }
    );
    let when = rules.masks[0].when.as_ref().unwrap();
    assert_eq!(when.is.as_ref().unwrap(), &["a", "7", "t"]);
    assert_eq!(rules.masks[1].transformer, Transformer::Null);
    assert_eq!(
        rules.masks[2].transformer,
        Transformer::Constant {
            value: "f".to_owned()
        }
    );
    let Transformer::Json { rules: inner, rest } = &rules.masks[4].transformer else {
        panic!("not json");
    };
    assert_eq!((inner.len(), *rest), (3, JsonRest::Scrub));
    assert_eq!(rules.subset.roots, ["users"]);
    assert_eq!(rules.subset.percent, Some(2.5));
    assert_eq!(rules.subset.limit, Some(1000));
    // Plans and orders hold them as JSON.
    let json = serde_json::to_string(&rules).unwrap();
    assert_eq!(serde_json::from_str::<CloneRules>(&json).unwrap(), rules);
}

#[test]
fn a_mistyped_key_is_refused_wherever_it_stands() {
    for (text, line, key) in [
        ("colour = 1", 1, "colour"),
        // Beside a transformer without fields, where it would mask every column of the table.
        (
            "[[mask]]\ntable = \"t\"\ncolunm = \"x\"\nwith = \"null\"",
            3,
            "colunm",
        ),
        (
            "[[mask]]\ncolumn = \"x\"\nwith = \"redact\"\nkeep_frist = 2",
            4,
            "keep_frist",
        ),
        (
            "[[mask]]\ncolumn = \"x\"\nwith = \"fake-email\"\nwhat = \"name\"",
            4,
            "what",
        ),
        (
            "[[mask]]\ncolumn = \"x\"\nwith = \"json\"\nrules = [\n{ path = \"a\", with = \"uuid\", uniqe = true }]",
            5,
            "uniqe",
        ),
        (
            "[[allow]]\ntable = \"t\"\ncolumn = \"c\"\nwhy = \"x\"",
            4,
            "why",
        ),
        ("[subset]\nroot = [\"t\"]", 2, "root"),
        (
            "[[subset.table]]\ntable = \"t\"\nchilds = \"leave\"",
            3,
            "childs",
        ),
    ] {
        let said = refused(text);
        assert!(
            said.contains(&format!("line {line}:")) && said.contains(&format!("unknown key {key}")),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_meant_is_refused_without_its_values() {
    let mask = |rest: &str| format!("[[mask]]\ncolumn = \"c\"\n{rest}");
    for (text, why) in [
        (
            "version = 1\nmask = \"hunter2\"".to_owned(),
            "list of tables",
        ),
        (
            "[[mask]]\nwith = \"null\"".to_owned(),
            "neither table, column nor type",
        ),
        (mask("value = \"hunter2\""), "with is missing"),
        (mask("with = \"hunter2\""), "with is none of"),
        (mask("with = \"fake-hunter2\""), "with is none of"),
        (mask("with = \"fake\""), "what is missing"),
        (mask("with = \"constant\""), "value is missing"),
        (
            mask("with = \"fake\"\nwhat = \"hunter2\""),
            "what must be one of",
        ),
        (
            mask("with = \"fake-name\"\nunique = \"hunter2\""),
            "true or false",
        ),
        (
            mask("with = \"redact\"\ncharacter = \"hunter2\""),
            "one character",
        ),
        (mask("with = \"redact\"\nkeep_first = -1"), "whole number"),
        (mask("with = \"date-shift\"\nmax_days = 0"), "1 at least"),
        (
            mask("with = \"redact\"\ncharacter = \"x\""),
            "neither letter nor digit",
        ),
        (mask("with = \"noise\"\npercent = 0"), "above 0"),
        (mask("with = \"noise\"\npercent = nan"), "a number"),
        (
            mask("with = \"noise\"\npercent = 1\nmin = 3\nmax = 2"),
            "greater than max",
        ),
        (mask("with = \"json\""), "nothing changes"),
        (
            mask("with = \"null\"\nwhen = { is = [\"hunter2\"] }"),
            "column is missing",
        ),
        (
            mask("with = \"null\"\nwhen = { column = \"hunter\" }"),
            "says nothing",
        ),
        (
            mask("with = \"null\"\nwhen = { column = \"c\", is = [] }"),
            "in no row",
        ),
        (
            mask(
                "with = \"null\"\nwhen = { column = \"c\", is = [\"a\"], is_not = [\"b\", \"a\"] }",
            ),
            "in no row",
        ),
        (
            mask("with = \"null\"\nwhen = { column = \"c\", is = [\"a\"], is_null = true }"),
            "in no row",
        ),
        (
            "[[reference]]\nfrom = \"a(b)\"\nto = \"c(d)\"\nwhen = { column = \"k\", is = [] }"
                .to_owned(),
            "in no row",
        ),
        (
            "[[mask]]\ncolumn = \"a[\"\nwith = \"null\"".to_owned(),
            "no pattern",
        ),
        (
            "[[mask]]\ntable = 'app.\"Odd T\"'\nwith = \"null\"".to_owned(),
            "without",
        ),
        (
            "[[allow]]\ntable = \"t\"\ncolumn = '\"Odd\"'".to_owned(),
            "without",
        ),
        ("[[allow]]\ntable = \"t\"".to_owned(), "column is missing"),
        ("[subset]\npercent = 101".to_owned(), "at most 100"),
        (
            "[[subset.table]]\ntable = \"a.b.c\"".to_owned(),
            "names no table",
        ),
        (
            "[[subset.table]]\ntable = \"t\"\nrows = \"all\"\nlimit = 3".to_owned(),
            "besides",
        ),
        ("key = \"hunter2".to_owned(), "it is not TOML"),
    ] {
        let said = refused(&text);
        assert!(said.contains(why), "{text}\n{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let newer = parse("version = 2", "rules.toml").unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::DocumentVersion);
}

#[test]
fn patterns_mean_tables_of_public_unless_they_say_where() {
    let public = |name: &str| QualifiedName::new("public", name);
    let table = |text: &str| Pattern::of_table(text, Case::IsTheSame).unwrap();
    assert!(table("orders").is_table(&public("orders")));
    assert!(table("ORDERS").is_table(&public("orders")));
    assert!(!table("orders").is_table(&QualifiedName::new("app", "orders")));
    assert!(!table("*").is_table(&QualifiedName::new("app", "orders")));
    assert!(table("*.*").is_table(&QualifiedName::new("app", "a/b.c")));
    assert!(table("{app,crm}.log_20??").is_table(&QualifiedName::new("crm", "log_2025")));
    let typed = |text: &str| Pattern::new(text, Case::IsTheSame).unwrap();
    assert!(typed("character varying").is_type("character varying(20)"));
    assert!(typed("timestamp with time zone").is_type("timestamp(3) with time zone"));
    assert!(typed("citext").is_type("extensions.citext"));
    assert!(typed("numeric(10,2)").is_type("numeric(10,2)"));
    assert!(!typed("text").is_type("text[]"));
    assert!(typed("text[]").is_type("text[]"));
}

#[test]
fn patterns_are_of_characters_and_of_any_case() {
    for (pattern, name, is_match, is_as_written) in [
        ("größe", "GRÖSSE", false, false),
        ("größe", "GröẞE", true, false),
        ("Ärzt*", "ärztin", true, false),
        ("gr??e", "größe", true, true),
        ("[äö]?", "ÖL", true, false),
        ("[!a-z]x", "üx", true, true),
        ("[!a-z]x", "bx", false, false),
        ("a*z", "a\n/z", true, true),
        ("{na,vor}me", "vorme", true, true),
        ("a,b", "a,b", true, true),
        ("\\*\\[", "*[", true, true),
        ("a.c", "abc", false, false),
        ("[]x]", "[]x]", true, true),
        ("[a-]", "-", true, true),
        ("**", "", true, true),
    ] {
        let of = |case| Pattern::new(pattern, case).unwrap().is_match(name);
        let found = (of(Case::IsTheSame), of(Case::Differs));
        assert_eq!(found, (is_match, is_as_written), "{pattern} {name}");
    }
    for bad in ["a[", "a[]b[", "{a", "a}", "\\", "[z-a]"] {
        assert!(Pattern::new(bad, Case::IsTheSame).is_err(), "{bad}");
    }
}

#[test]
fn what_is_let_go_is_named_letter_by_letter() {
    let text =
        "[[allow]]\ntable = \"t\"\ncolumn = \"mail\"\n[[allow]]\ntable = \"*.*\"\ncolumn = \"x*\"";
    let rules = parse(text, "r").unwrap();
    let allows = Allows::of(&rules);
    let public = QualifiedName::new("public", "t");
    assert!(allows.find(&public, "mail").is_some());
    assert!(allows.find(&public, "Mail").is_none());
    assert!(allows.find(&QualifiedName::new("s", "t"), "mail").is_none());
    assert!(allows.find(&QualifiedName::new("s", "t"), "xy").is_some());
}

#[test]
fn transformers_have_the_names_that_rules_give_them() {
    let rules = parse(ALL, "r").unwrap();
    let titles: Vec<String> = rules
        .masks
        .iter()
        .map(|mask| title(&mask.transformer))
        .collect();
    assert_eq!(
        titles,
        ["fake-email", "null", "constant", "date-shift", "json"]
    );
}
