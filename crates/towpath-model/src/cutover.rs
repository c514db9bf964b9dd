//! What a cutover leaves behind for its report, for its resumption and for the way back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::RowDigest;
use crate::ids::TableId;
use crate::name::QualifiedName;

/// The schema of the fence on the source. It belongs to towpath, and goes nowhere.
pub const FENCE_SCHEMA: &str = "towpath_fence";

/// How clients of a fenced source are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceMode {
    /// Writes fail, with a message that says where the database went.
    Refuse,
    /// Writes wait until every consumer is switched, and fail then; at most a set time. Where the
    /// process dies that keeps them waiting they fail.
    Wait,
}

/// A fence that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// WAL position of the source at which it stood. Every earlier commit is behind it.
    pub lsn: String,
    /// When the last lock was granted, by the source's clock, in milliseconds since 1970. No write
    /// to a migrated table was accepted later.
    pub at_ms: u64,
    /// How clients are treated.
    pub mode: FenceMode,
    /// How many tables refuse writes.
    pub tables: u64,
    /// Tables of others where the fence can be overridden by whoever may switch triggers off.
    pub weak: Vec<QualifiedName>,
    /// Tables that could not be fenced.
    pub open: Vec<QualifiedName>,
}

/// A table that was brought to where the source was behind the fence: from then on this, and not the
/// export, is what the target should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaughtUpTable {
    /// Which.
    pub table: TableId,
    /// Its name.
    pub name: QualifiedName,
    /// Rows and digest of the source behind the fence, made as those of the export.
    pub digest: RowDigest,
}

/// What the target had been written at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The oldest transaction id that was in progress or not yet assigned, cluster-wide
    /// (`pg_snapshot_xmin`): every later write has this one or a later one.
    pub xid: String,
    /// Rows inserted, updated and deleted in tables so far, by the statistics; by OID, where not 0.
    #[serde(default, with = "pairs")]
    pub written: BTreeMap<u32, u64>,
    /// When the statistics were last reset, as the server says it.
    #[serde(default)]
    pub reset: String,
    /// Fingerprint of the tables that there were.
    #[serde(default)]
    pub tables: String,
    /// Fingerprint of their files: another one where a table was truncated.
    #[serde(default)]
    pub files: String,
    /// When, by the target's clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Something that was checked, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Which list it belongs to.
    pub list: Checklist,
    /// Its name in that list, such as `verification-age` or `invoke orders-api`.
    pub item: String,
    /// How it went.
    pub outcome: CheckOutcome,
    /// What was seen, without values.
    pub seen: String,
}

/// The lists that a cutover ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checklist {
    /// Before the move.
    Before,
    /// What must hold before the fence.
    Gate,
    /// What shows that consumers reach the target.
    Probe,
    /// After the move.
    After,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// Seen to hold.
    Passed,
    /// Seen not to hold.
    Failed,
    /// Not asked for, or not applicable; the text says which.
    Skipped,
}

/// The time in which no write was accepted anywhere. Bounds, each by the clock that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteGap {
    /// The source refused from here on: the fence's moment, by the source's clock, in milliseconds
    /// since 1970.
    pub refused_from_ms: u64,
    /// The first consumer was confirmed to point at the target, by the clock of this machine
    /// brought to the source's, in milliseconds since 1970.
    pub first_switched_ms: Option<u64>,
    /// The last one was.
    pub last_switched_ms: Option<u64>,
    /// The first write seen on the target; none within the watch when absent.
    pub first_write_seen_ms: Option<u64>,
}

/// A map as a list of pairs: within a tagged entry of the journal, keys that are numbers would not
/// be read back.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<u32, u64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<u32, u64>, D::Error> {
        Ok(Vec::<(u32, u64)>::deserialize(from)?.into_iter().collect())
    }
}
