//! A binding: one thing that is switched at once, and put back at once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use towpath_model::connection::Secret;
use towpath_model::report::BindingReport;
use towpath_model::{ErrorKind, Failure, Result};

use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::undo::Attempt;
use crate::{alias, lambda, parameter, secret};

/// One thing that is rewritten as a whole: the variables of a function, a secret, a parameter, or
/// the version that an alias leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub(crate) subject: Subject,
    /// Functions that read it, as [`SwitchPlan::functions`](crate::SwitchPlan) names them; a
    /// function's own variables have that function alone. Decides with which group it is switched.
    pub(crate) readers: Vec<String>,
    pub(crate) changes: Vec<Change>,
}

impl Binding {
    /// Functions that read it.
    pub fn readers(&self) -> &[String] {
        &self.readers
    }
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
    Parameter(ParameterBinding),
    Alias(AliasBinding),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FunctionBinding {
    pub(crate) function: String,
    /// Revision at which `before` was read.
    pub(crate) revision: String,
    pub(crate) before: Variables,
    pub(crate) after: Variables,
    /// The VPC configuration, where that changes in the same update; it is left out otherwise.
    pub(crate) network: Option<NetworkChange>,
}

/// A function's VPC configuration before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkChange {
    pub(crate) before: Network,
    pub(crate) after: Network,
}

/// Where a function runs; without subnets, in no VPC. Kept in the order it was read in, compared
/// without: the order means nothing to Lambda.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) subnets: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    /// Whether IPv6 may be used in dual-stack subnets; nothing is no, and goes back as nothing.
    pub(crate) ipv6: Option<bool>,
}

impl Network {
    pub(crate) fn is_vpc(&self) -> bool {
        !self.subnets.is_empty()
    }

    /// For people: `no VPC`, or the ids of the subnets and the security groups.
    pub(crate) fn told(&self) -> String {
        if !self.is_vpc() {
            return "no VPC".to_owned();
        }
        let of = |ids: &[String]| ids.join(" ");
        format!(
            "subnets {}, security groups {}",
            of(&self.subnets),
            of(&self.security_groups)
        )
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<String>>();
        self.ipv6.unwrap_or_default() == other.ipv6.unwrap_or_default()
            && set(&self.subnets) == set(&other.subnets)
            && set(&self.security_groups) == set(&other.security_groups)
    }
}

impl Eq for Network {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretBinding {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// Version that was current when `before` was read.
    pub(crate) version: String,
    /// What else of the labels a switch moves.
    pub(crate) labels: SecretLabels,
    pub(crate) before: Secret,
    pub(crate) after: Secret,
}

/// Staging labels of a secret before the switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretLabels {
    /// Labels of the version that was current, that one left out.
    pub(crate) beside_current: Vec<String>,
    /// The version that `AWSPREVIOUS` was on: moving `AWSCURRENT` moves it too.
    pub(crate) previous: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParameterBinding {
    /// Its full name, with the path.
    pub(crate) name: String,
    /// Says in which region of which account it is.
    pub(crate) arn: String,
    /// Version at which `before` was read.
    pub(crate) version: i64,
    /// What a write must say again, or Parameter Store takes its own default.
    pub(crate) shape: ParameterShape,
    pub(crate) before: Secret,
    pub(crate) after: Secret,
}

/// Everything about a parameter but its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParameterShape {
    /// `String`, `StringList` or `SecureString`.
    pub(crate) kind: String,
    /// The key of a `SecureString`. A write that leaves it out takes the account's default key.
    pub(crate) key_id: Option<String>,
    /// `Standard` or `Advanced`.
    pub(crate) tier: Option<String>,
    /// `text`, or what else the value is checked as.
    pub(crate) data_type: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) allowed_pattern: Option<String>,
}

/// An alias that leads to a published version. Its new version is published from `$LATEST` after
/// the function itself was switched, so the number is known only then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AliasBinding {
    pub(crate) function: String,
    pub(crate) alias: String,
    /// Where it led.
    pub(crate) before: AliasTarget,
    /// `CodeSha256` of every version it led to, and of `$LATEST`.
    pub(crate) code: String,
    /// Variables of the versions it led to.
    pub(crate) before_variables: Variables,
    /// Variables of the version it will lead to: those of the function after its switch.
    pub(crate) after_variables: Variables,
    /// Provisioned concurrency asked for on the alias, which moves with it.
    pub(crate) provisioned: Option<i32>,
}

