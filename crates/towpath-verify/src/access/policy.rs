//! Policies for writing, asked without writing: for rows that both sides are given alike, would they
//! let them be added, changed, removed?
//!
//! They are put together as the server does (`get_row_security_policies` in
//! `rewrite/rowsecurity.c`): one of the permissive ones must say yes and none of the restrictive
//! ones no; where a policy has no check of its own, its condition is the check.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use towpath_model::access::AccessOperation;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

/// A policy as one side has it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Policy {
    schema: String,
    relation: String,
    command: String,
    is_permissive: bool,
    is_for_everybody: bool,
    roles: BTreeSet<String>,
    condition: Option<String>,
    check: Option<String>,
}

/// Policies of a side by relation.
pub(crate) type Policies = HashMap<QualifiedName, Vec<Policy>>;

/// Reads them under an empty search path, so that every name in them is qualified.
pub(crate) async fn policies(session: &mut Session) -> Result<Policies> {
    let all: Vec<Policy> = session.fetch(POLICIES, &[]).await?;
    let mut policies = Policies::new();
    for policy in all {
        let relation = QualifiedName::new(&policy.schema, &policy.relation);
        policies.entry(relation).or_default().push(policy);
    }
    Ok(policies)
}

const POLICIES: &str = "
    select n.nspname as schema, c.relname as relation, p.polcmd::pg_catalog.text as command,
           p.polpermissive as is_permissive,
           0::pg_catalog.oid = any (p.polroles) as is_for_everybody,
           array(select r.rolname::pg_catalog.text from pg_catalog.pg_roles r
                  where r.oid = any (p.polroles)) as roles,
           pg_catalog.pg_get_expr(p.polqual, p.polrelid) as condition,
           pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check
      from pg_catalog.pg_policy p
      join pg_catalog.pg_class c on c.oid = p.polrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     order by n.nspname, c.relname, p.polname";

impl Policy {
    fn applies_to(&self, command: char, roles: &BTreeSet<String>) -> bool {
        (self.command == "*" || self.command.starts_with(command))
            && (self.is_for_everybody || !self.roles.is_disjoint(roles))
    }

    fn check(&self) -> Option<&String> {
        self.check.as_ref().or(self.condition.as_ref())
    }

    /// Everything in it that may name a table or a function.
    pub(crate) fn text(&self) -> String {
        let texts = [&self.condition, &self.check];
        let texts: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
        texts.join(" ")
    }
}

/// The condition under which a row may be written so, by somebody who has the rights of these roles
/// and is under row-level security.
pub(crate) fn condition(
    policies: &[Policy],
    operation: AccessOperation,
    roles: &BTreeSet<String>,
) -> String {
    let conditions = |command| combined(policies, command, roles, |p| p.condition.as_ref());
    let checks = |command| combined(policies, command, roles, Policy::check);
    match operation {
        AccessOperation::Insert => checks('a'),
        // A row that stays as it is: it must be one that may be changed, and may be the outcome.
        AccessOperation::Update => format!("{} and {}", conditions('w'), checks('w')),
        AccessOperation::Delete => conditions('d'),
        AccessOperation::Select | AccessOperation::Privileges | AccessOperation::SetRole => {
            conditions('r')
        }
    }
}

fn combined<'p>(
    policies: &'p [Policy],
    command: char,
    roles: &BTreeSet<String>,
    expression: impl Fn(&'p Policy) -> Option<&'p String>,
) -> String {
    let of = |is_permissive: bool| -> Vec<String> {
        policies
            .iter()
            .filter(|policy| policy.is_permissive == is_permissive)
            .filter(|policy| policy.applies_to(command, roles))
            .filter_map(&expression)
            .map(|text| format!("({text})"))
            .collect()
    };
    let (permissive, restrictive) = (of(true), of(false));
    if permissive.is_empty() {
        return "false".to_owned();
    }
    let mut all = vec![format!("({})", permissive.join(" or "))];
    all.extend(restrictive);
    format!("coalesce({}, false)", all.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(command: &str, is_permissive: bool, role: &str, texts: [Option<&str>; 2]) -> Policy {
        Policy {
            schema: "public".to_owned(),
            relation: "t".to_owned(),
            command: command.to_owned(),
            is_permissive,
            is_for_everybody: role == "public",
            roles: [role.to_owned()].into(),
            condition: texts[0].map(str::to_owned),
            check: texts[1].map(str::to_owned),
        }
    }

    fn anon() -> BTreeSet<String> {
        ["anon".to_owned()].into()
    }

    #[test]
    fn permissive_ones_let_and_restrictive_ones_cut() {
        let all = [
            policy("*", true, "anon", [Some("a"), None]),
            policy("w", true, "public", [Some("b"), Some("c")]),
            policy("w", false, "public", [Some("d"), None]),
            policy("w", true, "somebody else", [Some("e"), None]),
        ];
        assert_eq!(
            condition(&all, AccessOperation::Update, &anon()),
            "coalesce(((a) or (b)) and (d), false) and coalesce(((a) or (c)) and (d), false)"
        );
        assert_eq!(
            condition(&all, AccessOperation::Delete, &anon()),
            "coalesce(((a)), false)"
        );
        assert_eq!(
            condition(&all, AccessOperation::Insert, &anon()),
            "coalesce(((a)), false)"
        );
    }

    #[test]
    fn without_a_permissive_one_nothing_may_be_written() {
        let all = [policy("*", false, "public", [Some("true"), None])];
        for operation in [
            AccessOperation::Insert,
            AccessOperation::Update,
            AccessOperation::Delete,
        ] {
            let condition = condition(&all, operation, &anon());
            assert!(condition.starts_with("false"), "{condition}");
        }
    }
}
