//! `towpath verify --evidence`: an earlier verification, checked without a database.

use std::path::Path;

use serde_json::json;
use towpath_model::digest::RunKey;
use towpath_model::verification::{SignatureAlgorithm, Verification};
use towpath_model::{ErrorKind, Exit, Failure, Result, RunId};
use towpath_verify::evidence::{self, Keys};

use crate::arguments::VerifyArguments;
use crate::commands::verify::print_verdict;
use crate::context::Context;
use crate::{run_files, signing};

/// Proves who signed the evidence and that it agrees with itself, and tells its verdict.
pub async fn check(context: &Context, arguments: &VerifyArguments, file: &Path) -> Result<Exit> {
    let demanded = arguments.public_key.as_deref();
    let demanded = demanded.map(signing::public_key).transpose()?;
    let place = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|cause| {
        Failure::new(ErrorKind::LocalFile, format!("could not read {place}")).because(cause)
    })?;
    let opened = evidence::open(&bytes, &place)?;
    let run = opened.unproven().keeper().clone();
    let named: Option<RunId> = arguments.run.as_deref().map(str::parse).transpose()?;
    if let Some(named) = named
        && named != run
    {
        let why = format!("it is of run {run}, and not of {named}");
        return Err(evidence::altered(&place, &why));
    }
    // A key that is demanded needs no other: without it the evidence is refused anyway.
    let run_key = match opened.needs_run_key() && demanded.is_none() {
        true => Some(key_of(context, &run).await?),
        false => None,
    };
    let keys = Keys {
        run: run_key,
        demanded,
    };
    let verification = opened.checked(&keys)?;
    let wrong = evidence::contradictions(&verification);
    if !wrong.is_empty() {
        let why = format!("it contradicts itself: {}", wrong.join("; "));
        return Err(evidence::altered(&place, &why));
    }
    if let Some(wanted) = &arguments.expect_manifest
        && verification.manifest.to_string() != *wanted
    {
        let root = verification.manifest;
        let why = format!("its manifest has the root hash {root}, {wanted} was demanded");
        return Err(evidence::altered(&place, &why));
    }
    tell(context, &place, &verification, demanded.is_some());
    Ok(match verification.is_clean() {
        true => Exit::Done,
        false => Exit::Differences,
    })
}

/// The key of a run that is nowhere says nothing about the evidence: that is not an exit of 12.
async fn key_of(context: &Context, run: &RunId) -> Result<RunKey> {
    let store = context.open_store(run).await?;
    run_files::key(&store).await.map_err(|failure| {
        let kind = match failure.kind() {
            ErrorKind::ObjectMissing => ErrorKind::NotFound,
            kind => kind,
        };
        Failure::new(
            kind,
            format!("could not read the key of run {run}, which signed this evidence"),
        )
        .at(store.describe(""))
        .hint("name the store of that run with --store; evidence that is signed by verify.signing_key needs none")
        .because(failure)
    })
}

fn tell(context: &Context, place: &str, verification: &Verification, demanded: bool) {
    let Some(signature) = &verification.signature else {
        return;
    };
    if context.json {
        println!(
            "{}",
            json!({
                "v": 1, "type": "evidence", "evidence": place, "run": verification.run,
                "manifest": verification.manifest,
                "target_database": verification.target_database, "ended_at": verification.ended_at,
                "levels": verification.levels, "signed_by": signature.algorithm,
                "key": signature.key, "key_demanded": demanded,
                "clean": verification.is_clean(), "differences": verification.differences,
            })
        );
    } else {
        let target = verification.target_database.as_deref();
        println!(
            "evidence of run {}, {}, target {}, against manifest {}",
            verification.run,
            verification.ended_at,
            target.unwrap_or("not looked at"),
            verification.manifest
        );
        println!(
            "{}",
            signed_by(verification, &signature.key, signature.algorithm)
        );
        print_verdict(verification);
    }
    if signature.algorithm == SignatureAlgorithm::Ed25519 && !demanded {
        eprintln!(
            "warning: whose key this is nobody said; --public-key proves who signed, not only that nothing was changed"
        );
    }
}

fn signed_by(verification: &Verification, key: &str, algorithm: SignatureAlgorithm) -> String {
    match algorithm {
        SignatureAlgorithm::Ed25519 => format!("signed by the ed25519 key {key}, unchanged since"),
        SignatureAlgorithm::KeyedBlake3 => {
            format!(
                "signed by the key of run {}, unchanged since",
                verification.run
            )
        }
    }
}
