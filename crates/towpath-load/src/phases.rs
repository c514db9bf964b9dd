//! Statements after the data, phase by phase, and ANALYZE.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use towpath_model::event::Stage;
use towpath_model::plan::Plan;
use towpath_model::script::{Phase, Statement};
use towpath_model::{QualifiedName, Result};

use crate::analysis;
use crate::board::WORTH_A_TRANSACTION;
use crate::crew;
use crate::ledger;
use crate::options::LoadContext;
use crate::script::{Batch, POST_DATA, run_batch};

/// Statements per transaction in phases that run in order.
const BATCH: usize = 50;

/// Applies what is left of the post-data script, each statement once, and analyses the tables that
/// are not among `analysed`.
pub async fn post_data(
    context: &LoadContext,
    statements: &[Statement],
    mut analysed: HashSet<QualifiedName>,
) -> Result<()> {
    let mut session = context.connect("post-data").await?;
    let done = ledger::steps(&mut session, &context.plan.run, POST_DATA).await?;
    session.close().await;
    let left: Vec<&Statement> = statements
        .iter()
        .filter(|statement| !done.contains(&statement.no))
        .collect();
    for phase in Phase::POST_DATA {
        let of_phase: Vec<&Statement> = left
            .iter()
            .copied()
            .filter(|statement| statement.phase == phase)
            .collect();
        if of_phase.is_empty() {
            continue;
        }
        if phase == Phase::ForeignKeyValidate {
            // To validate is to join two tables: the planner had better know them.
            let tables = looked_at(&of_phase, &context.plan, &mut analysed);
            run_side_by_side(context, tables).await?;
        }
        if phase.is_parallel() {
            let all = of_phase.into_iter().cloned().collect();
            let transactions =
                batches(&context.plan, all)
                    .into_iter()
                    .map(|statements| Transaction {
                        statements,
                        after: String::new(),
                    });
            run_side_by_side(context, transactions.collect()).await?;
        } else {
            run_in_order(context, &of_phase).await?;
        }
    }
    let tables = analysis::left(context, &analysed).await?;
    run_side_by_side(
        context,
        tables.iter().map(|tables| analysing(tables)).collect(),
    )
    .await?;
    context.events.finish(Stage::PostData);
    Ok(())
}

/// Tables with foreign keys that are not analysed yet.
fn looked_at(
    validations: &[&Statement],
    plan: &Plan,
    analysed: &mut HashSet<QualifiedName>,
) -> Vec<Transaction> {
    let with_keys: HashSet<&QualifiedName> = validations
        .iter()
        .filter_map(|it| it.table.as_ref())
        .collect();
    let tables = plan.tables.iter().map(|table| &table.name);
    let late: Vec<QualifiedName> = tables
        .filter(|name| with_keys.contains(name) && !analysed.contains(name))
        .cloned()
        .collect();
    late.chunks(BATCH).map(analysing).collect()
}

/// Statements of a phase in the script's order, some to a transaction: hundreds of policies and
/// grants cost little but their commits.
async fn run_in_order(context: &LoadContext, statements: &[&Statement]) -> Result<()> {
    let mut session = context.connect("post-data").await?;
    let settings = settings(context);
    for batch in statements.chunks(BATCH) {
        context.stop.check()?;
        let transaction = Batch {
            script: POST_DATA,
            settings: &settings,
            statements: batch,
            after: "",
        };
        run_batch(&mut session, context, transaction).await?;
        context.events.advance(Stage::PostData, batch.len() as u64);
    }
    session.close().await;
    Ok(())
}

/// What one worker does in one transaction.
struct Transaction {
    statements: Vec<Statement>,
    after: String,
}

fn analysing(tables: &[QualifiedName]) -> Transaction {
    Transaction {
        statements: Vec::new(),
        after: analysis::analyze(tables),
    }
}

/// Transactions side by side, in the order given.
async fn run_side_by_side(context: &LoadContext, transactions: Vec<Transaction>) -> Result<()> {
    let jobs = context.options.jobs.max(1).min(transactions.len());
    let transactions = Arc::new(transactions);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..jobs {
        workers.spawn(one_worker(
            context.clone(),
            number,
            transactions.clone(),
            next.clone(),
        ));
    }
    crew::join(workers, &context.stop).await.map(|_| ())
}

async fn one_worker(
    context: LoadContext,
    number: usize,
    transactions: Arc<Vec<Transaction>>,
    next: Arc<AtomicUsize>,
) -> Result<()> {
    let mut session = context.connect(&format!("post-data-{number}")).await?;
    let settings = settings(&context);
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(transaction) = transactions.get(at) else {
            break;
        };
        context.stop.check()?;
        let statements: Vec<&Statement> = transaction.statements.iter().collect();
        let batch = Batch {
            script: POST_DATA,
            settings: &settings,
            statements: &statements,
            after: &transaction.after,
        };
        run_batch(&mut session, &context, batch).await?;
        context
            .events
            .advance(Stage::PostData, statements.len() as u64);
    }
    session.close().await;
    Ok(())
}

/// What goes into one transaction each, the biggest tables first. All statements of a small table
/// are in one, so that no two workers lock small tables in different orders. So are all validations of
/// one table, whatever its size: each of them keeps the others of that table out.
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
            let share = same_table && statement.table.is_some();
            share && statement.phase == Phase::ForeignKeyValidate
                || is_small(&statement)
                    && batch.last().is_some_and(is_small)
                    && (batch.len() < BATCH || share)
        });
        match batches.last_mut() {
            Some(batch) if fits => batch.push(statement),
            _ => batches.push(vec![statement]),
        }
    }
    batches
}

pub(crate) fn settings(context: &LoadContext) -> String {
    // Functions in indexes and rewritten statements may not be there on the target either.
    format!(
        "set local check_function_bodies = off; set local maintenance_work_mem = '{}MB'",
        context.options.maintenance_work_mem_mib
    )
}
