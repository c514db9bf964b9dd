//! Which tables are fenced, and how strongly each can be.

use std::collections::BTreeSet;

use serde::Deserialize;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::options::FenceOptions;

/// How a table is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    /// By a trigger that fires for everybody: only the owner or a superuser switches it off.
    Always,
    /// By a trigger on a table of somebody else's. Who may set `session_replication_role` writes
    /// past it.
    Weak,
    /// Not at all.
    Open,
}

impl Strength {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Strength::Always => "always",
            Strength::Weak => "weak",
            Strength::Open => "open",
        }
    }
}

/// A table of the source.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Table {
    schema: String,
    name: String,
    pub(crate) oid: u32,
    /// Its rows have gone. Else it belongs to the tree of one whose rows have.
    pub(crate) planned: bool,
    pub(crate) partitioned: bool,
    pub(crate) owner: String,
    owned: bool,
    may_trigger: bool,
    pub(crate) may_lock: bool,
    /// A subscription writes to it.
    pub(crate) subscribed: bool,
}

impl Table {
    pub(crate) fn name(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, &self.name)
    }

    pub(crate) fn quoted(&self) -> String {
        self.name().quoted()
    }

    pub(crate) fn strength(&self) -> Strength {
        match (self.owned, self.may_trigger) {
            (true, _) => Strength::Always,
            // Workers of a subscription write as replicas do: nothing but an owner's trigger
            // holds them.
            (false, true) if !self.subscribed => Strength::Weak,
            _ => Strength::Open,
        }
    }

    /// Workers of a subscription fire row triggers only (PostgreSQL manual, "Logical Replication
    /// Architecture"); a partitioned table has no rows of its own.
    pub(crate) fn wants_row_trigger(&self) -> bool {
        self.subscribed && !self.partitioned
    }
}

/// Reads the tables, and refuses those that cannot be fenced and were not accepted.
pub(crate) async fn read(session: &mut Session, options: &FenceOptions) -> Result<Vec<Table>> {
    let names: Vec<[&str; 2]> = options
        .tables
        .iter()
        .map(|name| [name.schema.as_str(), name.name.as_str()])
        .collect();
    let names = serde_json::to_string(&names).map_err(|cause| {
        Failure::new(ErrorKind::Internal, "could not name the tables to fence").because(cause)
    })?;
    let tables: Vec<Table> = session
        .fetch(include_str!("sql/tables.sql"), &[&names])
        .await
        .map_err(|failure| failure.while_doing("could not look at the tables to fence"))?;
    let there: BTreeSet<QualifiedName> = tables.iter().map(Table::name).collect();
    let gone: Vec<String> = options
        .tables
        .iter()
        .filter(|name| !there.contains(name))
        .map(ToString::to_string)
        .collect();
    if !gone.is_empty() {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "these tables of the run are no longer on the source: {}",
                gone.join(", ")
            ),
        )
        .hint("the source has changed since the export; begin a new run"));
    }
    refuse_open(&tables, options)?;
    Ok(tables)
}

/// What stays open although its rows have gone.
pub(crate) fn open(tables: &[Table], options: &FenceOptions) -> Vec<QualifiedName> {
    let tables = tables
        .iter()
        .filter(|table| table.planned && table.strength() == Strength::Open)
        .map(Table::name);
    tables.chain(options.unfenceable.iter().cloned()).collect()
}

fn refuse_open(tables: &[Table], options: &FenceOptions) -> Result<()> {
    let open = open(tables, options);
    let refused: Vec<String> = open
        .iter()
        .filter(|name| !options.accept_open.contains(&name.to_string()))
        .map(
            |name| match tables.iter().find(|table| table.name() == *name) {
                Some(table) => format!("{name} (of {})", table.owner),
                None => name.to_string(),
            },
        )
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("the source login cannot fence these: {}", refused.join(", ")),
    )
    .hint("grant it TRIGGER on them, or stop by other means what writes to them and name them in fence.accept_open"))
}
