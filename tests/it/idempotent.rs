//! The clean schema over a target that has objects already: nothing twice, nothing lost, and nothing
//! different in silence.

use std::time::{SystemTime, UNIX_EPOCH};

use towpath_tests::catalog::{assert_same_catalog, catalog, statements};
use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{Pair, pair, pg, project};

/// Somebody's own attempt: the first statements of both scripts, by psql.
fn apply_first(pair: &Pair, statements: &[String], count: usize) {
    let search_path = pair.source.psql("show search_path");
    let mut sql = format!("set check_function_bodies = off; set search_path = {search_path};\n");
    for statement in &statements[..count] {
        sql.push_str(statement);
        sql.push_str(";\n");
    }
    pair.target.psql(&sql);
}

fn random(below: usize) -> usize {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    usize::try_from(now.subsec_nanos()).expect("fits") % below
}

#[test]
fn twice_is_once() {
    let pair = pair();
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let straight = catalog(&pair);

    // Rows that are there were put there by somebody.
    let end = project.expect(10, &["run", "--yes", "--new-run"]);
    for part in [
        "check target-empty failed",
        "hold rows, loaded by run",
        "--replace app",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }

    // The ledger is gone, the rows are not: nothing is loaded twice, by this run or by another.
    pair.target.psql("drop schema towpath cascade");
    let end = project.expect(10, &["run", "--yes", "--new-run"]);
    assert!(end.stderr.contains("check target-empty failed"), "{end}");

    // The same structure without rows is what a run leaves before it loads.
    truncate_all(&pair);
    let end = project.expect(0, &["run", "--yes", "--new-run"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
    assert_same_catalog(&straight, &catalog(&pair));

    // The ledger of a run of which no row is left binds nobody.
    truncate_all(&pair);
    let end = project.expect(0, &["run", "--yes", "--new-run"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
    assert_same_catalog(&straight, &catalog(&pair));
    assert_eq!(pair.target.psql("select count(*) from towpath.run"), "1");
    assert_eq!(
        project.expect(0, &["diff", "run", "target"]).stdout,
        "run and target: no difference\n"
    );
}

/// One that writes down what is done would fill a table before the first row is loaded.
#[test]
fn event_triggers_that_are_there_do_not_fire_for_the_run() {
    let pair = pair();
    pair.target
        .psql_superuser("alter role towpath_master superuser");
    pair.source.psql_superuser(
        "create table public.ddl_log (tag text);
         create function public.log_ddl() returns event_trigger language plpgsql as $$ begin
            insert into public.ddl_log values (tg_tag);
         end $$;
         alter table public.ddl_log owner to postgres;
         alter function public.log_ddl() owner to postgres;
         create event trigger log_ddl on ddl_command_end execute function public.log_ddl();
         alter role postgres superuser; alter event trigger log_ddl owner to postgres;
         alter role postgres nosuperuser;
         delete from public.ddl_log",
    );
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    truncate_all(&pair);
    let end = project.expect(0, &["run", "--yes", "--new-run"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_eq!(
        pair.target
            .psql_superuser("select count(*) from pg_event_trigger where evtname = 'log_ddl'"),
        "1"
    );
}

pub(crate) fn truncate_all(pair: &Pair) {
    pair.target.psql_superuser(
        "do $$ begin execute (select 'truncate ' || string_agg(oid::regclass::text, ', ')
           from pg_class where relkind = 'r' and oid >= 16384
            and relnamespace not in ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
            and relnamespace::regnamespace::text <> 'towpath'
            and not exists (select from pg_depend d where d.objid = pg_class.oid and d.deptype = 'e')
        ); end $$",
    );
}

#[test]
fn a_run_whose_ledger_somebody_dropped_loads_nothing_twice() {
    let pair = pair();
    pair.source.psql(
        "create table public.bulk as select i, repeat(md5(i::text), 9) as t from generate_series(1, 40000) i",
    );
    let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
    let url = pair.target.cluster.superuser_url("app");
    let loaded = "select count(*) from towpath.chunk where table_id = 'public.bulk'";
    let end = project
        .towpath(&["run", "--yes"])
        .spawn()
        .kill_9_when(|| pg::try_psql(&url, loaded).is_ok_and(|count| count.trim() != "0"));
    assert!(end.killed, "{end}");
    pair.target.psql("drop schema towpath cascade");
    let before = catalog(&pair);
    let end = project.expect(10, &["run", "--yes"]);
    for part in [
        "holds rows that this run did not load",
        "public.bulk",
        "hint: ",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    assert_same_catalog(&before, &catalog(&pair));
    truncate_all(&pair);
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a failing test says how to replay itself"
)]
fn a_half_made_target_becomes_a_whole_one() {
    let whole = pair();
    let project = project!(&whole);
    project.expect(0, &["run", "--yes"]);
    let straight = catalog(&whole);
    let before = statements(&project, "pre-data.sql");
    let all: Vec<String> = before
        .iter()
        .cloned()
        .chain(statements(&project, "post-data.sql"))
        .collect();
    let places = if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        (random(11)..=all.len()).step_by(11).collect()
    } else {
        vec![
            before.len() / 3,
            random(before.len()),
            before.len() + random(all.len() - before.len()),
            all.len() - 1,
        ]
    };
    for place in places {
        println!("the first {place} of {} statements were applied", all.len());
        let pair = pair();
        apply_first(&pair, &all, place);
        let project = project!(&pair);
        let end = project.expect(0, &["run", "--yes"]);
        assert!(end.stdout.contains("no difference"), "{end}");
        assert_same_rows(&pair);
        assert_same_catalog(&straight, &catalog(&pair));
    }
}

/// Objects of which the tests below know every aspect.
const OBJECTS: &str = "
    create schema conv;
    create type conv.mood as enum ('fine', 'so so');
    create table conv.parent (id integer primary key);
    create table conv.t (
        id integer primary key,
        amount numeric(10, 2) not null default 1,
        note text,
        mood conv.mood,
        parent integer references conv.parent,
        constraint positive check (amount > 0)
    );
    comment on table conv.t is 'the table';
    comment on column conv.t.note is 'the column';
    create index t_note on conv.t (note);
    alter table conv.t alter column note set statistics 200, alter column note set storage external;
    alter table conv.t replica identity full;
    alter table conv.t enable row level security, force row level security;
    create policy own on conv.t for select to authenticated using (id > 0);
    comment on policy own on conv.t is 'the policy';
    grant select on conv.t to authenticated;
    grant update (note) on conv.t to authenticated;
    create function conv.f() returns trigger language plpgsql as $$ begin
        new.note := 'touched';
        return new;
    end $$;
    revoke execute on function conv.f() from public;
    create view conv.v as select id, note from conv.t;
    create sequence conv.s increment 2 owned by conv.t.id;
    create table conv.measures (id integer, at date not null) partition by range (at);
    create table conv.measures_1 partition of conv.measures for values from ('2026-01-01') to ('2027-01-01');
    create index measures_at on conv.measures (at);
    create table conv.known (id integer not null);
    create unique index known_id on conv.known (id);
    alter table conv.known replica identity using index known_id;
    insert into conv.parent values (1);
    insert into conv.t values (1, 2, 'as it was', 'fine', 1);
    insert into conv.measures values (1, '2026-05-05');
    create trigger touch before insert on conv.t for each row execute function conv.f();
    alter table conv.t enable always trigger touch;
    alter default privileges in schema conv grant select on tables to anon;";

/// What somebody did to the target, how to undo it, and what towpath says of it.
const CONFLICTS: [(&str, &str, &[&str]); 13] = [
    (
        "drop view conv.v; alter table conv.t alter column note type varchar(10);
         create view conv.v as select id, note from conv.t",
        "drop view conv.v; alter table conv.t alter column note type text, alter column note set storage external;
         create view conv.v as select id, note from conv.t; revoke all on conv.v from anon",
        &["table conv.t: column note: type: target character varying(10), source text"],
    ),
    (
        "alter table conv.t alter column amount drop not null",
        "alter table conv.t alter column amount set not null",
        &["table conv.t: column amount: not null: target false, source true"],
    ),
    (
        "alter table conv.t alter column amount set default 7",
        "alter table conv.t alter column amount set default 1",
        &["table conv.t: column amount: default: target 7, source 1"],
    ),
    (
        "alter table conv.t drop constraint positive; alter table conv.t add constraint positive check (amount > 5)",
        "alter table conv.t drop constraint positive; alter table conv.t add constraint positive check (amount > 0)",
        &[
            "constraint positive on conv.t: definition: target CHECK ((amount > (5)::numeric)), source CHECK ((amount > (0)::numeric))",
        ],
    ),
    (
        "alter table conv.t drop constraint positive",
        "alter table conv.t add constraint positive check (amount > 0)",
        &["constraint positive on conv.t is missing"],
    ),
    (
        "create or replace function conv.f() returns trigger language plpgsql as $$ begin
        new.note := 'other';
        return new;
    end $$",
        "create or replace function conv.f() returns trigger language plpgsql as $$ begin
        new.note := 'touched';
        return new;
    end $$",
        &[
            "function conv.f()",
            "-        new.note := 'touched';",
            "+        new.note := 'other';",
        ],
    ),
    (
        "alter policy own on conv.t using (true)",
        "alter policy own on conv.t using (id > 0)",
        &["policy own on conv.t: using: target true, source (id > 0)"],
    ),
    (
        "alter type conv.mood rename value 'so so' to 'well'",
        "alter type conv.mood rename value 'well' to 'so so'",
        &["type conv.mood: labels", "only in source: so so"],
    ),
    (
        "create or replace view conv.v as select id, 'x' || note as note from conv.t",
        "create or replace view conv.v as select id, note from conv.t",
        &["view conv.v: definition"],
    ),
    (
        "alter sequence conv.s increment 5",
        "alter sequence conv.s increment 2",
        &["sequence conv.s: increment: target 5, source 2"],
    ),
    (
        "create table conv.stranger (id integer primary key)",
        "drop table conv.stranger",
        &["table conv.stranger is not expected"],
    ),
    (
        "grant delete on conv.t to anon",
        "revoke delete on conv.t from anon",
        &["table conv.t: grants: only in target: grantee anon, privilege DELETE"],
    ),
    (
        "grant create on schema public to public; alter table conv.t force row level security",
        "revoke create on schema public from public; alter table conv.t no force row level security",
        &[
            "schema public: grants: only in target: grantee public, privilege CREATE",
            "table conv.t: force row security: target true, source false",
        ],
    ),
];

/// What is missing in objects that are there.
const GAPS: &str = "
    comment on table conv.t is null;
    comment on column conv.t.note is null;
    comment on policy own on conv.t is null;
    drop index conv.t_note;
    alter table conv.t alter column note set statistics -1, alter column note set storage extended;
    alter table conv.t replica identity default;
    alter table conv.t disable row level security;
    revoke all on conv.t from authenticated;
    revoke update (note) on conv.t from authenticated;
    grant execute on function conv.f() to public;
    alter table conv.t enable trigger touch;
    alter sequence conv.s owned by none;
    alter table conv.t drop constraint t_parent_fkey;
    alter table conv.t add constraint t_parent_fkey foreign key (parent) references conv.parent not valid;
    drop index conv.measures_at;
    drop index conv.known_id;
    alter table conv.measures detach partition conv.measures_1;
    alter default privileges in schema conv revoke select on tables from anon;
    drop table public.no_pk;";

#[test]
fn what_differs_is_refused_and_what_is_incomplete_is_completed() {
    let pair = pair();
    pair.source.psql(OBJECTS);
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let straight = catalog(&pair);
    assert_eq!(pair.target.psql("select note from conv.t"), "as it was");
    truncate_all(&pair);

    let refused = |parts: &[&str]| {
        let before = catalog(&pair);
        let end = project.expect(10, &["run", "--yes", "--new-run"]);
        assert!(
            end.stderr.contains("check target-structure failed"),
            "{end}"
        );
        for part in parts {
            assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
        }
        assert_same_catalog(&before, &catalog(&pair));
    };
    let full = std::env::var_os("TOWPATH_TEST_FULL").is_some();
    for (place, (change, undo, said)) in CONFLICTS.iter().enumerate() {
        pair.target.psql(change);
        let diff = project.expect(12, &["diff", "run", "target"]);
        let last = said.last().expect("something is said");
        let last = last.rsplit(": ").next().unwrap_or(last);
        let last = last.strip_suffix(" is not expected").unwrap_or(last);
        let last = last.strip_suffix(" is missing").unwrap_or(last);
        let last = last.rsplit(", source").next().unwrap_or(last);
        assert!(
            diff.stdout.contains(last.trim()),
            "{last:?} is not shown:\n{diff}"
        );
        // Each by itself takes long; a third of them is enough for a day.
        if full || place % 3 == 0 {
            refused(said);
        }
        pair.target.psql(undo);
    }
    assert_same_catalog(&straight, &catalog(&pair));

    pair.target.psql(GAPS);
    let end = project.expect(0, &["run", "--yes", "--new-run"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);
    assert_eq!(pair.target.psql("select note from conv.t"), "as it was");
    assert_same_catalog(&straight, &catalog(&pair));
}
