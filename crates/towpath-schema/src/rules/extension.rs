//! Extensions go when the target makes them, in the schema they have on the source: definitions
//! name their types and operators with it. The version is the target's own.

use std::cmp::Ordering;

use towpath_model::schema::{ExtensionFate, ExtensionReport};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use super::{Evidence, Findings, replaced};
use crate::decision::{Decisions, Verdict};
use crate::dependents::Lost;

pub(super) fn decide(
    object: &SchemaObject,
    evidence: &Evidence<'_>,
    _: &Findings,
) -> Option<Verdict> {
    if object.id.kind != ObjectKind::Extension {
        return None;
    }
    let found = version(object);
    let offered = match evidence.target.offers(&object.id.name) {
        Ok(version) => version,
        Err(why) => return Some(Verdict::dropped(why)),
    };
    let changed = ["version", "comment"];
    Some(match compare_versions(offered, found) {
        Ordering::Equal => Verdict::rewritten("the target offers it", &["comment"]),
        Ordering::Less => Verdict::rewritten(
            format!(
                "the target offers only version {offered}, older than {found}: what came after it is missing"
            ),
            &changed,
        ),
        Ordering::Greater => Verdict::rewritten(
            format!("the target offers version {offered}, newer than {found}"),
            &changed,
        ),
    })
}

/// The version that an extension has on the source.
pub(crate) fn version(extension: &SchemaObject) -> &str {
    let version = extension.aspects.get("version");
    version
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// Every extension with what becomes of it.
pub(crate) fn reports(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
    lost: &Lost,
) -> Vec<ExtensionReport> {
    let extensions = evidence.structure.objects.values();
    extensions
        .filter(|object| object.id.kind == ObjectKind::Extension)
        .map(|object| {
            let (name, version) = (&object.id.name, version(object));
            let offered = evidence.target.offers(name).ok();
            let is_replaced = decisions
                .report(&object.id)
                .is_some_and(|report| report.rule == replaced::ID);
            let fate = match offered.map(|offered| compare_versions(offered, version)) {
                _ if is_replaced => ExtensionFate::Replaced,
                None => ExtensionFate::Absent,
                Some(Ordering::Less) => ExtensionFate::Older,
                Some(Ordering::Equal) => ExtensionFate::Same,
                Some(Ordering::Greater) => ExtensionFate::Newer,
            };
            let listed = evidence.target.abilities.listed_extensions.as_ref();
            ExtensionReport {
                name: name.clone(),
                version: version.to_owned(),
                offered: offered.map(str::to_owned),
                fate,
                unlisted: offered.is_some()
                    && name != "plpgsql"
                    && listed.is_some_and(|listed| !listed.contains(name)),
                lost: lost
                    .get(&object.id)
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect(),
            }
        })
        .collect()
}

/// The schema that an extension has on the source.
pub(crate) fn schema_of<'a>(evidence: &Evidence<'a>, extension: &str) -> Option<&'a str> {
    let id = ObjectId::global(ObjectKind::Extension, extension);
    let schema = evidence.structure.objects.get(&id)?.aspects.get("schema");
    schema.and_then(serde_json::Value::as_str)
}

/// Orders two versions: numbers by value, words by their letters. PostgreSQL itself compares no
/// versions, so authors write what they like; what is unequal and not understood is not equal.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let (left, right) = (parts(a), parts(b));
    for at in 0..left.len().max(right.len()) {
        // `1.0` and `1.0.0` are one version, `1.0beta` comes before `1.0`.
        let order = match (left.get(at), right.get(at)) {
            (Some(x), Some(y)) => x.cmp(y),
            (Some(Part::Word(_)), None) | (None, Some(Part::Number(1..))) => Ordering::Less,
            (None, Some(Part::Word(_))) | (Some(Part::Number(1..)), None) => Ordering::Greater,
            _ => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// A part of a version. A word sorts before a number, as a beta does before its release.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Word(&'a str),
    Number(u64),
}

fn parts(version: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| match first {
            _ if first.is_ascii_digit() => c.is_ascii_digit(),
            _ if first.is_alphabetic() => c.is_alphabetic(),
            _ => c == first,
        };
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if let Ok(number) = part.parse() {
            parts.push(Part::Number(number));
        } else if first.is_alphanumeric() {
            parts.push(Part::Word(part));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (older, newer) in [
            ("1.9", "1.10"),
            ("0.7.4", "0.8.0"),
            ("3.3", "3.3.1"),
            ("1.0beta2", "1.0"),
            ("1.0-alpha", "1.0-beta"),
            ("1", "2"),
            ("2.0", "10"),
            ("", "1"),
        ] {
            assert_eq!(
                compare_versions(older, newer),
                Ordering::Less,
                "{older} {newer}"
            );
            assert_eq!(compare_versions(newer, older), Ordering::Greater);
        }
        for (one, other) in [("1.0", "1.0.0"), ("1.6", "1.6"), ("01.2", "1.2")] {
            assert_eq!(compare_versions(one, other), Ordering::Equal);
        }
    }
}
