//! What verification found: `verify/<n>.json`.

use serde::{Deserialize, Serialize};

use crate::access::{AccessDifference, AccessProof};
use crate::clone::{CloneFinding, CloneProof};
use crate::custody::Chain;
use crate::digest::{Hash, RowDigest};
use crate::document::Document;
use crate::health::{HealthFinding, HealthProof};
use crate::ids::{ChunkId, RunId};
use crate::inventory::SequenceState;
use crate::name::QualifiedName;
use crate::structure::StructureDifference;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Difference {
    /// A stored object is gone.
    ChunkMissing {
        /// Which chunk.
        chunk: ChunkId,
        /// Key of the object.
        key: String,
    },
    /// A stored object is not what the manifest says.
    ChunkCorrupt {
        /// Which chunk.
        chunk: ChunkId,
        /// Key of the object.
        key: String,
        /// Which link broke: `stored bytes`, `raw bytes`, `rows`.
        link: String,
        /// What the manifest says.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A schema file is not what the manifest says.
    FileCorrupt {
        /// Key of the object.
        key: String,
        /// Hash the manifest says.
        expected: Hash,
        /// Hash found, or nothing when the file is gone.
        found: Option<Hash>,
    },
    /// A table holds other rows than were exported, or than the source holds now.
    Rows {
        /// Which table.
        table: QualifiedName,
        /// Rows and digest exported; against the live source, those of the source.
        expected: RowDigest,
        /// Rows and digest on the target.
        found: RowDigest,
        /// The rows that differ, as far as they were looked for.
        located: Vec<RowDifference>,
        /// Which side is no longer what was exported. Nothing where the export was the measure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        story: Option<Story>,
        /// Why `located` does not name every row that differs; nothing when it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rest: Option<String>,
    },
    /// A table of the manifest is not on the target, or its columns cannot be read.
    TableUnreadable {
        /// Which table.
        table: QualifiedName,
        /// Why.
        reason: String,
    },
    /// A sequence is elsewhere.
    Sequence {
        /// State exported.
        expected: SequenceState,
        /// State on the target; nothing when the sequence is not there.
        found: Option<SequenceState>,
    },
    /// The structure differs.
    Structure(StructureDifference),
    /// A table holds another number of rows than were exported.
    Counts {
        /// Which table.
        table: QualifiedName,
        /// Rows exported.
        expected: u64,
        /// Rows on the target.
        found: u64,
    },
    /// A role sees or may do something else.
    Access(AccessDifference),
    /// A check of the target's health failed.
    Health(HealthFinding),
    /// A clone is not what it should be, or holds what it must not.
    Clone(CloneFinding),
    /// The documents of the run do not agree with each other.
    Chain {
        /// Which table; nothing when it is about the manifest as a whole.
        table: Option<QualifiedName>,
        /// Which link broke: `root`, `planned`, `complete`, `sum`.
        link: String,
        /// What was found.
        found: String,
    },
}

/// Which side of a table has moved, told by three digests: of the export, of the source now and of
/// the target now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Story {
    /// The target holds what was exported, the source no longer does: it was written to since.
    SourceMoved,
    /// The source holds what was exported, the target does not.
    TargetDiffers,
    /// Neither holds what was exported.
    BothDiffer,
    /// Digests of servers cannot be compared with the export's.
    Unknown,
}

impl Story {
    /// As a person says it.
    pub const fn told(self) -> &'static str {
        match self {
            Self::SourceMoved => {
                "the source has changed since the export, the target holds what was exported"
            }
            Self::TargetDiffers => "the source holds what was exported, the target differs from it",
            Self::BothDiffer => {
                "the source has changed since the export, and the target is not what was exported either"
            }
            Self::Unknown => {
                "a source that is in use may have changed since the export; `--read stream` tells"
            }
        }
    }
}

/// How one row differs. Named by its key, never by its other values unless somebody asked for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// Missing on the target, extra there, changed or there more often.
    pub how: RowChange,
    /// Columns and values of the primary key; for keyless tables empty.
    pub key: Vec<(String, String)>,
    /// Keyed hash of the row, short; for keyless tables all there is.
    pub row: String,
    /// Columns whose values differ, of a changed row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// How many such rows are missing or too many.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u64,
    /// Values, where somebody asked for them. Never stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<ValueDifference>>,
}

const fn once() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
const fn is_once(times: &u64) -> bool {
    *times == 1
}

/// A value on both sides, as far as it fits a line. Texts are quoted, NULL is `null`; nothing where
/// the side has no such row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueDifference {
    /// Which column.
    pub column: String,
    /// The value exported, or of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The value on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowChange {
    /// Exported, not on the target, or less often there.
    Missing,
    /// On the target, not exported.
    Extra,
    /// On both with the same key and other values.
    Changed,
    /// On the target more often than exported.
    Duplicated,
}

