//! What is to be done, told from rules and references alone: no row has been looked at yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use towpath_model::clone_rules::{Children, SubsetRules, TableRule, WholeTable};
use towpath_model::digest::Hash;
use towpath_model::keys::{KeyFacts, Reference, table_named};
use towpath_model::masking::Transformer;
use towpath_model::plan::PlannedTable;
use towpath_model::subset::{KeptRows, RowSet};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::Choice;

/// The seed of those who name none.
pub const SEED: &str = "towpath";

/// What becomes of a table that holds rows: an ordinary one or a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No row goes, and none that refers to one.
    None,
    /// No choice reaches it.
    Whole,
    /// Every row goes, for it was asked for.
    All,
    /// Rows go that are chosen, or that chosen rows want.
    Chosen,
}

/// A table that holds rows.
#[derive(Debug)]
pub struct Leaf<'c> {
    /// The table.
    pub table: &'c PlannedTable,
    /// What becomes of it.
    pub fate: Fate,
    /// It may hold rows that refer to what does not go.
    pub is_affected: bool,
    /// Rows that refer to chosen rows of it go as well.
    pub brings_children: bool,
    rule: Option<&'c TableRule>,
}

impl Leaf<'_> {
    /// Whether the answer names its rows.
    fn is_listed(&self) -> bool {
        matches!(self.fate, Fate::None | Fate::Chosen) || self.is_affected
    }
}

/// A reference between tables that hold rows.
#[derive(Debug)]
pub struct Edge<'c> {
    /// The reference.
    pub reference: &'c Reference,
    /// Tables that refer, without those whose reference is masked to NULL.
    pub children: BTreeSet<usize>,
    /// Tables that are referred to.
    pub parents: BTreeSet<usize>,
}

/// Where a choice begins.
#[derive(Debug)]
pub struct Start<'c> {
    /// The table as the rules name it: a partitioned one, maybe.
    pub table: QualifiedName,
    /// The tables with rows that it means.
    pub leaves: BTreeSet<usize>,
    /// Condition in SQL.
    pub condition: Option<&'c str>,
    /// So many per cent.
    pub percent: Option<f64>,
    /// So many at most.
    pub limit: Option<u64>,
}

/// All of it.
#[derive(Debug)]
pub struct Scheme<'c> {
    /// Tables with rows.
    pub leaves: Vec<Leaf<'c>>,
    /// References between them.
    pub edges: Vec<Edge<'c>>,
    /// Where the choice begins.
    pub starts: Vec<Start<'c>>,
    /// Seed of the hash.
    pub seed: i64,
    /// Tables of another kind that stay empty.
    others: Vec<&'c PlannedTable>,
}

impl<'c> Scheme<'c> {
    /// Of a choice.
    pub fn of(choice: &Choice<'c>) -> Result<Self> {
        let is_empty = |table: &PlannedTable| {
            let mut names = names(&table.name, choice.facts);
            names.any(|name| choice.empty.contains(name))
        };
        let (tables, others): (Vec<_>, Vec<_>) = choice
            .tables
            .iter()
            .partition(|table| table.rows.is_table());
        check(choice)?;
        let leaves: Vec<Leaf<'c>> = tables
            .into_iter()
            .map(|table| {
                let rule = rule_of(choice.rules, &table.name, choice.facts);
                let rows = rule.and_then(|rule| rule.rows);
                let children = rule.and_then(|rule| rule.children);
                Leaf {
                    table,
                    fate: match rows {
                        _ if is_empty(table) => Fate::None,
                        Some(WholeTable::None) => Fate::None,
                        Some(WholeTable::All) => Fate::All,
                        None => Fate::Whole,
                    },
                    is_affected: false,
                    brings_children: match rows {
                        Some(WholeTable::All) => children == Some(Children::Follow),
                        _ => children != Some(Children::Leave),
                    },
                    rule,
                }
            })
            .collect();
        let edges = edges(choice, &leaves);
        let mut scheme = Self {
            leaves,
            edges,
            starts: Vec::new(),
            seed: seed(choice.rules),
            others: others.into_iter().filter(|table| is_empty(table)).collect(),
        };
        scheme.starts = scheme.begin(choice)?;
        scheme.require_start(choice.rules)?;
        scheme.settle();
        Ok(scheme)
    }

