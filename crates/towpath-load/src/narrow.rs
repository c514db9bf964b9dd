//! Which rows of a big table have to travel: those of the buckets in which the two sides differ.
//!
//! Each server digests its own rows by bucket of their keys, and only the digests travel. Nothing
//! rests on them but the time: what they do not show, the comparison afterwards does, and then the
//! whole table goes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::name::quote_identifier;
use towpath_model::plan::PlannedTable;
use towpath_postgres::Session;

/// Bytes of a table up to which it is not worth two more readings.
const WORTH_IT: u64 = 1 << 20;

/// Bytes of a table for each bucket, about.
const BUCKET_BYTES: u64 = 8 << 10;

/// Buckets at least and at most: their digests are in memory at once.
const BUCKETS: (u64, u64) = (1 << 8, 1 << 16);

/// Share of the buckets from which on all rows may as well go.
const SHARE: usize = 4;

/// The rows of some buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    buckets: Vec<u64>,
    mask: u64,
    /// Columns that tell the bucket.
    by: Vec<String>,
}

#[derive(Deserialize)]
struct Bucket {
    bucket: u64,
    rows: u64,
    sum: String,
}

impl Part {
    /// The buckets of a table in which two sides differ; nothing where the whole table should go.
    /// `rows` is the query that gives its rows on the source.
    pub(crate) async fn of(
        source: &mut Session,
        target: &mut Session,
        table: &PlannedTable,
        rows: &str,
    ) -> Result<Option<Self>> {
        if table.bytes < WORTH_IT || table.columns.is_empty() {
            return Ok(None);
        }
        let (least, most) = BUCKETS;
        let count = (table.bytes / BUCKET_BYTES).clamp(least, most);
        let mask = count.next_power_of_two() - 1;
        let by = match table.key.is_empty() {
            true => table.columns.clone(),
            false => table.key.clone(),
        };
        let mut part = Self {
            buckets: Vec::new(),
            mask,
            by,
        };
        let there = format!("only {}", table.name.quoted());
        let ours = part.digests(source, table, &format!("({rows})")).await?;
        let theirs = part.digests(target, table, &there).await?;
        let known: BTreeSet<&u64> = ours.keys().chain(theirs.keys()).collect();
        part.buckets = known
            .into_iter()
            .filter(|bucket| ours.get(bucket) != theirs.get(bucket))
            .copied()
            .collect();
        let count = usize::try_from(mask).unwrap_or(usize::MAX);
        let is_worth_it = !part.buckets.is_empty() && part.buckets.len() <= count / SHARE;
        Ok(is_worth_it.then_some(part))
    }

    async fn digests(
        &self,
        session: &mut Session,
        table: &PlannedTable,
        rows: &str,
    ) -> Result<BTreeMap<u64, (u64, String)>> {
        // Without the offset a row would be written once for each hash of it.
        let sql = format!(
            "select {} as bucket, pg_catalog.count(*) as rows,
                    pg_catalog.sum(pg_catalog.hashtextextended(x, 29))::pg_catalog.text as sum
               from (select {} as k, {} as x from {rows} as t offset 0) as texts
              group by 1",
            self.bucket_of("k"),
            text_of(&self.by),
            text_of(&table.columns)
        );
        let found: Vec<Bucket> = session.fetch(&sql, &[]).await?;
        let digests = found.into_iter();
        Ok(digests.map(|it| (it.bucket, (it.rows, it.sum))).collect())
    }

    fn bucket_of(&self, text: &str) -> String {
        format!(
            "pg_catalog.hashtextextended({text}, 0) operator(pg_catalog.&) '{}'::pg_catalog.int8",
            self.mask
        )
    }

    /// The condition that a row `t` of it meets.
    pub(crate) fn condition(&self) -> String {
        let buckets: Vec<String> = self.buckets.iter().map(ToString::to_string).collect();
        format!(
            "({}) operator(pg_catalog.=) any ('{{{}}}'::pg_catalog.int8[])",
            self.bucket_of(&text_of(&self.by)),
            buckets.join(",")
        )
    }
}

/// A row's text, of some columns of `t`. Two rows of different texts are written differently.
fn text_of(columns: &[String]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| format!("t.{}", quote_identifier(column)))
        .collect();
    format!(
        "row({})::pg_catalog.text collate pg_catalog.\"C\"",
        columns.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_by_its_key() {
        let part = Part {
            buckets: vec![3, 250],
            mask: 255,
            by: vec!["Key, 1".to_owned(), "b".to_owned()],
        };
        assert_eq!(
            part.condition(),
            "(pg_catalog.hashtextextended(row(t.\"Key, 1\", t.\"b\")::pg_catalog.text \
             collate pg_catalog.\"C\", 0) operator(pg_catalog.&) '255'::pg_catalog.int8) \
             operator(pg_catalog.=) any ('{3,250}'::pg_catalog.int8[])"
        );
    }
}
