//! The switch itself: a saga. The way back is stored before the first write; every failure after
//! it puts back what was written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use towpath_model::event::{Events, Stage, Unit};
use towpath_model::journal::Entry;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::RunStore;

use crate::binding::{Binding, Stand, drifted};
use crate::clients::SwitchClients;
use crate::gate::{Gate, Observers};
use crate::groups::{self, Group, Level};
use crate::options::{ApplyOptions, Drifted};
use crate::patience::{self, patiently};
use crate::plan::{BindingsDocument, SwitchPlan, check_sizes};
use crate::record::Record;
use crate::tasks;
use crate::undo::{self, Attempt, UndoKey};
use crate::way_back::{PutBack, WayBack};

/// What a switch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchOutcome {
    /// Every binding of the run, all of which point at the target now.
    pub bindings: Vec<BindingReport>,
    /// How many were written by this call; the others had been before.
    pub written: usize,
}

/// Points every binding of the plan at the target, group by group. When the way back is stored
/// already, a process before this one began: then its bindings count and the plan must not
/// contradict them.
///
/// Ends with every binding switched, or every binding as it was ([`ErrorKind::CutoverUndone`]), or
/// says which are in between ([`ErrorKind::UndoIncomplete`]). Every other kind means that nothing
/// was written by this call.
pub async fn apply(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
    plan: &SwitchPlan,
    options: &ApplyOptions,
    observers: Observers<'_>,
) -> Result<SwitchOutcome> {
    let Observers {
        gate,
        record,
        events,
    } = observers;
    let mut left_behind = None;
    let (attempt, bindings) = match undo::latest(store, key).await? {
        Some((attempt, begun)) => {
            let stands = read_stands(clients, &begun, options.jobs).await?;
            match go_on(plan, &begun, &stands, options.is_unfinished) {
                GoOn::With => (attempt, begun),
                GoOn::Back(failure) => {
                    left_behind = Some(failure);
                    (attempt, begun)
                }
                GoOn::Afresh => begin(clients, store, key, plan, attempt.next(), options).await?,
                GoOn::Stop(failure) => return Err(failure),
            }
        }
        None if plan.bindings.is_empty() => return Ok(SwitchOutcome::default()),
        None => {
            let first = Attempt::first(store.run());
            begin(clients, store, key, plan, first, options).await?
        }
    };
    tell_people(store, plan, &attempt, &bindings).await?;
    let saga = Saga {
        clients,
        attempt: &attempt,
        options,
        gate,
        record,
        events,
    };
    if let Some(failure) = left_behind {
        let all: Vec<&Binding> = bindings.iter().collect();
        return Err(Box::pin(saga.undo(&all, failure)).await);
    }
    Box::pin(saga.run(&bindings)).await
}

/// How far a switch has come, by reading every binding of its latest attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bindings that point at the target, if only for a share of the traffic.
    pub switched: usize,
    /// Bindings that are as before.
    pub before: usize,
    /// Bindings that somebody changed and that hold something the switch wrote.
    pub drifted: usize,
}

/// How many bindings [`progress`] reads at once.
const PROGRESS_JOBS: usize = 16;

/// Reads how far the latest switch of a run has come; nothing when none was begun.
pub async fn progress(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
) -> Result<Option<Progress>> {
    let Some((_, begun)) = undo::latest(store, key).await? else {
        return Ok(None);
    };
    let mut progress = Progress::default();
    for stand in read_stands(clients, &begun, PROGRESS_JOBS).await? {
        match stand {
            Stand::Before(_) => progress.before += 1,
            Stand::After(_) | Stand::Between(_) => progress.switched += 1,
            Stand::Drifted(drift) => progress.drifted += usize::from(drift.holds_ours),
        }
    }
    Ok(Some(progress))
}

/// Begins an attempt: checks everything that can be checked before a write, then stores the way
/// back.
async fn begin(
    clients: &SwitchClients,
    store: &RunStore,
    key: &UndoKey,
    plan: &SwitchPlan,
    attempt: Attempt,
    options: &ApplyOptions,
) -> Result<(Attempt, Vec<Binding>)> {
    check_sizes(&plan.bindings)?;
    groups::check_canary(&plan.bindings, &options.canary)?;
    let stands = read_stands(clients, &plan.bindings, options.jobs).await?;
    for (binding, stand) in plan.bindings.iter().zip(&stands) {
        match stand {
            Stand::Before(_) => {}
            Stand::After(_) | Stand::Between(_) => return Err(drifted(&binding.name(), &[])),
            Stand::Drifted(drift) => return Err(drifted(&binding.name(), &drift.names)),
        }
    }
    undo::keep(store, key, &attempt, &plan.bindings).await?;
    Ok((attempt, plan.bindings.clone()))
}

