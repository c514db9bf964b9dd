//! The cutover: fence, catch up, prove, switch, probe, watch; undone whenever something fails.
//!
//! Until the first consumer is switched an abort costs nothing: the fence is lifted and the source
//! goes on. From then on the fence stays until every consumer is back: two databases that both
//! accept writes would be worse than none.

pub mod catch_up;
pub mod fencing;
pub mod gap;
pub mod gates;
pub mod notify;
pub mod probes;
pub mod source;
pub mod target_writes;
pub mod watch;

use std::pin::Pin;
use std::time::Duration;

use towpath_model::connection::Side;
use towpath_model::cutover::WriteGap;
use towpath_model::event::Stage;
use towpath_model::journal::{Entry, RunStage};
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_store::{Journal, RunStore, read_journal};
use towpath_switch::{ApplyOptions, Gate, SwitchClients, SwitchOutcome, SwitchPlan, UndoKey};
use towpath_verify::open_manifest;

use crate::arguments::{CutoverArguments, DriftArgument};
use crate::aws;
use crate::context::Context;
use crate::pipeline::cutover::fencing::Standing;
use crate::pipeline::cutover::notify::Notifier;
use crate::pipeline::cutover::probes::Probes;
use crate::pipeline::cutover::target_writes::Accepted;
use crate::pipeline::hooks::{self, Moment};
use crate::pipeline::{enter, timed};
use crate::run_files::StoredPlan;
use crate::run_state::{FenceState, RunState};
use crate::table;

/// A cutover of a run by this process, under the lease.
pub struct Cutover<'a> {
    /// How the process was called.
    pub context: &'a Context,
    /// The command line.
    pub arguments: &'a CutoverArguments,
    /// The run's store.
    pub store: &'a RunStore,
    /// Its plan.
    pub plan: &'a StoredPlan,
    /// What is to be switched.
    pub bindings: &'a SwitchPlan,
    /// AWS.
    pub clients: &'a SwitchClients,
    /// Key of the way back.
    pub key: &'a UndoKey,
    /// The run's journal.
    pub journal: &'a Journal,
    /// Who is told.
    pub notifier: &'a Notifier,
}

/// How a cutover ended well.
#[derive(Debug)]
pub struct Done {
    /// The bindings.
    pub switched: SwitchOutcome,
    /// The time without writes, where the source was fenced.
    pub gap: Option<WriteGap>,
}

