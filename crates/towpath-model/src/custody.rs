//! The chain of custody: stored object, raw bytes, rows of the export, rows on the target.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Hash, RowDigest};
use crate::ids::{RunId, TableId};
use crate::inventory::SequenceState;
use crate::manifest::{ExportedTable, FileEntry, Manifest, StoredChunk};
use crate::name::QualifiedName;
use crate::plan::Plan;

/// What is known of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Both ends were at hand and are the same.
    Held,
    /// They are not the same, or one end could not be had.
    Broken,
    /// The check did not run.
    #[default]
    NotLookedAt,
}

/// A link of the chain. Only a comparison says that one holds: there is no other way to make a link
/// that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Link(LinkState);

impl Link {
    /// The check of this link did not run.
    pub const NOT_LOOKED_AT: Self = Self(LinkState::NotLookedAt);

    /// The check ran, and one end could not be had.
    pub const BROKEN: Self = Self(LinkState::Broken);

    /// Compares what is promised with what was found just now.
    pub fn compare<T: PartialEq + ?Sized>(promised: &T, found: &T) -> Self {
        match promised == found {
            true => Self(LinkState::Held),
            false => Self(LinkState::Broken),
        }
    }

    /// What is known of it.
    pub fn state(self) -> LinkState {
        self.0
    }

    /// It was looked at and holds.
    pub fn is_held(self) -> bool {
        self.0 == LinkState::Held
    }

    /// It was looked at and does not hold.
    pub fn is_broken(self) -> bool {
        self.0 == LinkState::Broken
    }

    /// Whether the check ran.
    pub fn was_looked_at(self) -> bool {
        self.0 != LinkState::NotLookedAt
    }
}

/// How many links are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkCount {
    /// Looked at, the same.
    pub held: u64,
    /// Looked at, not the same.
    pub broken: u64,
    /// Not looked at.
    pub not_looked_at: u64,
}

impl FromIterator<Link> for LinkCount {
    fn from_iter<I: IntoIterator<Item = Link>>(links: I) -> Self {
        links.into_iter().fold(Self::default(), |mut count, link| {
            match link.state() {
                LinkState::Held => count.held += 1,
                LinkState::Broken => count.broken += 1,
                LinkState::NotLookedAt => count.not_looked_at += 1,
            }
            count
        })
    }
}

/// What the level `chunks` saw of a stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChunkLinks {
    /// The object's bytes give the stored hash.
    pub stored: Link,
    /// Unpacked, they give the raw hash.
    pub raw: Link,
    /// Framed, counted and hashed anew, they give the row digest of the export.
    pub rows: Link,
}

impl ChunkLinks {
    /// All three.
    pub fn all(self) -> [Link; 3] {
        [self.stored, self.raw, self.rows]
    }
}

/// A chunk: what the manifest says of it, and which links were seen to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkCustody {
    /// As in the manifest.
    #[serde(flatten)]
    pub chunk: StoredChunk,
    /// What was seen of it.
    #[serde(flatten)]
    pub links: ChunkLinks,
}

/// A table: what the manifest says of it, its chunks, and what the target holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCustody {
    /// Which, in the store.
    pub table: TableId,
    /// Which, in the databases.
    pub name: QualifiedName,
    /// Rows and digest exported.
    pub digest: RowDigest,
    /// Rows and digest of the source behind a fence, up to which the table was brought since: what
    /// the target should hold in place of the export's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<RowDigest>,
    /// Raw bytes of all chunks.
    pub raw_bytes: u64,
    /// Stored bytes of all chunks.
    pub stored_bytes: u64,
    /// The manifest holds every chunk of the plan, once, and no other.
    pub complete: Link,
    /// The digests and bytes of the chunks add up to those of the table.
    pub sum: Link,
    /// Rows and digest on the target, where level `rows` read them as the export hashes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RowDigest>,
    /// The target holds the rows of the export, or those that it was caught up with.
    pub loaded: Link,
    /// The chunks, by number.
    pub chunks: Vec<ChunkCustody>,
}

impl TableCustody {
    /// What the target should hold.
    pub fn expected(&self) -> RowDigest {
        self.caught_up.unwrap_or(self.digest)
    }

    /// Whether digests and bytes of the chunks add up, computed now.
    pub fn adds_up(&self) -> Link {
        let stored = || self.chunks.iter().map(|chunk| &chunk.chunk);
        let found: (RowDigest, u64, u64) = (
            stored().map(|chunk| &chunk.digest).collect(),
            stored().map(|chunk| chunk.raw_bytes).sum(),
            stored().map(|chunk| chunk.stored_bytes).sum(),
        );
        Link::compare(&(self.digest, self.raw_bytes, self.stored_bytes), &found)
    }
}

/// A schema file of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCustody {
    /// As in the manifest.
    #[serde(flatten)]
    pub file: FileEntry,
    /// Its bytes give that hash.
    pub stored: Link,
}

