//! Builders: indexes, keys and statistics of tables that have their rows.

use std::sync::Arc;

use tokio::task::JoinSet;
use towpath_model::Result;
use towpath_model::event::Stage;
use towpath_model::script::Statement;

use crate::analysis::analyze;
use crate::board::{Board, Job, Next};
use crate::crew;
use crate::options::LoadContext;
use crate::phases::settings;
use crate::script::{Batch, POST_DATA, run_batch_surely};

/// Builds until the rows of every table are in and nothing is left to do. As many builders as there
/// are jobs, beside those that copy: these wait for the source and the store half of the time, and
/// must never wait for an index.
pub(crate) async fn build(context: &LoadContext, board: &Arc<Board>) -> Result<()> {
    let mut builders = JoinSet::new();
    for number in 0..context.options.jobs.max(1) {
        builders.spawn(one_builder(context.clone(), number, board.clone()));
    }
    crew::join(builders, &context.stop).await.map(|_| ())
}

async fn one_builder(context: LoadContext, number: usize, board: Arc<Board>) -> Result<()> {
    let name = format!("build-{number}");
    let mut session = None;
    loop {
        context.stop.check()?;
        let job = match board.take() {
            Next::Job(job) => job,
            Next::Wait => {
                board.wait().await;
                continue;
            }
            Next::End => break,
        };
        let statements: Vec<&Statement> = job.statements.iter().collect();
        let mut settings = settings(&context);
        if let Some(workers) = job.workers {
            settings += &format!("; set local max_parallel_maintenance_workers = {workers}");
        }
        let batch = Batch {
            script: POST_DATA,
            settings: &settings,
            statements: &statements,
            after: &after(&job),
        };
        run_batch_surely(&mut session, &context, &name, batch).await?;
        context
            .events
            .advance(Stage::PostData, job.statements.len() as u64);
        board.is_done(&job);
    }
    if let Some(session) = session {
        session.close().await;
    }
    Ok(())
}

fn after(job: &Job) -> String {
    if job.analyze.is_empty() {
        return String::new();
    }
    analyze(&job.analyze)
}
