//! Settings of the database, and of roles in it.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;
use crate::reserved::{USER_OWNER, is_api_role, is_reserved_role};
use crate::setting::{Carriage, carriage};

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Setting {
        return None;
    }
    if let Some(role) = object.id.args.as_deref() {
        if role == USER_OWNER {
            return Some(Verdict::dropped(
                "the target's owner has settings of its own",
            ));
        }
        if is_reserved_role(role) && !is_api_role(role) {
            return Some(Verdict::dropped("its role belongs to the platform"));
        }
    }
    Some(match carriage(&object.id.name, evidence) {
        Carriage::Carried => Verdict::kept("any login may change this setting"),
        Carriage::Secret => Verdict::dropped(
            "looks like a secret; put it into a secret store and let the application read it there",
        ),
        Carriage::Refused => Verdict::dropped(
            "from PostgreSQL 15 on only a superuser may store a setting that no extension declares",
        ),
        Carriage::Fence => Verdict::dropped(
            "stops writers of the source; the target would be read-only from its first day",
        ),
        Carriage::Privileged => Verdict::dropped("the target's master may not change this setting"),
    })
}
