//! What the target lets its login make, and what the operator chose.

use towpath_model::schema::{ExtensionFate, SecretFate};

use super::*;
use crate::ServiceRole;
use towpath_model::secret_text::Handling;

fn extension(name: &str) -> ObjectId {
    ObjectId::global(ObjectKind::Extension, name)
}

/// A table that needs citext, in ways that keep rows out or do not.
fn needing(kind: ObjectKind, aspects: Value) -> Scene {
    let by = ObjectId::on(kind, "app", "orders", "by");
    Scene::default()
        .schemas()
        .roles()
        .table("app", "orders", "postgres")
        .object(
            extension("citext"),
            Some("supabase_admin"),
            json!({"schema": "extensions", "version": "1.6"}),
        )
        .object(by.clone(), None, aspects)
        .depends(&by, &extension("citext"))
        .dump(
            "CREATE TABLE app.orders (id integer); CREATE EXTENSION citext WITH SCHEMA extensions;",
            "CREATE UNIQUE INDEX by ON app.orders (id);",
        )
}

#[test]
fn a_unique_index_is_not_lost_with_its_extension() {
    let unique = json!({"definition": "CREATE UNIQUE INDEX by ON app.orders (id)"});
    let plain = json!({"definition": "CREATE INDEX by ON app.orders (id)"});
    let forbid = |target: &mut ServerFacts, _: &mut SchemaOptions| {
        target.abilities.allowed_extensions = Some(BTreeSet::from(["pgcrypto".to_owned()]));
    };
    let refused = needing(ObjectKind::Index, unique.clone())
        .clean_with(forbid)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    assert!(
        refused
            .to_string()
            .contains("index by on app.orders needs extension citext")
    );
    needing(ObjectKind::Index, unique).clean().unwrap();

    let clean = needing(ObjectKind::Index, plain)
        .clean_with(forbid)
        .unwrap();
    let [told] = clean.report.extensions.as_slice() else {
        panic!("{:?}", clean.report.extensions);
    };
    assert_eq!(told.fate, ExtensionFate::Absent);
    assert_eq!(
        told.lost,
        [ObjectId::on(ObjectKind::Index, "app", "orders", "by")]
    );
    let report = clean.report.find(&extension("citext")).unwrap();
    assert!(
        report.reason.contains("rds.allowed_extensions"),
        "{report:?}"
    );
}

#[test]
fn everything_in_the_way_is_named() {
    let domain = ObjectId::of(ObjectKind::Domain, "app", "email");
    let refused = Scene::default()
        .schemas()
        .table("app", "orders", "postgres")
        .table("app", "lines", "postgres")
        .object(domain.clone(), Some("postgres"), json!({}))
        .object(extension("hstore"), Some("supabase_admin"), json!({}))
        .depends(&domain, &extension("hstore"))
        .depends(&orders(), &domain)
        .depends(
            &ObjectId::of(ObjectKind::Table, "app", "lines"),
            &extension("hstore"),
        )
        .clean()
        .unwrap_err()
        .to_string();
    for needed in [
        "domain app.email needs extension hstore",
        "table app.orders needs extension hstore",
        "table app.lines needs extension hstore",
    ] {
        assert!(refused.contains(needed), "{refused}");
    }
}

#[test]
fn a_library_that_is_not_loaded_makes_no_extension() {
    let scene = || {
        Scene::default().schemas().object(
            extension("pg_cron"),
            Some("supabase_admin"),
            json!({"schema": "pg_catalog", "version": "1.6"}),
        )
    };
    let offer = |target: &mut ServerFacts| {
        target
            .available_extensions
            .insert("pg_cron".to_owned(), "1.6".to_owned());
    };
    let outcome = |change: fn(&mut ServerFacts)| {
        let clean = scene().clean_with(|target, _| {
            offer(target);
            change(target);
        });
        clean
            .unwrap()
            .report
            .find(&extension("pg_cron"))
            .unwrap()
            .clone()
    };
    assert_eq!(outcome(|_| {}).decision, Decision::Rewritten);
    let unloaded = outcome(|target| target.abilities.preloaded = Some(BTreeSet::new()));
    assert!(unloaded.reason.contains("shared_preload_libraries"));
    let elsewhere = outcome(|target| target.abilities.cron_database = Some("postgres".to_owned()));
    assert!(elsewhere.reason.contains("cron.database_name"));
    assert_eq!(elsewhere.decision, Decision::Dropped);
}

#[test]
fn only_its_owner_says_who_may_connect() {
    let database = ObjectId::global(ObjectKind::Database, "current");
    let scene = || {
        Scene::default()
            .roles()
            .object(database.clone(), Some("postgres"), json!({}))
            .granted("app_ro", "CONNECT")
            .granted("dashboard_user", "CREATE")
    };
    let clean = scene().clean().unwrap();
    assert_eq!(decision(&clean, &database), Decision::Dropped);
    let clean = scene()
        .clean_with(|target, _| target.abilities.owns_database = true)
        .unwrap();
    let after = sql(&clean.post_data);
    assert!(
        after.contains("revoke all on database %I from public"),
        "{after}"
    );
    assert!(
        after.contains("grant connect on database %I to \"app_ro\""),
        "{after}"
    );
    assert!(!after.contains("dashboard_user"), "{after}");
    assert_eq!(clean.expected.objects[&database].grants.len(), 1);
    assert_eq!(clean.expected.objects[&database].owner, None);
}

