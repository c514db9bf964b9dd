//! What goes to the target and fails there when it is used, and what fails with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::schema::{Certainty, Decision, RuntimeBreak};
use towpath_model::structure::{ObjectId, ObjectKind};

use super::{Reference, is_job};
use crate::decision::{Decisions, Verdict};
use crate::options::BrokenTriggers;
use crate::rules::{Evidence, extension_member, holder};

/// Id of the rule by which triggers go disabled.
pub(crate) const DISABLED: &str = "broken-trigger";

/// Callers named for one object: more tell nobody more.
const CALLERS_NAMED: usize = 100;

/// Objects that go and will fail when used, with what they miss.
pub(crate) fn breaks(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<RuntimeBreak> {
    let found = Found::new(evidence, decisions);
    let mut breaks = found.direct();
    breaks.extend(found.followers());
    breaks.sort_by(|a, b| (&a.object, &a.needs).cmp(&(&b.object, &b.needs)));
    breaks.extend(left_rows(evidence));
    breaks
}

/// Decides that triggers whose function surely fails go disabled, where the operator wants that.
pub(crate) fn disable_triggers(evidence: &Evidence<'_>, decisions: &mut Decisions) {
    if evidence.options.broken_triggers == BrokenTriggers::Report {
        return;
    }
    for broken in breaks(evidence, decisions) {
        let can_be_disabled = holder(evidence.structure, &broken.object)
            .is_some_and(|on| matches!(on.id.kind, ObjectKind::Table | ObjectKind::ForeignTable));
        if broken.object.kind == ObjectKind::Trigger
            && broken.certainty == Certainty::Surely
            && can_be_disabled
        {
            let reason = format!(
                "disabled, because it needs {}: every write that fires it would fail",
                broken.needs
            );
            decisions.set(&broken.object, DISABLED, Verdict::rewritten(reason, &[]));
        }
    }
}

/// The statements that disable them, each with its trigger and table.
pub(crate) fn disabling_statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, QualifiedName, String)> {
    decisions
        .having(Decision::Rewritten)
        .filter(|id| is_disabled_here(decisions, id))
        .filter_map(|id| {
            let on = holder(evidence.structure, id)?;
            let table = QualifiedName::new(on.id.schema.as_deref()?, &on.id.name);
            let word = match on.id.kind {
                ObjectKind::ForeignTable => "foreign table",
                _ => "table",
            };
            let sql = format!(
                "alter {word} {} disable trigger {}",
                table.quoted(),
                quote_identifier(&id.name)
            );
            Some((id.clone(), table, sql))
        })
        .collect()
}

fn is_disabled_here(decisions: &Decisions, trigger: &ObjectId) -> bool {
    decisions
        .report(trigger)
        .is_some_and(|report| report.rule == DISABLED)
}

/// An extension without its rows does nothing, and nobody hears of it.
fn left_rows(evidence: &Evidence<'_>) -> impl Iterator<Item = RuntimeBreak> {
    extension_member::left_rows(evidence).map(|(table, extension)| {
        RuntimeBreak::new(
            table.clone(),
            format!(
                "the rows of {}.{}",
                table.schema.as_deref().unwrap_or_default(),
                table.name
            ),
            format!(
                "extension {extension} comes to the target without them: make its jobs, queues or settings anew there"
            ),
        )
    })
}

/// Who uses an object, and whether each use of the user comes to it.
type Users<'e> = BTreeMap<&'e ObjectId, Vec<(&'e ObjectId, Certainty)>>;

struct Found<'e> {
    evidence: &'e Evidence<'e>,
    decisions: &'e Decisions,
    /// Objects that name something that is missing, with each.
    broken: BTreeMap<&'e ObjectId, Vec<&'e Reference>>,
    users: Users<'e>,
}