pub(crate) async fn read_stands(
    clients: &SwitchClients,
    bindings: &[Binding],
    jobs: usize,
) -> Result<Vec<Stand>> {
    let silent = Events::silent();
    let read = async |binding: &Binding| {
        let doing = binding.name();
        patiently(patience::FORWARD, &silent, &doing, async || {
            binding.stand(clients).await
        })
        .await
    };
    let stands = tasks::all(jobs, bindings.iter().map(read));
    Box::pin(stands).await.into_iter().collect()
}

/// What to do about a switch that was begun before.
enum GoOn {
    /// Finish it.
    With,
    /// Nothing of it is left, and the consumers have changed since: begin another attempt.
    Afresh,
    /// It cannot be finished, and it must not stay half done.
    Back(Failure),
    /// A person must decide.
    Stop(Failure),
}

fn go_on(plan: &SwitchPlan, begun: &[Binding], stands: &[Stand], is_unfinished: bool) -> GoOn {
    let is_switched = |stand: &Stand| match stand {
        Stand::Before(_) => false,
        Stand::After(_) | Stand::Between(_) => true,
        Stand::Drifted(drift) => drift.holds_ours,
    };
    let is_any_switched = stands.iter().any(is_switched);
    let disagreement = agree(plan, begun).err();
    let mut pairs = begun.iter().zip(stands);
    let drift = pairs.find_map(|(binding, stand)| match stand {
        Stand::Drifted(drift) => Some(drifted(&binding.name(), &drift.names)),
        _ => None,
    });
    match (disagreement, drift) {
        (None, None) => GoOn::With,
        (Some(_), _) | (_, Some(_)) if !is_any_switched && !plan.bindings.is_empty() => {
            GoOn::Afresh
        }
        // Somebody asks for something else: what they meant by that is not for us to guess.
        (Some(failure), _) => GoOn::Stop(failure),
        // Part of it is switched and the rest cannot be: killed while it switched or while it put
        // back, it ends up as it was.
        (None, Some(failure)) if is_any_switched && is_unfinished => GoOn::Back(failure),
        (None, Some(failure)) => GoOn::Stop(failure),
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
        notes: plan.notes.clone(),
    };
    match store.put_document(&attempt.bindings_key(), &document).await {
        Err(failure) if failure.kind() == ErrorKind::ObjectExists => Ok(()),
        other => other,
    }
}

struct Saga<'a> {
    clients: &'a SwitchClients,
    attempt: &'a Attempt,
    options: &'a ApplyOptions,
    gate: &'a dyn Gate,
    record: &'a dyn Record,
    events: &'a Events,
}

/// Bindings that hold, or may hold, something that the switch wrote, in the order of writing.
type Touched<'b> = Mutex<Vec<&'b Binding>>;

fn touch<'b>(touched: &Touched<'b>, binding: &'b Binding) {
    let mut touched = touched.lock().unwrap_or_else(PoisonError::into_inner);
    if !touched.iter().any(|known| std::ptr::eq(*known, binding)) {
        touched.push(binding);
    }
}

