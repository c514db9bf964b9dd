//! Rows of a clone: planned, and chosen anew in the snapshot of the export.

use towpath_model::Result;
use towpath_model::keys::KeyFacts;
use towpath_model::plan::Plan;
use towpath_model::subset::KeptRows;
use towpath_postgres::SnapshotHolder;

use crate::pipeline::clone::{Cloning, Order};

/// Enters into a plan which rows go: `PlannedTable::subset` and `ClonePlan::subset`.
pub async fn plan(
    _order: &Order,
    _facts: &KeyFacts,
    _plan: &mut Plan,
    _holder: &mut SnapshotHolder,
) -> Result<()> {
    Ok(())
}

/// The rows that go, in the snapshot that is held.
pub async fn choose(
    _cloning: &Cloning,
    _plan: &Plan,
    _holder: &mut SnapshotHolder,
) -> Result<KeptRows> {
    Ok(KeptRows::default())
}
