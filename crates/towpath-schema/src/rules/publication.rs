//! Publications: the platform's stay, the user's go last.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Publication {
        return None;
    }
    let of_everything = object
        .aspects
        .get("all_tables")
        .and_then(serde_json::Value::as_bool)
        == Some(true)
        || object
            .aspects
            .get("schemas")
            .and_then(serde_json::Value::as_array)
            .is_some_and(|schemas| !schemas.is_empty());
    Some(if object.id.name.starts_with("supabase_realtime") {
        Verdict::dropped("feeds the platform's realtime service")
    } else if of_everything && !evidence.target.is_superuser {
        Verdict::dropped(
            "only a superuser may publish all tables or whole schemas; publish tables by name",
        )
    } else {
        Verdict::kept("made by the user")
    })
}
