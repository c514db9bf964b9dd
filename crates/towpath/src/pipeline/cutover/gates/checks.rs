//! The checks of `towpath check`, gone through once more.

use towpath_model::plan::{CheckResult, Verdict};
use towpath_model::{ErrorKind, Failure, Result};

use super::{Answer, Asked, closed_unless};
use crate::pipeline::survey;
use crate::run_state::FenceState;
use crate::table;

const SETTING: &str = "cutover.checks";

pub(super) async fn ask(asked: &Asked<'_>) -> Answer {
    closed_unless(Box::pin(go_through(asked)).await)
}

async fn go_through(asked: &Asked<'_>) -> Result<Answer> {
    let word = asked
        .context
        .settings
        .word(SETTING, &["fail", "warn", "none"])?;
    if word == "none" {
        return Ok(Answer::Skipped(format!("{SETTING} is none")));
    }
    let (found, holder) = Box::pin(survey::survey(asked.context, &asked.plan.plan.run)).await?;
    let results = survey::check(asked.context, &found, asked.store, false).await;
    holder.release().await?;
    let mut results = results?;
    // A killed process of this run has left the fence that this one goes on under.
    if asked.state.fence != FenceState::None {
        results.retain(|it| it.check != "source-fence");
    }
    judge(&results, word == "warn")
}

fn judge(results: &[CheckResult], minds_warnings: bool) -> Result<Answer> {
    let of = |verdict| results.iter().filter(move |it| it.verdict == verdict);
    let closes = |it: &&CheckResult| {
        it.verdict == Verdict::Fail || minds_warnings && it.verdict == Verdict::Warn
    };
    let told: Vec<String> = results
        .iter()
        .filter(closes)
        .map(|it| format!("{} ({})", it.check, it.finding))
        .collect();
    if told.is_empty() {
        let warned = of(Verdict::Warn).count() as u64;
        return Ok(Answer::Open(match warned {
            0 => format!("{} passed", table::counted(results.len() as u64, "check")),
            _ => format!("no check failed, {warned} warned"),
        }));
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("checks do not hold now: {}", told.join(", ")),
    )
    .hint("`towpath check` has the remedies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_close_the_gate_by_setting_only() {
        let result = |check: &str, verdict| CheckResult {
            check: check.to_owned(),
            verdict,
            finding: "seen".to_owned(),
            remedy: String::new(),
        };
        let warned = [result("a", Verdict::Pass), result("b", Verdict::Warn)];
        assert!(
            matches!(judge(&warned, false), Ok(Answer::Open(seen)) if seen.contains("1 warned"))
        );
        let refused = judge(&warned, true).unwrap_err();
        assert!(refused.to_string().ends_with(": b (seen)"), "{refused}");
        let failed = [result("c", Verdict::Fail), result("b", Verdict::Warn)];
        let refused = judge(&failed, false).unwrap_err();
        assert!(refused.to_string().ends_with(": c (seen)"), "{refused}");
    }
}
