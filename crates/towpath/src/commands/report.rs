//! `towpath report`.

use towpath_model::{Exit, Result};

use crate::arguments::ReportArguments;
use crate::context::Context;
use crate::report;

/// Writes the report of a run.
pub async fn report(context: &Context, arguments: &ReportArguments) -> Result<Exit> {
    let run = context.run(arguments.run.as_deref())?;
    let store = context.open_store(&run).await?;
    let paths = report::write(context, &store, arguments.output.as_deref()).await?;
    if context.json {
        println!(
            "{}",
            serde_json::json!({"v": 1, "type": "report", "run": run, "markdown": paths.markdown, "json": paths.json})
        );
    } else {
        println!("{}\n{}", paths.markdown.display(), paths.json.display());
    }
    Ok(Exit::Done)
}
