//! Every check is shown to pass and to fail.

use std::collections::BTreeMap;

use towpath_model::QualifiedName;
use towpath_model::inventory::{Migration, RelationKind};
use towpath_model::schema::{Certainty, Decision, ObjectReport, RuntimeBreak};
use towpath_model::schema::{ExtensionFate, ExtensionReport, SecretFate, SecretReport};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::*;

pub(crate) fn server(user: &str) -> ServerFacts {
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
        abilities: Default::default(),
        capacity: Default::default(),
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
        index_bytes: 0,
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
        aspects: BTreeMap::from([("columns".to_owned(), columns)]).into(),
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
    filled_tables: Vec<QualifiedName>,
    state: TargetState,
    will_be_cleared: bool,
    large_objects: LargeObjects,
    fate: LargeObjectFate,
    foreign: ForeignLargeObjects,
    migrations: Option<MigrationHistory>,
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
            filled_tables: Vec::new(),
            state: TargetState::Untouched,
            will_be_cleared: false,
            large_objects: LargeObjects::default(),
            fate: LargeObjectFate::Carry,
            foreign: ForeignLargeObjects::default(),
            migrations: None,
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
            filled_tables: &self.filled_tables,
            target_state: self.state.clone(),
            will_be_cleared: self.will_be_cleared,
            large_objects: &self.large_objects,
            large_object_fate: self.fate,
            target_large_objects: &self.foreign,
            migrations: self.migrations.as_ref(),
            secrets: Handling::Redact,
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
    let cases: [(&str, Break); 9] = [
        ("source-readable", |world| world.relation.readable = false),
        ("source-large-objects", |world| {
            world.large_objects.count = 3;
            world.large_objects.unreadable = 1;
            world.large_objects.unreadable_oids = vec![700_001];
        }),
        ("target-large-objects", |world| world.foreign.count = 1),
        ("source-version", |world| world.source.version_num = 130_001),
        ("target-version", |world| world.target.version_num = 140_001),
        ("target-login", |world| {
            world.target.can_create_roles = false
        }),
        ("target-encoding", |world| {
            world.target.encoding = "SQL_ASCII".to_owned()
        }),
        ("target-empty", |world| {
            world.filled_tables = vec![QualifiedName::new("app", "orders")]
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
    assert_eq!(world.verdict("target-structure").0, Verdict::Fail);
    world.filled_tables = vec![QualifiedName::new("public", "orders")];
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
    assert_eq!(world.verdict("target-empty").0, Verdict::Pass);
    world.state = TargetState::OtherRun("20260101-000000-abcd".to_owned());
    assert_eq!(
        world.verdict("target-empty").0,
        Verdict::Pass,
        "no row of it is left"
    );
    world.state = TargetState::Untouched;
    for (columns, part) in [
        (
            serde_json::json!([column("id", "integer")]),
            "column id: type: target integer, source bigint",
        ),
        (serde_json::json!([]), "column id: only in source"),
        (
            serde_json::json!([column("id", "bigint"), column("x", "text")]),
            "column x: only in target",
        ),
    ] {
        world.target_structure = Structure::new([table("orders", columns)]);
        let (verdict, finding) = world.verdict("target-structure");
        assert_eq!(verdict, Verdict::Fail);
        assert!(finding.contains(part), "{finding}");
    }
}

#[test]
fn large_objects_go_stay_or_stop_the_run() {
    let mut world = World::sound();
    world.large_objects.count = 3;
    let (verdict, finding) = world.verdict("source-large-objects");
    assert_eq!(verdict, Verdict::Pass);
    assert!(finding.contains('3'), "{finding}");
    world.fate = LargeObjectFate::Leave;
    assert_eq!(world.verdict("source-large-objects").0, Verdict::Warn);
    world.fate = LargeObjectFate::Refuse;
    assert_eq!(world.verdict("source-large-objects").0, Verdict::Fail);
    world.fate = LargeObjectFate::Carry;
    world.large_objects.unreadable = 9;
    world.large_objects.unreadable_oids = (700_001..700_007).collect();
    let (verdict, finding) = world.verdict("source-large-objects");
    assert_eq!(verdict, Verdict::Fail);
    assert!(finding.contains("9 large objects: 700001"), "{finding}");
    assert!(finding.contains("700005 and 4 more"), "{finding}");
}

#[test]
fn a_taken_oid_is_named() {
    let mut world = World::sound();
    world.foreign = ForeignLargeObjects {
        count: 2,
        taken: vec![700_001],
    };
    let (verdict, finding) = world.verdict("target-large-objects");
    assert_eq!(verdict, Verdict::Fail);
    assert!(finding.contains("700001"), "{finding}");
    world.will_be_cleared = true;
    assert_eq!(world.verdict("target-large-objects").0, Verdict::Warn);
    world.will_be_cleared = false;
    world.state = TargetState::ThisRun;
    assert_eq!(world.verdict("target-large-objects").0, Verdict::Pass);
}

#[test]
fn a_fence_on_the_source_warns_and_says_whose_it_is() {
    let mut world = World::sound();
    world.schema.report.objects.push(ObjectReport {
        object: ObjectId::global(ObjectKind::Schema, "towpath_fence"),
        decision: Decision::Dropped,
        rule: "fence".to_owned(),
        reason: "fence of towpath run 20260101-000000-abcdef".to_owned(),
        changed: Vec::new(),
    });
    let (verdict, finding) = world.verdict("source-fence");
    assert_eq!(verdict, Verdict::Warn);
    assert!(finding.contains("20260101-000000-abcdef"), "{finding}");
}

#[test]
fn a_history_with_a_secret_warns_and_names_the_version() {
    let mut world = World::sound();
    let migration = |version: &str, holds_secret| Migration {
        version: version.to_owned(),
        name: None,
        has_statements: true,
        fingerprint: None,
        holds_secret,
    };
    let mut history = MigrationHistory {
        migrations: vec![migration("0001", false), migration("0002", false)],
        now: "20261122170000".to_owned(),
    };
    world.migrations = Some(history.clone());
    assert_eq!(world.verdict("migration-history").0, Verdict::Pass);
    history.migrations[1].holds_secret = true;
    world.migrations = Some(history);
    let (verdict, finding) = world.verdict("migration-history");
    assert_eq!(verdict, Verdict::Warn);
    assert!(finding.ends_with("stay on the source: 0002"), "{finding}");
}

#[test]
fn what_fails_the_load_stops_the_plan_and_what_fails_later_is_told() {
    let broken = |kind, certainty, during_load| RuntimeBreak {
        certainty,
        during_load,
        ..RuntimeBreak::new(
            ObjectId::on(kind, "public", "orders", "x"),
            "net.http_post",
            "it fails",
        )
    };
    let mut world = World::sound();
    world.schema.report.breaks_at_run_time =
        vec![broken(ObjectKind::Policy, Certainty::Perhaps, false)];
    let (verdict, finding) = world.verdict("schema-run-time");
    assert_eq!(verdict, Verdict::Warn);
    assert!(finding.contains("perhaps needs net.http_post"), "{finding}");
    let trigger = broken(ObjectKind::Trigger, Certainty::Surely, false);
    world.schema.report.breaks_at_run_time.push(trigger);
    let (verdict, finding) = world.verdict("schema-run-time");
    assert_eq!(verdict, Verdict::Warn);
    assert!(
        finding.contains("writes to their tables will fail"),
        "{finding}"
    );
    let index = broken(ObjectKind::Index, Certainty::Surely, true);
    world.schema.report.breaks_at_run_time.push(index);
    let (verdict, finding) = world.verdict("schema-run-time");
    assert_eq!(verdict, Verdict::Fail);
    assert!(finding.contains("index x on public.orders"), "{finding}");
}

fn extension(name: &str, fate: ExtensionFate) -> ExtensionReport {
    ExtensionReport {
        name: name.to_owned(),
        version: "1.10".to_owned(),
        offered: (fate != ExtensionFate::Absent).then(|| "1.9".to_owned()),
        fate,
        unlisted: false,
        lost: Vec::new(),
    }
}

#[test]
fn an_extension_that_changes_something_is_told() {
    let mut world = World::sound();
    world.schema.report.extensions = vec![
        extension("pg_net", ExtensionFate::Absent),
        extension("citext", ExtensionFate::Same),
    ];
    let (verdict, finding) = world.verdict("extensions");
    assert_eq!(verdict, Verdict::Pass);
    assert!(finding.contains("pg_net"), "{finding}");

    let lost = ObjectId::of(ObjectKind::View, "public", "reached");
    for (change, told) in [
        (
            extension("vector", ExtensionFate::Older),
            "vector comes in version 1.9, the source has 1.10",
        ),
        (
            extension("pgjwt", ExtensionFate::Replaced),
            "same signatures",
        ),
        (
            ExtensionReport {
                lost: vec![lost],
                ..extension("pg_net", ExtensionFate::Absent)
            },
            "without it 1 do not go: view public.reached",
        ),
        (
            ExtensionReport {
                unlisted: true,
                ..extension("citext", ExtensionFate::Same)
            },
            "rds.extensions does not name it",
        ),
    ] {
        world.schema.report.extensions = vec![change];
        let (verdict, finding) = world.verdict("extensions");
        assert_eq!(verdict, Verdict::Warn);
        assert!(finding.contains(told), "{finding}");
    }
}

#[test]
fn secrets_are_told_by_where_they_are() {
    let mut world = World::sound();
    assert_eq!(world.verdict("schema-secrets").0, Verdict::Pass);
    for (fate, told) in [
        (
            SecretFate::LeftOut,
            "stays on the source: trigger hook on public.orders (API key)",
        ),
        (
            SecretFate::Carried,
            "goes along into the run store and onto the target: trigger hook",
        ),
    ] {
        world.schema.report.secrets = vec![SecretReport {
            object: ObjectId::on(ObjectKind::Trigger, "public", "orders", "hook"),
            kind: "API key".to_owned(),
            fate,
        }];
        let (verdict, finding) = world.verdict("schema-secrets");
        assert_eq!(verdict, Verdict::Warn);
        assert!(finding.contains(told), "{finding}");
    }
}
