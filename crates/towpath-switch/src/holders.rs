//! Secrets and parameters: what functions name, and what is selected for itself. Several functions
//! may name one; each is read and decided about once.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::Result;
use towpath_model::connection::Secret;

use crate::aws;
use crate::binding::{Binding, Change, ParameterBinding, ParameterShape, SecretBinding, Subject};
use crate::carrier::{self, Variables};
use crate::catalogue::{self, JOBS};
use crate::clients::SwitchClients;
use crate::credentials::{Credentials, is_source_password};
use crate::discover::Candidate;
use crate::left::{Untouched, Why};
use crate::mapping::{Mapping, PasswordBy};
use crate::options::Selection;
use crate::parameter::{self, ParameterState};
use crate::plan::SwitchPlan;
use crate::secret::{self, SecretState};
use crate::server::SourceServer;
use crate::tasks;
use crate::value::{self, Survey, ValueReading};

/// By this prefix Parameter Store hands out secrets.
const SECRET_BY_PARAMETER: &str = "/aws/reference/secretsmanager/";

/// That somebody names a secret or a parameter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Naming {
    kind: Kind,
    /// What is named, as it is named. A variable may hold anything, so this is never shown.
    id: Hidden,
    /// The function, by its id; nothing where a setting names it.
    function: Option<String>,
    /// The variable, or the setting.
    variable: String,
    ground: Ground,
}

/// What says that a value is a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ground {
    /// Somebody who configured it.
    Setting,
    /// It is an ARN. What it names may have nothing to do with databases.
    Arn,
    /// The look of it.
    Guess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Secret,
    Parameter,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Naming {
    /// What a function names: by the name of a variable, or by a value that is an ARN.
    pub(crate) fn of(function: &str, variables: &Variables, selection: &Selection) -> Vec<Self> {
        let naming = |(variable, value): (&String, &Secret)| {
            let id = value.reveal();
            let (kind, ground) = kind(variable, id, selection)?;
            let (kind, id) = match id.strip_prefix(SECRET_BY_PARAMETER) {
                Some(secret) => (Kind::Secret, secret),
                None => (kind, id),
            };
            (!id.is_empty()).then(|| Self {
                kind,
                id: Hidden(id.to_owned()),
                function: Some(function.to_owned()),
                variable: variable.clone(),
                ground,
            })
        };
        variables.iter().filter_map(naming).collect()
    }

    fn selected(kind: Kind, id: &str, setting: &str) -> Self {
        Self {
            kind,
            id: Hidden(id.to_owned()),
            function: None,
            variable: setting.to_owned(),
            ground: Ground::Setting,
        }
    }

    fn consumer(&self) -> String {
        match &self.function {
            Some(function) => format!("lambda {function}"),
            None => "the configuration".to_owned(),
        }
    }

    fn told(&self) -> String {
        let what = match self.kind {
            Kind::Secret => "secret",
            Kind::Parameter => "parameter",
        };
        format!(
            "the {what} named by {} of {}",
            self.variable,
            self.consumer()
        )
    }
}

fn kind(variable: &str, value: &str, selection: &Selection) -> Option<(Kind, Ground)> {
    let is_among = |names: &[String]| names.iter().any(|name| name == variable);
    let is_arn = |service: &str| value.starts_with("arn:") && value.contains(service);
    let (of_secret, of_parameter) = (is_arn(":secretsmanager:"), is_arn(":ssm:"));
    if is_among(&selection.variables) && !of_parameter {
        return Some((Kind::Secret, Ground::Setting));
    }
    if is_among(&selection.parameter_variables) && !of_secret {
        return Some((Kind::Parameter, Ground::Setting));
    }
    if of_secret {
        return Some((Kind::Secret, Ground::Arn));
    }
    if of_parameter && value.contains(":parameter/") {
        return Some((Kind::Parameter, Ground::Arn));
    }
    let says = |word| variable.to_ascii_uppercase().contains(word);
    let is_path = value.starts_with('/') && (says("PARAM") || says("SSM"));
    is_path.then_some((Kind::Parameter, Ground::Guess))
}

