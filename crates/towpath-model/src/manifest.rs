//! The manifest: what was exported. Its existence is the commit point of the export.

use serde::{Deserialize, Serialize};

use crate::digest::{Hash, RowDigest};
use crate::document::Document;
use crate::ids::{ChunkId, RunId, TableId};
use crate::inventory::SequenceState;
use crate::masking::MaskTally;

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codec {
    /// Not at all: the bytes as COPY gave them.
    None,
    /// Zstandard frame, by a fast (negative) level.
    ZstdFast,
    /// Zstandard frame, by the first ordinary level.
    Zstd,
}

impl Codec {
    /// Every codec, the cheapest first.
    pub const ALL: [Self; 3] = [Self::None, Self::ZstdFast, Self::Zstd];

    /// What the object's key ends in, after the format: what a person would unpack it with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::ZstdFast | Self::Zstd => ".zst",
        }
    }

    /// Whether the object is a Zstandard frame.
    pub fn is_packed(self) -> bool {
        self != Self::None
    }
}

/// A chunk that is stored, whole and durable. Only an export makes one, after the store said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChunk {
    /// Which.
    pub chunk: ChunkId,
    /// Which attempt at it, from 1; part of the key, so that no attempt overwrites another.
    pub attempt: u32,
    /// Key of the object below the run's folder.
    pub key: String,
    /// How it is compressed.
    pub codec: Codec,
    /// Bytes that COPY gave.
    pub raw_bytes: u64,
    /// blake3 of the bytes that COPY gave.
    pub raw_hash: Hash,
    /// Bytes of the object.
    pub stored_bytes: u64,
    /// blake3 of the object.
    pub stored_hash: Hash,
    /// Rows, and the sum of their keyed hashes.
    pub digest: RowDigest,
    /// What masking did to its rows, where some columns are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<MaskTally>,
}

/// A table as exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedTable {
    /// Which.
    pub table: TableId,
    /// Rows and digest of all chunks together.
    pub digest: RowDigest,
    /// Raw bytes of all chunks.
    pub raw_bytes: u64,
    /// Stored bytes of all chunks.
    pub stored_bytes: u64,
    /// The chunks, by number.
    pub chunks: Vec<StoredChunk>,
}

/// A file of the run store and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Key below the run's folder.
    pub key: String,
    /// blake3 of its bytes.
    pub hash: Hash,
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The run.
    pub run: RunId,
    /// Hash of `plan.json`.
    pub plan: Hash,
    /// `pg_current_snapshot()` of the snapshot that the rows belong to.
    pub snapshot: String,
    /// WAL position on the source when the snapshot was taken.
    pub snapshot_lsn: String,
    /// When the snapshot was taken, RFC 3339.
    pub snapshot_at: String,
    /// When the manifest was sealed, RFC 3339.
    pub sealed_at: String,
    /// Schema files.
    pub files: Vec<FileEntry>,
    /// Sequences as read in the snapshot's transaction (sequences are not transactional: they may
    /// be ahead of the snapshot's rows, never behind).
    pub sequences: Vec<SequenceState>,
    /// Tables, in the plan's order.
    pub tables: Vec<ExportedTable>,
    /// Hash over all that is above; printed, and can be demanded with `--expect-manifest`.
    pub root: Hash,
}

impl Manifest {
    /// The root hash: of the manifest's canonical JSON with a root of zeroes.
    pub fn compute_root(&self) -> Hash {
        let unsealed = Self {
            root: Hash([0; 32]),
            ..self.clone()
        };
        let bytes = serde_json::to_vec(&unsealed).unwrap_or_default();
        Hash(blake3::derive_key("towpath 2026-11 manifest root", &bytes))
    }

    /// Every stored chunk.
    pub fn chunks(&self) -> impl Iterator<Item = &StoredChunk> {
        self.tables.iter().flat_map(|table| &table.chunks)
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.digest.rows).sum()
    }

    /// Raw bytes of all tables.
    pub fn raw_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.raw_bytes).sum()
    }

    /// Stored bytes of all tables.
    pub fn stored_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.stored_bytes).sum()
    }
}

impl Document for Manifest {
    const FORMAT: &'static str = "towpath-manifest";
    const VERSION: u32 = 2;
}
