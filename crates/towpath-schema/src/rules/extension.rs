//! Extensions go when the target has them, in the schema they have on the source: definitions name
//! their types and operators with it. The version is the target's own.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Extension {
        return None;
    }
    let found = object
        .aspects
        .get("version")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    Some(
        match evidence.target.available_extensions.get(&object.id.name) {
            None => Verdict::dropped("the target does not offer it"),
            Some(version) if version == found => {
                Verdict::rewritten("the target offers it", &["comment"])
            }
            Some(version) => Verdict::rewritten(
                format!("the target offers version {version} instead of {found}"),
                &["version", "comment"],
            ),
        },
    )
}
