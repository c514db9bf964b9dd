//! Functions: their whole variable map and, where that changes too, their VPC configuration, read
//! and written in one update under the revision they were read at.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::{Environment, LastUpdateStatus, SnapStartApplyOn, State, VpcConfig};
use tokio::time::{Instant, sleep};
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::binding::{Comparison, Drift, FunctionBinding, Network, Stand, compare};
use crate::carrier::Variables;
use crate::clients::SwitchClients;
use crate::status;

/// What Lambda allows for all variables of a function together.
pub(crate) const LIMIT_BYTES: usize = 4096;

/// How a drift in the VPC configuration is named among the names of variables.
pub(crate) const NETWORK: &str = "VpcConfig";

const BUSY_ATTEMPTS: u32 = 8;

/// The size of a map as Lambda measures it: the bytes of its JSON text. The refusal quotes that
/// text as the "string measured".
pub(crate) fn size_bytes(variables: &Variables) -> usize {
    let plain: std::collections::BTreeMap<&str, &str> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.reveal()))
        .collect();
    serde_json::to_vec(&plain).map_or(usize::MAX, |json| json.len())
}

/// A function as it was read.
#[derive(Debug)]
pub(crate) struct FunctionState {
    pub(crate) revision: String,
    pub(crate) variables: Variables,
    pub(crate) network: Network,
    /// `CodeSha256`.
    pub(crate) code: String,
    /// Whether published versions start from a snapshot of an initialised environment.
    pub(crate) has_snap_start: bool,
    /// Every other setting that a published version keeps, by name.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Why the last update failed, if it did.
    pub(crate) failed: Option<status::Reason>,
}

/// Reads a function once no update of it is under way: the revision changes again when an update
/// settles.
pub(crate) async fn read(clients: &SwitchClients, function: &str) -> Result<FunctionState> {
    read_version(clients, function, None).await
}

