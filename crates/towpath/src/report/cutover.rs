//! What the journal tells of cutovers and rollbacks.

use towpath_model::cutover::{CheckOutcome, Checked, Checklist, Fence, FenceMode};
use towpath_model::journal::{Entry, Line, RunStage};
use towpath_model::report::{CutoverReport, Happened};

use crate::checklist;
use crate::pipeline::cutover::gates;
use crate::run_state::{FenceState, RunState};
use crate::table;

/// Cutovers and rollbacks of a run; nothing before the first.
pub fn told(lines: &[Line], state: &RunState) -> Option<CutoverReport> {
    let timeline = timeline(lines);
    let checked = of_the_last(lines);
    let of = |list: Checklist| {
        let all = checked.iter().copied().filter(|it| it.list == list);
        checklist::last_words(all).into_iter().cloned().collect()
    };
    let report = CutoverReport {
        timeline,
        fence: last_fence(lines).cloned(),
        fence_stands: state.fence != FenceState::None,
        gap: state.write_gap.clone(),
        gates: of(Checklist::Gate),
        probes: of(Checklist::Probe),
    };
    (report != CutoverReport::default()).then_some(report)
}

/// What the last cutover has asked: what an earlier one has found is mended, or not asked any more.
pub fn of_the_last(lines: &[Line]) -> Vec<&Checked> {
    let is_first = |it: &Checked| {
        it.list == Checklist::Gate && gates::GATES.first() == Some(&it.item.as_str())
    };
    let all = lines.iter().filter_map(|line| match &line.entry {
        Entry::Checked(checked) => Some(checked),
        _ => None,
    });
    let all: Vec<&Checked> = all.collect();
    let begins = all.iter().rposition(|it| is_first(it)).unwrap_or(0);
    all.get(begins..).unwrap_or_default().to_vec()
}

fn last_fence(lines: &[Line]) -> Option<&Fence> {
    lines.iter().rev().find_map(|line| match &line.entry {
        Entry::Fenced(fence) => Some(fence),
        _ => None,
    })
}

/// Bindings that were written in a row are told in one line: there may be hundreds.
#[derive(Default)]
struct Row {
    what: &'static str,
    count: u64,
    first: String,
    last: String,
}

impl Row {
    fn told(&self) -> Option<Happened> {
        (self.count > 0).then(|| Happened {
            at: self.first.clone(),
            what: match self.first == self.last {
                true => format!("{} {}", table::counted(self.count, "binding"), self.what),
                false => format!(
                    "{} {}, the last at {}",
                    table::counted(self.count, "binding"),
                    self.what,
                    self.last
                ),
            },
        })
    }
}

fn timeline(lines: &[Line]) -> Vec<Happened> {
    let mut timeline = Vec::new();
    let mut row = Row::default();
    for line in lines {
        let binding = match &line.entry {
            Entry::SwitchDone { .. } => Some("switched and read back"),
            Entry::UndoDone { .. } => Some("put back and read back"),
            // Announced before each of the above.
            Entry::SwitchIntent { .. } => continue,
            _ => None,
        };
        let told = what(&line.entry);
        if binding.is_none() && told.is_none() {
            continue;
        }
        if binding != Some(row.what) {
            timeline.extend(std::mem::take(&mut row).told());
        }
        if let Some(what) = binding {
            if row.count == 0 {
                row.first.clone_from(&line.at);
            }
            (row.what, row.count) = (what, row.count + 1);
            row.last.clone_from(&line.at);
        }
        timeline.extend(told.map(|what| Happened {
            at: line.at.clone(),
            what,
        }));
    }
    timeline.extend(row.told());
    timeline
}

