//! Functions that find what they call by the path of the session, where the target does not let
//! them.
//!
//! Since 17, PostgreSQL builds indexes, refreshes materialized views and gathers statistics under
//! the search path `pg_catalog, pg_temp` (its release notes of version 17, section Migration). An
//! index over a function whose text names `squeeze(…)` and not `public.squeeze(…)` was made on 15
//! without a word and cannot be made on 17. Such a function gets the path that its makers had.

use std::collections::{BTreeMap, BTreeSet};

use pg_query::protobuf::Token;
use serde_json::Value;
use towpath_model::structure::{ObjectId, ObjectKind};

use crate::decision::{Decisions, Verdict};
use crate::references::words::{self, Word};
use crate::reserved::USER_OWNER;
use crate::rules::Evidence;
use crate::script::{SEARCH_PATH, routine};
use crate::setting;

/// The id of this rule.
pub(crate) const RULE: &str = "build-path";

const SINCE: u32 = 170_000;

/// Marks the functions that get a path of their own.
pub(crate) fn decide(evidence: &Evidence<'_>, decisions: &mut Decisions) {
    for (function, reason) in pathless(evidence, decisions) {
        let before = decisions.report(&function).map(|it| it.reason.as_str());
        let reason = format!("{}; {reason}", before.unwrap_or_default());
        // A setting that the target refuses is one of these aspects too.
        let verdict = Verdict::rewritten(reason, &["config", "definition"]);
        decisions.set(&function, RULE, verdict);
    }
}

/// The statements that give it to them, in no particular order.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    let clause = setting::clause("search_path", &path(evidence));
    pathless(evidence, decisions)
        .into_keys()
        .map(|function| {
            let sql = format!("alter function {} {clause}", routine(&function));
            (function, sql)
        })
        .collect()
}

/// What the user's login had: its own setting, the database's, or the platform's.
fn path(evidence: &Evidence<'_>) -> String {
    let of = |role: Option<&str>| {
        let settings = &evidence.source.settings;
        let row = settings
            .iter()
            .find(|row| row.name == "search_path" && row.role.as_deref() == role)?;
        Some(row.value.clone())
    };
    of(Some(USER_OWNER))
        .or_else(|| of(None))
        .unwrap_or_else(|| SEARCH_PATH.to_owned())
}

/// Functions that go, are run by a build or a refresh, and name something without its schema; with
/// the reason.
fn pathless(evidence: &Evidence<'_>, decisions: &Decisions) -> BTreeMap<ObjectId, String> {
    if evidence.target.version_num < SINCE {
        return BTreeMap::new();
    }
    let texts = Texts::new(evidence);
    run_by_builds(evidence, decisions)
        .into_iter()
        .filter(|(function, _)| decisions.is_replayed(function) && texts.need_a_path(function))
        .map(|(function, by)| {
            let reason = format!(
                "with a search path of its own: from 17 on {by} is built without the session's, \
                 and its text, or that of a function it calls, names objects without their schemas"
            );
            (function.clone(), reason)
        })
        .collect()
}

/// Every function that building one of these reaches through the catalog, and one that does.
fn run_by_builds<'e>(
    evidence: &Evidence<'e>,
    decisions: &Decisions,
) -> BTreeMap<&'e ObjectId, &'e ObjectId> {
    let mut needs: BTreeMap<&ObjectId, BTreeSet<&ObjectId>> = BTreeMap::new();
    for (on, dependents) in &evidence.source.dependents {
        for by in dependents {
            needs.entry(by).or_default().insert(on);
        }
    }
    let mut functions = BTreeMap::new();
    for root in needs.keys().filter(|id| is_built(id) && decisions.goes(id)) {
        let mut seen = BTreeSet::new();
        let mut open = vec![*root];
        while let Some(id) = open.pop() {
            // What a table's defaults and checks call is run by writes, which have a session's path.
            let stops = matches!(id.kind, ObjectKind::Table | ObjectKind::ForeignTable);
            if stops || !seen.insert(id) {
                continue;
            }
            if id.kind == ObjectKind::Function {
                functions.entry(id).or_insert(*root);
            }
            open.extend(needs.get(id).into_iter().flatten());
        }
    }
    functions
}