/// A secret or a parameter, and who names it.
struct Holder<S> {
    state: S,
    named: Vec<Naming>,
    /// Whether something in it was found to be a connection, wherever it leads.
    is_connection: bool,
    is_decided: bool,
}

impl<S> Holder<S> {
    const fn new(state: S) -> Self {
        Self {
            state,
            named: Vec::new(),
            is_connection: false,
            is_decided: false,
        }
    }

    fn functions(&self) -> BTreeSet<&str> {
        let named = self.named.iter();
        named.filter_map(|it| it.function.as_deref()).collect()
    }

    fn readers(&self) -> Vec<String> {
        self.functions().into_iter().map(str::to_owned).collect()
    }
}

/// Every secret and parameter that was found, by ARN.
#[derive(Default)]
pub(crate) struct Holders {
    secrets: BTreeMap<String, Holder<SecretState>>,
    parameters: BTreeMap<String, Holder<ParameterState>>,
    /// Functions that read something which is switched.
    switched_for: BTreeSet<String>,
    named_by: BTreeSet<String>,
}

enum Read {
    Secret(SecretState),
    Parameters(Vec<ParameterState>),
    Nothing,
    /// towpath may not, and nobody has said that a connection is in it.
    Denied,
}

impl Holders {
    /// Reads everything that is named, each once.
    pub(crate) async fn read(
        clients: &SwitchClients,
        mut namings: Vec<Naming>,
        selection: &Selection,
        plan: &mut SwitchPlan,
    ) -> Result<Self> {
        let secrets = selection.secrets.iter();
        namings.extend(secrets.map(|id| Naming::selected(Kind::Secret, id, "switch.secrets")));
        let parameters = selection.parameters.iter();
        namings.extend(
            parameters.map(|id| Naming::selected(Kind::Parameter, id, "switch.parameters")),
        );
        let mut by_id: BTreeMap<(Kind, Hidden, String), Vec<Naming>> = BTreeMap::new();
        for naming in namings {
            let here = clients.at(naming.function.as_deref().unwrap_or_default());
            let place = here.at(&naming.id.0).place().to_string();
            let key = (naming.kind, naming.id.clone(), place);
            by_id.entry(key).or_default().push(naming);
        }
        let read = by_id.into_values().map(async |named| {
            let Some(first) = named.first() else {
                return Ok((named, Read::Nothing));
            };
            let is_said = named.iter().any(|it| it.ground == Ground::Setting);
            match Box::pin(read_one(clients, first)).await {
                Ok(found) => Ok((named, found)),
                Err(failure) if !is_said && aws::is_denial(&failure) => Ok((named, Read::Denied)),
                Err(failure) => Err(failure),
            }
        });
        let mut holders = Self::default();
        for outcome in Box::pin(tasks::all(JOBS, read)).await {
            let (named, found) = outcome?;
            holders.take(named, found, plan);
        }
        Ok(holders)
    }

    fn take(&mut self, named: Vec<Naming>, found: Read, plan: &mut SwitchPlan) {
        match found {
            Read::Secret(state) => {
                self.note_readers(&named);
                let arn = state.arn.clone();
                let holder = self.secrets.entry(arn);
                holder.or_insert(Holder::new(state)).named.extend(named);
            }
            Read::Parameters(states) if !states.is_empty() => {
                self.note_readers(&named);
                for state in states {
                    let key = format!(
                        "{}{}",
                        state.arn,
                        state.selector.as_deref().unwrap_or_default()
                    );
                    let holder = self.parameters.entry(key);
                    let holder = holder.or_insert(Holder::new(state));
                    holder.named.extend(named.clone());
                }
            }
            Read::Denied => plan.untouched.extend(named.iter().map(|naming| Untouched {
                consumer: naming.consumer(),
                variable: naming.variable.clone(),
                why: Why::NotAllowed,
                owner: None,
            })),
            Read::Parameters(_) | Read::Nothing => {
                let certain = named.iter().filter(|it| it.ground != Ground::Guess);
                plan.untouched.extend(certain.map(|naming| Untouched {
                    consumer: naming.consumer(),
                    variable: naming.variable.clone(),
                    why: match naming.kind {
                        Kind::Secret => Why::NoSuchSecret,
                        Kind::Parameter => Why::NoSuchParameter,
                    },
                    owner: None,
                }));
            }
        }
    }

