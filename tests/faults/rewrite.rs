//! TRUNCATE and rewriting ALTER TABLE are not MVCC-safe: a snapshot older than them finds the table
//! empty. Whatever happens to the source during an export, no row may be missing in silence.

use std::time::Duration;

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::tcp_proxy::Direction;
use towpath_tests::{Fault, Project, TcpProxy, pair, pg, project, wait_until};

/// The journal tells of a snapshot once its tables are locked. (Locks alone do not tell: pg_dump and
/// the survey take some too, and let them go.)
fn has_snapshot(project: &Project) -> bool {
    project.store_files().iter().any(|(path, bytes)| {
        path.extension()
            .is_some_and(|extension| extension == "ndjson")
            && String::from_utf8_lossy(bytes).contains("\"type\":\"snapshot\"")
    })
}

#[test]
fn a_table_cannot_be_emptied_under_the_snapshot() {
    let pair = pair();
    pair.source.psql(
        "create table public.victim as select i from generate_series(1, 1000) i;
         create table public.bulk as select i, repeat(md5(i::text), 30) as t from generate_series(1, 40000) i",
    );
    // A slow source gives time to interfere between the snapshot and the copy of a small table.
    let port = pair.source.cluster.port();
    let proxy = TcpProxy::start(port);
    let url = format!(
        "{}?sslmode=disable",
        proxy.through(&pair.source.url(), port)
    );
    let project = project!(&pair)
        .with("TOWPATH_SOURCE_URL", &url)
        .with("TOWPATH_JOBS", "1");
    project.expect(0, &["plan", "-o", "plan.json"]);
    proxy.set(Fault::StallAfter(Direction::ToClient, 3_000_000));
    let running = project.towpath(&["run", "plan.json"]).spawn();
    wait_until(
        "the export has its snapshot",
        Duration::from_secs(60),
        || has_snapshot(&project),
    );
    for statement in [
        "truncate public.victim",
        "alter table public.victim alter column i type bigint",
        "vacuum full public.victim",
    ] {
        let sql = format!("set lock_timeout = '300ms'; {statement}");
        let refused = pg::try_psql(&pair.source.url(), &sql).unwrap_err();
        assert!(refused.contains("lock timeout"), "{statement}: {refused}");
    }
    running.kill_9();
    proxy.set(Fault::Pass);
    project.expect(0, &["run", "plan.json"]);
    assert_same_rows(&pair);
}

#[test]
fn a_queue_for_an_exclusive_lock_does_not_stop_the_source() {
    let pair = pair();
    pair.source.psql(
        "create table public.bulk as select i, repeat(md5(i::text), 30) as t from generate_series(1, 40000) i",
    );
    let port = pair.source.cluster.port();
    let proxy = TcpProxy::start(port);
    let url = format!(
        "{}?sslmode=disable",
        proxy.through(&pair.source.url(), port)
    );
    let project = project!(&pair)
        .with("TOWPATH_SOURCE_URL", &url)
        .with("TOWPATH_JOBS", "1")
        .with("TOWPATH_CHUNK_MIB", "1");
    project.expect(0, &["plan", "-o", "plan.json"]);
    proxy.set(Fault::StallAfter(Direction::ToClient, 6_000_000));
    let running = project
        .towpath(&["run", "plan.json"])
        .timeout(Duration::from_secs(90))
        .spawn();
    wait_until(
        "the export has its snapshot",
        Duration::from_secs(60),
        || has_snapshot(&project),
    );
    // Somebody waits for the lock of a table whose turn has not come: the export gives way.
    let source = pair.source.url();
    let waiting = std::thread::spawn(move || {
        pg::try_psql(
            &source,
            "set statement_timeout = '60s'; alter table public.uuid_keys add column later integer",
        )
    });
    let queued = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted";
    wait_until("the ALTER TABLE waits", Duration::from_secs(30), || {
        pair.source.psql_superuser(queued) != "0"
    });
    proxy.set(Fault::Pass);
    let end = running.wait();
    let altered = waiting.join().expect("the thread ends");
    assert!(altered.is_ok(), "{altered:?}");
    assert_ne!(end.code, Some(0), "{end}");
    assert!(
        !project.run_folder().join("manifest.json").exists(),
        "{end}"
    );
    assert!(end.stderr.contains("hint: "), "{end}");
}
