//! What may be written, asked without writing.

use std::collections::BTreeSet;

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::access::AccessOperation;
use towpath_model::name::quote_identifier;

use crate::access::looking::View;
use crate::access::policy::condition;
use crate::access::refused::Answer;
use crate::access::relation::{Identity, Relation};
use crate::access::standpoint::Standpoint;
use crate::access::visible::{OneSided, Row};

/// Rows of a relation that policies for writing are asked about: some of all, some of those that
/// the subject sees.
const ROWS_OF_ALL: u64 = 30;
const ROWS_SEEN: u64 = 15;

/// Bytes of a row that is among those.
const ROW_BYTES: u32 = 16 << 10;

const WRITES: [AccessOperation; 3] = [
    AccessOperation::Insert,
    AccessOperation::Update,
    AccessOperation::Delete,
];

impl View<'_> {
    /// Asks the policies for writing of both sides about the same rows.
    pub(crate) async fn policies(
        &mut self,
        relation: &Relation,
        open: &BTreeSet<AccessOperation>,
    ) -> Result<()> {
        let (source_policies, target_policies) = &self.known.policies;
        let none = Vec::new();
        let source_policies = source_policies.get(&relation.name).unwrap_or(&none);
        let target_policies = target_policies.get(&relation.name).unwrap_or(&none);
        let Some((ours, theirs)) = self.known.privileges.get(&self.subject.role) else {
            return Ok(());
        };
        let (source_under, target_under) = (
            self.under_security.0.contains(&relation.name),
            self.under_security.1.contains(&relation.name),
        );
        if !source_under && !target_under {
            return Ok(());
        }
        let rows = self.sample(relation).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let rows = self.handed_over(relation, rows).await?;
        if rows.is_empty() {
            let reason = "no row can be handed over to ask its policies about";
            for operation in open {
                self.pass_over(relation, *operation, reason);
            }
            return Ok(());
        }
        for operation in WRITES.into_iter().filter(|write| open.contains(write)) {
            let asked = |is_under: bool, policies, roles| match is_under {
                true => condition(policies, operation, roles),
                false => "true".to_owned(),
            };
            let source_asks = asked(source_under, source_policies, &ours.is);
            let target_asks = asked(target_under, target_policies, &theirs.is);
            let (source, target) = tokio::try_join!(
                ask(self.source, relation, &source_asks, &rows),
                ask(self.target, relation, &target_asks, &rows)
            )?;
            self.compare_asked(relation, operation, &rows, source, target);
        }
        Ok(())
    }

    /// Of these rows, those that both sides can be asked about: a value may name an object that only
    /// one of them has.
    async fn handed_over(
        &mut self,
        relation: &Relation,
        rows: Vec<Sampled>,
    ) -> Result<Vec<Sampled>> {
        if self.can_be_asked(relation, &rows).await? {
            return Ok(rows);
        }
        let mut good = Vec::with_capacity(rows.len());
        for row in rows {
            if self
                .can_be_asked(relation, std::slice::from_ref(&row))
                .await?
            {
                good.push(row);
            }
        }
        Ok(good)
    }

    async fn can_be_asked(&mut self, relation: &Relation, rows: &[Sampled]) -> Result<bool> {
        let (source, target) = tokio::try_join!(
            ask(self.source, relation, "true", rows),
            ask(self.target, relation, "true", rows)
        )?;
        Ok(source.is_ok() && target.is_ok())
    }

    fn compare_asked(
        &mut self,
        relation: &Relation,
        operation: AccessOperation,
        rows: &[Sampled],
        source: Answer<Vec<bool>>,
        target: Answer<Vec<bool>>,
    ) {
        let (source, target) = match (source, target) {
            (Ok(source), Ok(target)) => (source, target),
            // As good as an answer, for the rows up to the one that was refused.
            (Err(source), Err(target)) if source == target => {
                let reason = format!("its policies refuse to be asked (SQLSTATE {})", source.code);
                self.pass_over(relation, operation, &reason);
                return;
            }
            (source, target) => {
                let pair = (source.map(|_| ()), target.map(|_| ()));
                self.refused_while_running(relation, operation, pair);
                return;
            }
        };
        let yes = |answers: &[bool]| answers.iter().filter(|yes| **yes).count() as u64;
        let counts = (yes(&source), yes(&target));
        let found = let_through(rows, &source, &target);
        let identity = match relation.key.is_empty() {
            true => Identity::Columns(Vec::new()),
            false => Identity::Key,
        };
        self.tell(relation, &identity, operation, counts, found);
    }

    /// Rows of the source, as JSON: some of all, some of those that the subject sees.
    pub(crate) async fn sample(&mut self, relation: &Relation) -> Result<Vec<Sampled>> {
        let mut rows = rows_of(self.source, relation, true).await?;
        rows.extend(rows_of(self.source, relation, false).await?);
        let mut seen = BTreeSet::new();
        rows.retain(|sampled| seen.insert(sampled.line.clone()));
        Ok(rows)
    }
}