/// Reads a published version, or what an alias leads to, once it can be called; `$LATEST` without
/// a qualifier.
pub(crate) async fn read_version(
    clients: &SwitchClients,
    function: &str,
    qualifier: Option<&str>,
) -> Result<FunctionState> {
    let limit = clients.update_wait();
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(100);
    loop {
        let found = configuration(clients, function, qualifier).await?;
        if !is_busy(&found) {
            return state(function, found);
        }
        if Instant::now() >= deadline {
            return Err(still_busy(function, &found, limit));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn still_busy(function: &str, found: &GetFunctionConfigurationOutput, limit: Duration) -> Failure {
    let failure = Failure::new(
        ErrorKind::Aws,
        format!(
            "lambda {function} was still being updated after {} s",
            limit.as_secs()
        ),
    );
    let failure = match found.state_reason_code() {
        Some(code) => failure.because(format!("State is {}", code.as_str())),
        None => failure,
    };
    failure.hint("look at the function's LastUpdateStatus; switch.update_wait_s allows more time; the same command resumes")
}

/// Reads a configuration as it is at this moment, an update under way or not.
pub(crate) async fn configuration(
    clients: &SwitchClients,
    function: &str,
    qualifier: Option<&str>,
) -> Result<GetFunctionConfigurationOutput> {
    let call = clients
        .lambda
        .get_function_configuration()
        .function_name(function)
        .set_qualifier(qualifier.map(str::to_owned));
    Box::pin(call.send()).await.map_err(|error| {
        aws::failure(
            &error,
            format!("could not read the configuration of lambda {function}"),
            "lambda:GetFunctionConfiguration",
        )
    })
}

fn is_busy(found: &GetFunctionConfigurationOutput) -> bool {
    found.last_update_status() == Some(&LastUpdateStatus::InProgress)
        || found.state() == Some(&State::Pending)
}

fn state(function: &str, found: GetFunctionConfigurationOutput) -> Result<FunctionState> {
    let failed = (found.last_update_status() == Some(&LastUpdateStatus::Failed)).then(|| {
        status::Reason::of(
            found.last_update_status_reason_code().map(AsRef::as_ref),
            found.last_update_status_reason(),
        )
    });
    let variables = match found.environment() {
        None => Variables::new(),
        Some(environment) => {
            if let Some(error) = environment.error() {
                return Err(unreadable(function, error.error_code()));
            }
            let Some(variables) = environment.variables() else {
                return Err(unreadable(function, None));
            };
            variables
                .iter()
                .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
                .collect()
        }
    };
    Ok(FunctionState {
        revision: found.revision_id().unwrap_or_default().to_owned(),
        variables,
        network: network(&found),
        code: found.code_sha256().unwrap_or_default().to_owned(),
        has_snap_start: found
            .snap_start()
            .and_then(|snap_start| snap_start.apply_on())
            == Some(&SnapStartApplyOn::PublishedVersions),
        settings: settings(&found),
        failed,
    })
}

fn network(found: &GetFunctionConfigurationOutput) -> Network {
    let Some(config) = found.vpc_config() else {
        return Network::default();
    };
    Network {
        subnets: config.subnet_ids().to_vec(),
        security_groups: config.security_group_ids().to_vec(),
        ipv6: config.ipv6_allowed_for_dual_stack(),
    }
}

/// What a version keeps besides code, variables and VPC configuration. None of it holds a secret.
fn settings(found: &GetFunctionConfigurationOutput) -> Vec<(&'static str, String)> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let layers = found.layers().iter().filter_map(|layer| layer.arn());
    let mounts = found.file_system_configs().iter();
    let mounts = mounts.map(|mount| format!("{} {}", mount.arn(), mount.local_mount_path()));
    vec![
        ("Runtime", text(found.runtime().map(AsRef::as_ref))),
        ("Handler", text(found.handler())),
        ("Role", text(found.role())),
        ("Timeout", format!("{:?}", found.timeout())),
        ("MemorySize", format!("{:?}", found.memory_size())),
        ("KMSKeyArn", text(found.kms_key_arn())),
        ("Layers", layers.collect::<Vec<_>>().join(" ")),
        ("FileSystemConfigs", mounts.collect::<Vec<_>>().join(" ")),
        ("Architectures", format!("{:?}", found.architectures())),
        (
            "EphemeralStorage",
            format!("{:?}", found.ephemeral_storage().map(|it| it.size())),
        ),
        (
            "TracingConfig",
            format!("{:?}", found.tracing_config().and_then(|it| it.mode())),
        ),
        (
            "DeadLetterConfig",
            text(found.dead_letter_config().and_then(|it| it.target_arn())),
        ),
        (
            "ImageConfig",
            format!(
                "{:?}",
                found
                    .image_config_response()
                    .and_then(|it| it.image_config())
            ),
        ),
        (
            "SnapStart",
            format!("{:?}", found.snap_start().and_then(|it| it.apply_on())),
        ),
    ]
}

/// A map that cannot be read must not be written: a write replaces it whole.
fn unreadable(function: &str, code: Option<&str>) -> Failure {
    let failure = Failure::new(
        ErrorKind::Blocked,
        format!("the variables of lambda {function} cannot be read, so they cannot be switched"),
    )
    .hint("the identity towpath runs under needs kms:Decrypt on the function's key");
    match code {
        Some(code) => failure.because(code.to_owned()),
        None => failure,
    }
}

/// What a write replaces at once; without a network, the VPC configuration stays as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) variables: &'a Variables,
    pub(crate) network: Option<&'a Network>,
}

impl Held<'_> {
    fn is_in(self, now: &FunctionState) -> bool {
        now.variables == *self.variables && self.network.is_none_or(|it| *it == now.network)
    }
}

impl FunctionBinding {
    /// What it holds before the switch.
    pub(crate) fn held_before(&self) -> Held<'_> {
        Held {
            variables: &self.before,
            network: self.network.as_ref().map(|change| &change.before),
        }
    }

    /// What it holds after the switch.
    pub(crate) fn held_after(&self) -> Held<'_> {
        Held {
            variables: &self.after,
            network: self.network.as_ref().map(|change| &change.after),
        }
    }
}

/// Where a function stands between before and after.
pub(crate) async fn stand(clients: &SwitchClients, binding: &FunctionBinding) -> Result<Stand> {
    let now = read(clients, &binding.function).await?;
    Ok(compare_state(&now, binding).proven_by(&now.revision))
}

