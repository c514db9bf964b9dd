//! Sample projects arrive whole: structure, rows, and who sees which of them.

use std::collections::BTreeSet;

use towpath_tests::oracle::access_pairs;
use towpath_tests::pg::psql;
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{pair, project};

/// With and without the master's right to switch triggers off for its session.
const SAMPLES: [(&str, bool); 5] = [
    ("shop", true),
    ("saas", false),
    ("events", true),
    ("geo", false),
    ("queue", true),
];

#[test]
fn sample_projects_arrive_whole() {
    let pair = pair();
    for (name, capable) in SAMPLES {
        let right = if capable {
            "grant set on parameter session_replication_role to rds_superuser"
        } else {
            "revoke set on parameter session_replication_role from rds_superuser"
        };
        pair.target.psql_superuser(right);
        let site = Site::fresh(&pair, name);
        psql(
            &site.source_superuser,
            &fixture(&format!("samples/{name}.sql")),
        );
        let project = site.project(project!(&pair));
        let end = project.expect(0, &["run", "--yes"]);
        assert!(end.stdout.contains("no difference"), "{name}: {end}");
        let end = project.expect(0, &["verify"]);
        assert!(end.stdout.contains("no difference"), "{name}: {end}");
        let unexplained = site.unexplained(&project);
        assert!(unexplained.is_empty(), "{name}: {unexplained:#?}");
        site.assert_same_rows();
        assert_seen_alike(name, &site);
    }
}

/// Everybody sees on the target what they saw on the source, and not all see the same.
fn assert_seen_alike(name: &str, site: &Site) {
    let tables = &readable(&site.target_superuser);
    let mut views = BTreeSet::new();
    for (person, role, claims) in access_pairs() {
        let source = seen_by_all(&site.source_superuser, &role, &claims, tables);
        let target = seen_by_all(&site.target_superuser, &role, &claims, tables);
        assert_eq!(source, target, "{name}: {person} sees something else");
        views.insert(source);
    }
    assert!(views.len() > 1, "{name}: everybody sees the same");
}

/// Tables, roots of partitions and views of the user's, as SQL.
fn readable(url: &str) -> Vec<String> {
    let sql = "select to_json(c.oid::regclass::text) from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm') and c.oid >= 16384
          and c.relnamespace <> 'towpath'::regnamespace
          and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
                             and d.objid = c.oid and d.deptype = 'e')
        order by 1::text";
    let names = psql(url, &format!("set search_path = '';\n{sql}"));
    let name = |line| serde_json::from_str(line).expect("a name is JSON");
    names.lines().map(name).collect()
}

/// What somebody sees of all tables: the rows of each as text and in order, or the error's code.
fn seen_by_all(url: &str, role: &str, claims: &str, tables: &[String]) -> String {
    let claims = claims.replace('\'', "''");
    let asked = tables.iter().map(|table| {
        format!(
            "begin; set local search_path = public, extensions;
             set local \"request.jwt.claims\" = '{claims}'; set local role {role};
             select string_agg(x, E'\\n' order by x collate \"C\") from (select t::text as x from {table} t) rows;
             \\echo :SQLSTATE
             rollback;\n"
        )
    });
    let sql: String = asked.collect();
    psql(url, &format!("\\set ON_ERROR_STOP off\n{sql}"))
}
