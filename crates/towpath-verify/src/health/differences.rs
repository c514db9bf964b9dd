//! Which check tells which difference of the structure: each one exactly one.

use serde_json::Value;
use towpath_model::structure::{ObjectKind, StructureDifference};

use super::facts::Facts;

/// Parts of a structure, one for each check that looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Tables,
    Constraints,
    Indexes,
    RowSecurity,
    Triggers,
    EventTriggers,
    Extensions,
    Owners,
    Grants,
    TableOptions,
    Filled,
    Other,
}

/// The part that a difference is about.
pub(super) fn part(difference: &StructureDifference) -> Part {
    let aspect = aspect(difference).unwrap_or_default();
    match (difference.object().kind, aspect) {
        (_, "owner") => Part::Owners,
        (_, "grants" | "owner_lacks")
        | (ObjectKind::DefaultPrivileges | ObjectKind::Parameter, _) => Part::Grants,
        (_, "comment" | "index_comment") => Part::Other,
        (ObjectKind::Table, "row_security" | "force_row_security") | (ObjectKind::Policy, _) => {
            Part::RowSecurity
        }
        (ObjectKind::Table, "options" | "replica_identity" | "access_method") => Part::TableOptions,
        (ObjectKind::Table | ObjectKind::ForeignTable, _) => Part::Tables,
        (ObjectKind::Constraint, _) => Part::Constraints,
        (ObjectKind::Index, _) => Part::Indexes,
        (ObjectKind::Trigger | ObjectKind::Rule, _) => Part::Triggers,
        (ObjectKind::EventTrigger, _) => Part::EventTriggers,
        (ObjectKind::Extension, _) => Part::Extensions,
        (ObjectKind::MaterializedView, "populated") => Part::Filled,
        _ => Part::Other,
    }
}

/// Differences of a part. What nobody expected is none: it came after the move, or the level
/// `schema` tells of it.
pub(super) fn of<'f>(
    facts: &Facts<'f>,
    wanted: Part,
) -> impl Iterator<Item = &'f StructureDifference> {
    let differences = facts.differences.iter();
    differences.filter(move |difference| {
        part(difference) == wanted && !matches!(difference, StructureDifference::Extra { .. })
    })
}

/// The aspect that differs, when an object is there and is another.
pub(super) fn aspect(difference: &StructureDifference) -> Option<&str> {
    match difference {
        StructureDifference::Changed { aspect, .. } => Some(aspect),
        _ => None,
    }
}

/// A difference in a few words, without values of anything that people write.
pub(super) fn told(difference: &StructureDifference) -> String {
    match difference {
        StructureDifference::Missing { object } => format!("{object} is missing"),
        StructureDifference::Extra { object } => format!("{object} is not expected"),
        StructureDifference::Changed {
            object,
            aspect,
            expected,
            found,
        } => match (aspect.as_str(), state(expected), state(found)) {
            (
                "enabled" | "replica_identity" | "owner" | "version" | "persistence",
                expected,
                found,
            ) => {
                format!("{object}: {found} instead of {expected}")
            }
            ("validated", ..) => format!("{object} is not validated"),
            ("valid" | "index_valid", ..) => format!("{object} is not valid"),
            ("disabled_triggers", ..) => {
                format!("{object} is not enforced: its triggers are disabled")
            }
            ("row_security", _, _) => format!("{object} has no row-level security"),
            ("force_row_security", _, _) => {
                format!("{object}: row-level security is not forced as it was")
            }
            (aspect, ..) => format!("{object}: other {}", aspect.replace('_', " ")),
        },
    }
}

fn state(value: &Value) -> &str {
    value.as_str().unwrap_or("nothing")
}

/// All of them in a few words.
pub(super) fn all_told<'f>(
    differences: impl IntoIterator<Item = &'f StructureDifference>,
) -> Vec<String> {
    differences.into_iter().map(told).collect()
}

/// How many objects of a kind are expected.
pub(super) fn expected(facts: &Facts<'_>, kind: ObjectKind) -> usize {
    let kinds = facts.expected.objects.keys();
    kinds.filter(|id| id.kind == kind).count()
}
