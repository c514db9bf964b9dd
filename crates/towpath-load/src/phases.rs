//! Statements after the data, phase by phase, and ANALYZE.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use tokio::task::JoinSet;
use towpath_model::event::{Stage, Unit};
use towpath_model::plan::Plan;
use towpath_model::script::{Phase, Statement};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::ledger;
use crate::options::LoadContext;
use crate::script::{POST_DATA, run_batch};

/// Statements per transaction in phases that run in order.
const BATCH: usize = 50;

/// Applies the post-data script, each statement once, and analyses.
pub async fn post_data(context: &LoadContext, statements: &[Statement]) -> Result<()> {
    let mut session = context.connect("post-data").await?;
    let done = ledger::steps(&mut session, &context.plan.run, POST_DATA).await?;
    session.close().await;
    let left: Vec<&Statement> = statements
        .iter()
        .filter(|statement| !done.contains(&statement.no))
        .collect();
    context
        .events
        .start(Stage::PostData, left.len() as u64, Unit::Items);
    for phase in Phase::POST_DATA {
        let of_phase: Vec<&Statement> = left
            .iter()
            .copied()
            .filter(|statement| statement.phase == phase)
            .collect();
        if phase.is_parallel() {
            run_side_by_side(context, of_phase.into_iter().cloned().collect()).await?;
        } else {
            run_in_order(context, &of_phase).await?;
        }
    }
    analyze(context).await?;
    context.events.finish(Stage::PostData);
    Ok(())
}

/// Statements of a phase in the script's order, some to a transaction: hundreds of policies and
/// grants cost little but their commits.
async fn run_in_order(context: &LoadContext, statements: &[&Statement]) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let mut session = context.connect("post-data").await?;
    let settings = settings(context);
    for batch in statements.chunks(BATCH) {
        context.stop.check()?;
        run_batch(&mut session, context, POST_DATA, batch, &settings).await?;
        context.events.advance(Stage::PostData, batch.len() as u64);
    }
    session.close().await;
    Ok(())
}

/// Bytes of a table from which on each of its statements is worth a transaction of its own. What is
/// done to smaller ones costs less than its commit.
const WORTH_A_TRANSACTION: u64 = 8 << 20;

/// Statements of a phase side by side.
async fn run_side_by_side(context: &LoadContext, statements: Vec<Statement>) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let jobs = context.options.jobs.max(1);
    let batches = Arc::new(batches(&context.plan, statements));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..jobs.min(batches.len()) {
        workers.spawn(one_worker(
            context.clone(),
            number,
            batches.clone(),
            next.clone(),
        ));
    }
    let mut first_failure: Option<Failure> = None;
    while let Some(joined) = workers.join_next().await {
        let failure = match joined {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure,
            Err(panic) => {
                Failure::new(ErrorKind::Internal, "a worker of post-data panicked").because(panic)
            }
        };
        context.stop.raise();
        if first_failure
            .as_ref()
            .is_none_or(|first| first.kind() == ErrorKind::Interrupted)
        {
            first_failure = Some(failure);
        }
    }
    first_failure.map_or(Ok(()), Err)
}

/// What goes into one transaction each, the biggest tables first. All statements of a small table
/// are in one, so that no two workers lock small tables in different orders.
fn batches(plan: &Plan, mut statements: Vec<Statement>) -> Vec<Vec<Statement>> {
    let tables = plan.tables.iter().enumerate();
    let places: HashMap<&QualifiedName, (usize, u64)> = tables
        .map(|(place, table)| (&table.name, (place, table.bytes)))
        .collect();
    let place = |statement: &Statement| {
        let table = statement.table.as_ref();
        let known = table.and_then(|table| places.get(table).copied());
        known.unwrap_or((usize::MAX, 0))
    };
    statements.sort_by_cached_key(|statement| (place(statement).0, statement.table.clone()));
    let mut batches: Vec<Vec<Statement>> = Vec::new();
    for statement in statements {
        let fits = batches.last().is_some_and(|batch| {
            let same_table = batch
                .last()
                .is_some_and(|last| last.table == statement.table);
            let is_small = |it: &Statement| place(it).1 < WORTH_A_TRANSACTION;
            is_small(&statement)
                && batch.last().is_some_and(is_small)
                && (batch.len() < BATCH || same_table && statement.table.is_some())
        });
        match batches.last_mut() {
            Some(batch) if fits => batch.push(statement),
            _ => batches.push(vec![statement]),
        }
    }
    batches
}

