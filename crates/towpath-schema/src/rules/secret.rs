//! What holds secrets goes only when the operator says so, what needs the platform's providers never.

use towpath_model::secret_text::Handling;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;
use crate::reserved::{USER_OWNER, is_reserved_role};

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    Some(match object.id.kind {
        ObjectKind::UserMapping if evidence.options.secrets == Handling::Carry => {
            mapping(object, evidence)
        }
        ObjectKind::UserMapping => Verdict::dropped(
            "user mappings hold passwords; make it on the target with a secret of its own",
        ),
        ObjectKind::SecurityLabel => {
            Verdict::dropped("the target has no provider of security labels")
        }
        ObjectKind::Subscription => Verdict::dropped(
            "subscriptions hold passwords and would start to write; make it on the target when it should",
        ),
        _ => return None,
    })
}

/// Options are shown to the user they are for; of a mapping of somebody else the login sees none.
fn mapping(object: &SchemaObject, evidence: &Evidence<'_>) -> Verdict {
    let role = object.id.name.as_str();
    if role != "public" && role != USER_OWNER && is_reserved_role(role) {
        return Verdict::dropped("its role belongs to the platform");
    }
    let reason = "schema.secrets says that secrets go along";
    if evidence.source.readable_mappings.contains(&object.id) {
        Verdict::kept(reason)
    } else {
        Verdict::rewritten(
            format!(
                "{reason}; without options, if it has any, because the login may not read them"
            ),
            &["options"],
        )
    }
}