    fn note_readers(&mut self, named: &[Naming]) {
        let functions = named.iter().filter_map(|naming| naming.function.clone());
        self.named_by.extend(functions);
    }

    /// Whether a function names anything that exists.
    pub(crate) fn are_named_by(&self, function: &str) -> bool {
        self.named_by.contains(function)
    }

    /// Whether a function reads something that is switched.
    pub(crate) fn are_switched_for(&self, function: &str) -> bool {
        self.switched_for.contains(function)
    }

    /// Decides about everything that was read. What functions have been waiting for is settled in
    /// them; bindings of secrets and parameters go into the plan.
    pub(crate) fn decide(
        &mut self,
        functions: &mut [Candidate],
        server: &SourceServer,
        mapping: &Mapping,
        plan: &mut SwitchPlan,
    ) {
        let runtimes: BTreeMap<String, Option<String>> = functions
            .iter()
            .map(|it| (it.listed.id.clone(), it.listed.runtime.clone()))
            .collect();
        let context = Deciding {
            server,
            mapping,
            runtimes: &runtimes,
        };
        self.decide_secrets(&context, functions, plan);
        self.decide_parameters(&context, plan);
        self.find_passwords(mapping, functions, plan);
        self.tell_lone_passwords(mapping, plan);
    }

    fn decide_secrets(
        &mut self,
        context: &Deciding<'_>,
        functions: &mut [Candidate],
        plan: &mut SwitchPlan,
    ) {
        // Whether a secret is one of the source is asked of its value, also where another takes
        // its place.
        let by_value = Mapping {
            password_by: PasswordBy::Value,
            ..context.mapping.clone()
        };
        let by_value = match context.mapping.password_by {
            PasswordBy::Secret(_) => &by_value,
            _ => context.mapping,
        };
        for (arn, holder) in &mut self.secrets {
            let leave = |(variable, why)| Untouched {
                consumer: format!("secret {arn}"),
                variable,
                why,
                owner: None,
            };
            let Some(before) = holder.state.text.clone() else {
                plan.untouched
                    .push(leave((String::new(), Why::BinarySecret)));
                holder.is_decided = true;
                continue;
            };
            let survey = Survey {
                server: context.server,
                mapping: by_value,
                runtime: context.runtime(&holder.functions()),
            };
            let reading = value::read(before.reveal(), survey);
            holder.is_decided = !matches!(reading, ValueReading::Elsewhere { .. });
            match reading {
                ValueReading::Elsewhere { is_connection } => holder.is_connection = is_connection,
                ValueReading::Left(left) => plan.untouched.extend(left.into_iter().map(leave)),
                ValueReading::Lacking { .. } => {
                    plan.untouched.push(leave((String::new(), Why::Incomplete)))
                }
                ValueReading::Rewritten {
                    text,
                    changes,
                    left,
                } => {
                    plan.untouched.extend(left.into_iter().map(leave));
                    if let PasswordBy::Secret(other) = &context.mapping.password_by {
                        point_at(other, &changes, holder, functions);
                        continue;
                    }
                    self.switched_for.extend(holder.readers());
                    let readers = holder.readers();
                    plan.bindings.push(secret_binding(
                        &holder.state,
                        before,
                        text,
                        readers,
                        changes,
                    ));
                }
            }
        }
    }

