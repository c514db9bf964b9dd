//! The way back: bindings put back side by side, each under what was read immediately before.

use towpath_model::Result;
use towpath_model::event::{Events, Stage};
use towpath_model::journal::Entry;

use crate::binding::{Binding, Stand, drifted};
use crate::clients::SwitchClients;
use crate::groups::{self, Level};
use crate::options::Drifted;
use crate::patience::{self, patiently};
use crate::record::Record;
use crate::tasks;
use crate::undo::Attempt;

/// How one binding was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutBack {
    /// It took a write.
    Written,
    /// It was as before already.
    Found,
    /// What the switch wrote was taken out of what somebody else made of it since.
    Merged,
    /// Somebody else changed it since, and it holds nothing that the switch wrote.
    Foreign,
}

pub(crate) struct WayBack<'a> {
    pub(crate) clients: &'a SwitchClients,
    pub(crate) attempt: &'a Attempt,
    pub(crate) jobs: usize,
    pub(crate) drift: Drifted,
    pub(crate) record: &'a dyn Record,
    pub(crate) events: &'a Events,
}

impl WayBack<'_> {
    /// Puts back every binding, whatever fails on the way: level by level, and within a level those
    /// that were given last first.
    pub(crate) async fn walk<'b>(
        &self,
        bindings: &[&'b Binding],
    ) -> Vec<(&'b Binding, Result<PutBack>)> {
        let mut outcomes = Vec::with_capacity(bindings.len());
        for level in groups::BACK {
            let members = bindings.iter().rev().copied();
            let members = members.filter(|binding| Level::of(binding) == level);
            let one = async |binding: &'b Binding| {
                let outcome = Box::pin(self.put_back(binding)).await;
                self.events.advance(Stage::Switch, 1);
                (binding, outcome)
            };
            outcomes.extend(Box::pin(tasks::all(self.jobs, members.map(one))).await);
        }
        outcomes
    }

    /// Puts one binding back and records it.
    async fn put_back(&self, binding: &Binding) -> Result<PutBack> {
        let doing = format!("putting back {}", binding.name());
        let done = patiently(patience::BACK, self.events, &doing, async || {
            self.restore(binding).await
        })
        .await?;
        let entry = Entry::UndoDone {
            binding: binding.name(),
        };
        // The binding is put back whether or not the journal learns of it: a reader of the journal
        // asks the binding itself.
        if let Err(failure) = self.record.record(entry).await {
            let note = format!(
                "{} is put back; the journal is not told: {failure}",
                binding.name()
            );
            self.events.note(Stage::Switch, note);
        }
        Ok(done)
    }

    async fn restore(&self, binding: &Binding) -> Result<PutBack> {
        let drift = match Box::pin(binding.stand(self.clients)).await? {
            Stand::Before(_) => return Ok(PutBack::Found),
            Stand::After(proof) | Stand::Between(proof) => {
                Box::pin(binding.restore(self.clients, self.attempt, proof)).await?;
                return Ok(PutBack::Written);
            }
            Stand::Drifted(drift) => drift,
        };
        match self.drift {
            Drifted::Stop => Err(drifted(&binding.name(), &drift.names)),
            Drifted::Overwrite => {
                Box::pin(binding.overwrite(self.clients, self.attempt)).await?;
                Ok(PutBack::Written)
            }
            Drifted::Keep if drift.holds_ours => {
                Box::pin(binding.take_out(self.clients, self.attempt)).await?;
                let note = format!(
                    "{} is put back; what somebody else changed is kept: {}",
                    binding.name(),
                    drift.names.join(", ")
                );
                self.events.note(Stage::Switch, note);
                Ok(PutBack::Merged)
            }
            Drifted::Keep => {
                let note = format!("{} is left as somebody else made it", binding.name());
                self.events.note(Stage::Switch, note);
                Ok(PutBack::Foreign)
            }
        }
    }
}
