//! Rights on configuration parameters (`grant set on parameter`): a superuser's to give.

use towpath_model::name::quote_identifier;
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::acl;
use crate::decision::{Decisions, Verdict};
use crate::reserved::{USER_OWNER, is_reserved_role};

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Parameter {
        return None;
    }
    let of_user: Vec<&str> = object
        .grants
        .iter()
        .map(|grant| grant.grantee.as_str())
        .filter(|role| !is_reserved_role(role) && *role != USER_OWNER)
        .collect();
    Some(if of_user.is_empty() {
        Verdict::dropped("given only to roles of the platform, or to the owner of everything")
    } else if evidence.target.is_superuser {
        Verdict::kept("given by the user")
    } else {
        Verdict::dropped(format!(
            "only a superuser gives rights on parameters; {} may not change it on the target, unless its parameter group lets everybody",
            of_user.join(", ")
        ))
    })
}

/// The statements that give the rights that go.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    let parameters = evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Parameter && decisions.goes(&object.id));
    parameters
        .flat_map(|object| {
            let grants = acl::filtered(&object.grants, decisions, &evidence.options.target_owner);
            let sql = move |grant: Grant| (object.id.clone(), given(&object.id.name, &grant));
            grants.into_iter().map(sql)
        })
        .collect()
}

fn given(parameter: &str, grant: &Grant) -> String {
    let name: Vec<String> = parameter.split('.').map(quote_identifier).collect();
    let to = match grant.grantee.as_str() {
        "public" => "public".to_owned(),
        role => quote_identifier(role),
    };
    let option = if grant.grantable {
        " with grant option"
    } else {
        ""
    };
    format!(
        "grant {} on parameter {} to {to}{option}",
        grant.privilege.to_lowercase(),
        name.join(".")
    )
}
