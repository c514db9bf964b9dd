//! Owners of what runs with the rights of its owner.
//!
//! The target's master owns everything, and row security does not hold it back. A function with
//! SECURITY DEFINER or a view that a limited role owned would show its callers more than it did, so
//! these, and only these, get their owner back.

use serde_json::Value;
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use crate::acl;
use crate::bypass;
use crate::decision::Decisions;
use crate::reserved::USER_OWNER;
use crate::rules::Evidence;
use crate::script::routine;

/// Aspect of what an owner has taken from itself. The target's master owns everything and loads it,
/// so nothing is taken from it there.
pub(crate) const LACKS: &str = "owner_lacks";

/// The user role that owned an object on the source, when that is not the role that owns everything
/// on the target.
fn other_owner<'a>(
    object: &'a SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Option<&'a str> {
    let owner = object.owner.as_deref()?;
    let differs = owner != USER_OWNER && owner != evidence.options.target_owner;
    (differs && decisions.role_goes(owner) && decisions.is_replayed(&object.id)).then_some(owner)
}

/// The user role that owned an object on the source and is not its owner on the target.
pub(crate) fn former<'a>(
    object: &'a SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Option<&'a str> {
    let owner = other_owner(object, evidence, decisions)?;
    (!is_restored(object, owner, evidence, decisions)).then_some(owner)
}

/// The user role that owned an object on the source and owns it again on the target.
pub(crate) fn restored<'a>(
    object: &'a SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Option<&'a str> {
    let owner = other_owner(object, evidence, decisions)?;
    is_restored(object, owner, evidence, decisions).then_some(owner)
}

/// Who must own an object on the target; nobody where the kind has no owner, or where the server
/// says who it is: what an extension brings, schema `public`, and what only a superuser owns.
pub(crate) fn on_target(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Option<String> {
    object.owner.as_ref()?;
    let of_server = matches!(
        object.id.kind,
        ObjectKind::Extension
            | ObjectKind::Database
            | ObjectKind::Language
            | ObjectKind::EventTrigger
            | ObjectKind::LargeObject
    ) || object.id == ObjectId::global(ObjectKind::Schema, "public");
    let master = evidence.options.target_owner.as_str();
    (!of_server).then(|| {
        restored(object, evidence, decisions)
            .unwrap_or(master)
            .to_owned()
    })
}

fn is_restored(
    object: &SchemaObject,
    owner: &str,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> bool {
    match object.id.kind {
        ObjectKind::Function => object.aspects.get("security_definer") == Some(&Value::Bool(true)),
        // What stands in for BYPASSRLS asks for `current_user`, and inside of a view that is its
        // caller. The master passes row security there as the view's owner did.
        ObjectKind::View => {
            !is_invoker(object)
                && !bypass::roles(evidence, decisions)
                    .iter()
                    .any(|r| r == owner)
        }
        _ => false,
    }
}

/// Whether a view runs with the rights of its caller.
fn is_invoker(view: &SchemaObject) -> bool {
    let options = view.aspects.get("options").and_then(Value::as_array);
    options
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|option| option.strip_prefix("security_invoker="))
        .any(|value| {
            matches!(
                value.to_lowercase().as_str(),
                "true" | "on" | "yes" | "1" | "t" | "y"
            )
        })
}

/// The statements that give objects back to their owners. A new owner must be able to create in the
/// schema; where it is not, it is for as long as the statement takes.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    evidence
        .structure
        .objects
        .values()
        .filter_map(|object| {
            let owner = restored(object, evidence, decisions)?;
            let schema = object.id.schema.as_deref()?;
            let thing = match object.id.kind {
                ObjectKind::Function => format!("routine {}", routine(&object.id)),
                _ => format!("view {}", QualifiedName::new(schema, &object.id.name).quoted()),
            };
            let role = quote_identifier(owner);
            let given = format!("alter {thing} owner to {role}");
            let sql = if creates_in(owner, schema, evidence, decisions) {
                given
            } else {
                let schema = quote_identifier(schema);
                format!(
                    "grant create on schema {schema} to {role};\n{given};\nrevoke create on schema {schema} from {role}"
                )
            };
            Some((object.id.clone(), sql))
        })
        .collect()
}

/// Whether the role itself may create in the schema on the target.
fn creates_in(role: &str, schema: &str, evidence: &Evidence<'_>, decisions: &Decisions) -> bool {
    let id = ObjectId::global(ObjectKind::Schema, schema);
    let Some(schema) = evidence.structure.objects.get(&id) else {
        return false;
    };
    former(schema, evidence, decisions) == Some(role)
        || acl::filtered(&schema.grants, decisions, &evidence.options.target_owner)
            .iter()
            .any(|grant| grant.grantee == role && grant.privilege == "CREATE")
}

/// Says of every object of another role who owns it on the target.
pub(crate) fn report(evidence: &Evidence<'_>, decisions: &mut Decisions) {
    let master = &evidence.options.target_owner;
    for object in evidence.structure.objects.values() {
        if let Some(lacks) = object.aspects.get(LACKS)
            && decisions.is_replayed(&object.id)
        {
            let reason =
                format!("its owner, who has taken {lacks} from itself, has all privileges");
            decisions.mark_changed(&object.id, &[], &reason);
        }
        let Some(owner) = other_owner(object, evidence, decisions) else {
            continue;
        };
        let reason = if is_restored(object, owner, evidence, decisions) {
            format!("{owner} owns it on the target too, because it runs with its owner's rights")
        } else {
            format!("{master} owns it instead of {owner}, who gets all privileges")
        };
        decisions.explain(&object.id, &reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_view_is_the_callers_only_when_its_option_says_so() {
        let view = |options: Value| SchemaObject {
            id: ObjectId::of(ObjectKind::View, "app", "v"),
            oid: 1,
            owner: None,
            extension: None,
            comment: None,
            grants: Default::default(),
            aspects: [("options".to_owned(), options)].into(),
        };
        assert!(is_invoker(&view(json!([
            "security_barrier=true",
            "security_invoker=on"
        ]))));
        assert!(!is_invoker(&view(json!(["security_invoker=false"]))));
        assert!(!is_invoker(&view(Value::Null)));
    }
}
