//! Each check is made to fail by the facts that it is about, and by nothing else.

use serde_json::{Value, json};
use towpath_model::QualifiedName;
use towpath_model::inventory::SequenceState;
use towpath_model::structure::{ObjectId, SchemaObject};
use towpath_model::structure::{ObjectKind, Structure, StructureDifference, compare};
use towpath_model::upkeep::{
    BareForeignKey, BrokenIndex, DuplicateIndexes, OnTable, ScheduledJob, SequenceColumn,
    SequenceReach, SequenceUse, Sessions, SourceUse, StaleCollation, Subscription, TargetUpkeep,
    UnusedIndex,
};

use super::differences::part;
use super::source_name::{SourceName, source_names};
use super::*;

struct World {
    expected: Structure,
    found: Structure,
    target: TargetUpkeep,
    sequences: Vec<SequenceUse>,
    exported: Vec<SequenceState>,
    source: Result<SourceUse, String>,
    names: Vec<SourceName>,
    after_cutover: bool,
}

fn object(id: ObjectId, aspects: Value) -> SchemaObject {
    SchemaObject {
        id,
        oid: 0,
        owner: Some("app".to_owned()),
        extension: None,
        comment: None,
        grants: serde_json::from_value(json!([{"grantee": "anon", "privilege": "SELECT"}]))
            .unwrap(),
        aspects: serde_json::from_value(aspects).unwrap(),
    }
}

fn structure() -> Structure {
    let on = |kind, name| ObjectId::on(kind, "public", "orders", name);
    Structure::new([
        object(
            ObjectId::of(ObjectKind::Table, "public", "orders"),
            json!({"columns": [{"name": "id"}], "row_security": true, "replica_identity": "default"}),
        ),
        object(
            on(ObjectKind::Constraint, "orders_pkey"),
            json!({"validated": true, "index_valid": true}),
        ),
        object(on(ObjectKind::Index, "orders_day"), json!({"valid": true})),
        object(on(ObjectKind::Policy, "own"), json!({"using": "true"})),
        object(
            on(ObjectKind::Trigger, "audit"),
            json!({"enabled": "origin"}),
        ),
        object(
            ObjectId::global(ObjectKind::EventTrigger, "watch"),
            json!({"enabled": "origin"}),
        ),
        object(
            ObjectId::global(ObjectKind::Extension, "citext"),
            json!({"version": "1.6"}),
        ),
        object(
            ObjectId::of(ObjectKind::MaterializedView, "public", "sums"),
            json!({"populated": true}),
        ),
        object(
            ObjectId::of(ObjectKind::Function, "public", "f").with_args(""),
            json!({"body": "select 1"}),
        ),
        object(
            ObjectId::global(ObjectKind::ForeignServer, "elsewhere"),
            json!({"options": {"host": "elsewhere.example.com"}}),
        ),
    ])
}

impl World {
    fn sound() -> Self {
        let sequence = QualifiedName::new("public", "orders_id_seq");
        let state = |last_value| SequenceState {
            name: sequence.clone(),
            last_value,
            is_called: true,
        };
        Self {
            expected: structure(),
            found: structure(),
            target: TargetUpkeep {
                autovacuum: true,
                tables: 1,
                ..TargetUpkeep::default()
            },
            sequences: vec![SequenceUse {
                of: SequenceColumn {
                    sequence: sequence.clone(),
                    table: QualifiedName::new("public", "orders"),
                    column: "id".to_owned(),
                    largest: Some(i64::MAX),
                    increment: 1,
                    min: 1,
                    max: i64::MAX,
                    cycles: false,
                    readable: true,
                    is_cheap: true,
                },
                found: Ok(SequenceReach {
                    state: state(7),
                    furthest: Some(7),
                }),
            }],
            exported: vec![state(5)],
            source: Ok(SourceUse::default()),
            names: source_names("db.abcdefghij.supabase.co:5432/postgres", None, &[]),
            after_cutover: true,
        }
    }

    fn checks(&self) -> Vec<HealthCheck> {
        let differences = compare(
            &self.expected,
            &self.found,
            |_| Default::default(),
            |_| false,
        );
        run(&Facts {
            expected: &self.expected,
            found: &self.found,
            differences: &differences,
            target: &self.target,
            sequences: &self.sequences,
            exported: &self.exported,
            source: self.source.as_ref().map_err(String::as_str),
            source_names: &self.names,
            after_cutover: self.after_cutover,
        })
    }

