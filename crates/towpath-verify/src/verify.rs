//! The verification as a whole.

use towpath_model::connection::Side;
use towpath_model::digest::Hash;
use towpath_model::event::{Stage, Unit};
use towpath_model::manifest::Manifest;
use towpath_model::plan::Plan;
use towpath_model::schema::{ExpectedStructure, SchemaReport};
use towpath_model::verification::{Difference, Verification};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, structure as catalog_structure};
use towpath_store::RunStore;

use crate::options::{Level, VerifyContext};
use crate::{chunks, coverage, sequences, structure, tables};

/// Reads the manifest and proves that nobody edited it. `expected_root` is what the operator
/// demanded with `--expect-manifest`; `plan_hash` is the hash of the stored plan.
pub async fn open_manifest(
    store: &RunStore,
    plan: &Plan,
    plan_hash: Hash,
    expected_root: Option<&str>,
) -> Result<Manifest> {
    const KEY: &str = "manifest.json";
    let manifest: Manifest = store.get_document(KEY).await?.ok_or_else(|| {
        Failure::new(
            ErrorKind::Blocked,
            format!(
                "run {} is not sealed: there is no manifest yet",
                store.run()
            ),
        )
        .hint("finish the export first: `towpath run` or `towpath export` resumes it")
    })?;
    let refuse = |what: String| {
        Failure::new(ErrorKind::DocumentCorrupt, what)
            .at(store.describe(KEY))
            .hint("the manifest was edited or damaged after sealing; nothing that it lists counts until it is restored")
    };
    if manifest.compute_root() != manifest.root {
        return Err(refuse(format!(
            "the manifest does not match its own root hash {}",
            manifest.root.short()
        )));
    }
    if let Some(wanted) = expected_root
        && manifest.root.to_string() != wanted
    {
        return Err(refuse(format!(
            "the manifest's root hash is {}, {wanted} was demanded",
            manifest.root
        )));
    }
    if manifest.run != plan.run || manifest.plan != plan_hash {
        return Err(refuse("the manifest is of another plan".to_owned()));
    }
    Ok(manifest)
}

/// Looks at what the options say. Differences are a result, not an error.
pub async fn verify(
    context: &VerifyContext,
    began_at: String,
    now: impl Fn() -> String,
) -> Result<Verification> {
    let levels = &context.options.levels;
    let bytes = context.manifest.raw_bytes();
    let passes = [Level::Chunks, Level::Rows]
        .iter()
        .filter(|l| levels.contains(l))
        .count();
    context
        .events
        .start(Stage::Verify, bytes * passes as u64, Unit::Bytes);
    let mut verification = Verification {
        run: context.plan.run.clone(),
        manifest: context.manifest.root,
        began_at,
        ended_at: String::new(),
        levels: levels
            .iter()
            .map(|level| level.label().to_owned())
            .collect(),
        chunks_checked: 0,
        tables: Vec::new(),
        sequences_checked: 0,
        objects_checked: 0,
        differences: Vec::new(),
    };
    if levels.contains(&Level::Chunks) {
        check_files(context, &mut verification).await?;
        let (checked, differences) = chunks::check(context).await?;
        verification.chunks_checked = checked;
        verification.differences.extend(differences);
    }
    if let Some(target) = &context.target {
        if levels.contains(&Level::Rows) {
            verification.differences.extend(gaps(context).await?);
            let proof = tables::prove_side(context, target, Side::Target).await?;
            verification.tables = proof.tables;
            verification.differences.extend(proof.differences);
        }
        if levels.contains(&Level::Sequences) || levels.contains(&Level::Schema) {
            let mut options = context.options.session.clone();
            options.application_name = format!("towpath/{}/verify", context.plan.run);
            let mut session = Session::connect(target, Side::Target, &options).await?;
            check_catalog(context, &mut session, &mut verification).await?;
            session.close().await;
        }
    }
    verification.ended_at = now();
    context.events.finish(Stage::Verify);
    Ok(verification)
}

/// Tables that the target must have and the plan does not copy. What is expected is let go again
/// before rows are read: it may be large.
async fn gaps(context: &VerifyContext) -> Result<Vec<Difference>> {
    let expected: ExpectedStructure = context
        .store
        .require_document("schema/expected.json")
        .await?;
    Ok(coverage::check(&context.plan, &expected.structure))
}

async fn check_catalog(
    context: &VerifyContext,
    session: &mut Session,
    verification: &mut Verification,
) -> Result<()> {
    let levels = &context.options.levels;
    if levels.contains(&Level::Sequences) {
        let expected = &context.manifest.sequences;
        verification.sequences_checked = expected.len() as u64;
        verification
            .differences
            .extend(sequences::check(session, expected).await?);
    }
    if levels.contains(&Level::Schema) {
        let expected: ExpectedStructure = context
            .store
            .require_document("schema/expected.json")
            .await?;
        let report: SchemaReport = context.store.require_document("schema/report.json").await?;
        session.begin_reading().await?;
        let found = catalog_structure::read(session).await?;
        session.rollback().await?;
        verification.objects_checked = expected.structure.objects.len() as u64;
        let differences = structure::compare_with_expected(&expected.structure, &report, &found);
        verification
            .differences
            .extend(differences.into_iter().map(Difference::Structure));
    }
    Ok(())
}

/// Schema files of the store against the manifest.
async fn check_files(context: &VerifyContext, verification: &mut Verification) -> Result<()> {
    for file in &context.manifest.files {
        let found = context
            .store
            .get(&file.key)
            .await?
            .map(|bytes| Hash::of(&bytes));
        if found != Some(file.hash) {
            verification.differences.push(Difference::FileCorrupt {
                key: file.key.clone(),
                expected: file.hash,
                found,
            });
        }
    }
    Ok(())
}
