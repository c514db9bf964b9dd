//! The data sets: made once on the source, named by what they are made of.

use std::path::PathBuf;
use std::process::Command;

use towpath_tests::{Installation, KeptServer, repository};

/// One of tests/bench/datasets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    /// D1: many short rows.
    Narrow,
    /// D2: a business, many types.
    Saas,
    /// D3: everything in one table.
    Skew,
    /// Many small tables.
    Many,
}

impl Set {
    pub const COPIED: [Self; 3] = [Self::Narrow, Self::Saas, Self::Skew];

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "d1" => Some(Self::Narrow),
            "d2" => Some(Self::Saas),
            "d3" => Some(Self::Skew),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Narrow => "d1",
            Self::Saas => "d2",
            Self::Skew => "d3",
            Self::Many => "many",
        }
    }

    fn file(self) -> PathBuf {
        let name = match self {
            Self::Narrow => "narrow",
            Self::Saas => "saas",
            Self::Skew => "skew",
            Self::Many => "many",
        };
        repository().join(format!("tests/bench/datasets/{name}.sql"))
    }
}

/// A filled database of the source.
#[derive(Debug)]
pub struct Dataset {
    pub database: String,
    /// What a target must answer to `census` to count as loaded.
    pub census: String,
    pub tables: Vec<Table>,
}

/// A table, and what part of it one COPY takes.
#[derive(Debug)]
pub struct Table {
    /// Quoted, with its schema.
    pub name: String,
    /// Ranges of pages; empty for a table that is copied whole.
    pub ranges: Vec<String>,
}

/// Heap above which the floor's copy splits a table.
const SPLIT_BYTES: u64 = 200 << 20;

/// The set at this scale, made if it is not there.
pub fn dataset(source: &KeptServer, set: Set, scale: f64) -> Dataset {
    let text = std::fs::read(set.file()).expect("read a data set");
    let hash = blake3::hash(&text).to_hex();
    let database = format!("{}_{scale}_{}", set.name(), &hash[..8]).replace('.', "_");
    let there = format!("select count(*) from pg_database where datname = '{database}'");
    if source.psql_superuser("postgres", &there) == "0" {
        make(source, set, scale, &database);
    }
    Dataset {
        census: census(source, &database),
        tables: tables(source, &database),
        database,
    }
}

fn make(source: &KeptServer, set: Set, scale: f64, database: &str) {
    println!("making {database}");
    let half_made = format!("{database}_half");
    let owner = source.user();
    source.psql_superuser(
        "postgres",
        &format!(
            "drop database if exists {half_made};
             create database {half_made} template template0 owner {owner}"
        ),
    );
    let mut psql = Command::new(Installation::usual().program("psql"));
    psql.args(["-Xq", "-o", "/dev/null", "-v", &format!("scale={scale}")]);
    psql.args(["-d", &source.url(&half_made), "-f"]);
    let output = psql.arg(set.file()).output().expect("start psql");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{database} is not made: {said}");
    source.psql_superuser(&half_made, "vacuum (freeze, analyze)");
    source.psql_superuser(
        "postgres",
        &format!("alter database {half_made} rename to {database}"),
    );
    source.psql_superuser("postgres", "checkpoint");
}

const USER_SCHEMA: &str = "n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'towpath', 'pgcopydb') \
     and n.nspname !~ '^pg_temp'";

fn tables(source: &KeptServer, database: &str) -> Vec<Table> {
    let sql = format!(
        "select format('%I.%I', n.nspname, c.relname) || '|' || pg_relation_size(c.oid) || '|' || current_setting('block_size')
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind = 'r' and {USER_SCHEMA}
          order by pg_table_size(c.oid) desc, 1"
    );
    let answer = source.psql_superuser(database, &sql);
    let table = |line: &str| {
        let mut fields = line.rsplitn(3, '|');
        let mut number = || -> u64 {
            let field = fields.next().expect("three fields");
            field.parse().expect("a number")
        };
        let (block, bytes) = (number(), number());
        let name = fields.next().expect("three fields").to_owned();
        Table {
            ranges: ranges(bytes, bytes / block),
            name,
        }
    };
    answer.lines().map(table).collect()
}

fn ranges(bytes: u64, pages: u64) -> Vec<String> {
    let parts = bytes.div_ceil(SPLIT_BYTES);
    if parts < 2 {
        return Vec::new();
    }
    let range = |part: u64| {
        let (first, next) = (pages * part / parts, pages * (part + 1) / parts);
        if part + 1 == parts {
            return format!("ctid >= '({first},0)'");
        }
        format!("ctid >= '({first},0)' and ctid < '({next},0)'")
    };
    (0..parts).map(range).collect()
}

/// Rows of every table, valid indexes and valid constraints: whoever is fast because something is
/// missing is found out.
pub fn census(server: &KeptServer, database: &str) -> String {
    // One statement a table: a union of ten thousand would be planned for longer than it runs.
    let counts = server.psql_superuser(
        database,
        &format!(
            "select format('select %L, count(*) from %I.%I;', n.nspname || '.' || c.relname, n.nspname, c.relname)
               from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relkind = 'r' and {USER_SCHEMA}
              order by n.nspname, c.relname"
        ),
    );
    let structure = format!(
        "select 'valid indexes', count(*) from pg_index i join pg_class c on c.oid = i.indexrelid
           join pg_namespace n on n.oid = c.relnamespace where i.indisvalid and {USER_SCHEMA};
         select 'valid constraints of kind ' || k.contype::text, count(*) from pg_constraint k
           join pg_namespace n on n.oid = k.connamespace
          where k.convalidated and {USER_SCHEMA} group by k.contype order by 1;"
    );
    server.psql_superuser(database, &format!("{counts}\n{structure}"))
}
