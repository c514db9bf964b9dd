//! What the checklist after a move is told by the configuration.

use towpath_model::journal::RunStage;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_verify::HealthOptions;

use crate::context::Context;

/// What the command line says of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queries {
    /// How many of the source's slowest ones are planned on both sides; the setting's when nothing.
    pub explained: Option<usize>,
    /// Those without parameters are run, too.
    pub analyzed: bool,
}

/// The options of the checklist.
pub fn options(context: &Context, queries: Queries) -> Result<HealthOptions> {
    let settings = &context.settings;
    let bad = |key: &str, what: &str| {
        let text = settings.text(key);
        Failure::new(
            ErrorKind::Config,
            format!("{key} is {text:?}, which is not {what}"),
        )
        .at(format!("from the {}", settings.origin(key)))
    };
    let agreed: usize = settings
        .text("verify.queries")
        .parse()
        .map_err(|_| bad("verify.queries", "a number"))?;
    let regression: f64 = settings
        .text("verify.query_regression")
        .parse()
        .ok()
        .filter(|times: &f64| times.is_finite() && *times > 1.0)
        .ok_or_else(|| bad("verify.query_regression", "a number above 1"))?;
    Ok(HealthOptions {
        queries: queries.explained.unwrap_or(agreed),
        analyze_queries: queries.analyzed,
        query_regression: regression,
        source_hosts: settings.list("switch.source_hosts"),
        after_cutover: false,
    })
}

/// Whether consumers are on the target at this stage, or on their way there.
pub fn is_after_cutover(stage: Option<RunStage>) -> bool {
    matches!(stage, Some(RunStage::Switching | RunStage::Switched))
}
