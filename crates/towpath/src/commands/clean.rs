//! `towpath clean`: the staged rows of a run go for good, and are proven to be gone.
//!
//! Staged rows are production rows, or masked ones; nobody needs them once a run has arrived. What
//! says what was moved and how it was proven stays: plan, schema, journal, manifest, evidence, and the
//! run's key, without which the digests in the evidence could not be computed again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use towpath_model::journal::{Entry, RunStage};
use towpath_model::lease::Lease;
use towpath_model::manifest::Manifest;
use towpath_model::plan::Plan;
use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};
use towpath_store::{Journal, RunStore, Staged, read_journal};

use crate::arguments::CleanArguments;
use crate::commands::{ask, confirm, next};
use crate::context::Context;
use crate::pipeline::verifying;
use crate::run_state::{FenceState, RunState, StagedRows};
use crate::{clock, run_files, table};

/// What is lost with the rows, and what is not.
const AFTERWARDS: &str = "afterwards this run can be neither loaded nor cloned, and `verify --chunks` has nothing to look at;\n\
    plan, schema, journal, manifest, evidence and the run's key stay";

/// Cleans the run that is named, or all whose time is over.
pub async fn clean(context: &Context, arguments: &CleanArguments) -> Result<Exit> {
    match &arguments.run {
        Some(run) => one(context, &run.parse()?, arguments).await,
        None => expired(context, arguments).await,
    }
}

/// A run with staged rows.
struct Found {
    store: RunStore,
    plan: Arc<Plan>,
    state: RunState,
    manifest: Option<Manifest>,
    /// Whether the latest verification was clean; nothing before the first.
    verified: Option<bool>,
    /// Who is at work on it.
    holder: Option<Lease>,
}

impl Found {
    async fn read(context: &Context, run: &RunId) -> Result<Self> {
        let store = context.open_store(run).await?;
        let plan = run_files::require_plan(&store).await?.plan;
        let lease: Option<Lease> = store.get_document("lease.json").await?;
        Ok(Self {
            state: RunState::of(&read_journal(&store).await?),
            manifest: store.get_document("manifest.json").await?,
            verified: verifying::latest(&store)
                .await?
                .map(|(_, verification)| verification.is_clean()),
            holder: lease.filter(|lease| lease.is_held(clock::now_s())),
            plan,
            store,
        })
    }

    fn run(&self) -> &RunId {
        self.store.run()
    }

    /// When its rows were staged.
    fn since(&self) -> &str {
        let sealed = self.manifest.as_ref().map(|it| it.sealed_at.as_str());
        sealed.unwrap_or(&self.plan.created_at)
    }

    /// Keys that must be gone: those of the manifest, and those that the journal tells of.
    fn keys(&self) -> Vec<String> {
        let sealed = self.manifest.iter().flat_map(Manifest::chunks);
        let mut keys: Vec<String> = sealed
            .chain(self.state.chunks.values())
            .map(|chunk| chunk.key.clone())
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Whether its rows are on their way to a target that consumers will use.
    fn is_a_move(&self) -> bool {
        self.plan.clone.is_none() && self.plan.rehearsal.is_none()
    }

    fn is_loaded(&self) -> bool {
        self.state.stage >= Some(RunStage::Loaded)
    }

    /// Whether it is an export that is whole and was never loaded.
    fn is_only_exported(&self) -> bool {
        self.is_a_move() && self.manifest.is_some() && !self.is_loaded()
    }

    /// What is given up with the rows of a run that has not arrived.
    fn gives_up(&self) -> Option<&'static str> {
        if self.plan.rehearsal.is_some() || self.state.stage == Some(RunStage::Switched) {
            return None;
        }
        if self.plan.clone.is_some() {
            return (!self.state.swapped)
                .then_some("its clone does not serve, and cannot be finished without them");
        }
        Some(if self.manifest.is_none() {
            "its export is not sealed: what it has stored goes, and the run cannot go on"
        } else if !self.is_loaded() {
            "its rows were never loaded: if the source has gone, they are the only ones"
        } else {
            match self.verified {
                Some(true) if self.state.stage == Some(RunStage::RolledBack) => {
                    "its cutover was rolled back, and the target could not be loaded again"
                }
                Some(true) => {
                    "its consumers are not switched, and the target could not be loaded again"
                }
                Some(false) => {
                    "verification found differences, and nothing could say where they come from"
                }
                None => "it is not verified, and stored rows could not be compared any more",
            }
        })
    }

