//! Rows written to the source after the export, brought to the target behind the fence.

use std::time::Duration;

use towpath_tests::pg::psql;
use towpath_tests::{Pair, TargetShape, oracle, pair_with, wait_until};

use crate::night::World;

/// `capable`: whether the target's master may play the replica.
fn world(capable: bool) -> World {
    let pair = pair_with(&TargetShape {
        capable,
        ..TargetShape::default()
    });
    pair.source.psql(TABLES);
    World::of(pair)
}

/// What has hurt somebody: names, keys of many kinds and none, references in a ring and downwards,
/// unique values that trade places, triggers, rules and policies that would act, rows that move.
const TABLES: &str = r#"
create schema "Late Schema";
create table "Late Schema"."Table "".x" (
    "Key, 1" integer, "key""2" text collate "C",
    "select" text, twice integer generated always as ("Key, 1" * 2) stored,
    no integer generated always as identity, primary key ("Key, 1", "key""2"));
insert into "Late Schema"."Table "".x" values (1, 'a', 'x'), (2, 'b', null), (3, 'c', '');
create table public.late_floats (id numeric primary key, f double precision, n numeric, j json, b bytea);
insert into public.late_floats values (1.0, 'NaN', 1.0, '{"a":1}', ''), (2, 0, 2.00, null, '\x00ff'), (3, null, 'NaN', '[]', null);
create table public.late_big (id integer primary key, body text);
insert into public.late_big select n, repeat(md5(n::text), 20000) from generate_series(1, 8) n;
create table public.late_many (id integer primary key, v text);
insert into public.late_many select n, md5(n::text) from generate_series(1, 30000) n;
create table public.late_many_keyless (v text, f double precision);
insert into public.late_many_keyless select md5((n / 2)::text), n % 7 from generate_series(1, 30000) n;
create table public.late_keyless (a integer, b text);
insert into public.late_keyless select n % 3, null from generate_series(1, 20) n;
create table public.late_published (a integer);
insert into public.late_published values (1), (1);
create publication late_publication for table public.late_published;
create table public.late_parent (id integer primary key, name text unique, child integer);
create table public.late_child (id integer primary key, parent integer not null references public.late_parent on delete cascade on update cascade,
    name text references public.late_parent (name) on delete set null on update cascade);
comment on constraint late_child_parent_fkey on public.late_child is 'it''s a reference';
alter table public.late_parent add foreign key (child) references public.late_child deferrable initially deferred;
insert into public.late_parent values (1, 'one', null), (2, 'two', null), (3, 'three', null), (4, 'four', null);
insert into public.late_child select n, n, (array['one', 'two', 'three', 'four'])[n] from generate_series(1, 4) n;
update public.late_parent set child = id;
create table public.late_parts (id integer, kind text, v text, primary key (id, kind)) partition by list (kind);
create table public.late_parts_a partition of public.late_parts for values in ('a');
create table public.late_parts_b partition of public.late_parts for values in ('b');
alter table public.late_parts add foreign key (id) references public.late_parent;
insert into public.late_parts select n, case when n < 3 then 'a' else 'b' end, 'v' from generate_series(1, 4) n;
create table public.late_heir (extra text) inherits (public.late_big);
create table public.late_log (id bigserial primary key, what text);
create function public.late_note() returns trigger language plpgsql as
    'begin insert into public.late_log (what) values (tg_op || '' '' || tg_table_name); return null; end';
create trigger always_told after insert or update or delete on public.late_floats
    for each row execute function public.late_note();
alter table public.late_floats enable always trigger always_told;
create trigger told after insert or update or delete on public.late_parts
    for each row execute function public.late_note();
create rule also_told as on insert to public.late_big
    do also insert into public.late_log (what) values ('rule');
create table public.late_secret (id integer primary key, v text);
insert into public.late_secret select n, 'v' from generate_series(1, 5) n;
alter table public.late_secret enable row level security, force row level security;
create table public.late_span (id integer primary key, during int4range, exclude using gist (during with &&));
insert into public.late_span values (1, '[1,5)'), (2, '[5,9)');
create materialized view public.late_sum as select count(*) as rows, sum(id) as ids from public.late_parent;
create view public.late_view as select * from public.late_sum;
create materialized view public.late_sum_of_sums as select * from public.late_view;
"#;

