//! Schemas: the user's go, the platform's are made bare where something that goes lives in them.

use std::collections::BTreeSet;

use serde_json::Value;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::{Decisions, Verdict};
use crate::reserved::is_managed_schema;

pub(super) fn decide(
    object: &SchemaObject,
    _: &Evidence<'_>,
    findings: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Schema {
        return None;
    }
    let name = object.id.name.as_str();
    Some(if !is_managed_schema(name) {
        Verdict::kept("holds what the user made")
    } else if name == "extensions" {
        Verdict::emulated("definitions and search paths name it")
    } else if findings.inhabited.contains(name) {
        Verdict::emulated("something that goes lives in it")
    } else {
        Verdict::dropped("belongs to the platform")
    })
}

/// Schemas of objects that go, and of extensions that go.
pub(super) fn inhabited(evidence: &Evidence<'_>, provisional: &Decisions) -> BTreeSet<String> {
    let mut inhabited = BTreeSet::new();
    for object in evidence.structure.objects.values() {
        let goes = provisional.of(&object.id).is_some() && provisional.goes(&object.id);
        if !goes {
            continue;
        }
        if object.id.kind == ObjectKind::Extension {
            let schema = object.aspects.get("schema").and_then(Value::as_str);
            inhabited.extend(schema.map(str::to_owned));
        } else if object.id.kind != ObjectKind::DefaultPrivileges {
            inhabited.extend(object.id.schema.clone());
        }
    }
    inhabited
}
