//! Every check is shown to pass and to fail.

use std::collections::BTreeMap;

use towpath_model::QualifiedName;
use towpath_model::inventory::RelationKind;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::*;

fn server(user: &str) -> ServerFacts {
    ServerFacts {
        version_num: 150_018,
        system_identifier: None,
        database: "postgres".to_owned(),
        user: user.to_owned(),
        is_superuser: false,
        bypasses_rls: true,
        can_create_roles: true,
        encoding: "UTF8".to_owned(),
        collation: "C.UTF-8".to_owned(),
        search_path: String::new(),
        uses_tls: true,
        available_extensions: BTreeMap::new(),
        database_bytes: 0,
    }
}

fn relation(name: &str) -> Relation {
    Relation {
        name: QualifiedName::new("public", name),
        oid: 1,
        kind: RelationKind::Table,
        owner: "postgres".to_owned(),
        extension: None,
        readable: true,
        row_security: true,
        force_row_security: false,
        unlogged: false,
        is_child: false,
        pages: 1,
        bytes: 8192,
        estimated_rows: 1,
        columns: Vec::new(),
    }
}

fn table(name: &str, columns: serde_json::Value) -> SchemaObject {
    SchemaObject {
        id: ObjectId::of(ObjectKind::Table, "public", name),
        oid: 1,
        owner: None,
        extension: None,
        comment: None,
        grants: Default::default(),
        aspects: BTreeMap::from([("columns".to_owned(), columns)]),
    }
}

/// Runs all checks over changed facts; gives the verdict of one.
struct World {
    source_url: &'static str,
    source: ServerFacts,
    target: ServerFacts,
    relation: Relation,
    schema: CleanSchema,
    target_structure: Structure,
    state: TargetState,
    will_be_cleared: bool,
    large_objects: u64,
    store_problem: Option<(String, String)>,
}

impl World {
    fn sound() -> Self {
        Self {
            source_url: "postgres://postgres@db.abcdefghijklmnopqrst.supabase.co/postgres",
            source: server("postgres"),
            target: ServerFacts {
                bypasses_rls: false,
                ..server("master")
            },
            relation: relation("orders"),
            schema: CleanSchema::default(),
            target_structure: Structure::default(),
            state: TargetState::Untouched,
            will_be_cleared: false,
            large_objects: 0,
            store_problem: None,
        }
    }

    fn results(&self) -> Vec<CheckResult> {
        let source_url = ConnectionUrl::parse(self.source_url, Side::Source).unwrap();
        let target_url =
            ConnectionUrl::parse("postgres://m@x.rds.amazonaws.com/app", Side::Target).unwrap();
        run(&Facts {
            source_url: &source_url,
            target_url: &target_url,
            source: &self.source,
            target: &self.target,
            relations: &[&self.relation],
            schema: &self.schema,
            target_structure: &self.target_structure,
            target_state: self.state.clone(),
            will_be_cleared: self.will_be_cleared,
            large_objects: self.large_objects,
            leave_large_objects: false,
            store_problem: self.store_problem.clone(),
        })
    }

    fn verdict(&self, check: &str) -> (Verdict, String) {
        let results = self.results();
        let result = results.iter().find(|result| result.check == check);
        let result = result.unwrap_or_else(|| panic!("no check {check}"));
        if result.verdict != Verdict::Pass {
            assert!(!result.remedy.is_empty(), "{check} has no remedy");
        }
        (result.verdict, result.finding.clone())
    }
}

#[test]
fn a_sound_world_passes_every_check() {
    for result in World::sound().results() {
        assert_eq!(
            result.verdict,
            Verdict::Pass,
            "{}: {}",
            result.check,
            result.finding
        );
    }
}

#[test]
fn a_login_under_row_level_security_fails() {
    let mut world = World::sound();
    world.source.bypasses_rls = false;
    world.source.user = "reporting".to_owned();
    let (verdict, finding) = world.verdict("source-login");
    assert_eq!(verdict, Verdict::Fail);
    assert!(finding.contains("public.orders"), "{finding}");
}

#[test]
fn an_owner_is_not_filtered_unless_forced() {
    let mut world = World::sound();
    world.source.bypasses_rls = false;
    assert_eq!(world.verdict("source-login").0, Verdict::Pass);
    world.relation.force_row_security = true;
    assert_eq!(world.verdict("source-login").0, Verdict::Fail);
}

#[test]
fn each_broken_fact_fails_its_check() {
    type Break = fn(&mut World);
    let cases: [(&str, Break); 8] = [
        ("source-readable", |world| world.relation.readable = false),
        ("source-large-objects", |world| world.large_objects = 3),
        ("source-version", |world| world.source.version_num = 130_001),
        ("target-version", |world| world.target.version_num = 140_001),
        ("target-login", |world| {
            world.target.can_create_roles = false
        }),
        ("target-encoding", |world| {
            world.target.encoding = "SQL_ASCII".to_owned()
        }),
        ("target-empty", |world| {
            world.state = TargetState::OtherRun("x".to_owned())
        }),
        ("store", |world| {
            world.store_problem = Some(("gone".to_owned(), "mend".to_owned()))
        }),
    ];
    for (check, broken) in cases {
        let mut world = World::sound();
        broken(&mut world);
        assert_eq!(world.verdict(check).0, Verdict::Fail, "{check}");
    }
}

#[test]
fn warnings_do_not_block() {
    let mut world = World::sound();
    world.relation.unlogged = true;
    assert_eq!(world.verdict("source-unlogged").0, Verdict::Warn);
    let mut world = World::sound();
    world.source_url = "postgres://postgres@db.abc.supabase.co/postgres?sslmode=require";
    assert_eq!(world.verdict("source-tls").0, Verdict::Warn);
}

#[test]
fn a_target_that_will_be_cleared_warns_of_what_it_loses() {
    let mut world = World::sound();
    world.target_structure = Structure::new([table("orders", serde_json::json!([]))]);
    assert_eq!(world.verdict("target-empty").0, Verdict::Fail);
    world.will_be_cleared = true;
    let (verdict, finding) = world.verdict("target-empty");
    assert_eq!(verdict, Verdict::Warn);
    assert!(finding.contains("public.orders"), "{finding}");
    assert_eq!(world.verdict("target-structure").0, Verdict::Pass);
}

#[test]
fn the_same_database_twice_fails() {
    let mut world = World::sound();
    world.source_url = "postgres://m@x.rds.amazonaws.com/app";
    assert_eq!(world.verdict("two-databases").0, Verdict::Fail);
}

#[test]
fn another_structure_is_shown_column_by_column() {
    let column = |name: &str, kind: &str| serde_json::json!({"name": name, "type": kind});
    let mut world = World::sound();
    let expected = table("orders", serde_json::json!([column("id", "bigint")]));
    world.schema.expected = Structure::new([expected.clone()]);
    world.target_structure = Structure::new([expected]);
    assert_eq!(world.verdict("target-structure").0, Verdict::Pass);
    assert_eq!(world.verdict("target-empty").0, Verdict::Fail);
    for (columns, part) in [
        (
            serde_json::json!([column("id", "integer")]),
            "id is integer, expected bigint",
        ),
        (serde_json::json!([]), "column id is missing"),
        (
            serde_json::json!([column("id", "bigint"), column("x", "text")]),
            "column x is extra",
        ),
    ] {
        world.target_structure = Structure::new([table("orders", columns)]);
        let (verdict, finding) = world.verdict("target-structure");
        assert_eq!(verdict, Verdict::Fail);
        assert!(finding.contains(part), "{finding}");
    }
}
