//! Which rule is whose: every column by itself.

use std::collections::BTreeSet;

use towpath_model::clone_rules::{CloneRules, MaskRule};
use towpath_model::keys::{ColumnFacts, KeyFacts};
use towpath_model::masking::{Locale, Transformer};
use towpath_model::name::QualifiedName;
use towpath_model::plan::PlannedTable;

use super::{Decision, Preset, Said, Voice, Work, origin_of, said_by, shown};
use crate::rules::Allows;
use crate::rules::glob::{Case, Pattern};
use crate::transform::default_domain;

/// A rule with its patterns.
struct Ready<'r> {
    rule: &'r MaskRule,
    no: usize,
    table: Option<Pattern>,
    column: Option<Pattern>,
    type_name: Option<Pattern>,
}

impl<'r> Ready<'r> {
    fn new(rule: &'r MaskRule, no: usize) -> Result<Self, String> {
        let case = Case::IsTheSame;
        let pattern = |text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| Pattern::new(text, case)).transpose()
        };
        let table = rule.table.as_deref();
        Ok(Self {
            table: table
                .map(|text| Pattern::of_table(text, case))
                .transpose()?,
            column: pattern(&rule.column)?,
            type_name: pattern(&rule.type_name)?,
            rule,
            no,
        })
    }

    fn is_table(&self, table: &QualifiedName) -> bool {
        let pattern = self.table.as_ref();
        pattern.is_none_or(|pattern| pattern.is_table(table))
    }

    fn is_column(&self, column: &ColumnFacts) -> bool {
        let named = self.column.as_ref();
        let typed = self.type_name.as_ref();
        named.is_none_or(|pattern| pattern.is_match(&column.name))
            && typed.is_none_or(|pattern| {
                pattern.is_type(&column.type_name) || pattern.is_type(&column.base_type)
            })
    }
}

/// Decides every column by its own name, type and comment.
pub(super) fn decide(
    work: &mut Work,
    rules: &CloneRules,
    place: &str,
    preset: &Preset,
    facts: &KeyFacts,
    tables: &[PlannedTable],
) {
    let mut ready = Vec::new();
    for (rule, no) in rules.masks.iter().zip(1..) {
        match Ready::new(rule, no) {
            Ok(rule) => ready.push(rule),
            Err(why) => work.refuse(format!("mask {no} of {place}: no pattern: {why}")),
        }
    }
    // Large objects stand in the plan as a table that no rule can mean. Of a partitioned table, whose
    // rows are its partitions', the comments are read as well.
    let planned = tables.iter().filter(|table| table.rows.is_table());
    let in_plan: BTreeSet<&QualifiedName> = planned
        .flat_map(|table| {
            let known = facts.tables.get(&table.name);
            let parents = known.into_iter().flat_map(|known| &known.parents);
            std::iter::once(&table.name).chain(parents)
        })
        .collect();
    let allows = Allows::of(rules);
    let mut used = BTreeSet::new();
    for (table, table_facts) in &facts.tables {
        let here: Vec<&Ready<'_>> = ready.iter().filter(|rule| rule.is_table(table)).collect();
        for column in &table_facts.columns {
            let mut those = here.iter().filter(|rule| rule.is_column(column));
            let by_file = those.next();
            if let Some(rule) = by_file {
                used.insert(rule.no);
            }
            if column.generated {
                if let Some(rule) = by_file.filter(|rule| rule.rule.column.is_some()) {
                    work.warn(format!(
                        "{}: {} means a generated column; it is computed anew, of masked values where its columns are masked",
                        shown(table, &column.name),
                        origin_of(rule.no, place)
                    ));
                }
                continue;
            }
            if let (Some(first), Some(second)) = (by_file, those.next())
                && first.rule.when.is_some()
            {
                work.warn(format!(
                    "{}: {} masks it under a condition, and {}, which means it as well, is not used: what the condition spares goes as it is",
                    shown(table, &column.name),
                    origin_of(first.no, place),
                    origin_of(second.no, place)
                ));
            }
            let decision = match by_file {
                Some(rule) => Some(by_rule(rules, rule, place)),
                None if is_allowed(&allows, preset, table, &column.name) => None,
                None => by_others(work, rules, preset, table, column, in_plan.contains(table)),
            };
            if let Some(decision) = decision {
                work.decisions
                    .insert((table.clone(), column.name.clone()), decision);
            }
        }
    }
    for rule in ready.iter().filter(|rule| !used.contains(&rule.no)) {
        work.warn(format!("{} matches no column", origin_of(rule.no, place)));
    }
    warn_of_idle_allows(work, rules, place, facts);
}

