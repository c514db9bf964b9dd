//! The rule that lets a type travel in binary, held against the servers: every built-in type that
//! a column can have and that has both functions, and every pair of versions worth knowing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use towpath_tests::pg::psql;
use towpath_tests::{Pair, TargetShape, pair_on, project};

use crate::values_every::{literal, types};

/// What has both functions and no value that a test could write: the server's own.
const CATALOG_ONLY: [&str; 5] = [
    "gtsvector",
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
];

/// What servers send of these when they are empty, they refuse themselves.
const NOT_READ_BACK: [&str; 3] = ["int2vector", "oidvector", "tsquery"];

/// Built-in types that a column can have, with a send and a receive function: name by OID.
const EVERY_TYPE: &str = "select t.oid, pg_catalog.format('pg_catalog.%I', t.typname), t.typname
    from pg_catalog.pg_type t
    where t.typnamespace = 'pg_catalog'::regnamespace and t.oid < 10000
      and t.typsend <> 0 and t.typreceive <> 0 and t.typtype in ('b', 'e', 'r', 'm')
      and not exists (select from pg_catalog.pg_type e
                       where e.oid = t.typelem and e.typarray = t.oid and (e.typtype in ('c', 'p') or e.typsend = 0))
    order by t.oid";

struct BuiltIn {
    oid: u32,
    sql: String,
    name: String,
}

impl BuiltIn {
    fn is_catalog_only(&self) -> bool {
        let element = self.name.strip_prefix('_').unwrap_or(&self.name);
        CATALOG_ONLY.contains(&element) || element.starts_with("pg_brin_")
    }
}

fn every_type(url: &str) -> Vec<BuiltIn> {
    let rows = psql(url, EVERY_TYPE);
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let [oid, sql, name] = fields[..] else {
            panic!("{line}");
        };
        BuiltIn {
            oid: oid.parse().expect("an OID"),
            sql: sql.to_owned(),
            name: name.to_owned(),
        }
    };
    rows.lines().map(row).collect()
}

/// Values of `types.json` by `typname`, as expressions: of arrays, arrays of them.
fn values(url: &str) -> BTreeMap<String, Vec<String>> {
    // Types of extensions and of the user's are not built in.
    let mut known = types();
    known.retain(|of| !of.name.contains('.'));
    let list: Vec<String> = known.iter().map(|of| literal(&of.name)).collect();
    let names = psql(
        url,
        &format!(
            "select e.typname, a.typname
               from unnest(array[{}]::regtype[]) with ordinality o (oid, at)
               join pg_type e on e.oid = o.oid join pg_type a on a.oid = e.typarray order by o.at",
            list.join(", ")
        ),
    );
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (of, names) in known.iter().zip(names.lines()) {
        let (element, array) = names.split_once('|').expect("two names");
        // Objects of the neighbours of types.json are not here.
        let values = of.values.iter().filter(|it| !it.contains("values_too"));
        for value in values.map(|it| format!("{}::{}", literal(it), of.name)) {
            found
                .entry(array.to_owned())
                .or_default()
                .push(format!("array[[{value}], [{value}]]::{}[]", of.name));
            found.entry(element.to_owned()).or_default().push(value);
        }
    }
    found
}

fn table(oid: u32) -> String {
    format!("rule.t_{oid}")
}

/// A table a type, with every value.
fn fill(source: &str, built_in: &[BuiltIn]) {
    let values = values(source);
    let mut sql = "begin; create schema rule;\n".to_owned();
    let mut missing = Vec::new();
    for of in built_in {
        let name = table(of.oid);
        let rows = values.get(&of.name).map_or(&[][..], Vec::as_slice);
        let known = of.is_catalog_only();
        if known != rows.is_empty() {
            missing.push(&of.name);
        }
        writeln!(sql, "create table {name} (n integer, v {});", of.sql).expect("write to a string");
        if known {
            continue;
        }
        writeln!(sql, "insert into {name} values (-1, null);").expect("write to a string");
        for (n, value) in rows.iter().enumerate() {
            writeln!(sql, "insert into {name} values ({n}, {value});").expect("write to a string");
        }
    }
    assert!(missing.is_empty(), "types.json has no value of {missing:?}");
    sql.push_str("commit;");
    psql(source, &sql);
}

const PINNED: &str = "set extra_float_digits = 3; set timezone = 'UTC'; set datestyle = 'ISO, YMD';
    set intervalstyle = 'postgres'; set bytea_output = 'hex'; set lc_monetary = 'C';";

/// Copies every table between files and a server.
fn copy(url: &str, built_in: &[BuiltIn], way: &str, from: &Path, form: &str, schema: &str) {
    let mut script = format!("{PINNED}\n\\set ON_ERROR_STOP 0\n");
    for of in built_in {
        let file = from.join(format!("{}.{form}", of.oid));
        let table = format!("{schema}.t_{}", of.oid);
        let what = match way {
            "to" => format!("(select n, v from {table} order by n)"),
            _ => table,
        };
        writeln!(
            script,
            "\\copy {what} {way} '{}' with (format {form})",
            file.display()
        )
        .expect("write to a string");
    }
    psql(url, &script);
}

