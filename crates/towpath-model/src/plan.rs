//! The plan: everything that execution obeys. Written once, quoted by digest ever after.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clone::ClonePlan;
use crate::digest::Hash;
use crate::document::Document;
use crate::ids::{ChunkId, RunId, TableId};
use crate::inventory::ServerFacts;
use crate::masking::PlannedMask;
use crate::name::QualifiedName;
use crate::rehearsal::RehearsalPlan;
use crate::subset::TableSubset;

/// How the rows of a table travel. The same format is used for the digest on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `COPY (format binary)`: every column's type has the same binary form on both sides.
    Binary,
    /// `COPY (format csv)` with the run's NULL marker.
    Csv,
}

impl Format {
    /// Part of an object's key.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Binary => "bin",
            Format::Csv => "csv",
        }
    }
}

/// A slice of a table by heap page: exactly once within one snapshot, whatever the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRange {
    /// First page.
    pub from_page: u32,
    /// First page after the slice; `None` for the last slice, which takes what grew since.
    pub to_page: Option<u32>,
}

/// A slice of the large objects by OID: no object is in two slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidRange {
    /// First OID.
    pub from_oid: u32,
    /// First OID after the slice; `None` for the last slice, which takes what was made since.
    pub to_oid: Option<u32>,
}

/// Where rows are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum RowSource {
    /// In the table of that name.
    #[default]
    Table,
    /// In no table that a login may read: the large objects of the database, a row a page of
    /// `page_bytes`. Pages of zeroes are holes and have no row, unless they are an object's last;
    /// an empty object is one empty page.
    LargeObjects {
        /// Bytes of contents per row: what is in memory at once, whatever the size of the object.
        page_bytes: u32,
    },
}

impl RowSource {
    /// Whether this is what nothing needs to be said about.
    pub fn is_table(&self) -> bool {
        *self == RowSource::Table
    }
}

/// A chunk to be exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChunk {
    /// Number within the table, from 1.
    pub no: u32,
    /// Pages, or `None` for the whole table.
    pub pages: Option<PageRange>,
    /// OIDs, for slices of large objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oids: Option<OidRange>,
}

impl PlannedChunk {
    /// The only slice.
    pub const WHOLE: Self = Self {
        no: 1,
        pages: None,
        oids: None,
    };

    /// First unit of the slice and first after it: pages of a table, OIDs of large objects.
    fn range(&self) -> Option<(u32, Option<u32>)> {
        match (self.pages, self.oids) {
            (Some(pages), None) => Some((pages.from_page, pages.to_page)),
            (None, Some(oids)) => Some((oids.from_oid, oids.to_oid)),
            _ => None,
        }
    }
}

/// A table to be copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTable {
    /// Id in the run store.
    pub id: TableId,
    /// Name on both sides.
    pub name: QualifiedName,
    /// Columns to copy, in order: all but the generated ones.
    pub columns: Vec<String>,
    /// Columns of the primary key, in key order; empty for keyless tables.
    pub key: Vec<String>,
    /// Types of the columns to copy.
    pub types: Vec<String>,
    /// Where its rows are.
    #[serde(default, skip_serializing_if = "RowSource::is_table")]
    pub rows: RowSource,
    /// Columns that are not read as they are on the source, each with the SQL that is read in their
    /// place, of the same type. The target holds the result, so nothing is computed there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expressions: BTreeMap<String, String>,
    /// Columns whose values are replaced on the way, before anything is stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, PlannedMask>,
    /// Which rows go; all where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<TableSubset>,
    /// How rows travel.
    pub format: Format,
    /// Why not binary, when not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_reason: Option<String>,
    /// Bytes of heap and TOAST when planned.
    pub bytes: u64,
    /// Estimate of rows when planned; -1 when unknown.
    pub estimated_rows: i64,
    /// Whether the table forces row-level security on its owner: digests on the target are read
    /// under a policy-free path then.
    pub force_row_security: bool,
    /// Slices, which together cover the table exactly once.
    pub chunks: Vec<PlannedChunk>,
}

impl PlannedTable {
    /// Whether its slices cover every page, or every OID, exactly once: numbered from 1, from 0 on
    /// without a gap, the last one open, all of the kind that its rows are sliced by.
    pub fn covers_everything(&self) -> bool {
        if self.chunks.as_slice() == [PlannedChunk::WHOLE] {
            return true;
        }
        let by_oid = !self.rows.is_table();
        let mut next = Some(0);
        for (chunk, no) in self.chunks.iter().zip(1u32..) {
            match (chunk.range(), next) {
                (Some((from, to)), Some(wanted))
                    if chunk.no == no && from == wanted && chunk.oids.is_some() == by_oid =>
                {
                    next = to;
                }
                _ => return false,
            }
        }
        !self.chunks.is_empty() && next.is_none()
    }

    /// About how many bytes of it go.
    pub fn bytes_that_go(&self) -> u64 {
        match self.subset {
            None => self.bytes,
            Some(TableSubset::Empty) => 0,
            Some(TableSubset::Kept {
                estimated_bytes, ..
            }) => estimated_bytes,
        }
    }