const CHANGES: &str = r#"
update "Late Schema"."Table "".x" set "key""2" = upper("key""2") where "Key, 1" = 1;
delete from "Late Schema"."Table "".x" where "Key, 1" = 2;
insert into "Late Schema"."Table "".x" values (4, E'quote '' back \\ tab\t', '\N'), (5, '', '');
update public.late_floats set id = 1.00, f = '-NaN', n = 1.00 where id = 1;
update public.late_floats set f = '-0', n = 2.0, b = '\x00fe' where id = 2;
insert into public.late_floats values (-7, '-Infinity', null, '{"a":1,"a":2}', '\x');
update public.late_big set body = overlay(body placing 'X' from 600000) where id = 3;
insert into public.late_big values (9, repeat('é', 500000));
update public.late_many set v = 'x' where id % 9999 = 0;
delete from public.late_many where id in (5, 25000);
insert into public.late_many values (-1, null), (40000, 'new');
delete from public.late_many_keyless where ctid = '(3,3)' or ctid = '(90,1)';
update public.late_many_keyless set f = '-0' where ctid = '(50,7)' or ctid = '(3,7)';
insert into public.late_many_keyless select * from public.late_many_keyless limit 2;
insert into public.late_heir select 10, 'heir', 'x';
insert into public.late_keyless values (0, null), (0, null), (null, null);
insert into public.late_published values (1), (null);
begin;
update public.late_parent set name = name || '!' where id = 1;
delete from public.late_parts where id = 4;
delete from public.late_parent where id = 4;
update public.late_parent set name = 'swap' where id = 2;
update public.late_parent set name = 'two' where id = 3;
update public.late_parent set name = 'three' where id = 2;
insert into public.late_parent values (5, 'four', null);
insert into public.late_child values (50, 5, 'four'), (20, 2, null);
update public.late_parent set child = 50 where id = 5;
commit;
update public.late_parts set kind = 'b' where id = 1;
update public.late_parts set kind = 'a' where id = 3;
update public.late_secret set v = 'other' where id = 2;
delete from public.late_secret where id = 3;
begin;
delete from public.late_span;
insert into public.late_span values (1, '[4,9)'), (2, '[1,4)');
commit;
"#;

/// Triggers, rules, foreign keys, policies and identities as the catalog tells them.
const GUARDS: &str = "
select string_agg(line, E'\\n' order by line collate \"C\") from (
    select format('%s %s %s', tgrelid::regclass, tgname, tgenabled) from pg_trigger where not tgisinternal
    union all select format('%s %s %s', ev_class::regclass, rulename, ev_enabled) from pg_rewrite
        where rulename <> '_RETURN'
    union all select format('%s %s %s %s %s', conrelid::regclass, conname, convalidated,
                            pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
        from pg_constraint where contype = 'f' and connamespace <> 'towpath'::regnamespace
    union all select format('%s %s %s %s', oid::regclass, relrowsecurity, relforcerowsecurity, relreplident)
        from pg_class where relkind in ('r', 'p') and relpersistence = 'p'
             and relnamespace::regnamespace::text !~ '^pg_'
             and relnamespace::regnamespace::text not in ('information_schema', 'towpath')
) as guards (line)";

impl World {
    fn guards(&self) -> String {
        self.pair.target.psql_superuser(GUARDS)
    }

    fn log_rows(&self) -> String {
        let count = "select count(*) from public.late_log";
        format!(
            "{} {}",
            self.pair.source.psql(count),
            self.pair.target.psql_superuser(count)
        )
    }

    fn assert_views_are_fresh(&self) {
        for view in ["late_sum", "late_sum_of_sums"] {
            let rows = format!("select format('%s %s', rows, ids) from public.{view}");
            let fresh = "select format('%s %s', count(*), sum(id)) from public.late_parent";
            let target = &self.pair.target;
            assert_eq!(target.psql_superuser(&rows), target.psql(fresh), "{view}");
        }
    }

    fn cutover(&self, code: i32) -> towpath_tests::Finished {
        let id = self.project.run_id();
        self.project.expect(code, &["cutover", "--confirm", &id])
    }
}

fn catches_up_with_everything(capable: bool) {
    let world = world(capable);
    world.project.expect(0, &["run", "--yes"]);
    let guards = world.guards();
    world.pair.source.psql(CHANGES);
    let end = world.cutover(0);
    assert!(end.stderr.contains("caught up public.late_parent"), "{end}");
    assert!(
        !end.stderr.contains("caught up public.empty_table"),
        "a table that did not change was written: {end}"
    );
    let of_keyless = written(&end, "public.late_many_keyless");
    assert!(
        (4..6000).contains(&of_keyless),
        "all of a big table has travelled: {end}"
    );
    oracle::assert_same_rows(&world.pair);
    assert_eq!(world.guards(), guards);
    let rows = world.log_rows();
    assert!(
        rows.split_once(' ')
            .is_some_and(|(ours, theirs)| ours == theirs),
        "a trigger or a rule acted on rows that were brought: {rows}"
    );
    world.assert_views_are_fresh();

    // Back, and the target is what the fence left there: a verification says so, with the export as
    // measure of everything else.
    world.project.expect(0, &["rollback", "--yes"]);
    let end = world.project.expect(0, &["verify", "--rows", "--counts"]);
    assert!(!end.stdout.contains("BROKEN"), "{end}");
    let evidence = end
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("evidence: "));
    let evidence = evidence.expect("a verification leaves evidence");
    let end = world.project.expect(0, &["verify", "--evidence", evidence]);
    assert!(!end.stdout.contains("do not agree"), "{end}");

    // What was caught up and is put back on the source as it was exported is caught up again, and
    // what was not is now.
    world.pair.source.psql(
        "delete from public.late_keyless where ctid in
             (select ctid from public.late_keyless where a = 0 and b is null limit 2);
         delete from public.late_keyless where a is null;
         update public.late_secret set v = 'v' where id = 2;
         update public.late_span set id = id + 10",
    );
    world
        .project
        .expect(12, &["verify", "--rows", "--source", "live"]);
    world.project.expect(0, &["verify"]);
    world.cutover(0);
    oracle::assert_same_rows(&world.pair);
    assert_eq!(world.guards(), guards);

    // A server writes by itself; nothing of that is lost by going back. What consumers have taken away
    // is, and neither a truncate nor a loss of statistics hides it.
    let target = &world.pair.target;
    psql(
        &target.cluster.superuser_url("postgres"),
        "select pg_current_xact_id()",
    );
    world.project.expect(0, &["rollback", "--yes"]);
    target.psql("truncate public.late_published");
    let end = world.project.expect(10, &["rollback", "--yes"]);
    assert!(end.stderr.contains("at least 4 row changes"), "{end}");
    target.psql("insert into public.late_published values (1), (1), (1), (null)");
    target.psql_superuser("select pg_stat_reset()");
    let end = world.project.expect(10, &["rollback", "--yes"]);
    assert!(end.stderr.contains("at least 4 row changes"), "{end}");

    // A row that is changed behind the back of all this is still found.
    world.pair.target.psql_superuser(
        "set session_replication_role = replica; update public.late_span set during = '[100,101)' where id = 11",
    );
    let end = world.project.expect(12, &["verify", "--rows"]);
    assert!(end.stdout.contains("public.late_span"), "{end}");
}

