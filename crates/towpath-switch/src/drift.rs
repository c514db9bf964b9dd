//! What becomes of a binding that somebody changed since the switch, once a person has decided.

use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::binding::{Binding, FunctionBinding, ParameterBinding, SecretBinding, Subject};
use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::fields::{Fields, New};
use crate::lambda::{self, Held};
use crate::undo::Attempt;
use crate::{alias, parameter, secret};

impl Binding {
    /// Whether what was found switched is in use: the write may have been somebody's whose answer
    /// was lost, and a function that could not take its new configuration holds it all the same.
    pub(crate) async fn confirm(&self, clients: &SwitchClients) -> Result<()> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Function(function) => {
                lambda::confirm(clients, &function.function, function.held_after()).await
            }
            _ => Ok(()),
        }
    }

    /// Takes out what the switch wrote and is still there, and keeps everything else as it is.
    pub(crate) async fn take_out(&self, clients: &SwitchClients, attempt: &Attempt) -> Result<()> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Function(function) => take_out_of_function(clients, function).await,
            Subject::Secret(secret) => take_out_of_secret(clients, secret, attempt).await,
            // One value: where it is neither as before nor as switched, nothing of ours is in it.
            Subject::Parameter(_) => Ok(()),
            Subject::Alias(alias) => alias::take_out(clients, alias).await,
        }
    }

    /// Puts it back as it was before the switch, over whatever is there now.
    pub(crate) async fn overwrite(&self, clients: &SwitchClients, attempt: &Attempt) -> Result<()> {
        let clients = &self.clients(clients);
        match &self.subject {
            Subject::Function(function) => overwrite_function(clients, function).await,
            Subject::Secret(secret) => overwrite_secret(clients, secret, attempt).await,
            Subject::Parameter(parameter) => overwrite_parameter(clients, parameter).await,
            Subject::Alias(alias) => alias::overwrite(clients, alias).await,
        }
    }
}

/// What the map becomes when everything that the switch wrote and that nobody has changed since is
/// as before.
fn taken_out(now: &Variables, before: &Variables, after: &Variables) -> Variables {
    let mut merged = now.clone();
    for name in before.keys().chain(after.keys()) {
        let is_ours = after.get(name) != before.get(name) && now.get(name) == after.get(name);
        match before.get(name) {
            _ if !is_ours => {}
            Some(value) => {
                merged.insert(name.clone(), value.clone());
            }
            None => {
                merged.remove(name);
            }
        }
    }
    merged
}

async fn take_out_of_function(clients: &SwitchClients, binding: &FunctionBinding) -> Result<()> {
    let now = lambda::read(clients, &binding.function).await?;
    let merged = taken_out(&now.variables, &binding.before, &binding.after);
    let moved = binding.network.as_ref();
    let moved = moved.filter(|it| it.before != it.after && now.network == it.after);
    let from = Held {
        variables: &now.variables,
        network: moved.map(|it| &it.after),
    };
    let to = Held {
        variables: &merged,
        network: moved.map(|it| &it.before),
    };
    lambda::write(clients, binding, from, to, now.revision.clone()).await
}

async fn overwrite_function(clients: &SwitchClients, binding: &FunctionBinding) -> Result<()> {
    let now = lambda::read(clients, &binding.function).await?;
    let from = Held {
        variables: &now.variables,
        network: binding.network.as_ref().map(|_| &now.network),
    };
    let to = binding.held_before();
    lambda::write(clients, binding, from, to, now.revision.clone()).await
}

async fn overwrite_secret(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
) -> Result<()> {
    let now = secret::require(clients, binding).await?;
    secret::restore(clients, binding, attempt, &now.version).await
}

async fn overwrite_parameter(clients: &SwitchClients, binding: &ParameterBinding) -> Result<()> {
    let now = parameter::require(clients, binding).await?;
    let over = ParameterBinding {
        after: now.value,
        ..binding.clone()
    };
    parameter::restore(clients, &over).await
}

async fn take_out_of_secret(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
) -> Result<()> {
    let now = secret::require(clients, binding).await?;
    let merged = now
        .text
        .as_ref()
        .and_then(|text| fields_taken_out(text, &binding.before, &binding.after));
    match merged {
        Some(merged) => secret::replace(clients, binding, attempt, &now.version, &merged).await,
        None => Err(Failure::new(
            ErrorKind::Conflict,
            format!(
                "secret {} was changed since, and what the switch wrote cannot be told apart in it",
                binding.arn
            ),
        )
        .hint("give it its old connection by hand, or `--drift overwrite` makes the old version current again")),
    }
}

/// The same for the fields of an object: each is as it was written before, to the byte.
fn fields_taken_out(now: &Secret, before: &Secret, after: &Secret) -> Option<Secret> {
    let fields = Fields::read(now.reveal())?;
    let before = Fields::read(before.reveal())?;
    let after = Fields::read(after.reveal())?;
    let is_ours = |name: &&str| {
        let switched = after.raw(name);
        switched != before.raw(name) && switched == fields.raw(name)
    };
    let (then, added): (Vec<&str>, Vec<&str>) = fields
        .names()
        .filter(is_ours)
        .partition(|name| before.raw(name).is_some());
    let then: Vec<(String, New)> = then
        .into_iter()
        .filter_map(|name| {
            let raw = Secret::new(before.raw(name)?);
            Some((name.to_owned(), New::Json(raw)))
        })
        .collect();
    let mut text = fields.with(&then);
    for name in added {
        text = Fields::read(text.reveal())?.without(name);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_switch_wrote_is_taken_out() {
        let map = |pairs: &[(&str, &str)]| -> Variables {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new(*value));
            pairs.iter().map(owned).collect()
        };
        let before = map(&[("URL", "s"), ("PORT", "1"), ("LEVEL", "info")]);
        let after = map(&[("URL", "t"), ("PORT", "2"), ("LEVEL", "info"), ("CA", "x")]);
        let taken = |now: &[(&str, &str)]| taken_out(&map(now), &before, &after);
        assert_eq!(
            taken(&[
                ("URL", "t"),
                ("PORT", "2"),
                ("LEVEL", "debug"),
                ("CA", "x"),
                ("NEW", "1")
            ]),
            map(&[
                ("URL", "s"),
                ("PORT", "1"),
                ("LEVEL", "debug"),
                ("NEW", "1")
            ])
        );
        // What somebody made of ours is theirs, and what they removed stays removed.
        assert_eq!(
            taken(&[("URL", "elsewhere"), ("CA", "y")]),
            map(&[("URL", "elsewhere"), ("CA", "y")])
        );
        assert_eq!(taken(&[("URL", "t")]), map(&[("URL", "s")]));
    }

    #[test]
    fn fields_of_a_secret_are_taken_out_one_by_one() {
        let taken = |now: &str| {
            let before = Secret::new(r#"{"host":"s","port":1,"in":{"url":"s"}}"#);
            let after = Secret::new(r#"{"host":"t","port":2,"in":{"url":"t"},"ca":"x"}"#);
            fields_taken_out(&Secret::new(now), &before, &after).map(|it| it.reveal().to_owned())
        };
        assert_eq!(
            taken(r#"{"new": [1, 2],"host":"t","port":3,"in":{"url":"t"},"ca":"x"}"#).as_deref(),
            Some(r#"{"new": [1, 2],"host":"s","port":3,"in":{"url":"s"}}"#)
        );
        assert_eq!(taken("postgres://t"), None);
    }
}