impl<'e> Found<'e> {
    fn new(evidence: &'e Evidence<'e>, decisions: &'e Decisions) -> Self {
        let is_there = |id: &ObjectId| {
            let extension = evidence
                .structure
                .objects
                .get(id)
                .and_then(|object| object.extension.as_ref());
            let comes_along = extension.is_some_and(|extension| {
                decisions.goes(&ObjectId::global(ObjectKind::Extension, extension))
            });
            comes_along || decisions.goes(id)
        };
        let mut broken: BTreeMap<&ObjectId, Vec<&Reference>> = BTreeMap::new();
        let mut users: Users<'_> = BTreeMap::new();
        for (by, references) in evidence.references.all() {
            let counts = is_job(by) || (decisions.of(by).is_some() && decisions.is_replayed(by));
            if !counts {
                continue;
            }
            for reference in references {
                if !reference.objects.iter().any(&is_there) {
                    broken.entry(by).or_default().push(reference);
                }
                // Which overload is meant is the server's to say.
                let certainty = match reference.objects.as_slice() {
                    [_] => reference.certainty,
                    _ => Certainty::Perhaps,
                };
                for used in &reference.objects {
                    users.entry(used).or_default().push((by, certainty));
                }
            }
        }
        for (on, dependents) in &evidence.source.dependents {
            let used = users.entry(on).or_default();
            used.extend(dependents.iter().map(|by| (by, Certainty::Surely)));
        }
        for (trigger, function) in &evidence.source.trigger_functions {
            let used = users.entry(function).or_default();
            if !used.iter().any(|(by, _)| *by == trigger) {
                used.push((trigger, Certainty::Surely));
            }
        }
        Self {
            evidence,
            decisions,
            broken,
            users,
        }
    }

    /// Everything that uses an object, directly or through others, nearest first.
    fn callers(&self, of: &'e ObjectId, certainty: Certainty) -> Vec<(&'e ObjectId, Certainty)> {
        let mut callers = Vec::new();
        if !passes_on(of) {
            return callers;
        }
        let mut seen = BTreeSet::from([of]);
        let mut open = VecDeque::from([(of, certainty)]);
        while let Some((id, certainty)) = open.pop_front() {
            for (by, step) in self.users.get(id).into_iter().flatten() {
                let is_there = is_job(by)
                    || (self.decisions.of(by).is_some() && self.decisions.is_replayed(by));
                if !is_there || !seen.insert(by) {
                    continue;
                }
                let certainty = certainty.max(*step).max(self.firing(by));
                callers.push((*by, certainty));
                if passes_on(by) {
                    open.push_back((by, certainty));
                }
            }
        }
        callers
    }

    /// A trigger that is disabled fires when somebody enables it.
    fn firing(&self, id: &ObjectId) -> Certainty {
        if id.kind == ObjectKind::Trigger && self.is_disabled(id) {
            Certainty::Perhaps
        } else {
            Certainty::Surely
        }
    }

    fn is_disabled(&self, trigger: &ObjectId) -> bool {
        let object = self.evidence.structure.objects.get(trigger);
        object
            .and_then(|o| o.aspects.get("enabled"))
            .and_then(Value::as_str)
            == Some("disabled")
            || is_disabled_here(self.decisions, trigger)
    }

    /// What names something missing itself.
    fn direct(&self) -> Vec<RuntimeBreak> {
        let mut breaks = Vec::new();
        for (object, missing) in &self.broken {
            for reference in missing {
                let needs = format!("{}.{}", reference.schema, reference.name);
                let callers = self.callers(object, reference.certainty);
                let consequence = self.direct_consequence(object, &needs, reference.certainty);
                breaks.push(RuntimeBreak {
                    certainty: reference.certainty,
                    callers: callers
                        .into_iter()
                        .map(|(id, _)| id.clone())
                        .take(CALLERS_NAMED)
                        .collect(),
                    ..RuntimeBreak::new((*object).clone(), needs, consequence)
                });
            }
        }
        breaks
    }

    fn direct_consequence(&self, object: &ObjectId, needs: &str, certainty: Certainty) -> String {
        match object.kind {
            _ if is_job(object) => {
                "made anew on the target, the job would fail: change its command".to_owned()
            }
            ObjectKind::Trigger => {
                format!(
                    "one of its arguments names it: if its function looks for {needs}, writes fail"
                )
            }
            ObjectKind::Table => format!("a default looks for {needs}: rows that take it fail"),
            _ => {
                let when = match certainty {
                    Certainty::Surely => "calling it fails",
                    Certainty::Perhaps => {
                        "calling it fails on the ways through it that come to this"
                    }
                };
                format!(
                    "{when}: the target has no {needs}; rewrite it, or call the service from the application"
                )
            }
        }
    }

