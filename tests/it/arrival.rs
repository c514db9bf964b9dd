//! The fixture's whole project arrives on the target.

use std::collections::BTreeSet;

use serde_json::Value;
use towpath_tests::oracle::{access_pairs, assert_same_rows, seen_by};
use towpath_tests::{Pair, TargetShape, pair, pair_with, project};

/// Tables, views, functions, types and policies of the source, by what a person would call them.
const OBJECTS: &str = "
    select 'table ' || n.nspname || '.' || c.relname
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    union all
    select 'view ' || n.nspname || '.' || c.relname
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'v' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    union all
    select 'function ' || n.nspname || '.' || p.proname
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    union all
    select 'policy ' || polname || ' on ' || n.nspname || '.' || c.relname
      from pg_policy p join pg_class c on c.oid = p.polrelid
      join pg_namespace n on n.oid = c.relnamespace
    union all
    select 'trigger ' || tgname || ' on ' || n.nspname || '.' || c.relname
      from pg_trigger t join pg_class c on c.oid = t.tgrelid
      join pg_namespace n on n.oid = c.relnamespace
     where not tgisinternal and t.tgparentid = 0
    union all
    select 'event trigger ' || evtname from pg_event_trigger
    union all
    select 'publication ' || pubname from pg_publication
    union all
    select 'extension ' || extname from pg_extension";

fn objects(psql: impl Fn(&str) -> String) -> BTreeSet<String> {
    psql(OBJECTS).lines().map(str::to_owned).collect()
}

/// Names of the report, in the same words, of every decision but `kept`.
fn reported(report: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let objects = report["objects"]
        .as_array()
        .expect("the report lists objects");
    objects
        .iter()
        .filter(|object| object["decision"] != "kept")
        .map(|object| {
            let id = &object["object"];
            let kind = text(&id["kind"]).replace('-', " ");
            match (&id["schema"], &id["on"]) {
                (Value::Null, _) => format!("{kind} {}", text(&id["name"])),
                (schema, Value::Null) => format!("{kind} {}.{}", text(schema), text(&id["name"])),
                (schema, on) => {
                    format!(
                        "{kind} {} on {}.{}",
                        text(&id["name"]),
                        text(schema),
                        text(on)
                    )
                }
            }
        })
        .collect()
}

fn assert_arrives(pair: &Pair) {
    let project = project!(pair);
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");

    let tables = assert_same_rows(pair);
    assert!(
        tables.iter().any(|table| table == "auth.users"),
        "{tables:?}"
    );

    // Whatever is on the source and not on the target stands in the report.
    let report = project.document("schema/report.json");
    let source = objects(|sql| pair.source.psql_superuser(sql));
    let target = objects(|sql| pair.target.psql_superuser(sql));
    let named = reported(&report);
    let silent: Vec<&String> = source
        .difference(&target)
        .filter(|object| !named.contains(*object))
        .collect();
    assert!(silent.is_empty(), "left out without a word: {silent:#?}");

    // Everybody sees on the target what they saw on the source.
    let (from, to) = (
        pair.source.cluster.superuser_url("postgres"),
        pair.target
            .cluster
            .superuser_url(&pair.target.shape().database),
    );
    for (name, role, claims) in access_pairs() {
        for table in &tables {
            assert_eq!(
                seen_by(&from, &role, &claims, table),
                seen_by(&to, &role, &claims, table),
                "{name} sees {table} otherwise"
            );
        }
    }
}

#[test]
fn the_fixture_arrives_whole() {
    assert_arrives(&pair());
}

#[test]
fn the_fixture_arrives_where_the_master_is_named_postgres_and_may_less() {
    let shape = TargetShape {
        master: "postgres".into(),
        capable: false,
        ..TargetShape::default()
    };
    assert_arrives(&pair_with(&shape));
}

