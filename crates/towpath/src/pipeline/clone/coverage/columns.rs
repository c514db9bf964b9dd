//! The columns of a plan, sorted by what is known of them before any row is read.

use std::collections::BTreeSet;
use std::fmt;

use towpath_mask::classify::{Suspicion, Wanted, by_name};
use towpath_mask::resolve::{Said, said_by};
use towpath_mask::rules::Allows;
use towpath_model::QualifiedName;
use towpath_model::clone_rules::WholeTable;
use towpath_model::keys::{ColumnFacts, KeyFacts, table_named};
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::subset::TableSubset;

use crate::pipeline::clone::{Order, masks};

/// A column as the gate sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Table; of a partition the one that it belongs to.
    pub table: QualifiedName,
    /// Its name.
    pub name: String,
    /// Type as `format_type` writes it.
    pub type_name: String,
    /// What a mask would have to go with.
    pub wanted: Wanted,
}

impl Column {
    /// Table and name.
    pub fn place(&self) -> (QualifiedName, String) {
        (self.table.clone(), self.name.clone())
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::shown(&self.table, &self.name))
    }
}

/// Every column of which values go.
#[derive(Debug, Default)]
pub struct Columns {
    /// Those that are masked.
    pub masked: Vec<Column>,
    /// Those that are allowed, with the reasons.
    pub allowed: Vec<(Column, String)>,
    /// Those that look personal by name or type.
    pub named: Vec<(Column, Suspicion)>,
    /// The others; with the planned table that holds rows of them.
    unknown: Vec<(QualifiedName, Column)>,
}

impl Columns {
    /// Of a plan with its masks.
    pub fn of(order: &Order, facts: &KeyFacts, plan: &Plan) -> Self {
        let allows = Allows::of(&order.rules);
        let keys = keys(facts);
        let mut columns = Self::default();
        let mut seen = BTreeSet::new();
        for planned in &plan.tables {
            if !planned.rows.is_table() || goes_without_rows(order, planned) {
                continue;
            }
            for (at, name) in planned.columns.iter().enumerate() {
                let lineage = lineage(facts, &planned.name, name);
                let column = column(facts, &keys, planned, at, lineage.last());
                let first = seen.insert(column.place());
                let allowed = lineage.iter().find_map(|(table, known)| {
                    let by_rule = allows.find(table, name).map(|rule| rule.reason.clone());
                    by_rule.or_else(|| allowed_by_comment((*known)?))
                });
                let stays = masks::stays_as_it_is(order.auth, &planned.name, name);
                let suspicion = || {
                    lineage
                        .iter()
                        .find_map(|(table, _)| by_name(table, name, &column.wanted.base_type))
                };
                if planned.masks.contains_key(name) {
                    if first {
                        columns.masked.push(column);
                    }
                } else if let Some(reason) = allowed {
                    if first {
                        columns.allowed.push((column, reason));
                    }
                } else if let Some(suspicion) = suspicion().filter(|_| !stays) {
                    if first {
                        columns.named.push((column, suspicion));
                    }
                } else {
                    columns.unknown.push((planned.name.clone(), column));
                }
            }
        }
        columns
    }

    /// Columns of a planned table whose content may tell what their names do not.
    pub fn of_content(&self, table: &QualifiedName) -> Vec<&Column> {
        self.unknown
            .iter()
            .filter(|(planned, column)| planned == table && column.may_tell())
            .map(|(_, column)| column)
            .collect()
    }

    /// Every planned table with such columns.
    pub fn with_content(&self) -> Vec<(&QualifiedName, Vec<&Column>)> {
        let mut tables: Vec<(&QualifiedName, Vec<&Column>)> = Vec::new();
        for (planned, column) in self.unknown.iter().filter(|(_, column)| column.may_tell()) {
            match tables.last_mut() {
                Some((table, columns)) if *table == planned => columns.push(column),
                _ => tables.push((planned, vec![column])),
            }
        }
        tables
    }

    /// Columns that are neither masked nor allowed, each once.
    pub fn open(&self) -> impl Iterator<Item = &Column> + Clone {
        let mut seen = BTreeSet::new();
        let unknown = self.unknown.iter().map(|(_, column)| column);
        unknown.filter(move |column| seen.insert((&column.table, &column.name)))
    }

