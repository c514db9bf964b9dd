//! The verification as a whole.

use std::sync::Arc;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::custody::{Chain, Link};
use towpath_model::digest::Hash;
use towpath_model::event::{Stage, Unit};
use towpath_model::manifest::{FileEntry, Manifest};
use towpath_model::plan::Plan;
use towpath_model::schema::{ExpectedStructure, SchemaReport};
use towpath_model::verification::{Difference, Measure, Verification};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, structure as catalog_structure};
use towpath_store::RunStore;

use crate::clone::OfClone;
use crate::options::{Level, VerifyContext};
use crate::side::Visits;
use crate::{
    access, chunks, counts, coverage, custody, health, live, sequences, structure, tables,
};

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
    let passes = [Level::Chunks, Level::Counts, Level::Rows]
        .iter()
        .filter(|l| levels.contains(l))
        .count();
    context
        .events
        .start(Stage::Verify, bytes * passes as u64, Unit::Bytes);
    let mut verification = begin(context, began_at);
    let broken = custody::broken_documents(&verification.chain);
    verification.differences.extend(broken);
    if levels.contains(&Level::Chunks) {
        check_files(context, &mut verification).await?;
        let found = chunks::check(context).await?;
        verification.chunks_checked = found.links.len() as u64;
        custody::enter_chunks(&mut verification.chain, found.links);
        verification.differences.extend(found.differences);
    }
    if levels.contains(&Level::Counts) {
        let proof = counts::check(context, context.target()?).await?;
        verification.counts = proof.counts;
        verification.differences.extend(proof.differences);
    }
    let of_clone = match &context.clone {
        Some(clone) => Some(OfClone::begin(context, clone).await?),
        None => None,
    };
    if levels.contains(&Level::Rows) {
        let others = of_clone.as_ref().map(OfClone::visits);
        check_rows(context, &mut verification, others).await?;
    }
    if levels.contains(&Level::Sequences) || levels.contains(&Level::Schema) {
        let options = context.session_options(Side::Target, "verify");
        let mut session = Session::connect(context.target()?, Side::Target, &options).await?;
        check_catalog(context, &mut session, &mut verification).await?;
        session.close().await;
    }
    if levels.contains(&Level::Access) {
        let proof = access::check(context).await?;
        let differences = proof.differences.iter().cloned().map(Difference::Access);
        verification.differences.extend(differences);
        verification.access = Some(proof);
    }
    if levels.contains(&Level::Health) {
        let proof = health::check(context).await?;
        let findings = proof.findings().map(Difference::Health);
        verification.differences.extend(findings);
        verification.health = Some(proof);
    }
    if let Some(of_clone) = of_clone {
        let (proof, findings) = Box::pin(of_clone.finish()).await?;
        let findings = findings.into_iter().map(Difference::Clone);
        verification.differences.extend(findings);
        verification.clone = Some(proof);
    }
    verification.ended_at = now();
    context.events.finish(Stage::Verify);
    Ok(verification)
}

/// A verification that has looked at documents only.
fn begin(context: &VerifyContext, began_at: String) -> Verification {
    let levels = context.options.levels.iter();
    let mut chain = Chain::begin(&context.manifest, &context.plan);
    custody::enter_caught_up(&mut chain, &context.caught_up);
    Verification {
        run: context.plan.run.clone(),
        rehearsal: None,
        manifest: context.manifest.root,
        source_database: context.source.as_ref().map(ConnectionUrl::identity),
        target_database: context.target.as_ref().map(ConnectionUrl::identity),
        began_at,
        ended_at: String::new(),
        levels: levels.map(|level| level.label().to_owned()).collect(),
        source: context.options.measure,
        reading: context.options.reading,
        chunks_checked: 0,
        tables: Vec::new(),
        live: Vec::new(),
        counts: Vec::new(),
        sequences_checked: 0,
        objects_checked: 0,
        access: None,
        health: None,
        clone: None,
        differences: Vec::new(),
        chain,
        signature: None,
    }
}

/// Rows are read once, whoever else wants to see them.
async fn check_rows(
    context: &VerifyContext,
    verification: &mut Verification,
    others: Option<Arc<dyn Visits>>,
) -> Result<()> {
    verification.differences.extend(gaps(context).await?);
    if context.options.measure == Measure::Live {
        let proof = Box::pin(live::prove_live(context)).await?;
        verification.live = proof.tables;
        verification.differences.extend(proof.differences);
        return Ok(());
    }
    let target = context.target()?;
    let proof = tables::prove_side_telling(context, target, Side::Target, others).await?;
    custody::enter_rows(&mut verification.chain, &proof);
    verification.tables = proof.tables;
    verification.differences.extend(proof.differences);
    Ok(())
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
        let expected = &sequences::expected(&context.manifest.sequences, &context.carried);
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
        let expected = context.options.left_alone.expected(expected.structure);
        verification.objects_checked = expected.objects.len() as u64;
        let differences = structure::compare_with_expected(&expected, &report, &found);
        verification
            .differences
            .extend(differences.into_iter().map(Difference::Structure));
    }
    Ok(())
}

/// Schema files of the store against the manifest.
async fn check_files(context: &VerifyContext, verification: &mut Verification) -> Result<()> {
    for custody in &mut verification.chain.files {
        let FileEntry { key, hash } = &custody.file;
        let found = context.store.get(key).await?;
        let found = found.map(|bytes| Hash::of(&bytes));
        custody.stored = Link::compare(&Some(*hash), &found);
        if !custody.stored.is_held() {
            verification.differences.push(Difference::FileCorrupt {
                key: key.clone(),
                expected: *hash,
                found,
            });
        }
    }
    Ok(())
}
