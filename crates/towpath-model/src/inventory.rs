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
    /// What the server lets its login make.
    #[serde(default)]
    pub abilities: Abilities,
    /// How much work it takes at once.
    #[serde(default)]
    pub capacity: Capacity,
}

/// How much work a server takes at once, as far as it tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Sessions that the login could open when it was asked: what `max_connections` leaves beside
    /// reserved and open ones, or the limit of role or database.
    pub free_connections: Option<u32>,
    /// `max_worker_processes`. On RDS it follows the instance: twice its virtual CPUs, at least 8
    /// (Amazon RDS user guide, default parameter group: `GREATEST({DBInstanceVCPU*2},8)`).
    pub worker_processes: Option<u32>,
}

/// What a server lets its login make, beyond the attributes of the role.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Abilities {
    /// `rds.allowed_extensions`, unless it is unset, empty or `*`: no other extension can be made.
    pub allowed_extensions: Option<std::collections::BTreeSet<String>>,
    /// `rds.extensions`, where the server has it. Told, not obeyed: the list of an RDS server lags
    /// behind what it offers (Amazon RDS user guide, "Using PostgreSQL extensions").
    pub listed_extensions: Option<std::collections::BTreeSet<String>>,
    /// `shared_preload_libraries`, where the login may read it.
    pub preloaded: Option<std::collections::BTreeSet<String>>,
    /// `cron.database_name`: the one database of the server that can have `pg_cron`.
    pub cron_database: Option<String>,
    /// The login, or a role it is a member of, owns the database.
    pub owns_database: bool,
    /// The login may make event triggers. No catalog tells, so it is asked for only where the
    /// source has some of the user's.
    pub makes_event_triggers: bool,
}

/// Extensions that refuse to be made while their library is not preloaded.
const NEED_PRELOAD: [&str; 4] = ["pg_cron", "pg_tle", "pgaudit", "timescaledb"];

impl ServerFacts {
    /// The version of an extension that this server makes; the error says why it makes none.
    pub fn offers(&self, extension: &str) -> std::result::Result<&str, &'static str> {
        let abilities = &self.abilities;
        let Some(version) = self.available_extensions.get(extension) else {
            return Err("the target does not offer it");
        };
        let is_allowed = |allowed: &std::collections::BTreeSet<String>| allowed.contains(extension);
        if !abilities.allowed_extensions.as_ref().is_none_or(is_allowed) {
            return Err("rds.allowed_extensions of the target does not name it");
        }
        let is_loaded = |loaded: &std::collections::BTreeSet<String>| loaded.contains(extension);
        if NEED_PRELOAD.contains(&extension) && !abilities.preloaded.as_ref().is_none_or(is_loaded)
        {
            return Err(
                "its library is not in the target's shared_preload_libraries: add it to the parameter group and restart",
            );
        }
        if extension == "pg_cron"
            && abilities
                .cron_database
                .as_ref()
                .is_some_and(|database| *database != self.database)
        {
            return Err(
                "the target has it in the database that cron.database_name names, not here",
            );
        }
        Ok(version)
    }

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
    /// Bytes of its indexes: work that begins when its rows are in.
    #[serde(default)]
    pub index_bytes: u64,
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

/// The large objects of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// How many there are.
    pub count: u64,
    /// Bytes of all of them on disk.
    pub bytes: u64,
    /// How many the login may not read.
    pub unreadable: u64,
    /// OIDs of the first of those.
    pub unreadable_oids: Vec<u32>,
    /// OIDs that cut them into groups of about equal size, ascending: the first of each group.
    pub bounds: Vec<u32>,
}

/// Large objects that are on a target before the load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignLargeObjects {
    /// How many there are.
    pub count: u64,
    /// OIDs among them that the source has too.
    pub taken: Vec<u32>,
}

/// One line of a migration history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Version.
    pub version: String,
    /// Name, where it has one.
    pub name: Option<String>,
    /// Whether any statement is recorded.
    pub has_statements: bool,
    /// Fingerprint of the statements, where there are some.
    pub fingerprint: Option<String>,
    /// Whether the statements seem to hold a secret.
    pub holds_secret: bool,
}

/// The migration history of a project, as its own tool records it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationHistory {
    /// Every version, sorted.
    pub migrations: Vec<Migration>,
    /// The server's clock in UTC as `YYYYMMDDHHMMSS`.
    pub now: String,
}
