//! Whether the very same schema was rehearsed, and how that went.

use towpath_model::plan::Plan;
use towpath_model::rehearsal::{Rehearsal, RehearsalVerdict};
use towpath_model::{ErrorKind, Failure, Result, RunId};

use super::{Answer, Asked, closed_unless};
use crate::commands::rehearse;
use crate::run_files;

const SETTING: &str = "cutover.rehearsal";

pub(super) async fn ask(asked: &Asked<'_>) -> Answer {
    closed_unless(Box::pin(look(asked)).await)
}

async fn look(asked: &Asked<'_>) -> Result<Answer> {
    let settings = &asked.context.settings;
    let word = settings.word(SETTING, &["required", "wanted", "none"])?;
    if word == "none" {
        return Ok(Answer::Skipped(format!("{SETTING} is none")));
    }
    let found = match (named(asked)?, word) {
        (Some(run), _) => Box::pin(rehearsal(asked, &run)).await,
        (None, _) => Err(Failure::new(
            ErrorKind::Blocked,
            "no rehearsal is known here",
        )),
    };
    match (found, word) {
        (Ok(seen), _) => Ok(Answer::Open(seen)),
        (Err(failure), "required") => Err(failure
            .hint("`towpath rehearse`, or name one of this run store in cutover.rehearsal_run")),
        // Wanted, and the cutover does not wait for it.
        (Err(failure), _) => Ok(Answer::Skipped(super::in_words(&failure))),
    }
}

/// The rehearsal that the setting names, or the last one that was made from here.
fn named(asked: &Asked<'_>) -> Result<Option<RunId>> {
    match asked.context.settings.optional("cutover.rehearsal_run") {
        Some(text) => text.parse().map(Some),
        None => asked.context.local.last_rehearsal(),
    }
}

async fn rehearsal(asked: &Asked<'_>, run: &RunId) -> Result<String> {
    let store = asked.context.open_store(run).await?;
    let plan = run_files::require_plan(&store).await?.plan;
    let ended: Option<Rehearsal> = store.get_document(rehearse::KEY).await?;
    judge(&asked.plan.plan, &plan, ended.as_ref())
}

fn judge(plan: &Plan, rehearsed: &Plan, ended: Option<&Rehearsal>) -> Result<String> {
    let run = &rehearsed.run;
    let refuse = |what: String| Failure::new(ErrorKind::Blocked, what);
    let Some(of_plan) = &rehearsed.rehearsal else {
        return Err(refuse(format!("run {run} is no rehearsal")));
    };
    match ended.map(|it| it.verdict) {
        Some(RehearsalVerdict::Ready) => {}
        Some(other) => {
            return Err(refuse(format!(
                "rehearsal {run} ended as: {}",
                other.label()
            )));
        }
        None => return Err(refuse(format!("rehearsal {run} did not come to its end"))),
    }
    if (rehearsed.pre_data, rehearsed.post_data) != (plan.pre_data, plan.post_data) {
        return Err(refuse(format!(
            "rehearsal {run} was of another schema than this run's"
        )));
    }
    Ok(format!(
        "rehearsal {run} of the same schema went well, for {}",
        of_plan.stands_for
    ))
}

#[cfg(test)]
mod tests {
    use towpath_model::digest::Hash;

    use super::*;
    use crate::report::sample;

    #[test]
    fn only_a_rehearsal_of_the_same_schema_that_went_well_counts() {
        let plan = sample::report(1, |_| "t".to_owned()).plan;
        let report = sample::rehearsal(sample::report(1, |_| "t".to_owned()));
        let (rehearsed, ended) = (report.plan, report.rehearsal.unwrap());
        assert!(judge(&plan, &rehearsed, Some(&ended)).is_ok());
        let refused = |rehearsed: &Plan, ended: Option<&Rehearsal>| {
            judge(&plan, rehearsed, ended).unwrap_err().to_string()
        };
        assert!(refused(&plan, Some(&ended)).ends_with("is no rehearsal"));
        assert!(refused(&rehearsed, None).ends_with("did not come to its end"));
        let differs = Rehearsal {
            verdict: RehearsalVerdict::Differences,
            ..ended.clone()
        };
        assert!(refused(&rehearsed, Some(&differs)).ends_with("ended as: differences"));
        let other = Plan {
            post_data: Hash::of(b"other"),
            ..rehearsed
        };
        assert!(refused(&other, Some(&ended)).contains("another schema"));
    }
}
