//! What two databases hold, asked by plain SQL: an opinion that owes nothing to towpath.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pg::{Pair, psql};

/// Settings under which two servers print the same value alike.
pub(crate) const PINNED: &str = "set extra_float_digits = 3; set timezone = 'UTC'; set datestyle = 'ISO, YMD'; \
    set intervalstyle = 'postgres'; set bytea_output = 'hex'; set lc_monetary = 'C'; \
    set search_path = public, extensions; set row_security = off;";

/// Tables of the user's that hold rows of their own: ordinary tables and leaf partitions, named and
/// quoted.
#[must_use]
pub fn user_tables(url: &str) -> Vec<String> {
    // As JSON: a name may hold a line break.
    let sql = "select pg_catalog.to_json(pg_catalog.format('%I.%I', n.nspname, c.relname))
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'r' and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
          and n.nspname <> 'towpath'
          and not exists (select from pg_catalog.pg_depend d
                           where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                             and d.objid = c.oid and d.deptype = 'e')
        order by n.nspname, c.relname";
    let names = psql(url, sql);
    let name = |line| serde_json::from_str(line).expect("a name is JSON");
    names.lines().map(name).collect()
}

/// The rows of a table that must be the same on both sides: all of it, but for the statements of the
/// migration history that hold a secret of the fixture and stay on the source.
fn rows_of(table: &str, inheriting: &BTreeMap<String, String>) -> String {
    if table == "supabase_migrations.schema_migrations" {
        return format!(
            "(select version, name,
                     case when statements::text ~ 'fixture-secret|left out by towpath' then null
                          else statements end
                from only {table})"
        );
    }
    match inheriting.get(table) {
        Some(columns) => format!("(select {columns} from only {table})"),
        None => format!("only {table}"),
    }
}

/// Tables that inherit, with their columns sorted by name: the order may be another on the target.
fn inheriting(url: &str) -> BTreeMap<String, String> {
    let sql = "select coalesce(pg_catalog.json_object_agg(t.name, t.columns), '{}')
        from (select pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
                     pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', '
                                           order by a.attname collate \"C\") as columns
                from pg_catalog.pg_class c
                join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                join pg_catalog.pg_attribute a
                    on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               where c.relkind = 'r' and not c.relispartition
                 and exists (select from pg_catalog.pg_inherits i where i.inhrelid = c.oid)
               group by n.nspname, c.relname) t";
    serde_json::from_str(&psql(url, sql)).expect("a map")
}

/// Rows and content of tables: how many, and a hash of every value as text, whatever the order.
#[must_use]
pub fn contents(url: &str, tables: &[String]) -> BTreeMap<String, String> {
    let inheriting = inheriting(url);
    tables
        .iter()
        .map(|table| {
            let sql = format!(
                "{PINNED} select pg_catalog.count(*)::text || ':' ||
                    coalesce(pg_catalog.sum(pg_catalog.hashtextextended(t::text, 0)), 0)::text || ':' ||
                    coalesce(pg_catalog.sum(pg_catalog.hashtextextended(t::text, 42)), 0)::text
                 from {} t",
                rows_of(table, &inheriting)
            );
            (table.clone(), psql(url, &sql))
        })
        .collect()
}

/// Asserts that every table of the target holds what the source's holds, and gives their names.
/// Both are read as superuser, who sees every row.
pub fn assert_same_rows(pair: &Pair) -> Vec<String> {
    let source = pair.source.cluster.superuser_url("postgres");
    let target = pair
        .target
        .cluster
        .superuser_url(&pair.target.shape().database);
    let tables = user_tables(&target);
    assert!(!tables.is_empty(), "the target holds no table");
    assert_eq!(contents(&source, &tables), contents(&target, &tables));
    tables
}

/// The (role, claims) pairs of the fixture.
#[must_use]
pub fn access_pairs() -> Vec<(String, String, String)> {
    let path = crate::repository().join("tests/fixtures/access.json");
    let text = std::fs::read_to_string(path).expect("read access.json");
    let pairs: Vec<Value> = serde_json::from_str(&text).expect("access.json is JSON");
    let word = |pair: &Value, field: &str| pair[field].as_str().expect("a text").to_owned();
    pairs
        .iter()
        .map(|pair| {
            (
                word(pair, "name"),
                word(pair, "role"),
                pair["claims"].to_string(),
            )
        })
        .collect()
}

/// What somebody sees of a table: the rows as text and in order, or the error.
#[must_use]
pub fn seen_by(url: &str, role: &str, claims: &str, table: &str) -> String {
    let quoted = claims.replace('\'', "''");
    let sql = format!(
        "begin; {PINNED} set local row_security = on;
         select pg_catalog.set_config('request.jwt.claims', '{quoted}', true) is null;
         set local role {role};
         select coalesce(pg_catalog.string_agg(x, E'\\n' order by x collate \"C\"), '(none)')
           from (select t::text as x from only {table} t) rows;
         rollback"
    );
    match crate::pg::try_psql(url, &sql) {
        Ok(rows) => rows,
        Err(error) => {
            let line = error
                .lines()
                .find(|line| line.contains("ERROR:"))
                .unwrap_or(&error);
            line.split("ERROR:")
                .last()
                .unwrap_or(line)
                .trim()
                .to_owned()
        }
    }
}
