//! What only a superuser can make, outside of extensions.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if evidence.target.is_superuser {
        return None;
    }
    let language = object
        .aspects
        .get("language")
        .and_then(serde_json::Value::as_str);
    let superusers = match object.id.kind {
        ObjectKind::ForeignDataWrapper
        | ObjectKind::AccessMethod
        | ObjectKind::Language
        | ObjectKind::OperatorClass
        | ObjectKind::OperatorFamily
        | ObjectKind::TextSearchParser
        | ObjectKind::TextSearchTemplate => true,
        ObjectKind::Function => {
            matches!(language, Some("c" | "internal"))
                && object
                    .aspects
                    .get("kind")
                    .and_then(serde_json::Value::as_str)
                    != Some("aggregate")
        }
        ObjectKind::Type => {
            object
                .aspects
                .get("kind")
                .and_then(serde_json::Value::as_str)
                == Some("base")
        }
        ObjectKind::Cast => {
            object
                .aspects
                .get("method")
                .and_then(serde_json::Value::as_str)
                == Some("binary")
        }
        _ => false,
    };
    superusers.then(|| Verdict::dropped("only a superuser can make it"))
}