impl Cutover<'_> {
    fn run(&self) -> &RunId {
        &self.plan.plan.run
    }

    /// Does it, or undoes what it did.
    pub async fn perform(&self) -> Result<Done> {
        let state = RunState::of(&read_journal(self.store).await?);
        let is_begun = matches!(state.stage, Some(RunStage::Switching | RunStage::Switched))
            && Box::pin(self.holds_consumers()).await?;
        let watch = self
            .arguments
            .watch
            .as_deref()
            .map(watch::duration)
            .transpose()?;
        // A setting that cannot be read must not be met behind the fence.
        catch_up::is_wanted(self.context)?;
        let is_unfinished = state.stage != Some(RunStage::Switched);
        let options = aws::apply_options(self.context, is_unfinished)?;
        let probes = Probes::new(self.context, self.clients, self.journal, self.bindings)?;
        if !is_begun && let Err(failure) = Box::pin(self.make_ready(&probes)).await {
            return Err(match state.fence {
                FenceState::None => failure,
                // A killed process has left it, and nobody will go on under it now.
                _ => Box::pin(self.abort(failure)).await,
            });
        }
        let mut fenced = match self.is_fenced()? {
            true => Some(Box::pin(self.fence(is_begun)).await?),
            false => None,
        };
        if !is_begun && let Err(failure) = Box::pin(self.prove(fenced.as_mut())).await {
            return Err(Box::pin(self.abort(failure)).await);
        }
        let meter = match gap::Meter::start(self.context, self.store).await {
            Ok(meter) => meter,
            Err(failure) => return Err(Box::pin(self.after_failed_switch(failure, is_begun)).await),
        };
        let switching = self.switch(fenced.as_mut(), &options, is_begun, &probes, &meter);
        let switched = Box::pin(switching).await?;
        // A group that an earlier process had switched is not gated again.
        if let Err(failure) = Box::pin(probes.ask_if_due()).await {
            return Err(Box::pin(self.go_back(failure)).await);
        }
        let mut done = Done {
            switched,
            gap: self.tell_gap(fenced.as_ref(), &meter).await?,
        };
        if let Err(failure) = hooks::run(self.context, self.run(), Moment::AfterSwitch).await {
            return Err(Box::pin(self.go_back(failure)).await);
        }
        if let Some(time) = watch {
            Box::pin(self.watch(&probes, time)).await?;
            done.gap = self.tell_gap(fenced.as_ref(), &meter).await?;
        }
        Ok(done)
    }

    /// Everything that must hold before the fence.
    async fn make_ready(&self, probes: &Probes<'_>) -> Result<()> {
        let gates = gates::check(
            self.context,
            self.store,
            self.plan,
            self.bindings,
            self.arguments,
            self.journal,
        );
        Box::pin(gates).await?;
        Box::pin(probes.before()).await?;
        hooks::run(self.context, self.run(), Moment::BeforeFence).await
    }

    /// Whether an earlier process switched something that is still switched.
    async fn holds_consumers(&self) -> Result<bool> {
        let progress = towpath_switch::progress(self.clients, self.store, self.key).await?;
        Ok(progress.is_some_and(|progress| progress.switched + progress.drifted > 0))
    }

    fn is_fenced(&self) -> Result<bool> {
        let words = ["refuse", "wait", "none"];
        Ok(self.context.settings.word("fence.mode", &words)? != "none")
    }

    async fn fence(&self, is_begun: bool) -> Result<Standing> {
        let standing = timed(
            self.journal,
            "fence",
            Box::pin(fencing::fence(
                self.context,
                self.store,
                self.plan,
                self.journal,
            )),
        )
        .await;
        let standing = match standing {
            Ok(standing) => standing,
            // A fence that is half up is no fence; one that was never up is lifted at once.
            Err(failure) if is_begun => return Err(failure),
            Err(failure) => return Err(Box::pin(self.abort(failure)).await),
        };
        if is_begun && !standing.found {
            // Writes may have been accepted on both sides: only a person can say which count.
            return Err(Failure::new(
                ErrorKind::UndoIncomplete,
                "consumers are switched, and the fence on the source was lifted meanwhile",
            )
            .hint(format!(
                "the fence stands again; look for writes on the source since, then `towpath rollback {}` or bring them over by hand",
                self.run()
            )));
        }
        if !is_begun {
            enter(self.journal, RunStage::Fenced).await?;
        }
        self.notifier.tell(
            "fenced",
            "the source refuses writes to the tables of the run",
        );
        Ok(standing)
    }

    /// Everything between the fence and the first write to a consumer.
    async fn prove(&self, fenced: Option<&mut Standing>) -> Result<()> {
        let manifest = open_manifest(self.store, &self.plan.plan, self.plan.hash, None).await?;
        let Some(standing) = fenced else {
            self.refuse_changes().await?;
            return self.take_baseline().await;
        };
        let accepts_loss = self.accepts_source_changes();
        // The source stands still now: what differs is what it accepted since the export. When
        // nothing does, that look is the evidence already.
        let catching_up = catch_up::CatchUp {
            context: self.context,
            store: self.store,
            plan: self.plan,
            journal: self.journal,
            accepts_loss,
        };
        let bring = catching_up.bring(manifest.clone(), self.structure());
        timed(self.journal, "catch-up", Box::pin(bring)).await?;
        fencing::carry_sequences(self.context, self.plan, &manifest, self.journal).await?;
        self.take_baseline().await?;
        standing.check(self.context).await?;
        hooks::run(self.context, self.run(), Moment::BeforeSwitch).await?;
        if self.context.stop.is_raised() {
            return Err(Failure::new(
                ErrorKind::Interrupted,
                "asked to stop before the switch",
            ));
        }
        Ok(())
    }

    /// Refuses a source that is built otherwise than it was when its schema was exported.
    async fn structure(&self) -> Result<()> {
        match Box::pin(source::schema_change(self.context, self.plan)).await? {
            None => Ok(()),
            Some(what) if self.accepts_source_changes() => {
                eprintln!("warning: {what}; it is lost");
                Ok(())
            }
            Some(what) => Err(Failure::new(ErrorKind::Blocked, what).hint(format!(
                "tables alone can be caught up; begin a new run, or lose this with --accept-source-changes {}",
                self.run()
            ))),
        }
    }

    fn accepts_source_changes(&self) -> bool {
        self.arguments.accept_source_changes.as_deref() == Some(self.run().as_str())
    }

    async fn refuse_changes(&self) -> Result<()> {
        let run = self.run();
        if self.accepts_source_changes() {
            eprintln!("warning: not looking whether the source has changed since the export");
            return Ok(());
        }
        match Box::pin(source::source_change(self.context, self.store, self.plan)).await? {
            None => Ok(()),
            Some(what) => Err(Failure::new(ErrorKind::Blocked, what).hint(format!(
                "stop writers and begin a new run, or lose those changes with --accept-source-changes {run}"
            ))),
        }
    }

    async fn take_baseline(&self) -> Result<()> {
        let baseline = target_writes::baseline(self.context, self.plan).await?;
        self.journal.append(Entry::TargetBaseline(baseline)).await
    }

    /// `is_begun` says whether an earlier process left consumers switched.
    async fn switch(
        &self,
        fenced: Option<&mut Standing>,
        options: &ApplyOptions,
        is_begun: bool,
        probes: &Probes<'_>,
        meter: &gap::Meter,
    ) -> Result<SwitchOutcome> {
        if (options.is_unfinished || !is_begun)
            && let Err(failure) = enter(self.journal, RunStage::Switching).await
        {
            return Err(Box::pin(self.after_failed_switch(failure, is_begun)).await);
        }
        let record = aws::JournalRecord(self.journal.clone());
        let record = meter.record(&record);
        let gate = Careful {
            cutover: self,
            probes,
        };
        let switching = towpath_switch::apply(
            self.clients,
            self.store,
            self.key,
            self.bindings,
            options,
            towpath_switch::Observers {
                gate: &gate,
                record: &record,
                events: &self.context.events,
            },
        );
        match timed(self.journal, "switch", Box::pin(switching)).await {
            Ok(outcome) => {
                enter(self.journal, RunStage::Switched).await?;
                // Clients that wait find the fence when they are let go, and their consumer's new
                // configuration when they ask for it.
                if let Some(standing) = fenced {
                    standing.end_waiting().await?;
                }
                self.notifier
                    .tell("switched", "every consumer points at the target");
                Ok(outcome)
            }
            Err(failure) => Err(Box::pin(self.after_failed_switch(failure, is_begun)).await),
        }
    }

    /// The switch has undone itself, or could not. Only in the first case does the source reopen.
    async fn after_failed_switch(&self, failure: Failure, is_begun: bool) -> Failure {
        match failure.kind() {
            ErrorKind::UndoIncomplete => {
                self.tell_incomplete(&failure).await;
                failure
            }
            // This process has written nothing, and consumers that an earlier one switched are
            // still at the target: the fence must stay.
            kind if is_begun && kind != ErrorKind::CutoverUndone => failure,
            // Everything is back; but a group that was switched for a while may have written.
            ErrorKind::CutoverUndone => {
                let failure = Box::pin(self.abort(failure)).await;
                match failure.kind() {
                    // The source does not accept writes again, and that has been told.
                    ErrorKind::UndoIncomplete => failure,
                    _ => self.told_of_loss(failure).await,
                }
            }
            // Nothing was written.
            _ => Box::pin(self.abort(failure)).await,
        }
    }

    /// An undo that leaves rows of consumers on the target is none that nobody need look at.
    /// Asked when writers go on already: the answer may take seconds.
    async fn told_of_loss(&self, undone: Failure) -> Failure {
        if self.has_agreed_to_loss() {
            if let Ok(Some(Accepted::AtLeast(rows @ 1..))) = self.accepted().await {
                eprintln!(
                    "warning: at least {} that consumers wrote to the target stay there, as agreed",
                    table::counted(rows, "row change")
                );
            }
            return undone;
        }
        let what = match self.accepted_for_sure().await {
            Ok(None | Some(Accepted::Nothing)) => return undone,
            Ok(Some(Accepted::AtLeast(0))) => {
                eprintln!(
                    "warning: somebody has written on the target meanwhile; no row of the run is known to be theirs"
                );
                return undone;
            }
            Ok(Some(Accepted::AtLeast(rows))) => format!(
                "the target has accepted at least {} from consumers that were switched for a while",
                table::counted(rows, "row change")
            ),
            Err(failure) => {
                format!("what the target has accepted meanwhile is not known: {failure}")
            }
        };
        let failure = Failure::new(
            ErrorKind::UndoIncomplete,
            format!("the cutover is undone and the source accepts writes again, but {what}"),
        )
        .because(undone)
        .hint(format!(
            "`towpath verify {} --rows --source live` names the rows that differ; bring over what is to be kept, then begin again",
            self.run()
        ));
        self.tell_incomplete(&failure).await;
        failure
    }

    /// Lifts the fence after a failure that left no consumer switched.
    async fn abort(&self, cause: Failure) -> Failure {
        let lifted = match lift(self.context, self.store, self.journal).await {
            Ok(lifted) => lifted,
            Err(failure) => {
                let failure = Failure::new(
                    ErrorKind::UndoIncomplete,
                    format!("the cutover failed ({cause}), and the fence on the source could not be lifted"),
                )
                .because(failure)
                .hint(format!("consumers are as before, and their writes are refused: `towpath unfence {}`", self.run()));
                self.tell_incomplete(&failure).await;
                return failure;
            }
        };
        if let Err(failure) = enter(self.journal, RunStage::RolledBack).await {
            return failure;
        }
        self.notifier.tell(
            "undone",
            "the cutover failed; consumers and source are as before",
        );
        self.run_undone_hook().await;
        if !lifted || cause.kind() == ErrorKind::CutoverUndone {
            return cause;
        }
        Failure::new(
            ErrorKind::CutoverUndone,
            "the cutover stopped before the first consumer was switched; the source accepts writes again",
        )
        .because(cause)
    }

    async fn run_undone_hook(&self) {
        if let Err(failure) = hooks::run(self.context, self.run(), Moment::Undone).await {
            tracing::warn!(%failure, "hook after the undone cutover");
        }
    }

    async fn tell_incomplete(&self, failure: &Failure) {
        self.notifier.tell("undo-incomplete", &failure.to_string());
        if let Err(failure) = hooks::run(self.context, self.run(), Moment::UndoIncomplete).await {
            tracing::warn!(%failure, "hook after the incomplete undo");
        }
    }

    async fn tell_gap(
        &self,
        fenced: Option<&Standing>,
        meter: &gap::Meter,
    ) -> Result<Option<WriteGap>> {
        match fenced {
            None => Ok(None),
            Some(standing) => meter.tell(&standing.fence, self.journal).await.map(Some),
        }
    }

    async fn watch(&self, probes: &Probes<'_>, time: Duration) -> Result<()> {
        match Box::pin(watch::watch(probes, time)).await? {
            None => hooks::run(self.context, self.run(), Moment::AfterWatch).await,
            Some(failure) => Err(Box::pin(self.go_back(failure)).await),
        }
    }

    /// Rolls back after the switch, unless the target holds writes that nobody agreed to lose.
    async fn go_back(&self, cause: Failure) -> Failure {
        let run = self.run();
        if let Err(refusal) = self.agree().await {
            let failure = Failure::new(
                ErrorKind::UndoIncomplete,
                format!("it failed after the switch, and consumers stay at the target: {refusal}"),
            )
            .because(cause)
            .hint(format!(
                "`towpath rollback {run} --accept-loss {run}` goes back without what they wrote"
            ));
            self.tell_incomplete(&failure).await;
            return failure;
        }
        let back = Back {
            context: self.context,
            store: self.store,
            clients: self.clients,
            key: self.key,
            journal: self.journal,
        };
        // Nobody is there to ask: what others changed since is kept, what the switch wrote goes.
        let options = match aws::rollback_options(self.context, DriftArgument::Keep) {
            Ok(options) => options,
            Err(failure) => return failure,
        };
        match Box::pin(back.perform(&options)).await {
            Ok(_) => {
                self.notifier.tell(
                    "undone",
                    "the watch failed; consumers and source are as before",
                );
                self.run_undone_hook().await;
                let undone = Failure::new(
                    ErrorKind::CutoverUndone,
                    "a probe failed after the switch, and everything is put back",
                )
                .because(cause);
                // Consumers could write until the last of them was put back.
                self.told_of_loss(undone).await
            }
            Err(failure) => {
                let failure = Failure::new(
                    ErrorKind::UndoIncomplete,
                    format!("a probe failed after the switch ({cause}), and the way back is not complete"),
                )
                .because(failure)
                .hint(format!("`towpath rollback {run}`"));
                self.tell_incomplete(&failure).await;
                failure
            }
        }
    }

    fn has_agreed_to_loss(&self) -> bool {
        self.arguments.accept_loss.as_deref() == Some(self.run().as_str())
    }

    /// Whether consumers may be put back: nothing that they are known to have written is lost, or
    /// somebody has agreed. Where nothing is known and nothing can be ruled out they go back: leaving
    /// them half switched behind a fence would be certain harm, and the answer that can be given
    /// afterwards is told.
    async fn agree(&self) -> Result<()> {
        if self.has_agreed_to_loss() {
            return Ok(());
        }
        match self.accepted_for_sure().await {
            Ok(Some(Accepted::AtLeast(0))) => Ok(()),
            accepted => refuse_loss(accepted, self.run()),
        }
    }

    /// What the target has accepted, asked again where sessions there may hold their counts back.
    async fn accepted_for_sure(&self) -> Result<Option<Accepted>> {
        let accepted = self.accepted().await?;
        if accepted != Some(Accepted::AtLeast(0)) {
            return Ok(accepted);
        }
        let wait = Duration::from_millis(target_writes::HELD_BACK_MS);
        let text = format!(
            "asking again in {} s what consumers have written: sessions of the target may not have counted it yet",
            wait.as_secs()
        );
        self.context.events.note(Stage::Switch, text);
        tokio::time::sleep(wait).await;
        self.accepted().await
    }

    async fn accepted(&self) -> Result<Option<Accepted>> {
        accepted(self.context, self.store, self.plan).await
    }
}

