//! Hooks of a clone.

use towpath_model::Result;
use towpath_model::plan::Plan;

use crate::context::Context;
use crate::pipeline::clone::database::Destination;

/// Runs what is to be done once the clone serves: seed users, feature flags.
pub async fn after_swap(_context: &Context, _plan: &Plan, _destination: &Destination) -> Result<()> {
    Ok(())
}