/// Where an alias leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AliasTarget {
    pub(crate) version: String,
    /// Further versions with their share of the traffic.
    pub(crate) routing: BTreeMap<String, Weight>,
}

/// A share of traffic from 0 to 1. Stored as its bits: what was read goes back as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weight(u64);

impl Weight {
    pub(crate) const fn of(share: f64) -> Self {
        Self(share.to_bits())
    }

    pub(crate) const fn share(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// Where a binding stands, by reading it. The inner text is the proof a write must present: a
/// function's or an alias' revision, a secret's current version, a parameter's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stand {
    Before(String),
    After(String),
    /// Only what the switch writes is in it, and not all of that: an alias at a weighted step. It
    /// may be switched on and put back.
    Between(String),
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
    /// Its name: `lambda orders-api`, `secret arn:…`, `parameter /app/db`, `alias orders-api:live`.
    pub fn name(&self) -> String {
        match &self.subject {
            Subject::Function(function) => format!("lambda {}", function.function),
            Subject::Secret(secret) => format!("secret {}", secret.arn),
            Subject::Parameter(parameter) if self.is_of_many_places() => {
                format!("parameter {}", parameter.arn)
            }
            Subject::Parameter(parameter) => format!("parameter {}", parameter.name),
            Subject::Alias(alias) => format!("alias {}:{}", alias.function, alias.alias),
        }
    }

    /// Whether names alone do not say which is meant: then those who read it go by their ARNs.
    fn is_of_many_places(&self) -> bool {
        self.readers.iter().any(|reader| reader.starts_with("arn:"))
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
                one.before != two.before || (one.after == two.after && one.network == two.network)
            }
            (Subject::Secret(one), Subject::Secret(two)) => {
                one.before != two.before || one.after == two.after
            }
            (Subject::Parameter(one), Subject::Parameter(two)) => {
                one.before != two.before || one.after == two.after
            }
            (Subject::Alias(one), Subject::Alias(two)) => {
                one.before != two.before || one.after_variables == two.after_variables
            }
            _ => false,
        }
    }

    /// The clients of the region and account that it is in.
    pub(crate) fn clients(&self, clients: &SwitchClients) -> SwitchClients {
        clients.at(match &self.subject {
            Subject::Function(function) => &function.function,
            Subject::Secret(secret) => &secret.arn,
            Subject::Parameter(parameter) => &parameter.arn,
            Subject::Alias(alias) => &alias.function,
        })
    }

    /// Reads where it stands.
    pub(crate) async fn stand(&self, clients: &SwitchClients) -> Result<Stand> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Function(function) => lambda::stand(clients, function).await,
            Subject::Secret(secret) => secret::stand(clients, secret).await,
            Subject::Parameter(parameter) => parameter::stand(clients, parameter).await,
            Subject::Alias(alias) => alias::stand(clients, alias).await,
        }
    }

    /// Whether it can be switched by shares of the traffic: see [`Binding::step`].
    pub(crate) const fn has_steps(&self) -> bool {
        matches!(self.subject, Subject::Alias(_))
    }

    /// Gives what the switch makes of it this share of the traffic, in percent, and leaves the rest
    /// where it was. [`Binding::switch`] gives it the whole. Safe to repeat.
    pub(crate) async fn step(
        &self,
        clients: &SwitchClients,
        attempt: &Attempt,
        percent: u8,
    ) -> Result<()> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Alias(alias) => alias::step(clients, alias, attempt, percent).await,
            _ => Ok(()),
        }
    }

    /// Writes what it holds after the switch, and reads it back.
    pub(crate) async fn switch(
        &self,
        clients: &SwitchClients,
        attempt: &Attempt,
        proof: String,
    ) -> Result<()> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Function(function) => lambda::switch(clients, function, proof).await,
            Subject::Secret(secret) => secret::switch(clients, secret, attempt, &proof).await,
            Subject::Parameter(parameter) => parameter::switch(clients, parameter).await,
            Subject::Alias(alias) => alias::switch(clients, alias, attempt, &proof).await,
        }
    }

    /// Writes what it held before the switch, and reads it back.
    pub(crate) async fn restore(
        &self,
        clients: &SwitchClients,
        attempt: &Attempt,
        proof: String,
    ) -> Result<()> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Function(function) => lambda::restore(clients, function, proof).await,
            Subject::Secret(secret) => secret::restore(clients, secret, attempt, &proof).await,
            Subject::Parameter(parameter) => parameter::restore(clients, parameter).await,
            Subject::Alias(alias) => alias::restore(clients, alias, &proof).await,
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
