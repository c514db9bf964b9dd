//! Whether the source is still what was exported.

use towpath_model::connection::Side;
use towpath_model::manifest::Manifest;
use towpath_model::verification::Difference;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::{Session, catalog};
use towpath_store::RunStore;
use towpath_verify::open_manifest;

use crate::commands::show;
use crate::context::Context;
use crate::pipeline::{planning, survey, verifying};
use crate::run_files::StoredPlan;
use crate::table;

/// What the source has accepted since the export, as the gate tells it; nothing when it has accepted
/// nothing that anybody can see.
pub async fn source_change(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
) -> Result<Option<String>> {
    if let Some(what) = schema_change(context, plan).await? {
        return Ok(Some(what));
    }
    let manifest = open_manifest(store, &plan.plan, plan.hash, None).await?;
    if let Some(sequence) = moved_sequence(context, &manifest).await? {
        return Ok(Some(format!(
            "sequence {sequence} has handed out numbers on the source since the export, and the target would hand them out again"
        )));
    }
    let proof = Box::pin(verifying::source_since_export(
        context, store, plan, manifest,
    ))
    .await?;
    if proof.differences.is_empty() {
        return Ok(None);
    }
    let named: Vec<String> = proof
        .differences
        .iter()
        .take(5)
        .map(|difference| match difference {
            Difference::Rows { table, .. } | Difference::TableUnreadable { table, .. } => {
                table.to_string()
            }
            other => show::difference(other),
        })
        .collect();
    Ok(Some(format!(
        "the source has changed since the export in {}: {}",
        table::counted(proof.differences.len() as u64, "table"),
        named.join(", ")
    )))
}

/// The first sequence of the source that is no longer where the export found it. A number can be
/// handed out and leave no row: an invoice number whose transaction was rolled back.
async fn moved_sequence(context: &Context, manifest: &Manifest) -> Result<Option<QualifiedName>> {
    let source = context.url(Side::Source)?;
    let options = context.session_options(Side::Source, "towpath/cutover");
    let mut session = Session::connect(&source, Side::Source, &options).await?;
    session.begin_reading().await?;
    let names: Vec<QualifiedName> = manifest
        .sequences
        .iter()
        .map(|sequence| sequence.name.clone())
        .collect();
    let now = catalog::sequence_states(&mut session, &names).await?;
    session.rollback().await?;
    session.close().await;
    let moved = manifest
        .sequences
        .iter()
        .find(|sequence| !now.contains(sequence));
    Ok(moved.map(|sequence| sequence.name.clone()))
}

/// What has changed in the structure of the source, and what no table shows: what catching up on
/// tables cannot bring.
pub async fn schema_change(context: &Context, plan: &StoredPlan) -> Result<Option<String>> {
    let (found, holder) = Box::pin(survey::survey(context, &plan.plan.run)).await?;
    holder.release().await?;
    if let Some(what) = planning::schema_change(&plan.plan, &found.schema)? {
        return Ok(Some(format!(
            "the source has changed since the export: {what}"
        )));
    }
    if planning::unplanned_large_objects(context, &plan.plan, &found)? {
        return Ok(Some(
            "the source has got large objects since the export".to_owned(),
        ));
    }
    Ok(None)
}