/// What an entry tells of a cutover; nothing of everything else.
fn what(entry: &Entry) -> Option<String> {
    Some(match entry {
        Entry::FenceIntent => "the fence is about to be put up".to_owned(),
        Entry::Fenced(fence) => format!(
            "the source {} at {}: {} fenced",
            match fence.mode {
                FenceMode::Refuse => "refuses writes",
                FenceMode::Wait => "lets writes wait",
            },
            fence.lsn,
            table::counted(fence.tables, "table")
        ),
        Entry::Unfenced => "the source accepts writes again".to_owned(),
        Entry::CaughtUp { tables, rows, .. } => format!(
            "{} caught up, {} written or deleted on the target",
            table::counted(*tables, "table"),
            table::counted(*rows, "row")
        ),
        Entry::SequencesCarried { states } => format!(
            "{} set to where the fenced source has them, and ahead by the margin",
            table::counted(states.len() as u64, "sequence")
        ),
        Entry::TargetBaseline(_) => "what the target had been written is noted".to_owned(),
        Entry::Stage { stage } => match stage {
            RunStage::Switching => "the switch begins".to_owned(),
            RunStage::Switched => "every consumer points at the target".to_owned(),
            RunStage::RolledBack => "consumers are as before".to_owned(),
            _ => return None,
        },
        // Gates and probes have tables of their own; what went wrong belongs to the story.
        Entry::Checked(checked) if checked.outcome == CheckOutcome::Failed => {
            let kind = match checked.list {
                Checklist::Gate => "gate",
                Checklist::Probe => "probe",
                Checklist::Before | Checklist::After => "check",
            };
            format!("{kind} {} did not hold: {}", checked.item, checked.seen)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_in_a_row_are_one_line_and_failures_are_told() {
        let mut second = 0;
        let mut line = |entry| {
            second += 1;
            Line {
                at: format!("2026-01-02T03:00:{second:02}Z"),
                entry,
            }
        };
        let done = |name: &str| Entry::SwitchDone {
            binding: name.to_owned(),
        };
        let undone = |name: &str| Entry::UndoDone {
            binding: name.to_owned(),
        };
        let stage = |stage| Entry::Stage { stage };
        let lines = [
            line(stage(RunStage::Verified)),
            line(Entry::FenceIntent),
            line(stage(RunStage::Switching)),
            line(done("a")),
            line(done("b")),
            line(Entry::Checked(Checked {
                list: Checklist::Probe,
                item: "invoke a".to_owned(),
                outcome: CheckOutcome::Failed,
                seen: "status 500".to_owned(),
            })),
            line(undone("b")),
            line(undone("a")),
            line(Entry::Unfenced),
            line(stage(RunStage::RolledBack)),
        ];
        let told: Vec<String> = timeline(&lines).into_iter().map(|it| it.what).collect();
        assert_eq!(
            told,
            [
                "the fence is about to be put up",
                "the switch begins",
                "2 bindings switched and read back, the last at 2026-01-02T03:00:05Z",
                "probe invoke a did not hold: status 500",
                "2 bindings put back and read back, the last at 2026-01-02T03:00:08Z",
                "the source accepts writes again",
                "consumers are as before",
            ]
        );
        assert_eq!(super::told(&lines[..1], &RunState::of(&lines[..1])), None);
    }

    #[test]
    fn only_what_the_last_cutover_has_asked_counts() {
        let line = |list, item: &str, outcome| Line {
            at: String::new(),
            entry: Entry::Checked(Checked {
                list,
                item: item.to_owned(),
                outcome,
                seen: String::new(),
            }),
        };
        let (passed, failed) = (CheckOutcome::Passed, CheckOutcome::Failed);
        let lines = [
            line(Checklist::Gate, "consumers", passed),
            line(Checklist::Probe, "invoke a", failed),
            line(Checklist::Gate, "consumers", passed),
            line(Checklist::Gate, "window", passed),
            line(Checklist::Probe, "invoke b", passed),
        ];
        let items: Vec<&str> = of_the_last(&lines)
            .iter()
            .map(|it| it.item.as_str())
            .collect();
        assert_eq!(items, ["consumers", "window", "invoke b"]);
        assert_eq!(of_the_last(&lines[1..2]).len(), 1);
    }
}
