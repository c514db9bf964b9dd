//! Verification of a clone for what it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use towpath_mask::Originals;
use towpath_mask::originals::{Tells, tells};
use towpath_model::Result;
use towpath_model::clone::{CloneMark, ClonePlan, CloneState};
use towpath_model::connection::Side;
use towpath_model::inventory::SequenceState;
use towpath_model::journal::RunStage;
use towpath_model::keys;
use towpath_model::manifest::Manifest;
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::subset::TableSubset;
use towpath_model::verification::Verification;
use towpath_store::{Journal, RunStore};
use towpath_verify::{CloneContext, Level};

use crate::context::Context;
use crate::pipeline::clone::{Cloning, Order};
use crate::pipeline::planning::MADE_BY;
use crate::pipeline::verifying::{self, Looking};
use crate::run_files::StoredPlan;
use crate::run_state::RunState;

/// Bytes of a row where nobody has counted rows.
const ROW_BYTES: u64 = 64;

/// Where originals are noted for the residual scan; nothing where none is made.
pub fn originals(order: &Order, plan: &Plan) -> Result<Option<Originals>> {
    if order.key.is_none() || !order.residual {
        return Ok(None);
    }
    let masked = plan.tables.iter().filter(|table| !table.masks.is_empty());
    let (mut values, mut cells) = (0u64, 0u64);
    let mut any = false;
    for table in masked {
        any = true;
        let rows = rows(table);
        let masks = table.masks.values();
        // Documents of which addresses alone are noted hold few; the set grows where they hold many.
        let telling = masks.filter(|mask| tells(&mask.transformer) == Tells::All);
        values = values.saturating_add(rows.saturating_mul(telling.count() as u64));
        if !table.key.is_empty() && !table.key.iter().any(|it| table.masks.contains_key(it)) {
            cells = cells.saturating_add(rows.saturating_mul(table.masks.len() as u64));
        }
    }
    Ok(any.then(|| Originals::new(values, cells)))
}

/// About how many rows of a table go.
fn rows(table: &PlannedTable) -> u64 {
    match table.subset {
        Some(TableSubset::Empty) => 0,
        Some(TableSubset::Kept { estimated_rows, .. }) => estimated_rows,
        None => u64::try_from(table.estimated_rows)
            .unwrap_or(0)
            .max(match table.estimated_rows {
                ..=0 => table.bytes / ROW_BYTES,
                _ => 0,
            }),
    }
}

/// Why what an earlier process has built cannot become a clone any more.
pub async fn must_begin_anew(
    store: &RunStore,
    order: &Order,
    plan: &Plan,
    clone: &ClonePlan,
    state: &RunState,
    mark: &CloneMark,
) -> Result<Option<&'static str>> {
    if mark.state == CloneState::Serving {
        return Ok(None);
    }
    if clone.masks.is_some() && plan.made_by != MADE_BY {
        return Ok(Some(
            "another version of towpath has begun it, whose masks may be others",
        ));
    }
    let scanned = match verifying::latest(store).await? {
        Some((_, found)) if !found.is_clean() => {
            return Ok(Some("its verification has found differences"));
        }
        Some((_, found)) => found.clone.is_some_and(|it| it.residual.is_some()),
        None => false,
    };
    let is_due = order.residual && order.key.is_some() && clone.masks.is_some();
    // What the source held in masked columns is in no file. A sealed run can be asked once more; the
    // source has no such rows any more.
    let is_lost = clone.from.is_none() && state.stage >= Some(RunStage::Sealed);
    let why = "the process that masked its rows knew the originals to look for, and is gone";
    Ok((is_due && is_lost && !scanned).then_some(why))
}

/// Verifies the database aside: everything that a run's target is verified for, and the clone as a
/// clone. Gives the key of the evidence.
pub async fn verify(
    inner: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    cloning: &Cloning,
    manifest: Manifest,
    carried: Vec<SequenceState>,
    journal: &Journal,
) -> Result<(String, Verification)> {
    let looking = Looking {
        clone: Some(Arc::new(clone_context(inner, cloning, &plan.plan)?)),
        reset: carried,
        ..Looking::from(BTreeSet::from(Level::ALL))
    };
    Box::pin(verifying::verify(
        inner, store, plan, manifest, looking, journal, None,
    ))
    .await
}

fn clone_context(inner: &Context, cloning: &Cloning, plan: &Plan) -> Result<CloneContext> {
    let order = &cloning.order;
    let (declared, _) = keys::declared(&order.rules.references, &cloning.facts);
    let originals = cloning.masking.as_ref().and_then(|it| it.originals.clone());
    Ok(CloneContext {
        no_scan: match order.residual {
            true => "nothing is masked".to_owned(),
            false => "the residual scan is off".to_owned(),
        },
        originals,
        // A clone of a sealed run leaves the source alone.
        source: match cloning.from {
            Some(_) => None,
            None => Some(inner.url(Side::Source)?),
        },
        declared: Some(declared),
        allowed: verifying::allowed(plan),
        is_thorough: false,
    })
}
