//! The switch itself: a saga. The way back is stored before the first write; every failure after
//! it puts back what was written, last first.

use towpath_model::event::{Events, Stage, Unit};
use towpath_model::journal::Entry;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::RunStore;

use crate::binding::{Binding, Stand, drifted};
use crate::clients::SwitchClients;
use crate::plan::{BindingsDocument, SwitchPlan, check_sizes};
use crate::record::Record;
use crate::rollback::put_back;
use crate::undo::{self, Attempt, UndoKey};

/// What a switch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchOutcome {
    /// Every binding of the run, all of which point at the target now.
    pub bindings: Vec<BindingReport>,
    /// How many were written by this call; the others had been before.
    pub written: usize,
}

/// Points every binding of the plan at the target. When the way back is stored already, a process
/// before this one began: then its bindings count and the plan must not contradict them.
///
/// Ends with every binding switched, or every binding as it was ([`ErrorKind::CutoverUndone`]), or
/// says which are in between ([`ErrorKind::UndoIncomplete`]). [`ErrorKind::Blocked`] and
/// [`ErrorKind::Conflict`] mean that nothing was written by this call.
pub async fn apply(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
    plan: &SwitchPlan,
    record: &dyn Record,
    events: &Events,
) -> Result<SwitchOutcome> {
    let (attempt, bindings) = match undo::latest(store, key).await? {
        Some((attempt, begun)) => {
            let stands = read_stands(clients, &begun).await?;
            match go_on(plan, &begun, &stands) {
                GoOn::With => (attempt, begun),
                GoOn::Afresh => begin(clients, store, key, plan, attempt.next()).await?,
                GoOn::Stop(failure) => return Err(failure),
            }
        }
        None if plan.bindings.is_empty() => return Ok(SwitchOutcome::default()),
        None => begin(clients, store, key, plan, Attempt::first(store.run())).await?,
    };
    tell_people(store, plan, &attempt, &bindings).await?;
    let saga = Saga {
        clients,
        attempt: &attempt,
        record,
        events,
    };
    Box::pin(saga.run(&bindings)).await
}

/// Begins an attempt: checks everything that can be checked before a write, then stores the way
/// back.
async fn begin(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
    plan: &SwitchPlan,
    attempt: Attempt,
) -> Result<(Attempt, Vec<Binding>)> {
    check_sizes(&plan.bindings)?;
    let stands = read_stands(clients, &plan.bindings).await?;
    for (binding, stand) in plan.bindings.iter().zip(&stands) {
        match stand {
            Stand::Before(_) => {}
            Stand::After(_) => return Err(drifted(&binding.name(), &[])),
            Stand::Drifted(drift) => return Err(drifted(&binding.name(), &drift.names)),
        }
    }
    undo::keep(store, key, &attempt, &plan.bindings).await?;
    Ok((attempt, plan.bindings.clone()))
}

async fn read_stands(clients: &SwitchClients, bindings: &[Binding]) -> Result<Vec<Stand>> {
    let mut stands = Vec::with_capacity(bindings.len());
    for binding in bindings {
        stands.push(Box::pin(binding.stand(clients)).await?);
    }
    Ok(stands)
}

/// What to do about a switch that was begun before.
enum GoOn {
    /// Finish it.
    With,
    /// Nothing of it is left, and the consumers have changed since: begin another attempt.
    Afresh,
    /// A person must decide.
    Stop(Failure),
}

fn go_on(plan: &SwitchPlan, begun: &[Binding], stands: &[Stand]) -> GoOn {
    let is_switched = |stand: &Stand| match stand {
        Stand::Before(_) => false,
        Stand::After(_) => true,
        Stand::Drifted(drift) => drift.holds_ours,
    };
    let obstacle = agree(plan, begun).err().or_else(|| {
        let mut pairs = begun.iter().zip(stands);
        pairs.find_map(|(binding, stand)| match stand {
            Stand::Drifted(drift) => Some(drifted(&binding.name(), &drift.names)),
            _ => None,
        })
    });
    match obstacle {
        None => GoOn::With,
        Some(_) if !stands.iter().any(is_switched) && !plan.bindings.is_empty() => GoOn::Afresh,
        Some(failure) => GoOn::Stop(failure),
    }
}

/// A plan made after the switch began finds what is still to be switched. It may not find anything
/// new, nor want anything else.
fn agree(plan: &SwitchPlan, begun: &[Binding]) -> Result<()> {
    for binding in &plan.bindings {
        let name = binding.name();
        let known = begun.iter().find(|known| known.name() == name);
        let Some(known) = known else {
            return Err(Failure::new(
                ErrorKind::Conflict,
                format!("{name} points at the source and was not there when this switch began"),
            )
            .hint("roll back and cut over with a new run, or change it by hand"));
        };
        if !known.wants_same(binding) {
            return Err(Failure::new(
                ErrorKind::Conflict,
                format!("{name} should become something else than when this switch began"),
            )
            .hint("use the same target URL and user as before, or roll back first"));
        }
    }
    Ok(())
}

/// Stores the masked bindings. A process that died after this left the same.
async fn tell_people(
    store: &RunStore,
    plan: &SwitchPlan,
    attempt: &Attempt,
    bindings: &[Binding],
) -> Result<()> {
    let document = BindingsDocument {
        bindings: bindings.iter().map(|it| it.report("planned")).collect(),
        untouched: plan.untouched.clone(),
    };
    match store.put_document(&attempt.bindings_key(), &document).await {
        Err(failure) if failure.kind() == ErrorKind::ObjectExists => Ok(()),
        other => other,
    }
}

struct Saga<'a> {
    clients: &'a SwitchClients,
    attempt: &'a Attempt,
    record: &'a dyn Record,
    events: &'a Events,
}

