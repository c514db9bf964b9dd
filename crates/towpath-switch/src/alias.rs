//! Aliases: a published version keeps its configuration for good, so an alias is switched by
//! publishing the function anew, after its own switch, and leading the alias there under its own
//! revision.
//!
//! A version is made of `$LATEST`, whatever that holds. So an alias is moved only where `$LATEST`
//! was, before the switch, what the alias led to: code that somebody uploaded and never released
//! must not be released by us. Publishing names the code and the revision that it means, so that
//! a deployment in between is not published either, and what was published is read before the
//! alias is led there.
//!
//! The version stays when the way back is taken: something may point at it by then.

use std::collections::HashMap;

use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use aws_sdk_lambda::types::{
    AliasConfiguration, AliasRoutingConfiguration, ProvisionedConcurrencyStatusEnum,
};
use tokio::time::{Duration, Instant, sleep};
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::binding::{AliasBinding, AliasTarget, Drift, FunctionBinding, Stand, Weight, drifted};
use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::lambda::{self, FunctionState};
use crate::undo::Attempt;

const LATEST: &str = "$LATEST";
const PUBLISH_ATTEMPTS: u32 = 6;

/// An alias as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AliasState {
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) target: AliasTarget,
}

impl AliasState {
    /// Versions that it leads to.
    fn versions(&self) -> impl Iterator<Item = &str> {
        let further = self.target.routing.keys().map(String::as_str);
        std::iter::once(self.target.version.as_str()).chain(further)
    }

    /// For people: `version 3`, or every version with its share.
    pub(crate) fn told(&self) -> String {
        let mut told = format!("version {}", self.target.version);
        for (version, weight) in &self.target.routing {
            told.push_str(&format!(", version {version} {}%", weight.share() * 100.0));
        }
        told
    }

    /// Whether it leads to one of these versions.
    pub(crate) fn leads_to_any(&self, versions: &[String]) -> bool {
        self.versions()
            .any(|version| versions.iter().any(|known| known == version))
    }

    /// Whether it leads to a published version.
    pub(crate) fn is_pinned(&self) -> bool {
        self.versions().any(|version| version != LATEST)
    }
}

/// Aliases that lead to published versions.
pub(crate) async fn pinned(clients: &SwitchClients, function: &str) -> Result<Vec<AliasState>> {
    let mut pages = clients
        .lambda
        .list_aliases()
        .function_name(function)
        .into_paginator()
        .send();
    let mut pinned = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                format!("could not list the aliases of lambda {function}"),
                "lambda:ListAliases",
            )
        })?;
        let aliases = page.aliases.unwrap_or_default().into_iter();
        pinned.extend(aliases.map(listed).filter(AliasState::is_pinned));
    }
    Ok(pinned)
}

fn listed(alias: AliasConfiguration) -> AliasState {
    AliasState {
        name: alias.name.unwrap_or_default(),
        revision: alias.revision_id.unwrap_or_default(),
        target: target(alias.function_version, alias.routing_config),
    }
}

fn got(alias: GetAliasOutput) -> AliasState {
    AliasState {
        name: alias.name.unwrap_or_default(),
        revision: alias.revision_id.unwrap_or_default(),
        target: target(alias.function_version, alias.routing_config),
    }
}

fn target(version: Option<String>, routing: Option<AliasRoutingConfiguration>) -> AliasTarget {
    let weights = routing.and_then(|routing| routing.additional_version_weights);
    AliasTarget {
        version: version.unwrap_or_default(),
        routing: weights
            .unwrap_or_default()
            .into_iter()
            .map(|(version, share)| (version, Weight::of(share)))
            .collect(),
    }
}

/// What is to be done about an alias of a function that is switched.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It can be led to a new version.
    Movable {
        binding: AliasBinding,
        /// Versions it leads to that have provisioned concurrency of their own: a new version has
        /// none.
        provisioned: Vec<(String, i32)>,
    },
    /// It leads to nothing that is to be switched.
    Elsewhere,
    /// `$LATEST` differs from what it leads to, in this.
    Unreleased(Vec<String>),
}

