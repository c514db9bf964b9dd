//! Gates: what must hold before the source is fenced.

mod approval;
mod checks;
mod rehearsed;
mod snapshot;
mod verification;
mod window;

use std::error::Error;

use towpath_model::cutover::{CheckOutcome, Checked, Checklist};
use towpath_model::journal::{Entry, Line};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::{Journal, RunStore, read_journal};
use towpath_switch::SwitchPlan;

use crate::arguments::CutoverArguments;
use crate::clock;
use crate::context::Context;
use crate::run_files::StoredPlan;
use crate::run_state::RunState;

pub use approval::digest;

/// Names of the gates, in the order in which they are told.
pub const GATES: [&str; 8] = [
    "consumers",
    "verification",
    "verification-age",
    "rehearsal",
    "approval",
    "window",
    "checks",
    "snapshot",
];

/// What a gate says.
#[derive(Debug)]
enum Answer {
    /// It holds; what was seen.
    Open(String),
    /// Nobody asked for it, or there is nothing to ask; which of both.
    Skipped(String),
    /// It does not hold.
    Closed(Failure),
}

/// What every gate may look at.
struct Asked<'a> {
    context: &'a Context,
    store: &'a RunStore,
    plan: &'a StoredPlan,
    bindings: &'a SwitchPlan,
    arguments: &'a CutoverArguments,
    /// The run's journal, and what it tells.
    lines: Vec<Line>,
    state: RunState,
}

/// Asks every gate, journals how each went, and refuses when one is closed. All of them are asked,
/// so that the operator learns of everything at once.
pub async fn check(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    bindings: &SwitchPlan,
    arguments: &CutoverArguments,
    journal: &Journal,
) -> Result<()> {
    let asked = Asked::new(context, store, plan, bindings, arguments).await?;
    let mut answers = Box::pin(asked.ask()).await;
    let is_open = !answers
        .iter()
        .any(|(_, answer)| matches!(answer, Answer::Closed(_)));
    // Last, because it takes minutes and leaves something behind that costs money.
    if is_open && snapshot::is_to_be_taken(context) {
        let taken = Box::pin(snapshot::take(&asked)).await;
        answers.retain(|(gate, _)| *gate != "snapshot");
        answers.push(("snapshot", taken));
    }
    for (gate, answer) in &answers {
        journal
            .append(Entry::Checked(checked(gate, answer)))
            .await?;
    }
    refuse(answers)
}

/// How every gate stands. Changes nothing, and takes no RDS snapshot.
pub async fn look(
    context: &Context,
    store: &RunStore,
    plan: &StoredPlan,
    bindings: &SwitchPlan,
    arguments: &CutoverArguments,
) -> Result<Vec<Checked>> {
    let asked = Asked::new(context, store, plan, bindings, arguments).await?;
    let answers = Box::pin(asked.ask()).await;
    Ok(answers
        .iter()
        .map(|(gate, answer)| checked(gate, answer))
        .collect())
}

impl<'a> Asked<'a> {
    async fn new(
        context: &'a Context,
        store: &'a RunStore,
        plan: &'a StoredPlan,
        bindings: &'a SwitchPlan,
        arguments: &'a CutoverArguments,
    ) -> Result<Self> {
        let lines = read_journal(store).await?;
        let state = RunState::of(&lines);
        Ok(Self {
            context,
            store,
            plan,
            bindings,
            arguments,
            lines,
            state,
        })
    }

    async fn ask(&self) -> Vec<(&'static str, Answer)> {
        let [
            consumers,
            proof,
            age,
            rehearsal,
            approval,
            window,
            checks,
            rds,
        ] = GATES;
        let (verified, fresh) = Box::pin(verification::ask(self)).await;
        vec![
            (consumers, no_consumer_left_behind(self.bindings)),
            (proof, verified),
            (age, fresh),
            (rehearsal, rehearsed::ask(self).await),
            (approval, approval::ask(self).await),
            (window, window::ask(self, clock::now_s())),
            (checks, Box::pin(checks::ask(self)).await),
            (rds, Box::pin(snapshot::ask(self)).await),
        ]
    }
}

