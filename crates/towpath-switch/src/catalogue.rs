//! What there is to look at: functions as they are listed, whole configuration included, and
//! parameters below a path. One call lists fifty functions, so nothing is asked of a function that
//! its listing tells already.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::types::{FunctionVersion, PackageType};
use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::carrier::Variables;
use crate::clients::{Place, SwitchClients};
use crate::options::Selection;
use crate::parameter::ParameterState;
use crate::{aws, lambda, tasks};

/// How many things are read at once.
pub(crate) const JOBS: usize = 16;

/// Tags of a function.
pub(crate) type Tags = BTreeMap<String, String>;

/// A function as it was listed.
#[derive(Debug)]
pub(crate) struct Listed {
    /// What it is called from here on: its name where that is enough, its ARN elsewhere.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) revision: String,
    pub(crate) runtime: Option<String>,
    pub(crate) is_image: bool,
    pub(crate) layers: usize,
    /// The main function, of a replica of Lambda@Edge.
    pub(crate) main: Option<String>,
    /// Nothing where they cannot be read.
    pub(crate) variables: Option<Variables>,
    /// Nothing where nobody asked for them yet.
    pub(crate) tags: Option<Tags>,
    /// Variables of published versions, by their numbers.
    pub(crate) versions: Vec<(String, Variables)>,
}

/// The answers of two calls with the same fields and different types.
macro_rules! listed {
    ($found:expr) => {{
        let found = $found;
        let environment = found.environment();
        // A map that is not told is no empty map: see `lambda::read`.
        let variables = match environment {
            None => Some(Variables::new()),
            Some(environment) if environment.error().is_some() => None,
            Some(environment) => environment.variables().map(|variables| {
                let hidden = variables.iter();
                hidden
                    .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
                    .collect()
            }),
        };
        let name = found.function_name().unwrap_or_default();
        Listed {
            id: name.to_owned(),
            name: name.to_owned(),
            arn: unqualified(found.function_arn().unwrap_or_default()),
            revision: found.revision_id().unwrap_or_default().to_owned(),
            runtime: found.runtime().map(|runtime| runtime.as_str().to_owned()),
            is_image: found.package_type() == Some(&PackageType::Image),
            layers: found.layers().len(),
            main: found.master_arn().map(str::to_owned),
            variables,
            tags: None,
            versions: Vec::new(),
        }
    }};
}

/// An ARN without the version or the alias that it may end in: listings of versions say `$LATEST`,
/// and an ARN that is given may name an alias. Tags and updates take neither.
fn unqualified(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(8, ':').take(7).collect();
    parts.join(":")
}

/// The selected functions of every place, each once, in order.
pub(crate) async fn functions(
    clients: &SwitchClients,
    selection: &Selection,
) -> Result<Vec<Listed>> {
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    let mut sought: BTreeSet<&String> = selection.names.iter().collect();
    let places = clients.places().iter();
    let looked = places.map(async |place| Box::pin(at_place(clients, place, selection)).await);
    for listed in Box::pin(tasks::all(JOBS, looked)).await {
        for listed in listed? {
            sought.retain(|name| **name != listed.name && **name != listed.arn);
            found.insert(listed.arn.clone(), listed);
        }
    }
    let named = sought.into_iter();
    let got = named.map(async |name| Box::pin(named_function(clients, name)).await);
    for listed in Box::pin(tasks::all(JOBS, got)).await {
        let listed = listed?;
        // A name and an ARN of one function select it once, and the name is enough.
        let is_shorter = |known: &Listed| known.id.len() <= listed.id.len();
        if !found.get(&listed.arn).is_some_and(is_shorter) {
            found.insert(listed.arn.clone(), listed);
        }
    }
    let mut found: Vec<Listed> = found.into_values().collect();
    found.sort_by(|one, two| one.id.cmp(&two.id));
    Ok(found)
}

