//! The structure that the target must have: the source's, minus what does not go.

use serde_json::Value;
use towpath_model::aspects::Aspects;
use towpath_model::schema::Decision;
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject, Structure};

use crate::decision::Decisions;
use crate::large_object::is_plain;
use crate::references;
use crate::reserved::{API_ROLES, USER_OWNER, is_api_role};
use crate::rewrite::role_on_target;
use crate::role;
use crate::rules::{Evidence, column_order, forced_row_security, replaced};
use crate::script::{all_privileges, default_settings, definition};
use crate::setting::{Carriage, carriage};
use crate::{acl, bypass, owner};

/// Takes out what is dropped, and the privileges that were not applied.
pub(crate) fn structure(evidence: &Evidence<'_>, decisions: &Decisions) -> Structure {
    let going = evidence
        .structure
        .objects
        .values()
        .filter(|object| decisions.goes(&object.id))
        .map(|object| on_target(object, evidence, decisions))
        .filter(|object| !is_plain(object));
    let settings = default_settings(evidence).into_iter().map(added_setting);
    let bypasses = bypass::policies(evidence, decisions)
        .into_iter()
        .map(|policy| policy.object);
    let added = replaced::added(evidence, decisions);
    let added = added
        .iter()
        .map(|function| replaced::expected(function, &evidence.options.target_owner));
    Structure::new(going.chain(settings).chain(bypasses).chain(added))
}

fn on_target(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> SchemaObject {
    let master = evidence.options.target_owner.as_str();
    let mut expected = object.clone();
    // Named where it is what the target must have, and then compared.
    expected.owner = None;
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
    let names_owner = matches!(
        object.id.kind,
        ObjectKind::DefaultPrivileges | ObjectKind::UserMapping
    );
    if names_owner && object.id.name == USER_OWNER {
        master.clone_into(&mut expected.id.name);
    }
    if decisions.has_changed(&object.id, forced_row_security::ASPECT) {
        let aspect = forced_row_security::ASPECT.to_owned();
        expected.aspects.insert(aspect, Value::from(false));
    }
    if decisions.has_changed(&object.id, column_order::ASPECT)
        && let Some(order) = column_order::on_target(object, evidence)
    {
        let aspect = column_order::ASPECT.to_owned();
        expected.aspects.insert(aspect, Value::from(order));
    }
    if object.id.kind == ObjectKind::Role {
        keep_of_role(&mut expected, evidence, decisions);
    }
    if decisions.of(&object.id) == Some(Decision::Emulated) {
        stand_in(&mut expected, evidence, decisions);
        if object.id.kind == ObjectKind::Schema {
            bare_schema(&mut expected, evidence, decisions);
        }
    }
    if object.id.kind == ObjectKind::Policy {
        bypass::restate(&mut expected, evidence, decisions);
        rename_roles(&mut expected, decisions, master);
    }
    if decisions
        .report(&object.id)
        .is_some_and(|report| report.rule == references::DISABLED)
    {
        let aspect = "enabled".to_owned();
        expected.aspects.insert(aspect, Value::from("disabled"));
    }
    if expected.aspects.contains_key(owner::LACKS) {
        expected.aspects.remove(owner::LACKS);
    }
    expected.owner = owner::on_target(object, evidence, decisions);
    expected
}

/// A schema of the platform as it is made bare: without its comment, and open to the roles of the
/// API where stand-ins live in it.
fn bare_schema(expected: &mut SchemaObject, evidence: &Evidence<'_>, decisions: &Decisions) {
    expected.comment = None;
    let name = Some(expected.id.name.as_str());
    let has_stand_in = evidence.structure.objects.values().any(|object| {
        object.id.schema.as_deref() == name
            && object.extension.is_none()
            && decisions.of(&object.id) == Some(Decision::Emulated)
            && definition(object, evidence).is_some()
    });
    let api = API_ROLES
        .into_iter()
        .filter(|role| has_stand_in && decisions.role_goes(role));
    let usage = |grant: &Grant, role: &str| grant.grantee == role && grant.privilege == "USAGE";
    for role in api {
        if !expected.grants.iter().any(|grant| usage(grant, role)) {
            expected.grants.insert(Grant {
                grantee: role.to_owned(),
                privilege: "USAGE".to_owned(),
                column: None,
                grantable: false,
            });
        }
    }
}

/// A function as towpath makes it; privileges are the source's, and those of the API's roles on
/// what is always there.
fn stand_in(expected: &mut SchemaObject, evidence: &Evidence<'_>, decisions: &Decisions) {
    let Some(definition) = definition(expected, evidence) else {
        return;
    };
    expected.comment = None;
    expected.aspects = definition.aspects().into();
    let is_of_platform = expected.extension.take().is_none();
    let api = API_ROLES
        .into_iter()
        .filter(|role| decisions.role_goes(role));
    for role in api.filter(|_| is_of_platform) {
        let has = |grant: &Grant| grant.grantee == role && grant.privilege == "EXECUTE";
        if !expected.grants.iter().any(has) {
            expected.grants.insert(Grant {
                grantee: role.to_owned(),
                privilege: "EXECUTE".to_owned(),
                column: None,
                grantable: false,
            });
        }
    }
}

/// The roles of a policy by the names that they have on the target.
fn rename_roles(policy: &mut SchemaObject, decisions: &Decisions, master: &str) {
    let Some(Value::Array(roles)) = policy.aspects.get_mut("roles") else {
        return;
    };
    let mut names: Vec<String> = roles
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|role| role_on_target(role, decisions, master))
        .map(str::to_owned)
        .collect();
    names.sort();
    *roles = names.into_iter().map(Value::from).collect();
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
        aspects: Aspects::from([("value".to_owned(), Value::from(value))]),
    }
}