#[test]
fn a_comment_with_a_secret_is_left_out_alone() {
    let scene = || {
        Scene::default()
            .schemas()
            .object(
                orders(),
                Some("postgres"),
                json!({"columns": [{"name": "id", "comment": "sk_live_abcdefghijkl"}, {"name": "n", "comment": "plain"}]}),
            )
            .dump(
                "CREATE TABLE app.orders (id integer, n integer);
                 COMMENT ON TABLE app.orders IS 'orders of the shop';
                 COMMENT ON COLUMN app.orders.id IS 'sk_live_abcdefghijkl';
                 COMMENT ON COLUMN app.orders.n IS 'plain';",
                "",
            )
    };
    let clean = scene().clean().unwrap();
    assert!(!format!("{clean:?}").contains("sk_live"));
    let before = sql(&clean.pre_data);
    assert!(before.contains("orders of the shop") && before.contains("'plain'"));
    assert_eq!(
        clean.expected.objects[&orders()].aspects["columns"],
        json!([{"name": "id"}, {"name": "n", "comment": "plain"}])
    );
    let numbers: Vec<u32> = clean.pre_data.iter().map(|s| s.no).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert_eq!(clean.report.secrets[0].fate, SecretFate::LeftOut);

    let carried = scene()
        .clean_with(|_, options| options.secrets = Handling::Carry)
        .unwrap();
    assert!(sql(&carried.pre_data).contains("sk_live"));
    assert_eq!(carried.report.secrets[0].fate, SecretFate::Carried);
}

#[test]
fn a_default_with_a_secret_stops_the_plan() {
    let scene = || {
        Scene::default().schemas().table("app", "orders", "postgres").dump(
            "CREATE TABLE app.orders (id integer, key text DEFAULT 'sk_live_abcdefghijkl'::text);",
            "",
        )
    };
    let refused = scene().clean().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    let text = format!("{refused} {refused:?}");
    assert!(
        text.contains("table app.orders (API key)") && !text.contains("sk_live"),
        "{text}"
    );
    let carried = scene().clean_with(|_, options| options.secrets = Handling::Carry);
    assert_eq!(decision(&carried.unwrap(), &orders()), Decision::Kept);
}

#[test]
fn service_role_passes_only_where_the_operator_says_so() {
    let scene = || {
        Scene::default()
            .schemas()
            .object(
                ObjectId::global(ObjectKind::Role, "service_role"),
                None,
                json!({"bypassrls": true}),
            )
            .object(orders(), Some("postgres"), json!({"row_security": true}))
            .dump("CREATE TABLE app.orders (id integer);", "")
    };
    assert!(sql(&scene().clean().unwrap().post_data).contains("towpath bypasses row security"));
    let without = scene()
        .clean_with(|_, options| options.service_role = ServiceRole::Nothing)
        .unwrap();
    assert!(!sql(&without.post_data).contains("bypasses"));
    let role = ObjectId::global(ObjectKind::Role, "service_role");
    assert!(
        without
            .report
            .find(&role)
            .unwrap()
            .reason
            .contains("nowhere")
    );
}

#[test]
fn rows_of_a_table_whose_columns_move_are_not_stored_in_another() {
    let child = ObjectId::of(ObjectKind::Table, "app", "Child's");
    let pair = ObjectId::of(ObjectKind::Type, "app", "pair");
    let scene = |stored: &str| {
        let column = |name: &str, of: &str| json!({"name": name, "type": of});
        Scene::default()
            .schemas()
            .object(
                ObjectId::of(ObjectKind::Table, "app", "parent"),
                Some("postgres"),
                json!({"columns": [column("a", "text"), column("b", "text")]}),
            )
            .object(
                child.clone(),
                Some("postgres"),
                json!({
                    "columns": [column("a", "text"), column("b", "text")],
                    "inherits": ["app.parent"],
                    "column_order": ["b", "a"],
                }),
            )
            .object(
                pair.clone(),
                Some("postgres"),
                json!({"attributes": [column("x", "app.\"Child's\"[]")]}),
            )
            .object(
                orders(),
                Some("postgres"),
                json!({"columns": [column("id", "integer"), column("p", stored)]}),
            )
            .dump(
                "CREATE TYPE app.pair AS (x text); CREATE TABLE app.parent (a text, b text);
                 CREATE TABLE app.\"Child's\" (b text, a text) INHERITS (app.parent);
                 CREATE TABLE app.orders (id integer);",
                "",
            )
    };
    let clean = scene("text").clean().unwrap();
    let report = clean.report.find(&child).unwrap();
    assert_eq!(report.decision, Decision::Rewritten);
    assert_eq!(report.changed, ["column_order"]);
    assert_eq!(
        clean.expected.objects[&child].aspects["column_order"],
        json!(["a", "b"])
    );
    for stored in ["app.pair", "app.pair[]", "app.\"Child's\""] {
        let refused = scene(stored).clean().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Blocked);
        let told = refused.to_string();
        assert!(
            told.contains("table app.orders stores rows of table app.\"Child's\""),
            "{told}"
        );
    }
}