/// A function that is named, where no listing has shown it.
async fn named_function(clients: &SwitchClients, name: &str) -> Result<Listed> {
    let is_arn = name.starts_with("arn:");
    if !is_arn && clients.has_places() {
        return Err(Failure::new(
            ErrorKind::Config,
            format!("none of the places of this run has a Lambda function {name}"),
        )
        .hint("check switch.functions, switch.regions and switch.roles"));
    }
    let here = clients.at(name).patient();
    let name = match is_arn {
        true => unqualified(name),
        false => name.to_owned(),
    };
    let mut listed = listed!(&lambda::configuration(&here, &name, None).await?);
    listed.versions = versions(&here, &listed.name).await?;
    if is_arn {
        listed.id.clone_from(&listed.arn);
    }
    Ok(listed)
}

async fn versions(here: &SwitchClients, function: &str) -> Result<Vec<(String, Variables)>> {
    let list = here.lambda.list_versions_by_function();
    let mut pages = list.function_name(function).into_paginator().send();
    let mut versions = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                format!("could not list the versions of lambda {function}"),
                "lambda:ListVersionsByFunction",
            )
        })?;
        for found in page.versions.unwrap_or_default() {
            let variables = listed!(&found).variables;
            let version = found.version.filter(|version| version != "$LATEST");
            versions.extend(version.zip(variables));
        }
    }
    Ok(versions)
}

async fn at_place(
    clients: &SwitchClients,
    place: &Place,
    selection: &Selection,
) -> Result<Vec<Listed>> {
    let here = clients.at_place(place).patient();
    // A name alone does not say at which of several places it is.
    let looks_for_names = clients.has_places() && has_plain_names(selection);
    if !looks_for_names && !selection.needs_list() {
        return Ok(Vec::new());
    }
    let mut listed = list(&here).await?;
    if clients.has_places() {
        for function in &mut listed {
            function.id.clone_from(&function.arn);
        }
    }
    let by_tag = !selection.tags.is_empty() || !selection.stacks.is_empty();
    if by_tag {
        let open = listed
            .iter_mut()
            .filter(|function| !is_selected_by_name(function, selection));
        read_tags(&here, open).await?;
    }
    listed.retain(|function| {
        is_selected_by_name(function, selection)
            || function
                .tags
                .as_ref()
                .is_some_and(|tags| is_selected_by_tag(tags, selection))
    });
    Ok(listed)
}

fn has_plain_names(selection: &Selection) -> bool {
    selection.names.iter().any(|name| !name.starts_with("arn:"))
}

fn is_selected_by_name(function: &Listed, selection: &Selection) -> bool {
    let begins = |prefix: &String| function.name.starts_with(prefix.as_str());
    let is_it = |name: &String| *name == function.name || *name == function.arn;
    selection.all || selection.prefixes.iter().any(begins) || selection.names.iter().any(is_it)
}

fn is_selected_by_tag(tags: &Tags, selection: &Selection) -> bool {
    let has = |(key, value): &(String, String)| tags.get(key) == Some(value);
    let of_stack = |stack: &String| tags.get(STACK_TAG) == Some(stack);
    (!selection.tags.is_empty() && selection.tags.iter().all(has))
        || selection.stacks.iter().any(of_stack)
}

const STACK_TAG: &str = "aws:cloudformation:stack-name";

/// Published versions are listed along: an alias may lead to one that has what `$LATEST` lost long
/// ago, and asking every function for its aliases would take a call for each.
async fn list(here: &SwitchClients) -> Result<Vec<Listed>> {
    let list = here.lambda.list_functions();
    let list = list.function_version(FunctionVersion::All);
    let mut pages = list.into_paginator().send();
    let mut listed: Vec<Listed> = Vec::new();
    let mut versions: BTreeMap<String, Vec<(String, Variables)>> = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                format!("could not list the Lambda functions of {}", here.place()),
                "lambda:ListFunctions",
            )
        })?;
        for function in page.functions.unwrap_or_default() {
            let found = listed!(&function);
            match (function.version.filter(|it| it != "$LATEST"), found) {
                (None, found) => listed.push(found),
                (Some(version), found) => {
                    let known = versions.entry(found.name).or_default();
                    known.extend(found.variables.map(|variables| (version, variables)));
                }
            }
        }
    }
    for function in &mut listed {
        function.versions = versions.remove(&function.name).unwrap_or_default();
    }
    Ok(listed)
}

