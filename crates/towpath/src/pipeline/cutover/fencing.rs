//! The fence on the source, as a cutover needs it.

use std::time::Duration;

use towpath_fence::{CancelBlockers, FenceOptions, LockPatience, Waiting};
use towpath_model::connection::Side;
use towpath_model::cutover::{Fence, FenceMode};
use towpath_model::event::Stage;
use towpath_model::journal::Entry;
use towpath_model::manifest::Manifest;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result, RunId};
use towpath_postgres::{Session, catalog};
use towpath_store::{Journal, RunStore, read_journal};

use crate::context::Context;
use crate::run_files::StoredPlan;
use crate::run_state::{FenceState, RunState};
use crate::table;

/// A fence that stands, with what keeps it standing.
pub struct Standing {
    /// The fence.
    pub fence: Fence,
    /// Whether it was found standing, and never lifted since the journal has told of it.
    pub found: bool,
    run: RunId,
    /// Who keeps clients waiting.
    waiting: Option<Waiting>,
}

/// Fences the tables of the plan; journals the intent before and the fence after. A fence of this
/// run that stands is found and proven, not put up again.
pub async fn fence(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    journal: &Journal,
) -> Result<Standing> {
    let run = plan.plan.run.clone();
    let options = options(context, plan)?;
    let mut session = connect(context, &run).await?;
    let found = towpath_fence::find(&mut session).await?;
    let standing = match found.filter(|found| found.run == run && !found.is_open) {
        Some(found) => {
            towpath_fence::prove(&mut session, &run, &found.fence).await?;
            let known = RunState::of(&read_journal(store).await?).fence;
            // The answer to its commit was lost, or the process was, before it was journalled.
            let is_known =
                matches!(known, FenceState::Stands(fence) if fence.lsn == found.fence.lsn);
            if !is_known {
                journal.append(Entry::Fenced(found.fence.clone())).await?;
            }
            Standing {
                fence: found.fence,
                found: is_known,
                run,
                waiting: None,
            }
        }
        None => {
            journal.append(Entry::FenceIntent).await?;
            let up = Box::pin(towpath_fence::put_up(&options)).await?;
            journal.append(Entry::Fenced(up.fence.clone())).await?;
            Standing {
                fence: up.fence,
                found: false,
                run,
                waiting: up.waiting,
            }
        }
    };
    session.close().await;
    tell(context, &standing.fence);
    Ok(standing)
}

