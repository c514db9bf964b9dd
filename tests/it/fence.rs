//! The fence on the source: nobody writes past it, everybody reads, and it is gone when it is lifted.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use towpath_fence::{CancelBlockers, FenceOptions, LockPatience, Up};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::cutover::FenceMode;
use towpath_model::event::Events;
use towpath_model::stop::Stop;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::{Session, SessionOptions};
use towpath_tests::{Source, pg, wait_until};

const LONG: Duration = Duration::from_secs(60);

const MESSAGE: &str = "it's 100% gone; ask \"ops\"";

/// A source, and what fences it.
struct World {
    source: Source,
    runtime: tokio::runtime::Runtime,
    options: FenceOptions,
}

fn world(tables: &[(&str, &str)]) -> World {
    world_on(Source::start(), tables)
}

fn world_on(source: Source, tables: &[(&str, &str)]) -> World {
    World {
        options: options(&source, tables),
        source,
        runtime: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("make a runtime"),
    }
}

fn options(source: &Source, tables: &[(&str, &str)]) -> FenceOptions {
    FenceOptions {
        source: ConnectionUrl::parse(&source.url(), Side::Source).expect("a URL"),
        session: SessionOptions::named(""),
        run: "20260101-000000-fence1".parse().expect("a run"),
        tables: tables
            .iter()
            .map(|(schema, name)| QualifiedName::new(*schema, *name))
            .collect(),
        unfenceable: Vec::new(),
        mode: FenceMode::Refuse,
        max_wait: LONG,
        message: MESSAGE.to_owned(),
        patience: LockPatience {
            wait: Duration::from_millis(600),
            attempts: 2,
            cancel: CancelBlockers::None,
        },
        accept_open: Default::default(),
        events: Events::silent(),
        stop: Stop::default(),
    }
}

impl World {
    fn put_up(&self) -> Result<Up> {
        self.runtime.block_on(towpath_fence::put_up(&self.options))
    }

