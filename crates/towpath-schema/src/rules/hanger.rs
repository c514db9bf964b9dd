//! What hangs on a relation goes where the relation goes.

use towpath_model::structure::SchemaObject;

use super::{Evidence, Findings, holder, is_owned_by_platform, lives_in_managed_schema};
use crate::decision::Verdict;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    let holder = holder(evidence.structure, &object.id)?;
    if let Some(extension) = &holder.extension {
        return Some(Verdict::dropped(format!(
            "hangs on {}, which belongs to extension {extension}",
            holder.id
        )));
    }
    let stays = lives_in_managed_schema(&holder.id) && is_owned_by_platform(holder);
    stays.then(|| Verdict::dropped(format!("hangs on {}, which does not go", holder.id)))
}
