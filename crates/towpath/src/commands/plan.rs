//! `towpath plan`: what a run would do.

use serde_json::json;
use towpath_model::plan::{Plan, Verdict};
use towpath_model::{ErrorKind, Exit, Failure, Result, document};

use crate::arguments::PlanArguments;
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::{planning, survey};
use crate::{aws, clock};

/// Makes and shows a plan; writes it only when a file is named.
pub async fn plan(context: &Context, arguments: &PlanArguments) -> Result<Exit> {
    context.store_location()?;
    context.guard()?;
    let run = clock::new_run_id()?;
    let store = context.open_store(&run).await?;
    let (found, holder) = Box::pin(survey::survey(context, &run)).await?;
    let checks = survey::check(context, &found, &store, false).await?;
    holder.release().await?;
    let plan = planning::make_plan(context, &found, &run, checks)?;
    let bindings = if aws::has_selection(context) {
        let clients = aws::switch_clients(context).await;
        Some(aws::discover(context, &clients).await?)
    } else {
        None
    };
    if context.json {
        let bindings: Vec<_> = bindings
            .iter()
            .flat_map(|found| &found.bindings)
            .map(|binding| binding.report("planned"))
            .collect();
        println!(
            "{}",
            json!({"v": 1, "type": "plan", "plan": plan, "schema": found.schema.report, "bindings": bindings})
        );
    } else {
        print!("{}", show::plan(&plan, &found.schema.report));
        if let Some(bindings) = &bindings {
            print!("\n{}", show::bindings(bindings));
        }
    }
    if let Some(path) = &arguments.output {
        write(path, &plan)?;
        eprintln!("wrote {}", path.display());
    }
    if plan.verdict() == Verdict::Fail {
        next("follow the remedies, then `towpath plan` again");
        return Ok(Exit::Blocked);
    }
    match &arguments.output {
        Some(path) => next(&format!("`towpath run {}`", path.display())),
        None => next("`towpath run`"),
    }
    Ok(Exit::Done)
}

fn write(path: &std::path::Path, plan: &Plan) -> Result<()> {
    std::fs::write(path, document::render(plan)?).map_err(|cause| {
        Failure::new(
            ErrorKind::LocalFile,
            format!("could not write {}", path.display()),
        )
        .because(cause)
    })
}
