//! Verification, and what it means for the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_model::clone::AllowedColumn;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RowDigest;
use towpath_model::inventory::SequenceState;
use towpath_model::journal::RunStage;
use towpath_model::manifest::Manifest;
use towpath_model::plan::Plan;
use towpath_model::verification::{Measure, Reading, Verification};
use towpath_model::{Result, TableId};
use towpath_store::{Journal, RunStore, read_journal};
use towpath_verify::{CloneContext, Level, SideProof, VerifyContext, VerifyOptions, evidence};

use crate::clock;
use crate::context::Context;
use crate::pipeline::health::{self, Queries};
use crate::pipeline::{access, enter, timed};
use crate::run_files::{self, StoredPlan};
use crate::run_state::RunState;
use crate::signing;

/// Folder of the verifications of a run.
pub const FOLDER: &str = "verify";

/// What is looked at, and how.
#[derive(Debug, Clone)]
pub struct Looking {
    /// Levels.
    pub levels: BTreeSet<Level>,
    /// What rows are compared with.
    pub measure: Measure,
    /// Who digests rows.
    pub reading: Reading,
    /// Whether differences tell values of rows.
    pub show_values: bool,
    /// Differing rows named per table; the setting's when nothing.
    pub max_differences: Option<usize>,
    /// What the checklist does with queries.
    pub queries: Queries,
    /// What a clone is verified for besides.
    pub clone: Option<Arc<CloneContext>>,
    /// States of sequences that a clone has set.
    pub reset: Vec<SequenceState>,
}

impl From<BTreeSet<Level>> for Looking {
    fn from(levels: BTreeSet<Level>) -> Self {
        Self {
            levels,
            measure: Measure::default(),
            reading: Reading::default(),
            show_values: false,
            max_differences: None,
            queries: Queries::default(),
            clone: None,
            reset: Vec::new(),
        }
    }
}

impl Looking {
    /// The target, where something is looked at there.
    fn target(&self, context: &Context) -> Result<Option<ConnectionUrl>> {
        let only_store = self.levels.iter().all(|level| *level == Level::Chunks);
        match only_store {
            true => Ok(None),
            false => context.url(Side::Target).map(Some),
        }
    }

    /// The source, where it is looked at too. The checklist asks it where it is known: after a
    /// cutover it may be gone.
    fn source(&self, context: &Context) -> Result<Option<ConnectionUrl>> {
        let needs = self.measure == Measure::Live || self.levels.contains(&Level::Access);
        match (needs, self.levels.contains(&Level::Health)) {
            (true, _) => context.url(Side::Source).map(Some),
            (false, true) => Ok(context.url(Side::Source).ok()),
            (false, false) => Ok(None),
        }
    }
}

/// What a verification of this process looks at and with.
pub async fn verify_context(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    manifest: Manifest,
    looking: Looking,
) -> Result<VerifyContext> {
    let setting = context.settings.number("verify.max_differences")?;
    let setting = usize::try_from(setting).unwrap_or(usize::MAX);
    Ok(VerifyContext {
        target: looking.target(context)?,
        source: looking.source(context)?,
        store: store.clone(),
        plan: Arc::clone(&plan.plan),
        manifest: Arc::new(manifest),
        caught_up: Arc::new(caught_up(store).await?),
        carried: Arc::new(match looking.reset.is_empty() {
            true => carried(store).await?,
            false => looking.reset,
        }),
        clone: clone_later(plan, &looking.levels, looking.clone),
        key: run_files::key(store).await?,
        options: VerifyOptions {
            levels: looking.levels,
            jobs: context.jobs(&plan.plan)?,
            session: context.session_options(Side::Target, ""),
            source_session: context.session_options(Side::Source, ""),
            max_differences: looking.max_differences.unwrap_or(setting),
            measure: looking.measure,
            reading: looking.reading,
            show_values: looking.show_values,
            access: access::options(context)?,
            health: health::options(context, looking.queries)?,
            left_alone: context.left_alone(),
        },
        events: context.events.clone(),
        stop: context.stop.clone(),
    })
}

/// What a clone is verified for when whoever made it is gone: all but what needs the originals.
fn clone_later(
    plan: &StoredPlan,
    levels: &BTreeSet<Level>,
    given: Option<Arc<CloneContext>>,
) -> Option<Arc<CloneContext>> {
    let is_whole = plan.plan.clone.is_some() && Level::prove_the_copy(levels);
    let later = || CloneContext {
        no_scan: "originals are known to the process that masks them, and to nobody after it"
            .to_owned(),
        is_thorough: true,
        allowed: allowed(&plan.plan),
        ..CloneContext::default()
    };
    given.or(is_whole.then(|| Arc::new(later())))
}

/// Columns of a clone that a rule allows to stay as they are.
pub fn allowed(plan: &Plan) -> Vec<AllowedColumn> {
    let coverage = plan.clone.as_ref().and_then(|it| it.coverage.as_ref());
    coverage.map(|it| it.allowed.clone()).unwrap_or_default()
}

