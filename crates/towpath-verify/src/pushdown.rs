//! Rows digested by the server that holds them, so that none of them travel (ADR 25).
//!
//! A row is written as `row(…)::text` writes it: fields between commas, NULL as nothing at all, the
//! empty text as two quotes, and quoted whatever holds a comma, a quote, a backslash, a parenthesis
//! or white space, with quotes and backslashes doubled (PostgreSQL manual, "Composite Type Input and
//! Output Syntax"). So no two rows of different texts are written alike. It is hashed twice by 64
//! bits under secret seeds, and either hash summed.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use towpath_model::connection::Side;
use towpath_model::digest::{RowDigest, RunKey};
use towpath_model::plan::PlannedTable;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::buckets::{Bits, Buckets, Filter};
use crate::options::VerifyContext;
use crate::row_query::{copy_of, rows};

/// Secret seeds of the hashes: two of the digest, one of the buckets.
#[derive(Clone, Copy)]
struct Seeds([i64; 3]);

impl Seeds {
    /// Seeds of a run. They show in the server's own views while a statement runs, so they are not
    /// the run key but derived from it.
    fn of(key: &RunKey) -> Self {
        let derived = blake3::derive_key("towpath 2026-11 pushdown seeds", key.bytes());
        let (words, _) = derived.as_chunks::<8>();
        Self([0, 1, 2].map(|at| i64::from_be_bytes(words[at])))
    }

    /// The hash of a text under one of them. Under collation "C" it is that of the bytes.
    fn hash(self, text: &str, which: usize) -> String {
        format!(
            "pg_catalog.hashtextextended({text}, '{}'::pg_catalog.int8)",
            self.0[which]
        )
    }

    /// Count and both sums.
    fn sums(self) -> String {
        let sum = |which: usize| {
            format!(
                "coalesce(pg_catalog.sum({}), 0)::pg_catalog.text",
                self.hash("x", which)
            )
        };
        format!(
            "pg_catalog.count(*) as rows, {} as one, {} as two",
            sum(0),
            sum(1)
        )
    }
}

/// Columns of the rows of a table by number.
fn numbered(places: impl Iterator<Item = usize>) -> String {
    let names: Vec<String> = places.map(|at| format!("c{at}")).collect();
    names.join(", ")
}

fn text_of(columns: &str) -> String {
    format!("row({columns})::pg_catalog.text collate pg_catalog.\"C\"")
}

/// The rows under the names of their numbers.
fn named_rows(table: &PlannedTable, side: Side, condition: &str) -> String {
    let columns = match table.columns.len() {
        0 => String::new(),
        count => format!(" ({})", numbered(0..count)),
    };
    format!("({}) as r{columns}", rows(table, side, condition))
}

/// The text that tells the bucket of a row: of its key, so that both versions of a changed row are
/// in one; of all of it where it has none.
fn text_of_key(table: &PlannedTable) -> String {
    let place = |name: &String| table.columns.iter().position(|column| column == name);
    let key: Option<Vec<usize>> = table.key.iter().map(place).collect();
    match key {
        Some(key) if !key.is_empty() => text_of(&numbered(key.into_iter())),
        _ => text_of(&numbered(0..table.columns.len())),
    }
}

#[derive(Deserialize)]
struct Sums {
    #[serde(default)]
    bucket: usize,
    rows: u64,
    one: String,
    two: String,
}

impl Sums {
    fn digest(&self) -> Result<RowDigest> {
        // A hash is signed; moved to begin at nought, sums only grow and never carry over.
        let sum = |text: &str| -> Option<u128> {
            let sum: i128 = text.parse().ok()?;
            u128::try_from(sum + (i128::from(self.rows) << 63)).ok()
        };
        match (sum(&self.one), sum(&self.two)) {
            (Some(one), Some(two)) => Ok(RowDigest::of_sums(self.rows, one, two)),
            _ => Err(Failure::new(ErrorKind::Internal, "a digest is no number")),
        }
    }
}

/// The digest of the rows that meet a condition.
pub(crate) async fn digest(
    key: &RunKey,
    session: &mut Session,
    table: &PlannedTable,
    condition: &str,
) -> Result<RowDigest> {
    let sql = digest_statement(Seeds::of(key), table, session.side(), condition);
    session.fetch_one::<Sums>(&sql, &[]).await?.digest()
}

/// Without the offset the row would be written once for each hash.
fn digest_statement(seeds: Seeds, table: &PlannedTable, side: Side, condition: &str) -> String {
    format!(
        "select {}
           from (select {} as x from {} offset 0) as texts",
        seeds.sums(),
        text_of(&numbered(0..table.columns.len())),
        named_rows(table, side, condition)
    )
}

