//! `towpath rollback`: puts consumers' configuration back.

use std::io::{BufRead, IsTerminal};

use serde_json::json;
use towpath_model::journal::RunStage;
use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};

use crate::arguments::RollbackArguments;
use crate::commands::next;
use crate::context::Context;
use crate::pipeline::{enter, timed};
use crate::{aws, report, run_files, table};

/// Puts every binding back exactly as it was before the cutover.
pub async fn rollback(context: &Context, arguments: &RollbackArguments) -> Result<Exit> {
    let run = context.run(arguments.run.as_deref())?;
    let store = context.open_store(&run).await?;
    run_files::require_plan(&store).await?;
    if towpath_switch::bindings(&store).await?.is_none() {
        return Err(Failure::new(
            ErrorKind::NotFound,
            format!("run {run} has switched nothing, so there is nothing to roll back"),
        ));
    }
    confirm(&run, arguments)?;
    let key = aws::existing_undo_key(context)?;
    let clients = aws::switch_clients(context).await;
    let outcome = Box::pin(context.with_lease(
        &store,
        &format!("rollback {run}"),
        async |journal| {
            let record = aws::JournalRecord(journal.clone());
            let back = towpath_switch::rollback(&clients, &store, &key, &record, &context.events);
            let outcome = timed(&journal, "rollback", Box::pin(back)).await?;
            enter(&journal, RunStage::RolledBack).await?;
            Ok(outcome)
        },
    ))
    .await?;
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "rolled-back", "run": run, "bindings": outcome.bindings})
        );
    } else {
        println!(
            "restored {}; {} written now",
            table::counted(outcome.bindings.len() as u64, "binding"),
            outcome.written
        );
    }
    report::tell(context, &store).await;
    eprintln!(
        "rows that consumers wrote to the target since the cutover stay there; the source does not have them"
    );
    next(&format!(
        "`towpath verify {run}`, then `towpath cutover {run}`, to switch again"
    ));
    Ok(Exit::Done)
}

fn confirm(run: &RunId, arguments: &RollbackArguments) -> Result<()> {
    if arguments.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new(ErrorKind::Usage, "there is no terminal to ask on").hint("pass --yes"),
        );
    }
    eprint!("put back what the cutover of run {run} has changed? [y/N] ");
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|cause| {
            Failure::new(ErrorKind::Usage, "could not read the answer").because(cause)
        })?;
    if matches!(line.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Interrupted,
        "not agreed; nothing was changed",
    ))
}
