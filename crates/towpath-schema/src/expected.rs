//! The structure that the target must have: the source's, minus what does not go.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject, Structure};

use crate::decision::Decisions;
use crate::reserved::USER_OWNER;
use crate::role;
use crate::rules::{Evidence, forced_row_security};
use crate::script::{all_privileges, default_settings, former_owner};
use crate::setting::{Carriage, carriage};
use crate::{acl, bypass};

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
    let owner = evidence.options.target_owner.as_str();
    let mut expected = object.clone();
    expected.grants = acl::filtered(&object.grants, decisions, owner);
    if let Some(former) = former_owner(object, evidence, decisions) {
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
        owner.clone_into(&mut expected.id.name);
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

/// A role with the memberships and settings that go.
fn keep_of_role(role: &mut SchemaObject, evidence: &Evidence<'_>, decisions: &Decisions) {
    let kept = role::memberships(role, evidence, decisions);
    if let Some(Value::Array(list)) = role.aspects.get_mut("memberships") {
        for membership in list.iter_mut() {
            rename_owner(membership, &evidence.options.target_owner);
        }
        list.retain(|membership| {
            kept.iter()
                .any(|kept| membership.get("role") == Some(&Value::from(kept.of.clone())))
        });
        list.sort_by_key(|membership| {
            membership
                .get("role")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        });
    }
    if let Some(Value::Object(settings)) = role.aspects.get_mut("settings") {
        settings.retain(|name, _| carriage(name, evidence) == Carriage::Carried);
        if settings.is_empty() {
            role.aspects.remove("settings");
        }
    }
}

fn rename_owner(membership: &mut Value, owner: &str) {
    if let Some(role) = membership.get_mut("role")
        && role.as_str() == Some(USER_OWNER)
    {
        *role = Value::from(owner);
    }
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
