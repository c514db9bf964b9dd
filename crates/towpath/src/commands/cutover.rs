//! `towpath cutover`: points consumers at the target.

use std::io::{BufRead, IsTerminal};

use serde_json::json;
use towpath_model::connection::Side;
use towpath_model::journal::{Entry, Line, RunStage};
use towpath_model::manifest::Manifest;
use towpath_model::verification::{Difference, Measure, Verification};
use towpath_model::{ErrorKind, Exit, Failure, QualifiedName, Result, RunId};
use towpath_postgres::{Session, catalog};
use towpath_store::{RunStore, read_journal};
use towpath_switch::SwitchPlan;
use towpath_verify::{Level, open_manifest};

use crate::arguments::CutoverArguments;
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::{enter, planning, survey, timed, verifying};
use crate::run_files::{self, StoredPlan};
use crate::{aws, report, signing, table};

/// Gates, then the switch. Undoes itself when anything fails in the middle.
pub async fn cutover(context: &Context, arguments: &CutoverArguments) -> Result<Exit> {
    let run = context.run(arguments.run.as_deref())?;
    if !aws::has_selection(context) {
        return Err(
            Failure::new(ErrorKind::Config, "no Lambda function is selected")
                .hint("set functions, prefixes or tags under [switch]"),
        );
    }
    let store = context.open_store(&run).await?;
    let plan = run_files::require_plan(&store).await?;
    planning::refuse_rehearsal(&plan.plan)?;
    let clients = aws::switch_clients(context).await;
    let bindings = aws::discover(context, &clients).await?;
    if !context.json {
        print!("{}", show::bindings(&bindings));
    } else if arguments.dry_run {
        let planned: Vec<_> = bindings
            .bindings
            .iter()
            .map(|binding| binding.report("planned"))
            .collect();
        println!(
            "{}",
            json!({"v": 1, "type": "bindings", "run": run, "bindings": planned, "untouched": bindings.untouched})
        );
    }
    if arguments.dry_run {
        next(&format!("`towpath cutover {run}` to switch"));
        return Ok(Exit::Done);
    }
    refuse_left_behind(&bindings)?;
    // What an earlier cutover of this run has stored decides: its bindings may point at the target
    // already, and only its key reads the way back.
    let has_begun = towpath_switch::bindings(&store).await?.is_some();
    if bindings.bindings.is_empty() && !has_begun {
        return Err(Failure::new(
            ErrorKind::Blocked,
            "nothing to switch: no selected function or secret points at the source",
        )
        .hint("check [switch] functions, prefixes, tags and source_hosts; names of your own for the source belong into source_hosts"));
    }
    confirm(&run, arguments)?;
    let key = match has_begun {
        true => aws::existing_undo_key(context)?,
        false => aws::undo_key(context)?,
    };
    let outcome = Box::pin(context.with_lease(
        &store,
        &format!("cutover {run}"),
        async |journal| {
            require_verified(context, &store, &plan, &run).await?;
            source_gate(context, &store, &plan, arguments).await?;
            enter(&journal, RunStage::Switching).await?;
            let record = aws::JournalRecord(journal.clone());
            let switching =
                towpath_switch::apply(&clients, &store, &key, &bindings, &record, &context.events);
            let outcome = timed(&journal, "switch", Box::pin(switching)).await;
            match &outcome {
                Ok(_) => enter(&journal, RunStage::Switched).await?,
                Err(failure) if failure.kind() == ErrorKind::CutoverUndone => {
                    enter(&journal, RunStage::RolledBack).await?;
                }
                Err(_) => {}
            }
            outcome
        },
    ))
    .await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(failure) => {
            report::tell(context, &store).await;
            return Err(failure);
        }
    };
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "switched", "run": run, "bindings": outcome.bindings})
        );
    } else {
        println!(
            "switched {}; {} written now",
            table::counted(outcome.bindings.len() as u64, "binding"),
            outcome.written
        );
    }
    report::tell(context, &store).await;
    next(&format!(
        "watch your functions; `towpath rollback {run}` puts their configuration back"
    ));
    Ok(Exit::Done)
}

/// What would go on writing to the source after the switch must be dealt with first.
pub fn refuse_left_behind(bindings: &SwitchPlan) -> Result<()> {
    let behind: Vec<String> = bindings
        .untouched
        .iter()
        .filter(|left| left.why.leaves_database_behind())
        .map(|left| format!("{} {}", left.consumer, left.variable))
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("these would go on using the source: {}", behind.join(", ")),
    )
    .hint("change them by hand, or leave their functions out of the selection"))
}

/// A severe action wants the name typed.
fn confirm(run: &RunId, arguments: &CutoverArguments) -> Result<()> {
    let refuse =
        |what: String| Failure::new(ErrorKind::Usage, what).hint(format!("pass --confirm {run}"));
    let typed = match &arguments.confirm {
        Some(typed) => typed.clone(),
        None if std::io::stdin().is_terminal() => {
            eprint!("type the run id to switch: ");
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|cause| refuse("could not read the answer".to_owned()).because(cause))?;
            line.trim().to_owned()
        }
        None => return Err(refuse("cutover needs a confirmation".to_owned())),
    };
    if typed == run.as_str() {
        return Ok(());
    }
    Err(refuse(format!("{typed:?} is not the run {run}")))
}

