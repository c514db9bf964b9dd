//! Bad input gets a clear error and changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use towpath_tests::{Finished, Pair, Project, S3Server, TcpProxy, pair, pg, project};

/// Structure of the target as a text, to see that it stayed as it was.
fn target_shape(pair: &Pair) -> String {
    pair.target.psql_superuser(
        "select string_agg(x, E'\\n' order by x) from (
            select n.nspname || '.' || c.relname as x from pg_class c
              join pg_namespace n on n.oid = c.relnamespace
             where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            union all select 'schema ' || nspname from pg_namespace where nspname !~ '^pg_temp|^pg_toast'
            union all select 'role ' || rolname from pg_roles) all_of_it",
    )
}

/// Runs towpath, expects the exit code and every part of the letter, and that neither target nor
/// store were touched.
fn assert_refused(
    pair: &Pair,
    project: &Project,
    arguments: &[&str],
    code: i32,
    parts: &[&str],
) -> Finished {
    let (target, store) = (target_shape(pair), project.store_files());
    let end = project.expect(code, arguments);
    for part in parts {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    assert!(end.stderr.contains(&format!("(exit {code})")), "{end}");
    assert_eq!(target_shape(pair), target, "the target was changed");
    let paths = |files: &[(PathBuf, Vec<u8>)]| {
        files
            .iter()
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        paths(&project.store_files()),
        paths(&store),
        "the store was changed"
    );
    end
}

const RUN: &[&str] = &["run", "--yes"];

#[test]
fn a_wrong_password() {
    let pair = pair();
    for (variable, side) in [
        ("TOWPATH_SOURCE_URL", "source"),
        ("TOWPATH_TARGET_URL", "target"),
    ] {
        let right = if side == "source" {
            pair.source.url()
        } else {
            pair.target.url()
        };
        let (login, rest) = right.rsplit_once('@').expect("a login");
        let (user, _) = login.rsplit_once(':').expect("a password");
        let project = project!(&pair).with(variable, &format!("{user}:hunter2@{rest}"));
        let end = assert_refused(
            &pair,
            &project,
            RUN,
            1,
            &[
                &format!("could not connect to {side}"),
                "password authentication failed",
                "hint: check user and password",
            ],
        );
        assert!(!end.stderr.contains("hunter2"), "{end}");
    }
}

#[test]
fn an_unreachable_host() {
    let pair = pair();
    // A port that was free a moment ago.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let url = format!("postgres://postgres:x@127.0.0.1:{port}/postgres");
    let project = project!(&pair).with("TOWPATH_SOURCE_URL", &url);
    assert_refused(
        &pair,
        &project,
        RUN,
        15,
        &["could not connect to source", "refused", "hint: "],
    );
}

#[test]
fn a_transaction_pooler() {
    let pair = pair();
    let url = "postgres://postgres.abcdefghijklmnopqrst:x@aws-0-eu-west-1.pooler.supabase.com:6543/postgres";
    let project = project!(&pair).with("TOWPATH_SOURCE_URL", url);
    assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &["transaction pooler", "port 5432"],
    );
}

#[test]
fn an_unknown_store_scheme() {
    let pair = pair();
    let project = project!(&pair).with("TOWPATH_STORE", "gs://bucket/prefix");
    assert_refused(
        &pair,
        &project,
        RUN,
        2,
        &[
            "gs://bucket/prefix",
            "neither file:// nor s3://",
            "hint: use file:///",
        ],
    );
}

#[test]
fn an_unreadable_bucket() {
    let pair = pair();
    let s3 = S3Server::start();
    let project = project!(&pair)
        .with_all(&s3.env())
        .with("TOWPATH_STORE", "s3://nowhere/x");
    assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &["check store failed", "s3://nowhere", "hint: "],
    );

    s3.aws().create_bucket("runs");
    let project = project!(&pair)
        .with_all(&s3.env())
        .with("TOWPATH_STORE", "s3://runs/x")
        .with("AWS_SECRET_ACCESS_KEY", "wrong-secret-key");
    let end = assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &["check store failed", "s3://runs", "hint: "],
    );
    assert!(!end.stderr.contains("wrong-secret-key"), "{end}");
    assert!(s3.aws().object_keys("runs", "").is_empty());
}

