//! The columns of a plan, sorted by what is known of them before any row is read.

use std::collections::BTreeSet;
use std::fmt;

use towpath_mask::classify::{Suspicion, Wanted, by_name, may_tell};
use towpath_mask::resolve::{Said, said_by};
use towpath_mask::rules::Allows;
use towpath_model::QualifiedName;
use towpath_model::clone_rules::{CloneRules, WholeTable};
use towpath_model::keys::{ColumnFacts, KeyFacts, table_named};
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::subset::TableSubset;

use crate::pipeline::clone::order::AuthRows;
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

/// A column that is allowed.
#[derive(Debug)]
pub struct Allowed {
    /// The column.
    pub column: Column,
    /// The table that is allowed to have it: a partition may be allowed without the others.
    pub table: QualifiedName,
    /// Why.
    pub reason: String,
}

/// Every column of which values go.
#[derive(Debug, Default)]
pub struct Columns {
    /// Those that are masked.
    pub masked: Vec<Column>,
    /// Those that are allowed.
    pub allowed: Vec<Allowed>,
    /// Those that look personal by name or type.
    pub named: Vec<(Column, Suspicion)>,
    /// The others; with the planned table that holds rows of them.
    unknown: Vec<(QualifiedName, Column)>,
}

impl Columns {
    /// Of a plan with its masks.
    pub fn of(order: &Order, facts: &KeyFacts, plan: &Plan) -> Self {
        Self::of_tables(&order.rules, order.auth, facts, &plan.tables)
    }

    fn of_tables(
        rules: &CloneRules,
        auth: AuthRows,
        facts: &KeyFacts,
        tables: &[PlannedTable],
    ) -> Self {
        let allows = Allows::of(rules);
        let keys = keys(facts);
        let mut columns = Self::default();
        // Each of them by itself: of a column that is allowed in one partition the others still tell.
        let (mut masked, mut permitted) = (BTreeSet::new(), BTreeSet::new());
        let mut named = BTreeSet::new();
        for planned in tables {
            if !planned.rows.is_table() || goes_without_rows(rules, planned) {
                continue;
            }
            for (at, name) in planned.columns.iter().enumerate() {
                let lineage = lineage(facts, &planned.name, name);
                let column = column(facts, &keys, planned, at, lineage.last());
                let allowed = lineage.iter().rev().find_map(|(table, known)| {
                    let by_rule = allows.find(table, name).map(|rule| rule.reason.clone());
                    let reason = by_rule.or_else(|| allowed_by_comment((*known)?))?;
                    Some((table.clone(), reason))
                });
                let stays = masks::stays_as_it_is(auth, &planned.name, name);
                let suspicion = || {
                    lineage
                        .iter()
                        .find_map(|(table, _)| by_name(table, name, &column.wanted.base_type))
                };
                if planned.masks.contains_key(name) {
                    if masked.insert(column.place()) {
                        columns.masked.push(column);
                    }
                } else if let Some((table, reason)) = allowed {
                    if permitted.insert((table.clone(), column.name.clone())) {
                        columns.allowed.push(Allowed {
                            column,
                            table,
                            reason,
                        });
                    }
                } else if let Some(suspicion) = suspicion().filter(|_| !stays) {
                    if named.insert(column.place()) {
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

    /// Every column there is, and whether it is masked.
    pub fn all(&self) -> impl Iterator<Item = (&Column, bool)> {
        let allowed = self.allowed.iter().map(|it| &it.column);
        let named = self.named.iter().map(|(column, _)| column);
        let masked = self.masked.iter().map(|column| (column, true));
        let others = allowed.chain(named).chain(self.open());
        masked.chain(others.map(|column| (column, false)))
    }
}

impl Column {
    /// Whether what stands in it may tell of somebody. Numbers and times say nothing alone, and the
    /// statements of migrations are the project's own: secrets in them have a check for themselves.
    fn may_tell(&self) -> bool {
        self.table.schema != "supabase_migrations" && may_tell(&self.wanted.base_type)
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
fn goes_without_rows(rules: &CloneRules, planned: &PlannedTable) -> bool {
    let by_rule = || {
        rules.subset.tables.iter().any(|rule| {
            rule.rows == Some(WholeTable::None)
                && table_named(&rule.table).as_ref() == Some(&planned.name)
        })
    };
    planned.subset == Some(TableSubset::Empty) || by_rule()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use towpath_model::TableId;
    use towpath_model::keys::TableFacts;

    use super::*;

    fn planned(name: &QualifiedName) -> PlannedTable {
        serde_json::from_value(json!({
            "id": TableId::of(name), "name": name, "columns": ["email"], "key": [],
            "types": ["text"], "format": "csv", "bytes": 0, "estimated_rows": 0,
            "force_row_security": false, "chunks": [],
        }))
        .unwrap()
    }

    /// Columns that look personal, and tables that are allowed to have them.
    fn told(rules: &str) -> (Vec<String>, Vec<String>) {
        let parent = QualifiedName::new("public", "visits");
        let partitions = ["visits_1", "visits_2"].map(|it| QualifiedName::new("public", it));
        let mut facts = KeyFacts::default();
        for table in partitions.iter().chain([&parent]) {
            let column = ColumnFacts {
                name: "email".to_owned(),
                type_name: "text".to_owned(),
                base_type: "text".to_owned(),
                ..ColumnFacts::default()
            };
            let is_parent = *table == parent;
            let table_facts = TableFacts {
                columns: vec![column],
                parents: (!is_parent).then(|| parent.clone()).into_iter().collect(),
                is_partitioned: is_parent,
                ..TableFacts::default()
            };
            facts.tables.insert(table.clone(), table_facts);
        }
        let tables: Vec<PlannedTable> = partitions.iter().map(planned).collect();
        let rules = towpath_mask::rules::parse(rules, "rules.toml").unwrap();
        let columns = Columns::of_tables(&rules, AuthRows::Ids, &facts, &tables);
        (
            columns.named.iter().map(|(it, _)| it.to_string()).collect(),
            columns
                .allowed
                .iter()
                .map(|it| it.table.to_string())
                .collect(),
        )
    }

    #[test]
    fn what_one_partition_may_have_the_others_may_not() {
        let rule = |table: &str| {
            format!("[[allow]]\ntable = \"{table}\"\ncolumn = \"email\"\nreason = \"ours\"\n")
        };
        let parent = "public.visits.email".to_owned();
        assert_eq!(told(""), (vec![parent.clone()], vec![]));
        for partition in ["visits_1", "visits_2"] {
            let allowed = format!("public.{partition}");
            assert_eq!(
                told(&rule(partition)),
                (vec![parent.clone()], vec![allowed])
            );
        }
        // Of the whole table is of all its partitions, and told once.
        for all in ["visits", "visit*"] {
            assert_eq!(told(&rule(all)), (vec![], vec!["public.visits".to_owned()]));
        }
    }
}