/// Looks at an alias before the switch. `latest` is the function as it was read, `function` what
/// becomes of it; `concerns` tells of a version's variables whether they are to be switched.
pub(crate) async fn examine(
    clients: &SwitchClients,
    latest: &FunctionState,
    function: &FunctionBinding,
    alias: &AliasState,
    concerns: &dyn Fn(&Variables) -> bool,
) -> Result<Finding> {
    let name = &function.function;
    let mut names = Vec::new();
    let mut is_concerned = false;
    for version in alias.versions().filter(|version| *version != LATEST) {
        let published = lambda::read_version(clients, name, Some(version)).await?;
        is_concerned |= concerns(&published.variables);
        names.extend(difference(&published, latest));
    }
    if !is_concerned {
        return Ok(Finding::Elsewhere);
    }
    if !names.is_empty() {
        names.sort();
        names.dedup();
        return Ok(Finding::Unreleased(names));
    }
    let mut of_versions = Vec::new();
    for version in alias.versions().filter(|version| *version != LATEST) {
        let found = provisioned(clients, name, version).await?;
        of_versions.extend(found.map(|it| (version.to_owned(), it.requested)));
    }
    let of_alias = provisioned(clients, name, &alias.name).await?;
    Ok(Finding::Movable {
        binding: AliasBinding {
            function: name.clone(),
            alias: alias.name.clone(),
            before: alias.target.clone(),
            code: latest.code.clone(),
            before_variables: latest.variables.clone(),
            after_variables: function.after.clone(),
            provisioned: of_alias.map(|it| it.requested),
        },
        provisioned: of_versions,
    })
}

/// Names of everything a new version would release that this one does not have.
fn difference(published: &FunctionState, latest: &FunctionState) -> Vec<String> {
    let mut names = Vec::new();
    if published.code != latest.code {
        names.push("its code".to_owned());
    }
    let variables = published.variables.keys().chain(latest.variables.keys());
    let variables: std::collections::BTreeSet<_> = variables.collect();
    for name in variables {
        if published.variables.get(name) != latest.variables.get(name) {
            names.push(name.clone());
        }
    }
    if published.network != latest.network {
        names.push(lambda::NETWORK.to_owned());
    }
    for (published, latest) in published.settings.iter().zip(&latest.settings) {
        if published != latest {
            names.push(published.0.to_owned());
        }
    }
    names
}

/// Where an alias stands between before and after.
pub(crate) async fn stand(clients: &SwitchClients, binding: &AliasBinding) -> Result<Stand> {
    let now = get(clients, binding).await?;
    if now.target == binding.before {
        return Ok(Stand::Before(now.revision));
    }
    let mut ours = Vec::new();
    for version in now.versions() {
        ours.push(is_switched(clients, binding, version).await?);
    }
    Ok(judge(&now, binding, &ours))
}

/// `ours` tells of each version that the alias leads to whether it is one that the switch makes.
fn judge(now: &AliasState, binding: &AliasBinding, ours: &[bool]) -> Stand {
    let is_whole = now.target.routing.is_empty();
    let further = ours.get(1..).unwrap_or_default();
    if ours.first() == Some(&true) && is_whole {
        return Stand::After(now.revision.clone());
    }
    let at_step = now.target.version == binding.before.version
        && binding.before.routing.is_empty()
        && further.iter().all(|&is_ours| is_ours);
    if at_step {
        return Stand::Between(now.revision.clone());
    }
    let moved = now.target.version != binding.before.version;
    let names = if moved {
        "FunctionVersion"
    } else {
        "RoutingConfig"
    };
    Stand::Drifted(Drift {
        names: vec![names.to_owned()],
        holds_ours: ours.contains(&true),
    })
}

async fn is_switched(
    clients: &SwitchClients,
    binding: &AliasBinding,
    version: &str,
) -> Result<bool> {
    if version == LATEST || version == binding.before.version {
        return Ok(false);
    }
    let published = lambda::read_version(clients, &binding.function, Some(version)).await?;
    Ok(published.variables == binding.after_variables && published.code == binding.code)
}