/// What a failure makes of a gate.
fn closed_unless(answer: Result<Answer>) -> Answer {
    answer.unwrap_or_else(Answer::Closed)
}

fn checked(gate: &str, answer: &Answer) -> Checked {
    let (outcome, seen) = match answer {
        Answer::Open(seen) => (CheckOutcome::Passed, seen.clone()),
        Answer::Skipped(why) => (CheckOutcome::Skipped, why.clone()),
        Answer::Closed(failure) => (CheckOutcome::Failed, in_words(failure)),
    };
    Checked {
        list: Checklist::Gate,
        item: gate.to_owned(),
        outcome,
        seen,
    }
}

/// A failure with its causes, in a line.
fn in_words(failure: &Failure) -> String {
    let mut words = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

/// One closed gate tells itself, with its own kind; several are told in one letter.
fn refuse(answers: Vec<(&'static str, Answer)>) -> Result<()> {
    let mut closed: Vec<(&str, Failure)> = answers
        .into_iter()
        .filter_map(|(gate, answer)| match answer {
            Answer::Closed(failure) => Some((gate, failure)),
            Answer::Open(_) | Answer::Skipped(_) => None,
        })
        .collect();
    if closed.len() <= 1 {
        return match closed.pop() {
            Some((_, failure)) => Err(failure),
            None => Ok(()),
        };
    }
    let told: Vec<String> = closed
        .iter()
        .map(|(gate, failure)| format!("{gate}: {}", in_words(failure)))
        .collect();
    let mut hints: Vec<&str> = Vec::new();
    for (_, failure) in &closed {
        if let Some(hint) = failure.find_hint()
            && !hints.contains(&hint)
        {
            hints.push(hint);
        }
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "{} gates of the cutover are closed: {}",
            told.len(),
            told.join("; ")
        ),
    )
    .hint(hints.join("; ")))
}

/// What would go on writing to the source after the switch must be dealt with first.
pub fn refuse_left_behind(bindings: &SwitchPlan) -> Result<()> {
    let behind: Vec<String> = bindings
        .untouched
        .iter()
        .filter(|left| left.why.leaves_database_behind())
        .map(|left| format!("{} {}", left.consumer, left.variable))
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("these would go on using the source: {}", behind.join(", ")),
    )
    .hint("change them by hand, or leave their functions out of the selection"))
}

fn no_consumer_left_behind(bindings: &SwitchPlan) -> Answer {
    match refuse_left_behind(bindings) {
        Ok(()) => {
            Answer::Open("nothing that was looked at would go on using the source".to_owned())
        }
        Err(failure) => Answer::Closed(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(what: &str, hint: &str) -> Answer {
        Answer::Closed(Failure::new(ErrorKind::Connect, what).hint(hint))
    }

    #[test]
    fn one_closed_gate_speaks_for_itself_and_several_in_one_letter() {
        let open = || Answer::Open(String::new());
        assert!(refuse(vec![("window", open())]).is_ok());
        let one = refuse(vec![
            ("window", open()),
            ("checks", closed("no route", "look")),
        ]);
        let one = one.unwrap_err();
        assert_eq!(
            (one.kind(), one.to_string().as_str()),
            (ErrorKind::Connect, "no route")
        );
        let two = refuse(vec![
            ("window", closed("too late", "look")),
            ("approval", closed("nobody", "ask")),
            ("checks", closed("no route", "look")),
        ]);
        let two = two.unwrap_err();
        assert_eq!(two.kind(), ErrorKind::Blocked);
        assert_eq!(
            two.to_string(),
            "3 gates of the cutover are closed: window: too late; approval: nobody; checks: no route"
        );
        assert_eq!(two.find_hint(), Some("look; ask"));
    }
}