/// What does not hold against everybody is said, not kept quiet.
fn tell(context: &Context, fence: &Fence) {
    let names = |tables: &[QualifiedName]| -> String {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let fenced = table::counted(fence.tables, "table");
    let note = format!(
        "the source refuses writes to {fenced} from {} on",
        fence.lsn
    );
    context.events.note(Stage::Switch, note);
    if !fence.weak.is_empty() {
        let weak = names(&fence.weak);
        let note = format!("who may set session_replication_role can still write to {weak}");
        context.events.note(Stage::Switch, note);
    }
    if !fence.open.is_empty() {
        let open = names(&fence.open);
        context
            .events
            .note(Stage::Switch, format!("not fenced, as accepted: {open}"));
    }
}

async fn connect(context: &Context, run: &RunId) -> Result<Session> {
    let source = context.url(Side::Source)?;
    let options = context.session_options(Side::Source, &format!("towpath/{run}/fence"));
    Session::connect(&source, Side::Source, &options).await
}

fn options(context: &Context, plan: &StoredPlan) -> Result<FenceOptions> {
    let settings = &context.settings;
    let (tables, others): (Vec<_>, Vec<_>) = plan
        .plan
        .tables
        .iter()
        .partition(|table| table.rows.is_table());
    let cancel = ["none", "idle", "all"];
    let message = settings.text("fence.message");
    if message.trim().is_empty() {
        return Err(Failure::new(ErrorKind::Config, "fence.message is empty")
            .hint("say where clients find the database now"));
    }
    Ok(FenceOptions {
        source: context.url(Side::Source)?,
        session: context.session_options(Side::Source, ""),
        run: plan.plan.run.clone(),
        tables: tables.iter().map(|table| table.name.clone()).collect(),
        unfenceable: others.iter().map(|table| table.name.clone()).collect(),
        mode: match settings.word("fence.mode", &["refuse", "wait", "none"])? {
            "wait" => FenceMode::Wait,
            _ => FenceMode::Refuse,
        },
        max_wait: Duration::from_secs(settings.number("fence.max_wait_s")?),
        message: message.to_owned(),
        patience: LockPatience {
            wait: Duration::from_secs(settings.number("fence.lock_timeout_s")?),
            attempts: u32::try_from(settings.number("fence.attempts")?).unwrap_or(u32::MAX),
            cancel: match settings.word("fence.cancel_blockers", &cancel)? {
                "idle" => CancelBlockers::Idle,
                "all" => CancelBlockers::All,
                _ => CancelBlockers::None,
            },
        },
        accept_open: settings.list("fence.accept_open").into_iter().collect(),
        events: context.events.clone(),
        stop: context.stop.clone(),
    })
}

impl Standing {
    /// Proves that the fence stands as it did and that no write to a fenced table was committed
    /// since. From here on clients that wait are not let through to the source any more.
    pub async fn check(&mut self, context: &Context) -> Result<()> {
        if let Some(waiting) = &self.waiting {
            waiting.begin_switch().await?;
        }
        let mut session = connect(context, &self.run).await?;
        towpath_fence::prove(&mut session, &self.run, &self.fence).await?;
        session.close().await;
        Ok(())
    }

    /// Ends the waiting of clients, where they wait: from here on their writes fail.
    pub async fn end_waiting(&mut self) -> Result<()> {
        if let Some(waiting) = self.waiting.take() {
            waiting.end().await;
        }
        Ok(())
    }
}

/// Sets the target's sequences to where the fenced source has them, with the margin of the setting.
pub async fn carry_sequences(
    context: &Context,
    plan: &StoredPlan,
    manifest: &Manifest,
    journal: &Journal,
) -> Result<()> {
    let names: Vec<QualifiedName> = manifest
        .sequences
        .iter()
        .map(|sequence| sequence.name.clone())
        .collect();
    let mut source = connect(context, &plan.plan.run).await?;
    source.begin_reading().await?;
    let now = catalog::sequence_states(&mut source, &names).await?;
    let states = towpath_fence::with_margin(&mut source, &now, margin(context)?).await?;
    source.rollback().await?;
    source.close().await;
    let url = context.url(Side::Target)?;
    let name = format!("towpath/{}/sequences", plan.plan.run);
    let options = context.session_options(Side::Target, &name);
    let mut target = Session::connect(&url, Side::Target, &options).await?;
    let search_path = &plan.plan.source.facts.search_path;
    towpath_load::set_sequences_by(&mut target, search_path, &states).await?;
    target.close().await;
    // After: a verification must not expect what may never have been set.
    journal.append(Entry::SequencesCarried { states }).await
}

/// Unlike other numbers it may be 0.
fn margin(context: &Context) -> Result<u64> {
    let text = context.settings.text("fence.sequence_margin");
    text.parse().map_err(|cause: std::num::ParseIntError| {
        Failure::new(
            ErrorKind::Config,
            format!("fence.sequence_margin is {text:?}, which is no number"),
        )
        .at(format!(
            "from the {}",
            context.settings.origin("fence.sequence_margin")
        ))
        .because(cause)
    })
}

/// Lifts the fence of a run, wherever it came from; journals it. Gives whether there was one.
pub async fn lift(context: &Context, run: &RunId, journal: &Journal) -> Result<bool> {
    let mut session = connect(context, run).await?;
    let lifted = towpath_fence::lift(&mut session, Some(run)).await?;
    session.close().await;
    // Also where there was none: a process may have died before it could say so.
    journal.append(Entry::Unfenced).await?;
    Ok(told(context, lifted).is_some())
}

/// Lifts whatever fence stands on the source, without a store; gives whose it was.
pub async fn lift_from_source(context: &Context, run: Option<&RunId>) -> Result<Option<RunId>> {
    let source = context.url(Side::Source)?;
    let options = context.session_options(Side::Source, "towpath/unfence");
    let mut session = Session::connect(&source, Side::Source, &options).await?;
    let lifted = towpath_fence::lift(&mut session, run).await?;
    session.close().await;
    Ok(told(context, lifted))
}

fn told(context: &Context, lifted: Option<towpath_fence::Lifted>) -> Option<RunId> {
    let lifted = lifted?;
    if lifted.left > 0 {
        let note = format!(
            "writes pass again; triggers that let them pass are left on {}, which were in use: `towpath unfence` clears them away",
            table::counted(lifted.left as u64, "table")
        );
        context.events.note(Stage::Switch, note);
    }
    Some(lifted.found.run)
}

/// The run whose fence stands on the source, with the number of its tables.
pub async fn found(context: &Context) -> Result<Option<(RunId, u64)>> {
    let source = context.url(Side::Source)?;
    let options = context.session_options(Side::Source, "towpath/unfence");
    let mut session = Session::connect(&source, Side::Source, &options).await?;
    let found = towpath_fence::find(&mut session).await?;
    session.close().await;
    Ok(found
        .filter(|found| !found.is_open)
        .map(|found| (found.run, found.fence.tables)))
}
