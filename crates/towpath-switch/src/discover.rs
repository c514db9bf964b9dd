//! Reads the selected functions and the secrets and parameters they name, and decides what a switch
//! would do. Writes nothing.
//!
//! A function is judged by its listing. [`complete`](crate::complete) reads each that is to be
//! written once more, and refuses where the two differ.

use std::collections::BTreeSet;

use towpath_model::connection::Secret;
use towpath_model::{ErrorKind, Failure, Result};

use crate::binding::{Binding, Change, FunctionBinding, Subject};
use crate::carrier::{self, Rewriting, Variables};
use crate::catalogue::{self, Listed};
use crate::clients::SwitchClients;
use crate::completion::{Note, points_at_source};
use crate::holders::{Holders, Naming};
use crate::left::{Untouched, Why};
use crate::mapping::{Mapping, PasswordBy};
use crate::options::Selection;
use crate::plan::SwitchPlan;
use crate::server::SourceServer;
use crate::tls;
use crate::value::Survey;

/// The variable that tells Node.js of further root certificates.
const NODE_ROOTS: &str = "NODE_EXTRA_CA_CERTS";

/// Finds what points at the source among the selected functions, the secrets and parameters they
/// name, and those that are selected for themselves.
pub async fn discover(
    clients: &SwitchClients,
    selection: &Selection,
    mapping: &Mapping,
) -> Result<SwitchPlan> {
    check(selection, mapping)?;
    let server = SourceServer::of(mapping);
    let mut plan = SwitchPlan::default();
    let mut subjects = Vec::new();
    for listed in Box::pin(catalogue::functions(clients, selection)).await? {
        plan.functions.push(listed.id.clone());
        subjects.extend(look_at(listed, &server, mapping, &mut plan));
    }
    let namings = subjects
        .iter()
        .flat_map(|subject| Naming::of(&subject.listed.id, &subject.variables, selection));
    let holders = Holders::read(clients, namings.collect(), selection, &mut plan);
    let mut holders = Box::pin(holders).await?;
    holders.decide(&mut subjects, &server, mapping, &mut plan);
    let mut functions: Vec<Binding> = Vec::new();
    let mut listed: Vec<Listed> = Vec::new();
    for mut subject in subjects {
        subject.finish(&holders, mapping, &mut plan);
        let binding = subject.binding();
        if binding.is_none() {
            plan.behind.extend(subject.behind(&server, mapping));
        }
        functions.extend(binding);
        listed.push(subject.listed);
    }
    functions.append(&mut plan.bindings);
    plan.bindings = functions;
    Box::pin(tell_owners(clients, listed, &mut plan)).await?;
    plan.untouched.sort();
    plan.untouched.dedup();
    Ok(plan)
}

fn check(selection: &Selection, mapping: &Mapping) -> Result<()> {
    if selection.is_empty() {
        return Err(
            Failure::new(ErrorKind::Config, "no Lambda function is selected").hint(
                "name the functions to switch, or give a prefix, a tag or a stack, or switch.all",
            ),
        );
    }
    if mapping.target.password.is_some() || mapping.password_by != PasswordBy::Value {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Config,
        format!("the consumers' URL {} holds no password", mapping.target),
    )
    .hint("give user and password that the functions will use on the target, or set switch.password to iam or to the ARN of a secret"))
}

/// A function under decision.
pub(crate) struct Candidate {
    pub(crate) listed: Listed,
    pub(crate) variables: Variables,
    pub(crate) rewriting: Rewriting,
}

impl Candidate {
    pub(crate) fn consumer(&self) -> String {
        format!("lambda {}", self.listed.id)
    }
}

/// Reads a function's variables; nothing where there are none to read.
fn look_at(
    mut listed: Listed,
    server: &SourceServer,
    mapping: &Mapping,
    plan: &mut SwitchPlan,
) -> Option<Candidate> {
    let consumer = format!("lambda {}", listed.id);
    let mut leave = |why, owner| {
        plan.untouched.push(Untouched {
            consumer: consumer.clone(),
            variable: String::new(),
            why,
            owner,
        });
    };
    if let Some(main) = &listed.main {
        leave(Why::EdgeReplica, Some(format!("lambda {main}")));
        return None;
    }
    let Some(variables) = listed.variables.take() else {
        leave(Why::Unreadable, None);
        return None;
    };
    let survey = Survey {
        server,
        mapping,
        runtime: listed.runtime.as_deref(),
    };
    Some(Candidate {
        rewriting: carrier::variables(&variables, survey),
        variables,
        listed,
    })
}