/// Rows that one side lets through and the other does not.
pub(crate) fn let_through(rows: &[Sampled], source: &[bool], target: &[bool]) -> OneSided {
    let mut found = OneSided::default();
    for ((row, ours), theirs) in rows.iter().zip(source).zip(target) {
        if ours == theirs {
            continue;
        }
        let line = row.line.clone();
        let row = Row { line, times: 1 };
        match ours {
            true => found.only_source.push(row),
            false => found.only_target.push(row),
        }
    }
    found
}

/// A row of the source.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sampled {
    /// What tells it apart.
    pub(crate) line: String,
    /// All of it as JSON. Never shown.
    pub(crate) row: String,
}

async fn rows_of(
    source: &mut Standpoint,
    relation: &Relation,
    as_login: bool,
) -> Result<Vec<Sampled>> {
    // As text, which every type reads again as it was. JSON by itself: a text would be taken for a
    // JSON string.
    let column = |column: &String| {
        let is_json = relation.json.contains(column);
        let cast = if is_json { "" } else { "::pg_catalog.text" };
        let name = quote_identifier(column);
        format!("t.{name}{cast} as {name}")
    };
    let columns: Vec<String> = relation.columns.iter().map(column).collect();
    let name = relation.name.quoted();
    let line = relation.line(&relation.identity(|_| true));
    let some = |from: &str, limit: u64| {
        format!(
            "(select {line} as line,
                     (select pg_catalog.row_to_json(x)::pg_catalog.text from (select {}) x) as row
                from {from} where pg_catalog.pg_column_size(t.*) < {ROW_BYTES} limit {limit})",
            columns.join(", ")
        )
    };
    let answer: Answer<Vec<Sampled>> = match as_login {
        false => {
            source
                .fetch(&some(&format!("{name} t"), ROWS_SEEN), &[])
                .await?
        }
        true => {
            // Blocks from everywhere, the same ones at each call.
            let percent = (100 * 10 * ROWS_OF_ALL)
                .div_ceil(relation.rows.max(1))
                .min(100);
            let spread = format!("{name} t tablesample system ({percent}) repeatable (42)");
            let sql = format!(
                "{} union all {}",
                some(&format!("{name} t"), ROWS_OF_ALL),
                some(&spread, ROWS_OF_ALL)
            );
            source.fetch_as_login(&sql, &[]).await?
        }
    };
    // Who may not read whole rows is asked about those of all. A value that `json` holds and cannot
    // give as text cannot be handed over.
    Ok(answer
        .unwrap_or_default()
        .into_iter()
        .filter(|sampled| !sampled.row.contains("\\u0000"))
        .collect())
}

#[derive(Deserialize)]
struct Asked {
    answers: Vec<bool>,
}

/// Asks a condition about rows that are handed over. They are called as the relation is, as the
/// condition calls them, and no privilege on the relation is needed to ask.
async fn ask(
    standpoint: &mut Standpoint,
    relation: &Relation,
    condition: &str,
    rows: &[Sampled],
) -> Result<Answer<Vec<bool>>> {
    let sql = format!(
        "select array(select {condition}
                        from pg_catalog.json_populate_recordset(null::{}, $1::pg_catalog.json) as {})
                as answers",
        relation.name.quoted(),
        quote_identifier(&relation.name.name)
    );
    let rows: Vec<&str> = rows.iter().map(|sampled| sampled.row.as_str()).collect();
    let list = format!("[{}]", rows.join(","));
    let answer: Answer<Vec<Asked>> = standpoint.fetch(&sql, &[&list]).await?;
    Ok(answer.map(|rows| {
        let first = rows.into_iter().next();
        first.map(|asked| asked.answers).unwrap_or_default()
    }))
}
