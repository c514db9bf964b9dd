//! Nobody has lost a privilege. That somebody has more is told too.

use serde_json::Value;
use towpath_model::health::HealthCheck;
use towpath_model::structure::StructureDifference;

use super::differences::{self, Part};
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "grants";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let (mut lost, mut more) = (Vec::new(), Vec::new());
    for difference in differences::of(facts, Part::Grants) {
        sort(difference, &mut lost, &mut more);
    }
    if !lost.is_empty() {
        return fail(
            CHECK,
            "privileges are missing",
            lost,
            "`grant … on … to …`; `towpath verify --schema` tells all of it",
        );
    }
    if !more.is_empty() {
        return warn(
            CHECK,
            "nobody lost a privilege, but some were given since",
            more,
            "look whether somebody gave them on purpose",
        );
    }
    let objects = facts.expected.objects.values();
    let count: usize = objects.map(|object| object.grants.len()).sum();
    pass(
        CHECK,
        format!("{} as the run gave them", counted(count, "grant")),
    )
}

/// Which of the two lists a difference belongs into; perhaps both.
fn sort(difference: &StructureDifference, lost: &mut Vec<String>, more: &mut Vec<String>) {
    let StructureDifference::Changed {
        object,
        aspect,
        expected,
        found,
    } = difference
    else {
        return lost.push(differences::told(difference));
    };
    let (gone, new) = match aspect.as_str() {
        "grants" => (without(expected, found), without(found, expected)),
        // What an owner took from itself.
        "owner_lacks" => (without(found, expected), without(expected, found)),
        _ => return lost.push(differences::told(difference)),
    };
    for (list, grants) in [(lost, gone), (more, new)] {
        if !grants.is_empty() {
            list.push(format!("{object}: {}", grants.join(", ")));
        }
    }
}

/// What is in one list of grants and not in the other.
fn without(these: &Value, those: &Value) -> Vec<String> {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let there = items(those);
    items(these)
        .iter()
        .filter(|grant| !there.contains(grant))
        .map(told)
        .collect()
}

/// `SELECT (name) of anon`.
fn told(grant: &Value) -> String {
    let text = |key: &str| grant.get(key).and_then(Value::as_str);
    match (text("privilege"), text("grantee")) {
        (Some(privilege), Some(grantee)) => match text("column") {
            Some(column) => format!("{privilege} ({column}) of {grantee}"),
            None => format!("{privilege} of {grantee}"),
        },
        _ => grant
            .as_str()
            .unwrap_or("a right of the owner's")
            .to_owned(),
    }
}