impl Saga<'_> {
    async fn run(&self, bindings: &[Binding]) -> Result<SwitchOutcome> {
        let total = u64::try_from(bindings.len()).unwrap_or(u64::MAX);
        self.events.start(Stage::Switch, total, Unit::Items);
        let mut touched: Vec<&Binding> = Vec::new();
        let mut written = 0;
        for binding in bindings {
            match Box::pin(self.switch(binding, &mut touched)).await {
                Ok(Done::Written) => written += 1,
                Ok(Done::Found) => {}
                Err(failure) => {
                    let doing = format!("could not switch {}", binding.name());
                    return Err(self.undo(&touched, failure.while_doing(doing)).await);
                }
            }
            self.events.advance(Stage::Switch, 1);
        }
        self.events.finish(Stage::Switch);
        Ok(SwitchOutcome {
            bindings: bindings.iter().map(|it| it.report("switched")).collect(),
            written,
        })
    }

    /// Switches one binding. From the moment a write may have happened it is among the touched.
    async fn switch<'b>(
        &self,
        binding: &'b Binding,
        touched: &mut Vec<&'b Binding>,
    ) -> Result<Done> {
        let name = binding.name();
        let done = match Box::pin(binding.stand(self.clients)).await? {
            Stand::Drifted(drift) => return Err(drifted(&name, &drift.names)),
            Stand::After(_) => {
                touched.push(binding);
                Done::Found
            }
            Stand::Before(proof) => {
                let intent = Entry::SwitchIntent {
                    binding: name.clone(),
                };
                self.record.record(intent).await?;
                touched.push(binding);
                Box::pin(binding.switch(self.clients, self.attempt, proof)).await?;
                Done::Written
            }
        };
        self.record
            .record(Entry::SwitchDone { binding: name })
            .await?;
        Ok(done)
    }

    /// Whether the binding whose write failed holds nothing that the switch wrote: somebody else
    /// was faster, the write was refused, and there is nothing to put back.
    async fn is_foreign(&self, binding: &Binding) -> bool {
        matches!(
            Box::pin(binding.stand(self.clients)).await,
            Ok(Stand::Drifted(drift)) if !drift.holds_ours
        )
    }

    /// Puts back what was touched, last first, whatever fails on the way.
    async fn undo(&self, touched: &[&Binding], cause: Failure) -> Failure {
        let note = format!("{cause}; putting back {} bindings", touched.len());
        self.events.note(Stage::Switch, note);
        let mut left = Vec::new();
        for binding in touched.iter().rev() {
            if Some(binding) == touched.last() && Box::pin(self.is_foreign(binding)).await {
                let note = format!("{} is left as somebody else made it", binding.name());
                self.events.note(Stage::Switch, note);
                continue;
            }
            let back = put_back(
                self.clients,
                self.attempt,
                self.record,
                self.events,
                binding,
            );
            if let Err(failure) = Box::pin(back).await {
                let note = format!("could not put back {}: {failure}", binding.name());
                self.events.note(Stage::Switch, note);
                left.push(binding.name());
            }
        }
        if left.is_empty() {
            return Failure::new(
                ErrorKind::CutoverUndone,
                "the switch failed, and everything it had written is put back",
            )
            .because(cause);
        }
        Failure::new(
            ErrorKind::UndoIncomplete,
            format!(
                "the switch failed, and was not undone for: {}",
                left.join(", ")
            ),
        )
        .because(cause)
        .hint("look at these bindings; `towpath rollback` puts back what still can be")
    }
}

enum Done {
    Written,
    Found,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::{Drift, FunctionBinding, Subject};
    use towpath_model::connection::Secret;

    fn binding(name: &str, before: &str, after: &str) -> Binding {
        let map = |value: &str| [("URL".to_owned(), Secret::new(value))].into();
        Binding {
            subject: Subject::Function(FunctionBinding {
                function: name.to_owned(),
                revision: String::new(),
                before: map(before),
                after: map(after),
            }),
            changes: Vec::new(),
        }
    }

    fn decision(planned: &[Binding], stands: &[Stand]) -> &'static str {
        let begun = [binding("a", "s", "t"), binding("b", "s", "t")];
        let plan = SwitchPlan {
            bindings: planned.to_vec(),
            ..SwitchPlan::default()
        };
        match go_on(&plan, &begun, stands) {
            GoOn::With => "with",
            GoOn::Afresh => "afresh",
            GoOn::Stop(_) => "stop",
        }
    }

    #[test]
    fn a_begun_switch_is_finished_unless_nothing_of_it_is_left() {
        let before = || Stand::Before(String::new());
        let after = || Stand::After(String::new());
        let drifted = |holds_ours| {
            Stand::Drifted(Drift {
                names: Vec::new(),
                holds_ours,
            })
        };
        let same = || binding("b", "s", "t");
        let other_target = || binding("b", "s", "elsewhere");
        let newcomer = || binding("c", "s", "t");
        assert_eq!(decision(&[same()], &[after(), before()]), "with");
        assert_eq!(decision(&[], &[after(), after()]), "with");
        assert_eq!(decision(&[same()], &[before(), before()]), "with");
        assert_eq!(decision(&[other_target()], &[after(), before()]), "stop");
        assert_eq!(decision(&[newcomer()], &[after(), after()]), "stop");
        assert_eq!(decision(&[same()], &[after(), drifted(false)]), "stop");
        assert_eq!(decision(&[same()], &[drifted(true), before()]), "stop");
        assert_eq!(decision(&[other_target()], &[before(), before()]), "afresh");
        assert_eq!(decision(&[same()], &[before(), drifted(false)]), "afresh");
        assert_eq!(decision(&[], &[before(), drifted(false)]), "stop");
    }
}
