//! The source guard holds the export back and lets it go on; reading the source costs no more than
//! it must.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::tcp_proxy::Direction;
use towpath_tests::{Fault, Pair, Project, Running, TcpProxy, pair, pg, project, wait_until};

const LONG: Duration = Duration::from_secs(120);

/// Waits for words of the program, which must not end before it has said them.
fn hears(run: &mut Running, words: &str) {
    let until = Instant::now() + LONG;
    while !run.stderr_so_far().contains(words) {
        assert!(
            run.is_running() && Instant::now() < until,
            "not said: {words}\n{}",
            run.stderr_so_far()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sessions that do nothing else than being active, until they are terminated.
fn busy_sessions(pair: &Pair, count: usize) {
    let url = pair.source.cluster.superuser_url("postgres");
    for _ in 0..count {
        let url = url.clone();
        std::thread::spawn(move || pg::try_psql(&url, "select pg_sleep(600)"));
    }
    wait_until("sessions are busy", LONG, || busy(pair) == count);
}

const BUSY: &str =
    "from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'";

fn busy(pair: &Pair) -> usize {
    let count = pair
        .source
        .psql_superuser(&format!("select count(*) {BUSY}"));
    count.trim().parse().expect("a count")
}

fn stored_chunks(project: &Project) -> usize {
    let Ok(tables) = std::fs::read_dir(project.run_folder().join("chunks")) else {
        return 0;
    };
    tables
        .map(|table| std::fs::read_dir(table.expect("read a folder").path()))
        .map(|folder| folder.map_or(0, Iterator::count))
        .sum()
}

/// Waits until the guard has looked so often again.
fn guard_looks(pair: &Pair, times: usize) {
    let begun = "select coalesce(max(query_start)::text, '') from pg_stat_activity
                  where application_name like 'towpath/%/guard'";
    let mut seen = BTreeSet::new();
    wait_until("the guard has looked again", LONG, || {
        let now = pair.source.psql_superuser(begun);
        if !now.trim().is_empty() {
            seen.insert(now);
        }
        seen.len() > times
    });
}

#[test]
fn a_busy_source_pauses_the_export_until_it_has_calmed_down() {
    let pair = pair();
    let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
    pair.source.psql_superuser(
        "select pg_create_physical_replication_slot('forgotten', true);
         select pg_logical_emit_message(false, 'test', repeat('x', 4 << 20))",
    );
    busy_sessions(&pair, 4);
    let mut run = project
        .towpath(&["run", "--yes", "--max-source-load", "sessions=2,lag=1MiB"])
        .timeout(2 * LONG)
        .spawn();
    hears(&mut run, "paused: ");
    let paused = "paused: 4 sessions active on source, limit 2; WAL lag on source is ";
    assert!(
        run.stderr_so_far().contains(paused),
        "{}",
        run.stderr_so_far()
    );
    assert!(
        run.stderr_so_far()
            .contains(" MiB (slot forgotten), limit 1 MiB"),
        "{}",
        run.stderr_so_far()
    );
    // One reason less is not enough.
    pair.source
        .psql_superuser(&format!("select pg_terminate_backend(pid) {BUSY}"));
    guard_looks(&pair, 3);
    assert_eq!(stored_chunks(&project), 0, "a chunk was read in a pause");
    assert!(!run.stderr_so_far().contains("resumed"));
    let workers = "select count(*) from pg_stat_activity
                    where application_name like 'towpath/%/export-%' and state = 'active'";
    assert_eq!(pair.source.psql_superuser(workers).trim(), "0");
    pair.source
        .psql_superuser("select pg_drop_replication_slot('forgotten')");
    let end = run.wait().expect_code(0);
    assert!(end.stderr.contains("resumed after "), "{end}");
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
}

#[test]
fn a_pause_stops_reading_in_the_middle_of_a_chunk() {
    let pair = pair();
    pair.source.psql(
        "create table public.hold_on (why text);
         create table public.bulk (id bigint primary key, note text);
         insert into public.bulk
         select i, repeat(md5(i::text), 8) from generate_series(1, 80000) i",
    );
    let port = pair.source.cluster.port();
    let proxy = TcpProxy::start(port);
    let project = project!(&pair)
        .with(
            "TOWPATH_SOURCE_URL",
            &proxy.through(&pair.source.url(), port),
        )
        .with("TOWPATH_CHUNK_MIB", "1000")
        .with("TOWPATH_JOBS", "1")
        .with("TOWPATH_MAX_SOURCE_LOAD", "query=0")
        .with(
            "TOWPATH_SOURCE_LOAD_QUERY",
            "select count(*) from public.hold_on",
        );
    // Slow enough for the guard to look while the chunk is under way.
    proxy.set(Fault::Throttle(Direction::ToClient, 2 << 20));
    let mut run = project
        .towpath(&["export", "--yes"])
        .timeout(2 * LONG)
        .spawn();
    let reading = || {
        let copies = "select count(*) from pg_stat_activity
                       where application_name like 'towpath/%/export-0'
                         and state = 'active' and query like 'copy (%\"bulk\"%'";
        pair.source.psql_superuser(copies).trim() == "1"
    };
    wait_until("the chunk is read", LONG, reading);
    pair.source
        .psql("insert into public.hold_on values ('people are working')");
    hears(&mut run, "paused: source.load_query gives 1, limit 0");
    // The rest of it would be there at once if anybody read it.
    proxy.set(Fault::Pass);
    guard_looks(&pair, 3);
    assert!(reading(), "the chunk was read in a pause");
    pair.source.psql("delete from public.hold_on");
    let end = run.wait().expect_code(0);
    assert!(end.stderr.contains("resumed after "), "{end}");
    let manifest = project.document("manifest.json");
    let rows: Vec<u64> = manifest["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .filter_map(|table| table["digest"]["rows"].as_u64())
        .collect();
    assert!(rows.contains(&80_000), "{rows:?}");
}

#[test]
fn a_guard_that_fails_or_never_lets_go_ends_the_export_by_name() {
    let pair = pair();
    let project = project!(&pair);
    for (limits, code) in [("sessions=many", 2), ("query=4", 2)] {
        let end = project.expect(code, &["run", "--yes", "--max-source-load", limits]);
        assert!(end.stderr.contains("source's load"), "{end}");
        assert!(project.store_files().is_empty(), "refused too late");
    }
    let guarded = |query: &str, limits: &str, code: i32| {
        let end = project
            .towpath(&["run", "--yes"])
            .env("TOWPATH_SOURCE_LOAD_QUERY", query)
            .env("TOWPATH_MAX_SOURCE_LOAD", limits)
            .env("TOWPATH_MAX_PAUSE_S", "1")
            .run();
        end.expect_code(code)
    };
    // The first command makes the run, every other goes on with it.
    let end = guarded("select true; ", "", 15);
    assert!(
        end.stderr.contains("paused: source.load_query says true"),
        "{end}"
    );
    assert!(end.stderr.contains("source-busy"), "{end}");
    assert_eq!(stored_chunks(&project), 0);
    let end = guarded("select no_such_column", "", 1);
    assert!(
        end.stderr.contains("could not run source.load_query"),
        "{end}"
    );
    let end = guarded("select 7.5 -- is no more than", "query=7.5", 0);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
}

#[test]
fn tables_cost_the_source_one_statement_each() {
    let pair = pair();
    let tables = 300;
    pair.source.psql(&format!(
        "do $$ begin
             for i in 1..{tables} loop
                 execute format('create table public.small_%s (id bigint primary key, note text)', i);
                 execute format('insert into public.small_%s values (1, %L)', i, 'one row');
             end loop;
         end $$"
    ));
    pair.source.psql_superuser(
        "alter system set log_statement = 'all';
         alter system set log_line_prefix = '[%a] '",
    );
    pair.source.psql_superuser("select pg_reload_conf()");
    let project = project!(&pair);
    project.expect(0, &["export", "--yes"]);
    let plan = project.document("plan.json");
    let chunks: usize = plan["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .map(|table| table["chunks"].as_array().map_or(0, Vec::len))
        .sum();
    assert!(chunks > tables, "the tables are not in the plan");
    let log = pair.source.cluster.log();
    let statements = |who: &str| -> Vec<&str> {
        let of = |line: &&str| {
            line.contains(who) && (line.contains("statement: ") || line.contains("execute "))
        };
        log.lines().filter(of).collect()
    };
    let copies = statements("/export-");
    // Beside the rows each of two workers begins, pins and ends its transaction once.
    assert!(
        copies.len() <= chunks + 2 * 12,
        "{} statements for {chunks} chunks:\n{}",
        copies.len(),
        copies.join("\n")
    );
    assert_eq!(
        copies
            .iter()
            .filter(|line| line.contains("copy (select"))
            .count(),
        chunks
    );
    // Two surveys, each of about as many statements as there are kinds of objects, and the locks.
    let surveys = statements("/survey");
    assert!(
        (20..250).contains(&surveys.len()),
        "{} statements to read the schema:\n{}",
        surveys.len(),
        surveys.join("\n")
    );
}
