//! Functions: their whole variable map, read and written under the revision it was read at.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::types::{Environment, LastUpdateStatus, State};
use tokio::time::{Instant, sleep};
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::aws;
use crate::binding::{FunctionBinding, Stand, compare};
use crate::carrier::Variables;
use crate::clients::SwitchClients;

/// What Lambda allows for all variables of a function together.
pub(crate) const LIMIT_BYTES: usize = 4096;

const SETTLE_LIMIT: Duration = Duration::from_secs(120);
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
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) variables: Variables,
    failed: Option<String>,
}

/// Reads a function once no update of it is under way: the revision changes again when an update
/// settles.
pub(crate) async fn read(clients: &SwitchClients, function: &str) -> Result<FunctionState> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut pause = Duration::from_millis(200);
    loop {
        let found = configuration(clients, function).await?;
        if !is_busy(&found) {
            return state(function, found);
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(
                ErrorKind::Aws,
                format!(
                    "lambda {function} was still being updated after {} s",
                    SETTLE_LIMIT.as_secs()
                ),
            )
            .hint("look at the function's LastUpdateStatus; the same command resumes"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

async fn configuration(
    clients: &SwitchClients,
    function: &str,
) -> Result<GetFunctionConfigurationOutput> {
    let call = clients
        .lambda
        .get_function_configuration()
        .function_name(function);
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
        found
            .last_update_status_reason_code()
            .map_or("no reason given", |code| code.as_str())
            .to_owned()
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
        name: found.function_name().unwrap_or(function).to_owned(),
        revision: found.revision_id().unwrap_or_default().to_owned(),
        variables,
        failed,
    })
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

/// Where a function stands between before and after.
pub(crate) async fn stand(clients: &SwitchClients, binding: &FunctionBinding) -> Result<Stand> {
    let now = read(clients, &binding.function).await?;
    Ok(compare(&now.variables, &binding.before, &binding.after).proven_by(&now.revision))
}

/// Replaces the whole map `from` by `to` under the revision at which `from` was read, waits until
/// the update has taken effect, and reads back.
pub(crate) async fn write(
    clients: &SwitchClients,
    binding: &FunctionBinding,
    from: &Variables,
    to: &Variables,
    mut revision: String,
) -> Result<()> {
    let function = binding.function.as_str();
    for attempt in 0..BUSY_ATTEMPTS {
        match put(clients, function, to, &revision).await? {
            Put::Taken => return confirm(clients, function, to).await,
            // The answer to an earlier attempt of ours may have been lost: then the map is there.
            Put::Stale => {
                let now = read(clients, function).await?;
                if now.variables == *to {
                    return confirm(clients, function, to).await;
                }
                return Err(changed(binding, &now.variables));
            }
            Put::Busy => {
                sleep(Duration::from_millis(500) * 2u32.pow(attempt.min(4))).await;
                let now = read(clients, function).await?;
                if now.variables != *from {
                    return Err(changed(binding, &now.variables));
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

async fn put(
    clients: &SwitchClients,
    function: &str,
    to: &Variables,
    revision: &str,
) -> Result<Put> {
    let plain: HashMap<String, String> = to
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    let call = clients
        .lambda
        .update_function_configuration()
        .function_name(function)
        .environment(Environment::builder().set_variables(Some(plain)).build())
        .revision_id(revision);
    let Err(error) = Box::pin(call.send()).await else {
        return Ok(Put::Taken);
    };
    match aws::code(&error) {
        Some("PreconditionFailedException") => Ok(Put::Stale),
        Some("ResourceConflictException") => Ok(Put::Busy),
        _ => Err(refused(function, &error)),
    }
}

fn refused<R: std::fmt::Debug>(
    function: &str,
    error: &SdkError<
        aws_sdk_lambda::operation::update_function_configuration::UpdateFunctionConfigurationError,
        R,
    >,
) -> Failure {
    aws::failure(
        error,
        format!("could not update the variables of lambda {function}"),
        "lambda:UpdateFunctionConfiguration (and kms:Encrypt, where the function has its own key)",
    )
}

async fn confirm(clients: &SwitchClients, function: &str, to: &Variables) -> Result<()> {
    let now = read(clients, function).await?;
    if let Some(reason) = now.failed {
        return Err(Failure::new(
            ErrorKind::Aws,
            format!("lambda {function} could not take its new variables into use"),
        )
        .because(format!("LastUpdateStatus is Failed: {reason}")));
    }
    if now.variables != *to {
        return Err(Failure::new(
            ErrorKind::Conflict,
            format!("lambda {function} does not hold the variables just written"),
        )
        .hint("something else changed the function at the same time"));
    }
    Ok(())
}

fn changed(binding: &FunctionBinding, now: &Variables) -> Failure {
    let names = match compare(now, &binding.before, &binding.after) {
        crate::binding::Comparison::Drifted(drift) => drift.names,
        _ => Vec::new(),
    };
    crate::binding::drifted(&format!("lambda {}", binding.function), &names)
}

/// Aliases that lead to published versions.
pub(crate) async fn pinned_aliases(clients: &SwitchClients, function: &str) -> Result<Vec<String>> {
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
        for alias in page.aliases() {
            let version = alias.function_version().unwrap_or_default();
            if version != "$LATEST" {
                pinned.push(format!("alias {}", alias.name().unwrap_or_default()));
            }
        }
    }
    Ok(pinned)
}

/// Every function as name and ARN.
pub(crate) async fn list(clients: &SwitchClients) -> Result<Vec<(String, String)>> {
    let mut pages = clients.lambda.list_functions().into_paginator().send();
    let mut functions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                "could not list the Lambda functions",
                "lambda:ListFunctions",
            )
        })?;
        for function in page.functions() {
            functions.push((
                function.function_name().unwrap_or_default().to_owned(),
                function.function_arn().unwrap_or_default().to_owned(),
            ));
        }
    }
    Ok(functions)
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
