//! Roles of the target: made when they are missing, never with rights its master cannot give.

use serde_json::Value;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use crate::decision::Decisions;
use crate::reserved::{USER_OWNER, is_api_role};
use crate::rules::Evidence;

/// From this version on the creator of a role is a member of it, with admin rights only; making it
/// a member of its creator would be a ring.
const CREATOR_IS_MEMBER: u32 = 160_000;

/// The statements that make the roles and their memberships.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    let roles: Vec<&SchemaObject> = evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Role && decisions.goes(&object.id))
        .collect();
    let mut statements = Vec::new();
    for role in &roles {
        statements.push((role.id.clone(), creation(role, evidence)));
        if let (Some(comment), false) = (&role.comment, is_api_role(&role.id.name)) {
            let sql = format!(
                "comment on role {} is {}",
                quote_identifier(&role.id.name),
                quote_literal(comment).trim()
            );
            statements.push((role.id.clone(), sql));
        }
    }
    for role in &roles {
        let memberships = memberships(role, evidence, decisions);
        if let Some(sql) = reachable(role, evidence, &memberships) {
            statements.push((role.id.clone(), sql));
        }
        for membership in &memberships {
            let sql = format!(
                "grant {} to {}{}",
                quote_identifier(&membership.of),
                quote_identifier(&role.id.name),
                if membership.admin {
                    " with admin option"
                } else {
                    ""
                }
            );
            statements.push((role.id.clone(), sql));
        }
    }
    statements
}

fn creation(role: &SchemaObject, evidence: &Evidence<'_>) -> String {
    let is = |aspect: &str| role.aspects.get(aspect).and_then(Value::as_bool) == Some(true);
    let api = is_api_role(&role.id.name);
    let mut words = vec![if is("login") && !api {
        "login"
    } else {
        "nologin"
    }];
    words.push(if is("inherit") || api {
        "inherit"
    } else {
        "noinherit"
    });
    if !api && evidence.target.can_create_roles {
        if is("createdb") {
            words.push("createdb");
        }
        if is("createrole") {
            words.push("createrole");
        }
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if !api {
        words.extend(limits(role));
    }
    let name = &role.id.name;
    format!(
        "do $towpath$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = {}) then
        create role {} {};
    end if;
end
$towpath$",
        quote_literal(name).trim(),
        quote_identifier(name),
        words.join(" ")
    )
}

fn limits(role: &SchemaObject) -> impl Iterator<Item = String> {
    let connections = role
        .aspects
        .get("connection_limit")
        .and_then(Value::as_i64)
        .filter(|limit| *limit >= 0)
        .map(|limit| format!("connection limit {limit}"));
    let until = role
        .aspects
        .get("valid_until")
        .and_then(Value::as_str)
        .map(|until| format!("valid until {}", quote_literal(until).trim()));
    connections.into_iter().chain(until)
}

/// Lets the owner switch to the role, and set default privileges for it. A role that is a member of
/// the owner cannot have the owner as a member too.
fn reachable(
    role: &SchemaObject,
    evidence: &Evidence<'_>,
    memberships: &[Membership],
) -> Option<String> {
    let name = quote_identifier(&role.id.name);
    let owner = &evidence.options.target_owner;
    if memberships.iter().any(|membership| membership.of == *owner) {
        return None;
    }
    Some(if evidence.target.version_num >= CREATOR_IS_MEMBER {
        format!("grant {name} to current_user with inherit true, set true")
    } else {
        format!("grant {name} to current_user")
    })
}

/// Whether a role can be made a member of the owner that made it.
fn ring_is_possible(evidence: &Evidence<'_>) -> bool {
    evidence.target.version_num < CREATOR_IS_MEMBER || evidence.target.is_superuser
}

/// One membership as the target has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub of: String,
    pub admin: bool,
}

/// Memberships of a role in others that go. Who was a member of the source's owner becomes one of
/// the target's.
pub(crate) fn memberships(
    role: &SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<Membership> {
    let list = role.aspects.get("memberships").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|membership| {
            let of = membership.get("role").and_then(Value::as_str)?;
            let admin = membership.get("admin").and_then(Value::as_bool) == Some(true);
            let of_owner = of == USER_OWNER || of == evidence.options.target_owner;
            let of = if of_owner {
                ring_is_possible(evidence).then(|| evidence.options.target_owner.clone())
            } else {
                decisions.role_goes(of).then(|| of.to_owned())
            };
            Some(Membership { of: of?, admin })
        })
        .collect()
}
