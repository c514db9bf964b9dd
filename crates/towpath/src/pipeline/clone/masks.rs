//! Masks of a clone: rules become masks of the plan's columns, and what the database would refuse is
//! refused before anything is copied.

use towpath_model::Result;
use towpath_model::keys::KeyFacts;
use towpath_model::plan::Plan;
use towpath_postgres::Session;

use crate::context::Context;
use crate::pipeline::clone::Order;

/// Enters masks into a plan: `PlannedTable::masks`, formats, and `ClonePlan::masks`. Refused with
/// [`towpath_model::ErrorKind::Blocked`], all refusals at once.
pub fn plan(_context: &Context, _order: &Order, _facts: &KeyFacts, _plan: &mut Plan) -> Result<()> {
    Ok(())
}

/// Masks a sample of rows and lets the source say whether its types, domains and checks take them.
pub async fn try_constraints(
    _order: &Order,
    _facts: &KeyFacts,
    _plan: &Plan,
    _session: &mut Session,
) -> Result<()> {
    Ok(())
}
