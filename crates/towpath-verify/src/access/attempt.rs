//! Attempts to write, on consent only: as the subject, each in a savepoint that is rolled back.
//!
//! What a rollback does not take back is not touched: relations with triggers or rules of the
//! user's, and those whose rows go along with a deleted one, are passed over. Every column is given,
//! so that no sequence advances for a default.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use towpath_model::access::AccessOperation;
use towpath_model::connection::Side;
use towpath_model::name::quote_identifier;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

use crate::access::looking::{Findings, InDoubt, Known, View};
use crate::access::refused::{Answer, Refused};
use crate::access::relation::{Identity, Relation, RelationKind};
use crate::access::standpoint::Standpoint;
use crate::access::subject::Subject;
use crate::access::visible::Both;
use crate::access::writing::{Sampled, let_through};

/// Rows of a relation that each operation is tried on.
const ROWS: usize = 6;

/// Relations where a write may do what a rollback does not undo.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Any write.
    any: BTreeSet<QualifiedName>,
    /// From a relation to those whose rows change when one of its rows is deleted.
    follow: BTreeMap<QualifiedName, BTreeSet<QualifiedName>>,
}

#[derive(Deserialize)]
struct Edge {
    schema: String,
    name: String,
    follower_schema: Option<String>,
    follower: Option<String>,
}

/// Reads them from the catalog of a side.
pub(crate) async fn effects(session: &mut Session) -> Result<Effects> {
    let edges: Vec<Edge> = session.fetch(EFFECTS, &[]).await?;
    let mut effects = Effects::default();
    for edge in edges {
        let relation = QualifiedName::new(edge.schema, edge.name);
        match (edge.follower_schema, edge.follower) {
            (Some(schema), Some(name)) => {
                let follower = QualifiedName::new(schema, name);
                effects.follow.entry(relation).or_default().insert(follower);
            }
            _ => {
                effects.any.insert(relation);
            }
        }
    }
    Ok(effects)
}

/// A partition's triggers fire for what is written to the table above it, and the other way round.
const EFFECTS: &str = "
    with loud as (
        select t.tgrelid as oid from pg_catalog.pg_trigger t
         where not t.tgisinternal and t.tgenabled <> 'D'
        union
        select r.ev_class from pg_catalog.pg_rewrite r where r.ev_type <> '1'
    )
    select n.nspname as schema, c.relname as name,
           null::pg_catalog.text as follower_schema, null::pg_catalog.text as follower
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p')
       and (c.oid in (select oid from loud)
            or exists (select from pg_catalog.pg_inherits i
                        where i.inhparent = c.oid or i.inhrelid = c.oid))
    union
    select n.nspname, c.relname, m.nspname, f.relname
      from pg_catalog.pg_constraint k
      join pg_catalog.pg_class c on c.oid = k.confrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_class f on f.oid = k.conrelid
      join pg_catalog.pg_namespace m on m.oid = f.relnamespace
     where k.contype = 'f' and k.confdeltype in ('c', 'n', 'd')";

impl Effects {
    /// Whether an operation may have any.
    fn of(&self, relation: &QualifiedName, operation: AccessOperation) -> bool {
        if operation != AccessOperation::Delete {
            return self.any.contains(relation);
        }
        let mut reached = BTreeSet::from([relation]);
        let mut waiting = vec![relation];
        while let Some(relation) = waiting.pop() {
            if self.any.contains(relation) {
                return true;
            }
            let followers = self.follow.get(relation).into_iter().flatten();
            waiting.extend(followers.filter(|follower| reached.insert(follower)));
        }
        false
    }
}

/// Tries as the subject to write on both sides.
pub(crate) async fn compare(
    known: &Known,
    subject: &Subject,
    findings: &mut Findings,
) -> Result<()> {
    let context = &known.context;
    let (source, target) = tokio::try_join!(
        Standpoint::of(context, &known.source, Side::Source, subject, true),
        Standpoint::of(context, &known.target, Side::Target, subject, true),
    )?;
    // Who cannot be taken on was told when that was tried for reading.
    let (Ok(mut source), Ok(mut target)) = (source, target) else {
        return Ok(());
    };
    let mut view = View::new(known, subject, &mut source, &mut target, findings).await?;
    let tables = known.relations.iter();
    for relation in tables.filter(|relation| relation.kind == RelationKind::Table) {
        context.stop.check()?;
        if view.may_differ(relation) {
            view.attempts(relation).await?;
            view.let_go().await?;
        }
    }
    source.close().await;
    target.close().await;
    Ok(())
}

/// An attempt: SQL with the row or its key in place of `$1`.
struct Attempt {
    operation: AccessOperation,
    sql: String,
}