/// The gate of a switch: probes let it go on, and what consumers have written holds it from going
/// back.
struct Careful<'a> {
    cutover: &'a Cutover<'a>,
    probes: &'a Probes<'a>,
}

impl Gate for Careful<'_> {
    fn switched<'a>(
        &'a self,
        group: &'a str,
        functions: &'a [String],
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        self.probes.switched(group, functions)
    }

    fn may_go_back(&self) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(self.cutover.agree())
    }
}

/// What the target has accepted since the last baseline of a run; nothing without a baseline.
pub async fn accepted(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
) -> Result<Option<Accepted>> {
    let state = RunState::of(&read_journal(store).await?);
    match &state.baseline {
        None => Ok(None),
        Some(baseline) => target_writes::since(context, store, plan, baseline)
            .await
            .map(Some),
    }
}

/// What the target has accepted is lost to consumers who go back: that takes the operator's word.
pub async fn agree_to_loss(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    agreed: Option<&str>,
) -> Result<()> {
    let run = &plan.plan.run;
    if agreed == Some(run.as_str()) {
        return Ok(());
    }
    refuse_loss(accepted(context, store, plan).await, run)
}

/// Refuses what would be lost.
fn refuse_loss(accepted: Result<Option<Accepted>>, run: &RunId) -> Result<()> {
    let refuse = |what: String| {
        Failure::new(ErrorKind::Blocked, what).hint(format!(
            "nothing was changed; go back without them with --accept-loss {run}"
        ))
    };
    match accepted {
        Ok(None | Some(Accepted::Nothing)) => Ok(()),
        // Somebody wrote, perhaps only the server to itself, and no cheap look proves that no row
        // of the run is theirs. To say that nothing is lost would be a guess.
        Ok(Some(Accepted::AtLeast(0))) => Err(refuse(
            "no row is known that the target has accepted since the switch, but none could be ruled out: sessions are at work there, and its tables are too large to look at each row".to_owned(),
        )
        .hint(format!(
            "nothing was changed; again when consumers have been idle for {} s, or with --accept-loss {run}",
            target_writes::HELD_BACK_MS / 1000
        ))),
        Ok(Some(Accepted::AtLeast(rows))) => Err(refuse(format!(
            "the target has accepted at least {} since the switch, which the source does not have",
            table::counted(rows, "row change")
        ))),
        Err(failure) => Err(refuse(
            "nobody can say what the target has accepted since the switch".to_owned(),
        )
        .because(failure)),
    }
}