/// Reads the tags of functions, as many at once as the service is likely to bear.
pub(crate) async fn read_tags<'a>(
    here: &SwitchClients,
    functions: impl Iterator<Item = &'a mut Listed>,
) -> Result<()> {
    let read = functions.map(async |function| {
        let clients = here.at(&function.arn).patient();
        let tags = lambda::tags(&clients, &function.arn).await?;
        function.tags = Some(tags.into_iter().collect());
        Ok(())
    });
    let read: Vec<Result<()>> = Box::pin(tasks::all(JOBS, read)).await;
    read.into_iter().collect()
}

/// Who answers for a function by its tags: what deploys it, and would put the old values back.
pub(crate) fn owner(tags: &Tags) -> Option<String> {
    let is_set = |key: &str, value: &str| {
        tags.get(key)
            .is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    if let Some(stack) = tags.get(STACK_TAG) {
        let tool = if is_set("lambda:createdBy", "SAM") {
            " (AWS SAM)"
        } else if tags.contains_key("serverless:service") || tags.contains_key("STAGE") {
            " (Serverless Framework)"
        } else if tags.keys().any(|key| key.starts_with("aws-cdk:")) {
            " (AWS CDK)"
        } else {
            ""
        };
        return Some(format!("CloudFormation stack {stack}{tool}"));
    }
    // These tools mark nothing of themselves; these are the tags that people give.
    for tool in [
        "Terraform",
        "OpenTofu",
        "Pulumi",
        "Serverless",
        "CDK",
        "SAM",
    ] {
        let names_tool = |(key, value): (&String, &String)| {
            let key = key.to_ascii_lowercase();
            let says = |text: &str| text.eq_ignore_ascii_case(tool);
            let keeper = [
                "managed-by",
                "managedby",
                "managed_by",
                "provisioner",
                "createdby",
            ];
            (keeper.contains(&key.as_str()) && says(value))
                || (key == tool.to_ascii_lowercase() && !value.eq_ignore_ascii_case("false"))
                || key.starts_with(&format!("{}:", tool.to_ascii_lowercase()))
        };
        if tags.iter().any(names_tool) {
            return Some(tool.to_owned());
        }
    }
    None
}

/// Parameters below a path, however deep.
pub(crate) async fn parameters_below(
    here: &SwitchClients,
    path: &str,
    named: &str,
) -> Result<Vec<ParameterState>> {
    let mut pages = here
        .parameters
        .get_parameters_by_path()
        .path(path)
        .recursive(true)
        .with_decryption(true)
        .into_paginator()
        .send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            aws::failure(
                &error,
                format!("could not read the parameters below {named}"),
                "ssm:GetParametersByPath (and kms:Decrypt, where they have their own key)",
            )
        })?;
        let parameters = page.parameters.unwrap_or_default().into_iter();
        found.extend(parameters.map(|parameter| ParameterState {
            name: parameter.name.unwrap_or_default(),
            arn: parameter.arn.unwrap_or_default(),
            version: parameter.version,
            value: Secret::new(parameter.value.unwrap_or_default()),
            selector: None,
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_loses_its_qualifier() {
        let arn = "arn:aws:lambda:eu-west-1:111122223333:function:orders-api";
        for given in [
            arn.to_owned(),
            format!("{arn}:$LATEST"),
            format!("{arn}:live"),
        ] {
            assert_eq!(unqualified(&given), arn);
        }
    }

    #[test]
    fn owners_are_known_by_the_marks_of_their_tools() {
        let owner = |tags: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            owner(&tags.iter().map(owned).collect())
        };
        assert_eq!(
            owner(&[(STACK_TAG, "shop"), ("lambda:createdBy", "SAM")]).as_deref(),
            Some("CloudFormation stack shop (AWS SAM)")
        );
        assert_eq!(
            owner(&[("ManagedBy", "terraform")]).as_deref(),
            Some("Terraform")
        );
        assert_eq!(
            owner(&[("terraform", "true")]).as_deref(),
            Some("Terraform")
        );
        assert_eq!(owner(&[("terraform", "false"), ("team", "sam")]), None);
    }
}
