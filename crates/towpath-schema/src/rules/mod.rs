//! The rules: each looks at one object and says what becomes of it, or leaves it to the next.

mod auth_users;
mod default_privileges;
mod emulated;
mod event_trigger;
mod extension;
pub(crate) mod extension_member;
pub(crate) mod forced_row_security;
mod hanger;
mod managed;
mod publication;
mod role;
mod schema;
mod secret;
mod setting;
mod superuser;
mod user;

use std::collections::BTreeSet;

use towpath_model::Result;
use towpath_model::inventory::ServerFacts;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject, Structure};

use crate::decision::{Decisions, Verdict};
use crate::dependents;
use crate::options::{CarryAuthUsers, SchemaOptions};
use crate::reserved::{is_managed_schema, is_reserved_role};
use crate::source::Source;

/// Everything a rule may look at.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub structure: &'a Structure,
    pub source: &'a Source,
    pub target: &'a ServerFacts,
    pub options: &'a SchemaOptions,
}

/// What earlier steps have found out, for the rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// `auth.users` goes.
    pub carries_users: bool,
    /// Functions that something the user made needs.
    pub needed: BTreeSet<ObjectId>,
    /// Schemas in which something that goes lives.
    pub inhabited: BTreeSet<String>,
}

/// A rule: its id, and what it says.
struct Rule {
    id: &'static str,
    decide: fn(&SchemaObject, &Evidence<'_>, &Findings) -> Option<Verdict>,
}

/// In this order; the first that says something decides. The last one always does.
const RULES: [Rule; 16] = [
    Rule {
        id: "extension-member",
        decide: extension_member::decide,
    },
    Rule {
        id: "extension",
        decide: extension::decide,
    },
    Rule {
        id: "role",
        decide: role::decide,
    },
    Rule {
        id: "secret",
        decide: secret::decide,
    },
    Rule {
        id: "setting",
        decide: setting::decide,
    },
    Rule {
        id: "default-privileges",
        decide: default_privileges::decide,
    },
    Rule {
        id: "event-trigger",
        decide: event_trigger::decide,
    },
    Rule {
        id: "publication",
        decide: publication::decide,
    },
    Rule {
        id: "emulated",
        decide: emulated::decide,
    },
    Rule {
        id: "auth-users",
        decide: auth_users::decide,
    },
    Rule {
        id: "schema",
        decide: schema::decide,
    },
    Rule {
        id: "managed",
        decide: managed::decide,
    },
    Rule {
        id: "hanger",
        decide: hanger::decide,
    },
    Rule {
        id: "superuser",
        decide: superuser::decide,
    },
    Rule {
        id: "forced-row-security",
        decide: forced_row_security::decide,
    },
    Rule {
        id: "user",
        decide: user::decide,
    },
];

/// Decides about every object. Rules look at objects one by one, so what needs a view of the whole
/// is found out before: whether accounts go, which stand-ins are needed, which schemas are lived in.
pub(crate) fn decide(evidence: &Evidence<'_>) -> Result<Decisions> {
    let mut findings = Findings::default();
    let provisional = by_rules(evidence, &findings);
    findings.carries_users = evidence.options.carry_auth_users == CarryAuthUsers::Auto
        && auth_users::is_needed(evidence, &provisional);
    findings.needed = emulated::needed(evidence, &provisional);
    let provisional = by_rules(evidence, &findings);
    findings.inhabited = schema::inhabited(evidence, &provisional);
    let mut decisions = by_rules(evidence, &findings);
    dependents::follow(evidence, &mut decisions)?;
    Ok(decisions)
}

fn by_rules(evidence: &Evidence<'_>, findings: &Findings) -> Decisions {
    let mut decisions = Decisions::default();
    for object in evidence.structure.objects.values() {
        let verdict = RULES
            .iter()
            .find_map(|rule| Some((rule.id, (rule.decide)(object, evidence, findings)?)));
        let (id, verdict) = verdict.unwrap_or_else(|| ("user", Verdict::kept("made by the user")));
        decisions.set(&object.id, id, verdict);
    }
    decisions
}

/// Whether the platform owns this object.
fn is_owned_by_platform(object: &SchemaObject) -> bool {
    object.owner.as_deref().is_some_and(is_reserved_role)
}

fn lives_in_managed_schema(id: &ObjectId) -> bool {
    id.schema.as_deref().is_some_and(is_managed_schema)
}

/// The relation or domain that an object hangs on.
pub(crate) fn holder<'a>(structure: &'a Structure, id: &ObjectId) -> Option<&'a SchemaObject> {
    let (schema, on) = (id.schema.as_ref()?, id.on.as_ref()?);
    [
        ObjectKind::Table,
        ObjectKind::View,
        ObjectKind::MaterializedView,
        ObjectKind::ForeignTable,
        ObjectKind::Domain,
    ]
    .into_iter()
    .find_map(|kind| structure.objects.get(&ObjectId::of(kind, schema, on)))
}
