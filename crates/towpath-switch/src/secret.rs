//! Secrets: a new version beside the old one, and the label `AWSCURRENT` moved from the one to the
//! other. Moving names the version that the label must be on, which makes it a compare-and-swap: a
//! rotation in between is not overwritten.

use std::fmt;

use aws_lc_rs::digest;
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::binding::{Drift, SecretBinding, Stand, compare, drifted};
use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::fields::Fields;
use crate::undo::Attempt;

const CURRENT: &str = "AWSCURRENT";

/// A secret as it was read.
#[derive(Debug)]
pub(crate) struct SecretState {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Nothing when the value is bytes.
    pub(crate) text: Option<Secret>,
}

/// Reads the current version; nothing when no such secret exists. `named` is how messages call it:
/// an id out of a variable may be anything, so it is not shown before it is known to name a secret.
pub(crate) async fn read(
    clients: &SwitchClients,
    id: &str,
    named: &dyn fmt::Display,
) -> Result<Option<SecretState>> {
    let call = clients
        .secrets
        .get_secret_value()
        .secret_id(id)
        .version_stage(CURRENT);
    let error = match Box::pin(call.send()).await {
        Ok(found) => {
            return Ok(Some(SecretState {
                arn: found.arn().unwrap_or(id).to_owned(),
                name: found.name().unwrap_or_default().to_owned(),
                version: found.version_id().unwrap_or_default().to_owned(),
                text: found.secret_string().map(Secret::new),
            }));
        }
        Err(error) => error,
    };
    match aws::code(&error) {
        Some("ResourceNotFoundException" | "ValidationException") => Ok(None),
        _ => Err(aws::failure(
            &error,
            format!("could not read {named}"),
            "secretsmanager:GetSecretValue (and kms:Decrypt, where the secret has its own key)",
        )),
    }
}

/// Where a secret stands between before and after.
pub(crate) async fn stand(clients: &SwitchClients, binding: &SecretBinding) -> Result<Stand> {
    let now = require(clients, binding).await?;
    Ok(match now.text {
        Some(text) if text == binding.before => Stand::Before(now.version),
        Some(text) if text == binding.after => Stand::After(now.version),
        Some(text) => field_by_field(&text, binding, &now.version),
        None => Stand::Drifted(whole()),
    })
}

/// Two objects are compared by field, so that a field somebody added is not taken for another
/// value altogether.
fn field_by_field(text: &Secret, binding: &SecretBinding, version: &str) -> Stand {
    let maps = (
        fields(text),
        fields(&binding.before),
        fields(&binding.after),
    );
    let (Some(now), Some(before), Some(after)) = maps else {
        return Stand::Drifted(whole());
    };
    match compare(&now, &before, &after).proven_by(version) {
        Stand::Drifted(drift) => Stand::Drifted(drift),
        // Equal in every field that can be compared, and yet another text.
        Stand::Before(_) => Stand::Drifted(whole()),
        Stand::After(_) => Stand::Drifted(Drift {
            holds_ours: true,
            ..whole()
        }),
    }
}

fn whole() -> Drift {
    Drift {
        names: vec!["its value".to_owned()],
        holds_ours: false,
    }
}

fn fields(text: &Secret) -> Option<Variables> {
    let texts = Fields::read(text.reveal())?.texts();
    let hidden =
        |(name, text): (String, Option<String>)| (name, Secret::new(text.unwrap_or_default()));
    Some(texts.into_iter().map(hidden).collect())
}

async fn require(clients: &SwitchClients, binding: &SecretBinding) -> Result<SecretState> {
    let named = format!("secret {}", binding.arn);
    read(clients, &binding.arn, &named).await?.ok_or_else(|| {
        Failure::new(ErrorKind::Aws, format!("{named} is gone"))
            .hint("was it deleted? Secrets Manager keeps deleted secrets for some days")
    })
}

/// Makes the new value current.
pub(crate) async fn switch(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
    proof: &str,
) -> Result<()> {
    let version = put_version(clients, binding, attempt, "switch", &binding.after).await?;
    move_current(clients, binding, proof, &version, &binding.after).await?;
    confirm(clients, binding, &binding.after).await
}

/// Makes the old version current again; when it is gone, its value in a new version.
pub(crate) async fn restore(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
    proof: &str,
) -> Result<()> {
    let moved = move_current(clients, binding, proof, &binding.version, &binding.before).await;
    if let Err(failure) = moved {
        if failure.kind() != ErrorKind::Aws {
            return Err(failure);
        }
        // Versions without a label are deleted by the service after a while.
        let version = put_version(clients, binding, attempt, "restore", &binding.before).await?;
        move_current(clients, binding, proof, &version, &binding.before).await?;
    }
    confirm(clients, binding, &binding.before).await
}

/// Adds a version under a label of this run, which keeps it from being deleted and leaves
/// `AWSCURRENT` where it is. The id depends on the attempt and the direction alone: a repeated put
/// is the same.
async fn put_version(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
    direction: &str,
    value: &Secret,
) -> Result<String> {
    let seed = format!("{attempt}\n{}\n{direction}", binding.arn);
    let hash = hex::encode(digest::digest(&digest::SHA256, seed.as_bytes()));
    let token = format!("towpath-{}", &hash[..32]);
    let call = clients
        .secrets
        .put_secret_value()
        .secret_id(&binding.arn)
        .client_request_token(&token)
        .version_stages(format!("towpath-{}-{direction}", attempt.run))
        .secret_string(value.reveal());
    let found = Box::pin(call.send()).await.map_err(|error| {
        aws::failure(
            &error,
            format!("could not add a version to secret {}", binding.arn),
            "secretsmanager:PutSecretValue (and kms:GenerateDataKey, where the secret has its own key)",
        )
    })?;
    Ok(found.version_id.unwrap_or(token))
}

async fn move_current(
    clients: &SwitchClients,
    binding: &SecretBinding,
    from: &str,
    to: &str,
    value: &Secret,
) -> Result<()> {
    if from == to {
        return Ok(());
    }
    let call = clients
        .secrets
        .update_secret_version_stage()
        .secret_id(&binding.arn)
        .version_stage(CURRENT)
        .remove_from_version_id(from)
        .move_to_version_id(to);
    let Err(error) = Box::pin(call.send()).await else {
        return Ok(());
    };
    let failure = aws::failure(
        &error,
        format!("could not make a version of secret {} current", binding.arn),
        "secretsmanager:UpdateSecretVersionStage",
    );
    if aws::code(&error).is_none() {
        return Err(failure);
    }
    // A lost answer to an earlier attempt, a change by somebody else, or a refusal: only reading
    // tells which.
    let now = require(clients, binding).await?;
    if now.text.as_ref() == Some(value) {
        return Ok(());
    }
    if now.version != from {
        return Err(drifted(
            &format!("secret {}", binding.arn),
            &["its current version".to_owned()],
        ));
    }
    Err(failure)
}

async fn confirm(
    clients: &SwitchClients,
    binding: &SecretBinding,
    expected: &Secret,
) -> Result<()> {
    let now = require(clients, binding).await?;
    if now.text.as_ref() == Some(expected) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Conflict,
        format!(
            "secret {} does not hold the value just written",
            binding.arn
        ),
    )
    .hint("something else changed the secret at the same time"))
}
