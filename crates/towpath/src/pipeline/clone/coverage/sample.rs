//! A sample of the source's rows, in the snapshot that the clone is made of.

use std::collections::HashMap;

use serde::Deserialize;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

use super::columns::{Column, Columns};

/// Characters of a value that are looked at.
pub(super) const CHARACTERS: usize = 2000;

/// Rows of a table that are wanted: many columns are mostly NULL.
const ROWS: u32 = 500;

/// Rows that are read at most, where the server thinks that there are fewer.
const MOST_ROWS: u32 = 2000;

/// Pages that are read at least, spread over all of the table: the first ones hold the oldest rows,
/// and those are often the developers' own.
const PAGES: u32 = 10;

/// Bytes of a page.
const PAGE: u32 = 8192;

/// Tables that are asked for at once: at ten thousand the way to the server is what takes long.
const TABLES: usize = 20;

/// A table whose content is looked at.
pub(super) struct Sampled<'c> {
    planned: &'c PlannedTable,
    columns: Vec<&'c Column>,
}

/// What is asked for at once.
pub(super) fn batches<'c>(columns: &'c Columns, plan: &'c Plan) -> Vec<Vec<Sampled<'c>>> {
    let planned: HashMap<&QualifiedName, &PlannedTable> = plan
        .tables
        .iter()
        .map(|table| (&table.name, table))
        .collect();
    let mut batches: Vec<Vec<Sampled<'c>>> = Vec::new();
    for (table, columns) in columns.with_content() {
        let Some(planned) = planned
            .get(table)
            .copied()
            .filter(|planned| planned.bytes > 0)
        else {
            continue;
        };
        let sampled = Sampled { planned, columns };
        match batches.last_mut().filter(|batch| batch.len() < TABLES) {
            Some(batch) => batch.push(sampled),
            None => batches.push(vec![sampled]),
        }
    }
    batches
}

#[derive(Deserialize)]
struct Answer {
    place: usize,
    columns: Vec<Option<Vec<String>>>,
}

/// Values by column.
pub(super) async fn read<'c>(
    session: &mut Session,
    batch: &[Sampled<'c>],
) -> Result<Vec<(&'c Column, Vec<String>)>> {
    let parts: Vec<String> = batch.iter().zip(0..).map(statement).collect();
    let answers: Vec<Answer> = session
        .fetch(&parts.join("\nunion all\n"), &[])
        .await
        .map_err(|failure| {
            failure.while_doing("could not look at a sample of the source's rows")
        })?;
    let mut found = Vec::new();
    for answer in answers {
        let Some(sampled) = batch.get(answer.place) else {
            continue;
        };
        let values = answer.columns.into_iter().map(Option::unwrap_or_default);
        found.extend(sampled.columns.iter().copied().zip(values));
    }
    Ok(found)
}

fn statement((sampled, place): (&Sampled<'_>, usize)) -> String {
    let planned = sampled.planned;
    let inner: Vec<String> = sampled
        .columns
        .iter()
        .zip(0..)
        .map(|(column, at): (_, usize)| {
            let value = match planned.expressions.get(&column.name) {
                None => quote_identifier(&column.name),
                Some(expression) => format!("({expression})"),
            };
            format!("pg_catalog.left({value}::pg_catalog.text, {CHARACTERS}) as v{at}")
        })
        .collect();
    let outer: Vec<String> = (0..sampled.columns.len())
        .map(|at| {
            let values = format!(
                "pg_catalog.array_agg(v{at}) filter (where v{at} operator(pg_catalog.<>) '')"
            );
            format!("pg_catalog.to_json({values})")
        })
        .collect();
    format!(
        "select {place} as place, pg_catalog.array_to_json(array[{}]) as columns \
         from (select {} from only {} tablesample system ({}) repeatable (1) limit {MOST_ROWS}) \
         as sampled",
        outer.join(", "),
        inner.join(", "),
        planned.name.quoted(),
        per_cent(planned)
    )
}

/// How much of a table is read, always the same pages: a gate that closes by chance is not believed.
fn per_cent(planned: &PlannedTable) -> String {
    let rows = u64::try_from(planned.estimated_rows)
        .ok()
        .filter(|rows| *rows > 0);
    let by_rows = rows.map_or_else(String::new, |rows| format!(", {ROWS}00.0 / {rows}"));
    format!(
        "least(100, greatest({PAGES}00.0 * {PAGE} / \
         greatest(pg_catalog.pg_relation_size({}::pg_catalog.regclass), 1){by_rows}))",
        quote_literal(&planned.name.quoted())
    )
}
