//! Roles that pass row security on the source, on a target whose master gives no BYPASSRLS and owns
//! every table.
//!
//! Each table with row security gets one more policy that lets exactly the roles with BYPASSRLS
//! through, and another for the limited role that owned it, and restrictive policies are made to
//! let them through too. Unlike membership in the owner this gives
//! no privilege that the role did not have: grants decide as before. `current_user` is asked,
//! because BYPASSRLS belongs to the role itself and is not inherited by its members.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::NodeEnum;
use pg_query::protobuf::{BoolExpr, CreatePolicyStmt, Node};
use serde_json::{Value, json};
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::schema::{Certainty, RuntimeBreak};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::decision::{Decisions, Verdict};
use crate::options::ServiceRole;
use crate::owner;
use crate::reserved::USER_OWNER;
use crate::rules::Evidence;

/// Name of the policies for roles with BYPASSRLS.
const POLICY: &str = "towpath bypasses row security";

/// Name of the policies for owners of tables.
const OWNER_POLICY: &str = "towpath lets the owner through";

/// The rule that the policies made here are reported under.
pub(crate) const RULE: &str = "bypass";

/// Names of the policies made here.
pub(crate) const POLICIES: [&str; 2] = [POLICY, OWNER_POLICY];

/// Aspects of a restrictive policy that change.
const CHANGED: [&str; 2] = ["using", "with_check"];

/// Roles that go, and pass row security on the source but not on the target: no role is made with
/// BYPASSRLS, whoever the master is.
pub(crate) fn roles(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<String> {
    let bypasses = |role: &SchemaObject| is(role, "bypassrls");
    evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Role && decisions.goes(&object.id))
        .filter(|role| bypasses(role) && role.id.name != USER_OWNER)
        .filter(|role| {
            role.id.name != "service_role" || evidence.options.service_role == ServiceRole::Policies
        })
        .map(|role| role.id.name.clone())
        .collect()
}

fn is(object: &SchemaObject, aspect: &str) -> bool {
    object.aspects.get(aspect).and_then(Value::as_bool) == Some(true)
}

/// Who passes row security of one table on the source, and does not on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exempt {
    /// Roles with BYPASSRLS.
    roles: Vec<String>,
    /// The role that owned the table.
    owner: Option<String>,
}

impl Exempt {
    fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.owner.is_none()
    }

    /// Asks whether the current role is one of them. Members of an owner pass with it.
    fn condition(&self) -> String {
        let bypassing = (!self.roles.is_empty()).then(|| condition(&self.roles));
        let owning = self.owner.as_ref().map(|owner| {
            let owner = quote_literal(owner);
            format!(
                "pg_catalog.pg_has_role(current_user, {}, 'usage')",
                owner.trim()
            )
        });
        let all: Vec<String> = bypassing.into_iter().chain(owning).collect();
        all.join(" or ")
    }

    /// The same as the server shows it.
    fn shown(&self) -> String {
        let bypassing = (!self.roles.is_empty()).then(|| shown_condition(&self.roles));
        let owning = self.owner.as_ref().map(|owner| {
            let owner = quote_literal(owner);
            format!(
                "pg_has_role(CURRENT_USER, {}::name, 'usage'::text)",
                owner.trim()
            )
        });
        let all: Vec<String> = bypassing.into_iter().chain(owning).collect();
        all.join(" OR ")
    }
}