    /// Demands that one check has this verdict and says these words, and that all others pass.
    fn assert_told(&self, check: &str, verdict: Verdict, words: &[&str]) {
        for found in self.checks() {
            let result = &found.result;
            if result.check != check {
                assert_eq!(result.verdict, Verdict::Pass, "{result:?}");
                continue;
            }
            assert_eq!(result.verdict, verdict, "{result:?}");
            for word in words {
                assert!(result.finding.contains(word), "{word:?}: {result:?}");
            }
            let must_mend = matches!(verdict, Verdict::Warn | Verdict::Fail);
            assert_eq!(must_mend, !result.remedy.is_empty(), "{result:?}");
        }
    }

    fn change(&mut self, id: &ObjectId, aspect: &str, value: Value) {
        let object = self.found.objects.get_mut(id).expect("an object");
        object.aspects.insert(aspect.to_owned(), value);
    }

    fn lose(&mut self, id: &ObjectId) {
        let objects = self.found.objects.values().filter(|it| it.id != *id);
        self.found = Structure::new(objects.cloned().collect::<Vec<_>>());
    }
}

fn damaged(damage: impl FnOnce(&mut World)) -> World {
    let mut world = World::sound();
    damage(&mut world);
    world
}

fn on_orders(kind: ObjectKind, name: &str) -> ObjectId {
    ObjectId::on(kind, "public", "orders", name)
}

fn on_table(name: &str) -> OnTable {
    OnTable {
        schema: "public".to_owned(),
        table: "orders".to_owned(),
        name: name.to_owned(),
    }
}

#[test]
fn a_sound_target_passes_every_check_once() {
    let checks = World::sound().checks();
    for check in &checks {
        assert_eq!(check.result.verdict, Verdict::Pass, "{check:?}");
        assert!(check.names.is_empty(), "{check:?}");
    }
    let mut ids: Vec<&str> = checks.iter().map(|it| it.result.check.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), checks.len());
}

#[test]
fn what_the_structure_lost_is_told_by_its_check() {
    let fail = Verdict::Fail;
    let table = ObjectId::of(ObjectKind::Table, "public", "orders");
    let aspects: [(&str, &ObjectId, &str, Value, &str); 9] = [
        ("tables", &table, "columns", json!([]), "other columns"),
        (
            "row-security",
            &table,
            "row_security",
            json!(false),
            "no row-level security",
        ),
        (
            "constraints",
            &on_orders(ObjectKind::Constraint, "orders_pkey"),
            "validated",
            json!(false),
            "not validated",
        ),
        (
            "indexes",
            &on_orders(ObjectKind::Index, "orders_day"),
            "valid",
            json!(false),
            "not valid",
        ),
        (
            "row-security",
            &on_orders(ObjectKind::Policy, "own"),
            "using",
            json!("false"),
            "policy own",
        ),
        (
            "triggers",
            &on_orders(ObjectKind::Trigger, "audit"),
            "enabled",
            json!("disabled"),
            "disabled instead of origin",
        ),
        (
            "event-triggers",
            &ObjectId::global(ObjectKind::EventTrigger, "watch"),
            "enabled",
            json!("disabled"),
            "watch",
        ),
        (
            "extension-versions",
            &ObjectId::global(ObjectKind::Extension, "citext"),
            "version",
            json!("1.5"),
            "1.5 instead of 1.6",
        ),
        (
            "materialized-views",
            &ObjectId::of(ObjectKind::MaterializedView, "public", "sums"),
            "populated",
            json!(false),
            "sums",
        ),
    ];
    for (check, id, aspect, value, word) in aspects {
        damaged(|world| world.change(id, aspect, value)).assert_told(check, fail, &[word]);
    }
    let lost = [
        (
            "constraints",
            on_orders(ObjectKind::Constraint, "orders_pkey"),
        ),
        ("indexes", on_orders(ObjectKind::Index, "orders_day")),
        ("row-security", on_orders(ObjectKind::Policy, "own")),
        ("triggers", on_orders(ObjectKind::Trigger, "audit")),
        (
            "extension-versions",
            ObjectId::global(ObjectKind::Extension, "citext"),
        ),
        (
            "other-objects",
            ObjectId::of(ObjectKind::Function, "public", "f").with_args(""),
        ),
    ];
    for (check, id) in lost {
        damaged(|world| world.lose(&id)).assert_told(check, fail, &["is missing"]);
    }
}

#[test]
fn what_somebody_changed_on_purpose_warns() {
    let warn = Verdict::Warn;
    let table = ObjectId::of(ObjectKind::Table, "public", "orders");
    damaged(|world| world.change(&table, "replica_identity", json!("full"))).assert_told(
        "table-options",
        warn,
        &["full instead of default"],
    );
    let function = ObjectId::of(ObjectKind::Function, "public", "f").with_args("");
    damaged(|world| world.change(&function, "body", json!("select 2"))).assert_told(
        "other-objects",
        warn,
        &["function public.f()"],
    );
    let extension = ObjectId::global(ObjectKind::Extension, "citext");
    damaged(|world| world.change(&extension, "version", json!("1.10"))).assert_told(
        "extension-versions",
        warn,
        &["updated"],
    );
    let more = object(
        on_orders(ObjectKind::Policy, "all"),
        json!({"using": "true"}),
    );
    damaged(|world| drop(world.found.objects.insert(more))).assert_told(
        "row-security",
        warn,
        &["policy all"],
    );
    let index = object(on_orders(ObjectKind::Index, "new"), json!({"valid": true}));
    damaged(|world| drop(world.found.objects.insert(index))).assert_told(
        "indexes",
        Verdict::Pass,
        &[],
    );
}

