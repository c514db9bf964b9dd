//! `towpath status`: where a run is, read from its store alone.

use serde_json::json;
use towpath_model::clone::ClonePlan;
use towpath_model::journal::RunStage;
use towpath_model::lease::Lease;
use towpath_model::manifest::Manifest;
use towpath_model::name::readable;
use towpath_model::{Exit, Result};
use towpath_store::read_journal;

use crate::arguments::RunSelector;
use crate::commands::clones::quoted;
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::verifying;
use crate::run_state::{FenceState, RunState, StagedRows};
use crate::table;
use crate::{clock, run_files};

/// Shows the run; changes nothing.
pub async fn status(context: &Context, which: &RunSelector) -> Result<Exit> {
    let run = context.run(which.run.as_deref())?;
    let store = context.open_store(&run).await?;
    let plan = run_files::require_plan(&store).await?.plan;
    let state = RunState::of(&read_journal(&store).await?);
    let manifest: Option<Manifest> = store.get_document("manifest.json").await?;
    let lease: Option<Lease> = store.get_document("lease.json").await?;
    let latest = verifying::latest(&store).await?;
    let bindings = towpath_switch::bindings(&store).await?;
    let holder = lease.filter(|lease| lease.is_held(clock::now_s()));
    let stored: u64 = state.chunks.values().map(|chunk| chunk.stored_bytes).sum();
    if context.json {
        println!(
            "{}",
            json!({
                "v": 1, "type": "status", "run": run, "stage": state.stage,
                "source": plan.source.endpoint, "target": plan.target.endpoint,
                "chunks_stored": state.chunks.len(), "chunks_planned": plan.chunk_count(),
                "stored_bytes": stored,
                "manifest": manifest.as_ref().map(|manifest| manifest.root),
                "verified": latest.as_ref().map(|(_, verification)| verification.is_clean()),
                "bindings": bindings.as_ref().map(|document| document.bindings.len()),
                "fence": fence_word(&state.fence),
                "clone": plan.clone.as_ref().map(|clone| &clone.name),
                "swapped": plan.clone.as_ref().map(|_| state.swapped),
                "staged": staged_word(&state.staged),
                "holder": holder.as_ref().map(|lease| &lease.holder),
                "last_heard": state.last_heard,
            })
        );
        return Ok(Exit::Done);
    }
    println!(
        "run {run}   source {} → target {}   planned {}",
        plan.source.endpoint, plan.target.endpoint, plan.created_at
    );
    let mut rows = Vec::new();
    let mut row = |name: &str, word: &str, text: String| {
        rows.push(vec![name.to_owned(), word.to_owned(), text]);
    };
    let chunks = format!("{}/{} chunks", state.chunks.len(), plan.chunk_count());
    match &manifest {
        Some(manifest) => row(
            "export",
            "done",
            format!(
                "{chunks}   {} raw → {} stored   sealed {}   manifest {}",
                table::bytes(manifest.raw_bytes()),
                table::bytes(manifest.stored_bytes()),
                manifest.sealed_at,
                manifest.root.short()
            ),
        ),
        None if state.chunks.is_empty() => row("export", "pending", String::new()),
        None => row(
            "export",
            "begun",
            format!("{chunks}   {} stored", table::bytes(stored)),
        ),
    }
    let load_word = match state.stage {
        stage if stage >= Some(RunStage::Loaded) => "done",
        Some(RunStage::Loading) => "begun",
        _ => "pending",
    };
    row("load", load_word, String::new());
    match &latest {
        Some((key, verification)) => row(
            "verify",
            "done",
            format!("{key}   {}", show::verdict(verification)),
        ),
        None => row("verify", "pending", String::new()),
    }
    if let Some(text) = fence_text(&run, &state) {
        row("fence", fence_word(&state.fence), text);
    }
    match &plan.clone {
        Some(clone) => {
            let (word, text) = swap(&state, clone);
            row("swap", word, text);
        }
        None => {
            let (word, text) = cutover(&state);
            row("cutover", word, text.to_owned());
        }
    }
    if let Some(text) = staged_text(&run, &state.staged) {
        row("staged", staged_word(&state.staged), text);
    }
    print!("{}", table::aligned(&rows));
    if let Some(lease) = holder {
        println!("leased by {} ({})", lease.holder, lease.command);
    }
    let found_differences = latest.as_ref().is_some_and(|(_, it)| !it.is_clean());
    next(&match (&plan.rehearsal, &plan.clone) {
        (Some(_), _) => format!("nothing; `towpath report {run}` has what this rehearsal found"),
        (None, Some(clone)) => clone_step(&run, &state, clone, found_differences),
        (None, None) if found_differences => {
            "do not cut over; the latest verification found differences".to_owned()
        }
        (None, None) => next_step(&run, &state, manifest.is_some()),
    });
    Ok(Exit::Done)
}

