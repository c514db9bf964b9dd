use clap::Parser;
use towpath_model::clone::AllowedColumn;

use super::*;
use crate::arguments::{Arguments, Command};

const SOURCE: &str = "postgres://postgres:s3cret@source.example:5432/postgres";
const TARGET: &str = "postgres://master:hunter2@target.example:5432/app";

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let all = [&[("source.url", SOURCE), ("target.url", TARGET)], pairs].concat();
    Settings::of_texts(&all, Path::new("/nowhere"))
}

fn refused(settings: &Settings, to: &str) -> String {
    let failure = destination(settings, to).unwrap_err();
    let said = format!("{failure:?} {:?}", failure.find_hint());
    assert!(
        !said.contains("hunter2") && !said.contains("s3cret"),
        "{said}"
    );
    said
}

#[test]
fn a_name_is_a_database_on_the_server_of_clones_or_of_the_target() {
    let found = destination(&settings(&[]), "Stag\"ing' 1").unwrap();
    assert_eq!(found.name, "Stag\"ing' 1");
    assert_eq!(found.url.identity(), "target.example:5432/app");
    let own = [("clone.url", "postgres://m:x@clones.example/postgres")];
    let found = destination(&settings(&own), "staging").unwrap();
    assert_eq!(found.url.identity(), "clones.example:5432/postgres");
    let neither = Settings::of_texts(&[("source.url", SOURCE)], Path::new("/nowhere"));
    assert!(refused(&neither, "staging").contains("TOWPATH_CLONE_URL"));
}

#[test]
fn names_that_no_clone_can_have_are_refused() {
    let long = "x".repeat(64);
    let umlauts = "ä".repeat(32);
    for (name, why) in [
        ("", "empty"),
        (long.as_str(), "longer than 63 bytes"),
        (umlauts.as_str(), "longer than 63 bytes"),
        ("a\nb", "control character"),
        ("postgres", "server's own"),
        ("template1", "server's own"),
        ("rdsadmin", "server's own"),
        ("towpath_clone_20260101_x", "builds or keeps"),
        ("app", "leads to the server"),
    ] {
        let said = refused(&settings(&[]), name);
        assert!(said.contains(why), "{name:?}: {said}");
    }
    destination(&settings(&[]), &"x".repeat(63)).unwrap();
    // The target that a migration goes to, when another database leads to its server.
    let own = settings(&[("clone.url", "postgres://m:x@TARGET.example/postgres")]);
    assert!(refused(&own, "app").contains("the target itself"));
    let beside = settings(&[("clone.url", "postgres://m:x@source.example/other")]);
    assert!(refused(&beside, "postgres").contains("server's own"));
    let local = Settings::of_texts(
        &[
            ("source.url", "postgres://u@localhost/live"),
            ("target.url", "postgres://u@127.0.0.1/app"),
        ],
        Path::new("/nowhere"),
    );
    assert!(refused(&local, "live").contains("the source itself"));
}

#[test]
fn a_url_names_the_server_and_never_the_password() {
    let to = "postgres://master@target.example/staging";
    let found = destination(&settings(&[]), to).unwrap();
    assert_eq!(
        (found.name.as_str(), found.url.database.as_str()),
        ("staging", "app")
    );
    assert_eq!(found.url.password.unwrap().reveal(), "hunter2");
    // Somebody else's password is not handed around.
    let other = destination(&settings(&[]), "postgres://owner@target.example/staging").unwrap();
    assert!(other.url.password.is_none());
    let elsewhere = destination(&settings(&[]), "postgres://master@else.example/staging").unwrap();
    assert!(elsewhere.url.password.is_none());
    assert_eq!(elsewhere.url.database, "postgres");
    let given = settings(&[("clone.password", "other")]);
    let found = destination(&given, to).unwrap();
    assert_eq!(found.url.password.unwrap().reveal(), "other");
    for bad in [
        "postgres://m:hunter2@target.example/staging",
        "postgres://m@target.example/staging?password=hunter2",
    ] {
        assert!(refused(&settings(&[]), bad).contains("TOWPATH_CLONE_PASSWORD"));
    }
    refused(&settings(&[]), "mysql://m:hunter2@target.example/staging");
}