fn compare_state(now: &FunctionState, binding: &FunctionBinding) -> Comparison {
    let variables = compare(&now.variables, &binding.before, &binding.after);
    let Some(change) = &binding.network else {
        return variables;
    };
    let at_before = now.network == change.before;
    let at_after = now.network == change.after;
    let moved = at_after && !at_before;
    match variables {
        Comparison::Before if at_before => Comparison::Before,
        // Nothing but the network changes: the variables are those of both sides.
        Comparison::Before if at_after && binding.before == binding.after => Comparison::After,
        Comparison::After if at_after => Comparison::After,
        Comparison::Before => network_drift(Vec::new(), moved),
        Comparison::After => network_drift(Vec::new(), true),
        Comparison::Drifted(drift) if at_before || at_after => Comparison::Drifted(Drift {
            holds_ours: drift.holds_ours || moved,
            ..drift
        }),
        Comparison::Drifted(drift) => network_drift(drift.names, drift.holds_ours),
    }
}

fn network_drift(mut names: Vec<String>, holds_ours: bool) -> Comparison {
    names.push(NETWORK.to_owned());
    Comparison::Drifted(Drift { names, holds_ours })
}

/// Writes what the function holds after the switch, under the revision that proves what it held.
pub(crate) async fn switch(
    clients: &SwitchClients,
    binding: &FunctionBinding,
    revision: String,
) -> Result<()> {
    let (from, to) = (binding.held_before(), binding.held_after());
    write(clients, binding, from, to, revision).await
}

/// Writes what the function held before the switch.
pub(crate) async fn restore(
    clients: &SwitchClients,
    binding: &FunctionBinding,
    revision: String,
) -> Result<()> {
    let (from, to) = (binding.held_after(), binding.held_before());
    write(clients, binding, from, to, revision).await
}

/// Replaces `from` by `to` under the revision at which `from` was read, waits until the update has
/// taken effect, and reads back.
pub(crate) async fn write(
    clients: &SwitchClients,
    binding: &FunctionBinding,
    from: Held<'_>,
    to: Held<'_>,
    mut revision: String,
) -> Result<()> {
    let function = binding.function.as_str();
    for attempt in 0..BUSY_ATTEMPTS {
        match put(clients, function, to, &revision).await? {
            Put::Taken => return confirm(clients, function, to).await,
            // The answer to an earlier attempt of ours may have been lost: then it is there.
            Put::Stale => {
                let now = read(clients, function).await?;
                if to.is_in(&now) {
                    return confirm(clients, function, to).await;
                }
                return Err(changed(binding, &now));
            }
            Put::Busy => {
                sleep(Duration::from_millis(500) * 2u32.pow(attempt.min(4))).await;
                let now = read(clients, function).await?;
                if to.is_in(&now) {
                    return confirm(clients, function, to).await;
                }
                if !from.is_in(&now) {
                    return Err(changed(binding, &now));
                }
                revision = now.revision;
            }
        }
    }
    Err(Failure::new(
        ErrorKind::Aws,
        format!("could not update lambda {function}: other updates kept it busy"),
    )
    .hint("wait until deployments of the function are done, then run the same command again"))
}

enum Put {
    Taken,
    /// The revision is no longer the one we read.
    Stale,
    /// Another update is under way.
    Busy,
}

async fn put(clients: &SwitchClients, function: &str, to: Held<'_>, revision: &str) -> Result<Put> {
    let plain: HashMap<String, String> = to
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    let call = clients
        .lambda
        .update_function_configuration()
        .function_name(function)
        .environment(Environment::builder().set_variables(Some(plain)).build())
        .set_vpc_config(to.network.map(vpc_config))
        .revision_id(revision);
    let Err(error) = Box::pin(call.send()).await else {
        return Ok(Put::Taken);
    };
    match aws::code(&error) {
        Some("PreconditionFailedException") => Ok(Put::Stale),
        Some("ResourceConflictException") => Ok(Put::Busy),
        _ => Err(refused(function, to, &error)),
    }
}

/// Empty lists take a function out of its VPC; lists that are left out would leave it there.
fn vpc_config(network: &Network) -> VpcConfig {
    VpcConfig::builder()
        .set_subnet_ids(Some(network.subnets.clone()))
        .set_security_group_ids(Some(network.security_groups.clone()))
        .set_ipv6_allowed_for_dual_stack(network.ipv6)
        .build()
}