    /// Whether rows have to be looked at.
    pub fn asks_the_source(&self) -> bool {
        let looks = |leaf: &Leaf<'_>| leaf.fate == Fate::Chosen || leaf.is_affected;
        self.leaves.iter().any(looks)
    }

    /// The answer where no row has to be looked at.
    pub fn without_rows(&self) -> KeptRows {
        self.answer(|_| RowSet::default())
    }

    /// The answer, with the rows of those tables that are named in it.
    pub fn answer(&self, mut rows: impl FnMut(usize) -> RowSet) -> KeptRows {
        let listed = self
            .leaves
            .iter()
            .enumerate()
            .filter(|(_, leaf)| leaf.is_listed());
        let leaves = listed.map(|(at, leaf)| (leaf.table.id.clone(), rows(at)));
        let others = self
            .others
            .iter()
            .map(|table| (table.id.clone(), RowSet::default()));
        KeptRows {
            tables: leaves.chain(others).collect(),
        }
    }

    /// References of a table, with their places in the list of all.
    pub fn to_parents(&self, child: usize) -> impl Iterator<Item = (usize, &Edge<'c>)> {
        let edges = self.edges.iter().enumerate();
        edges.filter(move |(_, edge)| edge.children.contains(&child))
    }

    /// References to a table, likewise.
    pub fn to_children(&self, parent: usize) -> impl Iterator<Item = (usize, &Edge<'c>)> {
        let edges = self.edges.iter().enumerate();
        edges.filter(move |(_, edge)| edge.parents.contains(&parent))
    }

