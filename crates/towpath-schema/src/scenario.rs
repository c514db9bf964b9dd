//! Small databases, from the dump to the clean schema, without a server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use towpath_model::inventory::ServerFacts;
use towpath_model::schema::{CleanSchema, Decision};
use towpath_model::script::{Phase, Statement};
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject, Structure};
use towpath_model::{ErrorKind, Result};

use crate::dump::Dump;
use crate::source::{Body, Source};
use crate::{CarryAuthUsers, SchemaOptions};

mod target;

/// A database in the making.
#[derive(Default)]
struct Scene {
    objects: Vec<SchemaObject>,
    source: Source,
    dump: Dump,
}

impl Scene {
    fn object(mut self, id: ObjectId, owner: Option<&str>, aspects: Value) -> Self {
        let aspects = match aspects {
            Value::Object(map) => map.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        self.objects.push(SchemaObject {
            id,
            oid: 1,
            owner: owner.map(str::to_owned),
            extension: None,
            comment: None,
            grants: BTreeSet::new(),
            aspects: aspects.into(),
        });
        self
    }

    fn schemas(self) -> Self {
        [
            "app",
            "auth",
            "storage",
            "net",
            "extensions",
            "supabase_functions",
        ]
        .into_iter()
        .fold(self, |scene, name| {
            scene.object(
                ObjectId::global(ObjectKind::Schema, name),
                Some("postgres"),
                json!({}),
            )
        })
    }

    fn roles(self) -> Self {
        [
            "anon",
            "authenticated",
            "service_role",
            "postgres",
            "supabase_admin",
            "app_ro",
        ]
        .into_iter()
        .fold(self, |scene, name| {
            scene.object(ObjectId::global(ObjectKind::Role, name), None, json!({}))
        })
    }

    fn table(self, schema: &str, name: &str, owner: &str) -> Self {
        self.object(
            ObjectId::of(ObjectKind::Table, schema, name),
            Some(owner),
            json!({}),
        )
    }

    fn function(self, schema: &str, name: &str, owner: &str) -> Self {
        let id = ObjectId::of(ObjectKind::Function, schema, name).with_args("");
        self.object(id, Some(owner), json!({}))
    }

    fn depends(mut self, by: &ObjectId, on: &ObjectId) -> Self {
        self.source
            .dependents
            .entry(on.clone())
            .or_default()
            .insert(by.clone());
        self
    }

    fn granted(mut self, grantee: &str, privilege: &str) -> Self {
        if let Some(object) = self.objects.last_mut() {
            object.grants.insert(Grant {
                grantee: grantee.to_owned(),
                privilege: privilege.to_owned(),
                column: None,
                grantable: false,
            });
        }
        self
    }

    fn dump(mut self, pre_data: &str, post_data: &str) -> Self {
        self.dump = Dump {
            pre_data: pre_data.to_owned(),
            post_data: post_data.to_owned(),
        };
        self
    }

    fn clean(self) -> Result<CleanSchema> {
        self.clean_with(|_, _| {})
    }

    /// With another target, or by other options.
    fn clean_with(
        self,
        change: impl FnOnce(&mut ServerFacts, &mut SchemaOptions),
    ) -> Result<CleanSchema> {
        let mut target = ServerFacts {
            version_num: 150_018,
            system_identifier: None,
            database: "app".to_owned(),
            user: "towner".to_owned(),
            is_superuser: false,
            bypasses_rls: false,
            can_create_roles: true,
            encoding: "UTF8".to_owned(),
            collation: "C".to_owned(),
            search_path: String::new(),
            uses_tls: true,
            available_extensions: BTreeMap::from([("citext".to_owned(), "1.6".to_owned())]),
            database_bytes: 0,
            abilities: Default::default(),
            capacity: Default::default(),
        };
        let mut options = SchemaOptions {
            pg_dump: "pg_dump".into(),
            target_owner: "towner".to_owned(),
            carry_auth_users: CarryAuthUsers::Auto,
            service_role: Default::default(),
            broken_triggers: Default::default(),
            secrets: Default::default(),
            large_objects: Default::default(),
            finds_needs: true,
            root_certificates: None,
        };
        change(&mut target, &mut options);
        let structure = Structure::new(self.objects);
        crate::make(
            self.dump.clone(),
            &structure,
            &self.source,
            &target,
            &options,
        )
    }
}

fn sql(statements: &[Statement]) -> String {
    statements.iter().map(|s| format!("{}\n", s.sql)).collect()
}

fn decision(clean: &CleanSchema, id: &ObjectId) -> Decision {
    clean.report.find(id).unwrap().decision
}

fn orders() -> ObjectId {
    ObjectId::of(ObjectKind::Table, "app", "orders")
}

#[test]
fn a_webhook_is_dropped_and_its_token_is_nowhere() {
    let request =
        ObjectId::of(ObjectKind::Function, "supabase_functions", "http_request").with_args("");
    let hook = ObjectId::on(ObjectKind::Trigger, "app", "orders", "hook");
    let clean = Scene::default()
        .schemas()
        .table("app", "orders", "postgres")
        .function("supabase_functions", "http_request", "supabase_functions_admin")
        .object(hook.clone(), None, json!({}))
        .depends(&hook, &request)
        .dump(
            "CREATE TABLE app.orders (id integer);",
            "CREATE TRIGGER hook AFTER INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION supabase_functions.http_request('https://x', 'Bearer tok3n');",
        )
        .clean()
        .unwrap();
    let report = clean.report.find(&hook).unwrap();
    assert_eq!(
        (report.decision, report.rule.as_str()),
        (Decision::Dropped, "webhook")
    );
    assert_eq!(clean.report.appendix.len(), 1);
    assert!(!format!("{clean:?}").contains("tok3n"));
    assert!(!clean.expected.objects.contains_key(&hook));
}

#[test]
fn tables_are_bare_before_the_data_and_phases_follow() {
    let constraint = |name| ObjectId::on(ObjectKind::Constraint, "app", "orders", name);
    let clean = Scene::default()
        .schemas()
        .roles()
        .table("app", "orders", "postgres")
        .granted("anon", "SELECT")
        .granted("supabase_admin", "SELECT")
        .object(constraint("orders_pkey"), None, json!({"type": "primary key"}))
        .object(constraint("orders_fkey"), None, json!({"type": "foreign key"}))
        .dump(
            "CREATE SCHEMA app;
             CREATE TABLE app.orders (id integer NOT NULL);
             ALTER TABLE ONLY app.orders FORCE ROW LEVEL SECURITY;
             GRANT SELECT ON TABLE app.orders TO anon;
             SET SESSION AUTHORIZATION app_ro;
             GRANT SELECT ON TABLE app.orders TO supabase_admin;
             RESET SESSION AUTHORIZATION;",
            "ALTER TABLE ONLY app.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
             ALTER TABLE ONLY app.orders ADD CONSTRAINT orders_fkey FOREIGN KEY (id) REFERENCES app.orders(id);",
        )
        .clean()
        .unwrap();
    let before = sql(&clean.pre_data);
    assert!(
        !before.contains("ROW LEVEL") && !before.contains("GRANT SELECT"),
        "{before}"
    );
    let of_table: Vec<Phase> = clean
        .post_data
        .iter()
        .filter(|statement| statement.table.is_some())
        .map(|statement| statement.phase)
        .collect();
    assert_eq!(
        of_table,
        [
            Phase::Index,
            Phase::Constraint,
            Phase::ForeignKey,
            Phase::ForeignKeyValidate,
            Phase::Policy,
            Phase::Grant,
        ]
    );
    let numbers: Vec<u32> = clean
        .post_data
        .iter()
        .map(|statement| statement.no)
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    let grants = &clean.expected.objects[&orders()].grants;
    assert_eq!(grants.len(), 1);
    assert!(!sql(&clean.post_data).contains("supabase_admin"));
}

#[test]
fn accounts_go_when_a_foreign_key_needs_them() {
    let users = ObjectId::of(ObjectKind::Table, "auth", "users");
    let key = ObjectId::on(ObjectKind::Constraint, "app", "orders", "fk");
    let scene = || {
        Scene::default()
            .schemas()
            .table("auth", "users", "supabase_auth_admin")
            .table("auth", "sessions", "supabase_auth_admin")
            .table("app", "orders", "postgres")
            .dump(
                "CREATE TABLE auth.users (id integer); CREATE TABLE auth.sessions (id integer); CREATE TABLE app.orders (id integer);",
                "",
            )
    };
    let without = scene().clean().unwrap();
    assert_eq!(decision(&without, &users), Decision::Dropped);
    let with = scene()
        .object(key.clone(), None, json!({"type": "foreign key"}))
        .depends(&key, &users)
        .clean()
        .unwrap();
    assert_eq!(decision(&with, &users), Decision::Kept);
    let auth = ObjectId::global(ObjectKind::Schema, "auth");
    assert_eq!(decision(&with, &auth), Decision::Emulated);
    let sessions = ObjectId::of(ObjectKind::Table, "auth", "sessions");
    assert_eq!(decision(&with, &sessions), Decision::Dropped);
    assert!(sql(&with.pre_data).contains("CREATE TABLE auth.users"));
    assert!(!sql(&with.pre_data).contains("auth.sessions"));
}

#[test]
fn a_column_of_a_missing_extension_stops_everything() {
    let missing = ObjectId::global(ObjectKind::Extension, "pg_graphql");
    let refused = Scene::default()
        .schemas()
        .object(
            missing.clone(),
            Some("supabase_admin"),
            json!({"schema": "graphql"}),
        )
        .table("app", "orders", "postgres")
        .depends(&orders(), &missing)
        .clean()
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    assert!(
        refused
            .to_string()
            .contains("table app.orders needs extension pg_graphql")
    );
}

#[test]
fn a_restrictive_policy_is_never_lost_in_silence() {
    let missing = ObjectId::of(ObjectKind::Function, "storage", "operation").with_args("");
    let policy = ObjectId::on(ObjectKind::Policy, "app", "orders", "p");
    let scene = |permissive: bool| {
        Scene::default()
            .schemas()
            .table("app", "orders", "postgres")
            .function("storage", "operation", "supabase_storage_admin")
            .object(policy.clone(), None, json!({"permissive": permissive}))
            .depends(&policy, &missing)
            .dump(
                "CREATE TABLE app.orders (id integer);",
                "CREATE POLICY p ON app.orders USING ((storage.operation() = 'x'::text));",
            )
    };
    assert_eq!(scene(false).clean().unwrap_err().kind(), ErrorKind::Blocked);
    let clean = scene(true).clean().unwrap();
    assert_eq!(decision(&clean, &policy), Decision::Dropped);
    assert_eq!(clean.report.appendix.len(), 1);
}

#[test]
fn what_the_user_left_in_a_managed_schema_goes() {
    let own = ObjectId::of(ObjectKind::Function, "auth", "mine").with_args("");
    let theirs = ObjectId::of(ObjectKind::Function, "auth", "theirs").with_args("");
    let clean = Scene::default()
        .schemas()
        .roles()
        .function("auth", "mine", "postgres")
        .function("auth", "theirs", "supabase_auth_admin")
        .function("auth", "uid", "supabase_auth_admin")
        .dump(
            "CREATE SCHEMA auth;
             CREATE FUNCTION auth.mine() RETURNS text LANGUAGE sql AS 'a';
             CREATE FUNCTION auth.theirs() RETURNS text LANGUAGE sql AS 'b';
             CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS 'c';",
            "",
        )
        .clean()
        .unwrap();
    assert_eq!(decision(&clean, &own), Decision::Kept);
    assert_eq!(decision(&clean, &theirs), Decision::Dropped);
    let before = sql(&clean.pre_data);
    assert!(before.contains("CREATE FUNCTION auth.mine()") && !before.contains("auth.theirs"));
    assert!(before.contains("create schema if not exists \"auth\""));
    assert!(before.contains("create or replace function \"auth\".\"uid\"()"));
    assert!(sql(&clean.post_data).contains("grant usage on schema \"auth\" to \"anon\""));
}

#[test]
fn a_body_that_names_what_stays_behind_is_reported() {
    let caller = ObjectId::of(ObjectKind::Function, "app", "caller").with_args("");
    let mut scene = Scene::default()
        .schemas()
        .function("app", "caller", "postgres")
        .function("net", "http_post", "supabase_admin")
        .dump(
            "CREATE FUNCTION app.caller() RETURNS text LANGUAGE plpgsql AS 'x';",
            "",
        );
    scene.source.bodies.insert(
        caller.clone(),
        Body {
            text: "begin perform net.http_post('x'); end".to_owned(),
            language: "plpgsql".to_owned(),
            search_path: None,
        },
    );
    let clean = scene.clean().unwrap();
    assert_eq!(decision(&clean, &caller), Decision::Kept);
    let needs: Vec<&str> = clean
        .report
        .breaks_at_run_time
        .iter()
        .map(|found| found.needs.as_str())
        .collect();
    assert_eq!(needs, ["net.http_post"]);
}

#[test]
fn a_function_loses_only_the_setting_that_is_refused() {
    let id = ObjectId::of(ObjectKind::Function, "app", "f").with_args("");
    let mut scene = Scene::default()
        .schemas()
        .object(
            id.clone(),
            Some("postgres"),
            json!({"config": ["log_min_messages=fatal", "search_path=app"]}),
        )
        .dump(
            "CREATE FUNCTION app.f() RETURNS text LANGUAGE sql SET log_min_messages TO 'fatal' SET search_path TO 'app' AS $$ select 'kept as it is' $$;",
            "",
        );
    scene.source.user_settings.insert("search_path".to_owned());
    let clean = scene.clean().unwrap();
    let report = clean.report.find(&id).unwrap();
    assert_eq!(report.decision, Decision::Rewritten);
    assert!(report.changed.contains(&"definition".to_owned()));
    let before = sql(&clean.pre_data);
    assert!(
        !before.contains("log_min_messages") && before.contains("search_path"),
        "{before}"
    );
    assert!(before.contains(" select 'kept as it is' "));
}

#[test]
fn a_definition_that_is_missing_from_the_dump_is_an_error() {
    let refused = Scene::default()
        .schemas()
        .table("app", "orders", "postgres")
        .clean()
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Schema);
}

