//! Everything else was made by the user.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;
use crate::rewrite::refused_settings;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    let refused = if object.id.kind == ObjectKind::Function {
        refused_settings(object, evidence)
    } else {
        Vec::new()
    };
    Some(if !refused.is_empty() {
        Verdict::rewritten(
            format!(
                "made by the user; without its setting of {}, which the target's master may not give",
                refused.join(", ")
            ),
            &["config", "definition"],
        )
    } else {
        Verdict::kept("made by the user")
    })
}