impl Candidate {
    /// Settles what is still open, once secrets and parameters are decided about.
    fn finish(&mut self, holders: &Holders, mapping: &Mapping, plan: &mut SwitchPlan) {
        self.rewriting.give_up(Why::Incomplete);
        let names_any = holders.are_named_by(&self.listed.id);
        if self.rewriting.is_empty() && self.rewriting.connections.is_empty() && !names_any {
            self.rewriting.left.push((self.code(), Why::NoCarrier));
        }
        let reads = !self.rewriting.values.is_empty() || holders.are_switched_for(&self.listed.id);
        if reads {
            self.add_roots(mapping);
        }
        let consumer = self.consumer();
        let left = std::mem::take(&mut self.rewriting.left).into_iter();
        plan.untouched.extend(left.map(|(variable, why)| Untouched {
            consumer: consumer.clone(),
            variable,
            why,
            owner: None,
        }));
    }

    /// Where a connection must be that is in no variable.
    fn code(&self) -> String {
        match (self.listed.is_image, self.listed.layers) {
            (true, _) => "its image".to_owned(),
            (false, 0) => "its code".to_owned(),
            (false, 1) => "its code and a layer".to_owned(),
            (false, layers) => format!("its code and {layers} layers"),
        }
    }

    /// Node.js from 20 on verifies RDS by certificates that it has and does not look at.
    fn add_roots(&mut self, mapping: &Mapping) {
        let needs = self.listed.runtime.as_deref();
        let (Some(roots), true) = (
            &mapping.node_extra_ca_certs,
            needs.is_some_and(tls::needs_extra_roots),
        ) else {
            return;
        };
        if self.variables.contains_key(NODE_ROOTS) {
            return;
        }
        let roots = Secret::new(roots.clone());
        self.rewriting.changes.push(Change {
            place: NODE_ROOTS.to_owned(),
            before: "not set".to_owned(),
            after: roots.reveal().to_owned(),
        });
        self.rewriting.values.insert(NODE_ROOTS.to_owned(), roots);
    }

    /// Published versions that lead to the source, of a function that does not.
    fn behind(&self, server: &SourceServer, mapping: &Mapping) -> Option<(String, Vec<String>)> {
        let survey = Survey {
            server,
            mapping,
            runtime: self.listed.runtime.as_deref(),
        };
        let versions = self.listed.versions.iter();
        let behind: Vec<String> = versions
            .filter(|(_, variables)| points_at_source(variables, survey))
            .map(|(version, _)| version.clone())
            .collect();
        (!behind.is_empty()).then(|| (self.listed.id.clone(), behind))
    }

    fn binding(&mut self) -> Option<Binding> {
        if self.rewriting.values.is_empty() {
            return None;
        }
        let mut after = self.variables.clone();
        after.append(&mut self.rewriting.values);
        Some(Binding {
            readers: vec![self.listed.id.clone()],
            subject: Subject::Function(FunctionBinding {
                function: self.listed.id.clone(),
                revision: self.listed.revision.clone(),
                before: std::mem::take(&mut self.variables),
                after,
                network: None,
            }),
            changes: std::mem::take(&mut self.rewriting.changes),
        })
    }
}

/// Tells which functions a template would point back at the source at its next deployment.
async fn tell_owners(
    clients: &SwitchClients,
    listed: Vec<Listed>,
    plan: &mut SwitchPlan,
) -> Result<()> {
    let written: BTreeSet<String> = plan
        .bindings
        .iter()
        .filter(|binding| matches!(binding.subject, Subject::Function(_)))
        .flat_map(|binding| binding.readers.clone())
        .collect();
    let mut listed: Vec<Listed> = listed
        .into_iter()
        .filter(|function| written.contains(&function.id))
        .collect();
    let open = listed.iter_mut().filter(|function| function.tags.is_none());
    if let Err(failure) = Box::pin(catalogue::read_tags(clients, open)).await {
        plan.notes.push(Note {
            consumer: "every function".to_owned(),
            what: format!(
                "whether a template would put old values back is not known: {failure}; lambda:ListTags lets towpath tell"
            ),
        });
    }
    for function in &listed {
        let Some(owner) = function.tags.as_ref().and_then(catalogue::owner) else {
            continue;
        };
        plan.untouched.push(Untouched {
            consumer: format!("lambda {}", function.id),
            variable: String::new(),
            why: Why::OwnedByTemplate,
            owner: Some(owner),
        });
    }
    Ok(())
}