#[test]
fn a_former_owner_keeps_its_rights_by_grant() {
    let clean = Scene::default()
        .schemas()
        .roles()
        .table("app", "orders", "app_ro")
        .dump("CREATE TABLE app.orders (id integer);", "")
        .clean()
        .unwrap();
    assert!(sql(&clean.post_data).contains("grant all on table \"app\".\"orders\" to \"app_ro\""));
    assert_eq!(clean.expected.objects[&orders()].grants.len(), 7);
}

#[test]
fn rows_of_an_extension_that_comes_are_named() {
    let jobs = ObjectId::of(ObjectKind::Table, "extensions", "jobs");
    let mut scene = Scene::default().schemas().roles().object(
        ObjectId::global(ObjectKind::Extension, "citext"),
        Some("supabase_admin"),
        json!({"schema": "extensions", "version": "1.6"}),
    );
    scene = scene.table("extensions", "jobs", "supabase_admin");
    if let Some(table) = scene.objects.last_mut() {
        table.extension = Some("citext".to_owned());
    }
    scene.source.extension_rows.insert(jobs.clone());
    let clean = scene
        .dump("CREATE EXTENSION citext WITH SCHEMA extensions;", "")
        .clean()
        .unwrap();
    let report = clean.report.find(&jobs).unwrap();
    assert!(report.reason.contains("its rows stay behind"), "{report:?}");
    let found = &clean.report.breaks_at_run_time;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].object, found[0].needs.as_str()),
        (&jobs, "the rows of extensions.jobs")
    );
}