impl Saga<'_> {
    async fn run(&self, bindings: &[Binding]) -> Result<SwitchOutcome> {
        let total = u64::try_from(bindings.len()).unwrap_or(u64::MAX);
        self.events.start(Stage::Switch, total, Unit::Items);
        let canary = groups::canary(bindings, &self.options.canary);
        for (function, shared) in &canary.moved {
            let note =
                format!("{function} goes with the rest: it shares {shared} with functions there");
            self.events.note(Stage::Switch, note);
        }
        let touched = Touched::default();
        let mut written = 0;
        for group in groups::groups(bindings, &canary) {
            match Box::pin(self.group(&group, &touched)).await {
                Ok(now) => written += now,
                Err(failure) => {
                    let touched = touched.into_inner().unwrap_or_else(PoisonError::into_inner);
                    return Err(Box::pin(self.undo(&touched, failure)).await);
                }
            }
        }
        self.events.finish(Stage::Switch);
        Ok(SwitchOutcome {
            bindings: bindings.iter().map(|it| it.report("switched")).collect(),
            written,
        })
    }

    /// Switches a group, level by level, and asks the gate. Gives the number written.
    async fn group<'b>(&self, group: &Group<'b>, touched: &Touched<'b>) -> Result<usize> {
        let mut written = 0;
        let mut values = 0;
        for level in groups::FORWARD {
            let members = || {
                let members = group.bindings.iter().copied();
                members.filter(move |binding| Level::of(binding) == level)
            };
            if members().any(Binding::has_steps) {
                Box::pin(self.steps(group, members().collect(), touched)).await?;
            }
            let done = self.together(members(), async |binding| {
                let done = self.switch(binding, touched).await;
                if done.is_ok() {
                    self.events.advance(Stage::Switch, 1);
                }
                done
            });
            let done = Box::pin(done).await?;
            written += done.iter().filter(|done| **done == Done::Written).count();
            if level == Level::Values {
                values = done.len();
            }
        }
        if values > 0 {
            Box::pin(self.await_caches()).await?;
        }
        self.check_stop()?;
        Box::pin(self.gate.switched(group.name, &group.functions)).await?;
        Ok(written)
    }

    /// Gives what can be switched by shares of the traffic one share after another.
    async fn steps<'b>(
        &self,
        group: &Group<'b>,
        members: Vec<&'b Binding>,
        touched: &Touched<'b>,
    ) -> Result<()> {
        for &percent in &self.options.alias_steps {
            let stepped = self.together(members.iter().copied(), async |binding| {
                self.step(binding, percent, touched).await
            });
            if !Box::pin(stepped).await?.contains(&Done::Written) {
                // All of them are switched already, by a process before this one.
                return Ok(());
            }
            self.check_stop()?;
            let functions: Vec<String> =
                members.iter().flat_map(|it| &it.readers).cloned().collect();
            let name = format!("{} at {percent} %", group.name);
            Box::pin(self.gate.switched(&name, &functions)).await?;
        }
        Ok(())
    }

    /// Works on bindings of one level at once. After the first failure none is begun any more, and
    /// those that were begun are waited for: only then is it known what has to be put back.
    async fn together<'b, T>(
        &self,
        bindings: impl Iterator<Item = &'b Binding>,
        work: impl AsyncFn(&'b Binding) -> Result<T>,
    ) -> Result<Vec<T>> {
        let failed = AtomicBool::new(false);
        let (failed, work) = (&failed, &work);
        let one = async |binding: &'b Binding| {
            if failed.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let outcome = match self.check_stop() {
                Ok(()) => Box::pin(work(binding)).await,
                Err(stopped) => Err(stopped),
            };
            failed.fetch_or(outcome.is_err(), Ordering::SeqCst);
            let doing = format!("could not switch {}", binding.name());
            outcome
                .map(Some)
                .map_err(|failure| failure.while_doing(doing))
        };
        let mut outcomes = Vec::new();
        let mut first = None;
        for outcome in tasks::all(self.options.jobs, bindings.map(one)).await {
            match outcome {
                Ok(outcome) => outcomes.extend(outcome),
                Err(failure) if first.is_none() => first = Some(failure),
                Err(failure) => self.events.note(Stage::Switch, format!("{failure:?}")),
            }
        }
        match first {
            Some(failure) => Err(failure),
            None => Ok(outcomes),
        }
    }

    /// Waits until functions have read their secrets and parameters again. A process before this one
    /// may have been killed while it waited: time that passed then is waited for once more.
    async fn await_caches(&self) -> Result<()> {
        let until = Instant::now() + self.options.cache_wait;
        if !self.options.cache_wait.is_zero() {
            let note = format!(
                "waiting {} s until no function uses a secret or a parameter as it was before",
                self.options.cache_wait.as_secs()
            );
            self.events.note(Stage::Switch, note);
        }
        while Instant::now() < until {
            self.check_stop()?;
            sleep(
                until
                    .duration_since(Instant::now())
                    .min(Duration::from_secs(1)),
            )
            .await;
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<()> {
        match self.options.stop.is_raised() {
            true => Err(Failure::new(
                ErrorKind::Interrupted,
                "asked to stop before everything was switched",
            )),
            false => Ok(()),
        }
    }

    /// Switches one binding. From the moment a write may have happened it is among the touched.
    async fn switch<'b>(&self, binding: &'b Binding, touched: &Touched<'b>) -> Result<Done> {
        let done = Box::pin(self.bring(binding, touched, async |proof| {
            binding.switch(self.clients, self.attempt, proof).await
        }))
        .await?;
        let done_entry = Entry::SwitchDone {
            binding: binding.name(),
        };
        self.record.record(done_entry).await?;
        Ok(done)
    }

    /// Gives one binding a share of the traffic, unless it has all of it.
    async fn step<'b>(
        &self,
        binding: &'b Binding,
        percent: u8,
        touched: &Touched<'b>,
    ) -> Result<Done> {
        Box::pin(self.bring(binding, touched, async |_| {
            binding.step(self.clients, self.attempt, percent).await
        }))
        .await
    }

    /// Writes under what is read immediately before, again and again while that may help.
    async fn bring<'b>(
        &self,
        binding: &'b Binding,
        touched: &Touched<'b>,
        write: impl AsyncFn(String) -> Result<()>,
    ) -> Result<Done> {
        let name = binding.name();
        let mut done = Done::Found;
        patiently(patience::FORWARD, self.events, &name, async || {
            let proof = match Box::pin(binding.stand(self.clients)).await? {
                Stand::Drifted(drift) => return Err(drifted(&name, &drift.names)),
                Stand::After(_) => {
                    touch(touched, binding);
                    return binding.confirm(self.clients).await;
                }
                Stand::Before(proof) | Stand::Between(proof) => proof,
            };
            if done == Done::Found {
                let intent = Entry::SwitchIntent {
                    binding: name.clone(),
                };
                self.record.record(intent).await?;
                touch(touched, binding);
                done = Done::Written;
            }
            Box::pin(write(proof)).await
        })
        .await?;
        Ok(done)
    }

    /// Puts back what was touched, whatever fails on the way.
    async fn undo(&self, touched: &[&Binding], cause: Failure) -> Failure {
        let note = format!("{cause:?}; putting back {} bindings", touched.len());
        self.events.note(Stage::Switch, note);
        if !touched.is_empty()
            && let Err(refusal) = Box::pin(self.gate.may_go_back()).await
        {
            let told = format!("{refusal}");
            return Failure::new(
                ErrorKind::UndoIncomplete,
                format!("the switch stopped half-way and is not undone: {told}"),
            )
            .because(cause)
            .hint(refusal.find_hint().unwrap_or(
                "the same command goes on with the switch; `towpath rollback` goes back",
            ));
        }
        let way_back = WayBack {
            clients: self.clients,
            attempt: self.attempt,
            jobs: self.options.jobs,
            // Nobody is there to ask. Only what the switch itself wrote is taken out again.
            drift: Drifted::Keep,
            record: self.record,
            events: self.events,
        };
        let outcomes = Box::pin(way_back.walk(touched)).await;
        let mut left = Vec::new();
        let mut foreign = Vec::new();
        for (binding, outcome) in outcomes {
            match outcome {
                Ok(PutBack::Foreign | PutBack::Merged) => foreign.push(binding.name()),
                Ok(PutBack::Written | PutBack::Found) => {}
                Err(failure) => {
                    let note = format!("could not put back {}: {failure:?}", binding.name());
                    self.events.note(Stage::Switch, note);
                    left.push(binding.name());
                }
            }
        }
        if left.is_empty() {
            let mut text =
                "the switch failed, and everything it had written is put back".to_owned();
            if !foreign.is_empty() {
                text.push_str("; what somebody else changed meanwhile is kept: ");
                text.push_str(&foreign.join(", "));
            }
            return Failure::new(ErrorKind::CutoverUndone, text).because(cause);
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
                before: map(before),
                after: map(after),
                ..FunctionBinding::default()
            }),
            readers: vec![name.to_owned()],
            changes: Vec::new(),
        }
    }

    fn decision(planned: &[Binding], stands: &[Stand]) -> &'static str {
        let begun = [binding("a", "s", "t"), binding("b", "s", "t")];
        let plan = SwitchPlan {
            bindings: planned.to_vec(),
            ..SwitchPlan::default()
        };
        let decided = |is_unfinished| match go_on(&plan, &begun, stands, is_unfinished) {
            GoOn::With => "with",
            GoOn::Afresh => "afresh",
            GoOn::Back(_) => "back",
            GoOn::Stop(_) => "stop",
        };
        match (decided(true), decided(false)) {
            (one, other) if one == other => one,
            ("back", "stop") => "back or stop",
            _ => "neither",
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
        let between = || Stand::Between(String::new());
        assert_eq!(decision(&[same()], &[before(), between()]), "with");
        // Killed in the middle: it must not stay a mixture, unless it was finished once.
        let half = [
            [after(), drifted(false)],
            [drifted(true), before()],
            [between(), drifted(false)],
        ];
        for stands in half {
            assert_eq!(decision(&[same()], &stands), "back or stop");
            assert_eq!(decision(&[], &stands), "back or stop");
            assert_eq!(decision(&[newcomer()], &stands), "stop");
        }
        assert_eq!(decision(&[other_target()], &[before(), before()]), "afresh");
        assert_eq!(decision(&[same()], &[before(), drifted(false)]), "afresh");
        assert_eq!(decision(&[], &[before(), drifted(false)]), "stop");
    }
}
