//! Parameters: a write makes a new version current at once, and nothing makes it a
//! compare-and-swap. So the value is read immediately before, the version number that the write got
//! is compared with the one it should have got, and a jump means that somebody wrote in between:
//! their value is put back and the switch stops.
//!
//! Versions cannot be moved: the way back writes the old value as a further version. No label is
//! put on any: a label on the oldest of a hundred versions makes every later write fail.

use std::fmt;

use aws_sdk_ssm::types::{ParameterHistory, ParameterTier, ParameterType};
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::binding::{Drift, ParameterBinding, ParameterShape, Stand, drifted};
use crate::clients::SwitchClients;

/// How many versions Parameter Store keeps of a parameter
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-versions.html>).
const VERSIONS_KEPT: usize = 100;

/// What a value may take in bytes, by tier.
const STANDARD_BYTES: usize = 4096;
const ADVANCED_BYTES: usize = 8192;

/// A parameter as it was read.
#[derive(Debug)]
pub(crate) struct ParameterState {
    /// Its full name.
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) version: i64,
    pub(crate) value: Secret,
    /// `:3` or `:label`, where the id asked for a certain version: whoever asks so goes on to get
    /// that one whatever is written.
    pub(crate) selector: Option<String>,
}

/// Reads a parameter; nothing when there is none of that name. `named` is how messages call it: an
/// id out of a variable may be anything, so it is not shown before it is known to name a parameter.
pub(crate) async fn read(
    clients: &SwitchClients,
    id: &str,
    named: &dyn fmt::Display,
) -> Result<Option<ParameterState>> {
    let call = clients
        .parameters
        .get_parameter()
        .name(id)
        .with_decryption(true);
    let found = match Box::pin(call.send()).await {
        Ok(found) => found.parameter,
        Err(error) => match aws::code(&error) {
            Some("ParameterNotFound" | "ParameterVersionNotFound" | "ValidationException") => None,
            _ => {
                return Err(aws::failure(
                    &error,
                    format!("could not read {named}"),
                    "ssm:GetParameter (and kms:Decrypt, for a SecureString)",
                ));
            }
        },
    };
    Ok(found.map(|parameter| ParameterState {
        name: parameter.name.unwrap_or_else(|| id.to_owned()),
        arn: parameter.arn.unwrap_or_default(),
        version: parameter.version,
        value: Secret::new(parameter.value.unwrap_or_default()),
        selector: parameter.selector.filter(|text| !text.is_empty()),
    }))
}

/// What a parameter is besides its value. Refuses one that cannot take another version.
pub(crate) async fn shape(clients: &SwitchClients, name: &str) -> Result<ParameterShape> {
    let mut pages = clients
        .parameters
        .get_parameter_history()
        .name(name)
        .into_paginator()
        .send();
    let mut versions = 0;
    let mut oldest = None;
    let mut latest = None;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                format!("could not read the versions of parameter {name}"),
                "ssm:GetParameterHistory",
            )
        })?;
        for version in page.parameters.unwrap_or_default() {
            versions += 1;
            oldest = older(oldest, &version);
            latest = newer(latest, version);
        }
    }
    let Some(latest) = latest else {
        return Err(
            Failure::new(ErrorKind::Aws, format!("parameter {name} has no version"))
                .hint("was it deleted a moment ago?"),
        );
    };
    if versions >= VERSIONS_KEPT && oldest.is_some_and(|(_, labelled)| labelled) {
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!("parameter {name} has {versions} versions and a label on the oldest: Parameter Store refuses another"),
        )
        .hint("move the label of its oldest version to a newer one (aws ssm label-parameter-version)"));
    }
    Ok(shape_of(&latest))
}

fn older(known: Option<(i64, bool)>, version: &ParameterHistory) -> Option<(i64, bool)> {
    let this = (version.version(), !version.labels().is_empty());
    Some(known.map_or(this, |known| if known.0 <= this.0 { known } else { this }))
}

