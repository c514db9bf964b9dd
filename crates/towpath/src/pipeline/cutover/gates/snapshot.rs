//! Whether the target could be put back to what it was: an RDS snapshot of it.

use towpath_model::connection::Side;
use towpath_model::{ErrorKind, Failure, Result};

use super::{Answer, Asked, closed_unless};
use crate::aws;
use crate::context::Context;

const SETTING: &str = "cutover.snapshot";

/// Whether one is to be taken of the loaded target.
pub(super) fn is_to_be_taken(context: &Context) -> bool {
    context.settings.text(SETTING) == "take"
}

pub(super) async fn ask(asked: &Asked<'_>) -> Answer {
    closed_unless(Box::pin(look(asked)).await)
}

async fn look(asked: &Asked<'_>) -> Result<Answer> {
    let context = asked.context;
    let words = ["auto", "required", "take", "never"];
    let word = context.settings.word(SETTING, &words)?;
    let target = context.url(Side::Target)?;
    if word == "never" {
        return Ok(Answer::Skipped(format!("{SETTING} is never")));
    }
    if !aws::is_rds(context, &target) {
        let told = format!("{} is not known as an RDS instance", target.host);
        return match word {
            "auto" => Ok(Answer::Skipped(told)),
            _ => Err(Failure::new(
                ErrorKind::Blocked,
                format!("no RDS snapshot can be had: {told}"),
            )
            .hint(format!("set target.rds_instance, or {SETTING} to never"))),
        };
    }
    if word == "take" {
        let told = "one will be taken when every other gate is open";
        return Ok(Answer::Skipped(told.to_owned()));
    }
    let Some(identifier) = &asked.state.target_snapshot else {
        if word == "auto" && context.settings.text("target.rds_snapshot") == "never" {
            let told = "target.rds_snapshot is never";
            return Ok(Answer::Skipped(told.to_owned()));
        }
        return Err(Failure::new(
            ErrorKind::Blocked,
            "no RDS snapshot of the target was taken before the load",
        )
        .hint(format!(
            "set {SETTING} to take: one of the loaded target is taken then"
        )));
    };
    match aws::snapshot_status(context, &target, identifier).await? {
        Some(status) if matches!(status.as_str(), "available" | "creating") => Ok(Answer::Open(
            format!("RDS snapshot {identifier} is {status}"),
        )),
        status => Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "RDS snapshot {identifier} is {}",
                status.as_deref().unwrap_or("gone")
            ),
        )
        .hint(format!(
            "set {SETTING} to take: one of the loaded target is taken then"
        ))),
    }
}

/// Takes one of the target as it is loaded.
pub(super) async fn take(asked: &Asked<'_>) -> Answer {
    let (context, run) = (asked.context, &asked.plan.plan.run);
    let taken = async {
        let target = context.url(Side::Target)?;
        aws::snapshot_before_cutover(context, &target, run).await
    };
    match Box::pin(taken).await {
        Ok(Some((identifier, status))) => {
            Answer::Open(format!("RDS snapshot {identifier} is {status}"))
        }
        Ok(None) => Answer::Closed(
            Failure::new(
                ErrorKind::Blocked,
                "RDS does not know the target's instance",
            )
            .hint("check target.rds_instance, AWS_PROFILE and AWS_REGION"),
        ),
        Err(failure) => Answer::Closed(failure),
    }
}