#[test]
fn a_store_directory_that_cannot_be_used() {
    let pair = pair();
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("file");
    std::fs::write(&file, "not a directory").expect("write");
    let store = format!("file://{}/store", file.display());
    let project = project!(&pair).with("TOWPATH_STORE", &store);
    assert_refused(&pair, &project, RUN, 10, &["check store failed", "hint: "]);
    let locked = place.path().join("locked");
    std::fs::create_dir(&locked).expect("make");
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o500)).expect("lock");
    let store = format!("file://{}/store", locked.display());
    let project = project!(&pair).with("TOWPATH_STORE", &store);
    assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &["check store failed", "could not write to", "hint: "],
    );
}

#[test]
fn a_target_table_of_another_structure() {
    let pair = pair();
    pair.target
        .psql("create table public.no_pk (a text, b integer)");
    let project = project!(&pair);
    assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &[
            "check target-structure failed",
            "table public.no_pk",
            "another structure",
            "column c: only in source",
            "towpath diff source target",
            "--replace app",
        ],
    );
}

#[test]
fn a_target_that_is_not_empty() {
    let pair = pair();
    pair.target.psql(
        "create schema mine; create table mine.notes as select 1 as id;
         alter default privileges revoke execute on functions from public;
         alter default privileges grant select on tables to public;
         alter default privileges revoke usage on types from public;
         alter default privileges in schema mine grant select on sequences to public;
         alter database app set default_text_search_config = 'pg_catalog.simple'",
    );
    pair.target.psql_superuser(
        "create foreign data wrapper stub; create server elsewhere foreign data wrapper stub;
         create user mapping for public server elsewhere; alter server elsewhere owner to towpath_master",
    );
    let project = project!(&pair);
    assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &[
            "check target-structure failed",
            "table mine.notes is not expected",
            "(and 1 more check failed)",
            "--replace app",
        ],
    );
    let wrong = ["run", "--yes", "--replace", "other"];
    assert_refused(
        &pair,
        &project,
        &wrong,
        2,
        &["--replace names \"other\"", "\"app\""],
    );
    project.expect(0, &["run", "--yes", "--replace", "app"]);
    assert_eq!(
        pair.target.psql("select to_regclass('mine.notes') is null"),
        "t"
    );
}

#[test]
fn a_source_login_that_would_read_filtered_tables() {
    let pair = pair();
    pair.source.psql_superuser(
        "create role reporting login password 'reporting-password' in role pg_read_all_data",
    );
    let url = pair
        .source
        .url_as("reporting", "reporting-password", "postgres");
    let project = project!(&pair).with("TOWPATH_SOURCE_URL", &url);
    assert_refused(
        &pair,
        &project,
        RUN,
        10,
        &[
            "check source-login failed",
            "reporting does not bypass row-level security",
            "hint: connect as the role postgres",
        ],
    );
}

#[test]
fn a_chunk_with_a_flipped_byte_or_none_at_all() {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["export", "--yes"]);
    let manifest = project.document("manifest.json");
    let key = manifest["tables"][0]["chunks"][0]["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let path = project.run_folder().join(&key);
    let sound = std::fs::read(&path).expect("read a chunk");
    let mut bytes = sound.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, bytes).expect("damage");
    let end = project.expect(12, &["load"]);
    for part in ["could not load chunk", &key, "hint: ", "verify --chunks"] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    let table = manifest["tables"][0]["table"].as_str().expect("a table id");
    let entered = format!("select count(*) from towpath.chunk where table_id = '{table}'");
    assert_eq!(pair.target.psql(&entered), "0", "a damaged chunk was taken");

    std::fs::remove_file(&path).expect("remove");
    let end = project.expect(12, &["load"]);
    for part in ["could not load chunk", "is missing", &key, "hint: "] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    // Mended, the same command goes on and the run is sound.
    std::fs::write(&path, sound).expect("mend");
    project.expect(0, &["load"]);
    project.expect(0, &["verify"]);
}

