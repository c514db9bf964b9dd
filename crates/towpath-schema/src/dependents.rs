//! What depends on something dropped: dropped as well where that loses no row and weakens no
//! protection, a reason to stop where it would.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use towpath_model::schema::Decision;
use towpath_model::structure::{ObjectId, ObjectKind};
use towpath_model::{ErrorKind, Failure, Result};

use crate::decision::{Decisions, Verdict};
use crate::rules::{Evidence, replaced};

/// What is lost with what: dependents that go no more, by the object that they need.
pub(crate) type Lost = BTreeMap<ObjectId, BTreeSet<ObjectId>>;

/// Follows every dropped object to its dependents. Gives those that are dropped with it.
pub(crate) fn follow(evidence: &Evidence<'_>, decisions: &mut Decisions) -> Result<Lost> {
    // Each with the object that everything behind it is lost for.
    let mut dropped: Vec<(ObjectId, ObjectId)> = decisions
        .having(Decision::Dropped)
        .filter(|id| !comes_with_extension(evidence, decisions, id))
        .filter(|id| {
            decisions
                .report(id)
                .is_none_or(|report| report.rule != replaced::ID)
        })
        .map(|id| (id.clone(), id.clone()))
        .collect();
    let hanging = hanging(evidence);
    let mut blocked = BTreeSet::new();
    let mut followed = BTreeSet::new();
    let mut lost_with = Lost::new();
    while let Some((lost, root)) = dropped.pop() {
        for by in dependents(evidence, &lost, &hanging) {
            if !decisions.goes(&by) || decisions.of(&by).is_none() {
                continue;
            }
            if must_stay(evidence, &by, &lost) {
                blocked.insert(format!("{by} needs {root}"));
                // What needs this one is in the operator's way as well.
                if followed.insert((by.clone(), root.clone())) {
                    dropped.push((by, root.clone()));
                }
                continue;
            }
            let (rule, verdict) = consequence(&by, &lost);
            decisions.set(&by, rule, verdict);
            lost_with
                .entry(root.clone())
                .or_default()
                .insert(by.clone());
            dropped.push((by, root.clone()));
        }
    }
    if blocked.is_empty() {
        return Ok(lost_with);
    }
    let list: Vec<String> = blocked.into_iter().collect();
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "objects that must go depend on something the target cannot have: {}",
            list.join("; ")
        ),
    )
    .hint("change the column, type or policy on the source so that it no longer needs it, or make the extension available on the target"))
}

/// What hangs on relations, by schema and relation.
type Hanging<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a ObjectId>>;

fn hanging<'a>(evidence: &Evidence<'a>) -> Hanging<'a> {
    let mut hanging: Hanging<'a> = BTreeMap::new();
    for id in evidence.structure.objects.keys() {
        if let (Some(schema), Some(on)) = (&id.schema, &id.on) {
            hanging.entry((schema, on)).or_default().push(id);
        }
    }
    hanging
}

/// What the catalog says depends on it, and what hangs on it whether the catalog says so or not.
fn dependents(
    evidence: &Evidence<'_>,
    lost: &ObjectId,
    hanging: &Hanging<'_>,
) -> BTreeSet<ObjectId> {
    let mut all = evidence
        .source
        .dependents
        .get(lost)
        .cloned()
        .unwrap_or_default();
    if let (Some(schema), None) = (&lost.schema, &lost.on)
        && let Some(ids) = hanging.get(&(schema.as_str(), lost.name.as_str()))
    {
        let of_it = ids.iter().filter(|id| {
            crate::rules::holder(evidence.structure, id).is_some_and(|h| h.id == *lost)
        });
        all.extend(of_it.map(|id| (*id).clone()));
    }
    all
}

fn comes_with_extension(evidence: &Evidence<'_>, decisions: &Decisions, id: &ObjectId) -> bool {
    evidence
        .structure
        .objects
        .get(id)
        .and_then(|object| object.extension.as_ref())
        .is_some_and(|extension| {
            decisions.goes(&ObjectId::global(ObjectKind::Extension, extension))
        })
}

/// Rows live in tables, and types shape them; a restrictive policy or a check keeps something out.
fn must_stay(evidence: &Evidence<'_>, by: &ObjectId, lost: &ObjectId) -> bool {
    let hangs_on_it = by.on.as_ref() == Some(&lost.name)
        && by.schema == lost.schema
        && lost.on.is_none()
        && lost.args.is_none();
    if hangs_on_it {
        return false;
    }
    let aspect = |name: &str| {
        evidence
            .structure
            .objects
            .get(by)
            .and_then(|object| object.aspects.get(name))
    };
    match by.kind {
        ObjectKind::Table | ObjectKind::Type | ObjectKind::Domain | ObjectKind::Collation => true,
        // A unique index keeps rows out as a constraint does.
        ObjectKind::Index => {
            aspect("definition")
                .and_then(Value::as_str)
                .is_some_and(|definition| definition.starts_with("CREATE UNIQUE INDEX"))
                && crate::rules::holder(evidence.structure, by)
                    .is_some_and(|holder| holder.id.kind == ObjectKind::Table)
        }
        ObjectKind::Policy => aspect("permissive").and_then(Value::as_bool) == Some(false),
        ObjectKind::Constraint => {
            aspect("type").and_then(Value::as_str) != Some("foreign key")
                && crate::rules::holder(evidence.structure, by)
                    .is_some_and(|holder| holder.id.kind == ObjectKind::Table)
        }
        _ => false,
    }
}

/// Ids of the decisions made here.
pub(crate) const WEBHOOK: &str = "webhook";
pub(crate) const DEPENDENT: &str = "dependent";

fn consequence(by: &ObjectId, lost: &ObjectId) -> (&'static str, Verdict) {
    let is_webhook = by.kind == ObjectKind::Trigger
        && lost.kind == ObjectKind::Function
        && matches!(lost.schema.as_deref(), Some("supabase_functions" | "net"));
    let is_call = by.kind == ObjectKind::Trigger && lost.kind == ObjectKind::Extension;
    if is_webhook || (is_call && lost.name == "pg_net") {
        return (
            WEBHOOK,
            Verdict::dropped(format!(
                "calls {lost}, which only the platform has: every write to the table would fail"
            )),
        );
    }
    (
        DEPENDENT,
        Verdict::dropped(format!("needs {lost}, which does not go")),
    )
}