#[test]
fn what_runs_as_its_owner_is_given_back_to_it() {
    let function = ObjectId::of(ObjectKind::Function, "app", "f").with_args("");
    let clean = Scene::default()
        .schemas()
        .roles()
        .object(
            function.clone(),
            Some("app_ro"),
            json!({"security_definer": true}),
        )
        .dump(
            "CREATE FUNCTION app.f() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'a';",
            "",
        )
        .clean()
        .unwrap();
    let after = sql(&clean.post_data);
    assert!(!after.contains("grant all on routine"), "{after}");
    let last = clean
        .post_data
        .iter()
        .find(|statement| statement.object == function)
        .unwrap();
    assert_eq!(last.phase, Phase::Last);
    assert_eq!(
        last.sql,
        "grant create on schema \"app\" to \"app_ro\";\nalter routine \"app\".\"f\"() owner to \"app_ro\";\nrevoke create on schema \"app\" from \"app_ro\""
    );
    assert!(clean.expected.objects[&function].grants.is_empty());
    assert!(
        clean
            .report
            .find(&function)
            .unwrap()
            .reason
            .contains("app_ro owns it on the target too")
    );
}

#[test]
fn an_owner_passes_row_security_by_a_policy() {
    let clean = Scene::default()
        .schemas()
        .roles()
        .object(
            orders(),
            Some("app_ro"),
            json!({"row_security": true, "force_row_security": false}),
        )
        .dump("CREATE TABLE app.orders (id integer);", "")
        .clean()
        .unwrap();
    let policy = ObjectId::on(
        ObjectKind::Policy,
        "app",
        "orders",
        "towpath lets the owner through",
    );
    assert_eq!(
        clean.expected.objects[&policy].aspects["roles"],
        json!(["app_ro"])
    );
    assert!(sql(&clean.post_data).contains(
        "create policy \"towpath lets the owner through\" on \"app\".\"orders\" for all to \"app_ro\" using (true)"
    ));
}

#[test]
fn nobody_becomes_a_member_of_the_master() {
    let deputy = ObjectId::global(ObjectKind::Role, "deputy");
    let clean = Scene::default()
        .roles()
        .object(
            deputy.clone(),
            None,
            json!({"memberships": [
                {"role": "pg_monitor", "admin": false},
                {"role": "pg_write_server_files", "admin": false},
                {"role": "postgres", "admin": false},
            ]}),
        )
        .clean()
        .unwrap();
    let before = sql(&clean.pre_data);
    assert!(before.contains("grant \"pg_monitor\" to \"deputy\""));
    assert!(!before.contains("grant \"towner\"") && !before.contains("server_files"));
    let report = clean.report.find(&deputy).unwrap();
    assert_eq!(report.changed, ["memberships"]);
    assert!(report.reason.contains("pg_write_server_files, postgres"));
    assert_eq!(
        clean.expected.objects[&deputy].aspects["memberships"],
        json!([{"role": "pg_monitor", "admin": false}])
    );
}
