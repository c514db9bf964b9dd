//! From rules to masks of columns: globs, types, comments, foreign keys and partitions; and what the
//! database would refuse, before anything is copied.

use std::collections::BTreeMap;

use towpath_model::clone_rules::CloneRules;
use towpath_model::keys::KeyFacts;
use towpath_model::masking::PlannedMask;
use towpath_model::name::QualifiedName;
use towpath_model::plan::PlannedTable;

/// Masks of all tables, and what stands in their way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// By table and column.
    pub masks: BTreeMap<QualifiedName, BTreeMap<String, PlannedMask>>,
    /// Tables whose rows must travel as CSV, because the binary form of a masked column's type is
    /// not known, each with the reason.
    pub as_csv: BTreeMap<QualifiedName, String>,
    /// What is refused: sentences with the way out.
    pub refusals: Vec<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Resolves the rules for the planned tables.
pub fn resolve(
    _rules: &CloneRules,
    _place: &str,
    _facts: &KeyFacts,
    _tables: &[PlannedTable],
) -> Resolved {
    Resolved::default()
}
