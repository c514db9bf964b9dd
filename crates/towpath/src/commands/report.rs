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
            serde_json::json!({"v": 1, "type": "report", "run": run, "html": paths.html, "markdown": paths.markdown, "json": paths.json})
        );
    } else {
        for path in [&paths.html, &paths.markdown, &paths.json] {
            println!("{}", path.display());
        }
    }
    Ok(Exit::Done)
}