async fn get(clients: &SwitchClients, binding: &AliasBinding) -> Result<AliasState> {
    let call = clients
        .lambda
        .get_alias()
        .function_name(&binding.function)
        .name(&binding.alias);
    let found = Box::pin(call.send()).await.map_err(|error| {
        aws::failure(
            &error,
            format!("could not read {}", told(binding)),
            "lambda:GetAlias",
        )
    })?;
    Ok(got(found))
}

fn told(binding: &AliasBinding) -> String {
    format!("alias {}:{}", binding.function, binding.alias)
}

/// Gives the new version this share of the traffic, in percent. What leads on to several versions
/// already, and what has been led to the new one, is left as it is.
pub(crate) async fn step(
    clients: &SwitchClients,
    binding: &AliasBinding,
    attempt: &Attempt,
    percent: u8,
) -> Result<()> {
    let now = get(clients, binding).await?;
    if !binding.before.routing.is_empty() || percent >= 100 {
        return Ok(());
    }
    let revision = match stand(clients, binding).await? {
        Stand::Before(revision) | Stand::Between(revision) => revision,
        Stand::After(_) => return Ok(()),
        Stand::Drifted(drift) => return Err(drifted(&told(binding), &drift.names)),
    };
    let version = publish(clients, binding, attempt).await?;
    let to = AliasTarget {
        version: now.target.version,
        routing: [(version, Weight::of(f64::from(percent) / 100.0))].into(),
    };
    lead(clients, binding, &to, &revision).await
}

/// Leads the alias to the new version alone.
pub(crate) async fn switch(
    clients: &SwitchClients,
    binding: &AliasBinding,
    attempt: &Attempt,
    revision: &str,
) -> Result<()> {
    let version = publish(clients, binding, attempt).await?;
    let to = AliasTarget {
        version,
        routing: std::collections::BTreeMap::new(),
    };
    lead(clients, binding, &to, revision).await?;
    match binding.provisioned {
        Some(_) => await_provisioned(clients, binding).await,
        None => Ok(()),
    }
}

/// Leads the alias where it led before.
pub(crate) async fn restore(
    clients: &SwitchClients,
    binding: &AliasBinding,
    revision: &str,
) -> Result<()> {
    lead(clients, binding, &binding.before, revision).await
}

/// Leads the alias where it led before, wherever somebody has led it since.
pub(crate) async fn overwrite(clients: &SwitchClients, binding: &AliasBinding) -> Result<()> {
    let now = get(clients, binding).await?;
    lead(clients, binding, &binding.before, &now.revision).await
}

/// Leads the share that goes to the switch's version where it went before, and leaves what somebody
/// else made of the rest.
pub(crate) async fn take_out(clients: &SwitchClients, binding: &AliasBinding) -> Result<()> {
    let now = get(clients, binding).await?;
    let mut to = now.target.clone();
    if is_switched(clients, binding, &to.version).await? {
        to.version.clone_from(&binding.before.version);
    }
    for version in now.target.routing.keys() {
        if *version == to.version || is_switched(clients, binding, version).await? {
            to.routing.remove(version);
        }
    }
    lead(clients, binding, &to, &now.revision).await
}

/// Leads the alias there under the revision it was read at, and reads back.
async fn lead(
    clients: &SwitchClients,
    binding: &AliasBinding,
    to: &AliasTarget,
    revision: &str,
) -> Result<()> {
    let weights: HashMap<String, f64> = to
        .routing
        .iter()
        .map(|(version, weight)| (version.clone(), weight.share()))
        .collect();
    // An empty map takes the weights away; one that is left out would keep them.
    let routing = AliasRoutingConfiguration::builder()
        .set_additional_version_weights(Some(weights))
        .build();
    let call = clients
        .lambda
        .update_alias()
        .function_name(&binding.function)
        .name(&binding.alias)
        .function_version(&to.version)
        .routing_config(routing)
        .revision_id(revision);
    let failure = match Box::pin(call.send()).await {
        Ok(_) => None,
        Err(error) => {
            let is_stale = aws::code(&error) == Some("PreconditionFailedException");
            let doing = format!("could not lead {} to another version", told(binding));
            let failure = aws::failure(&error, doing, "lambda:UpdateAlias");
            if !is_stale {
                return Err(failure);
            }
            Some(failure)
        }
    };
    // A stale revision: the answer to an earlier attempt of ours may have been lost.
    let now = get(clients, binding).await?;
    if now.target == *to {
        return Ok(());
    }
    let changed = drifted(&told(binding), &["where it leads".to_owned()]);
    Err(match failure {
        Some(failure) => changed.because(failure),
        None => changed,
    })
}

