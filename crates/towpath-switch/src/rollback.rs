//! The way back, on command.

use std::time::Duration;

use tokio::time::sleep;
use towpath_model::event::{Events, Stage, Unit};
use towpath_model::journal::Entry;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::RunStore;

use crate::binding::{Binding, Stand, drifted};
use crate::clients::SwitchClients;
use crate::record::Record;
use crate::undo::{self, Attempt, UndoKey};

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOutcome {
    /// Every binding of the run, all of which are as they were before the switch.
    pub bindings: Vec<BindingReport>,
    /// How many were written by this call; the others were as before already.
    pub written: usize,
}

/// Puts every binding back exactly as it was before the switch, last first. Reads all of them
/// before the first write: when one was changed since, nothing is written and the names are told
/// ([`ErrorKind::Conflict`]).
pub async fn rollback(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
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
    for binding in &bindings {
        if let Stand::Drifted(drift) = Box::pin(binding.stand(clients)).await? {
            return Err(drifted(&binding.name(), &drift.names));
        }
    }
    let total = u64::try_from(bindings.len()).unwrap_or(u64::MAX);
    events.start(Stage::Switch, total, Unit::Items);
    let mut written = 0;
    let mut left = Vec::new();
    let mut cause = None;
    for binding in bindings.iter().rev() {
        match Box::pin(put_back(clients, &attempt, record, events, binding)).await {
            Ok(did) => written += usize::from(did == PutBack::Written),
            Err(failure) => {
                left.push(binding.name());
                cause.get_or_insert(failure);
            }
        }
        events.advance(Stage::Switch, 1);
    }
    if let Some(cause) = cause {
        let left = left.join(", ");
        return Err(Failure::new(
            ErrorKind::UndoIncomplete,
            format!("the rollback is not complete; not put back: {left}"),
        )
        .because(cause)
        .hint("run `towpath rollback` again; what is put back already stays so"));
    }
    events.finish(Stage::Switch);
    Ok(RollbackOutcome {
        bindings: bindings.iter().map(|it| it.report("restored")).collect(),
        written,
    })
}

/// Whether putting back took a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutBack {
    Written,
    Found,
}

const TRIES: u32 = 3;

/// Puts one binding back and records it. The way back deserves patience: what the service itself
/// could not do is tried again.
pub(crate) async fn put_back(
    clients: &SwitchClients,
    attempt: &Attempt,
    record: &dyn Record,
    events: &Events,
    binding: &Binding,
) -> Result<PutBack> {
    let mut tries = 1;
    let done = loop {
        match Box::pin(restore(clients, attempt, binding)).await {
            Ok(done) => break done,
            Err(failure) if tries < TRIES && may_pass(&failure) => {
                let note = format!("putting back {} again: {failure}", binding.name());
                events.note(Stage::Switch, note);
                sleep(Duration::from_secs(u64::from(tries))).await;
                tries += 1;
            }
            Err(failure) => return Err(failure),
        }
    };
    let entry = Entry::UndoDone {
        binding: binding.name(),
    };
    // The binding is put back whether or not the journal learns of it: a reader of the journal
    // asks the binding itself.
    if let Err(failure) = record.record(entry).await {
        let note = format!(
            "{} is put back; the journal is not told: {failure}",
            binding.name()
        );
        events.note(Stage::Switch, note);
    }
    Ok(done)
}

fn may_pass(failure: &Failure) -> bool {
    matches!(failure.kind(), ErrorKind::Aws | ErrorKind::Connect)
}

async fn restore(clients: &SwitchClients, attempt: &Attempt, binding: &Binding) -> Result<PutBack> {
    match Box::pin(binding.stand(clients)).await? {
        Stand::Before(_) => Ok(PutBack::Found),
        Stand::After(proof) => {
            Box::pin(binding.restore(clients, attempt, proof)).await?;
            Ok(PutBack::Written)
        }
        Stand::Drifted(drift) => Err(drifted(&binding.name(), &drift.names)),
    }
}