/// Types whose bytes differ, or whose value does after a trip in binary.
fn differing(source: &str, target: &str, built_in: &[BuiltIn]) -> BTreeSet<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(&path).expect("make a directory");
        path
    };
    let (here, by_text, by_binary) = (at("source"), at("text"), at("binary"));
    copy(source, built_in, "to", &here, "binary", "rule");
    copy(source, built_in, "to", &here, "text", "rule");
    let tables = |schema: &str| {
        let mut sql = format!("begin; create schema {schema};\n");
        for of in built_in {
            writeln!(
                sql,
                "create table {schema}.t_{} (n integer, v {});",
                of.oid, of.sql
            )
            .expect("write to a string");
        }
        psql(target, &format!("{sql}commit;"));
    };
    tables("by_text");
    tables("by_binary");
    copy(target, built_in, "from", &here, "text", "by_text");
    copy(target, built_in, "to", &by_text, "binary", "by_text");
    let differs = |form: &str, other: &Path, of: &BuiltIn| {
        let read = |path: &Path| {
            let file = path.join(format!("{}.{form}", of.oid));
            std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
        };
        read(&here) != read(other)
    };
    // What a receive function refuses is not there afterwards.
    copy(target, built_in, "from", &here, "binary", "by_binary");
    copy(target, built_in, "to", &by_binary, "text", "by_binary");
    built_in
        .iter()
        .filter(|of| differs("binary", &by_text, of) || differs("text", &by_binary, of))
        .map(|of| of.name.clone())
        .collect()
}

/// A pair whose target knows the roles that values name.
fn pair_of(source: u32, target: u32) -> Pair {
    let shape = TargetShape {
        major: target,
        ..TargetShape::default()
    };
    let pair = pair_on(source, &shape);
    for role in ["anon", "service_role"] {
        pair.target.psql_superuser(&format!("create role {role}"));
    }
    pair
}

/// Every type that has values, in a table each on the source.
fn filled(pair: &Pair) -> Vec<BuiltIn> {
    let (source, target) = (pair.source.url(), pair.target.url());
    let (mut here, there) = (every_type(&source), every_type(&target));
    let known: BTreeSet<u32> = there.iter().map(|of| of.oid).collect();
    here.retain(|of| known.contains(&of.oid) || panic!("{} is gone on the target", of.name));
    fill(&source, &here);
    here
}

/// Types that two servers do not write alike, or do not read as the other wrote them.
fn unlike(pair: &Pair, mut built_in: Vec<BuiltIn>) -> BTreeSet<String> {
    built_in.retain(|of| !of.is_catalog_only());
    let target = pair
        .target
        .cluster
        .superuser_url(&pair.target.shape().database);
    differing(&pair.source.url(), &target, &built_in)
}

#[test]
fn the_rule_lets_no_type_travel_in_binary_that_differs() {
    let pair = pair_of(15, 15);
    let built_in = filled(&pair);
    let project = project!(&pair);
    project.expect(0, &["plan", "-o", "plan.json"]);
    let plan = std::fs::read_to_string(project.path().join("plan.json")).expect("a plan");
    let plan: Value = serde_json::from_str(&plan).expect("a plan is JSON");
    let tables = plan["tables"].as_array().expect("tables");
    let binary: BTreeSet<&str> = tables
        .iter()
        .filter(|table| table["name"]["schema"] == "rule" && table["format"] == "binary")
        .filter_map(|table| table["name"]["name"].as_str())
        .collect();
    let travels_in_binary = |of: &BuiltIn| binary.contains(&*format!("t_{}", of.oid));
    let names = |safe: bool| -> BTreeSet<String> {
        let these = built_in.iter().filter(|of| travels_in_binary(of) == safe);
        these.map(|of| of.name.clone()).collect()
    };
    let (safe, other) = (names(true), names(false));
    let server_only: BTreeSet<String> = built_in
        .iter()
        .filter(|of| of.is_catalog_only())
        .map(|of| of.name.clone())
        .collect();
    assert!(safe.len() > 100, "{safe:?}");
    assert!(safe.is_disjoint(&server_only), "{safe:?}");

    let unlike = unlike(&pair, built_in);
    assert!(
        safe.is_disjoint(&unlike),
        "{:?}",
        safe.intersection(&unlike)
    );
    assert_eq!(without_objects(&unlike), names_of(&NOT_READ_BACK));
    // A number that names another role on the other server.
    assert!(unlike.contains("regrole"), "{unlike:?}");
    // And CSV is not taken without a reason: a document of XML loses its encoding on the way.
    let reasons = &names_of(&NOT_READ_BACK) | &names_of(&["xml"]);
    assert_eq!(&without_objects(&other) - &server_only, reasons);
}

/// The same without what names an object: whether its number is the same elsewhere is luck.
fn without_objects(names: &BTreeSet<String>) -> BTreeSet<String> {
    let names_object = |name: &&String| name.trim_start_matches('_').starts_with("reg");
    names
        .iter()
        .filter(|it| !names_object(it))
        .cloned()
        .collect()
}

/// These types and their arrays.
fn names_of(list: &[&str]) -> BTreeSet<String> {
    let both = |name: &&str| [(*name).to_owned(), format!("_{name}")];
    list.iter().flat_map(both).collect()
}

fn assert_alike(source: u32, target: u32) {
    let pair = pair_of(source, target);
    let unlike = unlike(&pair, filled(&pair));
    let unlike = without_objects(&unlike);
    assert_eq!(
        unlike,
        names_of(&NOT_READ_BACK),
        "from {source} to {target}"
    );
}

#[test]
fn servers_of_15_and_17_write_the_same_bytes() {
    assert_alike(15, 17);
}

#[test]
fn servers_of_17_and_18_write_the_same_bytes() {
    assert_alike(17, 18);
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        for (source, target) in [(15, 16), (15, 18), (16, 16), (16, 17), (16, 18), (17, 17)] {
            assert_alike(source, target);
        }
    }
}
