//! The report of a run: gathered from its store, written as JSON and Markdown.

mod markdown;

use std::path::{Path, PathBuf};

use towpath_model::journal::RunStage;
use towpath_model::manifest::Manifest;
use towpath_model::report::Report;
use towpath_model::verification::Verification;
use towpath_model::{ErrorKind, Failure, Result, document};
use towpath_store::{RunStore, read_journal};

use crate::clock;
use crate::context::Context;
use crate::pipeline::verifying;
use crate::run_files;
use crate::run_state::RunState;

/// Where a report was written.
pub struct ReportPaths {
    /// For people.
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
    let report = gather(store).await?;
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
    std::fs::create_dir_all(&directory).map_err(|cause| file(&directory, cause))?;
    let paths = ReportPaths {
        markdown: directory.join("report.md"),
        json: directory.join("report.json"),
    };
    std::fs::write(&paths.json, document::render(&report)?)
        .map_err(|cause| file(&paths.json, cause))?;
    std::fs::write(&paths.markdown, markdown::render(&report))
        .map_err(|cause| file(&paths.markdown, cause))?;
    Ok(paths)
}

async fn gather(store: &RunStore) -> Result<Report> {
    let plan = run_files::require_plan(store).await?.plan;
    let state = RunState::of(&read_journal(store).await?);
    let manifest: Option<Manifest> = store.get_document("manifest.json").await?;
    let latest = store
        .latest_numbered::<Verification>(verifying::FOLDER)
        .await?;
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
    Ok(Report {
        written_at: clock::now(),
        stage: state.stage.unwrap_or(RunStage::Planned),
        plan: plan.as_ref().clone(),
        schema: run_files::schema_report(store).await?,
        manifest,
        verification: latest.map(|(_, verification)| verification),
        bindings,
        target_snapshot: state.target_snapshot,
        timings: state.timings,
    })
}
