//! From rules to masks of columns: globs, types, comments, foreign keys and partitions; and what the
//! database would refuse, before anything is copied.

mod comment;
mod fitting;
mod matching;
mod spread;

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::clone_rules::CloneRules;
use towpath_model::keys::{KeyFacts, declared, idle, leading_table};
use towpath_model::masking::{Condition, Locale, PlannedMask, Transformer};
use towpath_model::name::{QualifiedName, readable};
use towpath_model::plan::PlannedTable;

pub use comment::{Said, said_by};

/// Masks of all tables, and what stands in their way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// By table and column.
    pub masks: BTreeMap<QualifiedName, BTreeMap<String, PlannedMask>>,
    /// Tables whose rows must travel as CSV, because the binary form of a masked column's type is
    /// not known, each with the reason.
    pub as_csv: BTreeMap<QualifiedName, String>,
    /// What is refused: sentences with the way out.
    pub refusals: Vec<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// Rules that hold where nobody says anything else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preset {
    /// What they are called.
    pub name: String,
    /// Exactly these columns.
    pub columns: Vec<(QualifiedName, String, Transformer)>,
}

impl Preset {
    fn mask_of(&self, table: &QualifiedName, column: &str) -> Option<&Transformer> {
        let mut those = self.columns.iter();
        those
            .find(|(name, of, _)| name == table && of == column)
            .map(|(_, _, transformer)| transformer)
    }
}

/// Who says how a column is masked. The first one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Voice {
    File,
    Comment,
    Preset,
    /// A key that leads to a masked column, or from one.
    Reference,
}

/// What is to be done to a column, before it is known whether it can be.
#[derive(Debug, Clone, PartialEq)]
struct Decision {
    voice: Voice,
    transformer: Transformer,
    locale: Locale,
    domain: String,
    condition: Option<Condition>,
    origin: String,
}

impl Decision {
    /// Whether both give the same values for the same values.
    fn is_like(&self, other: &Self) -> bool {
        self.transformer == other.transformer
            && self.locale == other.locale
            && self.domain == other.domain
            && self.condition == other.condition
    }

    /// Whether every value becomes NULL.
    fn leaves_nothing(&self) -> bool {
        self.transformer == Transformer::Null && self.condition.is_none()
    }

    /// It, for another column.
    fn by(&self, reference: &str) -> Self {
        Self {
            voice: Voice::Reference,
            origin: reference.to_owned(),
            ..self.clone()
        }
    }
}

/// A column of a table.
type Place = (QualifiedName, String);

/// For people.
fn shown(table: &QualifiedName, column: &str) -> String {
    format!("{table}.{}", readable(column))
}

/// What has been decided so far, and what was found on the way.
#[derive(Debug, Default)]
struct Work {
    decisions: BTreeMap<Place, Decision>,
    refusals: Vec<String>,
    warnings: Vec<String>,
}

impl Work {
    fn refuse(&mut self, why: String) {
        // One cause may be met at every partition.
        if !self.refusals.contains(&why) {
            self.refusals.push(why);
        }
    }

    fn warn(&mut self, what: String) {
        if !self.warnings.contains(&what) {
            self.warnings.push(what);
        }
    }
}

/// Resolves the rules for the planned tables.
pub fn resolve(
    rules: &CloneRules,
    place: &str,
    facts: &KeyFacts,
    tables: &[PlannedTable],
) -> Resolved {
    resolve_with(rules, place, &Preset::default(), facts, tables)
}

/// The same with rules that hold where neither file nor comment says anything.
pub fn resolve_with(
    rules: &CloneRules,
    place: &str,
    preset: &Preset,
    facts: &KeyFacts,
    tables: &[PlannedTable],
) -> Resolved {
    let mut work = Work::default();
    matching::decide(&mut work, rules, place, preset, facts, tables);
    let (references, refused) = declared(&rules.references, facts);
    for why in refused {
        work.refuse(format!("{place}: {why}"));
    }
    for what in idle(&rules.references, facts) {
        work.warn(format!("{place}: {what}"));
    }
    conditions_of_references(&mut work, rules, place, facts);
    spread::follow_parents(&mut work, facts);
    spread::follow_references(&mut work, rules, &references, facts);
    let mut resolved = fitting::fit(&mut work, facts, &references, tables);
    let planned: BTreeSet<&QualifiedName> = tables.iter().map(|table| &table.name).collect();
    let elsewhere: BTreeSet<&QualifiedName> = work
        .decisions
        .keys()
        .map(|(table, _)| table)
        .filter(|table| {
            let facts = facts.tables.get(*table);
            !planned.contains(table) && !facts.is_some_and(|facts| facts.is_partitioned)
        })
        .collect();
    let without_rows: Vec<String> = elsewhere
        .iter()
        .map(|table| format!("masks of {table} do nothing: its rows are not copied"))
        .collect();
    for what in without_rows {
        work.warn(what);
    }
    resolved.refusals = work.refusals;
    resolved.warnings = work.warnings;
    resolved
}

/// A reference whose condition holds in no row leads nowhere, and takes no mask there.
fn conditions_of_references(work: &mut Work, rules: &CloneRules, place: &str, facts: &KeyFacts) {
    for (rule, no) in rules.references.iter().zip(1..) {
        let Some((when, (table, _))) = rule.when.as_ref().zip(leading_table(&rule.from)) else {
            continue;
        };
        let column = facts.column(&table, &when.column);
        if let Some(Err(why)) = column.map(|column| fitting::holds_for_some(when, column)) {
            work.refuse(format!(
                "{place}: reference {no}, from {} to {}: {why}",
                rule.from, rule.to
            ));
        }
    }
}

/// How a rule is called.
fn origin_of(no: usize, place: &str) -> String {
    format!("mask {no} of {place}")
}

#[cfg(test)]
mod tests;