#[test]
fn an_order_for_another_source_is_another_order() {
    let of = |source: &str, from: Option<&str>| {
        let pairs = [("source.url", source), ("target.url", TARGET)];
        let order = Order {
            destination: destination(&settings(&[]), "staging").unwrap(),
            from: from.map(|run| run.parse().unwrap()),
            source: source_of(&Settings::of_texts(&pairs, Path::new("/nowhere")), from),
            rules: CloneRules::default(),
            rules_place: String::new(),
            rules_file: None,
            key: None,
            unmasked: true,
            auth: AuthRows::None,
            sequences: CloneSequences::Carry,
            reuse: true,
            residual: true,
            keep: 1,
            anew: false,
            dry_run: false,
            yes: true,
        };
        order.digest().unwrap()
    };
    let (one, two) = (
        SOURCE,
        "postgres://postgres:s3cret@source.example:5432/other",
    );
    assert_ne!(of(one, None), of(two, None));
    // The password may have changed in between, and a sealed run has nothing to do with the source.
    let again = SOURCE.replace("s3cret", "hunter2");
    assert_eq!(of(one, None), of(&again, None));
    let from = Some("20260101-0a1b2c3d");
    assert_eq!(of(one, from), of(two, from));
}

#[test]
fn a_key_is_long_or_refused_and_never_told() {
    let of = |key: &str| key_at_hand(&settings(&[("clone.key", key)]));
    assert!(of("").unwrap().is_none());
    let short = of("hunter2 hunter2").unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Config);
    assert!(!format!("{short:?}").contains("hunter2"));
    let id = |key: &str| of(key).unwrap().unwrap().id();
    // Editors put a line's end behind it.
    assert_eq!(id("0123456789abcdef"), id(" 0123456789abcdef\n"));
    assert_ne!(id("0123456789abcdef"), id("0123456789abcdeF"));
}

#[test]
fn who_says_that_nothing_is_masked_means_accounts_as_well() {
    let of = |pairs: &[_], unmasked| auth_rows(&settings(pairs), unmasked).unwrap();
    assert_eq!(of(&[], false), AuthRows::Ids);
    assert_eq!(of(&[], true), AuthRows::Masked);
    assert_eq!(of(&[("clone.auth", "none")], true), AuthRows::None);
    assert_eq!(keep(&settings(&[("clone.keep", "0")]), None).unwrap(), 0);
    assert_eq!(keep(&settings(&[]), Some(3)).unwrap(), 3);
    assert!(keep(&settings(&[("clone.keep", "-1")]), None).is_err());
}

#[test]
fn a_sealed_run_goes_whole_and_rules_that_say_otherwise_are_refused() {
    let of = |text: &str| {
        let rules = rules::parse(text, "rules.toml").unwrap();
        refuse_subset(&rules, "rules.toml")
    };
    for part in [
        "[[subset.table]]\ntable = \"audit\"\nrows = \"none\"",
        "[[subset.table]]\ntable = \"audit\"\nwhere = \"true\"",
        "[subset]\npercent = 5",
        "[subset]\nlimit = 5",
        "[subset]\nroots = [\"audit\"]",
    ] {
        let failure = of(part).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Usage);
        assert!(failure.to_string().contains("rules.toml"), "{failure}");
    }
    of("[subset]\nseed = \"s\"\n[[subset.table]]\ntable = \"t\"\nrows = \"all\"").unwrap();
}

