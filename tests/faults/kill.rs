//! `kill -9` at any point of a run; the same command then finishes it, and the target is the same.

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{TargetShape, pg, project};

use crate::overlap::SLOW;
use crate::world::{BULK, World, is_full, world};

#[test]
fn during_export_and_load() {
    let points: &[usize] = if is_full() { &[1, 8, 20] } else { &[8] };
    for &wanted in points {
        let world = world();
        let end = world.kill_when(|| world.stored_chunks() >= wanted);
        assert!(
            end.killed,
            "the run ended before {wanted} chunks were stored:\n{end}"
        );
        assert!(
            !world.project.run_folder().join("manifest.json").exists(),
            "already sealed"
        );
        world.assert_resumes();
    }
}

#[test]
fn during_the_schema_before_the_data() {
    let points: &[u64] = if is_full() { &[0, 1] } else { &[1] };
    for &wanted in points {
        let world = world();
        let end = world.kill_when(|| {
            world.ledger("run", "true") > 0 && world.ledger("step", "script = 'pre-data'") >= wanted
        });
        assert!(end.killed, "{end}");
        world.assert_resumes();
    }
}

#[test]
fn during_the_load_of_chunks() {
    let points: &[u64] = if is_full() { &[1, 10, 30] } else { &[10] };
    for &wanted in points {
        let world = world();
        let end = world.kill_when(|| world.ledger("chunk", "true") >= wanted);
        assert!(
            end.killed,
            "the run ended before {wanted} chunks were loaded:\n{end}"
        );
        world.assert_resumes();
    }
}

#[test]
fn during_indexes_constraints_and_policies() {
    let points: &[u64] = match is_full() {
        true => &[1, 60, 200, 400],
        false => &[200],
    };
    for &wanted in points {
        let world = world();
        let end = world.kill_when(|| world.ledger("step", "script = 'post-data'") >= wanted);
        assert!(
            end.killed,
            "the run ended before {wanted} statements were done:\n{end}"
        );
        world.assert_resumes();
    }
}

#[test]
fn during_the_verification() {
    let world = world();
    let last = "script = 'post-data' and no = (select max(no) from towpath.step)";
    let verifying =
        "select count(*) from pg_stat_activity where application_name like '%/verify-%'";
    let url = world.pair.target.cluster.superuser_url("app");
    let end = world.kill_when(|| {
        world.ledger("step", last) > 0
            && pg::try_psql(&url, verifying).is_ok_and(|count| count.trim() != "0")
    });
    assert!(end.killed, "{end}");
    world.assert_resumes();
}

#[test]
fn again_and_again() {
    let world = world();
    for wanted in [2, 5, 9, 14, 20, 27, 35] {
        let end = world.kill_when(|| world.ledger("chunk", "true") >= wanted);
        assert!(end.killed, "{end}");
    }
    world.assert_resumes();
}

#[test]
fn with_a_source_that_moved_on_meanwhile() {
    let world = world();
    // Not sealed before enough is in the ledger.
    world.pair.source.psql(SLOW);
    let end = world.kill_when(|| world.ledger("chunk", "true") >= 15);
    assert!(end.killed, "{end}");
    // Rows change in place, move to other pages, appear and vanish: whatever was exported and
    // loaded of them must not survive.
    world.pair.source.psql(
        "update public.bulk set note = 'changed' where id % 7000 = 0;
         delete from public.bulk where id between 100 and 140;
         insert into public.bulk values (1000001, 1, 'new', now());
         insert into public.no_pk select * from public.no_pk limit 1;
         delete from public.slow;
         select nextval('public.invoice_no')",
    );
    let end = world.project.expect(0, &["run", "--yes"]);
    assert!(
        end.stderr
            .contains("have changed on the source and are exported again"),
        "{end}"
    );
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&world.pair);
}

#[test]
fn with_a_schema_that_changed_meanwhile() {
    let world = world();
    let end = world.kill_when(|| world.stored_chunks() >= 5);
    assert!(end.killed, "{end}");
    world
        .pair
        .source
        .psql("alter table public.bulk add column later integer default 7");
    let end = world.project.expect(10, &["run", "--yes"]);
    for part in ["schema of the source has changed", "--new-run"] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    world
        .project
        .expect(0, &["run", "--yes", "--new-run", "--replace", "app"]);
    assert_same_rows(&world.pair);
}

