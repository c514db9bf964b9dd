//! Statements after the data, phase by phase, and ANALYZE.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use towpath_model::event::{Stage, Unit};
use towpath_model::script::{Phase, Statement};
use towpath_model::{ErrorKind, Failure, Result};

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
    let left: Vec<Statement> = statements
        .iter()
        .filter(|statement| !done.contains(&statement.no))
        .cloned()
        .collect();
    context
        .events
        .start(Stage::PostData, left.len() as u64, Unit::Items);
    for phase in Phase::POST_DATA {
        let of_phase: Vec<Statement> = left
            .iter()
            .filter(|statement| statement.phase == phase)
            .cloned()
            .collect();
        if phase.is_parallel() {
            run_side_by_side(context, of_phase).await?;
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
async fn run_in_order(context: &LoadContext, statements: &[Statement]) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let mut session = context.connect("post-data").await?;
    let settings = settings(context);
    for batch in statements.chunks(BATCH) {
        context.stop.check()?;
        let batch: Vec<&Statement> = batch.iter().collect();
        run_batch(&mut session, context, POST_DATA, &batch, &settings).await?;
        context.events.advance(Stage::PostData, batch.len() as u64);
    }
    session.close().await;
    Ok(())
}

/// Statements of a phase side by side, each in a transaction of its own.
async fn run_side_by_side(context: &LoadContext, statements: Vec<Statement>) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    let jobs = context.options.jobs.max(1);
    let statements = Arc::new(biggest_first(context, statements));
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..jobs.min(statements.len()) {
        workers.spawn(one_worker(
            context.clone(),
            number,
            statements.clone(),
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

/// The plan lists tables biggest first; work on them begins in that order.
fn biggest_first(context: &LoadContext, mut statements: Vec<Statement>) -> Vec<Statement> {
    statements.sort_by_key(|statement| {
        let table = statement.table.as_ref();
        table
            .and_then(|table| context.plan.tables.iter().position(|it| it.name == *table))
            .unwrap_or(usize::MAX)
    });
    statements
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
    statements: Arc<Vec<Statement>>,
    next: Arc<AtomicUsize>,
) -> Result<()> {
    let mut session = context.connect(&format!("post-data-{number}")).await?;
    let settings = settings(&context);
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(statement) = statements.get(at) else {
            break;
        };
        context.stop.check()?;
        run_batch(&mut session, &context, POST_DATA, &[statement], &settings).await?;
        context.events.advance(Stage::PostData, 1);
    }
    session.close().await;
    Ok(())
}

/// Statistics, so that the first query on the target plans as the last one on the source did.
async fn analyze(context: &LoadContext) -> Result<()> {
    let mut session = context.connect("analyze").await?;
    context.stop.check()?;
    // The whole database: parents of partitions and materialized views too. Tables that are not
    // ours are skipped by the server with a warning.
    session.execute("analyze").await?;
    session.close().await;
    Ok(())
}
