//! Servers crash and come back while towpath works, and people hold locks.

use std::time::Duration;

use towpath_tests::{Running, pg, wait_until};

use crate::world::{World, assert_letter, is_full, world};

const SOON: Duration = Duration::from_secs(60);

/// An index and a constraint whose making takes seconds.
const SLOW: &str = "
    create function public.slowly(id bigint) returns bigint language plpgsql immutable as
    $$ begin perform pg_catalog.pg_sleep(0.002); return id; end $$;
    create index bulk_slowly on public.bulk (public.slowly(id)) where id < 1500;
    create table public.child (id bigint primary key);
    insert into public.child select i from generate_series(1, 1500) i;
    alter table public.child add constraint child_slowly
        exclude using btree (public.slowly(id) with =);";

fn begin(world: &World) -> Running {
    world.project.towpath(&["run", "--yes"]).spawn()
}

/// Whether a session of the load is at a statement like this.
fn is_at(world: &World, statement: &str) -> bool {
    world.asked(&format!(
        "select count(*) from pg_stat_activity where application_name like 'towpath/%/load/%'
         and state = 'active' and query ilike '%{statement}%'"
    )) > 0
}

/// A session of somebody else's on the target, until it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn locks(world: &World, table: &str, mode: &str) -> Self {
        let url = world.pair.target.cluster.superuser_url("app");
        let sql = format!("begin; lock table {table} in {mode} mode; select pg_sleep(600)");
        let psql = std::process::Command::new("psql")
            .args(["-Xq", "-d", &url, "-c", &sql])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("start psql");
        let holder = Self(psql);
        wait_until("the lock is held", SOON, || {
            world.asked(
                "select count(*) from pg_stat_activity where application_name = 'psql'
                 and query like '%pg_sleep(600)%' and wait_event = 'PgSleep'",
            ) > 0
        });
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Already gone when its server crashed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server does not notice that its client is gone while it sleeps.
fn release(world: &World, holder: Holder) {
    drop(holder);
    world.asked(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()",
    );
}

#[test]
fn the_target_crashes_in_the_middle_of_the_copy() {
    let points: &[u64] = if is_full() { &[1, 4, 9] } else { &[4] };
    for chunks in points {
        let mut world = world();
        let running = begin(&world);
        wait_until("chunks are loaded", SOON, || {
            world.ledger("chunk", "true") >= *chunks
        });
        world.pair.target.cluster.crash_and_restart();
        let end = running.wait();
        if end.code != Some(0) {
            assert_letter(&end);
        }
        world.finish();
    }
}

#[test]
fn the_target_crashes_in_the_middle_of_an_index_and_of_a_constraint() {
    let mut world = world();
    world.pair.source.psql(SLOW);
    let statements: &[&str] = match is_full() {
        true => &["bulk_slowly", "child_slowly"],
        false => &["child_slowly"],
    };
    for statement in statements {
        let running = begin(&world);
        wait_until("the statement works", SOON, || is_at(&world, statement));
        world.pair.target.cluster.crash_and_restart();
        // The crash has emptied an unlogged table too, so trying again is not enough.
        let kind = assert_letter(&running.wait());
        assert!(["connect", "target"].contains(&kind.as_str()), "{kind}");
    }
    world.finish();
}

#[test]
fn the_source_restarts_and_takes_the_snapshot_with_it() {
    let points: &[usize] = if is_full() { &[1, 4, 9] } else { &[4] };
    for chunks in points {
        let mut world = world();
        let running = begin(&world);
        wait_until("chunks are stored", SOON, || {
            world.stored_chunks() >= *chunks
        });
        world.pair.source.cluster.crash_and_restart();
        // Rows of two snapshots would show: these are in no snapshot of before.
        world.pair.source.psql(
            "update public.bulk set note = 'changed' where id % 7000 = 0;
             insert into public.bulk values (1000001, 1, 'new', now())",
        );
        let end = running.wait();
        if end.code == Some(0) {
            panic!("the snapshot was lost and nobody noticed:\n{end}");
        }
        let kind = assert_letter(&end);
        assert!(
            ["connect", "snapshot-lost", "schema"].contains(&kind.as_str()),
            "{end}"
        );
        world.finish();
    }
}

#[test]
fn a_lock_on_the_target_is_waited_for_with_its_reason_and_not_for_ever() {
    let mut world = world();
    world.project = world.project.with("TOWPATH_SILENCE_S", "1");
    // And a login whose statements are cut short, which is the role's business and not the copy's.
    world
        .pair
        .source
        .psql_superuser("alter role postgres set statement_timeout = '60ms'");
    world.pair.source.psql_superuser(SLOW);
    let tables = "select count(*) from pg_class where relname = 'bulk' and relkind = 'r'";
    let running = world.project.towpath(&["run", "--yes"]).spawn();
    wait_until("the table is there", SOON, || world.asked(tables) == 1);
    let holder = Holder::locks(&world, "public.bulk", "access exclusive");
    let end = running.wait().expect_code(1);
    assert_eq!(assert_letter(&end), "target");
    for part in [
        "waits for a lock held by process",
        "(psql)",
        "end that session",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }

    if is_full() {
        // The next command waits as well.
        let running = begin(&world);
        let waits = "select count(*) from pg_locks where not granted";
        wait_until("it waits again", SOON, || world.asked(waits) > 0);
        release(&world, holder);
        let end = running.wait().expect_code(0);
        world.assert_arrived(&end);
        return;
    }
    release(&world, holder);
    world.finish();
}

#[test]
fn two_processes_on_one_run() {
    let world = world();
    let first = begin(&world);
    wait_until("chunks are stored", SOON, || world.stored_chunks() >= 2);
    let second = world.project.towpath(&["run", "--yes"]).run();
    assert_eq!(second.code, Some(11), "{second}");
    for part in ["is leased by", "hint: ", "errors.md#lease-held"] {
        assert!(
            second.stderr.contains(part),
            "{part:?} is not said:\n{second}"
        );
    }
    let end = first.wait().expect_code(0);
    world.assert_arrived(&end);
}

#[test]
fn a_row_too_many_or_too_few_does_not_pass_as_arrived() {
    // What every test here relies on can fail.
    let world = world();
    world.project.expect(0, &["run", "--yes"]);
    for harm in [
        "insert into public.no_pk select * from public.no_pk limit 1",
        "delete from towpath.chunk where ctid = (select min(ctid) from towpath.chunk)",
    ] {
        let url = world.pair.target.cluster.superuser_url("app");
        pg::psql(&url, harm);
        let end = world.project.towpath(&["verify", "--json"]).run();
        let asserted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.assert_arrived(&end);
        }));
        assert!(asserted.is_err(), "{harm} went unnoticed");
        if harm.starts_with("insert") {
            assert_eq!(end.code, Some(12), "{end}");
            let sql = "delete from public.no_pk where ctid = (select max(ctid) from public.no_pk)";
            pg::psql(&url, sql);
        }
    }
}
