//! The stages of a cutover put together: killed between them, and gone on with, undone, or let go.

use std::path::{Path, PathBuf};

use towpath_tests::{MiniStack, Pair, Project, pair, pg, project};

/// A pair, and one function that points at its source.
pub struct World {
    pub pair: Pair,
    pub aws: MiniStack,
    pub project: Project,
}

impl World {
    pub fn of(pair: Pair) -> Self {
        let aws = MiniStack::start();
        aws.aws()
            .create_function("orders-api", &[("DATABASE_URL", &pair.source.url())]);
        let project = project!(&pair)
            .with_all(&aws.env())
            .with("TOWPATH_SWITCH_PREFIXES", "orders-");
        World { pair, aws, project }
    }
}

fn world() -> World {
    let world = World::of(pair());
    world.project.expect(0, &["run", "--yes"]);
    world
}

/// A hook that does this.
fn hook(directory: &Path, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let hook = directory.join("hook");
    std::fs::write(&hook, format!("#!/bin/sh\n{script}\n")).expect("write a hook");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("make it run");
    hook
}

impl World {
    fn answers_from(&self) -> u64 {
        let answer = self.aws.aws().invoke("orders-api").expect("an answer");
        answer["port"].as_u64().expect("a port")
    }

    /// What a write to the source is answered.
    fn write(&self) -> Result<String, String> {
        pg::try_psql(
            &self.pair.source.url(),
            "insert into public.no_pk select * from public.no_pk limit 1",
        )
        .map_err(|refused| refused.to_string())
    }

    /// Begins a cutover, and kills it when it is inside this hook.
    fn kill_inside(&self, hook: &str) {
        let id = self.project.run_id();
        // It says that it was reached, and does not come back.
        let reached = self.project.path().join("reached");
        let _ = std::fs::remove_file(&reached);
        let script = format!(": > {}\nexec sleep 60", reached.display());
        let program = crate::night::hook(self.project.path(), &script);
        let cutover = self
            .project
            .towpath(&["cutover", "--confirm", &id])
            .env(hook, &program);
        let end = cutover.spawn().kill_9_when(|| reached.exists());
        assert!(end.killed, "{hook}: {end}");
    }
}

#[test]
fn killed_between_its_stages_it_goes_on() {
    let world = world();
    let id = world.project.run_id();
    let (source, target) = (
        u64::from(world.pair.source.cluster.port()),
        u64::from(world.pair.target.cluster.port()),
    );
    world.kill_inside("TOWPATH_HOOK_BEFORE_FENCE");
    world.write().expect("nothing is fenced yet");
    world.kill_inside("TOWPATH_HOOK_BEFORE_SWITCH");
    assert_eq!(world.answers_from(), source);
    let refused = world
        .write()
        .expect_err("the fence stands without its process");
    assert!(refused.contains("accepts no writes here"), "{refused}");
    let status = world.project.expect(0, &["status"]);
    assert!(status.stdout.contains("fence"), "{status}");
    world.kill_inside("TOWPATH_HOOK_AFTER_SWITCH");
    assert_eq!(world.answers_from(), target);
    world
        .write()
        .expect_err("the fence stays while consumers are at the target");
    let end = world.project.expect(10, &["unfence", "--yes"]);
    assert!(end.stderr.contains("rollback"), "{end}");
    let end = world.project.expect(0, &["cutover", "--confirm", &id]);
    assert!(end.stdout.contains("switched 1 binding"), "{end}");
    assert_eq!(world.answers_from(), target);
    // The row that was written before the fence was brought along.
    let count = "select count(*) from public.no_pk";
    assert_eq!(
        world.pair.source.psql(count),
        world.pair.target.psql_superuser(count)
    );
    world.project.expect(0, &["rollback", "--yes"]);
    assert_eq!(world.answers_from(), source);
    world.write().expect("the fence is lifted");
}

#[test]
fn what_tables_cannot_bring_stops_behind_the_fence_and_reopens_the_source() {
    let world = world();
    let id = world.project.run_id();
    // A setting that cannot be read is met before the fence.
    let cutover = world.project.towpath(&["cutover", "--confirm", &id]);
    let end = cutover.env("TOWPATH_SWITCH_ALIAS_STEPS", "many").run();
    let end = end.expect_code(2);
    assert!(!end.stderr.contains("refuses writes"), "{end}");
    world.write().expect("nothing is fenced");
    world
        .pair
        .source
        .psql("create table public.brand_new (id integer)");
    let end = world.project.expect(13, &["cutover", "--confirm", &id]);
    assert!(end.stderr.contains("has changed since the export"), "{end}");
    assert!(end.stderr.contains("accepts writes again"), "{end}");
    world.write().expect("the fence is lifted");
    assert_eq!(
        world.answers_from(),
        u64::from(world.pair.source.cluster.port())
    );
}

#[test]
fn what_consumers_wrote_is_not_left_behind_without_a_word() {
    let world = world();
    let id = world.project.run_id();
    let (source, target) = (
        u64::from(world.pair.source.cluster.port()),
        u64::from(world.pair.target.cluster.port()),
    );
    // Somebody writes to the target as soon as consumers are there, and then something fails.
    let insert = "insert into public.no_pk select * from public.no_pk limit 1";
    let script = format!(
        "psql -qX '{}' -c '{insert}' && exit 1",
        world.pair.target.url()
    );
    let program = hook(world.project.path(), &script);
    let cutover = world.project.towpath(&["cutover", "--confirm", &id]);
    let end = cutover.env("TOWPATH_HOOK_AFTER_SWITCH", &program).run();
    let end = end.expect_code(14);
    assert!(end.stderr.contains("at least 1 row change"), "{end}");
    assert_eq!(world.answers_from(), target);
    world
        .write()
        .expect_err("the fence stays while consumers are at the target");
    let end = world.project.expect(10, &["rollback", "--yes"]);
    assert!(end.stderr.contains("--accept-loss"), "{end}");
    assert_eq!(world.answers_from(), target);
    world
        .project
        .expect(0, &["rollback", "--yes", "--accept-loss", &id]);
    assert_eq!(world.answers_from(), source);
    world.write().expect("the fence is lifted");
}
