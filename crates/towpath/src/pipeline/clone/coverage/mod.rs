//! The coverage gate: every column that looks personal is masked, or allowed by name.
//!
//! Partitions and inheritance children are told by the table that they belong to: rules are written
//! for that one, and next month's partition is nothing new.

mod advice;
mod columns;
mod lock;
mod sample;
mod stored;

use std::collections::BTreeSet;

use towpath_mask::classify::{Suspicion, by_content};
use towpath_model::clone::{AllowedColumn, Covered};
use towpath_model::keys::KeyFacts;
use towpath_model::name::readable;
use towpath_model::plan::Plan;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::context::Context;
use crate::pipeline::clone::{Order, Sealed};
use crate::table;

pub use columns::{Column, Columns};
pub use lock::{Approved, Change};

/// Columns that a refusal names, at most: more are read by nobody.
const NAMED: usize = 40;

/// What was found about the columns of a plan.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Columns that look personal and are neither masked nor allowed.
    pub uncovered: Vec<Uncovered>,
    /// Columns that were not there, or not like this, when the masks were approved, and are neither
    /// masked nor allowed.
    pub unapproved: Vec<Unapproved>,
    /// Columns that are allowed, with the reasons.
    pub allowed: Vec<AllowedColumn>,
    /// Columns that are masked.
    pub masked: usize,
    /// Columns that are neither masked nor allowed, and look like nothing.
    pub plain: usize,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
    /// Whether columns were approved at all.
    pub is_approved: bool,
    /// Personal data goes as it is, because the operator says so.
    is_waived: bool,
}

/// A column that looks personal and is neither masked nor allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncovered {
    /// The column.
    pub column: Column,
    /// Why.
    pub suspicion: Suspicion,
}

/// A column that nobody has approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unapproved {
    /// The column.
    pub column: Column,
    /// What is new about it.
    pub change: Change,
}

impl Coverage {
    /// Refuses what is not covered: exit code 10, every column named.
    pub fn require(&self) -> Result<()> {
        if self.is_waived || (self.uncovered.is_empty() && self.unapproved.is_empty()) {
            return Ok(());
        }
        let mut lines: Vec<String> = Vec::new();
        let uncovered = self
            .uncovered
            .iter()
            .map(|found| format!("{} looks personal: {}", found.column, found.suspicion));
        let unapproved = self
            .unapproved
            .iter()
            .map(|found| format!("{} is not approved: {}", found.column, found.change));
        lines.extend(uncovered.chain(unapproved));
        let rest = lines.len().saturating_sub(NAMED);
        let count = lines.len();
        lines.truncate(NAMED);
        if rest > 0 {
            let columns = table::counted(rest as u64, "column");
            lines.push(format!("and {columns} more"));
        }
        let verb = if count == 1 { "is" } else { "are" };
        Err(Failure::new(
            ErrorKind::Blocked,
            format!(
                "{} {verb} neither masked nor allowed:\n  {}",
                table::counted(count as u64, "column"),
                lines.join("\n  ")
            ),
        )
        .hint(advice::hint(self)))
    }

    /// Enters it into the plan.
    pub fn enter(&self, plan: &mut Plan) {
        let Some(clone) = &mut plan.clone else {
            return;
        };
        clone.coverage = Some(Covered {
            masked: self.masked,
            plain: self.plain,
            allowed: self.allowed.clone(),
            as_they_are: match self.is_waived {
                true => self.uncovered.len(),
                false => 0,
            },
            approved: self.is_approved,
            notes: self.notes.clone(),
        });
    }

    /// What a person reads of it in the plan, a line each.
    pub fn told(&self) -> Vec<String> {
        let open = self.uncovered.len() + self.unapproved.len();
        let mut lines: Vec<String> = self.told_when_waived().into_iter().collect();
        if !self.is_waived && open > 0 {
            lines.push(format!(
                "not covered: {}",
                table::counted(open as u64, "column")
            ));
        }
        lines.extend(self.notes.iter().cloned());
        lines
    }

    /// Said where the gate is not asked.
    fn told_when_waived(&self) -> Option<String> {
        if !self.is_waived || self.uncovered.is_empty() {
            return None;
        }
        let named: Vec<String> = self
            .uncovered
            .iter()
            .take(5)
            .map(|found| found.column.to_string())
            .collect();
        let rest = match self.uncovered.len() > named.len() {
            true => ", …",
            false => "",
        };
        let (columns, verb) = match self.uncovered.len() {
            1 => ("1 column looks".to_owned(), "goes as it is"),
            count => (format!("{count} columns look"), "go as they are"),
        };
        Some(format!(
            "{columns} personal and {verb}: {}{rest}",
            named.join(", ")
        ))
    }

    /// Rules to paste, for all that is not covered.
    pub fn rules_to_paste(&self) -> String {
        advice::rules(self, usize::MAX)
    }

    fn finish(mut self, order: &Order, columns: &Columns) -> Result<Self> {
        self.is_waived = order.unmasked;
        self.masked = columns.masked.len();
        self.allowed = columns
            .allowed
            .iter()
            .map(|allowed| AllowedColumn {
                table: allowed.table.clone(),
                column: allowed.column.name.clone(),
                reason: allowed.reason.clone(),
                hits: 0,
            })
            .collect();
        self.uncovered.sort_by_key(|found| found.column.place());
        self.uncovered
            .dedup_by(|later, first| later.column.place() == first.column.place());
        let known: BTreeSet<(QualifiedName, String)> = self
            .uncovered
            .iter()
            .map(|found| found.column.place())
            .collect();
        let others = columns
            .open()
            .filter(|column| !known.contains(&column.place()));
        self.plain = others.clone().count();
        if let Some(approved) = Approved::read(order.rules_file.as_deref())? {
            self.is_approved = true;
            self.unapproved = others
                .filter_map(|column| {
                    let change = approved.change(column)?;
                    Some(Unapproved {
                        column: column.clone(),
                        change,
                    })
                })
                .collect();
        }
        Ok(self)
    }
}

