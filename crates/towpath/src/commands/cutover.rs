//! `towpath cutover`: points consumers at the target.

use serde_json::json;
use towpath_model::cutover::{CheckOutcome, WriteGap};
use towpath_model::{ErrorKind, Exit, Failure, Result};
use towpath_store::RunStore;
use towpath_switch::SwitchPlan;

use crate::arguments::CutoverArguments;
use crate::commands::{confirm, next, show};
use crate::context::Context;
use crate::pipeline::cutover::notify::Notifier;
use crate::pipeline::cutover::{Cutover, gates};
use crate::pipeline::planning;
use crate::run_files::StoredPlan;
use crate::{aws, report, run_files, table};

/// Gates, then the switch. Undoes itself when anything fails in the middle.
pub async fn cutover(context: &Context, arguments: &CutoverArguments) -> Result<Exit> {
    let run = context.run(arguments.run.as_deref())?;
    if !crate::consumers::are_selected(context) {
        return Err(Failure::new(ErrorKind::Config, "no consumer is selected")
            .hint("set functions, prefixes or tags under [switch]"));
    }
    let store = context.open_store(&run).await?;
    let plan = run_files::require_plan(&store).await?;
    planning::refuse_rehearsal(&plan.plan)?;
    planning::refuse_clone(&plan.plan)?;
    let clients = aws::switch_clients(context).await?;
    let bindings = aws::discover(context, &clients, &run).await?;
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
            json!({"v": 1, "type": "bindings", "run": run, "bindings": planned, "untouched": bindings.untouched, "notes": bindings.notes})
        );
    }
    if arguments.dry_run {
        return dry_run(context, &store, &plan, &bindings, arguments).await;
    }
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
    confirm(&run, arguments.confirm.as_deref(), "switch", None)?;
    let key = aws::undo_key(context, &clients, &store).await?;
    let notifier = Notifier::start(context, &run, &clients)?;
    let outcome =
        Box::pin(
            context.with_lease(&store, &format!("cutover {run}"), async |journal| {
                let cutover = Cutover {
                    context,
                    arguments,
                    store: &store,
                    plan: &plan,
                    bindings: &bindings,
                    clients: &clients,
                    key: &key,
                    journal: &journal,
                    notifier: &notifier,
                };
                Box::pin(cutover.perform()).await
            }),
        )
        .await;
    for undelivered in notifier.finish().await {
        eprintln!("warning: {undelivered}");
    }
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
            json!({"v": 1, "type": "switched", "run": run, "bindings": outcome.switched.bindings, "gap": outcome.gap})
        );
    } else {
        println!(
            "switched {}; {} written now",
            table::counted(outcome.switched.bindings.len() as u64, "binding"),
            outcome.switched.written
        );
        if let Some(gap) = &outcome.gap {
            println!("{}", told_gap(gap));
        }
    }
    report::tell(context, &store).await;
    next(&format!(
        "watch your functions; `towpath rollback {run}` puts their configuration back"
    ));
    Ok(Exit::Done)
}

/// How long nobody could write: for the first consumer, for the last, and until somebody did.
fn told_gap(gap: &WriteGap) -> String {
    let after = |moment: Option<u64>| match moment {
        Some(moment) => table::duration(moment.saturating_sub(gap.refused_from_ms)),
        None => "not seen".to_owned(),
    };
    format!(
        "from the fence to the first consumer {}, to the last {}, to the first write on the target {}",
        after(gap.first_switched_ms),
        after(gap.last_switched_ms),
        after(gap.first_write_seen_ms)
    )
}

/// How the gates stand, and what somebody else would approve. Changes nothing.
async fn dry_run(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    bindings: &SwitchPlan,
    arguments: &CutoverArguments,
) -> Result<Exit> {
    let run = store.run();
    let gates = Box::pin(gates::look(context, store, plan, bindings, arguments)).await?;
    let digest = gates::digest(plan.hash, bindings)?;
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "gates", "run": run, "digest": digest, "gates": gates})
        );
    } else {
        print!("\n{}", show::gates(&gates));
        println!("digest to approve: {digest}");
    }
    let closed = gates
        .iter()
        .filter(|gate| gate.outcome == CheckOutcome::Failed)
        .count();
    next(&match closed {
        0 => format!("`towpath cutover {run}` to switch"),
        _ => "open the gates that are closed, then `towpath cutover --dry-run` again".to_owned(),
    });
    Ok(Exit::Done)
}
