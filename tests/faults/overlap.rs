//! Indexes of a table that is in are built while others are still on their way, and small chunks
//! share transactions: both by the ledger, whatever happens.

use std::thread::JoinHandle;
use std::time::Duration;

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{pair, pg, project, wait_until};

use crate::world::{World, world};

/// The smallest table, whose rows come last.
const HELD: &str = "
    create table public.held (id integer primary key);
    insert into public.held values (1);";

/// Statements that the run itself has run after rows, not found there when it began.
const BUILT: &str = "select count(*) from towpath.step s join towpath.run r using (run)
    where s.script = 'post-data' and s.done_at > r.began_at";

/// Makes rows of one table wait for an advisory lock, from the moment that the table is there.
const GATE: &str = "
    create schema rdstrap;
    create function rdstrap.wait() returns trigger language plpgsql security definer
    set search_path = pg_catalog as $$
    begin
        perform pg_advisory_xact_lock_shared(42);
        return null;
    end $$;
    create function rdstrap.spring() returns event_trigger language plpgsql security definer
    set search_path = pg_catalog as $$
    begin
        if exists (select from pg_event_trigger_ddl_commands()
                    where object_identity = 'public.held' and command_tag = 'CREATE TABLE') then
            execute 'create trigger gate before insert on public.held
                     for each statement execute function rdstrap.wait()';
        end if;
    end $$;
    create event trigger spring on ddl_command_end execute function rdstrap.spring();";

/// Keeps the rows of a table out of the target until it is dropped.
struct Gate {
    url: String,
    keeper: Option<JoinHandle<()>>,
}

