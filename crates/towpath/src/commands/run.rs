//! `towpath run`, `export` and `load`.

use std::collections::BTreeSet;

use serde_json::json;
use towpath_model::journal::RunStage;
use towpath_model::manifest::Manifest;
use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};
use towpath_verify::Level;

use crate::arguments::RunArguments;
use crate::commands::{next, verify};
use crate::context::Context;
use crate::pipeline::planning::{OpenRun, open_run};
use crate::pipeline::transfer::Transfer;
use crate::pipeline::{enter, verifying};
use crate::{report, table};

/// Plans, exports, loads and verifies; goes on where an earlier process of the run ended.
pub async fn run(context: &Context, arguments: &RunArguments) -> Result<Exit> {
    let mut open = Box::pin(open_run(context, arguments)).await?;
    let run = open.store.run().clone();
    let snapshot = open.snapshot.take();
    if !open.is_new {
        eprintln!("going on with run {run}");
    }
    let command = format!("run {run}");
    let outcome = Box::pin(context.with_lease(&open.store, &command, async |journal| {
        if open.is_new {
            enter(&journal, RunStage::Planned).await?;
        }
        let transfer = Transfer::open(
            context,
            &open.store,
            &open.plan,
            journal.clone(),
            arguments.replace.as_deref(),
            snapshot,
        )
        .await?;
        let stage = transfer.stage();
        refuse_switched(&run, stage)?;
        let manifest = if stage >= Some(RunStage::Loaded) {
            transfer.manifest().await?.ok_or_else(|| {
                Failure::new(
                    ErrorKind::ObjectMissing,
                    format!("run {run} is loaded and its manifest is gone"),
                )
            })?
        } else {
            Box::pin(transfer.export_and_load()).await?
        };
        let levels = BTreeSet::from(Level::ALL);
        let (key, verification) = Box::pin(verifying::verify(
            context,
            &open.store,
            &open.plan,
            manifest.clone(),
            levels,
            &journal,
            stage,
        ))
        .await?;
        Ok((manifest, key, verification))
    }))
    .await;
    // The report tells of a run that failed as well as of one that did not.
    let paths = report::write(context, &open.store, None).await;
    let (manifest, key, verification) = outcome?;
    let paths = paths?;
    summary(context, &open, &manifest);
    let exit = verify::tell(context, &open.store.describe(&key), &verification);
    eprintln!("report: {}", paths.html.display());
    if exit == Exit::Done {
        next(&format!("`towpath cutover {run}` when consumers may move"));
    }
    Ok(exit)
}

/// Once consumers write to the target, its rows are no longer those of the export.
fn refuse_switched(run: &RunId, stage: Option<RunStage>) -> Result<()> {
    if stage == Some(RunStage::Switched) || stage == Some(RunStage::Switching) {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!("run {run} is past its cutover; there is nothing left to run"),
        )
        .hint(format!(
            "`towpath status {run}` shows where it is; --new-run begins another"
        )));
    }
    Ok(())
}

/// Exports only.
pub async fn export(context: &Context, arguments: &RunArguments) -> Result<Exit> {
    let mut open = Box::pin(open_run(context, arguments)).await?;
    let run = open.store.run().clone();
    let snapshot = open.snapshot.take();
    let manifest = Box::pin(context.with_lease(
        &open.store,
        &format!("export {run}"),
        async |journal| {
            if open.is_new {
                enter(&journal, RunStage::Planned).await?;
            }
            let transfer =
                Transfer::open(context, &open.store, &open.plan, journal, None, snapshot).await?;
            Box::pin(transfer.export()).await
        },
    ))
    .await?;
    summary(context, &open, &manifest);
    next(&format!("`towpath load --run {run}`"));
    Ok(Exit::Done)
}

/// Loads a sealed export.
pub async fn load(context: &Context, arguments: &RunArguments) -> Result<Exit> {
    if arguments.new_run || arguments.replace.is_some() {
        return Err(
            Failure::new(ErrorKind::Usage, "load goes on with a run that is exported")
                .hint("use `towpath run --new-run --replace DATABASE` to begin anew"),
        );
    }
    let open = Box::pin(open_run(context, arguments)).await?;
    let run = open.store.run().clone();
    let manifest =
        Box::pin(
            context.with_lease(&open.store, &format!("load {run}"), async |journal| {
                let transfer =
                    Transfer::open(context, &open.store, &open.plan, journal, None, None).await?;
                let manifest = transfer.manifest().await?.ok_or_else(|| {
                    Failure::new(
                        ErrorKind::Blocked,
                        format!("the export of run {run} is not sealed"),
                    )
                    .hint("finish it with `towpath export`, or use `towpath run`")
                })?;
                if transfer.stage() < Some(RunStage::Loaded) {
                    Box::pin(transfer.load(&manifest)).await?;
                }
                Ok(manifest)
            }),
        )
        .await?;
    summary(context, &open, &manifest);
    next(&format!("`towpath verify {run}`"));
    Ok(Exit::Done)
}

fn summary(context: &Context, open: &OpenRun, manifest: &Manifest) {
    let plan = &open.plan.plan;
    if context.json {
        println!(
            "{}",
            json!({
                "v": 1, "type": "summary", "run": plan.run, "manifest": manifest.root,
                "tables": manifest.tables.len(), "rows": manifest.rows(),
                "raw_bytes": manifest.raw_bytes(), "stored_bytes": manifest.stored_bytes(),
            })
        );
        return;
    }
    println!(
        "run {}   {}, {}, {} raw → {} stored\nmanifest {}",
        plan.run,
        table::counted(manifest.tables.len() as u64, "table"),
        table::counted(manifest.rows(), "row"),
        table::bytes(manifest.raw_bytes()),
        table::bytes(manifest.stored_bytes()),
        manifest.root
    );
}
