//! The connection is lost, or the process killed, between any two statements of the schema; the same
//! command then finishes the run, and the catalog is that of a run nobody disturbed.

use std::time::{SystemTime, UNIX_EPOCH};

use towpath_tests::catalog::{assert_same_catalog, catalog};
use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{Pair, Project, pair, project};

/// Counts the master's DDL, in a sequence, because sequences do not roll back, and ends the session
/// at one of the commands. It is the service's own furniture: towpath leaves it alone.
const TRAP: &str = "
    create schema rdstrap;
    grant usage on schema rdstrap to public;
    create sequence rdstrap.commands;
    create sequence rdstrap.trap;
    create function rdstrap.spring() returns event_trigger language plpgsql security definer
    set search_path = pg_catalog as $$
    begin
        if session_user <> 'rdsadmin' and current_setting('application_name') ~ '/load'
           and nextval('rdstrap.commands') = (select last_value from rdstrap.trap) then
            perform pg_terminate_backend(pg_backend_pid());
        end if;
    end $$;
    create event trigger spring on ddl_command_end execute function rdstrap.spring();";

/// More commands than any run takes.
const NEVER: usize = 1_000_000_000;

fn arm(pair: &Pair, at: usize) {
    pair.target.psql_superuser(&format!(
        "alter sequence rdstrap.commands restart; select setval('rdstrap.trap', {at})"
    ));
}

/// Commands that the master has run since the trap was armed.
fn commands(pair: &Pair) -> usize {
    let text = pair.target.psql_superuser(
        "select case when is_called then last_value else 0 end from rdstrap.commands",
    );
    text.trim().parse().expect("a number")
}

fn random(below: usize) -> usize {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    usize::try_from(now.subsec_nanos()).expect("fits") % below
}

fn disturbed() -> (Pair, Project) {
    let pair = pair();
    pair.target.psql_superuser(TRAP);
    let project = project!(&pair);
    (pair, project)
}

/// A run that nobody disturbs: its catalog, and how many commands it takes.
fn straight() -> (Vec<String>, usize) {
    let (pair, project) = disturbed();
    arm(&pair, NEVER);
    project.expect(0, &["run", "--yes"]);
    (catalog(&pair), commands(&pair))
}

fn places(all: usize, quick: usize) -> Vec<usize> {
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        return (1 + random(13)..=all).step_by(13).collect();
    }
    (0..quick)
        .map(|part| 1 + part * all / quick + random(all / quick))
        .collect()
}

fn assert_converges(straight: &[String], pair: &Pair, project: &Project) {
    pair.target
        .psql_superuser(&format!("select setval('rdstrap.trap', {NEVER})"));
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(pair);
    // Where the trap stands is not the catalog's business.
    assert_same_catalog(straight, &catalog(pair));
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failing test says how to replay itself"
)]
fn a_connection_lost_at_a_statement() {
    let (straight, all) = straight();
    for place in places(all, 3) {
        println!("the connection is lost at command {place} of {all}");
        let (pair, project) = disturbed();
        arm(&pair, place);
        let end = project.towpath(&["run", "--yes"]).run();
        // Workers of the load go on by themselves on another connection.
        if end.code != Some(0) {
            assert!(matches!(end.code, Some(1 | 15)), "{end}");
            assert!(end.stderr.contains("hint: "), "{end}");
        }
        assert_converges(&straight, &pair, &project);
    }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failing test says how to replay itself"
)]
fn a_process_killed_between_statements() {
    let (straight, all) = straight();
    for place in places(all, 2) {
        println!("the process is killed at about command {place} of {all}");
        let (pair, project) = disturbed();
        arm(&pair, NEVER);
        let end = project
            .towpath(&["run", "--yes"])
            .spawn()
            .kill_9_when(|| commands(&pair) >= place);
        assert!(end.killed, "{end}");
        assert_converges(&straight, &pair, &project);
    }
}
