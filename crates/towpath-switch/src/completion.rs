//! Completes a plan with what the services demand besides new values: labels of secrets, kinds of
//! parameters, the network of functions, aliases that lead to published versions, caches. Reads
//! only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use towpath_model::{ErrorKind, Failure, Result};

use crate::alias::{self, AliasState, Finding};
use crate::binding::{
    Binding, Change, FunctionBinding, Network, NetworkChange, SecretBinding, Subject, drifted,
};
use crate::carrier::{self, Variables};
use crate::clients::SwitchClients;
use crate::lambda::{self, FunctionState};
use crate::left::{Untouched, Why};
use crate::mapping::Mapping;
use crate::plan::SwitchPlan;
use crate::server::SourceServer;
use crate::value::Survey;
use crate::{parameter, secret, tasks};

/// The variable that ends the environments of a function which has nothing else to be changed.
const MARK: &str = "TOWPATH_SWITCHED";

/// How many things are read at once.
const JOBS: usize = 16;

/// What is done about environments that go on to use a secret or a parameter as they read it
/// before: AWS's own caching libraries do so for 300 s, and code may do so for as long as it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caches {
    /// The functions that read it get a variable that nothing reads, which makes Lambda start new
    /// environments for them.
    #[default]
    Recycle,
    /// The switch waits for this long before it asks the probes.
    Wait,
    /// Nothing.
    Ignore,
}

/// What the caller decides about functions besides their values.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Subnets that functions run in after the switch; without any they stay where they are.
    pub subnets: Vec<String>,
    /// Security groups they have there.
    pub security_groups: Vec<String>,
    /// What is done about caches.
    pub caches: Caches,
    /// The value of the variable that ends environments: the run's id.
    pub mark: String,
}

/// Something about a consumer that a person wants to know before the switch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// Whose it is, such as `lambda orders-api`.
    pub consumer: String,
    /// What there is to know. Names and numbers, never a value.
    pub what: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.consumer, self.what)
    }
}

/// Completes a plan.
pub async fn complete(
    clients: &SwitchClients,
    plan: &mut SwitchPlan,
    mapping: &Mapping,
    conditions: &Conditions,
) -> Result<()> {
    check(conditions)?;
    let clients = &clients.patient();
    Box::pin(complete_values(clients, plan)).await?;
    add_functions(plan, conditions);
    let server = SourceServer::of(mapping);
    let survey = Survey {
        server: &server,
        mapping,
        runtime: None,
    };
    Box::pin(complete_functions(clients, plan, conditions, survey)).await?;
    Box::pin(tell_versions_behind(clients, plan)).await?;
    plan.tell_sizes();
    plan.notes.sort();
    plan.notes.dedup();
    Ok(())
}

fn check(conditions: &Conditions) -> Result<()> {
    if conditions.subnets.is_empty() == conditions.security_groups.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Config,
        "switch.subnets and switch.security_groups belong together",
    )
    .hint("set both, or neither to leave functions in the network they are in"))
}

/// Secrets and parameters. What cannot be written leaves the plan and is told.
async fn complete_values(clients: &SwitchClients, plan: &mut SwitchPlan) -> Result<()> {
    let looked = tasks::all(
        JOBS,
        plan.bindings
            .iter_mut()
            .map(async |binding| complete_value(clients, binding).await),
    );
    let mut kept = Vec::new();
    let mut looked = Box::pin(looked).await.into_iter();
    for binding in std::mem::take(&mut plan.bindings) {
        let Some(found) = looked.next() else { break };
        let found = found?;
        let consumer = binding.name();
        let note = |what| Note {
            consumer: consumer.clone(),
            what,
        };
        plan.notes.extend(found.notes.into_iter().map(note));
        match found.obstacle {
            None => kept.push(binding),
            Some(obstacle) => plan.untouched.push(Untouched {
                consumer: consumer.clone(),
                variable: obstacle,
                why: Why::CannotBeWritten,
                owner: None,
            }),
        }
    }
    plan.bindings = kept;
    Ok(())
}

#[derive(Default)]
struct Looked {
    notes: Vec<String>,
    obstacle: Option<String>,
}

async fn complete_value(clients: &SwitchClients, binding: &mut Binding) -> Result<Looked> {
    let clients = &binding.clients(clients);
    match &mut binding.subject {
        Subject::Secret(secret) => complete_secret(clients, secret).await,
        Subject::Parameter(parameter) => {
            let mut looked = Looked::default();
            match parameter::shape(clients, &parameter.name).await {
                Ok(shape) => parameter.shape = shape,
                Err(failure) if failure.kind() == ErrorKind::Blocked => {
                    looked.obstacle = Some(obstacle_of(&failure));
                }
                Err(failure) => return Err(failure),
            }
            if let Err(failure) = parameter::check_size(parameter) {
                looked.obstacle = Some(obstacle_of(&failure));
            }
            Ok(looked)
        }
        Subject::Function(_) | Subject::Alias(_) => Ok(Looked::default()),
    }
}