    fn up(&self) -> Up {
        self.put_up()
            .unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    fn with_session<T>(&self, work: impl AsyncFnOnce(&mut Session) -> T) -> T {
        self.runtime.block_on(async {
            let options = SessionOptions::named("test");
            let connecting = Session::connect(&self.options.source, Side::Source, &options);
            let mut session = connecting.await.expect("connect");
            work(&mut session).await
        })
    }

    fn prove(&self, up: &Up) -> Result<()> {
        self.with_session(async |session| {
            towpath_fence::prove(session, &self.options.run, &up.fence).await
        })
    }

    /// How the fence has not held.
    fn broken(&self, up: &Up) -> String {
        self.prove(up).expect_err("it has not held").to_string()
    }

    /// On how many tables a trigger is left.
    fn lift(&self) -> usize {
        let run = self.options.run.clone();
        self.with_session(async |session| towpath_fence::lift(session, Some(&run)).await)
            .expect("lift")
            .expect("there was a fence")
            .left
    }

    fn refused(&self, sql: &str) {
        assert_refused(pg::try_psql(&self.source.url(), sql), sql);
    }

    fn passes(&self, sql: &str) {
        self.source.psql(sql);
    }

    /// A session that begins with this SQL and stays until it is told to end.
    fn stays(&self, name: &str, begin: &str) -> Staying {
        let url = format!("{}?application_name={name}", self.source.url());
        let (end, ended) = mpsc::channel::<()>();
        let (ready, begun) = mpsc::channel();
        let begin = begin.to_owned();
        let thread = std::thread::spawn(move || {
            use std::io::{BufRead, Write};
            let mut child = std::process::Command::new(psql())
                .args(["-XAtq", "-d", &url])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("start psql");
            let mut input = child.stdin.take().expect("stdin is piped");
            writeln!(input, "{begin}\n;\n\\echo begun").expect("write to psql");
            let lines = std::io::BufReader::new(child.stdout.take().expect("stdout is piped"));
            for line in lines.lines() {
                if line.expect("read of psql") == "begun" {
                    ready.send(()).expect("somebody waits");
                    break;
                }
            }
            // The sender may simply be gone.
            let _ = ended.recv();
            drop(input);
            child.wait().expect("wait for psql");
        });
        begun.recv().expect("the session begins");
        Staying {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

fn psql() -> &'static Path {
    static PROGRAM: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    PROGRAM.get_or_init(|| towpath_tests::Installation::usual().program("psql"))
}

struct Staying {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Staying {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn assert_refused(answer: std::result::Result<String, String>, sql: &str) {
    let said = answer.expect_err(&format!("passed the fence: {sql}"));
    assert!(said.contains(MESSAGE), "{sql}\n{said}");
}

fn is_full() -> bool {
    std::env::var_os("TOWPATH_TEST_FULL").is_some()
}

/// A write in a thread of its own.
fn writes(url: String, sql: &'static str) -> JoinHandle<std::result::Result<String, String>> {
    std::thread::spawn(move || pg::try_psql(&url, sql))
}

const TABLES: [(&str, &str); 11] = [
    ("public", "no_pk"),
    ("public", "teams"),
    ("public", "profiles"),
    ("public", "events_2026_01"),
    ("public", "base_item"),
    ("public", "special_item"),
    ("public", "scratch"),
    ("public", "no_columns"),
    ("public", "Order Items"),
    ("public", "fence_child"),
    ("auth", "users"),
];

const COPY: &str = "copy public.no_pk from stdin;";

const WRITES: [&str; 21] = [
    "insert into public.no_pk values (1, 'a', 1)",
    "update public.no_pk set a = 1 where false",
    "delete from public.no_pk where false",
    "truncate public.no_pk",
    COPY,
    "merge into public.no_pk t using (values (1)) v (a) on t.a = v.a when matched then update set a = 2",
    "insert into public.teams (id, name) values (1, 'x') on conflict (id) do nothing",
    "with w as (insert into public.no_pk values (1, 'a', 1) returning 1) select * from w",
    "explain analyze insert into public.no_pk values (1, 'a', 1)",
    // A partition that is planned: its parent and its siblings too.
    "insert into public.events (happened_at, kind) values ('2026-01-15', 'x')",
    "insert into public.events_2026_01 (id, happened_at, kind) values (-1, '2026-01-15', 'x')",
    "truncate public.events",
    "update public.base_item set name = 'x'",
    "delete from only public.special_item",
    "insert into public.scratch (id) values (7)",
    "insert into public.no_columns default values",
    "update public.\"Order Items\" set \"select\" = 'x'",
    "insert into auth.users (id) values (gen_random_uuid())",
    // Not fenced, and cascades.
    "delete from public.fence_parent",
    "select public.write_for_everybody()",
    "insert into public.fence_view values (1)",
];

#[test]
fn nobody_writes_past_a_fence_and_everybody_reads() {
    nobody_writes_past(Source::start());
    if is_full() {
        for major in [16, 17, 18] {
            nobody_writes_past(Source::start_on(major));
        }
    }
}

fn nobody_writes_past(source: Source) {
    let mut world = world_on(source, &TABLES);
    world.passes(
        "create table public.fence_parent (id integer primary key);
         create table public.fence_child (id integer references public.fence_parent on delete cascade);
         insert into public.fence_parent values (1); insert into public.fence_child values (1);
         create view public.fence_view as select a from public.no_pk;
         grant insert on public.fence_view to anon;
         create function public.write_for_everybody() returns void language sql security definer
             as 'insert into public.no_pk values (5, ''definer'', 1)';
         create function public.raise_first() returns trigger language plpgsql
             as 'begin raise exception ''the user was first''; end';
         create trigger \"!first\" before insert or update on public.no_columns
             execute function public.raise_first();
         alter table public.no_columns enable always trigger \"!first\"",
    );
    let rows = "select count(*), (select count(*) from auth.users) from public.no_pk";
    let before = world.source.psql(rows);
    // A table of somebody else's without any right on it, and nobody's word that it may stay open.
    let closed = QualifiedName::new("storage", "migrations");
    world.options.tables.push(closed.clone());
    let refusal = world.put_up().err().expect("it cannot be fenced");
    assert_eq!(refusal.kind(), ErrorKind::Blocked);
    assert!(
        refusal
            .to_string()
            .contains("storage.migrations (of supabase_storage_admin)"),
        "{refusal}"
    );
    world.options.accept_open.insert(closed.to_string());

    let up = world.up();
    assert_eq!(up.fence.open, [closed]);
    assert_eq!(up.fence.weak, [QualifiedName::new("auth", "users")]);
    for sql in WRITES {
        world.refused(sql);
        let superuser = world.source.cluster.superuser_url("postgres");
        if !sql.contains("auth.users") {
            let past = format!("set session_replication_role = replica; {sql}");
            // Foreign keys do not cascade there, so nothing is written either.
            if !sql.contains("fence_parent") {
                assert_refused(pg::try_psql(&superuser, &past), &past);
            }
        }
    }
    for role in ["service_role", "authenticated", "anon"] {
        let sql =
            format!("set role {role}; insert into public.profiles (id) values (gen_random_uuid())");
        world.refused(&sql);
    }
    let code = pg::try_psql(
        &world.source.url(),
        "\\set VERBOSITY verbose\ninsert into public.no_pk values (1, 'a', 1)",
    );
    assert!(
        code.as_ref()
            .is_err_and(|said| said.contains("25006") && said.contains("20260101-000000-fence1")),
        "{code:?}"
    );
    assert_eq!(world.source.psql(rows), before);
    world.passes("select * from public.teams for update; select nextval('public.invoice_no'); refresh materialized view public.ledger_top");
    world.passes("insert into public.text_samples (id, what) values (9001, 'not fenced')");
    world.prove(&up).expect("it holds");

    // Lifted while somebody reads: writes pass at once, and the next fence clears the rest away.
    let reader = world.stays("reader", "begin; select 1 from public.no_pk limit 1");
    assert_eq!(world.lift(), 1);
    let write =
        "begin; insert into public.no_pk values (1, 'a', 1); truncate public.no_columns; rollback";
    world.passes(write);
    drop(reader);
    let up = world.up();
    world.prove(&up).expect("it holds");
    assert_eq!(world.lift(), 0);
    for sql in WRITES {
        // One has a trigger of the user's, for the other psql would read on.
        if !sql.contains("no_columns") && sql != COPY {
            world.passes(&format!("begin; {sql}; rollback"));
        }
    }
    let left = "select count(*) from pg_trigger where tgname like '%towpath%'
                union all select count(*) from pg_namespace where nspname like 'towpath%'";
    assert_eq!(world.source.psql(left), "0\n0");
}

#[test]
fn whatever_goes_around_a_fence_is_proven_afterwards() {
    goes_around(Source::start());
    if is_full() {
        for major in [16, 17, 18] {
            goes_around(Source::start_on(major));
        }
    }
}

fn goes_around(source: Source) {
    let world = world_on(
        source,
        &[
            ("public", "no_pk"),
            ("public", "events_2026_01"),
            ("auth", "users"),
        ],
    );
    let replica = "set session_replication_role = replica;";
    let mut around: Vec<(&str, &str, &str)> = vec![
        (
            "alter table public.no_pk disable trigger all; insert into public.no_pk values (1, 'a', 1);
             alter table public.no_pk enable trigger all;
             alter table public.no_pk enable always trigger \" towpath_fence\"",
            "public.no_pk had its trigger changed",
            "",
        ),
        (
            "alter table public.no_pk add column rewritten integer default (random() * 5)::integer",
            "public.no_pk was rewritten or emptied",
            "alter table public.no_pk drop column rewritten",
        ),
        (
            "create table public.events_late partition of public.events for values from ('2031-01-01') to ('2031-02-01')",
            "public.events_late was attached",
            "drop table public.events_late",
        ),
        (
            "create or replace function towpath_fence.refuse() returns trigger language plpgsql as 'begin return null; end'",
            "towpath_fence.refuse() was replaced",
            "",
        ),
        (
            "insert into auth.users (id) values ('00000000-0000-4000-8000-0000000000ff')",
            "auth.users was written to",
            "",
        ),
        (
            "delete from auth.users where id = '00000000-0000-4000-8000-0000000000ff'",
            "deletes from auth.users were counted",
            "",
        ),
    ];
    if !is_full() {
        // Each means another fence; the first one is the one that people think of.
        around.drain(2..4);
    }
    for (sql, broken, undo) in around {
        let up = world.up();
        world.prove(&up).expect("it holds");
        world.source.psql_superuser(&format!("{replica} {sql}"));
        // The statistics come when the session has ended.
        let until = std::time::Instant::now() + LONG;
        let mut said = world.prove(&up);
        while said.is_ok() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
            said = world.prove(&up);
        }
        let said = said.expect_err(broken).to_string();
        assert!(said.contains(broken), "{sql}\n{said}");
        assert_eq!(world.lift(), 0);
        world.passes(undo);
    }
    let up = world.up();
    assert_eq!(world.lift(), 0);
    assert!(world.broken(&up).contains("no longer there"));
}

#[test]
fn the_fence_waits_for_writers_and_names_who_is_in_the_way() {
    let mut world = world(&[("public", "no_pk"), ("public", "teams")]);
    world
        .source
        .psql_superuser("alter system set max_prepared_transactions = 2");
    world.source.cluster.crash_and_restart();
    let in_the_way = |world: &World| -> Failure { world.put_up().err().expect("no lock comes") };
    let idle = world.stays(
        "forgetful",
        "begin; insert into public.no_pk values (1, 'idle', 1)",
    );
    let refusal = in_the_way(&world);
    assert_eq!(refusal.kind(), ErrorKind::Blocked);
    let said = refusal.to_string();
    assert!(
        said.contains("(forgetful) of postgres, idle in transaction for"),
        "{said}"
    );
    assert!(!said.contains("insert into"), "{said}");
    // Nothing is left, and writers go on.
    world.passes("insert into public.teams (name) values ('goes on')");
    assert_eq!(
        world
            .source
            .psql("select count(*) from pg_namespace where nspname = 'towpath_fence'"),
        "0"
    );
    world.options.patience.cancel = CancelBlockers::Idle;
    world.up();
    drop(idle);
    assert_eq!(
        world
            .source
            .psql("select count(*) from public.no_pk where b = 'idle'"),
        "0"
    );
    assert_eq!(world.lift(), 0);

    // One that works is not idle, and its commit is in front of the fence.
    world.options.patience.attempts = 20;
    let commits = writes(
        world.source.url(),
        "begin; insert into public.no_pk values (2, 'works', 1);
         select pg_sleep(1.5); commit; select pg_current_wal_insert_lsn()",
    );
    let waits = "select count(*) from pg_stat_activity where query like '%pg_sleep(1.5)%' and wait_event = 'PgSleep'";
    wait_until("somebody works", LONG, || {
        world.source.psql_superuser(waits) == "1"
    });
    let up = world.up();
    commits
        .join()
        .expect("the writer ends")
        .expect("it commits");
    let seen = world
        .source
        .psql("select count(*) from public.no_pk where b = 'works'");
    assert_eq!(seen, "1");
    let behind = format!(
        "select count(*) from pg_catalog.pg_class where '{}'::pg_lsn <= pg_current_wal_lsn() and relname = 'no_pk'",
        up.fence.lsn
    );
    assert_eq!(world.source.psql(&behind), "1");
    assert_eq!(world.lift(), 0);

    // A session whose statement is planned already waits behind the locks, and is refused.
    let holder = world.stays(
        "holder",
        "begin; insert into public.no_pk values (3, 'held', 1)",
    );
    let planned = writes(
        world.source.url(),
        "prepare w (integer) as insert into public.no_pk values ($1, 'planned', 1);
         begin; execute w(1); execute w(2); execute w(3); execute w(4); execute w(5); execute w(6); rollback;
         select pg_sleep(0.7); execute w(7)",
    );
    world.options.patience.cancel = CancelBlockers::All;
    world.up();
    assert_refused(planned.join().expect("the writer ends"), "execute w(7)");
    drop(holder);
    assert_eq!(world.lift(), 0);

    world.passes("begin; insert into public.no_pk values (4, 'prepared', 1); prepare transaction 'odd ''gid'");
    world.options.patience.attempts = 1;
    let said = in_the_way(&world).to_string();
    assert!(
        said.contains("prepared transaction \"odd 'gid\" of postgres for"),
        "{said}"
    );
    world.passes("rollback prepared 'odd ''gid'");
    world.up();
    // A second run finds the source taken.
    world.options.run = "20260101-000000-fence2".parse().expect("a run");
    let said = in_the_way(&world).to_string();
    assert!(
        said.contains("fenced by run 20260101-000000-fence1"),
        "{said}"
    );
}

#[test]
fn clients_that_wait_write_to_one_side_only() {
    let mut world = world(&[("public", "no_pk")]);
    world.options.mode = FenceMode::Wait;
    // Whatever the fence notes may neither be published nor need a key.
    world.source.psql_superuser(
        "alter table public.no_pk replica identity full; create publication everything for all tables",
    );
    let insert = "insert into public.no_pk values (70, 'waits', 1)";
    let waiting = "select count(*) from pg_stat_activity where wait_event = 'advisory'";
    let written = "select count(*) from public.no_pk where b = 'waits'";
    let waits = |world: &World| {
        let writer = writes(world.source.url(), insert);
        wait_until("a client waits", LONG, || {
            world.source.psql_superuser(waiting) == "1"
        });
        // Nobody who reads is held up.
        assert_eq!(world.source.psql(written), "0");
        writer
    };
    // The switch is done: they are refused.
    let mut up = world.up();
    let published = "select count(*) from pg_publication_tables where schemaname = 'towpath_fence'";
    assert_eq!(world.source.psql(published), "0");
    let writer = waits(&world);
    let keeper = up.waiting.take().expect("somebody keeps them waiting");
    world
        .runtime
        .block_on(keeper.begin_switch())
        .expect("it has not ended");
    world.runtime.block_on(keeper.end());
    assert_refused(writer.join().expect("the writer ends"), insert);
    world.prove(&up).expect("it holds");
    assert_eq!(world.lift(), 0);
    // The process dies: they are refused, and not let through.
    let up = world.up();
    let writer = waits(&world);
    world.source.psql_superuser(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock'",
    );
    assert_refused(writer.join().expect("the writer ends"), insert);
    world.prove(&up).expect("it holds");
    assert_eq!(world.lift(), 0);
    drop(up);
    // The cutover is undone: they write to the source, as if nothing had been.
    let up = world.up();
    let writer = waits(&world);
    assert_eq!(world.lift(), 0);
    writer.join().expect("the writer ends").expect("it passes");
    assert_eq!(world.source.psql(written), "1");
    world.passes("delete from public.no_pk where b = 'waits'");
    drop(up);
    // They have waited for long enough.
    world.options.max_wait = Duration::from_secs(1);
    let up = world.up();
    let writer = writes(world.source.url(), insert);
    writer.join().expect("the writer ends").expect("it passes");
    let keeper = up.waiting.as_ref().expect("somebody keeps them waiting");
    let over = world.runtime.block_on(keeper.begin_switch());
    assert!(over.is_err_and(|it| it.to_string().contains("write to the source again")));
    assert_eq!(world.source.psql(written), "1");
}

#[test]
fn workers_of_a_subscription_are_fenced_too() {
    let world = world(&[("public", "no_pk")]);
    let source = &world.source;
    if !is_full() {
        // As if one wrote there: a disabled one, and its note about the table.
        source.psql_superuser(
            "create subscription s connection 'host=127.0.0.1 dbname=nowhere' publication p with (connect = false);
             insert into pg_subscription_rel
             select oid, 'public.no_pk'::regclass, 'r', null from pg_subscription",
        );
        let up = world.up();
        let triggers =
            "select string_agg(tgname || tgenabled::text || (tgtype & 1), ',' order by tgname)
                          from pg_trigger where tgrelid = 'public.no_pk'::regclass";
        assert_eq!(
            source.psql(triggers),
            " towpath_fenceA0, towpath_fence_rowA1"
        );
        world.prove(&up).expect("it holds");
        assert_eq!(world.lift(), 0);
        assert_eq!(source.psql(triggers), "");
        return;
    }
    source.psql_superuser("create database elsewhere");
    let elsewhere = source.cluster.superuser_url("elsewhere");
    pg::psql(
        &elsewhere,
        "create table public.no_pk (a integer, b text, c numeric);
         create publication all_of_it for all tables;
         select pg_create_logical_replication_slot('towpath_test', 'pgoutput')",
    );
    let directory = source.psql_superuser("show unix_socket_directories");
    source.psql_superuser(&format!(
        "create subscription from_elsewhere
         connection 'host={directory} port={} user=supabase_admin dbname=elsewhere'
         publication all_of_it with (create_slot = false, slot_name = 'towpath_test', copy_data = false)",
        source.cluster.port()
    ));
    let arrived = |b: &str| {
        source.psql(&format!(
            "select count(*) from public.no_pk where b = '{b}'"
        ))
    };
    pg::psql(
        &elsewhere,
        "insert into public.no_pk values (1, 'before', 1)",
    );
    wait_until("it is replicated", LONG, || arrived("before") == "1");
    let up = world.up();
    pg::psql(
        &elsewhere,
        "insert into public.no_pk values (1, 'after', 1)",
    );
    wait_until("the worker is refused", LONG, || {
        source.cluster.log().contains(MESSAGE)
    });
    assert_eq!(arrived("after"), "0");
    world.prove(&up).expect("it holds");
    assert_eq!(world.lift(), 0);
    wait_until("it is replicated", LONG, || arrived("after") == "1");
    source.psql_superuser("drop subscription from_elsewhere");
}