    /// Parameters stand side by side below one path, as variables do in a function.
    fn decide_parameters(&mut self, context: &Deciding<'_>, plan: &mut SwitchPlan) {
        let mut paths: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, holder) in &self.parameters {
            let (path, _) = path_and_name(&holder.state.arn);
            paths.entry(path.to_owned()).or_default().push(key.clone());
        }
        for keys in paths.into_values() {
            let readers: BTreeSet<&str> = keys
                .iter()
                .flat_map(|key| self.parameters[key].functions())
                .collect();
            let survey = Survey {
                server: context.server,
                mapping: context.mapping,
                runtime: context.runtime(&readers),
            };
            let texts: Vec<(String, Secret)> = keys
                .iter()
                .map(|key| &self.parameters[key].state)
                .map(|state| (path_and_name(&state.arn).1.to_owned(), state.value.clone()))
                .collect();
            let texts = texts
                .iter()
                .map(|(name, value)| (name.as_str(), value.reveal()))
                .collect();
            let mut rewriting = carrier::side_by_side(&texts, survey, 0);
            rewriting.give_up(Why::Incomplete);
            for key in &keys {
                if let Some(holder) = self.parameters.get_mut(key) {
                    let is_switched = decide_parameter(holder, &rewriting, plan);
                    if is_switched {
                        self.switched_for.extend(holder.readers());
                    }
                }
            }
        }
    }

    /// Functions whose connection lacks a password may name what holds it.
    fn find_passwords(
        &mut self,
        mapping: &Mapping,
        functions: &mut [Candidate],
        plan: &mut SwitchPlan,
    ) {
        let open: BTreeSet<String> = functions
            .iter()
            .filter(|function| !function.rewriting.pending.is_empty())
            .map(|function| function.listed.id.clone())
            .collect();
        let mut chosen: BTreeMap<Key, BTreeSet<String>> = BTreeMap::new();
        for function in &open {
            for key in self.passwords_for(function, &open, mapping) {
                chosen.entry(key).or_default().insert(function.clone());
            }
        }
        for (key, waiting) in chosen {
            let outcome = self.rewrite_password(&key, &waiting, mapping, functions, plan);
            for function in functions.iter_mut() {
                if !waiting.contains(&function.listed.id) {
                    continue;
                }
                match outcome {
                    Ok(()) => function.rewriting.take_all_pending(),
                    Err(why) => function.rewriting.give_up(why),
                }
            }
        }
    }

    /// What holds a function's password: whatever equals the source's own; otherwise the only
    /// thing that may, when nobody uses it for anything else.
    fn passwords_for(
        &self,
        function: &str,
        open: &BTreeSet<String>,
        mapping: &Mapping,
    ) -> Vec<Key> {
        let mut sure = Vec::new();
        let mut possible = Vec::new();
        for (key, text, readers) in self.undecided() {
            if !readers.contains(function) {
                continue;
            }
            let Some(found) = Credentials::read(text.reveal()) else {
                continue;
            };
            let password = found.password();
            if password.is_some_and(|it| is_source_password(it.reveal(), mapping)) {
                sure.push(key);
            } else if readers.iter().all(|reader| open.contains(*reader)) {
                possible.push(key);
            }
        }
        match (sure.is_empty(), possible.len()) {
            (false, _) => sure,
            (true, 1) => possible,
            (true, _) => Vec::new(),
        }
    }

    /// Values that are no connections, with the functions that name them.
    fn undecided(&self) -> impl Iterator<Item = (Key, Secret, BTreeSet<&str>)> {
        let secrets = self.secrets.iter().filter(|(_, it)| !it.is_decided);
        let secrets = secrets.filter(|(_, it)| !it.is_connection);
        let secrets = secrets.filter_map(|(arn, holder)| {
            let text = holder.state.text.clone()?;
            Some((Key::Secret(arn.clone()), text, holder.functions()))
        });
        let parameters = self.parameters.iter().filter(|(_, it)| !it.is_decided);
        let parameters = parameters.filter(|(_, it)| !it.is_connection);
        secrets.chain(parameters.map(|(key, holder)| {
            let text = holder.state.value.clone();
            (Key::Parameter(key.clone()), text, holder.functions())
        }))
    }

    fn rewrite_password(
        &mut self,
        key: &Key,
        waiting: &BTreeSet<String>,
        mapping: &Mapping,
        functions: &mut [Candidate],
        plan: &mut SwitchPlan,
    ) -> Result<(), Why> {
        let pending: Vec<_> = functions
            .iter()
            .filter(|function| waiting.contains(&function.listed.id))
            .flat_map(|function| &function.rewriting.pending)
            .collect();
        let mut users = BTreeSet::new();
        for one in &pending {
            users.insert(mapping.login(one.user())?.user);
        }
        let Some(first) = pending.first() else {
            return Err(Why::Incomplete);
        };
        // One password cannot be that of two users.
        if users.len() > 1 {
            return Err(Why::SharedParts);
        }
        let user = first.user().map(str::to_owned);
        let change = Change {
            place: String::new(),
            before: format!("password for {}", first.change.before),
            after: format!("password for {}", first.change.after),
        };
        match key {
            Key::Secret(arn) => {
                let Some(holder) = self.secrets.get_mut(arn) else {
                    return Err(Why::Incomplete);
                };
                holder.is_decided = true;
                if let PasswordBy::Secret(other) = &mapping.password_by {
                    point_at(other, &[change], holder, functions);
                    return Ok(());
                }
                let Some(before) = holder.state.text.clone() else {
                    return Err(Why::Incomplete);
                };
                let after = Credentials::read(before.reveal())
                    .ok_or(Why::UnknownShape)?
                    .rewritten(user.as_deref(), mapping)?;
                let readers = holder.readers();
                self.switched_for.extend(readers.iter().cloned());
                let binding = secret_binding(&holder.state, before, after, readers, vec![change]);
                plan.bindings.push(binding);
            }
            Key::Parameter(key) => {
                let Some(holder) = self.parameters.get_mut(key) else {
                    return Err(Why::Incomplete);
                };
                if !mapping.writes_passwords() {
                    return Err(Why::NoPlaceForReference);
                }
                if holder.state.selector.is_some() {
                    return Err(Why::PinnedVersion);
                }
                holder.is_decided = true;
                let before = holder.state.value.clone();
                let after = Credentials::read(before.reveal())
                    .ok_or(Why::UnknownShape)?
                    .rewritten(user.as_deref(), mapping)?;
                self.switched_for.extend(holder.readers());
                let binding =
                    parameter_binding(&holder.state, after, holder.readers(), vec![change]);
                plan.bindings.push(binding);
            }
        }
        Ok(())
    }

    /// The source's own password, with no host anywhere near it: the rest is in somebody's code.
    fn tell_lone_passwords(&self, mapping: &Mapping, plan: &mut SwitchPlan) {
        for (key, text, _) in self.undecided() {
            let password = Credentials::read(text.reveal()).and_then(|it| it.password());
            if !password.is_some_and(|it| is_source_password(it.reveal(), mapping)) {
                continue;
            }
            plan.untouched.push(Untouched {
                consumer: match &key {
                    Key::Secret(arn) => format!("secret {arn}"),
                    Key::Parameter(key) => format!("parameter {}", self.parameters[key].state.name),
                },
                variable: String::new(),
                why: Why::LonePassword,
                owner: None,
            });
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Secret(String),
    Parameter(String),
}

struct Deciding<'a> {
    server: &'a SourceServer,
    mapping: &'a Mapping,
    runtimes: &'a BTreeMap<String, Option<String>>,
}

