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
    println!("{}", paths.markdown.display());
    println!("{}", paths.json.display());
    Ok(Exit::Done)
}
