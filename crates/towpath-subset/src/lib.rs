//! Subsets: which rows go into a clone, closed over references, chosen in one snapshot of the source.
//!
//! Nothing is written to the source, and no value of any row leaves it for the choice: a row is known
//! by its place (`ctid`), which is its name for as long as the snapshot lives.
//!
//! # What goes
//!
//! - A *choice begins* with tables that have a rule with `where`, `percent` or `limit`, and with the
//!   `roots`. The `percent` and `limit` of all are for roots without a rule of their own. Where they
//!   are given and no root is, roots are the tables that refer to no other table and that some other
//!   refers to; of tables that refer to each other in a circle, all.
//! - Rows that refer to a chosen row go as well, and rows that refer to those: *children follow*,
//!   unless the rule of the table that is referred to says `leave`.
//! - Rows that a row refers to go with it, always and transitively: *parents are never missing*. A row
//!   that goes only because somebody refers to it does not bring its other children: through a country
//!   everybody would come.
//! - `rows = "all"` adds every row of a table, as parents go: without its children, unless its rule
//!   says `follow`.
//! - `rows = "none"` leaves a table empty, as presets leave others. Rows that refer to it cannot go
//!   then, whatever else wants them, nor can those that refer to these. Only a reference whose column
//!   is masked to NULL is none: it holds nothing together any more.
//! - Tables that no reference connects with a table where the choice begins go whole, but for rows
//!   that would refer to what does not go.
//!
//! A rule for a partitioned table is one for its partitions; of two, the nearer one counts. Foreign
//! keys do not reach the children of an inheritance parent, and nor does anything here. Declared
//! references lead to rows as foreign keys do, and may lead nowhere on the source already, which
//! keeps no row from going.
//!
//! The same seed takes the same keys: `percent` by a hash of the key against a threshold, so that
//! twenty per cent hold the ten, `limit` by the smallest hashes. Keyless tables hash the whole row.

mod closure;
mod marks;
mod places;
mod scheme;

use towpath_model::Result;
use towpath_model::clone_rules::SubsetRules;
use towpath_model::keys::{KeyFacts, Reference};
use towpath_model::plan::PlannedTable;
use towpath_model::references;
use towpath_model::stop::Stop;
use towpath_model::subset::KeptRows;
use towpath_postgres::Session;

pub use scheme::{SEED, rule_of};

use scheme::Scheme;

/// What is chosen from.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'c> {
    /// Rules.
    pub rules: &'c SubsetRules,
    /// Foreign keys, partitions, columns.
    pub facts: &'c KeyFacts,
    /// References that the rules declare.
    pub declared: &'c [Reference],
    /// The tables of the plan.
    pub tables: &'c [PlannedTable],
    /// Tables of which no row goes, whatever refers to them; a reference to one of them must be
    /// dropped by its rows.
    pub empty: &'c [towpath_model::QualifiedName],
    /// Search path of the source's login, under which conditions of the rules are read.
    pub search_path: &'c str,
    /// Looked at between questions.
    pub stop: &'c Stop,
}

/// Chooses rows, in the snapshot of the session's transaction, which is as it was afterwards.
///
/// Which tables are named in the answer depends on rules and references alone, never on rows.
pub async fn choose(session: &mut Session, choice: Choice<'_>) -> Result<KeptRows> {
    let scheme = Scheme::of(&choice)?;
    if !scheme.asks_the_source() {
        return Ok(scheme.without_rows());
    }
    // Settings are for this only; a condition that fails must not take the transaction with it.
    session.execute("savepoint towpath_subset").await?;
    let chosen = Box::pin(choose_within(session, &choice, &scheme)).await;
    if let Err(failure) = &chosen
        && failure.kind() == towpath_model::ErrorKind::Connect
    {
        return chosen;
    }
    let back = "rollback to savepoint towpath_subset; release savepoint towpath_subset";
    let is_back = session.execute(back).await;
    // What failed first is what there is to tell.
    let chosen = chosen?;
    is_back.map(|()| chosen)
}

async fn choose_within(
    session: &mut Session,
    choice: &Choice<'_>,
    scheme: &Scheme<'_>,
) -> Result<KeptRows> {
    let references = scheme.edges.iter().map(|edge| edge.reference);
    let path = references::search_path(choice.search_path, references, choice.facts);
    session.use_search_path(&path).await?;
    // Rows are joined a hundred thousand at a time: what they are hashed in should not go to files.
    session
        .execute("set local work_mem = '64MB'; set local jit = off")
        .await?;
    closure::close(session, choice, scheme).await
}
