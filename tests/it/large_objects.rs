//! Large objects arrive under their OIDs, whole, once, and with what hangs on them.

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::tcp_proxy::Direction;
use towpath_tests::{
    Fault, Installation, Pair, Project, TargetShape, TcpProxy, pair, pair_on, pg, project,
};

/// Empty objects, holes, pages that end where a page ends, an OID below the user's range and one
/// above 2^31, many small ones, an owner of its own, grants of every sort.
const MORE: &str = r#"
    -- Exactly a page of towpath's, one byte less and one more.
    select lo_from_bytea(710001, convert_to(repeat('x', 262144), 'UTF8')),
           lo_from_bytea(710002, convert_to(repeat('y', 262143), 'UTF8')),
           lo_from_bytea(710003, convert_to(repeat('z', 262145), 'UTF8'));
    -- A hole of many pages before one byte, a hole at the end, and one of nothing but zeroes.
    select lo_create(710004); select lo_put(710004, 3000000, '\x01');
    select lo_from_bytea(710005, '\x02');
    select lo_truncate64(lo_open(710005, 131072), 2000001);
    select lo_from_bytea(710006, decode(repeat('00', 600000), 'hex'));
    -- Zeroes inside of a page, and a page of zeroes between two others.
    select lo_from_bytea(710007, decode(repeat('00ff', 5) || repeat('00', 300000) || 'ff', 'hex'));
    select lo_create(5); select lo_put(5, 0, 'low');
    select lo_from_bytea(4294967295, 'high');
    select count(lo_from_bytea(720000 + i, convert_to('small ' || i, 'UTF8'))) from generate_series(1, 3000) i;
    comment on large object 710001 is E'it''s a \\ "comment"';
    comment on large object 5 is 'low';
    grant select, update on large object 710001 to app_readonly with grant option;
    grant select on large object 710002 to public;
    grant all on large object 710003 to supabase_admin;
"#;

/// Every object with its size and content, as superuser.
const CONTENTS: &str = "select oid, octet_length(lo_get(oid)), md5(lo_get(oid))
    from pg_largeobject_metadata order by oid";

const COMMENTS: &str = "select objoid, description from pg_description
    where classoid = 'pg_largeobject'::regclass order by 1";

fn full_pair() -> Pair {
    let pair = pair();
    pair.source.add_large_objects();
    pair.source.psql(MORE);
    pair
}

fn assert_same_objects(pair: &Pair) {
    let source = pair.source.psql_superuser(CONTENTS);
    assert!(source.lines().count() > 3000, "{source}");
    assert_eq!(source, pair.target.psql_superuser(CONTENTS));
    assert_eq!(
        pair.source.psql_superuser(COMMENTS),
        pair.target.psql_superuser(COMMENTS)
    );
}

fn objects_of(pair: &Pair, role: &str) -> String {
    pair.target.psql(&format!(
        "set role {role}; select string_agg(m.oid || '/' || a.privilege_type || case when a.is_grantable then '*' else '' end,
                ',' order by m.oid, a.privilege_type)
           from pg_largeobject_metadata m, aclexplode(m.lomacl) a
          where a.grantee = case '{role}' when 'public' then 0 else '{role}'::regrole::oid end"
    ))
}

fn pieces(project: &Project) -> u64 {
    let manifest = project.document("manifest.json");
    let tables = manifest["tables"].as_array().expect("tables").clone();
    let objects = tables
        .iter()
        .find(|table| table["table"] == "pg_catalog.pg_largeobject")
        .expect("large objects are in the manifest");
    objects["digest"]["rows"].as_u64().expect("a count")
}

