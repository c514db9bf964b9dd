//! What the checks look at, and how it is read.

use towpath_model::connection::Side;
use towpath_model::expectation::Expectation;
use towpath_model::inventory::SequenceState;
use towpath_model::schema::{ExpectedStructure, SchemaReport};
use towpath_model::structure::{Structure, StructureDifference};
use towpath_model::upkeep::{SequenceUse, SourceUse, TargetUpkeep};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, catalog, structure};

use super::source_name::{SourceName, source_names};
use crate::options::VerifyContext;

/// What the checks look at.
pub(super) struct Facts<'f> {
    /// Structure that the run has promised.
    pub expected: &'f Structure,
    /// Structure of the target.
    pub found: &'f Structure,
    /// How the two differ, what the schema report explains left out.
    pub differences: &'f [StructureDifference],
    /// What the target tells besides.
    pub target: &'f TargetUpkeep,
    /// Sequences and the columns that they fill.
    pub sequences: &'f [SequenceUse],
    /// Sequences as they were exported.
    pub exported: &'f [SequenceState],
    /// What the source tells, or why it does not.
    pub source: Result<&'f SourceUse, &'f str>,
    /// Names that the source has.
    pub source_names: &'f [SourceName],
    /// Consumers have been switched to the target.
    pub after_cutover: bool,
}

/// The same, owned.
pub(super) struct Gathered<'c> {
    context: &'c VerifyContext,
    pub expected: Structure,
    found: Structure,
    differences: Vec<StructureDifference>,
    target: TargetUpkeep,
    sequences: Vec<SequenceUse>,
    source: Result<SourceUse, String>,
    source_names: Vec<SourceName>,
}

impl Gathered<'_> {
    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            expected: &self.expected,
            found: &self.found,
            differences: &self.differences,
            target: &self.target,
            sequences: &self.sequences,
            exported: &self.context.manifest.sequences,
            source: self.source.as_ref().map_err(String::as_str),
            source_names: &self.source_names,
            after_cutover: self.context.options.health.after_cutover,
        }
    }
}

/// Reads all of it.
pub(super) async fn gather(context: &VerifyContext) -> Result<Gathered<'_>> {
    let expected: ExpectedStructure = context
        .store
        .require_document("schema/expected.json")
        .await?;
    let report: SchemaReport = context.store.require_document("schema/report.json").await?;
    let mut session = connect_target(context).await?;
    session.begin_reading().await?;
    let found = structure::read(&mut session).await?;
    let target = catalog::target_upkeep(&mut session).await?;
    session.rollback().await?;
    let search_path = &context.plan.source.facts.search_path;
    let sequences = catalog::sequence_uses(&mut session, search_path).await?;
    session.close().await;
    let expected = context.options.left_alone.expected(expected.structure);
    let differences = Expectation::new(&expected, &report).compare(&found);
    let source = match Box::pin(source_use(context)).await {
        Ok(facts) => Ok(facts),
        // Days after the move the source may be paused, or gone: that is no finding about the target.
        Err(failure) => Err(failure.to_string()),
    };
    let hosts = &context.options.health.source_hosts;
    Ok(Gathered {
        context,
        expected,
        found,
        differences,
        target,
        sequences,
        source,
        source_names: source_names(
            &context.plan.source.endpoint,
            context.source.as_ref(),
            hosts,
        ),
    })
}

async fn source_use(context: &VerifyContext) -> Result<SourceUse> {
    let mut session = connect_source(context).await?;
    session.begin_reading().await?;
    let facts = catalog::source_use(&mut session).await?;
    session.rollback().await?;
    session.close().await;
    Ok(facts)
}

pub(super) async fn connect_target(context: &VerifyContext) -> Result<Session> {
    let options = context.session_options(Side::Target, "health");
    Session::connect(context.target()?, Side::Target, &options).await
}

pub(super) async fn connect_source(context: &VerifyContext) -> Result<Session> {
    let url = context
        .source
        .as_ref()
        .ok_or_else(|| Failure::new(ErrorKind::Config, "the source URL is not set"))?;
    let options = context.session_options(Side::Source, "health");
    Session::connect(url, Side::Source, &options).await
}
