//! Roles of the user's that own things, pass row security or are members of others: on the target
//! nobody sees or may more than on the source, and nobody sees less.

use towpath_tests::oracle::{assert_same_rows, seen_by};
use towpath_tests::pg::psql;
use towpath_tests::{Pair, pair, project};

const PEOPLE: &str = r#"
    create role "Book Keeper" login;
    create role auditor login bypassrls;
    create role clerk nologin;
    grant "Book Keeper" to clerk;
    create role outsider nologin;
    create role deputy login;
    grant postgres to deputy;
    create role watcher login;
    grant pg_monitor to watcher with admin option;
    grant pg_read_all_data, pg_execute_server_program, dashboard_user to watcher;
    create role robot nologin;
    grant pg_read_all_data, pg_write_all_data, pg_monitor, pg_read_all_settings, pg_read_all_stats,
        pg_stat_scan_tables, pg_signal_backend, pg_checkpoint to robot;
    create schema books authorization postgres;
    grant usage on schema books to "Book Keeper", auditor, outsider, clerk;
    create schema shelves authorization "Book Keeper";
    grant usage on schema shelves to outsider;
"#;

/// Rows of `postgres`, of which the keeper may see one.
const OWNERS_RIGHTS: &str = r#"
    create table books.entries (id int primary key, is_open bool not null);
    alter table books.entries owner to postgres;
    alter table books.entries enable row level security;
    create policy open_ones on books.entries to "Book Keeper" using (is_open);
    grant select on books.entries to "Book Keeper", auditor;
    insert into books.entries values (1, true), (2, false), (3, false);

    create function books.visible(at_least int) returns setof int
    language sql security definer set search_path = '' as
    $$ select id from books.entries where id >= at_least order by id $$;
    alter function books.visible(int) owner to "Book Keeper";
    revoke execute on function books.visible(int) from public;
    grant execute on function books.visible(int) to outsider;

    create procedure books.note(inout told text) language plpgsql security definer as
    $$ begin told := (select count(*) from books.entries)::text || current_user; end $$;
    alter procedure books.note(text) owner to "Book Keeper";

    create view books.visible_entries as select id from books.entries;
    alter view books.visible_entries owner to "Book Keeper";
    grant select on books.visible_entries to outsider;
    create view shelves.visible_entries as select id from books.entries;
    alter view shelves.visible_entries owner to "Book Keeper";
    grant select on shelves.visible_entries to outsider;

    create view books.all_entries as select id from books.entries;
    alter view books.all_entries owner to auditor;
    grant select on books.all_entries to outsider;
    create view books.callers_entries with (security_invoker = on) as select id from books.entries;
    alter view books.callers_entries owner to "Book Keeper";
    grant select on books.callers_entries to outsider;
"#;

/// Rows of the keeper's own, who passes their row security as owner.
const OWN_ROWS: &str = r#"
    create table books.drafts (id int primary key, reader text not null);
    alter table books.drafts owner to "Book Keeper";
    alter table books.drafts enable row level security;
    create policy own_drafts on books.drafts for select to outsider using (reader = current_user);
    grant select on books.drafts to outsider, auditor;
    insert into books.drafts values (1, 'outsider'), (2, 'somebody');

    create table books.sealed (id int primary key, reader text not null);
    alter table books.sealed owner to "Book Keeper";
    alter table books.sealed enable row level security;
    create policy anybody on books.sealed for select using (true);
    create policy first_ones on books.sealed as restrictive using (id = 1);
    grant select on books.sealed to outsider, auditor;
    insert into books.sealed values (1, 'a'), (2, 'b');

    create view books.draft_list as select id from books.drafts;
    alter view books.draft_list owner to "Book Keeper";
    grant select on books.draft_list to outsider;
    create view books.sealed_list as select id from books.sealed;
    alter view books.sealed_list owner to "Book Keeper";
"#;

fn answers(pair: &Pair, sql: &str) -> (String, String) {
    let target = pair
        .target
        .cluster
        .superuser_url(&pair.target.shape().database);
    let source = pair.source.cluster.superuser_url("postgres");
    (psql(&source, sql), psql(&target, sql))
}

fn prepared() -> Pair {
    let pair = pair();
    for sql in [PEOPLE, OWNERS_RIGHTS, OWN_ROWS] {
        pair.source.psql_superuser(sql);
    }
    pair
}