fn obstacle_of(failure: &Failure) -> String {
    match failure.find_hint() {
        Some(hint) => format!("{failure}; {hint}"),
        None => failure.to_string(),
    }
}

async fn complete_secret(clients: &SwitchClients, secret: &mut SecretBinding) -> Result<Looked> {
    let facts = secret::facts(clients, &secret.arn).await?;
    let mut looked = Looked::default();
    if facts.rotates {
        looked.notes.push(
            "rotation is on: the next one writes a value of its own, for the server that its rotation function knows; suspend it, or point that function at the target (aws secretsmanager cancel-rotate-secret)".to_owned(),
        );
    }
    looked.obstacle = facts
        .obstacle
        .map(|(what, remedy)| format!("{what}; {remedy}"));
    secret.labels = facts.labels;
    Ok(looked)
}

/// Functions that read a secret or a parameter of the plan, by name, with the names of what they
/// read.
fn readers(bindings: &[Binding]) -> BTreeMap<String, BTreeSet<String>> {
    let mut readers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for binding in bindings {
        if matches!(binding.subject, Subject::Secret(_) | Subject::Parameter(_)) {
            for reader in &binding.readers {
                let read = readers.entry(reader.clone()).or_default();
                read.insert(binding.name());
            }
        }
    }
    readers
}

/// Adds bindings of functions that only read what is switched, where they need one.
fn add_functions(plan: &mut SwitchPlan, conditions: &Conditions) {
    if conditions.caches != Caches::Recycle && conditions.subnets.is_empty() {
        return;
    }
    for reader in readers(&plan.bindings).into_keys() {
        let is_known = plan.bindings.iter().any(|binding| {
            matches!(&binding.subject, Subject::Function(_)) && binding.readers.contains(&reader)
        });
        if !is_known {
            plan.bindings.push(Binding {
                subject: Subject::Function(FunctionBinding {
                    function: reader.clone(),
                    ..FunctionBinding::default()
                }),
                readers: vec![reader],
                changes: Vec::new(),
            });
        }
    }
}

/// What was decided about one function.
#[derive(Default)]
struct Decided {
    binding: Option<Binding>,
    aliases: Vec<Binding>,
    untouched: Vec<Untouched>,
    notes: Vec<String>,
}

async fn complete_functions(
    clients: &SwitchClients,
    plan: &mut SwitchPlan,
    conditions: &Conditions,
    survey: Survey<'_>,
) -> Result<()> {
    let read = readers(&plan.bindings);
    let (functions, others): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.bindings)
        .into_iter()
        .partition(|binding| matches!(binding.subject, Subject::Function(_)));
    let names: Vec<String> = functions.iter().map(Binding::name).collect();
    // Whatever was said of aliases before is said anew here, with what can be done.
    plan.untouched
        .retain(|it| it.why != Why::PublishedVersion || !names.contains(&it.consumer));
    let decided = functions
        .into_iter()
        .map(async |binding| complete_function(clients, binding, conditions, &read, survey).await);
    for (decided, name) in Box::pin(tasks::all(JOBS, decided))
        .await
        .into_iter()
        .zip(names)
    {
        let decided = decided?;
        plan.bindings.extend(decided.binding);
        plan.bindings.extend(decided.aliases);
        plan.untouched.extend(decided.untouched);
        let note = |what| Note {
            consumer: name.clone(),
            what,
        };
        plan.notes.extend(decided.notes.into_iter().map(note));
    }
    plan.bindings.extend(others);
    Ok(())
}

