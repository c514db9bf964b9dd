//! Contents of large objects go as rows; what is decided here is about their comments and
//! privileges.

use towpath_model::structure::{ObjectKind, SchemaObject};

use super::{Evidence, Findings};
use crate::decision::Verdict;
use crate::options::LargeObjects;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::LargeObject {
        return None;
    }
    Some(match evidence.options.large_objects {
        LargeObjects::Carry => Verdict::kept("its contents go as rows, under the same OID"),
        LargeObjects::Leave => Verdict::dropped("large objects stay on the source, as configured"),
    })
}