impl<'a> Deciding<'a> {
    /// The runtime that all of these functions have.
    fn runtime(&self, functions: &BTreeSet<&str>) -> Option<&'a str> {
        let runtimes: BTreeSet<Option<&str>> = functions
            .iter()
            .map(|function| self.runtimes.get(*function)?.as_deref())
            .collect();
        match runtimes.len() {
            1 => runtimes.first().copied().flatten(),
            _ => None,
        }
    }
}

async fn read_one(clients: &SwitchClients, naming: &Naming) -> Result<Read> {
    let here = clients.at(naming.function.as_deref().unwrap_or_default());
    let here = here.at(&naming.id.0).patient();
    let id = naming.id.0.as_str();
    let told = naming.told();
    match naming.kind {
        Kind::Secret => {
            let found = Box::pin(secret::read(&here, id, &told)).await?;
            Ok(found.map_or(Read::Nothing, Read::Secret))
        }
        Kind::Parameter => {
            let path = id.strip_suffix("/*").or_else(|| id.strip_suffix('/'));
            if path.is_none() {
                let found = Box::pin(parameter::read(&here, id, &told)).await?;
                if let Some(found) = found {
                    return Ok(Read::Parameters(vec![found]));
                }
            }
            // A path by ARN is none that Parameter Store takes.
            let path = path.unwrap_or(id);
            if !path.starts_with('/') {
                return Ok(Read::Nothing);
            }
            let below = catalogue::parameters_below(&here, path, &told);
            Ok(Read::Parameters(Box::pin(below).await?))
        }
    }
}

