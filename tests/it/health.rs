//! The checklist after a move: a sound target passes, and each damage is told by its check.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use towpath_tests::{Installation, Pair, Project, TargetShape, pair, pair_on, project, wait_until};

/// A table that is worth an index, and queries that use it. The comment is what nobody may see.
const PARCELS: &str = "
    create table public.parcels (
        id bigint generated always as identity primary key,
        tag text not null constraint parcels_tag_check check (tag <> ''),
        note text);
    insert into public.parcels (tag) select md5((i % 5000)::text) from generate_series(1, 20000) i;
    create index parcels_tag_idx on public.parcels (tag);
    analyze public.parcels;";

const BY_TAG: &str = "select /* fixture-secret-comment */ count(*) from public.parcels where tag = 'fixture-secret-tag'";

/// Every one goes to another check.
const DAMAGE: &str = "
    select setval(pg_get_serial_sequence('public.parcels', 'id'), 100);
    update pg_index set indisvalid = false where indexrelid = 'public.parcels_tag_idx'::regclass;
    alter table public.parcels drop constraint parcels_tag_check;
    alter table public.parcels add constraint parcels_tag_check check (tag <> '') not valid;
    alter table public.documents disable row level security;
    delete from pg_statistic where starelid = 'public.big_ledger'::regclass;
    alter table public.documents disable trigger documents_title_changed;
    update pg_extension set extversion = '0.1' where extname = 'pg_trgm';
    alter table public.scratch owner to rdsadmin;
    revoke select on public.documents from authenticated;
    alter table public.codes replica identity full;
    refresh materialized view public.ledger_top with no data;
    drop function public.fingerprint_of_nothing();
    create index parcels_note_a on public.parcels (note);
    create index parcels_note_b on public.parcels (note);
    create table public.parcel_marks (parcel bigint references public.parcels);";

/// The usual servers; in a full run others too.
fn pairs() -> Vec<Pair> {
    let mut pairs = vec![pair()];
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        let shape = TargetShape {
            major: 18,
            ..TargetShape::default()
        };
        pairs.extend([pair_on(16, &shape), pair_on(18, &shape)]);
    }
    pairs
}

fn prepared(mut pair: Pair) -> Pair {
    pair.source
        .psql_superuser("alter system set shared_preload_libraries = 'pg_stat_statements'");
    pair.source.cluster.crash_and_restart();
    pair.source.psql(PARCELS);
    pair.source.psql(
        "create function public.fingerprint_of_nothing() returns text language sql as $$ select '' $$",
    );
    for _ in 0..3 {
        pair.source.psql(BY_TAG);
        pair.source.psql("select count(*) from public.parcels");
        pair.source.psql("select max(random()) from public.parcels");
        pair.source
            .psql("select id from public.parcels where id = 7 for update");
    }
    pair
}

/// Checks of the latest verification: verdict and finding by id.
fn checks(project: &Project, number: u32) -> BTreeMap<String, (String, String)> {
    let evidence = project.document(&format!("verify/{number}.json"));
    let checks = evidence["health"]["checks"].as_array().expect("checks");
    let text = |check: &Value, key: &str| check[key].as_str().expect("a text").to_owned();
    checks
        .iter()
        .map(|check| {
            let told = (text(check, "verdict"), check.to_string());
            (text(check, "check"), told)
        })
        .collect()
}

fn with_verdict<'c>(checks: &'c BTreeMap<String, (String, String)>, wanted: &str) -> Vec<&'c str> {
    let those = checks.iter().filter(|(_, (verdict, _))| verdict == wanted);
    those.map(|(check, _)| check.as_str()).collect()
}

/// A client of the source that is not towpath, until it is dropped.
struct Application(Child);