#[test]
fn every_shape_of_row_is_caught_up_behind_the_fence() {
    catches_up_with_everything(true);
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        catches_up_with_everything(false);
    }
}

/// A master that may not switch triggers off; an operator who wants nothing to be caught up; and a
/// process that dies in the middle of it.
#[test]
fn a_killed_catch_up_leaves_nothing_and_the_same_command_goes_on() {
    let world = world(false);
    world.project.expect(0, &["run", "--yes"]);
    let guards = world.guards();
    world.pair.source.psql(CHANGES);
    let id = world.project.run_id();
    let cutover = world.project.towpath(&["cutover", "--confirm", &id]);
    let end = cutover.env("TOWPATH_FENCE_CATCH_UP", "never").run();
    let end = end.expect_code(13);
    for part in ["late_span", "fence.catch_up", "--accept-source-changes"] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    // The source goes on.
    let source = &world.pair.source;
    source.psql("update public.late_secret set v = 'again' where id = 1");
    let before = oracle_of_target(&world.pair);
    // Somebody holds a table of those that change, so the catch-up waits, in the middle of its work.
    let holder = world.pair.target.cluster.superuser_url("app");
    let holding = std::process::Command::new("psql")
        .args(["-X", "-q", &holder, "-c"])
        .arg("begin; lock table public.late_span in exclusive mode; select pg_sleep(60)")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut holding = holding.expect("start psql");
    let waiting = || {
        world.pair.target.psql_superuser(
            "select count(*) from pg_stat_activity
              where application_name like '%/load/catch-up' and wait_event_type = 'Lock'",
        ) == "1"
    };
    let cutover = world.project.towpath(&["cutover", "--confirm", &id]);
    let end = cutover.spawn().kill_9_when(waiting);
    assert!(end.killed, "the catch-up never waited: {end}");
    holding.kill().expect("end psql");
    holding.wait().expect("psql has ended");
    world.pair.target.psql_superuser(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()",
    );
    wait_until(
        "the killed session is gone",
        Duration::from_secs(20),
        || {
            world.pair.target.psql_superuser(
            "select count(*) from pg_stat_activity where application_name like '%/load/catch-up'",
        ) == "0"
        },
    );
    assert_eq!(world.guards(), guards, "half of it was committed");
    assert_eq!(
        oracle_of_target(&world.pair),
        before,
        "half of it was committed"
    );
    world.cutover(0);
    oracle::assert_same_rows(&world.pair);
    assert_eq!(world.guards(), guards);
    world.assert_views_are_fresh();
    world.project.expect(0, &["rollback", "--yes"]);

    // What is agreed to be lost is lost, and nothing else.
    world.project.expect(0, &["verify"]);
    source.psql("update public.late_secret set v = 'lost'");
    let before = oracle_of_target(&world.pair);
    let arguments = ["cutover", "--confirm", &id, "--accept-source-changes", &id];
    let cutover = world.project.towpath(&arguments);
    let end = cutover.env("TOWPATH_FENCE_CATCH_UP", "never").run();
    end.expect_code(0);
    assert_eq!(oracle_of_target(&world.pair), before);
}

/// How many rows of a table were written, as the command tells it.
fn written(end: &towpath_tests::Finished, table: &str) -> u32 {
    let told = format!("caught up {table}: ");
    let line = end.stderr.lines().find_map(|line| line.split(&told).nth(1));
    let count = line.and_then(|line| line.split(' ').next());
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("{table} was not caught up: {end}"))
}

fn oracle_of_target(pair: &Pair) -> std::collections::BTreeMap<String, String> {
    let url = pair.target.cluster.superuser_url("app");
    oracle::contents(&url, &oracle::user_tables(&url))
}