#[test]
fn owners_and_grants_are_told_apart() {
    let table = ObjectId::of(ObjectKind::Table, "public", "orders");
    damaged(|world| world.found.objects.get_mut(&table).unwrap().owner = Some("x".to_owned()))
        .assert_told("owners", Verdict::Fail, &["x instead of app"]);
    damaged(|world| world.found.objects.get_mut(&table).unwrap().grants.clear()).assert_told(
        "grants",
        Verdict::Fail,
        &["table public.orders: SELECT of anon"],
    );
    let more = json!({"grantee": "public", "privilege": "DELETE"});
    damaged(|world| {
        let grants = &mut world.found.objects.get_mut(&table).unwrap().grants;
        grants.insert(serde_json::from_value(more).unwrap());
    })
    .assert_told("grants", Verdict::Warn, &["DELETE of public"]);
}

#[test]
fn an_index_that_nobody_expected_is_told_when_it_is_broken() {
    let broken = |is_being_built: bool| BrokenIndex {
        index: on_table("left_over"),
        valid: false,
        ready: !is_being_built,
        is_being_built,
    };
    damaged(|world| world.target.broken_indexes.push(broken(false))).assert_told(
        "indexes",
        Verdict::Fail,
        &["index left_over on public.orders is not valid"],
    );
    damaged(|world| world.target.broken_indexes.push(broken(true))).assert_told(
        "indexes",
        Verdict::Warn,
        &["left_over"],
    );
}

#[test]
fn a_sequence_behind_fails_unless_it_came_so() {
    let behind = |world: &mut World| {
        let reach: &mut SequenceReach = world.sequences[0].found.as_mut().unwrap();
        reach.furthest = Some(9);
    };
    damaged(behind).assert_told(
        "sequences-ahead",
        Verdict::Fail,
        &["2 behind public.orders.id"],
    );
    damaged(|world| {
        behind(world);
        world.exported[0].last_value = 7;
    })
    .assert_told(
        "sequences-ahead",
        Verdict::Warn,
        &["as they did on the source"],
    );
    damaged(|world| world.sequences[0].found = Err("nobody may".to_owned())).assert_told(
        "sequences-ahead",
        Verdict::Warn,
        &["nobody looked", "nobody may"],
    );
}

#[test]
fn what_leads_to_the_source_is_told() {
    let source = "db.abcdefghij.supabase.co";
    let server = ObjectId::global(ObjectKind::ForeignServer, "elsewhere");
    let both = |world: &mut World, id: &ObjectId, aspect: &str, value: Value| {
        for structure in [&mut world.found, &mut world.expected] {
            let object = structure.objects.get_mut(id).unwrap();
            object.aspects.insert(aspect.to_owned(), value.clone());
        }
    };
    damaged(|world| both(world, &server, "options", json!({"host": source}))).assert_told(
        "source-links",
        Verdict::Fail,
        &["foreign server elsewhere (0 user mappings"],
    );
    let function = ObjectId::of(ObjectKind::Function, "public", "f").with_args("");
    let body = json!(format!("select dblink('host={source}')"));
    damaged(|world| both(world, &function, "body", body)).assert_told(
        "source-links",
        Verdict::Warn,
        &["function public.f()"],
    );
    let subscription = |connection: Option<String>| Subscription {
        name: "feed".to_owned(),
        connection,
    };
    let to_source = subscription(Some(format!("host={source} port=5432")));
    damaged(|world| world.target.subscriptions.push(to_source)).assert_told(
        "source-links",
        Verdict::Fail,
        &["subscription feed"],
    );
    damaged(|world| world.target.subscriptions.push(subscription(None))).assert_told(
        "source-links",
        Verdict::Warn,
        &["may not be seen"],
    );
    let job = ScheduledJob {
        name: "nightly".to_owned(),
        text: format!("select http_post('https://{source}/x')"),
    };
    damaged(|world| world.target.jobs.push(job)).assert_told(
        "source-links",
        Verdict::Warn,
        &["cron job nightly"],
    );
}

