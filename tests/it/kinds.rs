//! Every kind of object with every attribute arrives, and whatever differs is found.

use std::collections::BTreeSet;

use serde_json::Value;
use towpath_tests::pg::psql;
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{Pair, Project, TargetShape, pair_with, project};

fn loaded(shape: &TargetShape) -> (Pair, Site, Project) {
    let pair = pair_with(shape);
    let site = Site::default_of(&pair);
    psql(&site.source, &fixture("kinds/1_types.sql"));
    psql(&site.source, &fixture("kinds/2_tables.sql"));
    psql(&site.source_superuser, &fixture("kinds/3_platform.sql"));
    let project = site.project(project!(&pair));
    project.expect(0, &["run", "--yes"]);
    (pair, site, project)
}

fn assert_arrived(site: &Site, project: &Project) {
    assert_moved_columns_are_told(project);
    let end = project.expect(0, &["diff", "source", "target"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    let end = project.expect(0, &["verify"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    let unexplained = site.unexplained(project);
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    site.assert_same_rows();
}

/// Tables whose columns CREATE TABLE puts into another order, and one where it does not.
fn assert_moved_columns_are_told(project: &Project) {
    let report = project.document("schema/report.json");
    let objects = report["objects"].as_array().expect("objects");
    let told = |name: &str| {
        let table = objects
            .iter()
            .find(|entry| entry["object"]["kind"] == "table" && entry["object"]["name"] == name);
        table.unwrap_or_else(|| panic!("{name} is not in the report"))
    };
    for (name, order) in [
        (
            "smith's",
            "motto, rank, founded, tool, \"a.b\", not as tool, rank, motto, \"a.b\", founded",
        ),
        (
            "apprentice",
            "motto, rank, founded, tool, \"a.b\", first_day, not as tool,",
        ),
    ] {
        let table = told(name);
        assert_eq!(table["rule"], "column-order", "{table}");
        assert_eq!(table["decision"], "rewritten", "{table}");
        assert_eq!(table["changed"][0], "column_order", "{table}");
        let reason = table["reason"].as_str().expect("a reason");
        assert!(reason.contains(order), "{reason}");
    }
    for name in ["child", "grandchild", "adopted"] {
        assert_eq!(told(name)["decision"], "kept", "{name}");
    }
}

#[test]
fn every_kind_of_object_arrives() {
    let (_pair, site, project) = loaded(&TargetShape::default());
    assert_arrived(&site, &project);
}

#[test]
fn every_kind_of_object_arrives_where_the_master_may_less() {
    let shape = TargetShape {
        master: "postgres".into(),
        capable: false,
        ..TargetShape::default()
    };
    let (_pair, site, project) = loaded(&shape);
    assert_arrived(&site, &project);
}

/// One attribute of one object, changed and set back.
struct Tamper {
    kind: String,
    name: String,
    aspect: String,
    change: String,
    undo: String,
}

fn tampers() -> Vec<Tamper> {
    let text = fixture("kinds/tampers.sql");
    let mut parts = text.split("\n--! ").skip(1);
    let mut tampers = Vec::new();
    while let (Some(change), Some(undo)) = (parts.next(), parts.next()) {
        let (what, change) = change.split_once('\n').expect("a statement");
        let words: Vec<&str> = what.split(" | ").collect();
        let [kind, name, aspect] = words[..] else {
            panic!("{what} has not three parts");
        };
        tampers.push(Tamper {
            kind: kind.to_owned(),
            name: name.to_owned(),
            aspect: aspect.to_owned(),
            change: change.to_owned(),
            undo: undo.strip_prefix("undo\n").expect("an undo").to_owned(),
        });
    }
    tampers
}

/// Objects that `verify` finds different, with the aspect, or `missing` or `extra`.
fn differences(project: &Project, code: i32) -> BTreeSet<(String, String, String)> {
    let end = project.expect(code, &["verify", "--schema", "--json"]);
    let line = end.stdout.lines().last().expect("a verification");
    let verification: Value = serde_json::from_str(line).expect("JSON");
    let list = verification["verification"]["differences"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.expect("differences")
        .iter()
        .map(|difference| {
            let what = find(difference).expect("a difference of structure");
            let aspect = what["aspect"].as_str();
            (
                text(&what["object"]["kind"]),
                text(&what["object"]["name"]),
                aspect.map_or_else(|| text(&what["difference"]), str::to_owned),
            )
        })
        .collect()
}

/// The object among nested ones that names what differs.
fn find(value: &Value) -> Option<&Value> {
    if value
        .get("object")
        .is_some_and(|object| object.get("kind").is_some())
    {
        return Some(value);
    }
    value.as_object()?.values().find_map(find)
}

#[test]
fn whatever_is_tampered_with_is_found_and_named() {
    let (_pair, site, project) = loaded(&TargetShape::default());
    let tampers = tampers();
    assert!(tampers.len() >= 60, "{}", tampers.len());
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        for tamper in &tampers {
            psql(&site.target_superuser, &tamper.change);
            assert_named(&differences(&project, 12), tamper);
            psql(&site.target_superuser, &tamper.undo);
            assert!(differences(&project, 0).is_empty());
        }
        return;
    }
    let all = |one: fn(&Tamper) -> &str| -> Vec<&str> { tampers.iter().map(one).collect() };
    let changes = all(|tamper| &tamper.change);
    psql(&site.target_superuser, &changes.join("\n"));
    let found = differences(&project, 12);
    for tamper in &tampers {
        assert_named(&found, tamper);
    }
    let mut undoings = all(|tamper| &tamper.undo);
    undoings.reverse();
    psql(&site.target_superuser, &undoings.join("\n"));
    let left = differences(&project, 0);
    assert!(left.is_empty(), "{left:#?}");
}

fn assert_named(found: &BTreeSet<(String, String, String)>, tamper: &Tamper) {
    let Tamper {
        kind,
        name,
        aspect,
        change,
        ..
    } = tamper;
    let wanted = (kind.clone(), name.clone(), aspect.clone());
    assert!(
        found.contains(&wanted),
        "{wanted:?} is not found after {change}: {found:#?}"
    );
}
