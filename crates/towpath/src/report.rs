//! The report of a run: gathered from its store, written as JSON, and for people as HTML and Markdown.

mod chart;
mod content;
mod cutover;
pub mod html;
pub mod markdown;
mod page;
#[cfg(test)]
pub mod sample;

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use towpath_model::journal::{Entry, Line, RunStage};
use towpath_model::manifest::Manifest;
use towpath_model::report::{Report, SwapReport};
use towpath_model::verification::{Measure, Verification};
use towpath_model::{ErrorKind, Failure, Result, document};
use towpath_store::{RunStore, read_journal};
use towpath_verify::Level;

use crate::checklist::{self, Seen};
use crate::clock;
use crate::commands::rehearse;
use crate::context::Context;
use crate::pipeline::verifying;
use crate::run_files;
use crate::run_state::RunState;

/// Where a report was written.
pub struct ReportPaths {
    /// For people: one page, to open in a browser.
    pub html: PathBuf,
    /// For people, as text.
    pub markdown: PathBuf,
    /// For programs.
    pub json: PathBuf,
}

/// Gathers and writes the report of a run.
pub async fn write(
    context: &Context,
    store: &RunStore,
    directory: Option<&Path>,
) -> Result<ReportPaths> {
    let report = gather(context, store).await?;
    let directory = match directory {
        Some(directory) => directory.to_owned(),
        None => context.local.report_directory(store.run()),
    };
    let file = |what: &Path, cause: std::io::Error| {
        Failure::new(
            ErrorKind::LocalFile,
            format!("could not write {}", what.display()),
        )
        .because(cause)
    };
    // Differences name rows by their keys, which may be personal.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|cause| file(&directory, cause))?;
    let paths = ReportPaths {
        html: directory.join("report.html"),
        markdown: directory.join("report.md"),
        json: directory.join("report.json"),
    };
    let private = |path: &Path, bytes: &[u8]| {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        file.and_then(|mut file| file.write_all(bytes))
    };
    private(&paths.json, &document::render(&report)?).map_err(|cause| file(&paths.json, cause))?;
    private(&paths.markdown, markdown::render(&report).as_bytes())
        .map_err(|cause| file(&paths.markdown, cause))?;
    private(&paths.html, html::render(&report).as_bytes())
        .map_err(|cause| file(&paths.html, cause))?;
    Ok(paths)
}

/// Writes the report where it goes by default and says where. What the report tells of is done
/// already, so a disk that is full is a warning here.
pub async fn tell(context: &Context, store: &RunStore) {
    match write(context, store, None).await {
        Ok(paths) => eprintln!("report: {}", paths.html.display()),
        Err(failure) => eprintln!("warning: no report: {failure:?}"),
    }
}

async fn gather(context: &Context, store: &RunStore) -> Result<Report> {
    let plan = run_files::require_plan(store).await?.plan;
    let lines = read_journal(store).await?;
    let state = RunState::of(&lines);
    // A rehearsal of a sealed run has loaded that run's rows.
    let rows = match plan.rehearsal.as_ref().and_then(|it| it.from.as_ref()) {
        Some(run) => &context.open_store(run).await?,
        None => store,
    };
    let manifest: Option<Manifest> = rows.get_document("manifest.json").await?;
    let evidence = evidence(store).await?;
    let switched = match state.stage {
        Some(RunStage::Switched) => "switched",
        Some(RunStage::RolledBack) => "restored",
        _ => "begun",
    };
    let bindings = towpath_switch::bindings(store)
        .await?
        .map(|document| document.bindings);
    let bindings = bindings
        .unwrap_or_default()
        .into_iter()
        .map(|mut binding| {
            binding.state = switched.to_owned();
            binding
        })
        .collect();
    let checklists = checklist::items(&Seen {
        plan: &plan,
        evidence: &evidence,
        checked: &cutover::of_the_last(&lines),
        gap: state.write_gap.as_ref(),
    });
    let cutover = cutover::told(&lines, &state);
    Ok(Report {
        written_at: clock::now(),
        stage: state.stage.unwrap_or(RunStage::Planned),
        plan: plan.as_ref().clone(),
        schema: run_files::schema_report(rows).await?,
        manifest,
        verification: evidence_of_the_copy(evidence),
        bindings,
        target_snapshot: state.target_snapshot,
        cutover,
        checklists: match plan.rehearsal.is_some() || plan.clone.is_some() {
            // What is rehearsed is not moved yet, and a clone never is.
            true => Vec::new(),
            false => checklists,
        },
        timings: state.timings,
        swapped: swapped(&lines),
        rehearsal: store.get_document(rehearse::KEY).await?,
    })
}

/// The last swap of a clone.
fn swapped(lines: &[Line]) -> Option<SwapReport> {
    lines.iter().rev().find_map(|line| match &line.entry {
        Entry::CloneSwapped { kept, .. } => Some(SwapReport {
            at: line.at.clone(),
            kept: kept.clone(),
        }),
        _ => None,
    })
}

/// The latest evidence; where that is the clean look behind a fence, which compares rows alone, the
/// one before it, which says more.
fn evidence_of_the_copy(mut evidence: Vec<Verification>) -> Option<Verification> {
    let is_of_a_fence = |it: &Verification| {
        it.is_clean() && it.source == Measure::Live && it.levels == [Level::Rows.label()]
    };
    let at = evidence.iter().position(|it| !is_of_a_fence(it));
    match evidence.is_empty() {
        true => None,
        false => Some(evidence.swap_remove(at.unwrap_or(0))),
    }
}

/// How many verifications the checklists look back at.
const LOOKED_BACK_AT: usize = 16;

/// Evidence of a run, the latest first. An older one that cannot be read any more hides those before
/// it, and not the report.
async fn evidence(store: &RunStore) -> Result<Vec<Verification>> {
    let mut found = Vec::new();
    let mut next = verifying::latest(store).await?;
    while let Some((key, verification)) = next {
        found.push(verification);
        next = match found.len() < LOOKED_BACK_AT {
            true => verifying::before(store, &key).await.unwrap_or(None),
            false => None,
        };
    }
    Ok(found)
}
