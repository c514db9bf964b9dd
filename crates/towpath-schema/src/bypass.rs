//! Roles that pass row security on the source, on a target whose master cannot give BYPASSRLS.
//!
//! Each table with row security gets one more policy that lets exactly those roles through, and
//! restrictive policies are made to let them through too. Unlike membership in the owner this gives
//! no privilege that the role did not have: grants decide as before. `current_user` is asked,
//! because BYPASSRLS belongs to the role itself and is not inherited by its members.

use std::collections::BTreeMap;

use pg_query::NodeEnum;
use pg_query::protobuf::{BoolExpr, CreatePolicyStmt, Node};
use serde_json::{Value, json};
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::decision::{Decisions, Verdict};
use crate::reserved::USER_OWNER;
use crate::rules::Evidence;

/// Name of the policies made here.
const POLICY: &str = "towpath bypasses row security";

/// Aspects of a restrictive policy that change.
pub(crate) const CHANGED: [&str; 2] = ["using", "with_check"];

/// Roles that go, and pass row security on the source but not on the target.
pub(crate) fn roles(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<String> {
    if evidence.target.bypasses_rls {
        return Vec::new();
    }
    let bypasses = |role: &SchemaObject| is(role, "bypassrls");
    evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Role && decisions.goes(&object.id))
        .filter(|role| bypasses(role) && role.id.name != USER_OWNER)
        .map(|role| role.id.name.clone())
        .collect()
}

fn is(object: &SchemaObject, aspect: &str) -> bool {
    object.aspects.get(aspect).and_then(Value::as_bool) == Some(true)
}

/// A policy of towpath's own.
pub(crate) struct BypassPolicy {
    pub object: SchemaObject,
    pub table: QualifiedName,
    pub sql: String,
}

/// One policy for every table with row security.
pub(crate) fn policies(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<BypassPolicy> {
    let roles = roles(evidence, decisions);
    if roles.is_empty() {
        return Vec::new();
    }
    evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Table && decisions.is_replayed(&object.id))
        .filter(|table| is(table, "row_security"))
        .filter_map(|table| Some(policy(table.id.schema.as_deref()?, &table.id.name, &roles)))
        .collect()
}

fn policy(schema: &str, table: &str, roles: &[String]) -> BypassPolicy {
    let name = QualifiedName::new(schema, table);
    let to: Vec<String> = roles.iter().map(|role| quote_identifier(role)).collect();
    let asked = condition(roles);
    let sql = format!(
        "create policy {} on {} for all to {} using ({asked}) with check ({asked})",
        quote_identifier(POLICY),
        name.quoted(),
        to.join(", ")
    );
    let mut sorted = roles.to_vec();
    sorted.sort();
    let shown = shown_condition(roles);
    let aspects = json!({
        "command": "all", "permissive": true, "roles": sorted, "using": shown, "with_check": shown,
    });
    let aspects: BTreeMap<String, Value> = match aspects {
        Value::Object(fields) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    BypassPolicy {
        object: SchemaObject {
            id: ObjectId::on(ObjectKind::Policy, schema, table, POLICY),
            oid: 0,
            owner: None,
            extension: None,
            comment: None,
            grants: Default::default(),
            aspects,
        },
        table: name,
        sql,
    }
}

fn condition(roles: &[String]) -> String {
    let names: Vec<String> = roles
        .iter()
        .map(|role| quote_literal(role).trim().to_owned())
        .collect();
    format!("current_user in ({})", names.join(", "))
}

/// The condition as the server shows it.
fn shown_condition(roles: &[String]) -> String {
    let names: Vec<String> = roles
        .iter()
        .map(|role| format!("{}::name", quote_literal(role).trim()))
        .collect();
    match names.as_slice() {
        [one] => format!("(CURRENT_USER = {one})"),
        many => format!("(CURRENT_USER = ANY (ARRAY[{}]))", many.join(", ")),
    }
}

/// Reports the policies made here.
pub(crate) fn report(policies: &[BypassPolicy], roles: &[String], decisions: &mut Decisions) {
    for policy in policies {
        let reason = format!(
            "stands in for BYPASSRLS of {}, which the target's master cannot give",
            roles.join(", ")
        );
        decisions.set(&policy.object.id, "bypass", Verdict::rewritten(reason, &[]));
    }
}

/// A restrictive policy that lets the bypassing roles through; nothing when the statement needs no
/// change.
pub(crate) fn exempting(
    statement: &CreatePolicyStmt,
    roles: &[String],
) -> Result<Option<CreatePolicyStmt>> {
    if statement.permissive || roles.is_empty() {
        return Ok(None);
    }
    let mut changed = statement.clone();
    for expression in [&mut changed.qual, &mut changed.with_check] {
        if let Some(node) = expression.take() {
            *expression = Some(Box::new(either(roles, *node)?));
        }
    }
    Ok(Some(changed))
}

/// `current_user in (roles) or (expression)`.
fn either(roles: &[String], expression: Node) -> Result<Node> {
    let odd = || {
        Failure::new(
            ErrorKind::Internal,
            "could not write a restrictive policy anew",
        )
    };
    let text = format!("select {} or true", condition(roles));
    let parsed = pg_query::parse(&text, pg_query::ParserOptions::DEFAULT)
        .map_err(|cause| odd().because(cause))?;
    let statement = parsed
        .protobuf
        .stmts
        .into_iter()
        .next()
        .and_then(|raw| raw.stmt);
    let Some(NodeEnum::SelectStmt(select)) = statement.and_then(|stmt| stmt.node) else {
        return Err(odd());
    };
    let target = select
        .target_list
        .into_iter()
        .next()
        .and_then(|node| node.node);
    let Some(NodeEnum::ResTarget(target)) = target else {
        return Err(odd());
    };
    let Some(NodeEnum::BoolExpr(or)) = target.val.and_then(|value| value.node) else {
        return Err(odd());
    };
    let mut args = or.args.clone();
    args.pop();
    args.push(expression);
    Ok(Node {
        node: Some(NodeEnum::BoolExpr(Box::new(BoolExpr { args, ..*or }))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{deparse, parse};

    #[test]
    fn a_restrictive_policy_lets_the_roles_through() {
        let node = parse(
            "create policy p on t as restrictive for all to public using (a = 1) with check (b)",
        );
        let NodeEnum::CreatePolicyStmt(statement) = node.unwrap() else {
            panic!("not a policy");
        };
        let roles = ["service_role".to_owned()];
        let changed = exempting(&statement, &roles).unwrap().unwrap();
        let sql = deparse(&NodeEnum::CreatePolicyStmt(Box::new(changed))).unwrap();
        assert!(sql.contains("IN ('service_role') OR a = 1"), "{sql}");
        assert!(sql.contains("IN ('service_role') OR b"), "{sql}");
        assert_eq!(exempting(&statement, &[]).unwrap(), None);
    }
}
