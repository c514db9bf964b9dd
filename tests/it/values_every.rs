//! Every value of every type and every shape of table arrives, in either format, to the last bit.

use std::fmt::Write as _;

use serde_json::Value;
use towpath_tests::pg::psql;
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{Pair, Project, exact, pair, project};

/// A type and values of it, as its input function takes them.
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    /// May travel in binary.
    pub(crate) binary: bool,
    /// An array of it may.
    pub(crate) binary_array: bool,
}

impl Type {
    fn arrays_apart(&self) -> bool {
        self.binary != self.binary_array
    }

    fn arrays(&self, at: usize) -> String {
        let kind = if self.arrays_apart() {
            "array"
        } else {
            "plain"
        };
        format!("\"values\".{kind}_{at}")
    }
}

pub(crate) fn types() -> Vec<Type> {
    let text = fixture("values/types.json");
    let list: Vec<Value> = serde_json::from_str(&text).expect("types.json is JSON");
    list.iter()
        .map(|row| {
            let name = row["type"].as_str().expect("a name").to_owned();
            let values = row["values"].as_array().expect("values");
            let values = values.iter().map(|v| v.as_str().expect("a text").into());
            let is_of_user = name.starts_with("values_too.");
            let csv = row["csv"].as_bool().unwrap_or_default();
            Type {
                values: values.collect(),
                binary: !csv,
                binary_array: !csv && !is_of_user,
                name,
            }
        })
        .collect()
}

pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Types whose composites share a table: everything made by the user travels as CSV.
const TYPES_AT_ONCE: usize = 12;

/// A table a type, with the value, its domain and its arrays; of what the user made of it, a table
/// for several.
fn tables() -> String {
    let mut sql = String::new();
    let types = types();
    for (at, of) in types.iter().enumerate() {
        let name = &of.name;
        let (dom, comp) = (
            format!("\"values\".dom_{at}"),
            format!("\"values\".comp_{at}"),
        );
        write!(
            sql,
            "create domain {dom} as {name};
             create type {comp} as (v {name}, t text, a {name}[], d {dom});
             create table \"values\".plain_{at} (id integer, v {name}, d {dom});
             insert into \"values\".plain_{at} values (-1, null, null);\n"
        )
        .expect("write to a string");
        if of.arrays_apart() {
            writeln!(
                sql,
                "create table \"values\".array_{at} (id integer, a {name}[], b {name}[]);"
            )
        } else {
            writeln!(
                sql,
                "alter table \"values\".plain_{at} add a {name}[], add b {name}[];"
            )
        }
        .expect("write to a string");
        writeln!(
            sql,
            "insert into {} (id, a, b) values (-2, null, '{{}}'), (-3, '{{NULL}}', array_fill(null::{name}, array[3], array[-2]));",
            of.arrays(at)
        )
        .expect("write to a string");
    }
    for (lot, members) in types.chunks(TYPES_AT_ONCE).enumerate() {
        let columns: Vec<String> = (0..members.len())
            .map(|n| n + lot * TYPES_AT_ONCE)
            .map(|at| format!("c_{at} \"values\".comp_{at}, e_{at} \"values\".comp_{at}[], f_{at} \"values\".dom_{at}[]"))
            .collect();
        writeln!(
            sql,
            "create table \"values\".made_{lot} ({});",
            columns.join(", ")
        )
        .expect("write to a string");
    }
    for (at, of) in types.iter().enumerate() {
        insert(&mut sql, at, of);
    }
    sql
}

fn insert(sql: &mut String, at: usize, of: &Type) {
    let name = &of.name;
    let (plain, arrays) = (format!("\"values\".plain_{at}"), of.arrays(at));
    let (dom, comp) = (
        format!("\"values\".dom_{at}"),
        format!("\"values\".comp_{at}"),
    );
    let made = format!(
        "insert into \"values\".made_{} (c_{at}, e_{at}, f_{at}) values",
        at / TYPES_AT_ONCE
    );
    writeln!(
        sql,
        "{made} (null, '{{}}', '{{}}'), (row(null, null, null, null), '{{NULL}}', null);"
    )
    .expect("write to a string");
    for (n, value) in of.values.iter().enumerate() {
        let v = format!("{}::{name}", literal(value));
        write!(
            sql,
            "insert into {plain} (id, v, d) values ({n}, {v}, {v});
             insert into {arrays} (id, a, b) values ({n} + 1000,
                 array[null, {v}, {v}], array[[[{v}], [null::{name}]], [[null::{name}], [{v}]]]);
             update {arrays} set a[-3] = {v} where id = {n} + 1000;
             {made} (row({v}, '', array[{v}, null], {v})::{comp},
                 array[row({v}, E'\\\\\"(,', array[[{v}]], null)::{comp}, null, row({v}, null, null, {v})::{comp}],
                 array[{v}::{dom}, null]);\n"
        )
        .expect("write to a string");
    }
}

