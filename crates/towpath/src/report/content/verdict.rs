//! The verdict: what a person reads first, and perhaps only.

use towpath_model::journal::RunStage;
use towpath_model::name::readable;
use towpath_model::plan::Verdict as CheckVerdict;
use towpath_model::rehearsal::{Rehearsal, RehearsalVerdict};
use towpath_model::report::Report;
use towpath_model::verification::{Measure, Verification};
use towpath_verify::Level;

use crate::commands::show;
use crate::report::chart::chart;
use crate::report::page::{Tone, Verdict};
use crate::table;

/// The verdict on a run. Green is only what is proven.
pub fn verdict(report: &Report) -> Verdict {
    let (tone, headline) = match &report.rehearsal {
        Some(rehearsal) => of_rehearsal(rehearsal),
        None => of_run(report),
    };
    let mut lines = vec![match &report.verification {
        Some(verification) => show::verdict(verification),
        None => "nothing was compared yet".to_owned(),
    }];
    if let Some(chart) = chart(&report.timings) {
        let took = table::duration(chart.millis);
        lines.push(format!(
            "{took} from the first phase to the last, pauses left out"
        ));
    }
    lines.extend(of_stage(report));
    lines.extend(of_gap(report));
    lines.extend(of_rest(report));
    Verdict {
        tone,
        headline: headline.to_owned(),
        lines,
    }
}

fn of_run(report: &Report) -> (Tone, &'static str) {
    match &report.verification {
        None => (Tone::Warn, "Not verified"),
        Some(verification) if !verification.is_clean() => (Tone::Bad, "NOT EQUAL"),
        Some(verification) if !proves_the_copy(verification) => {
            (Tone::Warn, "Verified in part: no difference")
        }
        Some(_) => (Tone::Good, "Verified: no difference"),
    }
}

fn of_rehearsal(rehearsal: &Rehearsal) -> (Tone, &'static str) {
    match rehearsal.verdict {
        RehearsalVerdict::Failed => (Tone::Bad, "Rehearsal ended early"),
        RehearsalVerdict::Differences => (Tone::Bad, "Rehearsed: NOT EQUAL"),
        RehearsalVerdict::Refused => (Tone::Warn, "Rehearsed: the cutover would be refused"),
        RehearsalVerdict::Ready => (Tone::Good, "Rehearsed: no difference"),
    }
}

/// Whether the levels were looked at that prove a copy, against the export.
pub fn proves_the_copy(verification: &Verification) -> bool {
    let mut levels = Level::ALL.iter();
    levels.all(|level| verification.looked_at(level.label()))
        && verification.source == Measure::Manifest
}

fn of_stage(report: &Report) -> Option<String> {
    if report.rehearsal.is_some() {
        return None;
    }
    if let Some(clone) = &report.plan.clone {
        let name = readable(&clone.name);
        return Some(match &report.swapped {
            Some(_) => format!("it was swapped in as {name}"),
            None => format!(
                "it was not swapped in, as far as this run knows: `towpath clones` tells what serves as {name}"
            ),
        });
    }
    let told = match report.stage {
        RunStage::Switching => {
            "the cutover is in the middle: `towpath cutover` or `towpath rollback` ends it"
        }
        RunStage::Fenced => {
            "the source refuses writes, and no consumer was switched: `towpath cutover` goes on, `towpath unfence` ends it"
        }
        RunStage::Switched => "consumers point at the target",
        RunStage::RolledBack => "consumers use the source, as before the cutover",
        RunStage::Verified => "no consumer was switched yet",
        _ => "the run is not at its end",
    };
    Some(told.to_owned())
}

/// How long nobody could write, as far as it was measured.
fn of_gap(report: &Report) -> Option<String> {
    let gap = report.cutover.as_ref()?.gap.as_ref()?;
    let after = |millis: u64| table::duration(millis.saturating_sub(gap.refused_from_ms));
    let last = after(gap.last_switched_ms?);
    Some(match gap.first_write_seen_ms {
        Some(seen) => format!(
            "writes were refused for {} until the first one reached the target; the last consumer was there after {last}",
            after(seen)
        ),
        None => format!(
            "the last consumer was at the target {last} after the source had begun to refuse writes"
        ),
    })
}

/// What needs a look although the copy is proven.
fn of_rest(report: &Report) -> Vec<String> {
    let warned = report
        .plan
        .checks
        .iter()
        .filter(|check| check.verdict == CheckVerdict::Warn)
        .count() as u64;
    let breaks = report.schema.breaks_at_run_time.len() as u64;
    let left = report.schema.left_behind().len() as u64;
    let mut lines = Vec::new();
    if warned > 0 {
        lines.push(format!(
            "{} warned before the run",
            table::counted(warned, "check")
        ));
    }
    if breaks > 0 {
        lines.push(format!(
            "{} will break at run time, or may",
            table::counted(breaks, "object")
        ));
    }
    if left > 0 {
        lines.push(format!(
            "{} of yours stayed behind",
            table::counted(left, "object")
        ));
    }
    if let Some(rehearsal) = &report.rehearsal {
        lines.push(match rehearsal.left.len() as u64 {
            0 => "nothing is left of it but this report".to_owned(),
            left => format!("{} left behind", table::counted(left, "thing")),
        });
    }
    lines
}