    /// What fails because something that it uses does: each once, with the nearest cause.
    fn followers(&self) -> Vec<RuntimeBreak> {
        let mut worst: BTreeMap<&ObjectId, (Certainty, &ObjectId)> = BTreeMap::new();
        for (object, missing) in &self.broken {
            let certainty = missing.iter().map(|reference| reference.certainty).min();
            for (by, certainty) in self.callers(object, certainty.unwrap_or_default()) {
                let entry = worst.entry(by).or_insert((certainty, object));
                if certainty < entry.0 {
                    *entry = (certainty, object);
                }
            }
        }
        worst
            .into_iter()
            // Functions in between are named as callers; what fires them is what somebody notices.
            .filter(|(id, _)| id.kind != ObjectKind::Function)
            .map(|(id, (certainty, cause))| {
                let missing = self.broken.get(cause).into_iter().flatten();
                let needs: BTreeSet<String> = missing
                    .map(|reference| format!("{}.{}", reference.schema, reference.name))
                    .collect();
                let needs: Vec<String> = needs.into_iter().collect();
                RuntimeBreak {
                    certainty,
                    during_load: certainty == Certainty::Surely && self.fails_the_load(id, cause),
                    ..RuntimeBreak::new(
                        id.clone(),
                        format!("{cause}, which needs {}", needs.join(", ")),
                        self.consequence(id, certainty),
                    )
                }
            })
            .collect()
    }

    /// Whether making it, or loading rows, runs the broken function.
    fn fails_the_load(&self, id: &ObjectId, cause: &ObjectId) -> bool {
        match id.kind {
            ObjectKind::Index | ObjectKind::Domain => true,
            // One that is not valid comes behind the rows and looks at none of them.
            ObjectKind::Constraint => {
                let object = self.evidence.structure.objects.get(id);
                let definition = object.and_then(|constraint| constraint.aspects.get("definition"));
                !definition
                    .and_then(Value::as_str)
                    .is_some_and(|definition| definition.ends_with("NOT VALID"))
            }
            ObjectKind::MaterializedView => id.schema.as_ref().is_some_and(|schema| {
                let name = QualifiedName::new(schema, &id.name);
                self.evidence.source.populated.contains(&name)
            }),
            ObjectKind::Table if !is_job(id) => {
                let object = self.evidence.structure.objects.get(id);
                let columns = object
                    .and_then(|table| table.aspects.get("columns"))
                    .and_then(Value::as_array);
                columns
                    .into_iter()
                    .flatten()
                    .filter_map(|column| column.get("generated")?.as_str())
                    .any(|expression| expression.contains(cause.name.as_str()))
            }
            _ => false,
        }
    }

    fn consequence(&self, id: &ObjectId, certainty: Certainty) -> String {
        let often = match certainty {
            Certainty::Surely => "",
            Certainty::Perhaps => "on some ways through the function, ",
        };
        let what = match id.kind {
            ObjectKind::Trigger if is_disabled_here(self.decisions, id) => {
                return "it goes disabled: nothing happens until somebody enables it, and then the writes that fire it fail".to_owned();
            }
            ObjectKind::Trigger if self.is_disabled(id) => {
                return "it is disabled as on the source: nothing happens until somebody enables it, and then the writes that fire it fail".to_owned();
            }
            ObjectKind::Trigger => {
                "when it fires, the write to its table fails; rewrite its function before the cutover, or let it go disabled with schema.broken_triggers = \"disable\""
            }
            ObjectKind::EventTrigger => {
                "when it fires, the statement fails; drop it or rewrite its function"
            }
            ObjectKind::Policy => {
                "whoever it applies to gets an error and no rows; write it without the function"
            }
            _ if is_job(id) => "made anew on the target, the job would fail: change its command",
            ObjectKind::Table => {
                "a default or generated column calls it: rows that compute it fail to be written"
            }
            ObjectKind::Constraint | ObjectKind::Domain => {
                "a check calls it: rows that are checked fail to be written"
            }
            ObjectKind::Index => "it is built by calling it, and so are writes to its table",
            ObjectKind::MaterializedView => "refreshing it fails",
            ObjectKind::View => "reading it fails",
            ObjectKind::Rule => "the statements that it rewrites fail",
            _ => "using it fails",
        };
        format!("{often}{what}")
    }
}

/// What uses this one fails with it. What only reads or writes a table does not, although the
/// table has a default or a trigger that does.
fn passes_on(id: &ObjectId) -> bool {
    !matches!(
        id.kind,
        ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::Constraint
            | ObjectKind::Index
            | ObjectKind::Policy
            | ObjectKind::Trigger
            | ObjectKind::EventTrigger
            | ObjectKind::Rule
            | ObjectKind::Domain
    )
}