/// The tables that a cutover has brought up to its fence.
async fn caught_up(store: &RunStore) -> Result<BTreeMap<TableId, RowDigest>> {
    let state = RunState::of(&read_journal(store).await?);
    let tables = state.caught_up.into_iter();
    Ok(tables.map(|table| (table.table, table.digest)).collect())
}

/// The sequences that a cutover has set to where its fence found them.
async fn carried(store: &RunStore) -> Result<Vec<SequenceState>> {
    Ok(RunState::of(&read_journal(store).await?).carried)
}

/// Verifies and stores the evidence, signed; a clean verification of every level that proves the
/// copy makes the run Verified.
pub async fn verify(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    manifest: Manifest,
    looking: impl Into<Looking>,
    journal: &Journal,
    stage: Option<RunStage>,
) -> Result<(String, Verification)> {
    Box::pin(verify_into(
        context, store, store, plan, manifest, looking, journal, stage,
    ))
    .await
}

/// The same with the evidence in another run's folder, signed by that run's key: a rehearsal of a
/// sealed run must not leave evidence that would count for the run.
#[expect(
    clippy::too_many_arguments,
    reason = "those of `verify`, and where the evidence goes"
)]
pub async fn verify_into(
    context: &Context,
    evidence_store: &RunStore,
    store: &RunStore,
    plan: &StoredPlan,
    manifest: Manifest,
    looking: impl Into<Looking>,
    journal: &Journal,
    stage: Option<RunStage>,
) -> Result<(String, Verification)> {
    let looking = looking.into();
    // First: hours later is no time to learn that the key cannot be read.
    let signer = signing::signer(context, evidence_store).await?;
    let complete = Level::prove_the_copy(&looking.levels) && looking.measure == Measure::Manifest;
    let mut looking = verify_context(context, store, plan, manifest, looking).await?;
    looking.options.health.after_cutover = health::is_after_cutover(stage);
    let mut verification = timed(
        journal,
        "verify",
        towpath_verify::verify(&looking, clock::now(), clock::now),
    )
    .await?;
    if evidence_store.run() != store.run() {
        verification.rehearsal = Some(evidence_store.run().clone());
    }
    // Values are for who asked to see them, and not for the store.
    let shown = looking.options.show_values.then(|| verification.clone());
    let (key, stored) = keep(evidence_store, verification, &signer).await?;
    let verification = shown.unwrap_or(stored);
    // A verification after the cutover is evidence too, but does not move the run backwards.
    let before_switch = stage.is_none_or(|stage| stage < RunStage::Switching);
    if complete && verification.is_clean() && before_switch {
        enter(journal, RunStage::Verified).await?;
    }
    Ok((key, verification))
}

/// Stores evidence, signed and without values; gives its key, and what was stored.
pub async fn keep(
    store: &RunStore,
    verification: Verification,
    signer: &evidence::Signer,
) -> Result<(String, Verification)> {
    let (bytes, stored) = evidence::seal(verification.without_values(), signer)?;
    let key = store.put_numbered_bytes(FOLDER, bytes).await?;
    Ok((key, stored))
}

/// The latest evidence of a run, its signature checked, with its key.
pub async fn latest(store: &RunStore) -> Result<Option<(String, Verification)>> {
    match store.latest_numbered_bytes(FOLDER).await? {
        Some((key, bytes)) => opened(store, key, &bytes).await.map(Some),
        None => Ok(None),
    }
}

/// The evidence before another one, likewise.
pub async fn before(store: &RunStore, key: &str) -> Result<Option<(String, Verification)>> {
    let number = key
        .strip_prefix(FOLDER)
        .and_then(|rest| rest.trim_matches('/').strip_suffix(".json"))
        .and_then(|number| number.parse::<u32>().ok());
    let Some(number) = number.and_then(|number| number.checked_sub(1)) else {
        return Ok(None);
    };
    let key = format!("{FOLDER}/{number}.json");
    match store.get(&key).await? {
        Some(bytes) => opened(store, key, &bytes).await.map(Some),
        None => Ok(None),
    }
}

async fn opened(store: &RunStore, key: String, bytes: &[u8]) -> Result<(String, Verification)> {
    let place = store.describe(&key);
    let keys = signing::keys_of_run(store).await?;
    let verification = evidence::open(bytes, &place)?.checked(&keys)?;
    if verification.keeper() != store.run() {
        let why = format!("it is of run {}", verification.keeper());
        return Err(evidence::altered(&place, &why));
    }
    Ok((key, verification))
}

/// Reads the live source and compares it with the manifest: what differs was written since.
pub async fn source_since_export(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    manifest: Manifest,
) -> Result<SideProof> {
    let looking = Looking::from(BTreeSet::from([Level::Rows]));
    let looking = verify_context(context, store, plan, manifest, looking).await?;
    let source = context.url(Side::Source)?;
    towpath_verify::prove_side(&looking, &source, Side::Source).await
}