#[test]
fn whoever_owned_something_gives_the_same_view_of_it() {
    let pair = prepared();
    let project = project!(&pair);
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_rows(&pair);

    let as_outsider = |what: &str| format!("begin; set local role outsider; {what}; rollback");
    for (what, seen) in [
        ("select * from books.visible(0)", "1"),
        ("call books.note('')", "1Book Keeper"),
        ("select * from books.visible_entries", "1"),
        ("select * from shelves.visible_entries", "1"),
        ("select * from books.all_entries order by 1", "1\n2\n3"),
        ("select * from books.draft_list order by 1", "1\n2"),
    ] {
        let (source, target) = answers(&pair, &as_outsider(what));
        assert_eq!(source, seen, "{what} on the source");
        assert_eq!(target, seen, "{what} on the target");
    }

    let (source, target) = (
        pair.source.cluster.superuser_url("postgres"),
        pair.target
            .cluster
            .superuser_url(&pair.target.shape().database),
    );
    for (role, table, rows) in [
        (
            "\"Book Keeper\"",
            "books.drafts",
            "(1,outsider)\n(2,somebody)",
        ),
        ("\"Book Keeper\"", "books.sealed", "(1,a)\n(2,b)"),
        ("clerk", "books.drafts", "(1,outsider)\n(2,somebody)"),
        ("clerk", "books.sealed", "(1,a)\n(2,b)"),
        ("auditor", "books.drafts", "(1,outsider)\n(2,somebody)"),
        ("auditor", "books.sealed", "(1,a)\n(2,b)"),
        ("outsider", "books.drafts", "(1,outsider)"),
        ("outsider", "books.sealed", "(1,a)"),
    ] {
        let rows = format!("f\n{rows}");
        assert_eq!(seen_by(&source, role, "{}", table), rows, "{role} {table}");
        assert_eq!(seen_by(&target, role, "{}", table), rows, "{role} {table}");
    }
    assert_eq!(
        seen_by(&source, "outsider", "{}", "books.callers_entries"),
        seen_by(&target, "outsider", "{}", "books.callers_entries")
    );

    // What cannot be kept as it was is said.
    let report = project.document("schema/report.json");
    let breaks = report["breaks_at_run_time"].as_array().expect("a list");
    assert!(
        breaks
            .iter()
            .any(|found| found["object"]["name"] == "sealed_list"),
        "{breaks:#?}"
    );

    // What was lent for a moment is taken back, what was there before stays.
    let may_create = r#"select has_schema_privilege('Book Keeper', 'books', 'create'),
                               has_schema_privilege('Book Keeper', 'shelves', 'create'),
                               has_schema_privilege('Book Keeper', 'books', 'usage')"#;
    let (source, target) = answers(&pair, may_create);
    assert_eq!((source.as_str(), target.as_str()), ("f|t|t", "f|t|t"));
}

#[test]
fn memberships_arrive_except_those_that_would_make_a_master() {
    let pair = prepared();
    let project = project!(&pair);
    project.expect(0, &["run", "--yes"]);
    let of = |member: &str| {
        pair.target.psql_superuser(&format!(
            "select string_agg(g.rolname || case when a.admin_option then '+' else '' end, ' '
                               order by g.rolname)
               from pg_auth_members a join pg_roles g on g.oid = a.roleid
               join pg_roles m on m.oid = a.member where m.rolname = '{member}'"
        ))
    };
    assert_eq!(of("deputy"), "");
    assert_eq!(of("watcher"), "pg_monitor+ pg_read_all_data");
    assert_eq!(of("clerk"), "Book Keeper");
    assert_eq!(
        of("robot"),
        "pg_checkpoint pg_monitor pg_read_all_data pg_read_all_settings pg_read_all_stats \
         pg_signal_backend pg_stat_scan_tables pg_write_all_data"
    );
    let master = &pair.target.shape().master;
    let is_master = format!(
        "select pg_has_role('deputy', '{master}', 'member') or pg_has_role('deputy', 'rds_superuser', 'member')"
    );
    assert_eq!(pair.target.psql_superuser(&is_master), "f");

    let report = project.document("schema/report.json");
    let reason = |name: &str| {
        let objects = report["objects"].as_array().expect("objects");
        let role = objects
            .iter()
            .find(|o| o["object"]["kind"] == "role" && o["object"]["name"] == name)
            .expect("the role is reported");
        assert_eq!(role["decision"], "rewritten", "{role}");
        role["reason"].as_str().expect("a reason").to_owned()
    };
    assert!(reason("deputy").contains("not a member of postgres any more"));
    assert!(
        reason("watcher").contains("not a member of dashboard_user, pg_execute_server_program")
    );
}

#[test]
fn names_that_mean_something_else_on_the_target_stop_the_run() {
    let pair = pair();
    let project = project!(&pair);
    let master = pair.target.shape().master.clone();
    let policy = "\"towpath lets the owner through\" on public.profiles";
    for (make, unmake, said) in [
        (
            format!("create role \"{master}\" nologin"),
            format!("drop role \"{master}\""),
            format!("role {master} of source has the name of the target's master"),
        ),
        (
            "create schema towpath authorization postgres".to_owned(),
            "drop schema towpath".to_owned(),
            "source has a schema towpath".to_owned(),
        ),
        (
            format!("create policy {policy} using (true)"),
            format!("drop policy {policy}"),
            "source has policies with names that towpath gives".to_owned(),
        ),
    ] {
        pair.source.psql_superuser(&make);
        let end = project.expect(10, &["run", "--yes"]);
        assert!(end.stderr.contains(&said), "{said:?} is not said:\n{end}");
        let loaded = "select to_regnamespace('towpath') is null
                         and to_regclass('public.profiles') is null
                         and not exists (select from pg_roles where rolname = 'anon')";
        assert_eq!(pair.target.psql_superuser(loaded), "t");
        pair.source.psql_superuser(&unmake);
    }
}