#[test]
fn a_second_run_changes_nothing_and_verifies_again() {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let before = pair
        .target
        .psql_superuser("select pg_current_wal_insert_lsn()");
    let manifest = project.document("manifest.json");
    project.expect(0, &["run", "--yes"]);
    assert_eq!(project.document("manifest.json"), manifest);
    // Only reads: neither rows nor catalog moved. Hint bits and a checkpoint may write WAL, so the
    // ledger is asked instead of the position.
    let after = pair
        .target
        .psql_superuser("select pg_current_wal_insert_lsn()");
    assert!(!before.is_empty() && !after.is_empty());
    let repeated = "select count(*) from (select from towpath.step group by run, script, no
                     having count(*) > 1) twice";
    assert_eq!(pair.target.psql(repeated), "0");
    assert_same_rows(&pair);
}

#[test]
fn stages_one_by_one_give_the_same_as_run() {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["init"]);
    project.expect(0, &["check"]);
    assert!(project.store_files().is_empty(), "check wrote to the store");
    project.expect(0, &["plan", "-o", "plan.json"]);
    assert!(project.store_files().is_empty(), "plan wrote to the store");
    project.expect(0, &["export", "plan.json"]);
    assert_eq!(
        pair.target
            .psql("select to_regnamespace('towpath') is null"),
        "t"
    );
    project.expect(0, &["load"]);
    project.expect(0, &["verify"]);
    let status = project.expect(0, &["status"]);
    assert!(status.stdout.contains("no difference"), "{status}");
    assert_same_rows(&pair);
}

#[test]
fn small_chunks_and_one_job_give_the_same() {
    let pair = pair();
    // The unit is a mebibyte, and the biggest tables of the fixture are of a few.
    let project = project!(&pair)
        .with("TOWPATH_CHUNK_MIB", "1")
        .with("TOWPATH_JOBS", "1");
    project.expect(0, &["run", "--yes"]);
    let plan = project.document("plan.json");
    let tables = plan["tables"].as_array().expect("tables");
    let most = tables
        .iter()
        .map(|t| t["chunks"].as_array().map_or(0, Vec::len))
        .max();
    assert!(most > Some(1), "no table was split");
    assert_same_rows(&pair);
}

#[test]
fn no_secret_of_the_source_is_stored_or_said() {
    let pair = pair();
    let project = project!(&pair);
    let plan = project.expect(0, &["plan"]);
    let run = project.expect(0, &["run", "--yes"]);
    let report = project.expect(0, &["report"]);
    let password = percent_decoded_password(&pair.source.url());
    for text in [
        &plan.stdout,
        &plan.stderr,
        &run.stdout,
        &run.stderr,
        &report.stdout,
    ] {
        assert!(
            !text.contains("fixture-secret"),
            "a secret was said:\n{text}"
        );
        assert!(!text.contains(&password), "the password was said");
    }
    for (path, bytes) in project.store_files() {
        // Rows may hold what they hold; everything else must not.
        if path.components().any(|part| part.as_os_str() == "chunks") {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("fixture-secret"),
            "a secret is stored in {}",
            path.display()
        );
        assert!(
            !text.contains(&password),
            "the password is stored in {}",
            path.display()
        );
    }
}

fn percent_decoded_password(url: &str) -> String {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (login, _) = rest.rsplit_once('@').expect("a login");
    let (_, password) = login.split_once(':').expect("a password");
    password.to_owned()
}

#[test]
fn row_security_that_binds_its_owner_stays_forced_and_is_read_past() {
    let pair = pair();
    pair.source.psql_superuser(
        "alter table reports.monthly enable row level security;
         alter table reports.monthly force row level security;
         create policy nobody on reports.monthly using (false)",
    );
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let forced = "select relforcerowsecurity from pg_class where oid = 'reports.monthly'::regclass";
    assert_eq!(pair.target.psql_superuser(forced), "t");
    // The master owns the table and is bound by its policies: a check that counted what it sees
    // would compare nothing with nothing.
    assert_eq!(
        pair.target.psql("select count(*) from reports.monthly"),
        "0"
    );
    assert_ne!(
        pair.target
            .psql_superuser("select count(*) from reports.monthly"),
        "0"
    );
    assert_same_rows(&pair);
    pair.target.psql_superuser("delete from reports.monthly");
    let end = project.expect(12, &["verify", "--rows"]);
    assert!(end.stdout.contains("reports.monthly"), "{end}");
    assert_eq!(
        pair.target.psql_superuser(forced),
        "t",
        "verification left its mark"
    );
}
