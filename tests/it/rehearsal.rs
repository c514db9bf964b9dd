//! A rehearsal: all of a run, and nothing of it left but its report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use towpath_tests::browser::{Browser, Light};
use towpath_tests::{
    Installation, Pair, Project, S3Server, TargetShape, pair, pair_on, pg, project, wait_until,
};

/// What a rehearsal could leave on a server: databases, roles with their attributes, OIDs, comments,
/// memberships and settings, rights on parameters; and, of one database, every object.
fn server(url: &str) -> String {
    pg::psql(
        url,
        "select string_agg(x, E'\\n' order by x) from (
            select 'database ' || datname || ' ' || datdba || ' ' || coalesce(datacl::text, '') || ' '
                   || coalesce(shobj_description(oid, 'pg_database'), '') as x from pg_database
            union all select 'role ' || to_jsonb(r)::text || ' '
                   || coalesce(shobj_description(oid, 'pg_authid'), '') from pg_authid r
            union all select 'member ' || to_jsonb(m)::text from pg_auth_members m
            union all select 'setting ' || to_jsonb(s)::text from pg_db_role_setting s
            union all select 'parameter ' || to_jsonb(p)::text from pg_parameter_acl p
            union all select 'schema ' || nspname || coalesce(nspacl::text, '') from pg_namespace
                       where nspname !~ '^pg_(temp|toast)'
            union all select 'relation ' || relnamespace::regnamespace || '.' || relname
                   || coalesce(relacl::text, '') from pg_class where oid >= 16384
                      and relnamespace <> 'pg_toast'::regnamespace
            union all select 'routine ' || oid::regprocedure::text from pg_proc where oid >= 16384
            union all select 'slot ' || slot_name from pg_replication_slots
        ) all_of_it",
    )
}

/// Both servers, the target's databases `app` and `postgres` both looked into.
fn servers(pair: &Pair) -> [String; 3] {
    [
        server(&pair.source.cluster.superuser_url("postgres")),
        server(&pair.target.cluster.superuser_url("app")),
        server(&pair.target.cluster.superuser_url("postgres")),
    ]
}

fn assert_same_servers(before: &[String; 3], pair: &Pair) {
    for (before, after) in before.iter().zip(&servers(pair)) {
        let (before, after): (Vec<&str>, Vec<&str>) =
            (before.lines().collect(), after.lines().collect());
        let gone: Vec<_> = before.iter().filter(|it| !after.contains(it)).collect();
        let new: Vec<_> = after.iter().filter(|it| !before.contains(it)).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "gone: {gone:#?}\nnew: {new:#?}"
        );
    }
}

fn scratch_databases(pair: &Pair) -> String {
    pair.target.psql_superuser(
        "select coalesce(string_agg(datname, ' '), '') from pg_database
          where datname like 'towpath\\_rehearsal%'",
    )
}

/// The only run in the default store.
fn only_run(project: &Project) -> PathBuf {
    let store = project.path().join(".towpath");
    let folders = std::fs::read_dir(&store).expect("there is a store");
    let mut runs: Vec<PathBuf> = folders
        .map(|entry| entry.expect("read a directory").path())
        .filter(|path| path.join("plan.json").is_file())
        .collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.remove(0)
}

fn document(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).expect("a document is JSON")
}

/// Opens the page of a real run, whose fixture has the nastiest names there are.
fn assert_opens(page: &Path) {
    let pictures = towpath_tests::target_directory().join("report-page");
    std::fs::create_dir_all(&pictures).expect("make a directory");
    let browser = Browser::find();
    for (light, picture) in [(Light::Day, "day.png"), (Light::Night, "night.png")] {
        let opened = browser.open(page, light, &pictures.join(picture));
        assert!(!opened.log.contains("CONSOLE"), "{}", opened.log);
        let reached: Vec<_> = opened
            .requests
            .iter()
            .filter(|url| !url.starts_with("file:") && !url.starts_with("data:"))
            .collect();
        assert!(reached.is_empty(), "the page asks for {reached:?}");
        assert!(
            !opened.dom.contains("<script"),
            "there is a script in the page"
        );
        for id in [
            "proven",
            "plan",
            "schema",
            "tables",
            "verification",
            "timing",
        ] {
            assert!(opened.dom.contains(&format!("id=\"{id}\"")), "no {id}");
        }
    }
    browser.print(page, &pictures.join("page.pdf"));
}