/// What was compared for one table where the source was the measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProof {
    /// Which.
    pub table: QualifiedName,
    /// Rows and digest exported.
    pub exported: RowDigest,
    /// Rows and digest of the source now.
    pub source: RowDigest,
    /// Rows and digest of the target now.
    pub target: RowDigest,
    /// Who digested: digests of servers cannot be compared with the export's.
    pub reading: Reading,
    /// Why rows were read although the servers were asked to digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was compared for one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProof {
    /// Which.
    pub table: QualifiedName,
    /// Rows and digest exported.
    pub expected: RowDigest,
    /// Rows and digest read afresh from the target.
    pub found: RowDigest,
}

/// How many rows a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// Which.
    pub table: QualifiedName,
    /// Rows exported.
    pub expected: u64,
    /// Rows on the target.
    pub found: u64,
}

/// What rows on the target are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// With what was exported.
    #[default]
    Manifest,
    /// With what the source holds now.
    Live,
}

/// Who digests rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// towpath reads them and digests them as the export does.
    #[default]
    Stream,
    /// The servers digest their own rows.
    Pushdown,
}

/// How an evidence is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithm {
    /// Ed25519 over the signed bytes: whoever has the public key can check it.
    Ed25519,
    /// blake3 over the signed bytes, keyed by a key derived from the run key: only who can read the
    /// run store can check it, or make it.
    KeyedBlake3,
}

/// The signature of an evidence, the last field of its file. It covers every byte before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// How it was made.
    pub algorithm: SignatureAlgorithm,
    /// The public key; of a keyed hash, the fingerprint of the key. In hex.
    pub key: String,
    /// The signature, in hex.
    pub value: String,
}

/// `verify/<n>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The run.
    pub run: RunId,
    /// The rehearsal that keeps it, where it is another run than the one verified: its target was a
    /// scratch database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RunId>,
    /// Root hash of the manifest that was the measure.
    pub manifest: Hash,
    /// Which source was looked at, `host:port/database`; nothing when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_database: Option<String>,
    /// Which target was looked at: a scratch database proves nothing of the real one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_database: Option<String>,
    /// When it began, RFC 3339.
    pub began_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: String,
    /// What was looked at: `chunks`, `counts`, `rows`, `sequences`, `schema`, `access`, `health`.
    pub levels: Vec<String>,
    /// What rows were compared with.
    pub source: Measure,
    /// Who digested rows.
    pub reading: Reading,
    /// Stored objects checked.
    pub chunks_checked: u64,
    /// Tables compared.
    pub tables: Vec<TableProof>,
    /// Tables compared where the source was the measure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub live: Vec<LiveProof>,
    /// Tables counted.
    pub counts: Vec<TableCount>,
    /// Sequences compared.
    pub sequences_checked: u64,
    /// Objects of the structure compared.
    pub objects_checked: u64,
    /// What roles see and may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessProof>,
    /// The target's health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthProof>,
    /// What was proven of a clone as a clone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone: Option<CloneProof>,
    /// What differs; empty means proven equal.
    pub differences: Vec<Difference>,
    /// From the stored object to the rows of the target.
    pub chain: Chain,
    /// Over all that is above; nothing until it is stored. The last field, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Verification {
    /// No difference was found.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    /// The same without values of rows: what may be stored.
    #[must_use]
    pub fn without_values(mut self) -> Self {
        for difference in &mut self.differences {
            if let Difference::Rows { located, .. } = difference {
                located.iter_mut().for_each(|row| row.values = None);
            }
        }
        for query in self.health.iter_mut().flat_map(|it| &mut it.queries) {
            query.text = None;
        }
        self
    }

    /// Whether it carries a signature of this ed25519 public key, in hex. That the signature holds
    /// is for the reader of the evidence to prove.
    pub fn is_signed_by(&self, public_key: &str) -> bool {
        self.signature.as_ref().is_some_and(|signature| {
            signature.algorithm == SignatureAlgorithm::Ed25519 && signature.key == public_key
        })
    }

    /// The run whose folder keeps it, and whose key signs it where no other does.
    pub fn keeper(&self) -> &RunId {
        self.rehearsal.as_ref().unwrap_or(&self.run)
    }

    /// Whether a level was looked at.
    pub fn looked_at(&self, level: &str) -> bool {
        self.levels.iter().any(|it| it == level)
    }
}

impl Document for Verification {
    const FORMAT: &'static str = "towpath-verification";
    const VERSION: u32 = 2;
}