impl View<'_> {
    async fn attempts(&mut self, relation: &Relation) -> Result<()> {
        if relation.key.is_empty() || relation.leaves_columns_out {
            self.pass_over(
                relation,
                AccessOperation::Privileges,
                "attempts to write need a key and every column",
            );
            return Ok(());
        }
        let rows = self.alike_rows(relation).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for attempt in self.statements(relation) {
            let (ours, theirs) = &self.known.effects;
            let operation = attempt.operation;
            if ours.of(&relation.name, operation) || theirs.of(&relation.name, operation) {
                self.pass_over(
                    relation,
                    operation,
                    "not attempted: triggers, rules or partitions may do what a rollback does not undo",
                );
                continue;
            }
            let (source, target) = tokio::try_join!(
                tried(self.source, &attempt, &rows),
                tried(self.target, &attempt, &rows)
            )?;
            self.findings.writes += 1;
            self.compare_tried(relation, operation, &rows, source, target);
        }
        Ok(())
    }

    /// Rows of the sample that both sides hold alike: those that the subject sees first.
    async fn alike_rows(&mut self, relation: &Relation) -> Result<Vec<Sampled>> {
        let mut sample = self.sample(relation).await?;
        sample.reverse();
        let lines: Vec<(String, i64)> = sample.iter().map(|row| (row.line.clone(), 1)).collect();
        let mut both = Both {
            source: self.source,
            target: self.target,
        };
        let alike = both.alike(relation, &Identity::Key, &lines).await?;
        let alike = alike.unwrap_or_default();
        sample.retain(|row| alike.contains(&row.line));
        // As many from either end: those that are seen come first, those that are not are last.
        let half = ROWS / 2;
        if sample.len() > ROWS {
            sample.drain(half..sample.len() - half);
        }
        Ok(sample)
    }

    fn statements(&self, relation: &Relation) -> Vec<Attempt> {
        let name = relation.name.quoted();
        let quoted = |column: &String| quote_identifier(column);
        let columns: Vec<String> = relation.columns.iter().map(quoted).collect();
        let list = columns.join(", ");
        let row = format!("pg_catalog.json_populate_record(null::{name}, $1::pg_catalog.json)");
        let same_key: Vec<String> = relation
            .key
            .iter()
            .map(|column| {
                let column = quote_identifier(&column.name);
                format!("t.{column} = r.{column}")
            })
            .collect();
        let same_key = same_key.join(" and ");
        let (ours, theirs) = self.known.held(&self.subject.role, &relation.name);
        let may_update =
            |column: &str| ours.covers("update", column) && theirs.covers("update", column);
        let column = relation.changeable(may_update).map(quoted);
        let mut attempts = vec![
            Attempt {
                operation: AccessOperation::Insert,
                sql: format!(
                    "insert into {name} ({list}) overriding system value select {list} from {row} r"
                ),
            },
            Attempt {
                operation: AccessOperation::Delete,
                sql: format!("delete from {name} t using {row} r where {same_key}"),
            },
        ];
        attempts.extend(column.map(|column| Attempt {
            operation: AccessOperation::Update,
            sql: format!("update {name} t set {column} = r.{column} from {row} r where {same_key}"),
        }));
        attempts
    }

    fn compare_tried(
        &mut self,
        relation: &Relation,
        operation: AccessOperation,
        rows: &[Sampled],
        source: Vec<Answer<u64>>,
        target: Vec<Answer<u64>>,
    ) {
        let of_the_moment = |answer: &Answer<u64>| match answer {
            Err(refused) if refused.is_of_the_moment() => Some(refused.reason()),
            _ => None,
        };
        let passing = source.iter().chain(&target).find_map(of_the_moment);
        if let Some(reason) = passing {
            self.pass_over(relation, operation, &reason);
            return;
        }
        let code = |answers: &[Answer<u64>]| {
            let mut refusals = answers.iter().filter_map(|answer| answer.as_ref().err());
            refusals
                .find(|refused| !is_of_constraints(refused))
                .cloned()
        };
        let yes = |answers: Vec<Answer<u64>>| -> Vec<bool> {
            answers.iter().map(is_let_through).collect()
        };
        let refusals = (code(&source), code(&target));
        let (source, target) = (yes(source), yes(target));
        if source == target {
            return;
        }
        let is_all_or_nothing = !source.iter().any(|yes| *yes) || !target.iter().any(|yes| *yes);
        let found = let_through(rows, &source, &target);
        let counts = |answers: &[bool]| answers.iter().filter(|yes| **yes).count() as u64;
        let before = self.findings.in_doubt.len();
        self.tell(
            relation,
            &Identity::Key,
            operation,
            (counts(&source), counts(&target)),
            found,
        );
        if let (true, Some(InDoubt { difference, .. })) =
            (is_all_or_nothing, self.findings.in_doubt.get_mut(before))
        {
            let (ours, theirs) = refusals;
            if let (Some(refused), false) = (ours, source.iter().any(|yes| *yes)) {
                difference.source = refused.outcome();
            }
            if let (Some(refused), false) = (theirs, target.iter().any(|yes| *yes)) {
                difference.target = refused.outcome();
            }
        }
    }
}

async fn tried(
    standpoint: &mut Standpoint,
    attempt: &Attempt,
    rows: &[Sampled],
) -> Result<Vec<Answer<u64>>> {
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        answers.push(standpoint.try_writing(&attempt.sql, &[&row.row]).await?);
    }
    Ok(answers)
}

/// A constraint that objects comes after privileges and policies: a copy of a row that is there was
/// let through when its key is what stands in the way.
fn is_of_constraints(refused: &Refused) -> bool {
    refused.code.starts_with("23")
}

fn is_let_through(answer: &Answer<u64>) -> bool {
    match answer {
        Ok(rows) => *rows > 0,
        Err(refused) => is_of_constraints(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_deleted_row_counts() {
        let name = |text: &str| QualifiedName::new("public", text);
        let effects = Effects {
            any: [name("audited")].into(),
            follow: [
                (name("parent"), [name("child")].into()),
                (name("child"), [name("audited"), name("parent")].into()),
                (name("ring"), [name("ring")].into()),
            ]
            .into(),
        };
        assert!(effects.of(&name("parent"), AccessOperation::Delete));
        assert!(!effects.of(&name("parent"), AccessOperation::Update));
        assert!(!effects.of(&name("ring"), AccessOperation::Delete));
        assert!(effects.of(&name("audited"), AccessOperation::Insert));
    }

    #[test]
    fn a_key_in_the_way_comes_after_the_policies() {
        let refused = |code: &str| -> Answer<u64> {
            Err(Refused {
                code: code.to_owned(),
            })
        };
        assert!(is_let_through(&refused("23505")) && is_let_through(&Ok(1)));
        assert!(!is_let_through(&refused("42501")) && !is_let_through(&Ok(0)));
    }
}
