//! `towpath check`: the checklist, changing nothing.

use serde_json::json;
use towpath_model::plan::Verdict;
use towpath_model::{Exit, Result};

use crate::clock;
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::survey;

/// Goes through the checklist against everything that is configured.
pub async fn check(context: &Context) -> Result<Exit> {
    context.store_location()?;
    let run = match context.local.current_run()? {
        Some(run) => run,
        None => clock::new_run_id()?,
    };
    let store = context.open_store(&run).await?;
    let (found, holder) = Box::pin(survey::survey(context, &run)).await?;
    let results = survey::check(context, &found, &store, false).await?;
    holder.release().await?;
    if context.json {
        println!("{}", json!({"v": 1, "type": "checks", "checks": results}));
    } else {
        print!("{}", show::checks(&results));
    }
    let failed = results
        .iter()
        .filter(|result| result.verdict == Verdict::Fail)
        .count();
    if failed > 0 {
        next("follow the remedies, then `towpath check` again");
        return Ok(Exit::Blocked);
    }
    next("`towpath plan`");
    Ok(Exit::Done)
}
