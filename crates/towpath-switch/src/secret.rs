//! Secrets: a new version beside the old one, and the label `AWSCURRENT` moved from the one to the
//! other. Moving names the version that the label must be on, which makes it a compare-and-swap: a
//! rotation in between is not overwritten.
//!
//! Secrets Manager deletes versions without a label after a while, and moving `AWSCURRENT` moves
//! `AWSPREVIOUS` along. So before anything is moved the version that is current, and the one that
//! was before it, get a label of this run, and the way back puts every label where it was.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use aws_lc_rs::digest;
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::binding::{Drift, SecretBinding, SecretLabels, Stand, compare, drifted};
use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::fields::Fields;
use crate::undo::Attempt;

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
const PENDING: &str = "AWSPENDING";
/// What labels of towpath begin with.
const OURS: &str = "towpath-";
/// How many versions with labels a secret may have
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>).
const VERSIONS_KEPT: usize = 100;

/// A secret as it was read.
#[derive(Debug)]
pub(crate) struct SecretState {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Nothing when the value is bytes.
    pub(crate) text: Option<Secret>,
    /// Labels of the current version besides the one that makes it so.
    pub(crate) labels: Vec<String>,
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
                labels: beside_current(found.version_stages()),
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

fn beside_current(labels: &[String]) -> Vec<String> {
    let others = labels.iter().filter(|label| *label != CURRENT);
    others.cloned().collect()
}

/// What is to be known of a secret before it is switched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SecretFacts {
    pub(crate) labels: SecretLabels,
    /// Whether a rotation is set up: the next one writes a value of its own.
    pub(crate) rotates: bool,
    /// What makes a new version impossible or unwise, and what to do.
    pub(crate) obstacle: Option<(String, &'static str)>,
}

/// Reads everything about a secret but its value.
pub(crate) async fn facts(clients: &SwitchClients, arn: &str) -> Result<SecretFacts> {
    let call = clients.secrets.describe_secret().secret_id(arn);
    let found = Box::pin(call.send()).await.map_err(|error| {
        aws::failure(
            &error,
            format!("could not read the labels of secret {arn}"),
            "secretsmanager:DescribeSecret",
        )
    })?;
    let stages = found.version_ids_to_stages.unwrap_or_default();
    let mut facts = judge(&stages);
    facts.rotates = found.rotation_enabled.unwrap_or_default();
    if let Some(owner) = found.owning_service {
        facts.obstacle = Some((
            format!("is managed by {owner}, which alone may write it"),
            "give the functions a secret of their own, and name it in their variables",
        ));
    }
    let primary = found.primary_region.unwrap_or_default();
    let here = crate::clients::Place::of_arn(arn).map(|place| place.region);
    if !primary.is_empty() && here.is_some_and(|here| here != primary) {
        facts.obstacle = Some((
            format!("is a replica of the secret in {primary}"),
            "switch it in its primary region (switch.regions): its replicas follow",
        ));
    }
    Ok(facts)
}

fn judge(stages: &HashMap<String, Vec<String>>) -> SecretFacts {
    let holder = |label: &str| {
        let mut found = stages.iter();
        found.find(|(_, labels)| labels.iter().any(|it| it == label))
    };
    let mut facts = SecretFacts::default();
    let current = holder(CURRENT);
    if let Some((_, labels)) = current {
        facts.labels.beside_current = beside_current(labels);
    }
    facts.labels.previous = holder(PREVIOUS).map(|(version, _)| version.clone());
    // A rotation that is over leaves the label on the version it made current.
    if let Some((pending, _)) = holder(PENDING)
        && current.is_none_or(|(current, _)| current != pending)
    {
        facts.obstacle = Some((
            "is being rotated: another version is AWSPENDING".to_owned(),
            "wait until the rotation is over, or end it (aws secretsmanager cancel-rotate-secret) and take the label away",
        ));
    }
    let labelled = stages.values().filter(|labels| !labels.is_empty()).count();
    if labelled >= VERSIONS_KEPT {
        facts.obstacle = Some((
            format!("has {labelled} versions with labels, and Secrets Manager allows no more"),
            "take the labels off versions that nobody needs",
        ));
    }
    facts
}

/// Where a secret stands between before and after.
pub(crate) async fn stand(clients: &SwitchClients, binding: &SecretBinding) -> Result<Stand> {
    let now = require(clients, binding).await?;
    Ok(match now.text {
        // Labels of ours show a switch that was killed before it moved the one that counts, or a
        // way back that was killed after it.
        Some(text) if text == binding.before && is_pinned(&now.labels, binding) => {
            Stand::Between(now.version)
        }
        Some(text) if text == binding.before => Stand::Before(now.version),
        Some(text) if text == binding.after => Stand::After(now.version),
        Some(text) => field_by_field(&text, binding, &now.version),
        None => Stand::Drifted(whole()),
    })
}

fn is_pinned(labels: &[String], binding: &SecretBinding) -> bool {
    let known = &binding.labels.beside_current;
    labels
        .iter()
        .any(|label| label.starts_with(OURS) && !known.contains(label))
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
        Stand::Before(_) | Stand::Between(_) => Stand::Drifted(whole()),
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

pub(crate) async fn require(
    clients: &SwitchClients,
    binding: &SecretBinding,
) -> Result<SecretState> {
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
    if let Some(previous) = &binding.labels.previous {
        label(clients, binding, &pin_of_previous(attempt), previous).await?;
    }
    label(clients, binding, &pin(attempt), proof).await?;
    let version = put_version(clients, binding, attempt, "switch", &binding.after).await?;
    move_current(clients, binding, proof, &version, &binding.after).await?;
    confirm(clients, binding, &binding.after).await
}

/// Makes the old version current again; when it is gone, its value in a new version. Then puts the
/// other labels where they were.
pub(crate) async fn restore(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
    proof: &str,
) -> Result<()> {
    let now = require(clients, binding).await?;
    if now.text.as_ref() != Some(&binding.before) {
        let moved = move_current(clients, binding, proof, &binding.version, &binding.before).await;
        if let Err(failure) = moved {
            // Somebody may have taken the pin off, and the service deleted the version. Another one
            // beside it would be left behind for nothing.
            if failure.kind() != ErrorKind::Aws
                || stages(clients, binding)
                    .await?
                    .contains_key(&binding.version)
            {
                return Err(failure);
            }
            let version =
                put_version(clients, binding, attempt, "restore", &binding.before).await?;
            move_current(clients, binding, proof, &version, &binding.before).await?;
        }
    }
    confirm(clients, binding, &binding.before).await?;
    put_labels_back(clients, binding, attempt).await
}

/// Makes this value current in place of that of `from`, whatever it is: for a way back that keeps
/// what others have changed since.
pub(crate) async fn replace(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
    from: &str,
    value: &Secret,
) -> Result<()> {
    // Another reading may make another value of it, and the value of a version is settled for good.
    let direction = format!("merge-{from}");
    let version = put_version(clients, binding, attempt, &direction, value).await?;
    move_current(clients, binding, from, &version, value).await?;
    confirm(clients, binding, value).await?;
    put_labels_back(clients, binding, attempt).await
}

/// The label that keeps the version which was current. The last one to be taken off: while it is
/// there, the way back is not complete.
fn pin(attempt: &Attempt) -> String {
    label_of(attempt, "before")
}

fn pin_of_previous(attempt: &Attempt) -> String {
    label_of(attempt, "before-previous")
}

/// Each attempt has labels of its own: one that is on a version cannot simply be put on another.
fn label_of(attempt: &Attempt, what: &str) -> String {
    match attempt.number {
        1 => format!("{OURS}{}-{what}", attempt.run),
        number => format!("{OURS}{}-{number}-{what}", attempt.run),
    }
}

async fn stages(
    clients: &SwitchClients,
    binding: &SecretBinding,
) -> Result<BTreeMap<String, Vec<String>>> {
    let call = clients.secrets.describe_secret().secret_id(&binding.arn);
    let found = Box::pin(call.send()).await.map_err(|error| {
        aws::failure(
            &error,
            format!("could not read the labels of secret {}", binding.arn),
            "secretsmanager:DescribeSecret",
        )
    })?;
    let stages = found.version_ids_to_stages.unwrap_or_default();
    Ok(stages.into_iter().collect())
}

async fn put_labels_back(
    clients: &SwitchClients,
    binding: &SecretBinding,
    attempt: &Attempt,
) -> Result<()> {
    let stages = stages(clients, binding).await?;
    let holder = |label: &str| {
        let mut found = stages.iter();
        let found = found.find(|(_, labels)| labels.iter().any(|it| it == label));
        found.map(|(version, _)| version.as_str())
    };
    let previous = binding.labels.previous.as_deref();
    let is_there = previous.is_none_or(|version| stages.contains_key(version));
    if holder(PREVIOUS) != previous && is_there {
        let moved = set_label(clients, binding, PREVIOUS, holder(PREVIOUS), previous).await;
        // The service's own label, which nothing reads unless somebody asks for it: where it does
        // not let go of it, the way back is complete without.
        if let Err(failure) = moved
            && failure.kind() != ErrorKind::Aws
        {
            return Err(failure);
        }
    }
    let ours = [
        label_of(attempt, "switch"),
        pin_of_previous(attempt),
        pin(attempt),
    ];
    for label in &ours {
        let Some(version) = holder(label) else {
            continue;
        };
        set_label(clients, binding, label, Some(version), None).await?;
    }
    Ok(())
}

/// Puts a label of ours on a version.
async fn label(
    clients: &SwitchClients,
    binding: &SecretBinding,
    label: &str,
    version: &str,
) -> Result<()> {
    set_label(clients, binding, label, None, Some(version)).await
}

/// Moves a label from one version to another, puts it on, or takes it off.
async fn set_label(
    clients: &SwitchClients,
    binding: &SecretBinding,
    label: &str,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<()> {
    let call = clients
        .secrets
        .update_secret_version_stage()
        .secret_id(&binding.arn)
        .version_stage(label)
        .set_remove_from_version_id(from.map(str::to_owned))
        .set_move_to_version_id(to.map(str::to_owned));
    let Err(error) = Box::pin(call.send()).await else {
        return Ok(());
    };
    let failure = aws::failure(
        &error,
        format!("could not move the label {label} of secret {}", binding.arn),
        "secretsmanager:UpdateSecretVersionStage",
    );
    if aws::code(&error) != Some("InvalidParameterException") {
        return Err(failure);
    }
    // When the answer to an earlier attempt of ours was lost, the label is where it should be.
    let stages = stages(clients, binding).await?;
    let mut found = stages.iter();
    let holder = found.find(|(_, labels)| labels.iter().any(|it| it == label));
    if holder.map(|(version, _)| version.as_str()) == to {
        return Ok(());
    }
    Err(failure)
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
        .version_stages(label_of(attempt, direction))
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
    // A lost answer to this or to an earlier attempt, a change by somebody else, or a refusal: only
    // reading tells which.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(all: &[(&str, &[&str])]) -> HashMap<String, Vec<String>> {
        all.iter()
            .map(|(version, labels)| {
                let labels = labels.iter().map(|&label| label.to_owned()).collect();
                ((*version).to_owned(), labels)
            })
            .collect()
    }

    #[test]
    fn a_rotation_under_way_is_seen_and_one_that_is_over_is_not() {
        let over = judge(&stages(&[
            ("v2", &["AWSCURRENT", "AWSPENDING", "mine"]),
            ("v1", &["AWSPREVIOUS"]),
        ]));
        assert_eq!(over.obstacle, None);
        assert_eq!(over.labels.previous.as_deref(), Some("v1"));
        assert_eq!(over.labels.beside_current, ["AWSPENDING", "mine"]);
        let under_way = judge(&stages(&[("v2", &["AWSPENDING"]), ("v1", &["AWSCURRENT"])]));
        let (what, _) = under_way.obstacle.unwrap();
        assert!(what.contains("being rotated"), "{what}");
    }

    #[test]
    fn a_secret_full_of_labels_is_refused() {
        let names: Vec<String> = (0..100).map(|number| format!("v{number}")).collect();
        let all: Vec<(&str, &[&str])> = names
            .iter()
            .map(|name| (name.as_str(), ["kept"].as_slice()))
            .collect();
        assert!(judge(&stages(&all)).obstacle.is_some());
        assert!(judge(&stages(&all[1..])).obstacle.is_none());
    }
}
