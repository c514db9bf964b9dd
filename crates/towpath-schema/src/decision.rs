//! The decisions: one for every object of the source.

use std::collections::BTreeMap;

use towpath_model::name::QualifiedName;
use towpath_model::schema::{Decision, ObjectReport};
use towpath_model::structure::{ObjectId, ObjectKind};

use crate::rules;

/// The aspect of a stand-in that is not compared.
const NOT_COMPARED: &str = "definition";

/// What a rule says about an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub decision: Decision,
    pub reason: String,
    pub changed: Vec<String>,
}

impl Verdict {
    pub(crate) fn kept(reason: impl Into<String>) -> Self {
        Self::new(Decision::Kept, reason)
    }

    pub(crate) fn dropped(reason: impl Into<String>) -> Self {
        Self::new(Decision::Dropped, reason)
    }

    pub(crate) fn emulated(reason: impl Into<String>) -> Self {
        Self::new(Decision::Emulated, reason)
    }

    /// A function of towpath's own. The server puts its definition together from what is compared.
    pub(crate) fn stands_in(reason: impl Into<String>) -> Self {
        Self {
            changed: vec![NOT_COMPARED.to_owned()],
            ..Self::emulated(reason)
        }
    }

    pub(crate) fn rewritten(reason: impl Into<String>, changed: &[&str]) -> Self {
        Self {
            changed: changed.iter().map(|aspect| (*aspect).to_owned()).collect(),
            ..Self::new(Decision::Rewritten, reason)
        }
    }

    fn new(decision: Decision, reason: impl Into<String>) -> Self {
        Self {
            decision,
            reason: reason.into(),
            changed: Vec::new(),
        }
    }
}

/// Every decision, by object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decisions {
    reports: BTreeMap<ObjectId, ObjectReport>,
}

impl Decisions {
    /// Decides about an object, for the first time or anew.
    pub(crate) fn set(&mut self, object: &ObjectId, rule: &str, verdict: Verdict) {
        // A page of the reference is held for every id that is known.
        debug_assert!(rules::ids().any(|id| id == rule), "no rule {rule}");
        let report = ObjectReport {
            object: object.clone(),
            decision: verdict.decision,
            rule: rule.to_owned(),
            reason: verdict.reason,
            changed: verdict.changed,
        };
        self.reports.insert(object.clone(), report);
    }

    /// The decision about an object.
    pub(crate) fn of(&self, object: &ObjectId) -> Option<Decision> {
        self.reports.get(object).map(|report| report.decision)
    }

    /// The whole report of an object.
    pub(crate) fn report(&self, object: &ObjectId) -> Option<&ObjectReport> {
        self.reports.get(object)
    }

    /// Whether an object goes with this aspect changed.
    pub(crate) fn has_changed(&self, object: &ObjectId, aspect: &str) -> bool {
        self.report(object)
            .is_some_and(|report| report.changed.iter().any(|it| it == aspect))
    }

    /// Whether something of this identity is on the target afterwards. An object the catalog
    /// reader does not list (the index of a constraint, say) goes where its surroundings go.
    pub(crate) fn goes(&self, object: &ObjectId) -> bool {
        match self.of(object) {
            Some(decision) => decision != Decision::Dropped,
            None => match (&object.schema, &object.on) {
                (Some(schema), Some(on)) => self.table_goes(&QualifiedName::new(schema, on)),
                (Some(schema), None) => self.goes(&ObjectId::global(ObjectKind::Schema, schema)),
                (None, _) => true,
            },
        }
    }

    /// Whether it was made by a statement of the dump: it goes, and is not emulated.
    pub(crate) fn is_replayed(&self, object: &ObjectId) -> bool {
        self.goes(object) && self.of(object) != Some(Decision::Emulated)
    }

    /// Whether the relation (or domain) of this name goes.
    pub(crate) fn table_goes(&self, name: &QualifiedName) -> bool {
        [
            ObjectKind::Table,
            ObjectKind::View,
            ObjectKind::MaterializedView,
            ObjectKind::ForeignTable,
            ObjectKind::Domain,
        ]
        .into_iter()
        .find_map(|kind| self.of(&ObjectId::of(kind, &name.schema, &name.name)))
        .is_some_and(|decision| decision != Decision::Dropped)
    }

    /// Whether the sequence of this name goes.
    pub(crate) fn sequence_goes(&self, name: &QualifiedName) -> bool {
        self.of(&ObjectId::of(
            ObjectKind::Sequence,
            &name.schema,
            &name.name,
        ))
        .is_some_and(|decision| decision != Decision::Dropped)
    }

    /// Whether a role exists on the target under this name.
    pub(crate) fn role_goes(&self, role: &str) -> bool {
        self.of(&ObjectId::global(ObjectKind::Role, role))
            .is_some_and(|decision| decision != Decision::Dropped)
    }

    /// Objects with this decision.
    pub(crate) fn having(&self, decision: Decision) -> impl Iterator<Item = &ObjectId> {
        self.reports
            .values()
            .filter(move |report| report.decision == decision)
            .map(|report| &report.object)
    }

    /// Adds aspects that may differ, making a kept object a rewritten one.
    pub(crate) fn mark_changed(&mut self, object: &ObjectId, aspects: &[&str], reason: &str) {
        if let Some(report) = self.reports.get_mut(object) {
            report.decision = Decision::Rewritten;
            report.reason = format!("{}; {reason}", report.reason);
            for aspect in aspects {
                if !report.changed.iter().any(|known| known == aspect) {
                    report.changed.push((*aspect).to_owned());
                }
            }
        }
    }

    /// Adds to the reason of a decision, which stays as it is.
    pub(crate) fn explain(&mut self, object: &ObjectId, reason: &str) {
        if let Some(report) = self.reports.get_mut(object) {
            report.reason = format!("{}; {reason}", report.reason);
        }
    }

    /// The reports, sorted by identity.
    pub(crate) fn into_reports(self) -> Vec<ObjectReport> {
        self.reports.into_values().collect()
    }
}
