//! A cutover that dies while it fences leaves no fence, or one that is seen, lifted and resumed.

use std::time::Duration;

use towpath_tests::{pair, pg};

use crate::night::World;

const PATIENCE: Duration = Duration::from_secs(120);

const WRITE: &str = "insert into public.no_pk values (1, 'a', 1)";

/// What the tests of a fence ask of it.
trait Fenced {
    fn accepts(&self) -> bool;
    fn source_says(&self, sql: &str) -> String;
    fn killed_when(&self, id: &str, sql: &str);
    fn status(&self) -> String;
}

impl Fenced for World {
    fn accepts(&self) -> bool {
        let write = format!("begin; {WRITE}; rollback");
        match pg::try_psql(&self.pair.source.url(), &write) {
            Ok(_) => true,
            Err(said) => {
                assert!(said.contains("has moved and accepts no writes"), "{said}");
                false
            }
        }
    }

    fn source_says(&self, sql: &str) -> String {
        self.pair.source.psql_superuser(sql)
    }

    /// A cutover that is killed as soon as the source says yes.
    fn killed_when(&self, id: &str, sql: &str) {
        let cutover = self.project.towpath(&["cutover", "--confirm", id]).spawn();
        let end = cutover.kill_9_when(|| self.source_says(sql) == "t");
        assert!(end.killed, "it ended before: {end}");
        let gone = "select count(*) = 0 from pg_stat_activity where application_name like 'towpath/%/fence%'";
        towpath_tests::wait_until("its sessions are gone", Duration::from_secs(30), || {
            self.source_says(gone) == "t"
        });
    }

    fn status(&self) -> String {
        self.project.expect(0, &["status"]).stdout
    }
}

#[test]
fn a_fence_of_a_dead_process_is_seen_lifted_and_resumed() {
    let world = World::of(pair());
    let project = &world.project;
    project.expect(0, &["run", "--yes"]);
    let id = project.run_id();

    // Killed while it waits for a lock: the source never noticed.
    let source = world.pair.source.url();
    let holder = std::thread::spawn(move || {
        pg::try_psql(&source, &format!("begin; {WRITE}; select pg_sleep(600)"))
    });
    let holds = "select count(*) = 1 from pg_stat_activity where query like '%pg_sleep(600)' and wait_event = 'PgSleep'";
    towpath_tests::wait_until("somebody holds a lock", Duration::from_secs(30), || {
        world.source_says(holds) == "t"
    });
    world.killed_when(
        &id,
        "select exists (select from pg_locks where not granted and mode = 'ShareRowExclusiveLock')",
    );
    world.source_says("select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(600)' and pid <> pg_backend_pid()");
    assert!(holder.join().expect("the holder ends").is_err());
    assert!(world.accepts());
    assert!(
        world.status().contains("was about to be put up"),
        "{}",
        world.status()
    );
    let end = project.expect(0, &["unfence", "--yes"]);
    assert!(end.stdout.contains("there was no fence"), "{end}");
    assert!(!world.status().contains("fence "), "{}", world.status());

    // Killed behind its commit: it stands, and everybody can see it.
    const STANDS: &str = "select to_regprocedure('towpath_fence.refuse()') is not null";
    world.killed_when(&id, STANDS);
    assert!(!world.accepts());
    assert!(
        world
            .status()
            .contains(&format!("`towpath unfence {id}` lifts it"))
    );
    let check = project.towpath(&["check"]).run();
    assert!(
        check.stdout.contains(&format!("fence of towpath run {id}")),
        "{check}"
    );
    project.expect(2, &["unfence"]);
    assert!(!world.accepts());
    // Lifted without anything but the source; the journal learns of it later.
    project.expect(
        10,
        &[
            "unfence",
            "--source-only",
            "--yes",
            "20200101-000000-another",
        ],
    );
    assert!(!world.accepts());
    let end = project.expect(0, &["unfence", "--source-only", "--yes"]);
    assert!(end.stdout.contains("accepts writes again"), "{end}");
    assert!(world.accepts());
    assert_eq!(world.source_says(STANDS), "f");
    let end = project.expect(0, &["unfence", "--yes"]);
    assert!(end.stdout.contains("there was no fence"), "{end}");
    assert!(!world.status().contains("unfence"), "{}", world.status());

    // And a last one is resumed: the fence is found, and the schema under it is as it was planned.
    world.killed_when(&id, STANDS);
    let lsn = world.source_says("select obj_description('towpath_fence.refuse()'::regprocedure, 'pg_proc')::jsonb #>> '{fence,lsn}'");
    project.expect(0, &["cutover", "--confirm", &id]);
    assert_eq!(
        lsn,
        world.source_says("select obj_description('towpath_fence.refuse()'::regprocedure, 'pg_proc')::jsonb #>> '{fence,lsn}'")
    );
    assert!(!world.accepts());
    let stays = world
        .pair
        .target
        .psql_superuser("select count(*) from pg_trigger where tgname like '%towpath%'");
    assert_eq!(stays, "0", "the target was given the fence of the source");
    // A number drawn behind the fence is not drawn on the target again.
    let drawn: i64 = world
        .source_says("select nextval('public.invoice_no')")
        .parse()
        .expect("a number");
    let next = "select nextval('public.invoice_no')";
    let next: i64 = world.pair.target.psql(next).parse().expect("a number");
    assert!(next > drawn + 900, "{next} after {drawn}");
    let end = project.expect(10, &["unfence", "--yes"]);
    assert!(end.stderr.contains("consumers are switched"), "{end}");
    assert!(!world.accepts());
    world
        .pair
        .target
        .psql(&format!("select setval('public.invoice_no', {next} - 1)"));

    project.expect(0, &["rollback", "--yes", "--accept-loss", &id]);
    assert!(world.accepts());
    assert_eq!(world.source_says(STANDS), "f");
    // What the margin left out is no difference.
    project.expect(0, &["verify", "--sequences"]);
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        clients_wait_for_the_switch(&world, &id, STANDS);
    }
}

fn clients_wait_for_the_switch(world: &World, id: &str, stands: &str) {
    world.project.expect(0, &["verify"]);
    let cutover = world.project.towpath(&["cutover", "--confirm", id]);
    let cutover = cutover.env("TOWPATH_FENCE_MODE", "wait").timeout(PATIENCE);
    let cutover = cutover.spawn();
    towpath_tests::wait_until("it fences", PATIENCE, || world.source_says(stands) == "t");
    let writing = std::time::Instant::now();
    assert!(!world.accepts());
    let waited = writing.elapsed();
    let end = cutover.wait().expect_code(0);
    assert!(end.stdout.contains("switched"), "{end}");
    // Not refused at once: the rows of both sides were compared meanwhile, and consumers switched.
    assert!(waited > Duration::from_millis(500), "{waited:?}");
    assert!(!world.accepts());
    world
        .project
        .expect(0, &["rollback", "--yes", "--accept-loss", id]);
    assert!(world.accepts());
}
