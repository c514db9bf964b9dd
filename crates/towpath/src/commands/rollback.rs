//! `towpath rollback`: puts consumers' configuration back.

use serde_json::json;
use towpath_model::journal::RunStage;
use towpath_model::{ErrorKind, Exit, Failure, Result};
use towpath_store::read_journal;

use crate::arguments::RollbackArguments;
use crate::commands::{ask, next};
use crate::context::Context;
use crate::pipeline::cutover::notify::Notifier;
use crate::pipeline::cutover::target_writes::Accepted;
use crate::pipeline::cutover::{self, Back, fencing};
use crate::pipeline::enter;
use crate::pipeline::hooks::{self, Moment};
use crate::run_files;
use crate::run_state::{FenceState, RunState};
use crate::{aws, report, table};

/// Puts every binding back exactly as it was before the cutover, then lets the source accept writes.
pub async fn rollback(context: &Context, arguments: &RollbackArguments) -> Result<Exit> {
    let run = context.run(arguments.run.as_deref())?;
    let store = context.open_store(&run).await?;
    let plan = run_files::require_plan(&store).await?;
    let has_begun = towpath_switch::bindings(&store).await?.is_some();
    let state = RunState::of(&read_journal(&store).await?);
    if !has_begun && state.fence == FenceState::None {
        return Err(Failure::new(
            ErrorKind::NotFound,
            format!("run {run} has switched nothing, so there is nothing to roll back"),
        ));
    }
    ask(
        arguments.yes,
        &format!("put back what the cutover of run {run} has changed?"),
    )?;
    let clients = aws::switch_clients(context).await?;
    let notifier = Notifier::start(context, &run, &clients)?;
    let done = Box::pin(
        context.with_lease(&store, &format!("rollback {run}"), async |journal| {
            if !has_begun {
                fencing::lift(context, &run, &journal).await?;
                enter(&journal, RunStage::RolledBack).await?;
                return Ok((Vec::new(), 0, None));
            }
            cutover::agree_to_loss(context, &store, &plan, arguments.accept_loss.as_deref()).await?;
            hooks::run(context, &run, Moment::BeforeRollback).await?;
            let key = aws::stored_undo_key(context, &clients, &store).await?;
            let key = key.ok_or_else(|| {
                Failure::new(
                    ErrorKind::NotFound,
                    format!("the way back of run {run} is not in the store"),
                )
                .hint("the folder `switch` of the run lacks undo.json: restore it from a copy; the bucket may keep versions")
            })?;
            let back = Back {
                context,
                store: &store,
                clients: &clients,
                key: &key,
                journal: &journal,
            };
            let outcome = Box::pin(back.perform(&aws::rollback_options(context, arguments.drift)?)).await?;
            let lost = cutover::accepted(context, &store, &plan)
                .await
                .ok()
                .flatten();
            Ok((outcome.bindings, outcome.written, lost))
        }),
    )
    .await;
    match &done {
        Ok(_) => {
            notifier.tell(
                "rolled-back",
                "consumers and source are as before the cutover",
            );
            if let Err(failure) = hooks::run(context, &run, Moment::AfterRollback).await {
                eprintln!("warning: {failure}");
            }
        }
        Err(failure) => notifier.tell("rollback-failed", &failure.to_string()),
    }
    for undelivered in notifier.finish().await {
        eprintln!("warning: {undelivered}");
    }
    report::tell(context, &store).await;
    let (bindings, written, lost) = done?;
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "rolled-back", "run": run, "bindings": bindings})
        );
    } else {
        println!(
            "restored {}; {written} written now",
            table::counted(bindings.len() as u64, "binding"),
        );
    }
    match lost {
        Some(Accepted::AtLeast(rows)) if rows > 0 => eprintln!(
            "at least {} that consumers wrote to the target since the cutover stay there; the source does not have them",
            table::counted(rows, "row change")
        ),
        Some(Accepted::Nothing) => eprintln!("the target has accepted nothing since the cutover"),
        _ => eprintln!(
            "rows that consumers wrote to the target since the cutover stay there; the source does not have them"
        ),
    }
    next(&format!(
        "`towpath verify {run}`, then `towpath cutover {run}`, to switch again"
    ));
    Ok(Exit::Done)
}
