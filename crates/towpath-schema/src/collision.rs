//! Names of the source that mean something else on the target.

use serde_json::Value;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};
use towpath_model::{ErrorKind, Failure, Result};

use crate::bypass;
use crate::decision::Decisions;
use crate::reserved::USER_OWNER;
use crate::rules::Evidence;

/// The schema of the ledger on the target.
const LEDGER: &str = "towpath";

/// Stops when a name of the source is taken on the target by something that must not be mixed up
/// with it.
pub(crate) fn refuse(evidence: &Evidence<'_>, decisions: &Decisions) -> Result<()> {
    refuse_master(evidence)?;
    refuse_ledger(evidence)?;
    refuse_policies(evidence, decisions)
}

/// What policies and privileges say of the role would be said of the master. A superuser of the
/// source loses nothing by it, and `postgres` is meant to become the master.
fn refuse_master(evidence: &Evidence<'_>) -> Result<()> {
    let master = evidence.options.target_owner.as_str();
    let is_limited =
        |role: &SchemaObject| role.aspects.get("superuser") != Some(&Value::Bool(true));
    let role = evidence
        .structure
        .objects
        .get(&ObjectId::global(ObjectKind::Role, master));
    if master == USER_OWNER || !role.is_some_and(is_limited) {
        return Ok(());
    }
    Err(blocked(
        format!(
            "role {master} of source has the name of the target's master: who logs in as it would own everything"
        ),
        "rename the role on the source, or use a target whose master has another name",
    ))
}

fn refuse_ledger(evidence: &Evidence<'_>) -> Result<()> {
    let ledger = ObjectId::global(ObjectKind::Schema, LEDGER);
    if !evidence.structure.objects.contains_key(&ledger) {
        return Ok(());
    }
    Err(blocked(
        format!("source has a schema {LEDGER}, and on the target that name belongs to the ledger"),
        "rename the schema on the source; if a former migration left it there, drop it",
    ))
}

fn refuse_policies(evidence: &Evidence<'_>, decisions: &Decisions) -> Result<()> {
    let taken: Vec<String> = evidence
        .structure
        .objects
        .keys()
        .filter(|id| id.kind == ObjectKind::Policy && decisions.goes(id))
        .filter(|id| bypass::POLICIES.contains(&id.name.as_str()))
        .map(ToString::to_string)
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    Err(blocked(
        format!(
            "source has policies with names that towpath gives to policies of its own: {}",
            taken.join(", ")
        ),
        "rename them on the source; if a former migration left them there, drop them",
    ))
}

fn blocked(what: String, hint: &'static str) -> Failure {
    Failure::new(ErrorKind::Blocked, what).hint(hint)
}
