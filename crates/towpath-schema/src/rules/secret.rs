//! What holds secrets or needs the platform's providers never goes.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;

pub(super) fn decide(object: &SchemaObject, _: &Evidence<'_>, _: &Findings) -> Option<Verdict> {
    Some(match object.id.kind {
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
