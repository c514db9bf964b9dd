//! The database itself: who may connect to it, make schemas in it and make temporary tables.
//!
//! The target's database has a name of its own and is there before anything is made, so nothing of
//! it travels but privileges and comment, and those only where the target's login owns it.

use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::acl;
use crate::decision::{Decisions, Verdict};
use crate::setting::on_current_database;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Database {
        return None;
    }
    Some(
        if evidence.target.abilities.owns_database || evidence.target.is_superuser {
            Verdict::kept(
                "the target's own database, with the privileges and the comment of the source's",
            )
        } else {
            Verdict::dropped(
                "the target's login does not own the database: its owner has to give the privileges on it",
            )
        },
    )
}

/// The statements that give the target's database the privileges that go. What `public` has by
/// default is taken away first, because a project may have taken it away as well.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    let Some(database) = found(evidence).filter(|database| decisions.goes(&database.id)) else {
        return Vec::new();
    };
    let mut statements = vec![on_current_database("revoke all on database", "from public")];
    let grants = acl::filtered(&database.grants, decisions, &evidence.options.target_owner);
    statements.extend(grants.iter().map(granted));
    statements.extend(database.comment.as_ref().map(|comment| {
        let after = format!("is {}", quote_literal(comment).trim());
        on_current_database("comment on database", &after)
    }));
    statements
        .into_iter()
        .map(|sql| (database.id.clone(), sql))
        .collect()
}

fn found<'a>(evidence: &Evidence<'a>) -> Option<&'a SchemaObject> {
    let mut objects = evidence.structure.objects.values();
    objects.find(|object| object.id.kind == ObjectKind::Database)
}

fn granted(grant: &Grant) -> String {
    let to = match grant.grantee.as_str() {
        "public" => "public".to_owned(),
        role => quote_identifier(role),
    };
    let option = if grant.grantable {
        " with grant option"
    } else {
        ""
    };
    on_current_database(
        &format!("grant {} on database", grant.privilege.to_lowercase()),
        &format!("to {to}{option}"),
    )
}
