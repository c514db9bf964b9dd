//! Comments and privileges of large objects. pg_dump leaves large objects out of a dump of the
//! schema, so the statements are made here, from the structure.

use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject};

use crate::acl;
use crate::decision::Decisions;
use crate::owner;
use crate::rules::Evidence;

/// The statements, for when the objects are there.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::LargeObject && decisions.goes(&object.id))
        .flat_map(|object| of(object, evidence, decisions))
        .collect()
}

fn of(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    // An OID is a number, and stands unquoted.
    let name = format!("large object {}", object.id.name);
    // What the former owner may do is granted as for every other kind.
    let former = owner::former(object, evidence, decisions);
    let comment = object
        .comment
        .as_ref()
        .map(|text| format!("comment on {name} is {}", quote_literal(text)));
    let master = evidence.options.target_owner.as_str();
    let grants = acl::filtered(&object.grants, decisions, master);
    let granted = grants
        .iter()
        .filter(|grant| Some(grant.grantee.as_str()) != former)
        .map(|grant| granted(grant, &name));
    comment
        .into_iter()
        .chain(granted)
        .map(|sql| (object.id.clone(), sql))
        .collect()
}

fn granted(grant: &Grant, name: &str) -> String {
    let to = match grant.grantee.as_str() {
        "public" => "public".to_owned(),
        role => quote_identifier(role),
    };
    let option = if grant.grantable {
        " with grant option"
    } else {
        ""
    };
    format!("grant {} on {name} to {to}{option}", grant.privilege)
}

/// Whether there is nothing to compare but what the object holds, which is compared as rows.
pub(crate) fn is_plain(object: &SchemaObject) -> bool {
    object.id.kind == ObjectKind::LargeObject
        && object.comment.is_none()
        && object.grants.is_empty()
}
