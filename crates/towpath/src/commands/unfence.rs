//! `towpath unfence`: lets the source accept writes again.

use serde_json::json;
use towpath_model::journal::RunStage;
use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};
use towpath_store::{RunStore, read_journal};

use crate::arguments::UnfenceArguments;
use crate::commands::{ask, next};
use crate::context::Context;
use crate::pipeline::cutover::fencing;
use crate::pipeline::enter;
use crate::run_state::RunState;
use crate::{aws, report};

/// Lifts a fence that a dead process has left behind. Refuses while consumers are switched: their
/// writes go to the target, and a source that accepts writes beside it would be a second truth.
pub async fn unfence(context: &Context, arguments: &UnfenceArguments) -> Result<Exit> {
    if arguments.source_only {
        return by_source_alone(context, arguments).await;
    }
    let run = context.run(arguments.run.as_deref())?;
    let store = context.open_store(&run).await?;
    let state = RunState::of(&read_journal(&store).await?);
    Box::pin(refuse_while_switched(context, &store, &state)).await?;
    refuse_another_fence(context, &run).await?;
    ask(
        arguments.yes,
        &format!("let the source of run {run} accept writes again?"),
    )?;
    let command = format!("unfence {run}");
    let lifting = context.with_lease(&store, &command, async |journal| {
        let lifted = fencing::lift(context, &run, &journal).await?;
        if state.stage >= Some(RunStage::Fenced) && state.stage != Some(RunStage::RolledBack) {
            enter(&journal, RunStage::RolledBack).await?;
        }
        Ok(lifted)
    });
    let lifted = Box::pin(lifting).await?;
    tell(context, &run, lifted);
    report::tell(context, &store).await;
    next(&format!("`towpath cutover {run}` when consumers may move"));
    Ok(Exit::Done)
}

fn tell(context: &Context, run: &RunId, lifted: bool) {
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "unfenced", "run": run, "lifted": lifted})
        );
        return;
    }
    println!(
        "{}",
        match lifted {
            true => "the source accepts writes again",
            false => "there was no fence",
        }
    );
}

/// Without the store nobody knows what is switched: the operator says that nothing is.
async fn by_source_alone(context: &Context, arguments: &UnfenceArguments) -> Result<Exit> {
    let Some((run, tables)) = fencing::found(context).await? else {
        // What is left of one that was opened.
        let run = fencing::lift_from_source(context, None).await?;
        match run {
            Some(run) => tell(context, &run, true),
            None => println!("there was no fence"),
        }
        return Ok(Exit::Done);
    };
    if let Some(named) = &arguments.run
        && *named != run.as_str()
    {
        return Err(another(&run));
    }
    eprintln!(
        "the fence of run {run} refuses writes to {tables} tables; if its consumers are switched, source and target would both accept writes"
    );
    ask(
        arguments.yes,
        &format!("let the source of run {run} accept writes again?"),
    )?;
    let lifted = fencing::lift_from_source(context, Some(&run)).await?;
    tell(context, &run, lifted.is_some());
    next("nothing: where that run's store is found again, its journal still tells of the fence");
    Ok(Exit::Done)
}

/// The services are asked: a process that was killed may have switched more than it could write down.
async fn refuse_while_switched(
    context: &Context,
    store: &RunStore,
    state: &RunState,
) -> Result<()> {
    if !matches!(state.stage, Some(RunStage::Switching | RunStage::Switched)) {
        return Ok(());
    }
    let run = store.run();
    let refuse = |what: String| {
        Failure::new(ErrorKind::Blocked, what).hint(format!(
            "`towpath rollback {run}` puts consumers back, then lifts the fence"
        ))
    };
    let clients = aws::switch_clients(context).await?;
    // Without a way back nothing was written: it is stored before the first write.
    let Some(key) = aws::stored_undo_key(context, &clients, store).await? else {
        return Ok(());
    };
    let progress = towpath_switch::progress(&clients, store, &key)
        .await
        .map_err(|failure| {
            refuse("nobody can say whether consumers are switched".to_owned()).because(failure)
        })?;
    match progress.map_or(0, |progress| progress.switched + progress.drifted) {
        0 => Ok(()),
        switched => Err(refuse(format!(
            "consumers are switched ({switched} bindings): a source that accepts writes beside the target would be a second truth"
        ))),
    }
}

async fn refuse_another_fence(context: &Context, run: &RunId) -> Result<()> {
    match fencing::found(context).await? {
        Some((other, _)) if other != *run => Err(another(&other)),
        _ => Ok(()),
    }
}

fn another(run: &RunId) -> Failure {
    Failure::new(
        ErrorKind::Blocked,
        format!("the fence on the source is of run {run}"),
    )
    .hint(format!("`towpath unfence {run}`"))
}
