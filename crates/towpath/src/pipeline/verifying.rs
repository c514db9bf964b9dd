//! Verification, and what it means for the run.

use std::collections::BTreeSet;
use std::sync::Arc;

use towpath_model::Result;
use towpath_model::connection::Side;
use towpath_model::journal::RunStage;
use towpath_model::manifest::Manifest;
use towpath_model::verification::Verification;
use towpath_store::{Journal, RunStore};
use towpath_verify::{Level, SideProof, VerifyContext, VerifyOptions};

use crate::clock;
use crate::context::Context;
use crate::pipeline::{enter, timed};
use crate::run_files::{self, StoredPlan};

/// Folder of the verifications of a run.
pub const FOLDER: &str = "verify";

/// What a verification of this process looks at and with.
pub async fn verify_context(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    manifest: Manifest,
    levels: BTreeSet<Level>,
    side: Side,
) -> Result<VerifyContext> {
    let needs_target = levels.iter().any(|level| *level != Level::Chunks);
    let max_differences = context.settings.number("verify.max_differences")?;
    Ok(VerifyContext {
        target: if needs_target {
            Some(context.url(Side::Target)?)
        } else {
            None
        },
        store: store.clone(),
        plan: Arc::clone(&plan.plan),
        manifest: Arc::new(manifest),
        key: run_files::key(store).await?,
        options: VerifyOptions {
            levels,
            jobs: context.jobs(&plan.plan)?,
            session: context.session_options(side, ""),
            max_differences: usize::try_from(max_differences).unwrap_or(usize::MAX),
        },
        events: context.events.clone(),
        stop: context.stop.clone(),
    })
}

/// Verifies and stores the evidence; a clean verification of every level makes the run Verified.
pub async fn verify(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    manifest: Manifest,
    levels: BTreeSet<Level>,
    journal: &Journal,
    stage: Option<RunStage>,
) -> Result<(String, Verification)> {
    let complete = levels.len() == Level::ALL.len();
    let looking = verify_context(context, store, plan, manifest, levels, Side::Target).await?;
    let verification = timed(
        journal,
        "verify",
        towpath_verify::verify(&looking, clock::now(), clock::now),
    )
    .await?;
    let key = store.put_numbered(FOLDER, &verification).await?;
    // A verification after the cutover is evidence too, but does not move the run backwards.
    let before_switch = stage.is_none_or(|stage| stage < RunStage::Switching);
    if complete && verification.is_clean() && before_switch {
        enter(journal, RunStage::Verified).await?;
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
    let levels = BTreeSet::from([Level::Rows]);
    let looking = verify_context(context, store, plan, manifest, levels, Side::Source).await?;
    let source = context.url(Side::Source)?;
    towpath_verify::prove_side(&looking, &source, Side::Source).await
}