fn newer(known: Option<ParameterHistory>, version: ParameterHistory) -> Option<ParameterHistory> {
    match known {
        Some(known) if known.version >= version.version => Some(known),
        _ => Some(version),
    }
}

fn shape_of(version: &ParameterHistory) -> ParameterShape {
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    ParameterShape {
        kind: version
            .r#type()
            .map_or("String", ParameterType::as_str)
            .to_owned(),
        key_id: text(version.key_id()),
        tier: text(version.tier().map(ParameterTier::as_str)),
        data_type: text(version.data_type()),
        description: text(version.description()),
        allowed_pattern: text(version.allowed_pattern()),
    }
}

/// Refuses a value that Parameter Store would refuse.
pub(crate) fn check_size(binding: &ParameterBinding) -> Result<()> {
    let limit = match binding.shape.tier.as_deref() {
        Some("Standard") | None => STANDARD_BYTES,
        Some(_) => ADVANCED_BYTES,
    };
    let size_bytes = binding.after.reveal().len();
    if size_bytes <= limit {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "parameter {} would have {size_bytes} bytes, and its tier allows {limit}",
            binding.name
        ),
    )
    .hint("make it an advanced parameter, or shorten it"))
}

/// Where a parameter stands between before and after.
pub(crate) async fn stand(clients: &SwitchClients, binding: &ParameterBinding) -> Result<Stand> {
    let now = require(clients, binding).await?;
    let version = now.version.to_string();
    Ok(if now.value == binding.before {
        Stand::Before(version)
    } else if now.value == binding.after {
        Stand::After(version)
    } else {
        Stand::Drifted(Drift {
            names: vec!["its value".to_owned()],
            holds_ours: false,
        })
    })
}

pub(crate) async fn require(
    clients: &SwitchClients,
    binding: &ParameterBinding,
) -> Result<ParameterState> {
    let named = format!("parameter {}", binding.name);
    read(clients, &binding.name, &named).await?.ok_or_else(|| {
        Failure::new(ErrorKind::Aws, format!("{named} is gone"))
            .hint("was it deleted? A parameter that is deleted is not kept")
    })
}

/// Writes the new value.
pub(crate) async fn switch(clients: &SwitchClients, binding: &ParameterBinding) -> Result<()> {
    write(clients, binding, &binding.before, &binding.after).await
}

/// Writes the old value, as a further version.
pub(crate) async fn restore(clients: &SwitchClients, binding: &ParameterBinding) -> Result<()> {
    write(clients, binding, &binding.after, &binding.before).await
}

async fn write(
    clients: &SwitchClients,
    binding: &ParameterBinding,
    from: &Secret,
    to: &Secret,
) -> Result<()> {
    let now = require(clients, binding).await?;
    if now.value == *to {
        return Ok(());
    }
    if now.value != *from {
        return Err(changed(binding));
    }
    let version = put(clients, binding, to).await?;
    if let Some(theirs) = between(clients, binding, now.version, version, to).await? {
        return Err(put_theirs_back(clients, binding, &theirs).await);
    }
    let now = require(clients, binding).await?;
    if now.value == *to {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Conflict,
        format!(
            "parameter {} does not hold the value just written",
            binding.name
        ),
    )
    .hint("something else changed the parameter at the same time"))
}

fn changed(binding: &ParameterBinding) -> Failure {
    drifted(
        &format!("parameter {}", binding.name),
        &["its value".to_owned()],
    )
}

async fn put(clients: &SwitchClients, binding: &ParameterBinding, value: &Secret) -> Result<i64> {
    let shape = &binding.shape;
    let call = clients
        .parameters
        .put_parameter()
        .name(&binding.name)
        .overwrite(true)
        .r#type(ParameterType::from(shape.kind.as_str()))
        .set_key_id(shape.key_id.clone())
        .set_tier(shape.tier.as_deref().map(ParameterTier::from))
        .set_data_type(shape.data_type.clone())
        .set_description(shape.description.clone())
        .set_allowed_pattern(shape.allowed_pattern.clone())
        .value(value.reveal());
    match Box::pin(call.send()).await {
        Ok(written) => Ok(written.version),
        Err(error) => {
            let failure = aws::failure(
                &error,
                format!("could not write parameter {}", binding.name),
                "ssm:PutParameter (and kms:Encrypt, for a SecureString)",
            );
            Err(match aws::code(&error) {
                Some("ParameterMaxVersionLimitExceeded") => failure.hint(
                    "its oldest version carries a label: move that to a newer version (aws ssm label-parameter-version)",
                ),
                _ => failure,
            })
        }
    }
}