/// Lifts the fence of a run, where one was ever put up: otherwise the source is not asked, which may
/// be out of reach. Gives whether there was one.
async fn lift(context: &Context, store: &RunStore, journal: &Journal) -> Result<bool> {
    let state = RunState::of(&read_journal(store).await?);
    match state.fence {
        FenceState::None => Ok(false),
        _ => fencing::lift(context, store.run(), journal).await,
    }
}

/// The way back: consumers first, then the fence.
pub struct Back<'a> {
    /// How the process was called.
    pub context: &'a Context,
    /// The run's store.
    pub store: &'a RunStore,
    /// AWS.
    pub clients: &'a SwitchClients,
    /// Key of the way back.
    pub key: &'a UndoKey,
    /// The run's journal.
    pub journal: &'a Journal,
}

impl Back<'_> {
    /// Puts every consumer back, then lets the source accept writes.
    pub async fn perform(
        &self,
        options: &towpath_switch::RollbackOptions,
    ) -> Result<towpath_switch::RollbackOutcome> {
        let record = aws::JournalRecord(self.journal.clone());
        let back = towpath_switch::rollback(
            self.clients,
            self.store,
            self.key,
            options,
            &record,
            &self.context.events,
        );
        let outcome = timed(self.journal, "rollback", Box::pin(back)).await?;
        // Where the source is gone for good the configuration still goes back.
        if self.context.url(Side::Source).is_ok() {
            lift(self.context, self.store, self.journal).await?;
        }
        enter(self.journal, RunStage::RolledBack).await?;
        Ok(outcome)
    }
}