#[test]
fn who_uses_the_source_is_told_after_the_cutover() {
    let sessions = |application: &str, role: &str, writes| Sessions {
        application: application.to_owned(),
        role: role.to_owned(),
        state: Some("idle".to_owned()),
        count: 3,
        writes,
    };
    let with = |it: Sessions, after_cutover| {
        damaged(|world| {
            world.source.as_mut().unwrap().sessions.push(it);
            world.after_cutover = after_cutover;
        })
    };
    let check = "source-sessions";
    let reads = sessions("orders-api", "app", false);
    with(reads.clone(), true).assert_told(check, Verdict::Warn, &["orders-api as app: 3 idle"]);
    with(reads, false).assert_told(check, Verdict::Pass, &["orders-api", "not switched yet"]);
    let writes = sessions("", "app", true);
    with(writes, true).assert_told(check, Verdict::Fail, &["a client without a name"]);
    let platform = sessions("PostgREST", "authenticator", false);
    with(platform, true).assert_told(check, Verdict::Pass, &["beside 3 sessions"]);
}

#[test]
fn what_is_not_known_is_not_called_sound() {
    let world = damaged(|world| world.source = Err("could not connect".to_owned()));
    for check in world.checks() {
        let open = ["source-sessions", "unused-indexes"];
        let expected = match open.contains(&check.result.check.as_str()) {
            true => Verdict::NotLookedAt,
            false => Verdict::Pass,
        };
        assert_eq!(check.result.verdict, expected, "{check:?}");
    }
}

#[test]
fn upkeep_and_advice_warn() {
    let warn = Verdict::Warn;
    damaged(|world| {
        let orders = QualifiedName::new("public", "orders");
        world.target.without_statistics.push(orders);
    })
    .assert_told("statistics", warn, &["public.orders"]);
    damaged(|world| world.target.autovacuum = false).assert_told("autovacuum", warn, &["off"]);
    let table = ObjectId::of(ObjectKind::Table, "public", "orders");
    damaged(|world| {
        for structure in [&mut world.found, &mut world.expected] {
            let table = structure.objects.get_mut(&table).unwrap();
            let options = json!(["autovacuum_enabled=false"]);
            table.aspects.insert("options".to_owned(), options);
        }
    })
    .assert_told("autovacuum", warn, &["table public.orders"]);
    damaged(|world| {
        world.target.stale_collations.push(StaleCollation {
            name: "app".to_owned(),
            recorded: "2.26".to_owned(),
            actual: "2.34".to_owned(),
        });
    })
    .assert_told("collation-versions", warn, &["2.26", "2.34"]);
    damaged(|world| {
        world.target.bare_foreign_keys.push(BareForeignKey {
            key: on_table("orders_customer_fkey"),
            columns: vec!["Customer".to_owned()],
            bytes: 1,
        });
    })
    .assert_told(
        "foreign-keys-indexed",
        warn,
        &["orders_customer_fkey on public.orders (\"Customer\")"],
    );
    damaged(|world| {
        world.target.duplicate_indexes.push(DuplicateIndexes {
            table: QualifiedName::new("public", "orders"),
            indexes: vec!["a".to_owned(), "b".to_owned()],
        });
    })
    .assert_told("duplicate-indexes", warn, &["a = b on public.orders"]);
}

#[test]
fn an_index_is_called_unused_only_after_a_day_and_where_it_went() {
    let unused = |name: &str, age| {
        damaged(|world| {
            let source = world.source.as_mut().unwrap();
            source.statistics_age_s = age;
            source.unused_indexes.push(UnusedIndex {
                index: on_table(name),
                bytes: 3 << 20,
            });
        })
    };
    let check = "unused-indexes";
    let days = Some(10 * 86_400);
    unused("orders_day", days).assert_told(
        check,
        Verdict::Warn,
        &["orders_day on public.orders (3 MiB)", "10 days"],
    );
    unused("orders_day", None).assert_told(check, Verdict::Warn, &["since its statistics began"]);
    unused("orders_day", Some(7200)).assert_told(check, Verdict::NotLookedAt, &["2 h"]);
    unused("elsewhere", days).assert_told(check, Verdict::Pass, &[]);
}

#[test]
fn no_difference_falls_between_the_checks() {
    // Whatever is lost of the structure, some check fails.
    for lost in structure().objects.keys() {
        let world = damaged(|world| world.lose(lost));
        let failed = world.checks().into_iter();
        let failed = failed.filter(|it| it.result.verdict == Verdict::Fail);
        assert_eq!(failed.count(), 1, "{lost}");
    }
    let odd = StructureDifference::Changed {
        object: ObjectId::global(ObjectKind::Conversion, "x"),
        aspect: "never heard of".to_owned(),
        expected: Value::Null,
        found: Value::Null,
    };
    assert_eq!(part(&odd), differences::Part::Other);
}
