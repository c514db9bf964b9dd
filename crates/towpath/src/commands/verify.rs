//! `towpath verify`.

use std::collections::BTreeSet;

use serde_json::json;
use towpath_model::verification::Verification;
use towpath_model::{Exit, Result};
use towpath_store::read_journal;
use towpath_verify::{Level, open_manifest};

use crate::arguments::VerifyArguments;
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::verifying;
use crate::run_files;
use crate::run_state::RunState;

/// Differences printed; all of them are in the evidence.
const SHOWN: usize = 50;

/// Verifies a run, at the levels that were named or at all of them.
pub async fn verify(context: &Context, arguments: &VerifyArguments) -> Result<Exit> {
    let run = context.run(arguments.run.as_deref())?;
    let store = context.open_store(&run).await?;
    let plan = run_files::require_plan(&store).await?;
    let demanded = arguments.expect_manifest.as_deref();
    let manifest = open_manifest(&store, &plan.plan, plan.hash, demanded).await?;
    let levels = levels(arguments);
    let (key, verification) =
        Box::pin(
            context.with_lease(&store, &format!("verify {run}"), async |journal| {
                let stage = RunState::of(&read_journal(&store).await?).stage;
                Box::pin(verifying::verify(
                    context, &store, &plan, manifest, levels, &journal, stage,
                ))
                .await
            }),
        )
        .await?;
    let exit = tell(context, &store.describe(&key), &verification);
    if exit == Exit::Done {
        next(&match verification.levels.len() < Level::ALL.len() {
            true => format!("`towpath verify {run}` looks at every level"),
            false => format!("`towpath cutover {run}` when consumers may move"),
        });
    }
    Ok(exit)
}

fn levels(arguments: &VerifyArguments) -> BTreeSet<Level> {
    let named: BTreeSet<Level> = [
        (arguments.chunks, Level::Chunks),
        (arguments.rows, Level::Rows),
        (arguments.sequences, Level::Sequences),
        (arguments.schema, Level::Schema),
    ]
    .into_iter()
    .filter_map(|(wanted, level)| wanted.then_some(level))
    .collect();
    if named.is_empty() {
        BTreeSet::from(Level::ALL)
    } else {
        named
    }
}

/// Prints what was found; gives the exit code.
pub fn tell(context: &Context, evidence: &str, verification: &Verification) -> Exit {
    let clean = verification.is_clean();
    if context.json {
        println!(
            "{}",
            json!({"v": 1, "type": "verification", "verification": verification, "evidence": evidence})
        );
    } else {
        println!("{}", show::verdict(verification));
        for difference in verification.differences.iter().take(SHOWN) {
            println!("  {}", show::difference(difference));
        }
        if verification.differences.len() > SHOWN {
            println!("  and {} more", verification.differences.len() - SHOWN);
        }
    }
    eprintln!("evidence: {evidence}");
    if clean {
        return Exit::Done;
    }
    next("do not cut over; the evidence names every difference");
    Exit::Differences
}
