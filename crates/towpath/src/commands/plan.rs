//! `towpath plan`: what a run would do.

use serde_json::json;
use towpath_model::digest::Hash;
use towpath_model::plan::{Plan, Verdict};
use towpath_model::{ErrorKind, Exit, Failure, Result, document};

use crate::arguments::PlanArguments;
use crate::checklist::{self, Seen};
use crate::commands::{next, show};
use crate::context::Context;
use crate::pipeline::cutover::gates;
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
    let bindings = if crate::consumers::are_selected(context) {
        let clients = aws::switch_clients(context).await?;
        Some(aws::discover(context, &clients, &run).await?)
    } else {
        None
    };
    let checklists = checklist::items(&Seen {
        plan: &plan,
        evidence: &[],
        checked: &[],
        gap: None,
    });
    // Only a plan that is kept can be approved: another one has another run id.
    let digest = match (&arguments.output, &bindings) {
        (Some(_), Some(bindings)) => {
            let plan = Hash::of(&document::render(&plan)?);
            Some(gates::digest(plan, bindings)?)
        }
        _ => None,
    };
    if context.json {
        let found_bindings = bindings.unwrap_or_default();
        let planned: Vec<_> = found_bindings
            .bindings
            .iter()
            .map(|binding| binding.report("planned"))
            .collect();
        println!(
            "{}",
            json!({"v": 1, "type": "plan", "plan": plan, "schema": found.schema.report, "bindings": planned, "untouched": found_bindings.untouched, "notes": found_bindings.notes, "checklists": checklists, "digest": digest})
        );
    } else {
        print!("{}", show::plan(&plan, &found.schema.report));
        if let Some(bindings) = &bindings {
            print!("\n{}", show::bindings(bindings));
        }
        print!("{}", show::checklists(&checklists));
        if let Some(digest) = digest {
            println!("\ndigest to approve: {digest}");
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
