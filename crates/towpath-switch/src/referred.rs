//! Secrets of towpath's own that a setting names and does not hold.

use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::clients::SwitchClients;
use crate::{parameter, secret};

/// The current value of a secret of Secrets Manager, by name or ARN. `named` is how messages call it:
/// where a name belongs somebody may have put the value.
pub async fn secret_value(clients: &SwitchClients, id: &str, named: &str) -> Result<Secret> {
    let clients = clients.at(id);
    let found = Box::pin(secret::read(&clients, id, &named)).await?;
    let found = found.ok_or_else(|| missing(&clients, named))?;
    found.text.ok_or_else(|| {
        Failure::new(
            ErrorKind::Config,
            format!("{named} holds bytes and no text"),
        )
        .hint("store the value as a text (SecretString)")
    })
}

/// The same of a parameter of Parameter Store.
pub async fn parameter_value(clients: &SwitchClients, id: &str, named: &str) -> Result<Secret> {
    let clients = clients.at(id);
    let found = Box::pin(parameter::read(&clients, id, &named)).await?;
    found
        .map(|parameter| parameter.value)
        .ok_or_else(|| missing(&clients, named))
}

fn missing(clients: &SwitchClients, named: &str) -> Failure {
    Failure::new(
        ErrorKind::Config,
        format!("{named} is not in {}", clients.place()),
    )
    .hint("check its name, AWS_PROFILE and AWS_REGION; an ARN says itself where it is")
}