/// Everything of an ARN before a parameter's last word, and that word.
fn path_and_name(arn: &str) -> (&str, &str) {
    arn.rsplit_once('/').unwrap_or(("", arn))
}

/// Tells whether it is switched.
fn decide_parameter(
    holder: &mut Holder<ParameterState>,
    rewriting: &carrier::Rewriting,
    plan: &mut SwitchPlan,
) -> bool {
    let (_, name) = path_and_name(&holder.state.arn);
    let within = |place: &str| -> Option<String> {
        match place.strip_prefix(name) {
            Some("") => Some(String::new()),
            Some(rest) => rest.strip_prefix('.').map(str::to_owned),
            None => None,
        }
    };
    let leave = |variable: String, why| Untouched {
        consumer: format!("parameter {}", holder.state.name),
        variable,
        why,
        owner: None,
    };
    for (place, why) in &rewriting.left {
        if let Some(field) = within(place) {
            plan.untouched.push(leave(field, *why));
            holder.is_decided = true;
        }
    }
    let Some(after) = rewriting.values.get(name) else {
        holder.is_connection = rewriting.connections.contains(name);
        return false;
    };
    holder.is_decided = true;
    if holder.state.selector.is_some() {
        plan.untouched
            .push(leave(String::new(), Why::PinnedVersion));
        return false;
    }
    let changes = rewriting.changes.iter().filter_map(|change| {
        let field = within(&change.place);
        let is_of_set = change.place.split('+').any(|part| part == name);
        let place = field.or_else(|| is_of_set.then(String::new))?;
        Some(Change {
            place,
            ..change.clone()
        })
    });
    let changes = changes.collect();
    plan.bindings.push(parameter_binding(
        &holder.state,
        after.clone(),
        holder.readers(),
        changes,
    ));
    true
}

/// Makes the variables that name a secret name another.
fn point_at(
    other: &str,
    changes: &[Change],
    holder: &Holder<SecretState>,
    functions: &mut [Candidate],
) {
    let masked = |side: fn(&Change) -> &String| -> String {
        let told: Vec<&str> = changes.iter().map(|change| side(change).as_str()).collect();
        told.join("; ")
    };
    for naming in &holder.named {
        let mut candidates = functions.iter_mut();
        let found = candidates.find(|it| Some(&it.listed.id) == naming.function.as_ref());
        let Some(function) = found else { continue };
        let rewriting = &mut function.rewriting;
        rewriting
            .values
            .insert(naming.variable.clone(), Secret::new(other));
        rewriting.changes.push(Change {
            place: naming.variable.clone(),
            before: format!("secret {} ({})", holder.state.arn, masked(|it| &it.before)),
            after: format!("secret {other}"),
        });
    }
}

fn secret_binding(
    state: &SecretState,
    before: Secret,
    after: Secret,
    readers: Vec<String>,
    changes: Vec<Change>,
) -> Binding {
    Binding {
        subject: Subject::Secret(SecretBinding {
            arn: state.arn.clone(),
            name: state.name.clone(),
            version: state.version.clone(),
            labels: crate::binding::SecretLabels::default(),
            before,
            after,
        }),
        readers,
        changes,
    }
}

fn parameter_binding(
    state: &ParameterState,
    after: Secret,
    readers: Vec<String>,
    changes: Vec<Change>,
) -> Binding {
    Binding {
        subject: Subject::Parameter(ParameterBinding {
            name: state.name.clone(),
            arn: state.arn.clone(),
            version: state.version,
            shape: ParameterShape::default(),
            before: state.value.clone(),
            after,
        }),
        readers,
        changes,
    }
}

#[cfg(test)]
impl Holders {
    /// Takes a secret as if it had been read.
    pub(crate) fn put_secret(&mut self, state: SecretState, named: Vec<Naming>) {
        self.take(named, Read::Secret(state), &mut SwitchPlan::default());
    }

    /// Takes parameters as if they had been read.
    pub(crate) fn put_parameters(&mut self, states: Vec<ParameterState>, named: Vec<Naming>) {
        let found = Read::Parameters(states);
        self.take(named, found, &mut SwitchPlan::default());
    }
}