fn is_built(id: &ObjectId) -> bool {
    matches!(
        id.kind,
        ObjectKind::Index
            | ObjectKind::Constraint
            | ObjectKind::MaterializedView
            | ObjectKind::Statistics
    )
}

/// Texts of functions, and the names in them.
struct Texts<'e> {
    evidence: &'e Evidence<'e>,
    /// Names and operators that some object outside of `pg_catalog` bears.
    known: BTreeSet<&'e str>,
    functions: BTreeMap<&'e str, Vec<&'e ObjectId>>,
}

impl<'e> Texts<'e> {
    fn new(evidence: &'e Evidence<'e>) -> Self {
        let mut functions: BTreeMap<&str, Vec<&ObjectId>> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for id in evidence.structure.objects.keys() {
            if id.kind == ObjectKind::Function {
                functions.entry(&id.name).or_default().push(id);
            }
            if is_named_in_texts(id.kind) {
                known.insert(id.name.as_str());
            }
        }
        Self {
            evidence,
            known,
            functions,
        }
    }

    /// Whether the function, or one that it calls, names an object without its schema.
    fn need_a_path(&self, function: &'e ObjectId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![function];
        while let Some(id) = open.pop() {
            // One with a path of its own needs none from its caller.
            if !seen.insert(id) || self.has_a_path(id) {
                continue;
            }
            let Some(body) = self.evidence.source.bodies.get(id) else {
                continue;
            };
            if unqualified(&body.text)
                .iter()
                .any(|name| self.known.contains(name.as_str()))
            {
                return true;
            }
            for (schema, name) in words::mentions(&body.text) {
                let called = self.functions.get(name.as_str()).into_iter().flatten();
                open.extend(called.filter(|id| id.schema.as_deref() == Some(schema.as_str())));
            }
        }
        false
    }

    fn has_a_path(&self, function: &ObjectId) -> bool {
        let config = self
            .evidence
            .structure
            .objects
            .get(function)
            .and_then(|object| object.aspects.get("config"))
            .and_then(Value::as_array);
        config.into_iter().flatten().any(|entry| {
            entry
                .as_str()
                .is_some_and(|entry| entry.starts_with("search_path="))
        })
    }
}

fn is_named_in_texts(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Function
            | ObjectKind::Operator
            | ObjectKind::Type
            | ObjectKind::Domain
            | ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::View
            | ObjectKind::MaterializedView
            | ObjectKind::Sequence
            | ObjectKind::TextSearchConfiguration
    )
}

/// Names and operators of a text that stand alone. String literals count as names: one that is
/// cast to `regclass` or given to `to_tsvector` is one.
fn unqualified(text: &str) -> BTreeSet<String> {
    let tokens = words::scan(text).unwrap_or_default();
    let mut names = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_dot = |other: Option<&Word<'_>>| other.is_some_and(|other| other.text == ".");
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if is_dot(before) || is_dot(tokens.get(at + 1)) {
            continue;
        }
        names.insert(if token.token == Token::Sconst {
            token.text.trim_matches('\'').to_lowercase()
        } else {
            token.name().unwrap_or_else(|| token.text.to_owned())
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_schema_and_comments_do_not_count() {
        let names = unqualified(
            "select public.squeeze(value) -- digest\n || Digest(x) % 'English_Plain' || \"odd\"\"x\"",
        );
        for name in ["digest", "%", "english_plain", "odd\"x"] {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        assert!(!names.contains("squeeze") && !names.contains("public"));
        assert!(
            unqualified("select 1 -- digest(x)")
                .is_disjoint(&BTreeSet::from(["digest".to_owned()]))
        );
    }
}