fn settings(context: &LoadContext) -> String {
    // Functions in indexes and rewritten statements may not be there on the target either.
    format!(
        "set local check_function_bodies = off; set local maintenance_work_mem = '{}MB'",
        context.options.maintenance_work_mem_mib
    )
}

async fn one_worker(
    context: LoadContext,
    number: usize,
    batches: Arc<Vec<Vec<Statement>>>,
    next: Arc<AtomicUsize>,
) -> Result<()> {
    let mut session = context.connect(&format!("post-data-{number}")).await?;
    let settings = settings(&context);
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(batch) = batches.get(at) else {
            break;
        };
        context.stop.check()?;
        let batch: Vec<&Statement> = batch.iter().collect();
        run_batch(&mut session, &context, POST_DATA, &batch, &settings).await?;
        context.events.advance(Stage::PostData, batch.len() as u64);
    }
    session.close().await;
    Ok(())
}

/// What can be analysed, and whether a foreign table inherits from it: to analyse such a one is to ask
/// another server for rows, which perhaps cannot be reached from here and surely need not be:
/// <https://www.postgresql.org/docs/15/sql-analyze.html>.
const ANALYZABLE: &str = "
    with recursive reaching as (
        select i.inhparent as oid
        from pg_catalog.pg_inherits i
        join pg_catalog.pg_class c on c.oid = i.inhrelid
        where c.relkind = 'f'
        union
        select i.inhparent
        from reaching r
        join pg_catalog.pg_inherits i on i.inhrelid = r.oid
    )
    select n.nspname as schema,
           c.relname as name,
           exists (select from reaching r where r.oid = c.oid) as reaches_foreign
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm')
      and c.relpersistence <> 't'
    order by c.oid";

#[derive(Debug, Deserialize)]
struct AnalyzableRow {
    schema: String,
    name: String,
    reaches_foreign: bool,
}

/// Statistics, so that the first query on the target plans as the last one on the source did.
async fn analyze(context: &LoadContext) -> Result<()> {
    let mut session = context.connect("analyze").await?;
    context.stop.check()?;
    let tables: Vec<AnalyzableRow> = session.fetch(ANALYZABLE, &[]).await?;
    session.execute(&analyze_statement(&tables)).await?;
    session.close().await;
    Ok(())
}

/// The whole database where that asks no other server: parents of partitions and materialized views
/// too. Tables that are not ours are skipped by the server with a warning.
fn analyze_statement(tables: &[AnalyzableRow]) -> String {
    if !tables.iter().any(|table| table.reaches_foreign) {
        return "analyze".to_owned();
    }
    let named: Vec<String> = tables
        .iter()
        .filter(|table| !table.reaches_foreign)
        .map(|table| QualifiedName::new(&table.schema, &table.name).quoted())
        .collect();
    format!("analyze {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, reaches_foreign: bool) -> AnalyzableRow {
        AnalyzableRow {
            schema: "app".to_owned(),
            name: name.to_owned(),
            reaches_foreign,
        }
    }

    #[test]
    fn no_other_server_is_asked_for_rows() {
        assert_eq!(analyze_statement(&[row("a", false)]), "analyze");
        assert_eq!(
            analyze_statement(&[row("A b", false), row("mother", true), row("c", false)]),
            "analyze \"app\".\"A b\", \"app\".\"c\""
        );
    }
}
