//! Roles: the API's are made anew, the user's are carried, the platform's stay.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;
use crate::options::ServiceRole;
use crate::reserved::{USER_OWNER, is_api_role, is_reserved_role};

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Role {
        return None;
    }
    let name = object.id.name.as_str();
    let owner = evidence.options.target_owner.as_str();
    Some(if name == USER_OWNER {
        Verdict::dropped(format!(
            "role {owner} of the target takes its place as owner of everything"
        ))
    } else if name == owner {
        Verdict::dropped("the target has a role of this name already: the owner of everything")
    } else if name == "service_role" {
        Verdict::emulated(match evidence.options.service_role {
            ServiceRole::Policies => {
                "made without BYPASSRLS: a policy on each table with row security lets it through instead"
            }
            ServiceRole::Nothing => {
                "made without BYPASSRLS, and schema.service_role lets it through nowhere: it sees what policies leave it"
            }
        })
    } else if is_api_role(name) {
        Verdict::emulated("policies and grants name it")
    } else if is_reserved_role(name) {
        Verdict::dropped("belongs to the platform")
    } else if is_superuser(object) {
        Verdict::dropped("is superuser on the source; the target has its own")
    } else {
        user_role(object, evidence)
    })
}

/// Attributes that only a superuser gives are left behind, everything else is carried.
fn user_role(object: &SchemaObject, evidence: &Evidence<'_>) -> Verdict {
    let may_make_roles = evidence.target.can_create_roles;
    let lost: Vec<&str> = ["bypassrls", "replication", "createdb", "createrole"]
        .into_iter()
        .filter(|attribute| has(object, attribute))
        .filter(|attribute| !(may_make_roles && attribute.starts_with("create")))
        .collect();
    let mut reason = "made by the user".to_owned();
    if has(object, "login") {
        reason.push_str("; its password stays behind, set one on the target");
    }
    if lost.is_empty() {
        return Verdict::kept(reason);
    }
    reason.push_str(&format!(
        "; without {}, which the target's master cannot give",
        lost.join(", ")
    ));
    Verdict::rewritten(reason, &lost)
}

fn is_superuser(object: &SchemaObject) -> bool {
    has(object, "superuser")
}

fn has(object: &SchemaObject, attribute: &str) -> bool {
    object
        .aspects
        .get(attribute)
        .and_then(serde_json::Value::as_bool)
        == Some(true)
}
