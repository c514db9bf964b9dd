//! Privileges: filtered grantee by grantee, because some of them do not go.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDefaultPrivilegesStmt, GrantStmt, Node, ObjectType, RoleSpec, RoleSpecType,
};
use towpath_model::Result;
use towpath_model::structure::{Grant, ObjectId, ObjectKind};

use crate::decision::Decisions;
use crate::reserved::{USER_OWNER, is_server_role};
use crate::statement::deparse;
use crate::type_name::strings;

/// Whether a role that a privilege names may keep it: it exists on the target and does not own
/// everything anyway.
pub(crate) fn keeps(role: &str, decisions: &Decisions, owner: &str) -> bool {
    if role == USER_OWNER || role == owner {
        return false;
    }
    role == "public" || is_server_role(role) || decisions.role_goes(role)
}

/// The privileges of a catalog object that the target's object has.
pub(crate) fn filtered(
    grants: &std::collections::BTreeSet<Grant>,
    decisions: &Decisions,
    owner: &str,
) -> std::collections::BTreeSet<Grant> {
    grants
        .iter()
        .filter(|grant| keeps(&grant.grantee, decisions, owner))
        .cloned()
        .collect()
}

/// What remains of a grant or revoke.
#[derive(Debug, PartialEq)]
pub(crate) enum Remains {
    /// All of it: the original bytes are replayed.
    Same,
    /// Some of it, written anew.
    Changed(String),
    /// Nothing.
    Nothing,
}

/// A grant or revoke for the roles that go. `former_owner` owned the object on the source: as a
/// grantee it is spoken of elsewhere.
pub(crate) fn grant(
    statement: &GrantStmt,
    decisions: &Decisions,
    owner: &str,
    former_owner: Option<&str>,
) -> Result<Remains> {
    let mut rewritten = statement.clone();
    rewritten.grantees = kept_grantees(&statement.grantees, decisions, owner, former_owner);
    // A grantor other than the current role is refused; the owner of everything grants everything.
    rewritten.grantor = None;
    if rewritten.grantees.is_empty() {
        return Ok(Remains::Nothing);
    }
    if rewritten == *statement {
        return Ok(Remains::Same);
    }
    deparse(&NodeEnum::GrantStmt(rewritten)).map(Remains::Changed)
}

/// Default privileges for the roles that go, of the target's owner.
pub(crate) fn default_privileges(
    statement: &AlterDefaultPrivilegesStmt,
    decisions: &Decisions,
    owner: &str,
) -> Result<Remains> {
    let mut rewritten = statement.clone();
    let of_owner = default_privileges_id(statement).is_some_and(|id| id.name == USER_OWNER);
    if of_owner {
        for option in &mut rewritten.options {
            rename_role(option, owner);
        }
    }
    if let Some(action) = &mut rewritten.action {
        action.grantees = kept_grantees(&action.grantees, decisions, owner, None);
        if action.grantees.is_empty() {
            return Ok(Remains::Nothing);
        }
    }
    if rewritten == *statement {
        return Ok(Remains::Same);
    }
    deparse(&NodeEnum::AlterDefaultPrivilegesStmt(rewritten)).map(Remains::Changed)
}

fn rename_role(option: &mut Node, owner: &str) {
    let Some(NodeEnum::DefElem(element)) = &mut option.node else {
        return;
    };
    if element.defname != "roles" {
        return;
    }
    let Some(NodeEnum::List(list)) = element.arg.as_mut().and_then(|arg| arg.node.as_mut()) else {
        return;
    };
    for item in &mut list.items {
        if let Some(NodeEnum::RoleSpec(spec)) = &mut item.node {
            owner.clone_into(&mut spec.rolename);
        }
    }
}

fn kept_grantees(
    grantees: &[Node],
    decisions: &Decisions,
    owner: &str,
    former_owner: Option<&str>,
) -> Vec<Node> {
    grantees
        .iter()
        .filter(|node| match &node.node {
            Some(NodeEnum::RoleSpec(role)) => {
                let name = role_name(role);
                Some(name) != former_owner && keeps(name, decisions, owner)
            }
            _ => true,
        })
        .cloned()
        .collect()
}

fn role_name(role: &RoleSpec) -> &str {
    match role.roletype() {
        RoleSpecType::RolespecPublic => "public",
        _ => &role.rolename,
    }
}

/// Which default privileges a statement speaks of.
pub(crate) fn default_privileges_id(s: &AlterDefaultPrivilegesStmt) -> Option<ObjectId> {
    let mut role = None;
    let mut schema = None;
    for option in &s.options {
        let Some(NodeEnum::DefElem(element)) = &option.node else {
            continue;
        };
        let Some(NodeEnum::List(list)) = element.arg.as_ref().and_then(|arg| arg.node.as_ref())
        else {
            continue;
        };
        match element.defname.as_str() {
            "schemas" => schema = strings(&list.items).into_iter().next(),
            "roles" => {
                role = list.items.first().and_then(|item| match &item.node {
                    Some(NodeEnum::RoleSpec(spec)) => Some(spec.rolename.clone()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let of = match s.action.as_ref()?.objtype() {
        ObjectType::ObjectTable => "tables",
        ObjectType::ObjectSequence => "sequences",
        ObjectType::ObjectFunction => "functions",
        ObjectType::ObjectType => "types",
        ObjectType::ObjectSchema => "schemas",
        ObjectType::ObjectLargeobject => "large objects",
        _ => return None,
    };
    Some(ObjectId {
        schema,
        ..ObjectId::global(ObjectKind::DefaultPrivileges, &role?).with_args(of)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::statement::parse;

    fn decisions() -> Decisions {
        let mut decisions = Decisions::default();
        for role in ["anon", "authenticated", "app_readonly"] {
            let id = ObjectId::global(ObjectKind::Role, role);
            decisions.set(&id, "role", Verdict::emulated(""));
        }
        decisions
    }

    fn remains(sql: &str) -> Remains {
        match parse(sql).unwrap() {
            NodeEnum::GrantStmt(s) => grant(&s, &decisions(), "towner", None).unwrap(),
            NodeEnum::AlterDefaultPrivilegesStmt(s) => {
                default_privileges(&s, &decisions(), "towner").unwrap()
            }
            _ => panic!("not a grant"),
        }
    }

    #[test]
    fn grantees_that_do_not_go_are_left_out() {
        assert_eq!(
            remains("GRANT SELECT ON TABLE public.t TO anon"),
            Remains::Same
        );
        assert_eq!(
            remains("REVOKE ALL ON FUNCTION public.f() FROM PUBLIC"),
            Remains::Same
        );
        assert_eq!(
            remains("GRANT ALL ON TABLE public.t TO postgres"),
            Remains::Nothing
        );
        assert_eq!(
            remains("GRANT ALL ON TABLE public.t TO dashboard_user"),
            Remains::Nothing
        );
        let Remains::Changed(sql) =
            remains("GRANT SELECT(id),UPDATE(name) ON TABLE public.t TO anon, supabase_admin")
        else {
            panic!("not changed");
        };
        assert!(sql.contains("anon") && !sql.contains("supabase_admin") && sql.contains("id"));
    }

    #[test]
    fn default_privileges_become_the_target_owners() {
        let Remains::Changed(sql) = remains(
            "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO anon",
        ) else {
            panic!("not changed");
        };
        assert!(sql.contains("towner") && !sql.contains("postgres"), "{sql}");
        assert_eq!(
            remains(
                "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public GRANT ALL ON TABLES TO postgres"
            ),
            Remains::Nothing
        );
    }
}
