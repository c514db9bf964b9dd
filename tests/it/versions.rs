//! Every major version of a source, to the same one and to newer ones.

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{Installation, Pair, Project, TargetShape, pair_on, project};

fn pair_of(source: u32, target: u32, capable: bool) -> Pair {
    let shape = TargetShape {
        major: target,
        capable,
        ..TargetShape::default()
    };
    let pair = pair_on(source, &shape);
    let major = "select current_setting('server_version_num')::integer / 10000";
    assert_eq!(pair.source.psql(major), source.to_string());
    assert_eq!(pair.target.psql(major), target.to_string());
    pair
}

/// What versions write differently when they are asked for a definition.
const SPELLINGS: &str = include_str!("../fixtures/versions/spellings.sql");

/// The whole fixture, and the program's own proof beside the oracle's.
fn assert_arrives(pair: &Pair) -> Project {
    let project = project!(pair);
    project.expect(0, &["run", "--yes"]);
    assert_same_rows(pair);
    // Between two versions everything is text; the binary form is proven by the rows that it had.
    let plan = project.document("plan.json");
    let tables = plan["tables"].as_array().expect("a plan has tables");
    let is_binary = tables.iter().any(|table| table["format"] == "binary");
    let (source, target) = (pair.source.cluster.major(), pair.target.cluster.major());
    assert_eq!(is_binary, source == target, "from {source} to {target}");
    let proof = project.expect(0, &["verify", "--rows"]);
    assert!(proof.stdout.contains("no difference"), "{proof}");
    project
}

#[test]
fn an_older_target_is_refused_with_what_would_be_lost() {
    let pair = pair_of(17, 15, true);
    pair.source.psql(
        "grant maintain on public.teams to app_readonly;
         create view public.parsed as
             select json_value(settings, '$.plan' returning text) as plan from public.teams",
    );
    let refused = project!(&pair).expect(10, &["plan"]);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    for word in [
        "target is PostgreSQL 15, the source is 17",
        "the privilege MAINTAIN",
        "query functions of JSON (view public.parsed)",
        "identity columns that partitions inherit (table public.events)",
    ] {
        assert!(said.contains(word), "{word}: {refused}");
    }
    let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(pair.target.psql(tables), "0");

    // The machine's own client is older than the source: nothing is guessed from what it would say.
    let older = Installation::of(15).program("pg_dump");
    let project = project!(&pair).with("TOWPATH_PG_DUMP", &older.to_string_lossy());
    let refused = project.expect(1, &["plan"]);
    assert!(
        refused
            .stderr
            .contains("is of version 15, the source of 17"),
        "{refused}"
    );
}

/// Every pair that is supported, and each in its own way: with and without the right to switch
/// triggers off, with the newer client and with the source's.
#[test]
fn every_pair_of_versions() {
    if std::env::var_os("TOWPATH_TEST_FULL").is_none() {
        // What the long form rests on.
        for major in [15, 16, 17, 18] {
            assert_eq!(Installation::of(major).major(), major);
        }
        return;
    }
    for (at, (source, target)) in (15..=17)
        .flat_map(|source| (source..=18).map(move |target| (source, target)))
        .enumerate()
    {
        let pair = pair_of(source, target, at % 2 == 0);
        pair.source.psql(SPELLINGS);
        assert_arrives(&pair);
    }
}

#[test]
fn the_fixture_arrives_from_17_on_17() {
    assert_arrives(&pair_of(17, 17, true));
}

#[test]
fn the_fixture_arrives_from_15_on_18_where_the_master_may_less() {
    let pair = pair_of(15, 18, false);
    pair.source.psql(SPELLINGS);
    let project = assert_arrives(&pair);

    // A function that an index calls found its like by the path of the session, which 17 and later
    // do not use when they build. Its text is the user's.
    let function = "from pg_proc where oid = 'public.fingerprint(text)'::regprocedure";
    let body = format!("select prosrc {function}");
    assert_eq!(pair.source.psql(&body), pair.target.psql(&body));
    let path = pair.target.psql(&format!("select proconfig {function}"));
    assert!(
        path.contains("search_path=") && path.contains("extensions"),
        "{path}"
    );

    // `grant all` of a server that knows no MAINTAIN gives none.
    let may_maintain = "select count(*) from pg_class c, aclexplode(c.relacl) a
        where a.privilege_type = 'MAINTAIN' and a.grantee = 'anon'::regrole";
    assert_eq!(pair.target.psql(may_maintain), "0");

    // A column whose name became a function is a column still.
    let names = "select count(*) from pg_views where definition like '%SYSTEM_USER%'";
    assert_eq!(pair.target.psql(names), "0");

    // What two versions spell alike hides no difference between them.
    pair.target.psql_superuser(
        "create or replace view spelling.shadowed as select id as at, at as id from spelling.words order by words.at",
    );
    let end = project.expect(12, &["verify"]);
    let differs = "view spelling.shadowed: differs in definition";
    assert!(end.stdout.contains(differs), "{end}");
}