#[test]
fn a_rehearsal_leaves_nothing_but_a_page_that_a_browser_opens() {
    let pair = pair();
    // One role is there, for whatever: a run would give it the settings of the source's.
    pair.target.psql("create role authenticated nologin");
    pair.target
        .psql_superuser("create database towpath_rehearsal_by_hand; create database other");
    let before = servers(&pair);
    let project = project!(&pair);
    let end = project.expect(0, &["rehearse", "--yes"]);
    for part in [
        "no difference",
        "a run would besides change role authenticated",
        "left behind: nothing but the report",
    ] {
        assert!(end.stdout.contains(part), "{part:?} is not said:\n{end}");
    }
    assert!(
        end.stderr
            .contains("towpath_rehearsal_by_hand is named like a rehearsal's and is not marked"),
        "{end}"
    );
    assert_same_servers(&before, &pair);

    // In the store: evidence, and no row.
    let run = only_run(&project);
    assert!(!run.join("chunks").exists(), "rows are staged still");
    assert!(run.join("manifest.json").is_file() && run.join("verify/1.json").is_file());
    let rehearsal = document(&run.join("rehearsal.json"));
    assert_eq!(rehearsal["verdict"], "ready");
    assert_eq!(rehearsal["left"], serde_json::json!([]));
    assert_eq!(
        rehearsal["gate"]["source_moved"],
        Value::Null,
        "{rehearsal}"
    );
    let made = rehearsal["roles_made"].to_string();
    assert!(
        made.contains("\"anon\"") && !made.contains("\"authenticated\""),
        "{made}"
    );
    assert!(!project.path().join(".towpath/current-run").exists());

    // Nothing can be done with it.
    let id = run
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    for refused in [
        &["run", "--yes", "--run", &id][..],
        &["load", "--run", &id],
        &["cutover", &id, "--confirm", &id],
        &["rehearse", "--yes", "--from", &id],
    ] {
        let end = project
            .towpath(refused)
            .env("TOWPATH_SWITCH_FUNCTIONS", "orders-api")
            .run()
            .expect_code(10);
        assert!(end.stderr.contains("was a rehearsal"), "{end}");
    }
    let reports = project.path().join(".towpath/reports").join(&id);
    let report = document(&reports.join("report.json"));
    let began = |what: &str| {
        let timings = report["timings"].as_array().expect("timings");
        let timing = timings.iter().find(|timing| timing["what"] == what);
        timing
            .and_then(|timing| timing["began_at_ms"].as_u64())
            .expect(what)
    };
    assert!(began("load") < began("verify"), "{report}");
    assert_opens(&reports.join("report.html"));
}

#[test]
fn a_stopped_or_killed_rehearsal_is_taken_away() {
    let pair = pair();
    let before = servers(&pair);
    let project = project!(&pair);
    // The scratch database is there, and rows are in it.
    let is_loading = || {
        let name = scratch_databases(&pair);
        !name.is_empty()
            && pg::try_psql(
                &pair.target.cluster.superuser_url(&name),
                "select count(*) > 0 from towpath.chunk",
            )
            .is_ok_and(|answer| answer == "t")
    };
    let mut stopped = project.towpath(&["rehearse", "--yes"]).spawn();
    wait_until("rows are loaded", Duration::from_secs(60), || {
        is_loading() || !stopped.is_running()
    });
    stopped.interrupt();
    let end = stopped.wait().expect_code(130);
    assert!(end.stderr.contains("taking away"), "{end}");
    assert_same_servers(&before, &pair);
    let run = only_run(&project);
    assert!(!run.join("chunks").exists(), "rows are staged still");
    assert_eq!(document(&run.join("rehearsal.json"))["verdict"], "failed");
    std::fs::remove_dir_all(project.path().join(".towpath")).expect("forget it");

    let killed = project.towpath(&["rehearse", "--yes"]).spawn();
    let end = killed.kill_9_when(is_loading);
    assert!(end.killed, "{end}");
    assert!(only_run(&project).join("chunks").is_dir());
    assert!(!scratch_databases(&pair).is_empty());
    assert_eq!(
        pair.target
            .psql("select count(*) from pg_roles where rolname = 'anon'"),
        "1"
    );
    let end = project.expect(0, &["rehearse", "--clean"]);
    assert!(end.stderr.contains("took away what rehearsal"), "{end}");
    assert!(
        !only_run(&project).join("chunks").exists(),
        "rows are staged still"
    );
    assert_same_servers(&before, &pair);
    let end = project.expect(0, &["rehearse", "--clean"]);
    assert!(
        end.stderr.contains("no rehearsal has left anything"),
        "{end}"
    );
}