/// Looks at names, types, and a sample of the source's rows.
pub async fn of_source(
    context: &Context,
    order: &Order,
    facts: &KeyFacts,
    plan: &Plan,
    session: &mut Session,
) -> Result<Coverage> {
    let columns = Columns::of(order, facts, plan);
    let mut coverage = by_names(&columns, plan);
    // Expressions of indexes may name nothing's schema, and planning inlines them.
    session
        .use_search_path(&plan.source.facts.search_path)
        .await?;
    for batch in sample::batches(&columns, plan) {
        context.stop.check()?;
        for (column, values) in sample::read(session, &batch).await? {
            note_content(&mut coverage, column, &values);
        }
    }
    session.use_search_path("").await?;
    coverage.finish(order, &columns)
}

/// The same with a sample of stored rows.
pub async fn of_sealed(
    context: &Context,
    order: &Order,
    facts: &KeyFacts,
    plan: &Plan,
    from: &Sealed,
) -> Result<Coverage> {
    let columns = Columns::of(order, facts, plan);
    let mut coverage = by_names(&columns, plan);
    let key = crate::run_files::key(&from.store).await?;
    for planned in &plan.tables {
        context.stop.check()?;
        let wanted = columns.of_content(&planned.name);
        if wanted.is_empty() {
            continue;
        }
        let stored = stored::read(from, &key, planned, &wanted).await?;
        coverage.notes.extend(stored.notes);
        for (column, values) in stored.values {
            note_content(&mut coverage, column, &values);
        }
    }
    coverage.finish(order, &columns)
}

fn by_names(columns: &Columns, plan: &Plan) -> Coverage {
    let named = columns.named.iter().map(|(column, suspicion)| Uncovered {
        column: column.clone(),
        suspicion: suspicion.clone(),
    });
    let large_objects = plan.tables.iter().any(|planned| !planned.rows.is_table());
    let note = "large objects go as they are: nobody looks into them; schema.large_objects = \"leave\" leaves them behind";
    Coverage {
        uncovered: named.collect(),
        notes: large_objects.then(|| note.to_owned()).into_iter().collect(),
        ..Coverage::default()
    }
}

fn note_content(coverage: &mut Coverage, column: &Column, values: &[String]) {
    if let Some(suspicion) = by_content(&column.name, &column.wanted.base_type, values) {
        coverage.uncovered.push(Uncovered {
            column: column.clone(),
            suspicion,
        });
    }
}

/// For people.
fn shown(table: &QualifiedName, column: &str) -> String {
    format!("{table}.{}", readable(column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_mask::classify::{Kind, Wanted};

    fn column(name: &str) -> Column {
        Column {
            table: QualifiedName::new("public", "users"),
            name: name.to_owned(),
            type_name: "text".to_owned(),
            wanted: Wanted {
                column: name.to_owned(),
                base_type: "text".to_owned(),
                ..Wanted::default()
            },
        }
    }

    fn uncovered(count: usize) -> Coverage {
        let found = (0..count).map(|no| Uncovered {
            column: column(&format!("e-mail {no}")),
            suspicion: Suspicion {
                kind: Kind::Email,
                because: "its name".to_owned(),
                is_part: false,
            },
        });
        Coverage {
            uncovered: found.collect(),
            ..Coverage::default()
        }
    }

    #[test]
    fn a_refusal_names_columns_and_the_way_out_and_stays_short() {
        assert!(uncovered(0).require().is_ok());
        let one = uncovered(1).require().unwrap_err();
        assert_eq!(one.kind(), ErrorKind::Blocked);
        assert_eq!(
            one.to_string(),
            "1 column is neither masked nor allowed:\n  \
             public.users.\"e-mail 0\" looks personal: e-mail address, by its name"
        );
        let hint = one.find_hint().unwrap();
        assert!(hint.contains("[[mask]]\ntable = \"public.users\"\ncolumn = \"e-mail 0\"\n"));
        let many = uncovered(50).require().unwrap_err().to_string();
        assert_eq!(many.lines().count(), 1 + NAMED + 1);
        assert!(many.ends_with("and 10 columns more"), "{many}");
    }

    #[test]
    fn new_columns_alone_are_refused_without_rules_nobody_asked_for() {
        let coverage = Coverage {
            unapproved: vec![Unapproved {
                column: column("shoe_size"),
                change: Change::New,
            }],
            ..Coverage::default()
        };
        let failure = coverage.require().unwrap_err();
        assert!(!failure.find_hint().unwrap().contains("[[mask]]"));
        assert!(
            failure
                .to_string()
                .contains("public.users.shoe_size is not approved")
        );
    }

    #[test]
    fn who_waives_the_gate_is_told_what_goes() {
        let coverage = Coverage {
            is_waived: true,
            ..uncovered(6)
        };
        assert!(coverage.require().is_ok());
        let told = coverage.told();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("6 columns look personal and go as they are: public.users."));
        assert!(told[0].ends_with(", …"));
    }
}