fn refused<R: std::fmt::Debug + 'static>(
    function: &str,
    to: Held<'_>,
    error: &SdkError<
        aws_sdk_lambda::operation::update_function_configuration::UpdateFunctionConfigurationError,
        R,
    >,
) -> Failure {
    let needs = if to.network.is_some() {
        "lambda:UpdateFunctionConfiguration, ec2:DescribeSubnets, ec2:DescribeSecurityGroups and ec2:DescribeVpcs (and kms:Encrypt, where the function has its own key)"
    } else {
        "lambda:UpdateFunctionConfiguration (and kms:Encrypt, where the function has its own key)"
    };
    let doing = format!("could not update the configuration of lambda {function}");
    aws::failure(error, doing, needs)
}

pub(crate) async fn confirm(clients: &SwitchClients, function: &str, to: Held<'_>) -> Result<()> {
    let now = read(clients, function).await?;
    if let Some(reason) = now.failed {
        let failure = Failure::new(
            ErrorKind::Aws,
            format!("lambda {function} could not take its new configuration into use"),
        );
        return Err(reason.explain(failure));
    }
    if !to.is_in(&now) {
        return Err(Failure::new(
            ErrorKind::Conflict,
            format!("lambda {function} does not hold the configuration just written"),
        )
        .hint("something else changed the function at the same time"));
    }
    Ok(())
}

fn changed(binding: &FunctionBinding, now: &FunctionState) -> Failure {
    let names = match compare_state(now, binding) {
        Comparison::Drifted(drift) => drift.names,
        _ => Vec::new(),
    };
    crate::binding::drifted(&format!("lambda {}", binding.function), &names)
}

/// The tags of a function.
pub(crate) async fn tags(clients: &SwitchClients, arn: &str) -> Result<HashMap<String, String>> {
    let call = clients.lambda.list_tags().resource(arn);
    let found = Box::pin(call.send()).await.map_err(|error| {
        aws::failure(
            &error,
            format!("could not read the tags of {arn}"),
            "lambda:ListTags",
        )
    })?;
    Ok(found.tags.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::NetworkChange;

    fn network(ids: &[&str]) -> Network {
        Network {
            subnets: ids.iter().map(|&id| id.to_owned()).collect(),
            security_groups: vec!["sg-1".to_owned()],
            ipv6: None,
        }
    }

    fn state(variable: &str, network: Network) -> FunctionState {
        FunctionState {
            revision: "r".to_owned(),
            variables: [("URL".to_owned(), Secret::new(variable))].into(),
            network,
            code: String::new(),
            has_snap_start: false,
            settings: Vec::new(),
            failed: None,
        }
    }

    #[test]
    fn a_function_is_where_both_its_variables_and_its_network_are() {
        let before = state("s", Network::default());
        let after = state("t", network(&["subnet-1", "subnet-2"]));
        let binding = FunctionBinding {
            function: "f".to_owned(),
            before: before.variables.clone(),
            after: after.variables.clone(),
            network: Some(NetworkChange {
                before: before.network.clone(),
                after: after.network.clone(),
            }),
            ..FunctionBinding::default()
        };
        let told = |variable: &str, network: Network| {
            let now = state(variable, network);
            match compare_state(&now, &binding) {
                Comparison::Drifted(Drift { names, holds_ours }) => {
                    format!("{} {holds_ours}", names.join(" "))
                }
                other => format!("{other:?}"),
            }
        };
        let none = Network::default;
        // The order of subnets means nothing.
        let ours = || network(&["subnet-2", "subnet-1"]);
        let theirs = || network(&["subnet-3"]);
        assert_eq!(told("s", none()), "Before");
        assert_eq!(told("t", ours()), "After");
        assert_eq!(told("s", ours()), "VpcConfig true");
        assert_eq!(told("t", none()), "VpcConfig true");
        assert_eq!(told("s", theirs()), "VpcConfig false");
        assert_eq!(told("x", none()), "URL false");
        assert_eq!(told("x", ours()), "URL true");
        assert_eq!(told("x", theirs()), "URL VpcConfig false");
        // A function that only reads what is switched keeps its variables.
        let reader = FunctionBinding {
            after: before.variables.clone(),
            ..binding.clone()
        };
        let at = |network| compare_state(&state("s", network), &reader);
        assert_eq!(at(none()), Comparison::Before);
        assert_eq!(at(ours()), Comparison::After);
        assert!(matches!(at(theirs()), Comparison::Drifted(_)));
        assert!(binding.held_before().is_in(&before) && !binding.held_after().is_in(&before));
    }
}