/// The latest verification must be clean, complete, and of this manifest.
async fn require_verified(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    run: &RunId,
) -> Result<()> {
    let refuse = |what: String| {
        Failure::new(ErrorKind::Blocked, what).hint(format!("`towpath verify {run}` first"))
    };
    let manifest = open_manifest(store, &plan.plan, plan.hash, None).await?;
    let Some((key, verification)) = verifying::latest(store).await? else {
        return Err(refuse(format!("run {run} was never verified")));
    };
    // Who can write to the store can read the run's key and sign with it; not with this one.
    if let Some(own) = signing::own_public_key(context)?
        && !verification.is_signed_by(&own.to_string())
    {
        return Err(refuse(format!(
            "{key} of run {run} is not signed by the key of verify.signing_key"
        )));
    }
    if !verification.is_clean() {
        return Err(refuse(format!("{key} of run {run} found differences")));
    }
    if verification.manifest != manifest.root {
        return Err(refuse(format!("{key} of run {run} is of another manifest")));
    }
    if !is_newer_than_the_last_switch(&read_journal(store).await?) {
        return Err(refuse(format!(
            "{key} of run {run} was made before the last cutover, and consumers may have written to the target since"
        )));
    }
    if verification.source == Measure::Live {
        return Err(refuse(format!(
            "{key} of run {run} compared rows with the source of then, and not with the export"
        )));
    }
    // A clean look at chunks alone after a full look that found differences proves nothing.
    if !proves_the_copy(&verification) {
        return Err(refuse(format!(
            "{key} of run {run} looked at {} only",
            verification.levels.join(", ")
        )));
    }
    // A scratch database that holds the same rows is not where consumers are sent.
    let target = context.url(Side::Target)?.identity();
    if verification.target_database.as_deref() != Some(target.as_str()) {
        return Err(refuse(format!(
            "{key} of run {run} looked at {}, and the target is {target}",
            verification
                .target_database
                .as_deref()
                .unwrap_or("no target")
        )));
    }
    Ok(())
}

/// Whether it looked at every level that proves the copy.
fn proves_the_copy(verification: &Verification) -> bool {
    let mut levels = Level::ALL.iter();
    levels.all(|level| verification.looked_at(level.label()))
}

/// Whether the last verification came after the last cutover, if there was one.
fn is_newer_than_the_last_switch(lines: &[Line]) -> bool {
    let last = |wanted: &dyn Fn(&Entry) -> bool| lines.iter().rposition(|it| wanted(&it.entry));
    let switched = last(&|entry| {
        matches!(
            entry,
            Entry::Stage {
                stage: RunStage::Switching
            }
        )
    });
    let verified = last(&|entry| matches!(entry, Entry::Timing { what, .. } if what == "verify"));
    // A cutover that was killed goes on: nothing was rolled back, so its evidence still stands.
    let rolled_back = last(&|entry| {
        matches!(
            entry,
            Entry::Stage {
                stage: RunStage::RolledBack
            }
        )
    });
    rolled_back < switched || switched < verified
}

/// Rows that the source has accepted since the export are not on the target. Switching then loses
/// them, so it takes the operator's word. There is no fence yet: writes between this look and the
/// switch are not seen.
async fn source_gate(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    arguments: &CutoverArguments,
) -> Result<()> {
    let run = &plan.plan.run;
    if arguments.accept_source_changes.as_deref() == Some(run.as_str()) {
        eprintln!("warning: not looking whether the source has changed since the export");
        return Ok(());
    }
    match Box::pin(source_change(context, store, plan)).await? {
        None => Ok(()),
        Some(what) => Err(Failure::new(ErrorKind::Blocked, what).hint(format!(
            "stop writers and begin a new run, or lose those changes with --accept-source-changes {run}"
        ))),
    }
}

/// What the source has accepted since the export, as the gate tells it; nothing when it has accepted
/// nothing that anybody can see.
pub async fn source_change(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
) -> Result<Option<String>> {
    let run = &plan.plan.run;
    let (found, holder) = Box::pin(survey::survey(context, run)).await?;
    holder.release().await?;
    if let Some(what) = planning::schema_change(&plan.plan, &found.schema)? {
        return Ok(Some(format!(
            "the source has changed since the export: {what}"
        )));
    }
    if planning::unplanned_large_objects(context, &plan.plan, &found)? {
        return Ok(Some(
            "the source has got large objects since the export".to_owned(),
        ));
    }
    let manifest = open_manifest(store, &plan.plan, plan.hash, None).await?;
    if let Some(sequence) = moved_sequence(context, &manifest).await? {
        return Ok(Some(format!(
            "sequence {sequence} has handed out numbers on the source since the export, and the target would hand them out again"
        )));
    }
    let proof = Box::pin(verifying::source_since_export(
        context, store, plan, manifest,
    ))
    .await?;
    if proof.differences.is_empty() {
        return Ok(None);
    }
    let named: Vec<String> = proof
        .differences
        .iter()
        .take(5)
        .map(|difference| match difference {
            Difference::Rows { table, .. } | Difference::TableUnreadable { table, .. } => {
                table.to_string()
            }
            other => show::difference(other),
        })
        .collect();
    Ok(Some(format!(
        "the source has changed since the export in {}: {}",
        table::counted(proof.differences.len() as u64, "table"),
        named.join(", ")
    )))
}

/// The first sequence of the source that is no longer where the export found it. A number can be
/// handed out and leave no row: an invoice number whose transaction was rolled back.
async fn moved_sequence(context: &Context, manifest: &Manifest) -> Result<Option<QualifiedName>> {
    let source = context.url(Side::Source)?;
    let options = context.session_options(Side::Source, "towpath/cutover");
    let mut session = Session::connect(&source, Side::Source, &options).await?;
    session.begin_reading().await?;
    let names: Vec<QualifiedName> = manifest
        .sequences
        .iter()
        .map(|sequence| sequence.name.clone())
        .collect();
    let now = catalog::sequence_states(&mut session, &names).await?;
    session.rollback().await?;
    session.close().await;
    let moved = manifest
        .sequences
        .iter()
        .find(|sequence| !now.contains(sequence));
    Ok(moved.map(|sequence| sequence.name.clone()))
}