/// The whole chain. Holds all that the manifest holds, so that the manifest's root can be computed
/// from it again where there is no store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Hash of `plan.json`.
    pub plan: Hash,
    /// The manifest was made of that plan: the same tables, in its order.
    pub planned: Link,
    /// The manifest gives its own root hash.
    pub root: Link,
    /// `pg_current_snapshot()` of the rows.
    pub snapshot: String,
    /// WAL position of the source at the snapshot.
    pub snapshot_lsn: String,
    /// When the snapshot was taken, RFC 3339.
    pub snapshot_at: String,
    /// When the manifest was sealed, RFC 3339.
    pub sealed_at: String,
    /// Schema files.
    pub files: Vec<FileCustody>,
    /// Sequences as exported.
    pub sequences: Vec<SequenceState>,
    /// Tables, in the plan's order.
    pub tables: Vec<TableCustody>,
}

impl Chain {
    /// The chain as far as documents alone show it: of chunks, files and target nothing is known yet.
    pub fn begin(manifest: &Manifest, plan: &Plan) -> Self {
        let planned: HashMap<&TableId, _> =
            plan.tables.iter().map(|table| (&table.id, table)).collect();
        let tables = manifest.tables.iter().map(|exported| {
            let table = planned.get(&exported.table);
            let numbers: Vec<u32> = exported.chunks.iter().map(|it| it.chunk.no).collect();
            let of_table = exported.chunks.iter();
            let are_its_own = of_table.clone().all(|it| it.chunk.table == exported.table);
            let complete = table.map_or(Link::BROKEN, |table| {
                let wanted: Vec<u32> = table.chunks.iter().map(|chunk| chunk.no).collect();
                Link::compare(&(wanted, true), &(numbers, are_its_own))
            });
            let mut custody = TableCustody {
                table: exported.table.clone(),
                name: table.map_or_else(
                    || QualifiedName::new("", exported.table.as_str()),
                    |table| table.name.clone(),
                ),
                digest: exported.digest,
                caught_up: None,
                raw_bytes: exported.raw_bytes,
                stored_bytes: exported.stored_bytes,
                complete,
                sum: Link::NOT_LOOKED_AT,
                target: None,
                loaded: Link::NOT_LOOKED_AT,
                chunks: of_table
                    .map(|chunk| ChunkCustody {
                        chunk: chunk.clone(),
                        links: ChunkLinks::default(),
                    })
                    .collect(),
            };
            custody.sum = custody.adds_up();
            custody
        });
        let tables: Vec<TableCustody> = tables.collect();
        let wanted: Vec<&TableId> = plan.tables.iter().map(|table| &table.id).collect();
        let found: Vec<&TableId> = tables.iter().map(|table| &table.table).collect();
        Self {
            plan: manifest.plan,
            planned: Link::compare(&(&plan.run, wanted), &(&manifest.run, found)),
            root: Link::compare(&manifest.root, &manifest.compute_root()),
            snapshot: manifest.snapshot.clone(),
            snapshot_lsn: manifest.snapshot_lsn.clone(),
            snapshot_at: manifest.snapshot_at.clone(),
            sealed_at: manifest.sealed_at.clone(),
            files: manifest
                .files
                .iter()
                .map(|file| FileCustody {
                    file: file.clone(),
                    stored: Link::NOT_LOOKED_AT,
                })
                .collect(),
            sequences: manifest.sequences.clone(),
            tables,
        }
    }

    /// The manifest that the chain tells of.
    pub fn manifest(&self, run: &RunId, root: Hash) -> Manifest {
        let tables = self.tables.iter().map(|table| ExportedTable {
            table: table.table.clone(),
            digest: table.digest,
            raw_bytes: table.raw_bytes,
            stored_bytes: table.stored_bytes,
            chunks: table.chunks.iter().map(|it| it.chunk.clone()).collect(),
        });
        Manifest {
            run: run.clone(),
            plan: self.plan,
            snapshot: self.snapshot.clone(),
            snapshot_lsn: self.snapshot_lsn.clone(),
            snapshot_at: self.snapshot_at.clone(),
            sealed_at: self.sealed_at.clone(),
            files: self.files.iter().map(|it| it.file.clone()).collect(),
            sequences: self.sequences.clone(),
            tables: tables.collect(),
            root,
        }
    }

    /// Every chunk.
    pub fn chunks(&self) -> impl Iterator<Item = &ChunkCustody> {
        self.tables.iter().flat_map(|table| &table.chunks)
    }

    /// The links of all chunks: stored = raw = rows.
    pub fn chunk_links(&self) -> LinkCount {
        self.chunks().flat_map(|chunk| chunk.links.all()).collect()
    }

    /// The links between export and target, one a table.
    pub fn table_links(&self) -> LinkCount {
        self.tables.iter().map(|table| table.loaded).collect()
    }

    /// The links that documents alone show: root, plan, and that chunks make up their tables.
    pub fn document_links(&self) -> LinkCount {
        let of_tables = self.tables.iter();
        let of_tables = of_tables.flat_map(|table| [table.complete, table.sum]);
        of_tables.chain([self.root, self.planned]).collect()
    }

    /// The links of schema files.
    pub fn file_links(&self) -> LinkCount {
        self.files.iter().map(|file| file.stored).collect()
    }
}