    fn begin(&self, choice: &Choice<'c>) -> Result<Vec<Start<'c>>> {
        let mut starts: Vec<Start<'c>> = Vec::new();
        for (at, leaf) in self.leaves.iter().enumerate() {
            let Some(rule) = leaf.rule.filter(|rule| chooses(rule)) else {
                continue;
            };
            if leaf.fate != Fate::None {
                let condition = rule.condition.as_deref();
                begin_at(&mut starts, named(&rule.table)?, at, condition, rule);
            }
        }
        let rules = choice.rules;
        let everywhere = rules.percent.is_some() || rules.limit.is_some();
        let roots: Vec<(QualifiedName, usize)> = match rules.roots.is_empty() {
            false => self.roots(choice)?,
            true if everywhere => self.default_roots(choice.facts),
            true => Vec::new(),
        };
        let of_all = TableRule {
            percent: rules.percent,
            limit: rules.limit,
            ..TableRule::default()
        };
        let mut of_roots: Vec<Start<'c>> = Vec::new();
        for (table, at) in roots {
            let leaf = &self.leaves[at];
            if leaf.fate == Fate::Whole && !leaf.rule.is_some_and(chooses) {
                begin_at(&mut of_roots, table, at, None, &of_all);
            }
        }
        starts.extend(of_roots);
        Ok(starts)
    }

    /// Refuses amounts that are of nothing: everything would go, and whoever asked for a part believes
    /// in one.
    fn require_start(&self, rules: &SubsetRules) -> Result<()> {
        let wants = rules.percent.is_some() || rules.limit.is_some() || !rules.roots.is_empty();
        match wants && self.starts.is_empty() {
            false => Ok(()),
            true => Err(refused(
                "there is no table for the choice to begin with, and every row would go".to_owned(),
                "name tables with --root or roots that have no rule of their own; without any, it begins with those that refer to no table and that others refer to",
            )),
        }
    }

    /// The roots that the rules name.
    fn roots(&self, choice: &Choice<'_>) -> Result<Vec<(QualifiedName, usize)>> {
        let mut roots = Vec::new();
        for text in &choice.rules.roots {
            let name = planned(text, choice)?;
            let of_root = self.leaves.iter().enumerate().filter(|(_, leaf)| {
                let mut names = names(&leaf.table.name, choice.facts);
                names.any(|candidate| *candidate == name)
            });
            roots.extend(of_root.map(|(at, _)| (name.clone(), at)));
        }
        Ok(roots)
    }

    /// The tables that refer to nothing but what refers back to them, and that others refer to.
    fn default_roots(&self, facts: &KeyFacts) -> Vec<(QualifiedName, usize)> {
        let unit = |at: usize| unit(&self.leaves[at].table.name, facts);
        let above: Vec<BTreeSet<usize>> = (0..self.leaves.len())
            .map(|at| {
                self.reach([at], |edge, at| {
                    edge.children.contains(&at).then_some(&edge.parents)
                })
            })
            .collect();
        let is_root = |at: &usize| {
            self.leaves[*at].fate != Fate::None
                && above[*at].iter().all(|parent| above[*parent].contains(at))
                && self.to_children(*at).any(|(_, edge)| {
                    let mut children = edge.children.iter();
                    children.any(|child| {
                        self.leaves[*child].fate != Fate::None && unit(*child) != unit(*at)
                    })
                })
        };
        let roots = (0..self.leaves.len()).filter(is_root);
        roots.map(|at| (unit(at).clone(), at)).collect()
    }

    /// Tables that can be reached from some, those among them; none through a table that stays empty.
    fn reach(
        &self,
        from: impl IntoIterator<Item = usize>,
        step: impl for<'e> Fn(&'e Edge<'c>, usize) -> Option<&'e BTreeSet<usize>>,
    ) -> BTreeSet<usize> {
        let mut reached: BTreeSet<usize> = from.into_iter().collect();
        let mut work: VecDeque<usize> = reached.iter().copied().collect();
        // A reference that was gone along leads nowhere else from another partition.
        let mut gone = vec![false; self.edges.len()];
        while let Some(at) = work.pop_front() {
            for (edge, gone) in self.edges.iter().zip(&mut gone) {
                if *gone {
                    continue;
                }
                let Some(next) = step(edge, at) else {
                    continue;
                };
                *gone = true;
                for leaf in next {
                    if self.leaves[*leaf].fate != Fate::None && reached.insert(*leaf) {
                        work.push_back(*leaf);
                    }
                }
            }
        }
        reached
    }

    /// Says of every table what becomes of it.
    fn settle(&mut self) {
        let begun = self.starts.iter().flat_map(|start| start.leaves.clone());
        let up = |edge: &Edge<'_>, at: usize| edge.children.contains(&at);
        let down = |edge: &Edge<'_>, at: usize| edge.parents.contains(&at);
        let mut connected: BTreeSet<usize> = begun.collect();
        loop {
            let known = connected.len();
            connected = self.reach(connected, |edge, at| up(edge, at).then_some(&edge.parents));
            connected = self.reach(connected, |edge, at| {
                down(edge, at).then_some(&edge.children)
            });
            if connected.len() == known {
                break;
            }
        }
        let empty = (0..self.leaves.len()).filter(|at| self.leaves[*at].fate == Fate::None);
        let affected = self.reach(empty, |edge, at| down(edge, at).then_some(&edge.children));
        for (at, leaf) in self.leaves.iter_mut().enumerate() {
            leaf.fate = match (leaf.fate, connected.contains(&at)) {
                (Fate::None, _) => Fate::None,
                (_, false) => Fate::Whole,
                (Fate::All, true) => Fate::All,
                (_, true) => Fate::Chosen,
            };
            leaf.is_affected = leaf.fate != Fate::None && affected.contains(&at);
        }
    }
}

/// Refuses rules that cannot be meant.
fn check(choice: &Choice<'_>) -> Result<()> {
    let rules = choice.rules;
    check_amounts("all roots", rules.percent)?;
    let mut known = BTreeSet::new();
    for rule in &rules.tables {
        let name = planned(&rule.table, choice)?;
        check_amounts(&rule.table, rule.percent)?;
        if rule.rows.is_some() && chooses(rule) {
            return Err(refused(
                format!("table {name} goes as a whole, and rows of it are chosen besides"),
                "give it `rows`, or `where`, `percent` and `limit`",
            ));
        }
        if !known.insert(name.clone()) {
            return Err(refused(
                format!("table {name} has two rules"),
                "put what they say into one",
            ));
        }
    }
    Ok(())
}

fn begin_at<'c>(
    starts: &mut Vec<Start<'c>>,
    table: QualifiedName,
    at: usize,
    condition: Option<&'c str>,
    amounts: &TableRule,
) {
    match starts.iter_mut().find(|start| start.table == table) {
        Some(start) => drop(start.leaves.insert(at)),
        None => starts.push(Start {
            table,
            leaves: BTreeSet::from([at]),
            condition,
            percent: amounts.percent,
            limit: amounts.limit,
        }),
    }
}

fn chooses(rule: &TableRule) -> bool {
    rule.condition.is_some() || rule.percent.is_some() || rule.limit.is_some()
}