fn format_of(plan: &Value, schema: &str, name: &str) -> String {
    let tables = plan["tables"].as_array().expect("tables");
    let table = tables
        .iter()
        .find(|table| table["name"]["schema"] == schema && table["name"]["name"] == name)
        .unwrap_or_else(|| panic!("{schema}.{name} is not planned"));
    table["format"].as_str().expect("a format").to_owned()
}

fn filled(pair: &Pair, name: &str) -> Site {
    let site = Site::fresh(pair, name);
    let script = format!(
        "begin; set local client_min_messages = warning;\n{}\n{}\n{}\ncommit;",
        fixture("values/types.sql"),
        tables(),
        fixture("values/shapes.sql"),
    );
    psql(&site.source, &script);
    site
}

fn assert_arrives(site: &Site, project: &Project) -> Value {
    project.expect(0, &["run", "--yes"]);
    let schemas = ["values", "shapes", "values_too"];
    let count = exact::assert_same(&site.source_superuser, &site.target_superuser, &schemas);
    assert!(count > 140, "{count}");
    let proof = project.expect(0, &["verify", "--rows"]);
    assert!(proof.stdout.contains("no difference"), "{proof}");
    project.document("plan.json")
}

#[test]
fn every_value_and_shape_arrives_in_binary_where_it_may() {
    let pair = pair();
    let site = filled(&pair, "values_auto");
    let project = site.project(project!(&pair)).with("TOWPATH_CHUNK_MIB", "1");
    let plan = assert_arrives(&site, &project);
    let word = |binary: bool| if binary { "binary" } else { "csv" };
    for (at, of) in types().iter().enumerate() {
        let found = |kind: &str| format_of(&plan, "values", &format!("{kind}_{at}"));
        assert_eq!(found("plain"), word(of.binary), "{}", of.name);
        if of.arrays_apart() {
            assert_eq!(found("array"), word(of.binary_array), "{}[]", of.name);
        }
    }
    assert_eq!(format_of(&plan, "shapes", "wide_binary"), "binary");
    assert_eq!(format_of(&plan, "shapes", "wide"), "csv");
    assert_finds_a_changed_bit(&site, &project);
}

/// The oracle and the program see what a text would hide.
fn assert_finds_a_changed_bit(site: &Site, project: &Project) {
    let at = types().iter().position(|of| of.name == "double precision");
    let table = format!("\"values\".plain_{}", at.expect("float8 is a type"));
    let schemas = ["values"];
    let held = exact::tables(&site.target_superuser, &schemas);
    let change = format!("update {table} set v = 0 where id = 1");
    psql(&site.target_superuser, &change);
    let now = exact::tables(&site.target_superuser, &schemas);
    let changed: Vec<_> = held
        .iter()
        .filter(|(name, held)| now[*name] != **held)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let end = project.expect(12, &["verify", "--rows"]);
    assert!(end.stdout.contains(&table.replace('"', "")), "{end}");
}

#[test]
fn every_value_and_shape_arrives_as_csv() {
    let pair = pair();
    let site = filled(&pair, "values_csv");
    let project = site
        .project(project!(&pair))
        .with("TOWPATH_CHUNK_MIB", "1")
        .with("TOWPATH_COPY_FORMAT", "csv");
    let plan = assert_arrives(&site, &project);
    let tables = plan["tables"].as_array().expect("tables");
    for table in tables.iter().filter(|table| table["rows"] == "table") {
        assert_eq!(table["format"], "csv", "{table}");
    }
    assert!(tables.len() > 140, "{}", tables.len());

    // What names an object names the same one, under another number.
    let at = |name: &str| {
        let at = types().iter().position(|of| of.name == name);
        at.unwrap_or_else(|| panic!("{name} is a type"))
    };
    let named = format!(
        "select c.relname || '/' || n.nspname from \"values\".plain_{} v join pg_class c on c.oid = v.v
            join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'values_too'",
        at("regclass")
    );
    assert_eq!(psql(&site.source, &named), "odd \"Tab.le/values_too");
    assert_eq!(psql(&site.target, &named), psql(&site.source, &named));
}