#[test]
fn they_arrive_whole_and_their_difference_is_located() {
    let pair = full_pair();
    // A role of the user's that owns an object of its own, and may do with it what it wants.
    pair.source.psql_superuser(
        "select lo_from_bytea(710010, 'owned by another'); alter large object 710010 owner to app_readonly",
    );
    pair.source.psql("grant app_readonly to postgres");
    let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
    let plan = project.expect(0, &["plan"]);
    assert!(
        plan.stdout
            .contains("large objects can be read and go along"),
        "{plan}"
    );
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_objects(&pair);
    assert_same_rows(&pair);
    let planned = project.document("plan.json");
    let chunks = planned["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .find(|table| table["name"]["name"] == "pg_largeobject")
        .and_then(|table| table["chunks"].as_array())
        .expect("planned")
        .len();
    assert!(chunks > 1, "one chunk proves little");
    // Holes travel as nothing: an object of 3 MB with one byte at its end is one row.
    let small = 3000 + 20;
    assert!(
        (small..small + 20).contains(&pieces(&project)),
        "{}",
        pieces(&project)
    );
    // References by OID still work, and everybody has the rights that the source gave.
    assert_eq!(
        pair.target
            .psql("select octet_length(lo_get(content)) from public.blobs where id = 4"),
        "20480"
    );
    let owners = "select distinct pg_get_userbyid(lomowner) from pg_largeobject_metadata";
    assert_eq!(pair.target.psql(owners), "towpath_master");
    assert_eq!(
        objects_of(&pair, "app_readonly").lines().last(),
        Some("710001/SELECT*,710001/UPDATE*,710010/SELECT,710010/UPDATE")
    );
    let granted = "select string_agg(oid::text, ',' order by oid) from pg_largeobject_metadata
        where lomacl::text like '%authenticated=r/%' or lomacl::text like '%{=r/%' or lomacl::text like '%,=r/%'";
    assert_eq!(pair.target.psql(granted), "700001,710002");

    // What is changed on the target is found by OID and place.
    let damage = [
        ("select lo_put(700002, 300000, '\\xff')", "700002"),
        ("select lo_unlink(710006)", "710006"),
        (
            "select lo_truncate64(lo_open(710005, 131072), 2000000)",
            "710005",
        ),
        ("select lo_create(777777)", "777777"),
    ];
    for (sql, oid) in damage {
        pair.target.psql(sql);
        let end = project.expect(12, &["verify", "--rows"]);
        assert!(end.stdout.contains("pg_catalog.pg_largeobject"), "{end}");
        assert!(
            end.stdout.contains(&format!("loid={oid}")) || end.stdout.contains(oid),
            "{oid}:\n{end}"
        );
    }
    pair.target.psql("comment on large object 710001 is 'another'; revoke select on large object 700001 from authenticated");
    let end = project.expect(12, &["verify", "--schema"]);
    for object in ["large object 710001", "large object 700001"] {
        assert!(end.stdout.contains(object), "{object}:\n{end}");
    }
}

#[test]
fn taken_oids_unreadable_objects_and_late_ones_are_refused() {
    let pair = pair();
    // One that comes between plan and run.
    let project = project!(&pair);
    project.expect(0, &["plan", "-o", "plan.json"]);
    pair.source.add_large_objects();
    let end = project.expect(10, &["run", "plan.json"]);
    assert!(end.stderr.contains("no longer holds"), "{end}");
    // An OID that is taken on the target.
    pair.target
        .psql("select lo_from_bytea(700002, 'the target''s own')");
    let end = project.expect(10, &["run", "--yes", "--new-run"]);
    for part in ["target-large-objects", "700002", "--replace app"] {
        assert!(end.stderr.contains(part), "{part:?}:\n{end}");
    }
    assert_eq!(
        pair.target.psql(
            "select convert_from(lo_get(700002), 'UTF8'), to_regnamespace('towpath') is null"
        ),
        "the target's own|t"
    );
    // One that the login may not read.
    pair.source.psql_superuser(
        "select lo_from_bytea(700009, 'hidden'); revoke all on large object 700009 from public",
    );
    let end = project.expect(10, &["run", "--yes", "--new-run", "--replace", "app"]);
    for part in ["source-large-objects", "700009", "may not read"] {
        assert!(end.stderr.contains(part), "{part:?}:\n{end}");
    }
    assert_eq!(
        pair.target
            .psql("select count(*) from pg_largeobject_metadata"),
        "1"
    );
    // Refused or left behind on the operator's word.
    pair.source.psql_superuser("select lo_unlink(700009)");
    let refusing = project!(&pair).with("TOWPATH_LARGE_OBJECTS", "refuse");
    let end = refusing.expect(10, &["run", "--yes", "--replace", "app"]);
    assert!(end.stderr.contains("source-large-objects"), "{end}");
    // Cleared by name, everything arrives; and once more over the towpath's own.
    project.expect(0, &["run", "--yes", "--new-run", "--replace", "app"]);
    assert_eq!(
        pair.source.psql_superuser(CONTENTS),
        pair.target.psql_superuser(CONTENTS)
    );
    // The ledger of a run of which no object is left binds nobody either.
    crate::idempotent::truncate_all(&pair);
    pair.target
        .psql("select count(lo_unlink(oid)) from pg_largeobject_metadata");
    project.expect(0, &["run", "--yes", "--new-run"]);
    let leaving = project!(&pair).with("TOWPATH_LARGE_OBJECTS", "leave");
    let end = leaving.expect(0, &["run", "--yes", "--replace", "app"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert!(
        end.stderr.contains("4 large objects stay on the source"),
        "{end}"
    );
    assert_eq!(
        pair.target
            .psql("select count(*) from pg_largeobject_metadata"),
        "0"
    );
}

#[test]
fn kill_9_while_they_are_loaded_and_a_source_that_moves_on() {
    let pair = full_pair();
    pair.source.psql(
        "select count(lo_from_bytea(730000 + i, (
                    select string_agg(decode(md5(i || '/' || n), 'hex'), '') from generate_series(1, 4096) n)))
           from generate_series(1, 100) i",
    );
    // Slow enough for the kills to fall into the export.
    let port = pair.source.cluster.port();
    let proxy = TcpProxy::start(port);
    proxy.set(Fault::Throttle(Direction::ToClient, 1 << 20));
    let source = proxy.through(&pair.source.url(), port);
    let project = project!(&pair)
        .with("TOWPATH_CHUNK_MIB", "1")
        .with("TOWPATH_SOURCE_URL", &source);
    let url = pair.target.cluster.superuser_url("app");
    let loaded = || {
        let sql = "select count(*) from towpath.chunk where table_id = 'pg_catalog.pg_largeobject'";
        pg::try_psql(&url, sql)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    for wanted in [1, 3] {
        let end = project
            .towpath(&["run", "--yes"])
            .spawn()
            .kill_9_when(|| loaded() >= wanted);
        assert!(end.killed, "{end}");
        assert!(
            !project.run_folder().join("manifest.json").exists(),
            "already sealed: what the source does now is not of this export"
        );
    }
    proxy.set(Fault::Pass);
    // An undoing that was cut off: the chunk is no longer in the ledger, its objects still are.
    pair.target.psql(
        "delete from towpath.chunk where (table_id, no) in (
             select table_id, min(no) from towpath.chunk
              where table_id = 'pg_catalog.pg_largeobject' group by 1)",
    );
    // Objects change, vanish and appear: what was exported and loaded of them must not survive.
    pair.source.psql(
        "select lo_put(720001, 0, 'SMALL'), lo_unlink(720002), lo_from_bytea(720002, 'again'), lo_unlink(720003),
                lo_from_bytea(720500000, 'new'), lo_put(730001, 50000, 'changed')",
    );
    let end = project.expect(0, &["run", "--yes"]);
    assert!(end.stdout.contains("no difference"), "{end}");
    assert_same_objects(&pair);
    assert_same_rows(&pair);
    let counted = "select (select count(*) from towpath.large_object) = (select count(*) from pg_largeobject_metadata)";
    assert_eq!(pair.target.psql(counted), "t");
}

/// Servers since 16 refuse to write in a transaction that reads only, and know another form of the
/// staging table.
#[test]
fn they_arrive_on_every_version() {
    if std::env::var_os("TOWPATH_TEST_FULL").is_none() {
        // What the long form rests on.
        for major in [15, 16, 17, 18] {
            assert_eq!(Installation::of(major).major(), major);
        }
        return;
    }
    for (source, target) in [(15, 18), (16, 16), (17, 18)] {
        let shape = TargetShape {
            major: target,
            capable: false,
            ..TargetShape::default()
        };
        let pair = pair_on(source, &shape);
        pair.source.add_large_objects();
        pair.source.psql(MORE);
        let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
        let end = project.expect(0, &["run", "--yes"]);
        assert!(end.stdout.contains("no difference"), "{end}");
        assert_same_objects(&pair);
    }
}