    fn heading(&self, staged: &Staged) -> String {
        let what = match (&self.plan.clone, &self.manifest) {
            (Some(clone), _) => format!("clone {:?}, staged", clone.name),
            (None, Some(_)) => "sealed".to_owned(),
            (None, None) => "planned".to_owned(),
        };
        format!(
            "run {}   {what} {}   {}",
            self.run(),
            self.since(),
            amount(staged)
        )
    }
}

/// Why a run cannot be cleaned now, whoever confirms.
fn is_in_the_middle(state: &RunState) -> Option<&'static str> {
    if state.stage == Some(RunStage::Switching) {
        return Some("its cutover is in the middle");
    }
    let is_switched = state.stage == Some(RunStage::Switched);
    (!is_switched && state.fence != FenceState::None).then_some("its fence stands, or perhaps does")
}

fn amount(staged: &Staged) -> String {
    let uploads = match staged.uploads {
        0 => String::new(),
        count => format!(", {}", table::counted(count, "unfinished upload")),
    };
    format!(
        "{}, {}{uploads}",
        table::counted(staged.objects, "object"),
        table::bytes(staged.bytes)
    )
}

async fn one(context: &Context, run: &RunId, arguments: &CleanArguments) -> Result<Exit> {
    let found = Found::read(context, run).await?;
    let staged = found.store.staged().await?;
    if let (StagedRows::Gone { at, .. }, true) = (&found.state.staged, staged.is_empty()) {
        let asked = found.store.prove_unstaged(found.keys()).await?;
        if context.json {
            tell_json(&found, &staged, asked, arguments.dry_run);
        } else {
            println!("the staged rows of run {run} were deleted on {at}; nothing is there");
        }
        return Ok(Exit::Done);
    }
    if !context.json {
        println!("{}", found.heading(&staged));
    }
    eprintln!("{AFTERWARDS}");
    if let Some(gives_up) = found.gives_up() {
        eprintln!("{gives_up}");
    }
    refuse_in_use(context, run, &found.state).await?;
    if arguments.dry_run {
        if context.json {
            tell_json(&found, &staged, 0, true);
        }
        next(&format!("`towpath clean {run}` deletes them"));
        return Ok(Exit::Done);
    }
    match found.gives_up() {
        Some(gives_up) => {
            let by_flag = arguments.confirm.as_deref();
            confirm(run, by_flag, "delete its rows all the same", Some(gives_up))?;
        }
        None if arguments.confirm.as_deref() == Some(run.as_str()) => {}
        None => ask(arguments.yes, "\ndelete them for good?")?,
    }
    let (purged, asked) = Box::pin(purge(context, &found)).await?;
    tell(context, &found, &purged, asked);
    next(&format!(
        "nothing; `towpath report {run}` still tells what the run did"
    ));
    Ok(Exit::Done)
}

/// Refuses what somebody is in the middle of. A lease that another process has is refused where it is
/// taken.
async fn refuse_in_use(context: &Context, run: &RunId, state: &RunState) -> Result<()> {
    if let Some(why) = is_in_the_middle(state) {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!("could not clean run {run}: {why}"),
        )
        .hint(format!(
            "`towpath cutover {run}` or `towpath rollback {run}` ends it; `towpath unfence {run}` lifts a fence that is left"
        )));
    }
    if let Some(reader) = reader(context, run).await? {
        return Err(Failure::new(
            ErrorKind::LeaseHeld,
            format!("could not clean run {run}: run {reader} is making a clone of its rows"),
        )
        .hint("wait for it, or look with `towpath status`"));
    }
    Ok(())
}