    /// The id of one of its chunks.
    pub fn chunk_id(&self, no: u32) -> ChunkId {
        ChunkId {
            table: self.id.clone(),
            no,
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Nobody could look, or nobody asked for it.
    NotLookedAt,
    /// Worth knowing; the run goes on.
    Warn,
    /// The run would lose something or fail later; it does not start.
    Fail,
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Id of the check, as in `source-login`.
    pub check: String,
    /// Verdict.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do; empty when it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// Where a database is and what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseIdentity {
    /// `host:port/database`, without secrets.
    pub endpoint: String,
    /// Facts about server and login.
    pub facts: ServerFacts,
}

/// `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run this plan is for.
    pub run: RunId,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// Version of towpath that made it.
    pub made_by: String,
    /// Source.
    pub source: DatabaseIdentity,
    /// Target.
    pub target: DatabaseIdentity,
    /// Run store, without secrets.
    pub store: String,
    /// Tables in the order of work: those first whose rows and indexes are the most bytes.
    pub tables: Vec<PlannedTable>,
    /// Sequences whose state is carried.
    pub sequences: Vec<QualifiedName>,
    /// The migration history, where the source has one that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<PlannedMigrations>,
    /// Hash of `schema/pre-data.sql`.
    pub pre_data: Hash,
    /// Hash of `schema/post-data.sql`.
    pub post_data: Hash,
    /// Counts of decisions about objects: kept, rewritten, emulated, dropped.
    pub decisions: DecisionCounts,
    /// The checklist.
    pub checks: Vec<CheckResult>,
    /// Estimated seconds of the copy, with the rate assumed; for people.
    pub estimated_seconds: u64,
    /// Work done at once, as it was when planned; a later process decides anew. Plans of earlier
    /// versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<PlannedJobs>,
    /// The run is a rehearsal: its target is a scratch database, and nothing is switched by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalPlan>,
    /// The run makes a clone: its target is built aside, and nothing is switched by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<ClonePlan>,
}

/// How many jobs, and why so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedJobs {
    /// Chunks copied, and indexes built, at once.
    pub jobs: u32,
    /// What decided.
    pub reason: String,
}

/// What becomes of the migration history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMigrations {
    /// Versions that the history lists.
    pub count: usize,
    /// Versions whose statements hold a secret and stay on the source.
    pub redacted: Vec<String>,
}

/// How many objects met which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionCounts {
    /// Kept as they are.
    pub kept: usize,
    /// Changed on the way.
    pub rewritten: usize,
    /// Replaced by something of towpath's own.
    pub emulated: usize,
    /// Left out.
    pub dropped: usize,
}

impl Plan {
    /// The table with this id.
    pub fn table(&self, id: &TableId) -> Option<&PlannedTable> {
        self.tables.iter().find(|table| table.id == *id)
    }

    /// Bytes of all tables when planned, as far as their rows go.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(PlannedTable::bytes_that_go).sum()
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        self.tables.iter().map(|table| table.chunks.len()).sum()
    }

    /// The worst verdict of the checklist.
    pub fn verdict(&self) -> Verdict {
        self.checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .unwrap_or(Verdict::Pass)
    }
}

impl Document for Plan {
    const FORMAT: &'static str = "towpath-plan";
    const VERSION: u32 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: RowSource, chunks: &[(u32, Option<u32>)]) -> PlannedTable {
        let name = QualifiedName::new("s", "t");
        let chunk = |no: u32, (from, to): (u32, Option<u32>)| PlannedChunk {
            no,
            pages: rows.is_table().then_some(PageRange {
                from_page: from,
                to_page: to,
            }),
            oids: (!rows.is_table()).then_some(OidRange {
                from_oid: from,
                to_oid: to,
            }),
        };
        PlannedTable {
            id: TableId::of(&name),
            name,
            columns: Vec::new(),
            key: Vec::new(),
            types: Vec::new(),
            rows,
            expressions: BTreeMap::new(),
            masks: BTreeMap::new(),
            subset: None,
            format: Format::Binary,
            format_reason: None,
            bytes: 0,
            estimated_rows: 0,
            force_row_security: false,
            chunks: (1..).zip(chunks).map(|(no, it)| chunk(no, *it)).collect(),
        }
    }

    #[test]
    fn a_gap_between_slices_is_seen() {
        for rows in [RowSource::Table, RowSource::LargeObjects { page_bytes: 1 }] {
            let covers = |chunks: &[_]| table(rows, chunks).covers_everything();
            assert!(covers(&[(0, Some(7)), (7, Some(9)), (9, None)]));
            assert!(!covers(&[(0, Some(7)), (8, None)]), "a gap");
            assert!(!covers(&[(0, Some(7)), (6, None)]), "an overlap");
            assert!(!covers(&[(1, None)]), "no beginning");
            assert!(!covers(&[(0, Some(7))]), "no end");
            assert!(!covers(&[]), "nothing");
            let mut whole = table(rows, &[]);
            whole.chunks = vec![PlannedChunk::WHOLE];
            assert!(whole.covers_everything());
            let mut mixed = table(rows, &[(0, Some(7)), (7, None)]);
            let last = &mut mixed.chunks[1];
            (last.pages, last.oids) = (
                last.oids.map(|oids| PageRange {
                    from_page: oids.from_oid,
                    to_page: oids.to_oid,
                }),
                last.pages.map(|pages| OidRange {
                    from_oid: pages.from_page,
                    to_oid: pages.to_page,
                }),
            );
            assert!(!mixed.covers_everything(), "two kinds of slices");
        }
    }

    #[test]
    fn plans_from_before_large_objects_can_be_read() {
        let mut old = serde_json::to_value(table(RowSource::Table, &[(0, None)])).unwrap();
        let fields = old.as_object_mut().unwrap();
        assert!(!fields.contains_key("rows") && !fields.contains_key("expressions"));
        assert!(fields["chunks"][0].get("oids").is_none());
        let read: PlannedTable = serde_json::from_value(old).unwrap();
        assert!(read.rows.is_table() && read.expressions.is_empty());
    }
}