/// Publishes the function as the switch made it, and waits until the version can be called. Safe to
/// repeat: Lambda gives the same version again while nothing has changed.
async fn publish(
    clients: &SwitchClients,
    binding: &AliasBinding,
    attempt: &Attempt,
) -> Result<String> {
    for round in 0..PUBLISH_ATTEMPTS {
        let latest = lambda::read(clients, &binding.function).await?;
        require_switched(binding, &latest, "$LATEST")?;
        let call = clients
            .lambda
            .publish_version()
            .function_name(&binding.function)
            .code_sha256(&binding.code)
            .revision_id(&latest.revision)
            .description(format!("towpath {attempt}"));
        match Box::pin(call.send()).await {
            Ok(published) => {
                let version = published.version.unwrap_or_default();
                let qualifier = Some(version.as_str());
                let published = lambda::read_version(clients, &binding.function, qualifier).await?;
                // The service has compared code and revision; this is the second pair of eyes.
                require_switched(binding, &published, &format!("version {version}"))?;
                let names = difference(&published, &latest);
                if !names.is_empty() {
                    return Err(drifted(&told(binding), &names));
                }
                return Ok(version);
            }
            Err(error) => match aws::code(&error) {
                // Something changed since it was read: what it is now is looked at above.
                Some("PreconditionFailedException" | "ResourceConflictException") => {
                    sleep(Duration::from_millis(250) * 2u32.pow(round)).await;
                }
                _ => {
                    return Err(aws::failure(
                        &error,
                        format!("could not publish a version of lambda {}", binding.function),
                        "lambda:PublishVersion",
                    ));
                }
            },
        }
    }
    Err(Failure::new(
        ErrorKind::Aws,
        format!(
            "could not publish a version of lambda {}: other updates kept it busy",
            binding.function
        ),
    )
    .hint("wait until deployments of the function are done, then run the same command again"))
}

fn require_switched(binding: &AliasBinding, found: &FunctionState, what: &str) -> Result<()> {
    if found.code != binding.code {
        let failure = drifted(&told(binding), &[format!("the code of {what}")]);
        return Err(failure.hint("code was deployed during the cutover; it is not released by towpath: release it yourself, then run the command again"));
    }
    if found.variables != binding.after_variables {
        return Err(drifted(
            &told(binding),
            &[format!("the variables of {what}")],
        ));
    }
    match &found.failed {
        None => Ok(()),
        Some(reason) => Err(reason.explain(Failure::new(
            ErrorKind::Aws,
            format!("{what} of lambda {} cannot be called", binding.function),
        ))),
    }
}

/// Provisioned concurrency of an alias or a version.
#[derive(Debug)]
struct Provisioned {
    requested: i32,
    status: Option<ProvisionedConcurrencyStatusEnum>,
    reason: String,
}

async fn provisioned(
    clients: &SwitchClients,
    function: &str,
    qualifier: &str,
) -> Result<Option<Provisioned>> {
    let call = clients
        .lambda
        .get_provisioned_concurrency_config()
        .function_name(function)
        .qualifier(qualifier);
    match Box::pin(call.send()).await {
        Ok(found) => Ok(Some(Provisioned {
            requested: found
                .requested_provisioned_concurrent_executions
                .unwrap_or_default(),
            status: found.status,
            reason: aws::without_values(found.status_reason.as_deref().unwrap_or_default()),
        })),
        Err(error) => match aws::code(&error) {
            Some("ProvisionedConcurrencyConfigNotFoundException" | "ResourceNotFoundException") => {
                Ok(None)
            }
            _ => Err(aws::failure(
                &error,
                format!(
                    "could not read the provisioned concurrency of lambda {function}:{qualifier}"
                ),
                "lambda:GetProvisionedConcurrencyConfig",
            )),
        },
    }
}

