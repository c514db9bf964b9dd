//! Finds the rows that differ, in bounded memory and without a key.
//!
//! First pass: rows of both sides fall into buckets by the first bits of their keyed hash, and each
//! bucket is digested. Second pass: only rows of differing buckets are held, as hashes with the
//! difference of their counts. Third pass: the rows left over are met again and their keys read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use towpath_model::Result;
use towpath_model::digest::RowDigest;
use towpath_model::manifest::ExportedTable;
use towpath_model::plan::PlannedTable;
use towpath_model::verification::{RowChange, RowDifference};
use towpath_postgres::Session;

use crate::bytes_in::{BytesIn, ObjectBytes};
use crate::options::VerifyContext;
use crate::row_key::key_of;
use crate::row_stream::{RowVisitor, each_row};
use crate::tables::each_row_of;

const BUCKETS: usize = 4096;

/// Hashes held in the second pass: about 64 MiB.
const HELD_MAX: u64 = 1_000_000;

type RowHash = [u8; 32];

fn bucket_of(hash: &RowHash) -> usize {
    usize::from(u16::from_be_bytes([hash[0], hash[1]])) % BUCKETS
}

/// The rows that differ between the export and the target, at most as many as the options allow.
pub(crate) async fn locate(
    context: &VerifyContext,
    session: &mut Session,
    table: &PlannedTable,
    exported: &ExportedTable,
) -> Result<Vec<RowDifference>> {
    let mut looker = Looker {
        context,
        session,
        table,
        exported,
    };
    let differing = looker.differing_buckets().await?;
    let counts = looker.differing_rows(&differing).await?;
    let limit = context.options.max_differences;
    let wanted: HashMap<RowHash, i64> = counts.into_iter().take(limit).collect();
    let rows = looker.fetch(&wanted).await?;
    Ok(pair_up(rows))
}

struct Looker<'l> {
    context: &'l VerifyContext,
    session: &'l mut Session,
    table: &'l PlannedTable,
    exported: &'l ExportedTable,
}

impl Looker<'_> {
    async fn each_exported_row(&self, visitor: &mut dyn RowVisitor) -> Result<()> {
        for chunk in &self.exported.chunks {
            // A chunk that is gone is told by the check of chunks; its rows count as missing.
            let Some(object) = ObjectBytes::open(&self.context.store, chunk).await? else {
                continue;
            };
            let mut source = BytesIn::Object(Box::new(object));
            let columns = self.table.columns.len();
            each_row(&mut source, self.table.format, columns, visitor).await?;
        }
        Ok(())
    }

    async fn each_target_row(&mut self, visitor: &mut dyn RowVisitor) -> Result<()> {
        each_row_of(self.context, self.session, self.table, visitor).await
    }

    async fn differing_buckets(&mut self) -> Result<BTreeSet<usize>> {
        let key = self.context.key.bytes();
        let mut ours = Buckets::new(key);
        self.each_exported_row(&mut ours).await?;
        let mut theirs = Buckets::new(key);
        self.each_target_row(&mut theirs).await?;
        let mut held = 0;
        let mut differing = BTreeSet::new();
        for (at, (a, b)) in ours.digests.iter().zip(&theirs.digests).enumerate() {
            if a != b {
                held += a.rows + b.rows;
                differing.insert(at);
                if held > HELD_MAX {
                    break;
                }
            }
        }
        Ok(differing)
    }

    async fn differing_rows(
        &mut self,
        buckets: &BTreeSet<usize>,
    ) -> Result<BTreeMap<RowHash, i64>> {
        let key = *self.context.key.bytes();
        let mut counter = Counter {
            key,
            buckets,
            step: 1,
            counts: BTreeMap::new(),
        };
        self.each_exported_row(&mut counter).await?;
        counter.step = -1;
        self.each_target_row(&mut counter).await?;
        counter.counts.retain(|_, count| *count != 0);
        Ok(counter.counts)
    }

    /// Meets the wanted rows again: exported ones first, then those of the target.
    async fn fetch(&mut self, wanted: &HashMap<RowHash, i64>) -> Result<Vec<Found>> {
        let key = self.context.key.clone();
        let mut found = Vec::new();
        for (change, sign) in [(RowChange::Missing, 1), (RowChange::Extra, -1)] {
            let left: HashMap<RowHash, i64> = wanted
                .iter()
                .filter(|(_, count)| count.signum() == sign)
                .map(|(hash, count)| (*hash, count.abs()))
                .collect();
            let mut fetcher = Fetcher {
                key: *key.bytes(),
                left,
                rows: Vec::new(),
            };
            match change {
                RowChange::Extra => self.each_target_row(&mut fetcher).await?,
                RowChange::Missing | RowChange::Changed => {
                    self.each_exported_row(&mut fetcher).await?;
                }
            }
            for (hash, row) in fetcher.rows {
                let key = key_of(self.table, &key, &row).await;
                let row = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
                found.push(Found { change, key, row });
            }
        }
        Ok(found)
    }
}

struct Found {
    change: RowChange,
    key: Vec<(String, String)>,
    row: String,
}

/// A missing and an extra row of the same key are one changed row.
fn pair_up(rows: Vec<Found>) -> Vec<RowDifference> {
    let mut differences: Vec<RowDifference> = Vec::new();
    for found in rows {
        let twin = (found.change == RowChange::Extra && !found.key.is_empty())
            .then(|| {
                differences
                    .iter_mut()
                    .find(|other| other.how == RowChange::Missing && other.key == found.key)
            })
            .flatten();
        match twin {
            Some(twin) => twin.how = RowChange::Changed,
            None => differences.push(RowDifference {
                how: found.change,
                key: found.key,
                row: found.row,
            }),
        }
    }
    differences
}

struct Buckets<'k> {
    key: &'k RowHash,
    digests: Vec<RowDigest>,
}

impl<'k> Buckets<'k> {
    fn new(key: &'k RowHash) -> Self {
        Self {
            key,
            digests: vec![RowDigest::default(); BUCKETS],
        }
    }
}

impl RowVisitor for Buckets<'_> {
    fn row(&mut self, bytes: &[u8]) {
        let hash = *blake3::keyed_hash(self.key, bytes).as_bytes();
        self.digests[bucket_of(&hash)].add_row(&hash);
    }
}

struct Counter<'b> {
    key: RowHash,
    buckets: &'b BTreeSet<usize>,
    step: i64,
    counts: BTreeMap<RowHash, i64>,
}

impl RowVisitor for Counter<'_> {
    fn row(&mut self, bytes: &[u8]) {
        let hash = *blake3::keyed_hash(&self.key, bytes).as_bytes();
        if self.buckets.contains(&bucket_of(&hash)) {
            *self.counts.entry(hash).or_default() += self.step;
        }
    }
}

struct Fetcher {
    key: RowHash,
    left: HashMap<RowHash, i64>,
    rows: Vec<(RowHash, Vec<u8>)>,
}

impl RowVisitor for Fetcher {
    fn row(&mut self, bytes: &[u8]) {
        let hash = *blake3::keyed_hash(&self.key, bytes).as_bytes();
        if let Some(count) = self.left.get_mut(&hash)
            && *count > 0
        {
            *count -= 1;
            self.rows.push((hash, bytes.to_vec()));
        }
    }
}