/// What somebody else wrote between our reading of version `read` and our write of version
/// `written`. A client that was not answered sends the same write again: a version between that
/// holds our own value is ours.
async fn between(
    clients: &SwitchClients,
    binding: &ParameterBinding,
    read_at: i64,
    written: i64,
    ours: &Secret,
) -> Result<Option<Secret>> {
    // A parameter that was deleted and made again begins anew: there is nothing between to read.
    let first = (read_at + 1).max(written - VERSIONS_BETWEEN);
    for version in (first..written).rev() {
        let id = format!("{}:{version}", binding.name);
        let named = format!("version {version} of parameter {}", binding.name);
        match read(clients, &id, &named).await? {
            Some(found) if found.value != *ours => return Ok(Some(found.value)),
            _ => {}
        }
    }
    Ok(None)
}

/// More versions than this are not looked through after one write.
const VERSIONS_BETWEEN: i64 = 20;

async fn put_theirs_back(
    clients: &SwitchClients,
    binding: &ParameterBinding,
    theirs: &Secret,
) -> Failure {
    let now = match require(clients, binding).await {
        Ok(now) => now,
        Err(failure) => return failure,
    };
    // Whoever wrote after us has the last word.
    let is_ours = now.value == binding.after || now.value == binding.before;
    if is_ours
        && now.value != *theirs
        && let Err(failure) = put(clients, binding, theirs).await
    {
        return failure.while_doing(format!(
            "parameter {} was written by something else at the same moment, and that value could not be put back",
            binding.name
        ));
    }
    changed(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: i64, labels: &[&str]) -> ParameterHistory {
        ParameterHistory::builder()
            .version(number)
            .set_labels(Some(labels.iter().map(|&label| label.to_owned()).collect()))
            .r#type(ParameterType::SecureString)
            .key_id("alias/app")
            .tier(ParameterTier::Advanced)
            .data_type("text")
            .description("")
            .allowed_pattern("^postgres")
            .build()
    }

    #[test]
    fn the_shape_is_that_of_the_latest_version_whatever_the_order() {
        let latest = newer(newer(None, version(9, &[])), version(8, &["prod"]));
        assert_eq!(latest.as_ref().map(ParameterHistory::version), Some(9));
        let oldest = older(older(None, &version(9, &[])), &version(8, &["prod"]));
        assert_eq!(oldest, Some((8, true)));
        let shape = shape_of(&latest.unwrap());
        assert_eq!(
            shape,
            ParameterShape {
                kind: "SecureString".to_owned(),
                key_id: Some("alias/app".to_owned()),
                tier: Some("Advanced".to_owned()),
                data_type: Some("text".to_owned()),
                description: None,
                allowed_pattern: Some("^postgres".to_owned()),
            }
        );
    }

    #[test]
    fn a_value_beyond_its_tier_is_refused_without_being_told() {
        let binding = |tier: &str, length: usize| ParameterBinding {
            name: "/app/db".to_owned(),
            arn: String::new(),
            version: 1,
            shape: ParameterShape {
                tier: Some(tier.to_owned()),
                ..ParameterShape::default()
            },
            before: Secret::new(""),
            after: Secret::new("x".repeat(length)),
        };
        assert!(check_size(&binding("Standard", 4096)).is_ok());
        assert!(check_size(&binding("Advanced", 4097)).is_ok());
        let refused = check_size(&binding("Standard", 4097)).unwrap_err();
        assert!(refused.to_string().contains("4097 bytes"), "{refused}");
        assert!(!refused.to_string().contains("xxx"));
    }
}