#[test]
fn on_a_target_where_the_master_may_less() {
    let shape = TargetShape {
        capable: false,
        ..TargetShape::default()
    };
    let pair = towpath_tests::pair_with(&shape);
    pair.source.psql(BULK);
    let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
    let world = World {
        pair,
        project,
        s3: None,
    };
    let end = world.kill_when(|| world.ledger("chunk", "true") >= 12);
    assert!(end.killed, "{end}");
    world.assert_resumes();
}

#[test]
fn a_crash_of_the_target_is_survived_by_the_same_command() {
    let mut world = world();
    let end = world.kill_when(|| world.ledger("chunk", "true") >= 12);
    assert!(end.killed, "{end}");
    world.pair.target.cluster.crash_and_restart();
    world.assert_resumes();
}

#[test]
fn ctrl_c_stops_at_a_safe_point_and_resumes() {
    let world = world();
    let running = world.project.towpath(&["run", "--yes"]).spawn();
    towpath_tests::wait_until(
        "chunks are stored",
        std::time::Duration::from_secs(60),
        || world.stored_chunks() >= 3,
    );
    running.interrupt();
    let end = running.wait().expect_code(130);
    assert!(
        end.stderr.contains("stopping at the next safe point"),
        "{end}"
    );
    assert!(end.stderr.contains("the same command resumes"), "{end}");
    world.assert_resumes();
}

#[test]
fn an_unlogged_table_that_a_crash_has_emptied_is_loaded_again() {
    let mut world = world();
    // The biggest table is loaded first, so its chunk is in when the kill comes.
    world.pair.source.psql(
        "create unlogged table public.fleeting as
         select i, repeat(md5(i::text), 20) as text from generate_series(1, 20000) i;
         create unlogged table public.mother (id integer primary key, note text);
         create unlogged table public.child (id integer primary key, mother integer references public.mother);
         create table public.seen (id integer);
         create table public.held (id integer);
         alter table public.held enable row level security;
         create policy everything on public.held using (true);
         insert into public.held values (1);
         insert into public.mother values (1, 'as it was');
         insert into public.child values (1, 1);
         create function public.see() returns trigger language plpgsql as $$ begin
            insert into public.seen values (new.id);
            new.note := 'touched';
            return new;
         end $$;
         create trigger touch before insert on public.mother for each row execute function public.see();
         alter table public.mother enable always trigger touch",
    );
    let fleeting = "table_id = 'public.fleeting'";
    let end = world.kill_when(|| world.ledger("chunk", fleeting) >= 1);
    assert!(end.killed, "{end}");
    world.pair.target.cluster.crash_and_restart();
    assert_eq!(
        world
            .pair
            .target
            .psql("select count(*) from public.fleeting"),
        "0"
    );
    // The next one comes when triggers and foreign keys are back: policies wait for a reader.
    let url = world.pair.target.cluster.superuser_url("app");
    let reader = {
        let url = url.clone();
        let hold = "begin; lock table public.held in access share mode; select pg_sleep(120)";
        std::thread::spawn(move || {
            towpath_tests::wait_until("a row", std::time::Duration::from_secs(60), || {
                pg::try_psql(&url, "select id from public.held").is_ok_and(|id| id.trim() == "1")
            });
            // It ends with the server.
            pg::try_psql(&url, hold).is_err()
        })
    };
    let made = "select count(*) from pg_trigger where tgname = 'touch' and tgenabled = 'A'";
    let end = world
        .project
        .towpath(&["run", "--yes"])
        .spawn()
        .kill_9_when(|| pg::try_psql(&url, made).is_ok_and(|count| count.trim() == "1"));
    assert!(end.killed, "{end}");
    world.pair.target.cluster.crash_and_restart();
    assert!(reader.join().expect("a reader"), "the server went down");
    let left = "select (select count(*) from public.mother), (select count(*) from pg_constraint where conname = 'child_mother_fkey')";
    assert_eq!(world.pair.target.psql(left), "0|1");
    let end = world.project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&world.pair);
}
