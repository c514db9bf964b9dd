//! The way back, on command.

use towpath_model::event::{Events, Stage, Unit};
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::RunStore;

use crate::apply::read_stands;
use crate::binding::{Binding, Stand};
use crate::clients::SwitchClients;
use crate::options::{Drifted, RollbackOptions};
use crate::record::Record;
use crate::undo::{self, Attempt, UndoKey};
use crate::way_back::{PutBack, WayBack};

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOutcome {
    /// Every binding of the run. Those that are `restored` are as they were before the switch.
    pub bindings: Vec<BindingReport>,
    /// How many were written by this call; the others were as before already.
    pub written: usize,
}

/// Puts every binding back exactly as it was before the switch. Reads all of them before the first
/// write: when one was changed since, the options decide; by default nothing is written and the
/// names are told ([`ErrorKind::Conflict`]).
pub async fn rollback(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
    options: &RollbackOptions,
    record: &dyn Record,
    events: &Events,
) -> Result<RollbackOutcome> {
    let Some((attempt, bindings)) = undo::latest(store, key).await? else {
        return Err(Failure::new(
            ErrorKind::NotFound,
            format!(
                "{} is missing",
                store.describe(&Attempt::first(store.run()).undo_key())
            ),
        )
        .hint("this run has switched nothing, so there is nothing to roll back"));
    };
    if options.drift == Drifted::Stop {
        let stands = read_stands(clients, &bindings, options.jobs).await?;
        refuse_drift(&bindings, &stands)?;
    }
    let total = u64::try_from(bindings.len()).unwrap_or(u64::MAX);
    events.start(Stage::Switch, total, Unit::Items);
    let way_back = WayBack {
        clients,
        attempt: &attempt,
        jobs: options.jobs,
        drift: options.drift,
        record,
        events,
    };
    let all: Vec<&Binding> = bindings.iter().collect();
    let outcomes = Box::pin(way_back.walk(&all)).await;
    if options.stop.is_raised() {
        let note = "asked to stop: the way back was gone to its end first";
        events.note(Stage::Switch, note);
    }
    let mut outcome = conclude(&bindings, outcomes)?;
    // In the order of the plan, whatever the order of writing.
    outcome.bindings.sort_by_key(|report| {
        bindings
            .iter()
            .position(|binding| binding.name() == report.binding)
    });
    events.finish(Stage::Switch);
    Ok(outcome)
}

/// Tells everything that was changed since the switch, and how to go on.
fn refuse_drift(bindings: &[Binding], stands: &[Stand]) -> Result<()> {
    let drifts: Vec<String> = bindings
        .iter()
        .zip(stands)
        .filter_map(|(binding, stand)| match stand {
            Stand::Drifted(drift) => {
                let names = drift.names.join(", ");
                Some(format!("{} ({names})", binding.name()))
            }
            _ => None,
        })
        .collect();
    if drifts.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Conflict,
        format!(
            "changed by something else since the switch: {}",
            drifts.join("; ")
        ),
    )
    .hint("nothing was written; put these back by hand, or `--drift keep` takes out only what the switch wrote, or `--drift overwrite` puts everything back as it was before"))
}

fn conclude(
    bindings: &[Binding],
    outcomes: Vec<(&Binding, Result<PutBack>)>,
) -> Result<RollbackOutcome> {
    let mut reports = Vec::with_capacity(bindings.len());
    let mut written = 0;
    let mut left = Vec::new();
    let mut cause = None;
    for (binding, outcome) in outcomes {
        match outcome {
            Ok(done) => {
                written += usize::from(matches!(done, PutBack::Written | PutBack::Merged));
                reports.push(binding.report(match done {
                    PutBack::Written | PutBack::Found => "restored",
                    PutBack::Merged => "restored, with what others changed kept",
                    PutBack::Foreign => "left as others made it",
                }));
            }
            Err(failure) => {
                left.push(binding.name());
                cause.get_or_insert(failure);
            }
        }
    }
    let Some(cause) = cause else {
        return Ok(RollbackOutcome {
            bindings: reports,
            written,
        });
    };
    Err(Failure::new(
        ErrorKind::UndoIncomplete,
        format!(
            "the rollback is not complete; not put back: {}",
            left.join(", ")
        ),
    )
    .because(cause)
    .hint("run `towpath rollback` again; what is put back already stays so"))
}
