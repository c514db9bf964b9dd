//! Connections to the servers are reset, cut in the middle of a message, damaged, or fall silent.

use std::time::Duration;

use towpath_tests::tcp_proxy::{Direction, Trigger, Trouble};
use towpath_tests::{Fault, Running, wait_until};

use crate::world::{Proxied, assert_letter, is_full, proxied};

/// So much more, once the copy has begun: the middle of it.
const MIDDLE: u64 = 150_000;

fn strike(at: &Proxied, source: Trouble, target: Trouble, bytes: u64) {
    let (out, into) = (Direction::ToClient, Direction::ToServer);
    at.source.disturb(Trigger::Bytes(out, bytes), source, 1);
    at.target.disturb(Trigger::Bytes(into, bytes), target, 1);
}

#[track_caller]
fn assert_struck(at: &Proxied) {
    assert_eq!((at.source.struck(), at.target.struck()), (1, 1));
}

/// A run whose copy has begun.
fn copying(at: &Proxied) -> Running {
    let running = at
        .world
        .project
        .towpath(&["run", "--yes"])
        .timeout(Duration::from_secs(240))
        .spawn();
    wait_until("the copy has begun", Duration::from_secs(60), || {
        at.world.stored_chunks() >= 1
    });
    running
}

#[test]
fn connections_that_are_reset_or_cut_in_a_message() {
    let points: &[u64] = match is_full() {
        true => &[1_000, MIDDLE, 1_000_000, 4_000_000],
        false => &[MIDDLE],
    };
    for bytes in points {
        for (source, target) in [
            (Trouble::Reset, Trouble::Truncate),
            (Trouble::Truncate, Trouble::Reset),
        ] {
            let at = proxied("disable");
            let running = copying(&at);
            strike(&at, source, target, *bytes);
            at.world.finish_after(running);
            assert_struck(&at);
            if !is_full() {
                break;
            }
        }
    }
}

#[test]
fn connections_that_are_reset_while_planning() {
    let points: &[u64] = match is_full() {
        true => &[1, 20_000, 200_000, 600_000, 2_500_000],
        false => &[],
    };
    for bytes in points {
        let at = proxied("disable");
        strike(&at, Trouble::Reset, Trouble::Reset, *bytes);
        let kinds = at.world.finish();
        assert_struck(&at);
        assert!(kinds.iter().all(|kind| kind == "connect"), "{kinds:?}");
    }
    // The connection of pg_dump.
    let at = proxied("disable");
    let trigger = Trigger::Pattern(Direction::ToServer, b"LOCK TABLE ".to_vec());
    at.source.disturb(trigger, Trouble::Reset, 1);
    let end = at.world.project.towpath(&["plan"]).run();
    assert_eq!(at.source.struck(), 1);
    assert_eq!(assert_letter(&end), "connect", "{end}");
}

#[test]
fn a_bit_that_changes_on_the_way_to_or_from_a_server() {
    if !is_full() {
        // TLS refuses it, as it has to. Again and again: the first may hit the farewell of a
        // connection that nobody reads from any more, which harms nothing.
        let at = proxied("require");
        let out = Trigger::Bytes(Direction::ToClient, 20_000);
        at.source.disturb(out, Trouble::Flip, usize::MAX);
        let end = at.world.project.towpath(&["plan"]).run();
        assert!(at.source.struck() >= 1);
        assert_eq!(assert_letter(&end), "connect", "{end}");
        return;
    }
    for bytes in [1_000, MIDDLE, 1_000_000] {
        let at = proxied("require");
        let running = copying(&at);
        strike(&at, Trouble::Flip, Trouble::Flip, bytes);
        at.world.finish_after(running);
        assert_struck(&at);
    }
}

#[test]
fn a_bit_that_changes_where_nothing_protects_the_line_is_found_by_verification() {
    let at = proxied("disable");
    // Into a value: the text of a note stays text, and the target takes it. It is the digest of
    // 40000, which no other table of the fixture holds, whichever arrives first.
    let note = b"7c77f048a2d02e784926184a82686fa0".to_vec();
    let trigger = Trigger::Pattern(Direction::ToServer, note);
    at.target.disturb(trigger, Trouble::Flip, 1);
    let end = at.world.project.towpath(&["run", "--yes"]).run();
    assert_eq!(at.target.struck(), 1);
    assert_eq!(end.code, Some(12), "{end}");
    assert!(end.stdout.contains("public.bulk"), "{end}");
    assert!(!end.stdout.contains("no difference"), "{end}");
}

#[test]
fn connections_that_fall_silent_one_by_one() {
    let points: &[u64] = match is_full() {
        true => &[1_000, MIDDLE, 1_000_000, 4_000_000],
        false => &[MIDDLE],
    };
    for bytes in points {
        let at = proxied("disable");
        let running = copying(&at);
        strike(&at, Trouble::Stall, Trouble::Stall, *bytes);
        let kinds = at.world.finish_after(running);
        assert_struck(&at);
        // Others get through, so the chunk does on another connection.
        assert!(kinds.len() <= 1, "{kinds:?}");
    }
}

#[test]
fn a_server_that_falls_silent_for_good_is_given_up_with_a_letter() {
    let sides: &[bool] = match is_full() {
        true => &[true, false],
        false => &[true],
    };
    for of_source in sides {
        let at = proxied("disable");
        let running = copying(&at);
        let proxy = match of_source {
            true => &at.source,
            false => &at.target,
        };
        proxy.set(Fault::Stall);
        let end = running.wait();
        let kind = assert_letter(&end);
        assert!(
            ["connect", "snapshot-lost"].contains(&kind.as_str()),
            "{end}"
        );
        assert!(end.stderr.contains("no answer"), "{end}");
        at.world.assert_claims_nothing();
        if is_full() {
            proxy.set(Fault::Pass);
            at.world.finish();
        }
    }
}

#[test]
fn the_answer_to_a_commit_is_lost() {
    let times = if is_full() { 5 } else { 2 };
    let at = proxied("disable");
    // The row of the ledger and the commit travel together.
    let request = b"insert into towpath.chunk".to_vec();
    at.target.disturb(
        Trigger::Pattern(Direction::ToServer, request),
        Trouble::LoseAnswer,
        times,
    );
    at.world.finish();
    assert_eq!(at.target.struck(), times);
}

#[test]
fn a_slow_line_is_waited_for() {
    let at = proxied("disable");
    let (bytes, command): (_, &[&str]) = match is_full() {
        true => (1_000_000, &["run", "--yes"]),
        false => (2_000_000, &["plan"]),
    };
    at.source.set(Fault::Throttle(Direction::ToClient, bytes));
    let end = at.world.project.expect(0, command);
    if is_full() {
        at.world.assert_arrived(&end);
    }
}
