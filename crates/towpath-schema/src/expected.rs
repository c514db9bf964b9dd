//! The structure that the target must have: the source's, minus what does not go.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject, Structure};

use crate::decision::Decisions;
use crate::reserved::{USER_OWNER, is_api_role};
use crate::role;
use crate::rules::{Evidence, forced_row_security};
use crate::script::{all_privileges, default_settings};
use crate::setting::{Carriage, carriage};
use crate::{acl, bypass, owner};

/// Takes out what is dropped, and the privileges that were not applied.
pub(crate) fn structure(evidence: &Evidence<'_>, decisions: &Decisions) -> Structure {
    let going = evidence
        .structure
        .objects
        .values()
        .filter(|object| decisions.goes(&object.id))
        .map(|object| on_target(object, evidence, decisions));
    let settings = default_settings(evidence).into_iter().map(added_setting);
    let bypasses = bypass::policies(evidence, decisions)
        .into_iter()
        .map(|policy| policy.object);
    Structure::new(going.chain(settings).chain(bypasses))
}

fn on_target(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> SchemaObject {
    let master = evidence.options.target_owner.as_str();
    let mut expected = object.clone();
    expected.grants = acl::filtered(&object.grants, decisions, master);
    if let Some(former) = owner::former(object, evidence, decisions) {
        let privileges = all_privileges(object.id.kind, evidence.target.version_num);
        for privilege in privileges.map_or(&[][..], |(_, all)| all) {
            expected.grants.retain(|grant| {
                grant.grantee != former || grant.privilege != *privilege || grant.column.is_some()
            });
            expected.grants.insert(Grant {
                grantee: former.to_owned(),
                privilege: (*privilege).to_owned(),
                column: None,
                grantable: false,
            });
        }
    }
    if object.id.kind == ObjectKind::DefaultPrivileges && object.id.name == USER_OWNER {
        master.clone_into(&mut expected.id.name);
    }
    if decisions.has_changed(&object.id, forced_row_security::ASPECT) {
        let aspect = forced_row_security::ASPECT.to_owned();
        expected.aspects.insert(aspect, Value::from(false));
    }
    if object.id.kind == ObjectKind::Role {
        keep_of_role(&mut expected, evidence, decisions);
    }
    expected
}

/// A role as it is made, with the memberships and settings that go.
fn keep_of_role(role: &mut SchemaObject, evidence: &Evidence<'_>, decisions: &Decisions) {
    let kept: Vec<Value> = role::memberships(role, evidence, decisions)
        .iter()
        .map(|membership| membership.shown(evidence))
        .collect();
    role.aspects
        .insert("memberships".to_owned(), Value::from(kept));
    if let Some(Value::Object(settings)) = role.aspects.get_mut("settings") {
        settings.retain(|name, _| carriage(name, evidence) == Carriage::Carried);
        if settings.is_empty() {
            role.aspects.remove("settings");
        }
    }
    if is_api_role(&role.id.name) {
        make_plain(role);
    }
}

/// A role of the API has no right of its own, whatever the source's had.
fn make_plain(role: &mut SchemaObject) {
    role.comment = None;
    role.aspects.remove("valid_until");
    for right in [
        "login",
        "superuser",
        "createdb",
        "createrole",
        "replication",
        "bypassrls",
    ] {
        role.aspects.insert(right.to_owned(), Value::from(false));
    }
    role.aspects.insert("inherit".to_owned(), Value::from(true));
    role.aspects
        .insert("connection_limit".to_owned(), Value::from(-1));
}

fn added_setting((id, value): (ObjectId, String)) -> SchemaObject {
    SchemaObject {
        id,
        oid: 0,
        owner: None,
        extension: None,
        comment: None,
        grants: Default::default(),
        aspects: BTreeMap::from([("value".to_owned(), Value::from(value))]),
    }
}