/// The names that a table goes by in rules and references: its own, and those of the partitioned
/// tables that it is part of, the nearest first.
fn names<'f>(
    table: &'f QualifiedName,
    facts: &'f KeyFacts,
) -> impl Iterator<Item = &'f QualifiedName> {
    let known = facts.tables.get(table);
    let parents = known.into_iter().flat_map(|table| &table.parents);
    let is_partitioned = |name: &QualifiedName| {
        let known = facts.tables.get(name);
        known.is_some_and(|table| table.is_partitioned)
    };
    std::iter::once(table).chain(parents.filter(move |name| is_partitioned(name)))
}

/// The whole that a table is part of.
fn unit<'f>(table: &'f QualifiedName, facts: &'f KeyFacts) -> &'f QualifiedName {
    names(table, facts).last().unwrap_or(table)
}

/// The rule of a table: of several that mean it, the nearest one.
pub fn rule_of<'c>(
    rules: &'c SubsetRules,
    table: &QualifiedName,
    facts: &KeyFacts,
) -> Option<&'c TableRule> {
    names(table, facts).find_map(|name| {
        let mut tables = rules.tables.iter();
        tables.find(|rule| table_named(&rule.table).as_ref() == Some(name))
    })
}

fn edges<'c>(choice: &Choice<'c>, leaves: &[Leaf<'c>]) -> Vec<Edge<'c>> {
    let mut by_name: BTreeMap<&QualifiedName, BTreeSet<usize>> = BTreeMap::new();
    for (at, leaf) in leaves.iter().enumerate() {
        for name in names(&leaf.table.name, choice.facts) {
            by_name.entry(name).or_default().insert(at);
        }
    }
    let of = |name: &QualifiedName| by_name.get(name).cloned().unwrap_or_default();
    let references = choice.facts.references.iter().chain(choice.declared);
    // What somebody added twice is asked once.
    let mut known = BTreeSet::new();
    references
        .filter(|it| {
            known.insert((
                &it.child,
                &it.child_columns,
                &it.parent,
                &it.parent_columns,
                &it.condition,
                it.is_full,
            ))
        })
        .map(|reference| Edge {
            reference,
            children: of(&reference.child)
                .into_iter()
                .filter(|child| !is_masked_away(reference, leaves[*child].table))
                .collect(),
            parents: of(&reference.parent),
        })
        .filter(|edge| !edge.children.is_empty() && !edge.parents.is_empty())
        .collect()
}

/// Whether masks make every such reference NULL: of all columns, or one where one is enough.
fn is_masked_away(reference: &Reference, table: &PlannedTable) -> bool {
    let is_null = |column: &String| {
        let mask = table.masks.get(column);
        mask.is_some_and(|mask| mask.transformer == Transformer::Null && mask.condition.is_none())
    };
    let mut columns = reference.child_columns.iter();
    match reference.is_full {
        true => columns.all(is_null),
        false => columns.any(is_null),
    }
}

fn seed(rules: &SubsetRules) -> i64 {
    let word = rules.seed.as_deref().unwrap_or(SEED);
    let Hash([a, b, c, d, e, f, g, h, ..]) = Hash::of(format!("subset {word}").as_bytes());
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn named(text: &str) -> Result<QualifiedName> {
    table_named(text).ok_or_else(|| {
        refused(
            format!("{text:?} names no table"),
            "write schema.table, with double quotes around a part that holds anything but letters, digits and _",
        )
    })
}

/// The name of a table that the plan copies, or of a partitioned one.
fn planned(text: &str, choice: &Choice<'_>) -> Result<QualifiedName> {
    let name = named(text)?;
    let of_facts = choice.facts.tables.get(&name);
    let is_known = of_facts.is_some_and(|table| table.is_partitioned)
        || choice.tables.iter().any(|table| table.name == name);
    match is_known {
        true => Ok(name),
        false => Err(refused(
            format!("there is no table {name} whose rows go"),
            "names stand as the catalog has them; a name without a dot is of schema public",
        )),
    }
}

fn check_amounts(of: &str, percent: Option<f64>) -> Result<()> {
    match percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)) {
        true => Ok(()),
        false => Err(refused(
            format!("percent of {of} is not between 0 and 100"),
            "a whole table goes with rows = \"all\"",
        )),
    }
}

fn refused(what: String, hint: &str) -> Failure {
    Failure::new(ErrorKind::Config, format!("subset: {what}")).hint(hint)
}

#[cfg(test)]
mod tests;