#[test]
fn users_are_said_to_go_with_their_ids_alone_only_if_they_do() {
    let of = |schema: &str, columns: &[&str], masked: &[&str]| {
        let name = QualifiedName::new(schema, "users");
        let mask = serde_json::json!({
            "transformer": {"with": "null"}, "domain": "d", "base_type": "text",
            "uniqueness": "lossy", "origin": "clone.auth",
        });
        let masks: serde_json::Map<_, _> = masked
            .iter()
            .map(|column| ((*column).to_owned(), mask.clone()))
            .collect();
        let table = serde_json::json!({
            "id": towpath_model::TableId::of(&name), "name": name, "columns": columns, "key": [],
            "types": [], "masks": masks, "format": "binary", "bytes": 0, "estimated_rows": 0,
            "force_row_security": false, "chunks": [],
        });
        is_more_than_ids(&[serde_json::from_value(table).unwrap()])
    };
    assert!(!of("auth", &["id", "created_at", "email"], &["email"]));
    assert!(of("auth", &["id", "email", "phone"], &["email"]));
    assert!(!of("public", &["id", "email"], &[]));
}

#[test]
fn the_plan_names_what_goes_as_it_is_whoever_let_it() {
    let mut coverage = Coverage::default();
    for (column, reason) in [("E-Mail", "says its comment"), ("phone", "")] {
        coverage.allowed.push(AllowedColumn {
            table: QualifiedName::new("public", "shops"),
            column: column.to_owned(),
            reason: reason.to_owned(),
            hits: 0,
        });
    }
    assert_eq!(
        shown_allowed(&coverage),
        "goes as it is: public.shops.\"E-Mail\" (says its comment)\n\
         goes as it is: public.shops.phone\n"
    );
}

fn subset(more: &[&str]) -> Result<CloneRules> {
    let line = [&["towpath", "clone", "--to", "x"], more].concat();
    let Command::Clone(arguments) = Arguments::try_parse_from(line).unwrap().command else {
        panic!("not a clone");
    };
    let mut rules = CloneRules::default();
    rules.subset.tables.push(TableRule {
        table: "app.t".to_owned(),
        condition: Some("a = 1 -- one".to_owned()),
        ..TableRule::default()
    });
    rules.subset.limit = Some(7);
    add_subset(&mut rules, &arguments)?;
    Ok(rules)
}

#[test]
fn the_command_line_adds_to_the_rules() {
    let rules = subset(&[
        "--where",
        "app.t=b <= 2 or c = 'x=y'",
        "--where",
        "\"A=b\" = d",
        "--percent",
        "2.5",
        "--root",
        "orders",
        "--seed",
        "s",
    ])
    .unwrap();
    let tables = &rules.subset.tables;
    // A comment at the end of one must not swallow the other.
    assert_eq!(
        tables[0].condition.as_deref(),
        Some("(a = 1 -- one\n) and (b <= 2 or c = 'x=y'\n)")
    );
    assert_eq!(
        table_named(&tables[1].table),
        Some(QualifiedName::new("public", "A=b"))
    );
    assert_eq!(tables[1].condition.as_deref(), Some("d"));
    assert_eq!(
        (rules.subset.percent, rules.subset.limit),
        (Some(2.5), Some(7))
    );
    assert_eq!(rules.subset.roots, ["orders"]);
    for bad in [
        &["--where", "t"][..],
        &["--where", "t="],
        &["--where", "=hunter2"],
        &["--percent", "0"],
        &["--percent", "101"],
        &["--root", "a.b.c"],
    ] {
        let failure = subset(bad).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Usage, "{bad:?}");
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
    // What the hint shows can be pasted: in a shell, two single quotes within single ones are none.
    let failure = subset(&["--where", "t"]).unwrap_err();
    let example = failure.find_hint().unwrap().split('"').nth(1).unwrap();
    let rules = subset(&["--where", example]).unwrap();
    let condition = rules.subset.tables[1].condition.as_deref().unwrap();
    assert!(condition.ends_with("interval '90 days'"), "{condition}");
}
