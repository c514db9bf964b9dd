//! Whether the copy is proven, and how long ago.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use towpath_model::connection::Side;
use towpath_model::journal::{Entry, Line, RunStage};
use towpath_model::verification::{Measure, Verification};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_verify::{Level, open_manifest};

use super::{Answer, Asked};
use crate::pipeline::verifying;
use crate::{clock, signing, table};

const MAX_AGE: &str = "cutover.max_verification_age";

/// Two answers: whether the latest verification proves the copy, and whether it is young enough.
pub(super) async fn ask(asked: &Asked<'_>) -> (Answer, Answer) {
    let proof = match Box::pin(require_verified(asked)).await {
        Ok(proof) => proof,
        Err(failure) => {
            let unasked = "there is no verification to rest on".to_owned();
            return (Answer::Closed(failure), Answer::Skipped(unasked));
        }
    };
    let levels = proof.verification.levels.join(", ");
    let seen = format!("{} found no difference at {levels}", proof.key);
    let age = age(asked, &proof, clock::now_s());
    (Answer::Open(seen), super::closed_unless(age))
}

fn age(asked: &Asked<'_>, proof: &Proof, now_s: u64) -> Result<Answer> {
    let most = clock::duration_of(&asked.context.settings, MAX_AGE)?;
    let key = &proof.key;
    let ended = OffsetDateTime::parse(&proof.looked_at, &Rfc3339).map_err(|cause| {
        Failure::new(
            ErrorKind::DocumentCorrupt,
            format!("{key} does not say when it ended"),
        )
        .because(cause)
    })?;
    let old_s = now_s.saturating_sub(u64::try_from(ended.unix_timestamp()).unwrap_or(0));
    let told = |seconds: u64| table::duration(seconds.saturating_mul(1000));
    if Duration::from_secs(old_s) <= most {
        return Ok(Answer::Open(format!("it ended {} ago", told(old_s))));
    }
    let run = &asked.plan.plan.run;
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "{key} of run {run} ended {} ago, and {MAX_AGE} is {}",
            told(old_s),
            told(most.as_secs())
        ),
    )
    .hint(format!("`towpath verify {run}`")))
}

/// Evidence that a cutover may rest on.
struct Proof {
    key: String,
    verification: Verification,
    /// When the last look at the rows ended, RFC 3339.
    looked_at: String,
}

/// The latest verification must be clean, complete, and of this manifest.
async fn require_verified(asked: &Asked<'_>) -> Result<Proof> {
    let (context, store, plan) = (asked.context, asked.store, asked.plan);
    let run = &plan.plan.run;
    let refuse = |what: String| {
        Failure::new(ErrorKind::Blocked, what).hint(format!("`towpath verify {run}` first"))
    };
    let manifest = open_manifest(store, &plan.plan, plan.hash, None).await?;
    let target = context.url(Side::Target)?.identity();
    let Some(proof) = Box::pin(evidence(asked, &target)).await? else {
        return Err(refuse(format!("run {run} was never verified")));
    };
    let (key, verification) = (&proof.key, &proof.verification);
    // Who can write to the store can read the run's key and sign with it; not with this one.
    if let Some(own) = signing::own_public_key(context)?
        && !verification.is_signed_by(&own.to_string())
    {
        return Err(refuse(format!(
            "{key} of run {run} is not signed by the key of verify.signing_key"
        )));
    }
    if !verification.is_clean() {
        return Err(refuse(format!("{key} of run {run} found differences")));
    }
    if verification.manifest != manifest.root {
        return Err(refuse(format!("{key} of run {run} is of another manifest")));
    }
    if !is_newer_than_the_last_switch(&asked.lines) {
        return Err(refuse(format!(
            "{key} of run {run} was made before the last cutover, and consumers may have written to the target since"
        )));
    }
    if verification.source == Measure::Live {
        return Err(refuse(format!(
            "{key} of run {run} compared rows with the source of then, and not with the export"
        )));
    }
    // A clean look at chunks alone after a full look that found differences proves nothing.
    if !proves_the_copy(verification) {
        return Err(refuse(format!(
            "{key} of run {run} looked at {} only",
            verification.levels.join(", ")
        )));
    }
    // A scratch database that holds the same rows is not where consumers are sent.
    if !is_of(verification, &target) {
        return Err(refuse(format!(
            "{key} of run {run} looked at {}, and the target is {target}",
            verification
                .target_database
                .as_deref()
                .unwrap_or("no target")
        )));
    }
    Ok(proof)
}

/// The latest evidence, those passed over that an earlier cutover has left. Behind its fence that
/// compared the rows of both sides as they were then: where it was clean it says nothing against
/// the proof of the copy, and nothing for it.
async fn evidence(asked: &Asked<'_>, target: &str) -> Result<Option<Proof>> {
    let mut looked_at: Option<String> = None;
    let mut next = verifying::latest(asked.store).await?;
    while let Some((key, verification)) = next {
        if !is_left_by_a_cutover(&verification, target) || !verification.is_clean() {
            let looked_at = looked_at.unwrap_or_else(|| verification.ended_at.clone());
            return Ok(Some(Proof {
                key,
                verification,
                looked_at,
            }));
        }
        looked_at.get_or_insert(verification.ended_at);
        next = verifying::before(asked.store, &key).await?;
    }
    Ok(None)
}

fn is_left_by_a_cutover(verification: &Verification, target: &str) -> bool {
    verification.levels == [Level::Rows.label()] && is_of(verification, target)
}

fn is_of(verification: &Verification, target: &str) -> bool {
    verification.target_database.as_deref() == Some(target)
}

/// Whether it looked at every level that proves the copy.
fn proves_the_copy(verification: &Verification) -> bool {
    let mut levels = Level::ALL.iter();
    levels.all(|level| verification.looked_at(level.label()))
}

/// Whether the last verification came after the last cutover, if there was one.
fn is_newer_than_the_last_switch(lines: &[Line]) -> bool {
    let last = |wanted: &dyn Fn(&Entry) -> bool| lines.iter().rposition(|it| wanted(&it.entry));
    let switched = last(&|entry| {
        matches!(
            entry,
            Entry::Stage {
                stage: RunStage::Switching
            }
        )
    });
    let verified = last(&|entry| matches!(entry, Entry::Timing { what, .. } if what == "verify"));
    // A cutover that was killed goes on: nothing was rolled back, so its evidence still stands.
    let rolled_back = last(&|entry| {
        matches!(
            entry,
            Entry::Stage {
                stage: RunStage::RolledBack
            }
        )
    });
    rolled_back < switched || switched < verified
}