/// Waits while Lambda moves provisioned environments to the new version. They start with the new
/// configuration, so a failure is the function's own. Time that runs out is none: the alias answers
/// without them, more slowly.
async fn await_provisioned(clients: &SwitchClients, binding: &AliasBinding) -> Result<()> {
    let deadline = Instant::now() + clients.update_wait();
    let mut pause = Duration::from_millis(500);
    while let Some(found) = provisioned(clients, &binding.function, &binding.alias).await? {
        match found.status {
            Some(ProvisionedConcurrencyStatusEnum::InProgress) if Instant::now() < deadline => {
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            Some(ProvisionedConcurrencyStatusEnum::Failed) => {
                return Err(Failure::new(
                    ErrorKind::Aws,
                    format!("the provisioned environments of {} do not start", told(binding)),
                )
                .because(found.reason)
                .hint("the function's log group says why (does it connect while it starts, and reach the target?)"));
            }
            _ => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::Network;
    use towpath_model::connection::Secret;

    fn leads(version: &str, routing: &[(&str, f64)]) -> AliasTarget {
        AliasTarget {
            version: version.to_owned(),
            routing: routing
                .iter()
                .map(|&(version, share)| (version.to_owned(), Weight::of(share)))
                .collect(),
        }
    }

    fn binding(before: AliasTarget) -> AliasBinding {
        AliasBinding {
            function: "f".to_owned(),
            alias: "live".to_owned(),
            before,
            code: "sha".to_owned(),
            before_variables: Variables::new(),
            after_variables: Variables::new(),
            provisioned: None,
        }
    }

    fn judged(before: AliasTarget, now: AliasTarget, ours: &[bool]) -> String {
        let now = AliasState {
            name: "live".to_owned(),
            revision: "r".to_owned(),
            target: now,
        };
        match judge(&now, &binding(before), ours) {
            Stand::Before(_) => "before".to_owned(),
            Stand::After(_) => "after".to_owned(),
            Stand::Between(_) => "between".to_owned(),
            Stand::Drifted(drift) => format!("{:?} {}", drift.names, drift.holds_ours),
        }
    }

    #[test]
    fn an_alias_is_switched_at_a_step_or_somebody_elses() {
        let at = |version, routing: &[(&str, f64)], ours: &[bool]| {
            judged(leads("3", &[]), leads(version, routing), ours)
        };
        assert_eq!(at("4", &[], &[true]), "after");
        assert_eq!(at("3", &[("4", 0.1)], &[false, true]), "between");
        assert_eq!(
            at("3", &[("5", 0.1)], &[false, false]),
            "[\"RoutingConfig\"] false"
        );
        assert_eq!(at("5", &[], &[false]), "[\"FunctionVersion\"] false");
        assert_eq!(
            at("5", &[("4", 0.5)], &[false, true]),
            "[\"FunctionVersion\"] true"
        );
        assert_eq!(
            at("4", &[("5", 0.5)], &[true, false]),
            "[\"FunctionVersion\"] true"
        );
        // Somebody's own canary is not one of our steps.
        let canary = || leads("3", &[("2", 0.25)]);
        assert_eq!(judged(canary(), leads("4", &[]), &[true]), "after");
        assert_eq!(
            judged(canary(), leads("3", &[]), &[false]),
            "[\"RoutingConfig\"] false"
        );
    }

    fn function(url: &str, code: &str, memory: &str) -> FunctionState {
        FunctionState {
            revision: "r".to_owned(),
            variables: [("URL".to_owned(), Secret::new(url))].into(),
            network: Network::default(),
            code: code.to_owned(),
            has_snap_start: false,
            settings: vec![("MemorySize", memory.to_owned())],
            failed: None,
        }
    }

    #[test]
    fn whatever_was_never_released_is_named() {
        let published = function("hunter2", "sha", "128");
        assert!(difference(&published, &function("hunter2", "sha", "128")).is_empty());
        let names = difference(&published, &function("hunter3", "other", "256"));
        assert_eq!(names, ["its code", "URL", "MemorySize"]);
    }
}