async fn complete_function(
    clients: &SwitchClients,
    mut binding: Binding,
    conditions: &Conditions,
    read: &BTreeMap<String, BTreeSet<String>>,
    survey: Survey<'_>,
) -> Result<Decided> {
    let clients = &binding.clients(clients);
    let name = binding.name();
    let Subject::Function(function) = &mut binding.subject else {
        return Ok(Decided::default());
    };
    let state = lambda::read(clients, &function.function).await?;
    let mut decided = Decided::default();
    if let Some(reason) = &state.failed {
        decided.notes.push(format!(
            "its last update, which was not towpath's, has failed ({}): it may still answer with what it had before",
            reason.told()
        ));
    }
    let rewrites = function.before != function.after;
    if rewrites {
        // A reading that lies a moment back may be older than a deployment.
        if state.variables != function.before {
            return Err(drifted(&name, &[]));
        }
    } else {
        function.before = state.variables.clone();
        function.after = state.variables.clone();
    }
    function.revision.clone_from(&state.revision);
    let reads = binding.readers.iter().filter_map(|reader| read.get(reader));
    let reads: Vec<&String> = reads.flatten().collect();
    if !rewrites && conditions.caches == Caches::Recycle {
        recycle(
            function,
            conditions,
            &mut binding.changes,
            &mut decided.notes,
        );
    }
    if !conditions.subnets.is_empty() {
        move_network(function, &state, conditions, &mut binding.changes);
        if function.network.is_some() && !state.network.is_vpc() {
            decided
                .notes
                .extend(loses_internet(&state.variables, &reads));
        }
    }
    if function.before == function.after && function.network.is_none() {
        return Ok(decided);
    }
    let function = function.clone();
    let concerns = |version: &Variables| !rewrites || points_at_source(version, survey);
    for alias in alias::pinned(clients, &function.function).await? {
        let looked = alias::examine(clients, &state, &function, &alias, &concerns);
        complete_alias(
            looked.await?,
            &function,
            &state,
            &alias,
            rewrites,
            &mut decided,
        );
    }
    for alias in &mut decided.aliases {
        alias.readers.clone_from(&binding.readers);
    }
    decided.binding = Some(binding);
    Ok(decided)
}

/// Adds the variable that ends environments, where there is room for it.
fn recycle(
    function: &mut FunctionBinding,
    conditions: &Conditions,
    changes: &mut Vec<Change>,
    notes: &mut Vec<String>,
) {
    let mark = towpath_model::connection::Secret::new(conditions.mark.clone());
    let mut marked = function.before.clone();
    let former = marked.insert(MARK.to_owned(), mark);
    if lambda::size_bytes(&marked) > lambda::LIMIT_BYTES {
        notes.push(format!(
            "its variables leave no room for {MARK}: environments that run keep what they have read from secrets and parameters until they end"
        ));
        return;
    }
    function.after = marked;
    changes.push(Change {
        place: MARK.to_owned(),
        before: if former.is_some() {
            "another run"
        } else {
            "not set"
        }
        .to_owned(),
        after: conditions.mark.clone(),
    });
}

fn move_network(
    function: &mut FunctionBinding,
    state: &FunctionState,
    conditions: &Conditions,
    changes: &mut Vec<Change>,
) {
    let after = Network {
        subnets: conditions.subnets.clone(),
        security_groups: conditions.security_groups.clone(),
        ipv6: state.network.ipv6,
    };
    if after == state.network {
        return;
    }
    changes.push(Change {
        place: lambda::NETWORK.to_owned(),
        before: state.network.told(),
        after: after.told(),
    });
    function.network = Some(NetworkChange {
        before: state.network.clone(),
        after,
    });
}

/// A function in a VPC reaches nothing outside that the VPC does not lead to
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc-internet.html>).
fn loses_internet(variables: &Variables, reads: &[&String]) -> Option<String> {
    let mut needs: Vec<String> = variables
        .keys()
        .filter(|name| name.contains("SUPABASE_URL"))
        .cloned()
        .collect();
    needs.extend(reads.iter().map(|name| (*name).clone()));
    if needs.is_empty() {
        return None;
    }
    Some(format!(
        "moves into a VPC, and needs what lies outside ({}): its subnets must lead to a NAT gateway, or for AWS's own services to interface endpoints",
        needs.join(", ")
    ))
}

/// Whether variables lead to the source, in a shape that can be rewritten or not.
pub(crate) fn points_at_source(variables: &Variables, survey: Survey<'_>) -> bool {
    let found = carrier::variables(variables, survey);
    let mut left = found.left.iter();
    !found.values.is_empty()
        || !found.pending.is_empty()
        || left.any(|(_, why)| why.leaves_database_behind())
}

/// Functions that were released to another database and whose alias was never led to it.
async fn tell_versions_behind(clients: &SwitchClients, plan: &mut SwitchPlan) -> Result<()> {
    let behind = plan.behind.iter().map(async |(function, versions)| {
        let clients = clients.at(function);
        let mut told = Vec::new();
        for alias in alias::pinned(&clients, function).await? {
            if alias.leads_to_any(versions) {
                told.push(Untouched {
                    consumer: format!("lambda {function}"),
                    variable: format!(
                        "alias {} ({}; $LATEST does not point at the source)",
                        alias.name,
                        alias.told()
                    ),
                    why: Why::UnreleasedChanges,
                    owner: None,
                });
            }
        }
        Ok(told)
    });
    let told: Vec<Result<Vec<Untouched>>> = Box::pin(tasks::all(JOBS, behind)).await;
    for told in told {
        plan.untouched.extend(told?);
    }
    Ok(())
}