/// The digests of the rows that meet a condition, by bucket of their keys.
pub(crate) async fn digest_buckets(
    key: &RunKey,
    session: &mut Session,
    table: &PlannedTable,
    condition: &str,
    bits: Bits,
) -> Result<Buckets> {
    let sql = buckets_statement(Seeds::of(key), table, session.side(), condition, bits);
    let mut buckets = Buckets::new(bits);
    for sums in session.fetch::<Sums>(&sql, &[]).await? {
        buckets.add_to(sums.bucket, &sums.digest()?);
    }
    Ok(buckets)
}

fn buckets_statement(
    seeds: Seeds,
    table: &PlannedTable,
    side: Side,
    condition: &str,
    bits: Bits,
) -> String {
    format!(
        "select {} as bucket, {}
           from (select {} as x, {} as k from {} offset 0) as texts
          group by 1",
        bucket(seeds, "k", bits),
        seeds.sums(),
        text_of(&numbered(0..table.columns.len())),
        text_of_key(table),
        named_rows(table, side, condition)
    )
}

fn bucket(seeds: Seeds, text: &str, bits: Bits) -> String {
    let hash = seeds.hash(text, 2);
    format!(
        "{hash} operator(pg_catalog.&) '{}'::pg_catalog.int8",
        bits.count() - 1
    )
}

/// COPY of the rows of chosen buckets.
pub(crate) fn copy_statement(
    key: &RunKey,
    table: &PlannedTable,
    side: Side,
    condition: &str,
    filter: &Filter,
) -> String {
    let seeds = Seeds::of(key);
    let text = text_of_key(table);
    let chosen: Vec<String> = filter.buckets().iter().map(ToString::to_string).collect();
    let part = filter.share().map(|share| {
        // Other bits than those of the bucket.
        format!(
            " and ({} operator(pg_catalog.>>) 20) operator(pg_catalog.&) '65535'::pg_catalog.int8
                  operator(pg_catalog.<) '{share}'::pg_catalog.int8",
            seeds.hash(&text, 2)
        )
    });
    let query = format!(
        "select {} from {}
          where ({}) operator(pg_catalog.=) any ('{{{}}}'::pg_catalog.int8[]){}",
        numbered(0..table.columns.len()),
        named_rows(table, side, condition),
        bucket(seeds, &text, filter.bits()),
        chosen.join(","),
        part.unwrap_or_default()
    );
    copy_of(&query, table.format, &key.null_marker())
}