#[test]
fn a_run_that_a_live_process_works_on() {
    let pair = pair();
    let proxy = TcpProxy::start(pair.target.cluster.port());
    let slow = project!(&pair);
    slow.expect(0, &["export", "--yes"]);
    // The holder waits for a target that does not answer.
    proxy.set(towpath_tests::Fault::StallAfter(
        towpath_tests::tcp_proxy::Direction::ToClient,
        3000,
    ));
    let stalled = format!(
        "{}?sslmode=disable",
        proxy.through(&pair.target.url(), pair.target.cluster.port())
    );
    // The plan names the target's address, so the holder comes by the proxy from the start.
    let project = project!(&pair).with("TOWPATH_TARGET_URL", &stalled);
    proxy.set(towpath_tests::Fault::Pass);
    project.expect(0, &["export", "--yes"]);
    proxy.set(towpath_tests::Fault::StallAfter(
        towpath_tests::tcp_proxy::Direction::ToClient,
        3000,
    ));
    let holder = project.towpath(&["load"]).spawn();
    let lease = project.run_folder().join("lease.json");
    towpath_tests::wait_until(
        "the lease is held",
        std::time::Duration::from_secs(20),
        || {
            std::fs::read_to_string(&lease)
                .is_ok_and(|text| text.contains("\"ttl_s\": 60") && text.contains("load"))
        },
    );
    let end = project.expect(11, &["load"]);
    for part in [
        "is leased by",
        &holder.pid().to_string(),
        "lease.json",
        "hint: ",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    let run = project.run_id();
    let status = project.expect(0, &["status"]);
    assert!(status.stdout.contains("leased by"), "{status}");
    assert!(status.stdout.contains(&run), "{status}");
    holder.kill_9();
    // A dead holder of this host keeps nobody waiting.
    proxy.set(towpath_tests::Fault::Pass);
    project.expect(0, &["load"]);
}

#[test]
fn a_configuration_with_an_unknown_key() {
    let pair = pair();
    let project = project!(&pair);
    std::fs::write(project.path().join("towpath.toml"), "[copy]\njosb = 4\n").expect("write");
    assert_refused(
        &pair,
        &project,
        RUN,
        2,
        &[
            "towpath.toml",
            "unknown key copy.josb",
            "did you mean copy.jobs?",
        ],
    );
}

#[test]
fn no_terminal_and_no_consent() {
    let pair = pair();
    let project = project!(&pair);
    assert_refused(
        &pair,
        &project,
        &["run"],
        2,
        &["no terminal to ask on", "--yes"],
    );
}

#[test]
fn a_schema_that_changed_since_the_plan() {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["plan", "-o", "plan.json"]);
    pair.source
        .psql("create table public.added_later (id integer)");
    assert_refused(
        &pair,
        &project,
        &["run", "plan.json"],
        10,
        &["no longer holds", "another schema", "hint: make a new plan"],
    );
}

#[test]
fn a_plan_file_that_leaves_something_out() {
    let pair = pair();
    let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
    project.expect(0, &["plan", "-o", "plan.json"]);
    let path = project.path().join("plan.json");
    let sound = std::fs::read_to_string(&path).expect("read the plan");
    type Edit = fn(&mut serde_json::Value);
    let edits: [Edit; 4] = [
        |plan| {
            plan["tables"].as_array_mut().expect("tables").pop();
        },
        |plan| {
            plan["tables"][0]["chunks"]
                .as_array_mut()
                .expect("chunks")
                .pop();
        },
        |plan| {
            plan["tables"][1]["columns"]
                .as_array_mut()
                .expect("columns")
                .pop();
        },
        |plan| {
            plan["sequences"].as_array_mut().expect("sequences").pop();
        },
    ];
    for edit in edits {
        let mut plan: serde_json::Value = serde_json::from_str(&sound).expect("JSON");
        edit(&mut plan);
        std::fs::write(&path, plan.to_string()).expect("edit the plan");
        assert_refused(
            &pair,
            &project,
            &["run", "plan.json"],
            10,
            &["no longer holds", "other tables"],
        );
    }
    std::fs::write(&path, sound).expect("mend the plan");
    project.expect(0, &["run", "plan.json"]);
}

#[test]
fn a_source_that_would_be_cleared_by_another_name() {
    let pair = pair();
    pair.source.psql_superuser(
        "revoke execute on function pg_control_system() from public;
         create database scratch owner postgres",
    );
    let by_address = pair
        .source
        .url_as(pg::SOURCE_USER, pg::SOURCE_PASSWORD, "scratch");
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let rows = "create table precious as select 1 as id";
    pg::psql(&by_address, rows);
    let project = project!(&pair)
        .with("TOWPATH_SOURCE_URL", &by_address)
        .with("TOWPATH_TARGET_URL", &by_name);
    let end = project
        .towpath(&["run", "--yes", "--replace", "scratch"])
        .run();
    assert_ne!(end.code, Some(0), "{end}");
    assert_eq!(pg::psql(&by_address, "select id from precious"), "1");
}
