use clap::Parser;

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
fn a_key_is_long_or_refused_and_never_told() {
    let of = |key: &str| mask_key(&settings(&[("clone.key", key)]));
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
}