    /// Every column there is, each once.
    pub fn all(&self) -> impl Iterator<Item = &Column> {
        let allowed = self.allowed.iter().map(|(column, _)| column);
        let named = self.named.iter().map(|(column, _)| column);
        self.masked
            .iter()
            .chain(allowed)
            .chain(named)
            .chain(self.open())
    }
}

impl Column {
    /// Whether what stands in it may tell of somebody. Numbers and times say nothing alone, and the
    /// statements of migrations are the project's own: secrets in them have a check for themselves.
    fn may_tell(&self) -> bool {
        if self.table.schema == "supabase_migrations" {
            return false;
        }
        let name = self.wanted.base_type.trim_end_matches("[]");
        let name = name.split('(').next().unwrap_or_default().trim_end();
        matches!(
            name.rsplit('.').next().unwrap_or_default(),
            "text"
                | "character varying"
                | "character"
                | "name"
                | "citext"
                | "json"
                | "jsonb"
                | "xml"
                | "hstore"
        )
    }
}

/// A table and what it descends from, nearest first, as far as they have the column.
fn lineage<'f>(
    facts: &'f KeyFacts,
    table: &QualifiedName,
    column: &str,
) -> Vec<(QualifiedName, Option<&'f ColumnFacts>)> {
    let parents = facts
        .tables
        .get(table)
        .map(|known| known.parents.as_slice());
    let parents = parents.unwrap_or_default().iter();
    let mut lineage = vec![(table.clone(), facts.column(table, column))];
    lineage.extend(parents.filter_map(|parent| {
        let known = facts.column(parent, column)?;
        Some((parent.clone(), Some(known)))
    }));
    lineage
}

fn allowed_by_comment(column: &ColumnFacts) -> Option<String> {
    match said_by(column.comment.as_deref()?)? {
        Said::Allow(reason) => Some(reason),
        Said::Mask(_) | Said::Unknown(_) => None,
    }
}

fn column(
    facts: &KeyFacts,
    keys: &BTreeSet<(&QualifiedName, &str)>,
    planned: &PlannedTable,
    at: usize,
    eldest: Option<&(QualifiedName, Option<&ColumnFacts>)>,
) -> Column {
    let name = planned.columns.get(at).cloned().unwrap_or_default();
    let known = facts.column(&planned.name, &name);
    let planned_type = planned.types.get(at).cloned().unwrap_or_default();
    let base_type = known.map_or_else(|| planned_type.clone(), |known| known.base_type.clone());
    let table = eldest.map_or_else(|| planned.name.clone(), |(table, _)| table.clone());
    Column {
        wanted: Wanted {
            column: name.clone(),
            max_chars: length_of(&base_type),
            not_null: known.is_some_and(|known| known.not_null),
            is_key: [&planned.name, &table]
                .iter()
                .any(|table| keys.contains(&(*table, name.as_str()))),
            base_type,
        },
        type_name: known.map_or(planned_type, |known| known.type_name.clone()),
        table,
        name,
    }
}

/// Columns under a unique key or a foreign key.
fn keys(facts: &KeyFacts) -> BTreeSet<(&QualifiedName, &str)> {
    let uniques = facts
        .uniques
        .iter()
        .flat_map(|key| key.columns.iter().map(|column| (&key.table, column)));
    let references = facts.references.iter().flat_map(|reference| {
        let child = reference.child_columns.iter();
        let parent = reference.parent_columns.iter();
        child
            .map(|column| (&reference.child, column))
            .chain(parent.map(|column| (&reference.parent, column)))
    });
    uniques
        .chain(references)
        .map(|(table, column)| (table, column.as_str()))
        .collect()
}

/// `character varying(20)` is 20 characters.
fn length_of(base_type: &str) -> Option<u32> {
    let is_text = base_type.starts_with("character");
    let (_, rest) = base_type.split_once('(').filter(|_| is_text)?;
    rest.split_once(')')?.0.parse().ok()
}

/// Whether no row of a table goes, whatever is in it.
fn goes_without_rows(order: &Order, planned: &PlannedTable) -> bool {
    let by_rule = || {
        order.rules.subset.tables.iter().any(|rule| {
            rule.rows == Some(WholeTable::None)
                && table_named(&rule.table).as_ref() == Some(&planned.name)
        })
    };
    planned.subset == Some(TableSubset::Empty) || by_rule()
}