fn complete_alias(
    found: Finding,
    function: &FunctionBinding,
    state: &FunctionState,
    alias: &AliasState,
    rewrites: bool,
    decided: &mut Decided,
) {
    let name = &function.function;
    let leads = alias.told();
    match found {
        Finding::Elsewhere => {}
        Finding::Movable {
            binding,
            provisioned,
        } => {
            for (version, requested) in provisioned {
                decided.notes.push(format!(
                    "version {version} has provisioned concurrency {requested} of its own, and the version that alias {} is led to has none: its environments start cold (aws lambda put-provisioned-concurrency-config)",
                    alias.name
                ));
            }
            if let Some(requested) = binding.provisioned {
                decided.notes.push(format!(
                    "alias {} has provisioned concurrency {requested}, which moves with it: the switch waits until the new environments are ready",
                    alias.name
                ));
            }
            if state.has_snap_start {
                decided.notes.push(format!(
                    "alias {} starts from snapshots (SnapStart): publishing the new version takes minutes, and connections that the function opens before the snapshot are in it",
                    alias.name
                ));
            }
            decided.aliases.push(Binding {
                subject: Subject::Alias(binding),
                readers: Vec::new(),
                changes: vec![Change {
                    place: String::new(),
                    before: leads,
                    after: "a new version of what the function becomes".to_owned(),
                }],
            });
        }
        // Whoever only reads what is switched gets it all the same, where it need not move to reach
        // the target.
        Finding::Unreleased(names) if !rewrites && function.network.is_none() => decided.notes.push(format!(
            "alias {} ({leads}) stays where it leads, because $LATEST differs from it in {}: its environments keep what they have read from secrets and parameters until they end",
            alias.name,
            names.join(", ")
        )),
        Finding::Unreleased(names) => decided.untouched.push(Untouched {
            consumer: format!("lambda {name}"),
            variable: format!(
                "alias {} ({leads}; $LATEST differs in {})",
                alias.name,
                names.join(", ")
            ),
            why: Why::UnreleasedChanges,
            owner: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::connection::Secret;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
            .collect()
    }

    #[test]
    fn a_function_without_room_is_not_recycled_and_told() {
        let conditions = Conditions {
            mark: "20261122-a".to_owned(),
            ..Conditions::default()
        };
        let recycled = |length: usize| {
            let before = variables(&[("K", &"x".repeat(length))]);
            let mut function = FunctionBinding {
                before: before.clone(),
                after: before.clone(),
                ..FunctionBinding::default()
            };
            let (mut changes, mut notes) = (Vec::new(), Vec::new());
            recycle(&mut function, &conditions, &mut changes, &mut notes);
            assert_eq!(function.before, before);
            (
                function.after.contains_key(MARK),
                changes.len(),
                notes.len(),
            )
        };
        assert_eq!(recycled(10), (true, 1, 0));
        // {"K":"…","TOWPATH_SWITCHED":"20261122-a"}
        assert_eq!(recycled(4096 - 8 - 32), (true, 1, 0));
        assert_eq!(recycled(4096 - 8 - 31), (false, 0, 1));
    }

    #[test]
    fn what_lies_outside_is_told_of_functions_that_move_into_a_vpc() {
        let secret = "secret arn:x".to_owned();
        assert_eq!(loses_internet(&variables(&[("LEVEL", "info")]), &[]), None);
        let told = loses_internet(
            &variables(&[("NEXT_PUBLIC_SUPABASE_URL", "hunter2")]),
            &[&secret],
        );
        let told = told.unwrap();
        assert!(
            told.contains("NEXT_PUBLIC_SUPABASE_URL, secret arn:x"),
            "{told}"
        );
        assert!(!told.contains("hunter2"));
    }

    #[test]
    fn subnets_and_security_groups_belong_together() {
        let conditions = |subnets: &[&str], groups: &[&str]| Conditions {
            subnets: subnets.iter().map(|&id| id.to_owned()).collect(),
            security_groups: groups.iter().map(|&id| id.to_owned()).collect(),
            ..Conditions::default()
        };
        assert!(check(&conditions(&[], &[])).is_ok());
        assert!(check(&conditions(&["subnet-1"], &["sg-1"])).is_ok());
        assert!(check(&conditions(&["subnet-1"], &[])).is_err());
        assert!(check(&conditions(&[], &["sg-1"])).is_err());
    }
}
