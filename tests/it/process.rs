//! How the harness runs and ends the program; `sh` plays its part.

use std::time::Duration;

use towpath_tests::{Towpath, wait_until};

fn shell(script: &str) -> Towpath {
    Towpath::new("sh", std::env::temp_dir()).args(["-c", script])
}

#[test]
fn output_and_exit_code_are_captured() {
    let end = shell("echo out; echo \"$WORD\" >&2; exit 12")
        .env("WORD", "err")
        .run();
    let end = end.expect_code(12);
    assert_eq!(
        (end.stdout.as_str(), end.stderr.as_str()),
        ("out\n", "err\n")
    );
}

#[test]
fn the_environment_is_empty_but_for_what_is_given() {
    let end = shell("env").env("GIVEN", "yes").run().expect_code(0);
    let given = [
        "PATH=",
        "HOME=",
        "TMPDIR=",
        "GIVEN=yes",
        "PWD=",
        "OLDPWD=",
        "SHLVL=",
        "_=",
    ];
    for line in end.stdout.lines() {
        assert!(
            given.iter().any(|name| line.starts_with(name)),
            "the child sees {line}"
        );
    }
}

#[test]
fn kill_9_comes_when_the_condition_holds() {
    let directory = tempfile::tempdir().expect("make a directory");
    let mark = directory.path().join("mark");
    let script = format!("touch {}; while :; do sleep 0.01; done", mark.display());
    let end = shell(&script).spawn().kill_9_when(|| mark.exists());
    assert!(end.killed);
    assert_eq!(end.code, None);

    let end = shell("exit 3").spawn().kill_9_when(|| false);
    assert!(!end.killed);
    let _ = end.expect_code(3);
}

#[test]
fn what_was_said_can_be_read_while_it_runs() {
    let script = "trap 'exit 130' INT; echo ready; while :; do sleep 0.01; done";
    let child = shell(script).spawn();
    let limit = Duration::from_secs(10);
    wait_until("the child is ready", limit, || {
        child.stdout_so_far() == "ready\n"
    });
    child.interrupt();
    let _ = child.wait().expect_code(130);
}

#[test]
#[should_panic(expected = "half a story")]
fn a_timeout_shows_the_output() {
    let _ = shell("echo half a story; sleep 60")
        .timeout(Duration::from_millis(200))
        .run();
}