impl Application {
    fn connect(pair: &Pair) -> Self {
        let child = Command::new(Installation::usual().program("psql"))
            .args([
                "-XAtq",
                "-d",
                &pair.source.url(),
                "-c",
                "select pg_sleep(600)",
            ])
            .env("PGAPPNAME", "orders-api")
            .stdout(Stdio::null())
            .spawn()
            .expect("start psql");
        wait_until(
            "the application to connect",
            Duration::from_secs(20),
            || {
                let count = "select count(*) from pg_stat_activity where application_name = 'orders-api' and state = 'active'";
                pair.source.psql_superuser(count) == "1"
            },
        );
        Self(child)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_sound_target_passes_and_each_damage_is_told_by_its_check() {
    for pair in pairs() {
        assert_told(prepared(pair));
    }
}

fn assert_told(mut pair: Pair) {
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);

    // Queries are not read unless somebody agrees.
    let end = project.expect(0, &["verify", "--health"]);
    assert!(end.stdout.contains("22 checks: "), "{end}");
    let sound = checks(&project, 2);
    assert_eq!(with_verdict(&sound, "fail"), Vec::<&str>::new(), "{end}");
    assert_eq!(with_verdict(&sound, "not-looked-at"), ["queries"], "{end}");
    // A constraint of the fixture is not valid on the source either, and its servers run without
    // autovacuum; the rest is advice.
    assert_eq!(
        with_verdict(&sound, "warn"),
        [
            "autovacuum",
            "constraints",
            "foreign-keys-indexed",
            "unused-indexes"
        ],
        "{end}"
    );

    pair.target.psql_superuser(DAMAGE);
    pair.target.psql_superuser(&format!(
        "create server back foreign data wrapper postgres_fdw
             options (host 'localhost', port '{}', dbname 'postgres');
         create user mapping for public server back options (user 'x', password 'fixture-secret-back')",
        pair.source.cluster.port()
    ));
    let application = Application::connect(&pair);
    let end = project.expect(
        12,
        &[
            "verify",
            "--health",
            "--explain-queries",
            "--analyze-queries",
        ],
    );
    drop(application);
    let damaged = checks(&project, 3);
    for (check, verdict, word) in [
        (
            "sequences-ahead",
            "fail",
            "public.parcels_id_seq is 19900 behind public.parcels.id",
        ),
        (
            "indexes",
            "fail",
            "index parcels_tag_idx on public.parcels is not valid",
        ),
        (
            "constraints",
            "fail",
            "constraint parcels_tag_check on public.parcels is not validated",
        ),
        (
            "row-security",
            "fail",
            "table public.documents has no row-level security",
        ),
        ("statistics", "warn", "public.big_ledger"),
        (
            "triggers",
            "fail",
            "documents_title_changed on public.documents: disabled instead of origin",
        ),
        (
            "extension-versions",
            "fail",
            "extension pg_trgm: 0.1 instead of",
        ),
        (
            "owners",
            "fail",
            "table public.scratch: rdsadmin instead of",
        ),
        (
            "grants",
            "fail",
            "table public.documents: SELECT of authenticated",
        ),
        (
            "table-options",
            "warn",
            "table public.codes: full instead of default",
        ),
        (
            "materialized-views",
            "fail",
            "materialized view public.ledger_top",
        ),
        (
            "other-objects",
            "fail",
            "function public.fingerprint_of_nothing() is missing",
        ),
        (
            "duplicate-indexes",
            "warn",
            "parcels_note_a = parcels_note_b on public.parcels",
        ),
        (
            "foreign-keys-indexed",
            "warn",
            "parcel_marks_parcel_fkey on public.parcel_marks (parcel)",
        ),
        (
            "source-links",
            "fail",
            "foreign server back (1 user mapping, 0 foreign tables)",
        ),
        (
            "source-sessions",
            "pass",
            "orders-api as postgres: 1 active",
        ),
        (
            "queries",
            "warn",
            "reads all of public.parcels, where the source uses parcels_tag_idx",
        ),
        ("tables", "pass", ""),
    ] {
        let (found, told) = &damaged[check];
        assert_eq!(found, verdict, "{check}: {end}");
        assert!(told.contains(word), "{check}: {word:?} in {told}");
    }
    let evidence = project.document("verify/3.json");
    let queries: Vec<&Value> = evidence["health"]["queries"]
        .as_array()
        .expect("queries")
        .iter()
        .filter(|query| query["tables"] == serde_json::json!(["public.parcels"]))
        .collect();
    let count = |is: &dyn Fn(&Value) -> bool| queries.iter().filter(|query| is(query)).count();
    assert_eq!(queries.len(), 4, "{queries:?}");
    // The count of all; not what has a parameter, nor what calls random().
    let is_timed = |query: &Value| query["target"]["time_ms"].is_number();
    assert_eq!(count(&is_timed), 1, "{queries:?}");
    // The one that locks rows.
    assert_eq!(
        count(&|query| query["skipped"].is_string()),
        1,
        "{queries:?}"
    );
    for (path, bytes) in project.store_files() {
        let is_evidence = path.components().any(|part| part.as_os_str() == "verify");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !is_evidence || !text.contains("fixture-secret"),
            "{}",
            path.display()
        );
    }
    assert!(!end.stdout.contains("fixture-secret") && !end.stderr.contains("fixture-secret"));

    // The text of a query is told on demand, without its constants, and stored by nobody.
    let arguments = ["verify", "--health", "--explain-queries=2", "--show-values"];
    let end = project.expect(12, &arguments);
    assert!(end.stdout.contains("from public.parcels"), "{end}");
    assert!(!end.stdout.contains("fixture-secret-tag"), "{end}");
    let stored = project.document("verify/4.json").to_string();
    assert!(!stored.contains("from public.parcels"));

    // A source that is gone leaves the target to be looked at.
    pair.source.cluster.crash();
    let end = project.expect(12, &["verify", "--health", "--explain-queries"]);
    let alone = checks(&project, 5);
    assert_eq!(
        with_verdict(&alone, "not-looked-at"),
        ["queries", "source-sessions", "unused-indexes"],
        "{end}"
    );
    assert_eq!(alone["indexes"].0, "fail");
}