/// A run at work that reads the rows of this one.
async fn reader(context: &Context, run: &RunId) -> Result<Option<RunId>> {
    for other in context.stored_runs().await? {
        let store = context.open_store(&other).await?;
        let lease: Option<Lease> = store.get_document("lease.json").await?;
        if other == *run || !lease.is_some_and(|lease| lease.is_held(clock::now_s())) {
            continue;
        }
        let Some(stored) = run_files::stored_plan(&store).await? else {
            continue;
        };
        let clone = stored.plan.clone.as_ref();
        let reads = clone
            .is_some_and(|it| it.from.as_ref() == Some(run) || it.reuses.as_ref() == Some(run));
        if reads {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Deletes under the run's lease. The journal says so before the first object goes, so that whoever
/// misses one later is told why, and again once all are proven to be gone.
async fn purge(context: &Context, found: &Found) -> Result<(Staged, u64)> {
    let command = format!("clean {}", found.run());
    let store = &found.store;
    Box::pin(
        context.with_lease(store, &command, async |journal: Journal| {
            // Somebody may have gone on with the run while this process was asking.
            let state = RunState::of(&read_journal(store).await?);
            if state.stage != found.state.stage {
                return Err(Failure::new(
                    ErrorKind::Conflict,
                    format!("run {} has gone on meanwhile", found.run()),
                )
                .hint("look with `towpath status`, then the same command again"));
            }
            // Once more: a question may be looked at for hours.
            refuse_in_use(context, found.run(), &state).await?;
            journal.append(Entry::Cleaning).await?;
            let purged = Box::pin(store.purge_staged()).await?;
            let asked = Box::pin(store.prove_unstaged(found.keys())).await?;
            journal
                .append(Entry::Cleaned {
                    objects: purged.objects,
                })
                .await?;
            Ok((purged, asked))
        }),
    )
    .await
}

fn tell(context: &Context, found: &Found, purged: &Staged, asked: u64) {
    if context.json {
        tell_json(found, purged, asked, false);
        return;
    }
    println!(
        "run {}: deleted {}; nothing is listed below chunks/ any more, and {} were asked for and are gone",
        found.run(),
        amount(purged),
        table::counted(asked, "key")
    );
}

fn tell_json(found: &Found, staged: &Staged, asked: u64, dry_run: bool) {
    println!(
        "{}",
        json!({
            "v": 1, "type": "clean", "run": found.run(), "dry_run": dry_run,
            "objects": staged.objects, "bytes": staged.bytes, "uploads": staged.uploads,
            "asked": asked,
        })
    );
}

/// Every run of the store whose rows are older than the setting says.
async fn expired(context: &Context, arguments: &CleanArguments) -> Result<Exit> {
    let days = context.settings.count("clean.retain_days")?;
    let oldest = OffsetDateTime::now_utc()
        - Duration::days(i64::try_from(days.min(36_500)).unwrap_or(36_500));
    let current = context.local.current_run()?;
    let (mut listed, mut left) = (Vec::new(), 0);
    let mut cloned = Cloned::default();
    for run in context.stored_runs().await? {
        let look = async {
            let found = Found::read(context, &run).await?;
            let due = due(context, &found, oldest, current.as_ref(), &mut cloned).await?;
            Ok::<_, Failure>((found, due))
        };
        let (found, staged) = match Box::pin(look).await {
            // A folder without a plan has no rows; one that cannot be read is somebody's to look at.
            Err(failure) if failure.kind() == ErrorKind::NotFound => continue,
            Ok((_, Due::No)) => continue,
            Err(failure) => {
                eprintln!("left: run {run}: {failure}");
                left += 1;
                continue;
            }
            Ok((_, Due::Left(why))) => {
                eprintln!("left: run {run}: {why}");
                left += 1;
                continue;
            }
            Ok((found, Due::Yes(staged))) => (found, staged),
        };
        if !context.json {
            println!("{}", found.heading(&staged));
        }
        if arguments.dry_run && context.json {
            tell_json(&found, &staged, 0, true);
        }
        if let Some(gives_up) = found.gives_up() {
            eprintln!("  {gives_up}");
        }
        listed.push(found);
    }
    if listed.is_empty() {
        let other = if left > 0 { "other " } else { "" };
        eprintln!("no {other}run has rows that are older than {days} days");
        return Ok(Exit::Done);
    }
    if arguments.dry_run {
        next("`towpath clean --expired` deletes them");
        return Ok(Exit::Done);
    }
    eprintln!("{AFTERWARDS}");
    ask(arguments.yes, "\ndelete the rows of all these for good?")?;
    let mut failed = None;
    for found in listed {
        // One that cannot be cleaned should not keep the rows of the others.
        match Box::pin(purge(context, &found)).await {
            Ok((purged, asked)) => tell(context, &found, &purged, asked),
            Err(failure) => {
                eprintln!("left: run {}: {failure}", found.run());
                failed.get_or_insert(failure);
            }
        }
        context.stop.check()?;
    }
    failed.map_or(Ok(Exit::Done), Err)
}

/// Whether the time of a run is over.
enum Due {
    No,
    /// It is, and something speaks against it.
    Left(&'static str),
    /// These rows of it go.
    Yes(Staged),
}

async fn due(
    context: &Context,
    found: &Found,
    oldest: OffsetDateTime,
    current: Option<&RunId>,
    cloned: &mut Cloned,
) -> Result<Due> {
    // What the journal knows to be gone may be there again: an upload that came late, a backup that
    // was put back.
    let is_gone = matches!(found.state.staged, StagedRows::Gone { .. });
    if is_gone && found.store.staged().await?.is_empty() {
        return Ok(Due::No);
    }
    match OffsetDateTime::parse(found.since(), &Rfc3339) {
        Ok(since) if since > oldest => return Ok(Due::No),
        Ok(_) => {}
        Err(_) => {
            return Ok(Due::Left(
                "when it was made cannot be read; `towpath clean` with its name asks",
            ));
        }
    }
    if let Some(why) = stays(found, current) {
        return Ok(Due::Left(why));
    }
    if found.is_only_exported() && !cloned.holds(context, found.run()).await? {
        return Ok(Due::Left(
            "it was never loaded, nor is a clone made of it: if the source has gone, its rows are the only ones; \
             `towpath clean` with its name asks",
        ));
    }
    found.store.staged().await.map(Due::Yes)
}

/// Runs of whose rows a clone was swapped in. All runs of the store are asked, once, and only where
/// somebody wants to know.
#[derive(Default)]
struct Cloned(Option<BTreeSet<RunId>>);

impl Cloned {
    async fn holds(&mut self, context: &Context, run: &RunId) -> Result<bool> {
        let runs = match self.0.take() {
            Some(runs) => runs,
            None => Self::read(context).await?,
        };
        Ok(self.0.insert(runs).contains(run))
    }

    async fn read(context: &Context) -> Result<BTreeSet<RunId>> {
        let mut runs = BTreeSet::new();
        for run in context.stored_runs().await? {
            let store = context.open_store(&run).await?;
            let stored = run_files::stored_plan(&store).await?;
            let clone = stored.and_then(|stored| stored.plan.clone.clone());
            if let Some(from) = clone.and_then(|clone| clone.from)
                && RunState::of(&read_journal(&store).await?).swapped
            {
                runs.insert(from);
            }
        }
        Ok(runs)
    }
}

/// What speaks against deleting the rows of a run whose time is over.
fn stays(found: &Found, current: Option<&RunId>) -> Option<&'static str> {
    if found.holder.is_some() {
        return Some("somebody is at work on it");
    }
    if let Some(why) = is_in_the_middle(&found.state) {
        return Some(why);
    }
    let is_unproven = found.is_loaded() && found.verified != Some(true);
    if found.is_a_move() && is_unproven && found.gives_up().is_some() {
        return Some("it is loaded and not verified clean; `towpath clean` with its name asks");
    }
    let is_current = current == Some(found.run());
    (is_current && found.gives_up().is_some()).then_some(
        "it is the current run here and has not arrived; `towpath clean` with its name asks",
    )
}
