//! Verification of a clone for what it is.

use std::collections::BTreeSet;

use towpath_mask::Originals;
use towpath_model::Result;
use towpath_model::inventory::SequenceState;
use towpath_model::manifest::Manifest;
use towpath_model::plan::Plan;
use towpath_model::verification::Verification;
use towpath_store::{Journal, RunStore};
use towpath_verify::Level;

use crate::context::Context;
use crate::pipeline::clone::{Cloning, Order};
use crate::pipeline::verifying;
use crate::run_files::StoredPlan;

/// Where originals are noted for the residual scan; nothing where none is made.
pub fn originals(_context: &Context, _order: &Order, _plan: &Plan) -> Result<Option<Originals>> {
    Ok(None)
}

/// Verifies the database aside: everything that a run's target is verified for, and the clone as a
/// clone. Gives the key of the evidence.
pub async fn verify(
    inner: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    _cloning: &Cloning,
    manifest: Manifest,
    _carried: Vec<SequenceState>,
    journal: &Journal,
) -> Result<(String, Verification)> {
    let levels = BTreeSet::from(Level::ALL);
    Box::pin(verifying::verify(
        inner, store, plan, manifest, levels, journal, None,
    ))
    .await
}
