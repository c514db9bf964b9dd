//! A binding: one thing that is switched at once, and put back at once.

use serde::{Deserialize, Serialize};
use towpath_model::connection::Secret;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};

use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::undo::Attempt;
use crate::{lambda, secret};

/// One thing that is rewritten as a whole: the variables of a function, or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub(crate) subject: Subject,
    pub(crate) changes: Vec<Change>,
}

/// One connection within a binding, as a person may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Name of the variable, the set of variables or the field.
    pub place: String,
    /// Before, masked.
    pub before: String,
    /// After, masked.
    pub after: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Function(FunctionBinding),
    Secret(SecretBinding),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionBinding {
    pub(crate) function: String,
    /// Revision at which `before` was read.
    pub(crate) revision: String,
    pub(crate) before: Variables,
    pub(crate) after: Variables,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretBinding {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// Version that was current when `before` was read.
    pub(crate) version: String,
    pub(crate) before: Secret,
    pub(crate) after: Secret,
}

/// Where a binding stands, by reading it. The inner text is the proof a write must present: a
/// function's revision, a secret's current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stand {
    Before(String),
    After(String),
    Drifted(Drift),
}

/// How a binding differs from both what it was and what it was switched to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drift {
    /// Names that differ, never values.
    pub(crate) names: Vec<String>,
    /// Whether something that the switch wrote is still in it.
    pub(crate) holds_ours: bool,
}

impl Binding {
    /// Its name: `lambda orders-api`, `secret arn:…`.
    pub fn name(&self) -> String {
        match &self.subject {
            Subject::Function(function) => format!("lambda {}", function.function),
            Subject::Secret(secret) => format!("secret {}", secret.arn),
        }
    }

    /// The connections within, masked.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What it holds before the switch, masked.
    pub fn before_masked(&self) -> String {
        self.told(|change| &change.before)
    }

    /// What it holds after the switch, masked.
    pub fn after_masked(&self) -> String {
        self.told(|change| &change.after)
    }

    fn told<'a>(&'a self, side: impl Fn(&'a Change) -> &'a str) -> String {
        let told: Vec<String> = self
            .changes
            .iter()
            .map(|change| match change.place.as_str() {
                "" => side(change).to_owned(),
                place => format!("{place} {}", side(change)),
            })
            .collect();
        told.join("; ")
    }

    /// The binding as the report tells it, in this state.
    pub fn report(&self, state: &str) -> BindingReport {
        BindingReport {
            binding: self.name(),
            before: self.before_masked(),
            after: self.after_masked(),
            state: state.to_owned(),
        }
    }

    /// Whether another reading of the same binding, where it finds the same values, wants the same.
    /// Other values are for [`Binding::stand`] to judge.
    pub(crate) fn wants_same(&self, other: &Binding) -> bool {
        match (&self.subject, &other.subject) {
            (Subject::Function(one), Subject::Function(two)) => {
                one.before != two.before || one.after == two.after
            }
            (Subject::Secret(one), Subject::Secret(two)) => {
                one.before != two.before || one.after == two.after
            }
            _ => false,
        }
    }

    /// Reads where it stands.
    pub(crate) async fn stand(&self, clients: &SwitchClients) -> Result<Stand> {
        match &self.subject {
            Subject::Function(function) => lambda::stand(clients, function).await,
            Subject::Secret(secret) => secret::stand(clients, secret).await,
        }
    }

    /// Writes what it holds after the switch, and reads it back.
    pub(crate) async fn switch(
        &self,
        clients: &SwitchClients,
        attempt: &Attempt,
        proof: String,
    ) -> Result<()> {
        match &self.subject {
            Subject::Function(function) => {
                lambda::write(clients, function, &function.before, &function.after, proof).await
            }
            Subject::Secret(secret) => secret::switch(clients, secret, attempt, &proof).await,
        }
    }

    /// Writes what it held before the switch, and reads it back.
    pub(crate) async fn restore(
        &self,
        clients: &SwitchClients,
        attempt: &Attempt,
        proof: String,
    ) -> Result<()> {
        match &self.subject {
            Subject::Function(function) => {
                lambda::write(clients, function, &function.after, &function.before, proof).await
            }
            Subject::Secret(secret) => secret::restore(clients, secret, attempt, &proof).await,
        }
    }
}

/// The failure of a binding that is neither as it was nor as it was switched. Names only.
pub(crate) fn drifted(binding: &str, names: &[String]) -> Failure {
    let what = match names {
        [] => "its configuration".to_owned(),
        names => names.join(", "),
    };
    Failure::new(
        ErrorKind::Conflict,
        format!("{binding} was changed by something else since it was read: {what}"),
    )
    .hint("nothing of it was overwritten; settle what it should hold, then run the command again")
}

/// Where a map stands between two: pure, so that it can be tested to the last variable.
pub(crate) fn compare(current: &Variables, before: &Variables, after: &Variables) -> Comparison {
    if current == before {
        return Comparison::Before;
    }
    if current == after {
        return Comparison::After;
    }
    let names: std::collections::BTreeSet<&String> = current
        .keys()
        .chain(before.keys())
        .chain(after.keys())
        .collect();
    let foreign = |name: &&&String| {
        let now = current.get(**name);
        now != before.get(**name) && now != after.get(**name)
    };
    let mixed = |name: &&&String| current.get(**name) != after.get(**name);
    let owned = |name: &&String| (*name).clone();
    let ours = |name: &&String| {
        let after = after.get(*name);
        after != before.get(*name) && after == current.get(*name)
    };
    let mut drifted: Vec<String> = names.iter().filter(foreign).map(owned).collect();
    if drifted.is_empty() {
        drifted = names.iter().filter(mixed).map(owned).collect();
    }
    Comparison::Drifted(Drift {
        names: drifted,
        holds_ours: names.iter().any(ours),
    })
}

/// Outcome of [`compare`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Before,
    After,
    Drifted(Drift),
}

impl Comparison {
    pub(crate) fn proven_by(self, proof: &str) -> Stand {
        match self {
            Comparison::Before => Stand::Before(proof.to_owned()),
            Comparison::After => Stand::After(proof.to_owned()),
            Comparison::Drifted(drift) => Stand::Drifted(drift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
            .collect()
    }

    #[test]
    fn drift_names_variables_that_are_neither_before_nor_after() {
        let before = map(&[("A", "1"), ("B", "old"), ("C", "old")]);
        let after = map(&[("A", "1"), ("B", "new"), ("C", "new")]);
        let drifted = |pairs: &[(&str, &str)]| match compare(&map(pairs), &before, &after) {
            Comparison::Drifted(drift) => format!(
                "{}{}",
                drift.names.join(" "),
                if drift.holds_ours { ", ours" } else { "" }
            ),
            other => format!("{other:?}"),
        };
        assert_eq!(drifted(&[("A", "1"), ("B", "old"), ("C", "old")]), "Before");
        assert_eq!(drifted(&[("A", "1"), ("B", "new"), ("C", "new")]), "After");
        assert_eq!(
            drifted(&[("A", "2"), ("B", "new"), ("C", "new")]),
            "A, ours"
        );
        assert_eq!(drifted(&[("A", "2"), ("B", "old"), ("C", "old")]), "A");
        assert_eq!(drifted(&[("A", "1"), ("B", "new")]), "C, ours");
        assert_eq!(
            drifted(&[("A", "1"), ("B", "new"), ("C", "new"), ("D", "")]),
            "D, ours"
        );
        assert_eq!(
            drifted(&[("A", "1"), ("B", "new"), ("C", "old")]),
            "C, ours"
        );
        assert_eq!(drifted(&[]), "A B C");
    }
}