/// What both servers must give alike: the hash of a text of more than ASCII, and the encoding that
/// texts are hashed in.
const PROBE: &str = "
    select pg_catalog.concat(
               pg_catalog.hashtextextended(
                   pg_catalog.repeat('towpath', 5) collate pg_catalog.\"C\", 20261123),
               ' ', pg_catalog.getdatabaseencoding())";

/// Why the servers cannot digest rows for each other, by table of the plan; nothing for tables that
/// they can.
pub(crate) async fn refusals(
    context: &VerifyContext,
    source: &mut Session,
    target: &mut Session,
) -> Result<Vec<Option<String>>> {
    let tables = &context.plan.tables;
    let (ours, theirs) = (
        source.scalar(PROBE, &[]).await?,
        target.scalar(PROBE, &[]).await?,
    );
    if ours != theirs {
        let reason = "source and target do not hash the same text alike";
        return Ok(vec![Some(reason.to_owned()); tables.len()]);
    }
    let (from, to) = (source.version_num() / 10_000, target.version_num() / 10_000);
    if from == to {
        return Ok(vec![None; tables.len()]);
    }
    let parts: Vec<Part> = source.fetch(PARTS, &[]).await?;
    let mut doubtful: HashMap<QualifiedName, BTreeMap<String, String>> = HashMap::new();
    for part in parts.into_iter().filter(|part| !part.has_steady_text()) {
        let table = QualifiedName::new(part.schema, part.name);
        let name = format!("{}.{}", part.type_schema, part.type_name);
        let columns = doubtful.entry(table).or_default();
        columns.entry(part.column_name).or_insert(name);
    }
    let reason = |table: &PlannedTable| {
        let columns = doubtful.get(&table.name)?;
        let column = table
            .columns
            .iter()
            .find(|name| columns.contains_key(*name))?;
        Some(format!(
            "column {column} holds {}, whose text is not proven to be the same on {from} and {to}",
            columns[column]
        ))
    };
    Ok(tables.iter().map(reason).collect())
}

/// A base type that a column is made of.
#[derive(Deserialize)]
struct Part {
    schema: String,
    name: String,
    column_name: String,
    type_schema: String,
    type_name: String,
}

impl Part {
    /// Types whose text has not changed since version 12, when floating-point numbers came to be
    /// written by their shortest exact form. `"char"` (16) and `aclitem` (16, 17) have changed, and
    /// what extensions write is theirs to change.
    fn has_steady_text(&self) -> bool {
        const STEADY: [&str; 44] = [
            "bit",
            "bool",
            "box",
            "bpchar",
            "bytea",
            "cid",
            "cidr",
            "circle",
            "date",
            "float4",
            "float8",
            "inet",
            "int2",
            "int4",
            "int8",
            "interval",
            "json",
            "jsonb",
            "line",
            "lseg",
            "macaddr",
            "macaddr8",
            "money",
            "name",
            "numeric",
            "oid",
            "path",
            "pg_lsn",
            "point",
            "polygon",
            "text",
            "tid",
            "time",
            "timestamp",
            "timestamptz",
            "timetz",
            "tsquery",
            "tsvector",
            "uuid",
            "varbit",
            "varchar",
            "xid",
            "xid8",
            "xml",
        ];
        let name = self.type_name.as_str();
        self.type_schema == "pg_catalog" && STEADY.contains(&name)
    }
}

/// The base types of every column: elements of arrays, what domains and ranges are over, the columns
/// of composite types. Labels of enums are text of the user's.
const PARTS: &str = "
    with recursive parts as (
        select a.attrelid, a.attname, a.atttypid as type_oid
          from pg_catalog.pg_attribute a
          join pg_catalog.pg_class c on c.oid = a.attrelid
         where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
           and c.oid >= 16384
         union
        select p.attrelid, p.attname, inside.type_oid
          from parts p
          join pg_catalog.pg_type t on t.oid = p.type_oid
         cross join lateral (
               select t.typelem where t.typcategory = 'A' and t.typelem <> 0
                union all
               select t.typbasetype where t.typtype = 'd'
                union all
               select g.rngsubtype from pg_catalog.pg_range g
                where t.oid in (g.rngtypid, g.rngmultitypid)
                union all
               select a.atttypid from pg_catalog.pg_attribute a
                where t.typtype = 'c' and a.attrelid = t.typrelid
                  and a.attnum > 0 and not a.attisdropped
               ) as inside (type_oid)
    )
    select n.nspname as schema, c.relname as name, p.attname as column_name,
           tn.nspname as type_schema, t.typname as type_name
      from parts p
      join pg_catalog.pg_class c on c.oid = p.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_type t on t.oid = p.type_oid
      join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
     where t.typtype in ('b', 'p') and not (t.typcategory = 'A' and t.typelem <> 0)";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `row(…)::text` writes, by the manual.
    fn written(fields: &[Option<String>]) -> String {
        let field = |field: &Option<String>| match field {
            None => String::new(),
            Some(text) => {
                let special =
                    |c: char| "(),\"\\".contains(c) || c.is_ascii_whitespace() || c == '\u{b}';
                if text.is_empty() || text.contains(special) {
                    let double = |c: char| match c {
                        '\\' | '"' => vec![c, c],
                        c => vec![c],
                    };
                    let doubled: String = text.chars().flat_map(double).collect();
                    format!("\"{doubled}\"")
                } else {
                    text.clone()
                }
            }
        };
        let fields: Vec<String> = fields.iter().map(field).collect();
        format!("({})", fields.join(","))
    }

    /// Reads it back: whatever can be read back in one way only is written by one row only.
    fn read(text: &str) -> Vec<Option<String>> {
        let mut chars = text[1..text.len() - 1].chars().peekable();
        let mut fields = Vec::new();
        loop {
            let field = match chars.peek() {
                None | Some(',') => None,
                Some('"') => {
                    chars.next();
                    let mut field = String::new();
                    while let Some(c) = chars.next() {
                        match (c, chars.peek()) {
                            ('"', Some('"')) | ('\\', Some('\\')) => field.extend(chars.next()),
                            ('"', _) => break,
                            (c, _) => field.push(c),
                        }
                    }
                    Some(field)
                }
                Some(_) => {
                    let mut field = String::new();
                    while let Some(c) = chars.next_if(|c| *c != ',') {
                        field.push(c);
                    }
                    Some(field)
                }
            };
            fields.push(field);
            if chars.next().is_none() {
                return fields;
            }
        }
    }

    proptest! {
        #[test]
        fn no_two_rows_are_written_alike(
            fields in proptest::collection::vec(
                proptest::option::of(prop_oneof![Just(String::new()), "[(),\"\\\\ \nab]{0,5}", "\\PC{0,4}"]),
                1..5,
            ),
        ) {
            prop_assert_eq!(read(&written(&fields)), fields);
        }

        #[test]
        fn digests_of_pieces_add_up(
            hashes in proptest::collection::vec((any::<i64>(), any::<i64>()), 0..40),
            cut in 0usize..40,
        ) {
            let digest = |hashes: &[(i64, i64)]| {
                let sum = |of: fn(&(i64, i64)) -> i64| {
                    hashes.iter().map(|it| i128::from(of(it))).sum::<i128>().to_string()
                };
                let sums = Sums {
                    bucket: 0,
                    rows: hashes.len() as u64,
                    one: sum(|it| it.0),
                    two: sum(|it| it.1),
                };
                sums.digest().unwrap()
            };
            let (a, b) = hashes.split_at(cut.min(hashes.len()));
            let mut both = digest(a);
            both.add(&digest(b));
            prop_assert_eq!(both, digest(&hashes));
        }
    }
}
