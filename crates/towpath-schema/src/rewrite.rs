//! Statements that go changed: the tree is edited and written anew.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableType, CreateFunctionStmt, CreatePolicyStmt, CreateUserMappingStmt, DefElem, Node,
    RoleSpec, RoleSpecType,
};
use serde_json::Value;
use towpath_model::Result;
use towpath_model::structure::SchemaObject;

use crate::decision::Decisions;
use crate::reserved::{USER_OWNER, is_server_role};
use crate::rules::Evidence;
use crate::setting::{Carriage, carriage};
use crate::statement::deparse;

/// Settings in a function's definition that the target's master may not give.
pub(crate) fn refused_settings(object: &SchemaObject, evidence: &Evidence<'_>) -> Vec<String> {
    let Some(config) = object.aspects.get("config").and_then(Value::as_array) else {
        return Vec::new();
    };
    config
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|entry| entry.split_once('=').map(|(name, _)| name))
        .filter(|name| is_refused(name, evidence))
        .map(str::to_owned)
        .collect()
}

fn is_refused(name: &str, evidence: &Evidence<'_>) -> bool {
    // A secret in a function is the user's own text; refused is only what the server refuses. A
    // placeholder may be set by a function from any login.
    !name.contains('.') && carriage(name, evidence) == Carriage::Privileged
}

/// Attributes of a function that only a superuser gives, as aspects of the object and as options of
/// the statement: <https://www.postgresql.org/docs/15/sql-createfunction.html>.
const SUPERUSERS: [&str; 2] = ["leakproof", "support"];

/// Those of its attributes that the target's master may not give.
pub(crate) fn refused_attributes(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
) -> Vec<&'static str> {
    if evidence.target.is_superuser {
        return Vec::new();
    }
    let has = |attribute: &str| match object.aspects.get(attribute) {
        Some(Value::Bool(is)) => *is,
        other => other.is_some(),
    };
    SUPERUSERS.into_iter().filter(|name| has(name)).collect()
}

/// A function without the settings and attributes that the target refuses.
pub(crate) fn function(statement: &CreateFunctionStmt, evidence: &Evidence<'_>) -> Result<String> {
    let mut statement = statement.clone();
    let superusers = |name: &str| !evidence.target.is_superuser && SUPERUSERS.contains(&name);
    statement.options.retain(|option| match &option.node {
        Some(NodeEnum::DefElem(element)) => {
            !superusers(&element.defname)
                && set_name(element).is_none_or(|name| !is_refused(name, evidence))
        }
        _ => true,
    });
    deparse(&NodeEnum::CreateFunctionStmt(Box::new(statement)))
}

fn set_name(element: &DefElem) -> Option<&str> {
    if element.defname != "set" {
        return None;
    }
    match element.arg.as_ref()?.node.as_ref()? {
        NodeEnum::VariableSetStmt(set) => Some(&set.name),
        _ => None,
    }
}

/// Whether this is `alter table … force row level security`.
pub(crate) fn forces_row_security(node: &NodeEnum) -> bool {
    let NodeEnum::AlterTableStmt(statement) = node else {
        return false;
    };
    statement.cmds.iter().any(|command| match &command.node {
        Some(NodeEnum::AlterTableCmd(command)) => {
            command.subtype() == AlterTableType::AtForceRowSecurity
        }
        _ => false,
    })
}

/// Roles of a policy as they are on the target.
#[derive(Debug, PartialEq)]
pub(crate) enum PolicyRoles {
    /// All of them go.
    Same,
    /// Some do not, or have another name.
    Changed(String),
    /// None of them goes: the policy would apply to nobody.
    Nobody,
}

/// A policy with the roles that exist on the target.
pub(crate) fn policy(
    statement: &CreatePolicyStmt,
    decisions: &Decisions,
    owner: &str,
) -> Result<PolicyRoles> {
    let mut rewritten = statement.clone();
    rewritten.roles = statement
        .roles
        .iter()
        .filter_map(|node| node_on_target(node, decisions, owner))
        .collect();
    if rewritten.roles == statement.roles {
        return Ok(PolicyRoles::Same);
    }
    if rewritten.roles.is_empty() {
        return Ok(PolicyRoles::Nobody);
    }
    deparse(&NodeEnum::CreatePolicyStmt(Box::new(rewritten))).map(PolicyRoles::Changed)
}

fn node_on_target(node: &Node, decisions: &Decisions, owner: &str) -> Option<Node> {
    let Some(NodeEnum::RoleSpec(spec)) = &node.node else {
        return Some(node.clone());
    };
    if spec.roletype() != RoleSpecType::RolespecCstring {
        return Some(node.clone());
    }
    role_on_target(&spec.rolename, decisions, owner).map(|name| Node {
        node: Some(NodeEnum::RoleSpec(RoleSpec {
            rolename: name.to_owned(),
            ..spec.clone()
        })),
    })
}

/// The name that a role has on the target, when it is there. `public` is everybody everywhere.
pub(crate) fn role_on_target<'r>(
    role: &'r str,
    decisions: &Decisions,
    owner: &'r str,
) -> Option<&'r str> {
    if role == USER_OWNER || role == owner {
        return Some(owner);
    }
    (role == "public" || decisions.role_goes(role) || is_server_role(role)).then_some(role)
}

/// Who a user mapping is of.
pub(crate) fn user_mapping(
    statement: &CreateUserMappingStmt,
    decisions: &Decisions,
    owner: &str,
) -> Result<Option<String>> {
    let mut rewritten = statement.clone();
    if let Some(spec) = &mut rewritten.user
        && spec.roletype() == RoleSpecType::RolespecCstring
    {
        match role_on_target(&spec.rolename, decisions, owner) {
            Some(name) => spec.rolename = name.to_owned(),
            None => return Ok(None),
        }
    }
    deparse(&NodeEnum::CreateUserMappingStmt(rewritten)).map(Some)
}
