//! What a server is and which relations hold rows: the facts a plan is made of.

use serde::{Deserialize, Serialize};

use crate::name::QualifiedName;

/// Facts about a server and the login on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `server_version_num`, as in 150018.
    pub version_num: u32,
    /// `pg_control_system().system_identifier` where readable: tells two clusters apart.
    pub system_identifier: Option<String>,
    /// Current database.
    pub database: String,
    /// Login role.
    pub user: String,
    /// The role is superuser.
    pub is_superuser: bool,
    /// The role bypasses row-level security.
    pub bypasses_rls: bool,
    /// The role may create roles.
    pub can_create_roles: bool,
    /// Database encoding.
    pub encoding: String,
    /// Collation of the database.
    pub collation: String,
    /// Search path that the login begins its sessions with. Functions of the user's call others
    /// without naming their schema; whatever reads or writes rows must find what they find.
    pub search_path: String,
    /// Connection uses TLS.
    pub uses_tls: bool,
    /// Names and default versions of `pg_available_extensions`.
    pub available_extensions: std::collections::BTreeMap<String, String>,
    /// Bytes of the database.
    pub database_bytes: u64,
}

impl ServerFacts {
    /// Major version, as in 15.
    pub fn major(&self) -> u32 {
        self.version_num / 10_000
    }
}

/// A column of a relation that holds rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type as `format_type` writes it with an empty search path.
    pub type_name: String,
    /// Whether the type's binary form is the same on any server of the same major version: a
    /// built-in type, an enum, or a domain or range over such. Arrays and composites of user
    /// types carry OIDs in their binary form, and `reg*` types are OIDs.
    pub binary_safe: bool,
    /// Generated columns are computed by the target and left out of every copy.
    pub generated: bool,
    /// Part of the primary key: its position, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_position: Option<u16>,
}

/// Kinds of relations that hold rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationKind {
    /// Ordinary table, leaf partitions and inheritance children included.
    Table,
    /// Materialized view: filled by refresh, never copied.
    MaterializedView,
    /// Foreign table: its rows live elsewhere.
    ForeignTable,
}

/// A relation of the source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Name.
    pub name: QualifiedName,
    /// OID on the source.
    pub oid: u32,
    /// Kind.
    pub kind: RelationKind,
    /// Owner.
    pub owner: String,
    /// Extension it is a member of.
    pub extension: Option<String>,
    /// Whether the login may read every column.
    pub readable: bool,
    /// Row-level security is on.
    pub row_security: bool,
    /// Row-level security applies to the owner too.
    pub force_row_security: bool,
    /// Not crash-safe, and emptied by a failover.
    pub unlogged: bool,
    /// Has a parent by inheritance or partitioning.
    pub is_child: bool,
    /// Pages of the main fork now (`pg_relation_size / block_size`).
    pub pages: u64,
    /// Bytes of heap and TOAST.
    pub bytes: u64,
    /// Planner's estimate of rows; -1 when never analysed.
    pub estimated_rows: i64,
    /// Columns in order.
    pub columns: Vec<Column>,
}

/// State of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceState {
    /// Which.
    pub name: QualifiedName,
    /// Last value handed out, or the first to hand out when it was never called.
    pub last_value: i64,
    /// Whether `last_value` was handed out already.
    pub is_called: bool,
}
