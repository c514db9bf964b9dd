//! The catalog of a target as text, read by other means than towpath's.

use std::collections::HashSet;
use std::process::Command;

use crate::pg::Pair;
use crate::project::Project;

/// States that `pg_dump` does not tell, or that it repairs in silence.
const STATES: &str = "
    select string_agg(x, E'\\n' order by x collate \"C\") from (
        select format('index %s valid %s clustered %s identity %s', indexrelid::regclass, indisvalid,
                      indisclustered, indisreplident) as x
          from pg_index where indexrelid >= 16384
           and indrelid::regclass::text !~ '^pg_toast'
        union all
        select format('constraint %s on %s validated %s local %s inherited %s', conname,
                      conrelid::regclass, convalidated, conislocal, coninhcount)
          from pg_constraint where oid >= 16384 and conrelid <> 0
        union all
        select format('trigger %s on %s enabled %s', tgname, tgrelid::regclass, tgenabled)
          from pg_trigger where not tgisinternal
        union all
        select format('materialized view %s populated %s', oid::regclass, relispopulated)
          from pg_class where relkind = 'm'
        union all
        select format('role %s login %s inherit %s', rolname, rolcanlogin, rolinherit) from pg_roles
        union all
        select format('member %s of %s admin %s', member::regrole, roleid::regrole, admin_option)
          from pg_auth_members
        union all
        select format('setting %s %s', setrole, array_to_string(setconfig, ', '))
          from pg_db_role_setting where setrole = 0
        union all
        select format('relation %s of %s', oid::regclass, relowner::regrole)
          from pg_class where oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        union all
        select format('function %s of %s', oid::regprocedure, proowner::regrole)
          from pg_proc where oid >= 16384
    ) states";

/// The whole catalog of the target's database: what `pg_dump` writes, statement by statement, and
/// what it does not.
#[must_use]
pub fn catalog(pair: &Pair) -> Vec<String> {
    let database = &pair.target.shape().database;
    let dumped = Command::new(pair.newest().program("pg_dump"))
        .args(["--schema-only", "--dbname"])
        .arg(pair.target.cluster.superuser_url(database))
        .output()
        .expect("run pg_dump");
    let text = String::from_utf8_lossy(&dumped.stdout);
    assert!(
        dumped.status.success(),
        "{}",
        String::from_utf8_lossy(&dumped.stderr)
    );
    // Its order follows OIDs where names tie, and its guard is a random word.
    let mut parts: Vec<String> = text
        .split("\n\n--\n")
        .filter(|part| !part.contains("\\restrict") && !part.contains("\\unrestrict"))
        .map(|part| part.trim().to_owned())
        .collect();
    parts.extend(
        pair.target
            .psql_superuser(STATES)
            .lines()
            .map(str::to_owned),
    );
    parts.sort();
    parts
}

/// Panics with what only one of two catalogs has.
#[track_caller]
pub fn assert_same_catalog(one: &[String], other: &[String]) {
    let only = |these: &[String], those: &[String]| {
        let those: HashSet<&String> = those.iter().collect();
        let lines: Vec<&str> = these
            .iter()
            .filter(|part| !those.contains(part))
            .take(20)
            .map(String::as_str)
            .collect();
        lines.join("\n")
    };
    assert!(
        one == other,
        "the catalogs differ\n--- only in the first\n{}\n--- only in the second\n{}",
        only(one, other),
        only(other, one)
    );
}

/// The statements of a script of the current run, in order.
#[must_use]
pub fn statements(project: &Project, script: &str) -> Vec<String> {
    let path = project.run_folder().join("schema").join(script);
    let text = std::fs::read_to_string(path).expect("read a script");
    let mut rest = text.split_once('\n').expect("a first line").1;
    let mut statements = Vec::new();
    while let Some((line, after)) = rest.split_once('\n') {
        let line = line.strip_prefix("-- statement ").expect("an announcement");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let bytes = usize::try_from(line["bytes"].as_u64().expect("a length")).expect("fits");
        statements.push(after[..bytes].to_owned());
        rest = after[bytes..].strip_prefix(";\n\n").expect("an end");
    }
    statements
}