impl Gate {
    fn before_held(world: &World) -> Self {
        world.pair.target.psql_superuser(GATE);
        let url = world.pair.target.cluster.superuser_url("app");
        let keeper = {
            let url = url.clone();
            // It ends when it is terminated.
            std::thread::spawn(move || {
                let keep = "select pg_advisory_lock(42); select pg_sleep(300)";
                let _ = pg::try_psql(&url, keep);
            })
        };
        let kept = "select count(*) from pg_locks where locktype = 'advisory' and granted";
        wait_until("the gate is closed", Duration::from_secs(60), || {
            world.asked(kept) > 0
        });
        Self {
            url,
            keeper: Some(keeper),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let open = "select pg_terminate_backend(pid) from pg_locks
                     where locktype = 'advisory' and granted;
            drop event trigger spring;
            drop trigger gate on public.held";
        let _ = pg::try_psql(&self.url, open);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// The key of the table that the statements of [`BUILT`] are about. What belongs to other tables may
/// come between.
const KEY: &str = "select count(*) from pg_constraint where conname = 'bulk_pkey'";

/// Killed when something is done on tables that are in while another one is not.
fn killed_while_building(is_done: impl Fn(&World) -> bool) -> World {
    let mut world = world();
    world.pair.source.psql(HELD);
    // No chunk of the big table is so small that it would share the transaction that waits.
    world.project = world.project.with("TOWPATH_CHUNK_MIB", "4");
    let gate = Gate::before_held(&world);
    let end = world.kill_when(|| is_done(&world));
    assert!(end.killed, "{end}");
    assert_eq!(world.ledger("chunk", "table_id = 'public.held'"), 0);
    drop(gate);
    world
}

#[test]
fn indexes_of_a_table_that_is_in_are_built_while_another_is_not() {
    let world = killed_while_building(|world| world.asked(BUILT) >= 5 && world.asked(KEY) == 1);
    let of_bulk = "select count(*) from pg_index where indrelid = 'public.bulk'::regclass";
    assert_eq!(world.asked(of_bulk), 4);
    let statistics = "select count(distinct attname) from pg_stats where tablename = 'bulk'";
    wait_until("statistics", Duration::from_secs(10), || {
        world.asked(statistics) == 4
    });
    // What would make rows count, or act on them, waits for the seal.
    for later in [
        "select count(*) from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace",
        "select count(*) from pg_trigger where not tgisinternal",
        "select count(*) from pg_policy",
    ] {
        assert_eq!(world.asked(later), 0, "{later}");
    }
    world.assert_resumes();
}

#[test]
fn a_kill_in_the_middle_of_an_early_build_is_resumed() {
    for wanted in [1, 3] {
        killed_while_building(|world| world.asked(BUILT) >= wanted).assert_resumes();
    }
}

/// Few pages that become much to read, so that the export is not sealed when the big table is in.
pub const SLOW: &str = "
    create table public.slow as
    select i, repeat(md5(i::text), 500000) as text from generate_series(1, 8) i";

#[test]
fn stale_rows_go_with_the_indexes_that_were_built_on_them() {
    let world = world();
    world.pair.source.psql(SLOW);
    let end = world.kill_when(|| world.asked(BUILT) >= 5);
    assert!(end.killed, "{end}");
    let manifest = world.project.run_folder().join("manifest.json");
    assert!(!manifest.exists(), "already sealed");
    world.pair.source.psql(
        "update public.bulk set note = 'changed' where id % 7000 = 0;
         delete from public.bulk where id between 100 and 140;
         insert into public.bulk values (1000001, 1, 'new', now());
         delete from public.slow",
    );
    let before = world.pair.target.psql("select now()");
    // One more than the indexes that are there when rows of the table are in again.
    let seen = format!(
        "select case when exists (select from towpath.chunk
                                   where table_id = 'public.bulk' and loaded_at > '{before}')
                then 1 + (select count(*) from pg_index
                           where indrelid = 'public.bulk'::regclass)
                else 0 end"
    );
    let mut running = world.project.towpath(&["run", "--yes"]).spawn();
    let mut indexes = 0;
    wait_until("rows are in again", Duration::from_secs(60), || {
        indexes = world.asked(&seen);
        indexes > 0 || !running.is_running()
    });
    let end = running.wait().expect_code(0);
    assert_eq!(indexes, 1, "no index while rows come in:\n{end}");
    let again = "public.bulk is loaded again";
    assert!(end.stderr.contains(again), "{end}");
    world.assert_arrived(&end);
}

/// Adds a constraint that nothing satisfies to one table as soon as it is made.
const TRAP: &str = "
    create schema rdstrap;
    create function rdstrap.spring() returns event_trigger language plpgsql security definer
    set search_path = pg_catalog as $$
    begin
        if exists (select from pg_event_trigger_ddl_commands()
                    where object_identity = 'public.small_21' and command_tag = 'CREATE TABLE') then
            execute 'alter table public.small_21 add constraint never check (false)';
        end if;
    end $$;
    create event trigger spring on ddl_command_end execute function rdstrap.spring();";

#[test]
fn one_bad_chunk_among_many_small_ones_is_named_and_the_others_are_in() {
    let pair = pair();
    for number in 1..=40 {
        pair.source.psql(&format!(
            "create table public.small_{number} as
             select i, 'row ' || i as text from generate_series(1, {number}) i"
        ));
    }
    pair.target.psql_superuser(TRAP);
    let project = project!(&pair);
    project.expect(0, &["export", "--yes"]);
    let world = World {
        pair,
        project,
        s3: None,
    };
    let chunks = world.project.document("manifest.json")["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .map(|table| table["chunks"].as_array().map_or(0, Vec::len) as u64)
        .sum::<u64>();
    let (damaged, bytes) = world
        .project
        .store_files()
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().contains("public.small_7/"))
        .expect("a chunk of small_7");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&damaged, &flipped).expect("damage a chunk");
    // Damage is found before a byte of it is sent. Those that came with it are in.
    let end = world.project.expect(12, &["load", "--yes"]);
    assert!(end.stderr.contains("public.small_7/0001"), "{end}");
    assert!(world.ledger("chunk", "true") > 0, "{end}");
    assert_eq!(world.asked("select count(*) from public.small_7"), 0);
    std::fs::write(&damaged, &bytes).expect("repair a chunk");
    // A row that the server refuses.
    let end = world.project.expect(1, &["load", "--yes"]);
    for part in [
        "could not load chunk public.small_21/0001 into target",
        "never",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    assert!(!end.stderr.contains("others"), "{end}");
    assert_eq!(world.asked("select count(*) from public.small_21"), 0);
    let free = "alter table public.small_21 drop constraint never";
    world.pair.target.psql_superuser(free);
    world.project.expect(0, &["load", "--yes"]);
    assert_eq!(world.ledger("chunk", "true"), chunks);
    assert_same_rows(&world.pair);
}
