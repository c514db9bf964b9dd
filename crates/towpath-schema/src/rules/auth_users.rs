//! `auth.users` goes when something of the user's needs it: the accounts are the user's own data.

use towpath_model::schema::Decision;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings, is_owned_by_platform};
use crate::decision::{Decisions, Verdict};

/// The table of accounts.
fn users() -> ObjectId {
    ObjectId::of(ObjectKind::Table, "auth", "users")
}

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    findings: &Findings,
) -> Option<Verdict> {
    let id = &object.id;
    if *id == users() && is_owned_by_platform(object) {
        return findings
            .carries_users
            .then(|| Verdict::kept("an object of the user needs the accounts"));
    }
    if !hangs_on_users(id) {
        return None;
    }
    if !findings.carries_users {
        return Some(Verdict::dropped("auth.users does not go"));
    }
    if id.kind == ObjectKind::Trigger && !calls_the_user(id, evidence) {
        return Some(Verdict::dropped("calls a function of the platform"));
    }
    Some(Verdict::kept("auth.users goes"))
}

fn hangs_on_users(id: &ObjectId) -> bool {
    id.schema.as_deref() == Some("auth") && id.on.as_deref() == Some("users")
}

/// A trigger has no owner: whose it is shows in whose function it calls.
fn calls_the_user(trigger: &ObjectId, evidence: &Evidence<'_>) -> bool {
    evidence
        .source
        .trigger_functions
        .get(trigger)
        .and_then(|function| evidence.structure.objects.get(function))
        .is_some_and(|function| function.extension.is_some() || !is_owned_by_platform(function))
}

/// Whether something that goes depends on the table, is a trigger on it, or names it in a body.
pub(super) fn is_needed(evidence: &Evidence<'_>, provisional: &Decisions) -> bool {
    let by_catalog = evidence
        .source
        .dependents
        .get(&users())
        .is_some_and(|dependents| {
            dependents.iter().any(|by| {
                provisional.of(by).is_some_and(|d| d != Decision::Dropped)
                    || (by.kind == ObjectKind::Trigger
                        && hangs_on_users(by)
                        && calls_the_user(by, evidence))
            })
        });
    let by_body = || {
        evidence
            .source
            .bodies
            .keys()
            .any(|by| provisional.goes(by) && evidence.references.name(by, "auth", "users"))
    };
    by_catalog || by_body()
}