/// Who is to be let through on a table.
pub(crate) fn exempt(
    table: &QualifiedName,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Exempt {
    let id = ObjectId::of(ObjectKind::Table, &table.schema, &table.name);
    let owner = evidence.structure.objects.get(&id).and_then(|table| {
        let passes = is(table, "row_security") && !is(table, "force_row_security");
        owner::former(table, evidence, decisions).filter(|_| passes)
    });
    Exempt {
        roles: roles(evidence, decisions),
        owner: owner.map(str::to_owned),
    }
}

/// A policy of towpath's own.
pub(crate) struct BypassPolicy {
    pub object: SchemaObject,
    pub table: QualifiedName,
    pub sql: String,
    reason: String,
}

/// The policies of every table with row security.
pub(crate) fn policies(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<BypassPolicy> {
    evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Table && decisions.is_replayed(&object.id))
        .filter(|table| is(table, "row_security"))
        .filter_map(|table| {
            let table = QualifiedName::new(table.id.schema.as_deref()?, &table.id.name);
            let exempt = exempt(&table, evidence, decisions);
            let bypassing = (!exempt.roles.is_empty()).then(|| of_roles(&table, &exempt.roles));
            let owning = exempt.owner.map(|owner| of_owner(&table, &owner));
            Some(bypassing.into_iter().chain(owning))
        })
        .flatten()
        .collect()
}

fn of_roles(table: &QualifiedName, roles: &[String]) -> BypassPolicy {
    let mut sorted = roles.to_vec();
    sorted.sort();
    let reason = format!(
        "stands in for BYPASSRLS of {}, which no role of the target gets",
        roles.join(", ")
    );
    let shown = shown_condition(roles);
    policy(POLICY, table, &sorted, &condition(roles), &shown, reason)
}

/// Unlike BYPASSRLS, ownership is inherited and holds inside of the owner's views, where
/// `current_user` is the caller: the server asks for the policy's role alone, and that is right.
fn of_owner(table: &QualifiedName, owner: &str) -> BypassPolicy {
    let reason = format!("{owner} owns the table on the source and passes its row security");
    let roles = [owner.to_owned()];
    policy(OWNER_POLICY, table, &roles, "true", "true", reason)
}

fn policy(
    name: &str,
    table: &QualifiedName,
    roles: &[String],
    asked: &str,
    shown: &str,
    reason: String,
) -> BypassPolicy {
    let to: Vec<String> = roles.iter().map(|role| quote_identifier(role)).collect();
    let sql = format!(
        "create policy {} on {} for all to {} using ({asked}) with check ({asked})",
        quote_identifier(name),
        table.quoted(),
        to.join(", ")
    );
    let aspects = json!({
        "command": "all", "permissive": true, "roles": roles, "using": shown, "with_check": shown,
    });
    let aspects: BTreeMap<String, Value> = match aspects {
        Value::Object(fields) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    BypassPolicy {
        object: SchemaObject {
            id: ObjectId::on(ObjectKind::Policy, &table.schema, &table.name, name),
            oid: 0,
            owner: None,
            extension: None,
            comment: None,
            grants: Default::default(),
            aspects: aspects.into(),
        },
        table: table.clone(),
        sql,
        reason,
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

/// A restrictive policy as the server shows it after [`exempting`] has let somebody through.
pub(crate) fn restate(policy: &mut SchemaObject, evidence: &Evidence<'_>, decisions: &Decisions) {
    let (Some(schema), Some(on)) = (&policy.id.schema, &policy.id.on) else {
        return;
    };
    let exempt = exempt(&QualifiedName::new(schema, on), evidence, decisions);
    let is_restrictive = policy.aspects.get("permissive") == Some(&Value::Bool(false));
    if !is_restrictive || exempt.is_empty() {
        return;
    }
    for aspect in CHANGED {
        if let Some(Value::String(expression)) = policy.aspects.get_mut(aspect) {
            // What the server begins on a line of its own, it begins without a space before.
            let space = if expression.starts_with('\n') {
                ""
            } else {
                " "
            };
            *expression = format!("({} OR{space}{expression})", exempt.shown());
        }
    }
}

/// Views that show less than on the source: a restrictive policy can only ask for `current_user`,
/// and inside of the table owner's view that is the caller.
pub(crate) fn breaks(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<RuntimeBreak> {
    let restricted: BTreeSet<ObjectId> = evidence
        .structure
        .objects
        .values()
        .filter(|policy| policy.id.kind == ObjectKind::Policy && decisions.goes(&policy.id))
        .filter(|policy| policy.aspects.get("permissive") == Some(&Value::Bool(false)))
        .filter_map(|policy| {
            let (schema, table) = (policy.id.schema.as_ref()?, policy.id.on.as_ref()?);
            Some(ObjectId::of(ObjectKind::Table, schema, table))
        })
        .collect();
    let narrowed = |table: &ObjectId| {
        let schema = table.schema.as_deref().unwrap_or_default();
        let name = QualifiedName::new(schema, &table.name);
        let owner = exempt(&name, evidence, decisions).owner;
        let dependents = evidence.source.dependents.get(table);
        dependents
            .into_iter()
            .flatten()
            .filter(|id| id.kind == ObjectKind::View)
            .filter_map(|id| evidence.structure.objects.get(id))
            .filter(|view| {
                let of_view = owner::restored(view, evidence, decisions);
                of_view.is_some() && of_view == owner.as_deref()
            })
            .map(|view| RuntimeBreak {
                certainty: Certainty::Perhaps,
                ..RuntimeBreak::new(
                    view.id.clone(),
                    format!("{table} to let its owner past restrictive policies"),
                    "it may show fewer rows than on the source: inside of a view those policies see its caller; read the table through a function with SECURITY DEFINER instead",
                )
            })
            .collect::<Vec<_>>()
    };
    restricted.iter().flat_map(narrowed).collect()
}

/// Reports the policies made here.
pub(crate) fn report(policies: &[BypassPolicy], decisions: &mut Decisions) {
    for policy in policies {
        let verdict = Verdict::rewritten(policy.reason.clone(), &[]);
        decisions.set(&policy.object.id, RULE, verdict);
    }
}

/// A restrictive policy that lets the exempt roles through; nothing when the statement needs no
/// change.
pub(crate) fn exempting(
    statement: &CreatePolicyStmt,
    exempt: &Exempt,
) -> Result<Option<CreatePolicyStmt>> {
    if statement.permissive || exempt.is_empty() {
        return Ok(None);
    }
    let mut changed = statement.clone();
    for expression in [&mut changed.qual, &mut changed.with_check] {
        if let Some(node) = expression.take() {
            *expression = Some(Box::new(either(exempt, *node)?));
        }
    }
    Ok(Some(changed))
}

/// `current_user in (roles) or (expression)`.
fn either(exempt: &Exempt, expression: Node) -> Result<Node> {
    let odd = || {
        Failure::new(
            ErrorKind::Internal,
            "could not write a restrictive policy anew",
        )
    };
    let text = format!("select {} or true", exempt.condition());
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
        let mut exempt = Exempt::default();
        assert_eq!(exempting(&statement, &exempt).unwrap(), None);
        exempt.roles.push("service_role".to_owned());
        let changed = exempting(&statement, &exempt).unwrap().unwrap();
        let sql = deparse(&NodeEnum::CreatePolicyStmt(Box::new(changed))).unwrap();
        assert!(sql.contains("IN ('service_role') OR a = 1"), "{sql}");
        assert!(sql.contains("IN ('service_role') OR b"), "{sql}");
        exempt.owner = Some("it's".to_owned());
        let changed = exempting(&statement, &exempt).unwrap().unwrap();
        let sql = deparse(&NodeEnum::CreatePolicyStmt(Box::new(changed))).unwrap();
        assert!(
            sql.contains("pg_has_role(current_user, 'it''s', 'usage') OR a = 1"),
            "{sql}"
        );
    }
}