/// With `TOWPATH_TEST_FULL`, of the export of a sealed run, kept for its operator, in all its states;
/// and on a server on which memberships have grantors and options.
#[test]
fn a_kept_rehearsal_of_a_sealed_run_writes_nothing_into_that_run() {
    let is_full = std::env::var_os("TOWPATH_TEST_FULL").is_some();
    let pair = match is_full {
        true => pair_on(
            Installation::usual().major(),
            &TargetShape {
                major: 17,
                ..TargetShape::default()
            },
        ),
        false => pair(),
    };
    let project = project!(&pair);
    let end = project.expect(1, &["rehearse", "--yes", "--from", "20260101-00000000"]);
    assert!(end.stderr.contains("has no plan in the store"), "{end}");
    project.expect(
        2,
        &[
            "rehearse",
            "--from",
            "20260101-00000000",
            "--replace",
            "app",
        ],
    );
    let end = project.expect(2, &["rehearse"]);
    assert!(end.stderr.contains("no terminal to ask on"), "{end}");
    if !is_full {
        return;
    }
    pair.target.psql("create role authenticated nologin");
    project.expect(0, &["export", "--yes"]);
    let (sealed, before) = (project.run_id(), servers(&pair));
    let of_run = || {
        let files = project.store_files();
        let is_its = |path: &Path| {
            path.components()
                .any(|it| it.as_os_str() == sealed.as_str())
        };
        files
            .into_iter()
            .filter(|(path, _)| is_its(path))
            .collect::<Vec<_>>()
    };
    let files = of_run();
    let end = project.expect(0, &["rehearse", "--yes", "--keep", "--from", &sealed]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert!(
        end.stdout.contains("`towpath rehearse --clean` drops it"),
        "{end}"
    );
    assert!(of_run() == files, "the sealed run's folder was written to");
    let name = scratch_databases(&pair);
    let rows = "select count(*) > 0 from auth.users";
    assert_eq!(
        pg::psql(&pair.target.cluster.superuser_url(&name), rows),
        "t"
    );
    // The next one leaves it, and does not mind it.
    let end = project.expect(0, &["rehearse", "--yes", "--from", &sealed]);
    assert!(end.stderr.contains("was kept"), "{end}");
    assert_eq!(scratch_databases(&pair), name);
    project.expect(0, &["rehearse", "--clean"]);
    assert_same_servers(&before, &pair);
    // The run itself goes on as if nothing had been.
    project.expect(0, &["load"]);
    project.expect(0, &["verify"]);
    let files = project.store_files();
    let end = project.expect(0, &["verify", "--dry-run"]);
    assert!(end.stderr.contains("a dry run stores nothing"), "{end}");
    assert!(project.store_files() == files, "a dry run wrote something");
    // On S3 the staged rows go, too.
    let s3 = S3Server::start();
    s3.aws().create_bucket("runs");
    let remote = project!(&pair)
        .with_all(&s3.env())
        .with("TOWPATH_STORE", "s3://runs/x");
    remote.expect(0, &["rehearse", "--yes", "--replace", "app"]);
    let keys = s3.aws().object_keys("runs", "");
    let any = |part: &str| keys.iter().any(|key| key.contains(part));
    assert!(any("/manifest.json") && any("/rehearsal.json"), "{keys:?}");
    assert!(!any("/chunks/"), "{keys:?}");
    // What it needs is its own now: a rehearsal beside it takes none of it away.
    let loaded = servers(&pair);
    project.expect(0, &["rehearse", "--yes", "--from", &sealed]);
    assert_same_servers(&loaded, &pair);
}

/// With `TOWPATH_TEST_FULL`: a rehearsal dies, a run uses the roles that it made, and cleaning up takes
/// none of them away.
#[test]
fn roles_that_a_run_uses_by_now_stay() {
    let pair = pair();
    let project = project!(&pair);
    let end = project.expect(0, &["rehearse", "--clean"]);
    assert!(
        end.stderr.contains("no rehearsal has left anything"),
        "{end}"
    );
    // What is left when one dies between its database and its roles. The second mark is about a role
    // that is there no longer: somebody has made another one of that name.
    pair.target.psql(
        "create role half_gone; create role another;
         do $$ begin execute pg_catalog.format('comment on role half_gone is %L',
            'towpath rehearsal, dropped by `towpath rehearse --clean`: {\"run\":\"20260101-00000000\",\"oid\":'
            || 'half_gone'::regrole::oid::int8 || '}'); end $$;
         comment on role another is
            'towpath rehearsal, dropped by `towpath rehearse --clean`: {\"run\":\"20260101-00000000\",\"oid\":1}'",
    );
    project.expect(0, &["rehearse", "--clean"]);
    let roles =
        "select string_agg(rolname, ' ') from pg_roles where rolname in ('half_gone', 'another')";
    assert_eq!(pair.target.psql(roles), "another");
    if std::env::var_os("TOWPATH_TEST_FULL").is_none() {
        return;
    }
    let killed = project.towpath(&["rehearse", "--yes"]).spawn();
    let end = killed.kill_9_when(|| {
        !scratch_databases(&pair).is_empty()
            && pair
                .target
                .psql("select count(*) from pg_roles where rolname = 'anon'")
                == "1"
    });
    assert!(end.killed, "{end}");
    project.expect(0, &["run", "--yes"]);
    let end = project.expect(0, &["rehearse", "--clean"]);
    assert!(
        end.stderr.contains("has loaded the target meanwhile"),
        "{end}"
    );
    assert_eq!(scratch_databases(&pair), "");
    project.expect(0, &["verify"]);
}
