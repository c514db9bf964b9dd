//! What the catalogs and statistics of a server tell about how it is doing: facts that the checklist
//! after a move is made of. Nothing here is compared between servers or written down.

use std::fmt;

use serde::Deserialize;

use crate::inventory::SequenceState;
use crate::name::{QualifiedName, readable};

/// Something that belongs to a table: an index or a constraint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct OnTable {
    /// Schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its own name.
    pub name: String,
}

/// `orders_pkey on public.orders`.
impl fmt::Display for OnTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, table) = (readable(&self.schema), readable(&self.table));
        write!(f, "{} on {schema}.{table}", readable(&self.name))
    }
}

/// An index that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BrokenIndex {
    /// Which.
    #[serde(flatten)]
    pub index: OnTable,
    /// Queries may use it.
    pub valid: bool,
    /// Writes keep it up.
    pub ready: bool,
    /// Somebody builds it at this moment.
    pub is_being_built: bool,
}

/// A column that takes its values from a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SequenceColumn {
    /// The sequence.
    pub sequence: QualifiedName,
    /// The table.
    pub table: QualifiedName,
    /// The column.
    pub column: String,
    /// Largest value of the column's type; nothing when it is not an integer.
    pub largest: Option<i64>,
    /// What each call adds.
    pub increment: i64,
    /// Smallest value of the sequence.
    pub min: i64,
    /// Largest value of the sequence.
    pub max: i64,
    /// Begins anew at the end.
    pub cycles: bool,
    /// The login may read column and sequence, and sees every row.
    pub readable: bool,
    /// An index has the column first, or the table is small.
    pub is_cheap: bool,
}

/// How far a sequence is, and how far its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceUse {
    /// Sequence and column.
    pub of: SequenceColumn,
    /// Why nobody looked, or what was found.
    pub found: Result<SequenceReach, String>,
}

/// Where a sequence and the values of its column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceReach {
    /// The sequence, read after the column.
    pub state: SequenceState,
    /// The column's value that is furthest in the sequence's direction; nothing when it holds none.
    pub furthest: Option<i64>,
}

/// A subscription of the database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscription {
    /// Name.
    pub name: String,
    /// Where it reads, without a password; nothing when the login may not see it.
    pub connection: Option<String>,
}

/// A scheduled job of `pg_cron`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScheduledJob {
    /// Name, or its number.
    pub name: String,
    /// Command and host it runs on. May hold anything: never shown.
    pub text: String,
}

/// Indexes of one table that are the same but for their names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DuplicateIndexes {
    /// The table.
    pub table: QualifiedName,
    /// Their names: first the one to keep.
    pub indexes: Vec<String>,
}

/// A foreign key that no index serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BareForeignKey {
    /// The constraint.
    #[serde(flatten)]
    pub key: OnTable,
    /// Its columns.
    pub columns: Vec<String>,
    /// Bytes of the table that has it.
    pub bytes: u64,
}

/// An index that nobody has read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UnusedIndex {
    /// Which.
    #[serde(flatten)]
    pub index: OnTable,
    /// Its bytes.
    pub bytes: u64,
}

/// Sessions of one kind on a database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sessions {
    /// What the client calls itself; empty when it does not.
    pub application: String,
    /// Role.
    pub role: String,
    /// State, as in `idle`; nothing when the login may not see it.
    pub state: Option<String>,
    /// How many.
    pub count: u64,
    /// One of them has written in the transaction that is open.
    pub writes: bool,
}

/// A collation whose library is not the one that sorted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StaleCollation {
    /// Name; of the database itself its name.
    pub name: String,
    /// Version that the catalog has.
    pub recorded: String,
    /// Version that the server runs with.
    pub actual: String,
}

/// What is read of a target besides its structure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetUpkeep {
    /// Indexes that are invalid or not ready.
    pub broken_indexes: Vec<BrokenIndex>,
    /// Tables with rows and without statistics.
    pub without_statistics: Vec<QualifiedName>,
    /// How many tables were looked at for that.
    pub tables: u64,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Jobs of `pg_cron`, where it is there and may be read.
    pub jobs: Vec<ScheduledJob>,
    /// Same indexes.
    pub duplicate_indexes: Vec<DuplicateIndexes>,
    /// Foreign keys without an index.
    pub bare_foreign_keys: Vec<BareForeignKey>,
    /// Collations of another version.
    pub stale_collations: Vec<StaleCollation>,
    /// `autovacuum` and what it needs, `track_counts`, are on.
    pub autovacuum: bool,
}

/// What is read of a source after the move.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceUse {
    /// Who is connected, towpath aside.
    pub sessions: Vec<Sessions>,
    /// Indexes that were not read since the statistics began.
    pub unused_indexes: Vec<UnusedIndex>,
    /// Seconds since then; nothing when they were never reset.
    pub statistics_age_s: Option<u64>,
}

/// A query of `pg_stat_statements`.
#[derive(Clone, PartialEq, Deserialize)]
pub struct TopQuery {
    /// `queryid`.
    pub id: String,
    /// Text with its constants taken out; comments may still hold anything, so it is never shown
    /// unasked.
    pub text: String,
    /// How often it ran.
    pub calls: u64,
    /// How long all of them took.
    pub total_ms: f64,
}

impl fmt::Debug for TopQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query {}", self.id)
    }
}