/// Whether the file lets a column go as it is. What a preset masks wants to be named more closely than
/// by a pattern that is every schema's: `*.*` is about columns that somebody has looked at.
fn is_allowed(allows: &Allows<'_>, preset: &Preset, table: &QualifiedName, column: &str) -> bool {
    match preset.mask_of(table, column) {
        Some(_) => allows.name_schema(table, column),
        None => allows.find(table, column).is_some(),
    }
}

fn by_rule(rules: &CloneRules, ready: &Ready<'_>, place: &str) -> Decision {
    let rule = ready.rule;
    decision(
        Voice::File,
        &rule.transformer,
        rules.locale,
        rule.domain.clone(),
        origin_of(ready.no, place),
        rule,
    )
}

fn decision(
    voice: Voice,
    transformer: &Transformer,
    locale: Locale,
    domain: Option<String>,
    origin: String,
    rule: &MaskRule,
) -> Decision {
    let locale = match transformer {
        Transformer::Fake {
            locale: Some(own), ..
        } => *own,
        _ => locale,
    };
    Decision {
        voice,
        domain: domain.unwrap_or_else(|| default_domain(transformer)),
        transformer: transformer.clone(),
        locale,
        condition: rule.when.clone(),
        origin,
    }
}

/// What comment or preset say.
fn by_others(
    work: &mut Work,
    rules: &CloneRules,
    preset: &Preset,
    table: &QualifiedName,
    column: &ColumnFacts,
    is_planned: bool,
) -> Option<Decision> {
    let plain = |voice, transformer: &Transformer, origin| {
        let rule = MaskRule {
            table: None,
            column: None,
            type_name: None,
            domain: None,
            when: None,
            transformer: transformer.clone(),
        };
        decision(voice, transformer, rules.locale, None, origin, &rule)
    };
    match column.comment.as_deref().and_then(said_by) {
        Some(Said::Mask(transformer)) => {
            return Some(plain(
                Voice::Comment,
                &transformer,
                "its comment".to_owned(),
            ));
        }
        Some(Said::Allow(_)) => return None,
        Some(Said::Unknown(said)) if is_planned => work.refuse(format!(
            "{}: its comment says towpath:{said}, which towpath does not understand; write towpath:mask(email), towpath:mask(null) or towpath:allow(why)",
            shown(table, &column.name)
        )),
        _ => {}
    }
    let transformer = preset.mask_of(table, &column.name)?;
    Some(plain(Voice::Preset, transformer, preset.name.clone()))
}

/// A rule that allows nothing is a rule with a mistake in it.
fn warn_of_idle_allows(work: &mut Work, rules: &CloneRules, place: &str, facts: &KeyFacts) {
    for (allow, no) in rules.allows.iter().zip(1..) {
        let alone = CloneRules {
            allows: vec![allow.clone()],
            ..CloneRules::default()
        };
        let alone = Allows::of(&alone);
        let is_used = facts.tables.iter().any(|(table, facts)| {
            let mut columns = facts.columns.iter();
            columns.any(|column| alone.find(table, &column.name).is_some())
        });
        if !is_used {
            work.warn(format!("allow {no} of {place} matches no column"));
        }
    }
}