fn cutover(state: &RunState) -> (&'static str, &'static str) {
    match state.stage {
        Some(RunStage::Switching) => (
            "begun",
            "in the middle: `towpath cutover` or `towpath rollback` ends it",
        ),
        Some(RunStage::Switched) => ("done", ""),
        Some(RunStage::RolledBack) => ("undone", "configuration is as it was before"),
        _ => ("gate", "nothing switched"),
    }
}

/// Whether it still serves only the server knows: a later clone may have taken its place.
fn swap(state: &RunState, clone: &ClonePlan) -> (&'static str, String) {
    let name = readable(&clone.name);
    match state.swapped {
        true => ("done", format!("it became {name}")),
        false => (
            "pending",
            format!("built as {}, not {name} yet", clone.aside),
        ),
    }
}

fn clone_step(
    run: &towpath_model::RunId,
    state: &RunState,
    clone: &ClonePlan,
    found_differences: bool,
) -> String {
    match (state.swapped, found_differences) {
        (true, _) if matches!(state.staged, StagedRows::Gone { .. }) => {
            "`towpath clones` lists the clones on the server".to_owned()
        }
        (true, _) => format!(
            "`towpath clones` lists the clones on the server; `towpath clean {run}` deletes its staged rows"
        ),
        (false, true) => format!(
            "the verification found something, and it was not swapped in; `towpath report {run}` tells what; with that mended, the same `towpath clone --to {}` begins anew",
            quoted(&clone.name)
        ),
        (false, false) => format!(
            "the same `towpath clone --to {}` as before goes on with it",
            quoted(&clone.name)
        ),
    }
}

fn staged_word(staged: &StagedRows) -> &'static str {
    match staged {
        StagedRows::Kept => "kept",
        StagedRows::Going { .. } => "begun",
        StagedRows::Gone { .. } => "deleted",
    }
}

fn staged_text(run: &towpath_model::RunId, staged: &StagedRows) -> Option<String> {
    match staged {
        StagedRows::Kept => None,
        StagedRows::Going { since } => Some(format!(
            "being deleted since {since}; `towpath clean {run}` ends it"
        )),
        StagedRows::Gone { at, .. } => Some(format!("{at}, and proven to be gone")),
    }
}

/// The journal tells of it, not the source: `towpath check` looks there.
fn fence_word(fence: &FenceState) -> &'static str {
    match fence {
        FenceState::None => "none",
        FenceState::Perhaps => "perhaps",
        FenceState::Stands(_) => "stands",
    }
}

fn fence_text(run: &towpath_model::RunId, state: &RunState) -> Option<String> {
    let is_switched = matches!(state.stage, Some(RunStage::Switching | RunStage::Switched));
    let way_out = match is_switched {
        true => format!("`towpath rollback {run}` lifts it behind the consumers"),
        false => format!("`towpath unfence {run}` lifts it"),
    };
    Some(match &state.fence {
        FenceState::None => return None,
        FenceState::Perhaps => format!("was about to be put up; {way_out}, if it is there"),
        FenceState::Stands(fence) => format!(
            "{} of the source refuse writes from {} on; {way_out}",
            table::counted(fence.tables, "table"),
            fence.lsn
        ),
    })
}

fn next_step(run: &towpath_model::RunId, state: &RunState, sealed: bool) -> String {
    match state.stage {
        Some(RunStage::Switched) => format!("`towpath rollback {run}` if it must be undone"),
        Some(RunStage::Switching) => format!("`towpath cutover {run}` or `towpath rollback {run}`"),
        Some(RunStage::Verified | RunStage::RolledBack) => {
            format!("`towpath cutover {run}` when consumers may move")
        }
        Some(RunStage::Loaded) => format!("`towpath verify {run}`"),
        _ if sealed => format!("`towpath run --run {run}` or `towpath load --run {run}`"),
        _ => format!("`towpath run --run {run}`"),
    }
}
