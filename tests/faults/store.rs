//! The run store answers with errors, loses answers, damages bodies, or is full.

use std::time::Duration;

use towpath_tests::SmallDisk;
use towpath_tests::s3_proxy::{FOR_EVER, Mishap, Rule, S3Proxy};

use crate::world::{World, assert_letter, is_full, world, world_on_s3};

fn rule(method: &'static str, path: &str, after: usize, times: usize, mishap: Mishap) -> Rule {
    Rule {
        method,
        path: path.to_owned(),
        after,
        times,
        mishap,
    }
}

/// Each of these passes, so the run gets through, at once or with the next command.
fn passing() -> Vec<(&'static str, Mishap, usize)> {
    vec![
        ("PUT", Mishap::Answer(503, "SlowDown"), 3),
        ("PUT", Mishap::Answer(500, "InternalError"), 2),
        ("GET", Mishap::Answer(503, "SlowDown"), 2),
        ("GET", Mishap::Answer(500, "InternalError"), 2),
        ("PUT", Mishap::LoseAnswer, 2),
        ("PUT", Mishap::TruncateRequest, 1),
        ("GET", Mishap::LoseAnswer, 1),
        ("GET", Mishap::TruncateAnswer, 1),
        ("PUT", Mishap::FlipRequest, 1),
        ("GET", Mishap::FlipAnswer, 1),
        ("PUT", Mishap::Silence(Duration::from_secs(20)), 1),
        ("GET", Mishap::Silence(Duration::from_secs(20)), 1),
    ]
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failing test says how to replay itself"
)]
fn mishaps_of_s3_that_pass() {
    if !is_full() {
        let (world, proxy) = world_on_s3();
        // One after the other, in one run.
        for (at, (method, mishap, times)) in passing().into_iter().enumerate() {
            proxy.when(rule(method, "/chunks/", 1 + 3 * at, times, mishap));
        }
        world.finish();
        assert!(
            proxy.struck() >= 8,
            "{} requests went wrong",
            proxy.struck()
        );
        return;
    }
    for (method, mishap, times) in passing() {
        for (path, after) in [("/chunks/", 0), ("/chunks/", 7), ("/journal/", 1), ("", 10)] {
            println!("{method} {path} after {after}: {mishap:?}, {times} times");
            let (world, proxy) = world_on_s3();
            proxy.when(rule(method, path, after, times, mishap));
            world.finish();
            assert!(proxy.struck() > 0, "no request went wrong");
        }
    }
}

fn struck_then_mended(world: &World, proxy: &S3Proxy, wanted: &str, said: &[&str]) {
    let end = world
        .project
        .towpath(&["run", "--yes"])
        .timeout(Duration::from_secs(240))
        .run();
    assert_eq!(assert_letter(&end), wanted, "{end}");
    for part in said {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    assert!(proxy.struck() > 0, "no request went wrong");
    world.assert_claims_nothing();
    if is_full() {
        proxy.pass();
        world.finish();
    }
}

#[test]
fn credentials_expire_in_the_middle() {
    let (world, proxy) = world_on_s3();
    proxy.when(rule(
        "",
        "/chunks/",
        6,
        FOR_EVER,
        Mishap::Answer(400, "ExpiredToken"),
    ));
    let said = ["ExpiredToken", "credentials have expired", "s3://runs/"];
    struck_then_mended(&world, &proxy, "store-access", &said);
}

#[test]
fn a_store_that_is_down_for_good_is_given_up_with_a_letter() {
    let mishaps: &[Mishap] = match is_full() {
        true => &[
            Mishap::Silence(Duration::from_secs(600)),
            Mishap::Answer(503, "SlowDown"),
            Mishap::Answer(500, "InternalError"),
            Mishap::LoseAnswer,
        ],
        false => &[Mishap::Silence(Duration::from_secs(600))],
    };
    for mishap in mishaps {
        let (world, proxy) = world_on_s3();
        proxy.when(rule("PUT", "/chunks/", 8, FOR_EVER, *mishap));
        struck_then_mended(&world, &proxy, "connect", &["s3://runs/"]);
    }
}

#[test]
fn the_disk_of_a_file_store_is_full() {
    let mut disk = SmallDisk::mount(3);
    let mut world = world();
    let store = disk.path().join("store");
    world.project = world
        .project
        .with("TOWPATH_STORE", &format!("file://{}", store.display()));
    let end = world.project.towpath(&["run", "--yes"]).run();
    assert_eq!(assert_letter(&end), "store-access", "{end}");
    assert!(end.stderr.contains("the disk is full"), "{end}");
    world.assert_claims_nothing();
    disk.grow(200);
    // The manifest is read where the store is.
    std::os::unix::fs::symlink(
        store.join(world.project.run_id()),
        world
            .project
            .path()
            .join(".towpath")
            .join(world.project.run_id()),
    )
    .expect("link the run's folder");
    world.finish();
}

#[test]
fn the_disk_of_the_target_is_full() {
    let mut disk = SmallDisk::mount(20);
    disk.give_to_servers();
    let world = world();
    let target = &world.pair.target;
    let url = target.cluster.superuser_url("postgres");
    towpath_tests::pg::psql(
        &url,
        &format!(
            "create tablespace small location '{}'",
            disk.path().display()
        ),
    );
    towpath_tests::pg::psql(&url, "alter database app set tablespace small");
    let end = world.project.towpath(&["run", "--yes"]).run();
    assert_eq!(assert_letter(&end), "target", "{end}");
    for part in ["53100", "the disk of the target is full"] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    disk.grow(400);
    world.finish();
}
