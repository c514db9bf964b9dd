//! Reads the selected functions and the secrets they name, and decides what a switch would do.
//! Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::{ErrorKind, Failure, Result};

use crate::binding::{Binding, Change, FunctionBinding, SecretBinding, Subject};
use crate::carrier::{self, ValueReading};
use crate::clients::SwitchClients;
use crate::lambda::{self, FunctionState};
use crate::options::{Mapping, Selection};
use crate::plan::{SwitchPlan, Untouched, Why};
use crate::secret;
use crate::server::SourceServer;

/// Finds what points at the source among the selected functions and the secrets they name.
pub async fn discover(
    clients: &SwitchClients,
    selection: &Selection,
    mapping: &Mapping,
) -> Result<SwitchPlan> {
    check(mapping)?;
    let server = SourceServer::of(mapping);
    let mut plan = SwitchPlan::default();
    let mut secrets = Secrets::default();
    for name in select(clients, selection).await? {
        let state = Box::pin(lambda::read(clients, &name)).await?;
        // A name and an ARN of one function select it once.
        if plan.functions.contains(&state.name) {
            continue;
        }
        plan.functions.push(state.name.clone());
        for variable in secret_variables(&state, selection) {
            let variable = &variable;
            let sought = secrets.seek(clients, &state, variable);
            plan.untouched.extend(Box::pin(sought).await?);
        }
        Box::pin(function(clients, state, &server, mapping, &mut plan)).await?;
    }
    secrets.decide(&server, mapping, &mut plan);
    Ok(plan)
}

fn check(mapping: &Mapping) -> Result<()> {
    if mapping.target.password.is_some() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Config,
        format!("the consumers' URL {} holds no password", mapping.target),
    )
    .hint("give user and password that the functions will use on the target"))
}

/// Variables that name a secret: by their own name, or by holding the ARN of one.
fn secret_variables(state: &FunctionState, selection: &Selection) -> BTreeSet<String> {
    let holds_arn = |value: &str| value.starts_with("arn:") && value.contains(":secretsmanager:");
    let by_value = state
        .variables
        .iter()
        .filter(|(_, value)| holds_arn(value.reveal()));
    by_value
        .map(|(name, _)| name.clone())
        .chain(selection.variables.iter().cloned())
        .collect()
}

/// Names of the selected functions, each once, in order.
async fn select(clients: &SwitchClients, selection: &Selection) -> Result<BTreeSet<String>> {
    if selection.names.is_empty() && selection.prefixes.is_empty() && selection.tags.is_empty() {
        return Err(
            Failure::new(ErrorKind::Config, "no Lambda function is selected")
                .hint("name the functions to switch, or give a prefix or a tag"),
        );
    }
    let mut selected: BTreeSet<String> = selection.names.iter().cloned().collect();
    if selection.prefixes.is_empty() && selection.tags.is_empty() {
        return Ok(selected);
    }
    for (name, arn) in Box::pin(lambda::list(clients)).await? {
        let by_prefix = selection
            .prefixes
            .iter()
            .any(|prefix| name.starts_with(prefix.as_str()));
        if by_prefix || Box::pin(is_tagged(clients, selection, &arn)).await? {
            selected.insert(name);
        }
    }
    Ok(selected)
}

async fn is_tagged(clients: &SwitchClients, selection: &Selection, arn: &str) -> Result<bool> {
    if selection.tags.is_empty() {
        return Ok(false);
    }
    let tags = lambda::tags(clients, arn).await?;
    Ok(selection
        .tags
        .iter()
        .all(|(key, value)| tags.get(key) == Some(value)))
}

async fn function(
    clients: &SwitchClients,
    state: FunctionState,
    server: &SourceServer,
    mapping: &Mapping,
    plan: &mut SwitchPlan,
) -> Result<()> {
    let rewriting = carrier::variables(&state.variables, server, mapping);
    let consumer = format!("lambda {}", state.name);
    let leave = |(variable, why)| Untouched {
        consumer: consumer.clone(),
        variable,
        why,
    };
    plan.untouched.extend(rewriting.left.into_iter().map(leave));
    if rewriting.values.is_empty() {
        return Ok(());
    }
    // A published version keeps the variables it was published with.
    let aliases = lambda::pinned_aliases(clients, &state.name).await?;
    let pinned = aliases.into_iter().map(|it| (it, Why::PublishedVersion));
    plan.untouched.extend(pinned.map(leave));
    let mut after = state.variables.clone();
    after.extend(rewriting.values);
    plan.bindings.push(Binding {
        subject: Subject::Function(FunctionBinding {
            function: state.name,
            revision: state.revision,
            before: state.variables,
            after,
        }),
        changes: rewriting.changes,
    });
    Ok(())
}

/// Secrets found so far, by ARN: several functions may name one.
#[derive(Default)]
struct Secrets {
    found: BTreeMap<String, secret::SecretState>,
    sought: BTreeSet<String>,
}

impl Secrets {
    /// Reads the secret that a variable names, unless it was read already.
    async fn seek(
        &mut self,
        clients: &SwitchClients,
        state: &FunctionState,
        variable: &str,
    ) -> Result<Option<Untouched>> {
        let Some(id) = state.variables.get(variable) else {
            return Ok(None);
        };
        if id.reveal().is_empty() || !self.sought.insert(id.reveal().to_owned()) {
            return Ok(None);
        }
        let named = format!("the secret named by {variable} of lambda {}", state.name);
        match secret::read(clients, id.reveal(), &named).await? {
            Some(secret) => {
                self.found.insert(secret.arn.clone(), secret);
                Ok(None)
            }
            None => Ok(Some(Untouched {
                consumer: format!("lambda {}", state.name),
                variable: variable.to_owned(),
                why: Why::NoSuchSecret,
            })),
        }
    }

    /// Decides about every secret; their bindings come after those of the functions.
    fn decide(self, server: &SourceServer, mapping: &Mapping, plan: &mut SwitchPlan) {
        for (arn, state) in self.found {
            let consumer = format!("secret {arn}");
            let leave = |(variable, why)| Untouched {
                consumer: consumer.clone(),
                variable,
                why,
            };
            let Some(before) = state.text else {
                plan.untouched
                    .push(leave((String::new(), Why::BinarySecret)));
                continue;
            };
            match carrier::value(before.reveal(), server, mapping) {
                ValueReading::Elsewhere => {}
                ValueReading::Left(left) => {
                    plan.untouched.extend(left.into_iter().map(leave));
                }
                ValueReading::Rewritten {
                    text,
                    changes,
                    left,
                } => {
                    plan.untouched.extend(left.into_iter().map(leave));
                    let subject = SecretBinding {
                        arn,
                        name: state.name,
                        version: state.version,
                        before,
                        after: text,
                    };
                    plan.bindings.push(secret_binding(subject, changes));
                }
            }
        }
    }
}

fn secret_binding(secret: SecretBinding, changes: Vec<Change>) -> Binding {
    Binding {
        subject: Subject::Secret(secret),
        changes,
    }
}
