//! Managed schemas: what the platform owns stays, what the user put there goes.

use towpath_model::structure::SchemaObject;

use super::{Evidence, Findings, is_owned_by_platform, lives_in_managed_schema};
use crate::decision::Verdict;

pub(super) fn decide(object: &SchemaObject, _: &Evidence<'_>, _: &Findings) -> Option<Verdict> {
    if !lives_in_managed_schema(&object.id) || object.owner.is_none() {
        return None;
    }
    let schema = object.id.schema.as_deref().unwrap_or_default();
    Some(if is_owned_by_platform(object) {
        Verdict::dropped(format!("belongs to the platform's schema {schema}"))
    } else {
        Verdict::kept(format!(
            "made by the user in the platform's schema {schema}"
        ))
    })
}
