//! Workers: each takes the next task from one list until it is empty. The first failure stops the
//! others at their next safe point.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use towpath_model::failure::Retry;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::{Session, SnapshotHolder};

use crate::guard::guarded;
use crate::options::ExportContext;

/// How often a task is tried when its connection breaks.
const ATTEMPTS: u32 = 3;

/// How often the holder of the snapshot is asked whether it lives.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Runs `work` over every task with the context's number of workers, while the snapshot is held.
/// Gives the results in the order of the tasks.
pub(crate) async fn run_all<T, R, W>(
    context: &ExportContext,
    holder: &mut SnapshotHolder,
    tasks: Vec<T>,
    work: W,
) -> Result<Vec<R>>
where
    T: Clone + Send + Sync + 'static,
    R: Send + 'static,
    W: AsyncTask<T, R>,
{
    let count = tasks.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let (context, watching) = guarded(context);
    let mut watching = Box::pin(watching);
    let mut is_watched = true;
    let tasks = Arc::new(tasks);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..context.options.jobs.max(1).min(count) {
        workers.spawn(one_worker(
            number,
            context.clone(),
            tasks.clone(),
            next.clone(),
            work.clone(),
        ));
    }
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    let mut first_failure: Option<Failure> = None;
    loop {
        tokio::select! {
            joined = workers.join_next() => match joined {
                None => break,
                Some(Ok(Ok(done))) => {
                    for (at, result) in done {
                        results[at] = Some(result);
                    }
                }
                Some(Ok(Err(failure))) => {
                    context.stop.raise();
                    // What stopped because of the first failure is not news.
                    if first_failure.as_ref().is_none_or(|f| f.kind() == ErrorKind::Interrupted) {
                        first_failure = Some(failure);
                    }
                }
                Some(Err(panic)) => {
                    context.stop.raise();
                    first_failure.get_or_insert(
                        Failure::new(ErrorKind::Internal, "a worker of the export panicked").because(panic),
                    );
                }
            },
            Err(failure) = &mut watching, if is_watched => {
                is_watched = false;
                context.stop.raise();
                first_failure.get_or_insert(failure);
            }
            () = tokio::time::sleep(KEEP_ALIVE) => holder.keep_alive().await.map_err(|failure| {
                context.stop.raise();
                Failure::new(ErrorKind::SnapshotLost, "the session that holds the snapshot was lost")
                    .because(failure)
                    .hint("the same command resumes: it takes a new snapshot and proves what is stored")
            })?,
        }
    }
    match first_failure {
        Some(failure) => Err(failure),
        None => results
            .into_iter()
            .map(|result| {
                result.ok_or_else(|| Failure::new(ErrorKind::Internal, "a task was lost"))
            })
            .collect(),
    }
}

/// Work on one task in a session of the snapshot.
pub(crate) trait AsyncTask<T, R>: Clone + Send + 'static {
    /// Does it.
    fn run(
        &self,
        context: &ExportContext,
        session: &mut Session,
        task: &T,
    ) -> impl Future<Output = Result<R>> + Send;
}

async fn one_worker<T, R, W>(
    number: usize,
    context: ExportContext,
    tasks: Arc<Vec<T>>,
    next: Arc<AtomicUsize>,
    work: W,
) -> Result<Vec<(usize, R)>>
where
    T: Clone + Send + Sync + 'static,
    R: Send + 'static,
    W: AsyncTask<T, R>,
{
    let mut session = context.connect(number).await?;
    let mut done = Vec::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(task) = tasks.get(at) else { break };
        context.stop.check()?;
        context.gate.pass(&context.stop).await?;
        let mut attempt = 1;
        let result = loop {
            match work.run(&context, &mut session, task).await {
                Err(failure) if failure.kind().retry() == Retry::Later && attempt < ATTEMPTS => {
                    tracing::warn!(?failure, attempt, "trying again on a new connection");
                    attempt += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    session = context.connect(number).await?;
                }
                other => break other?,
            }
        };
        done.push((at, result));
    }
    session.rollback().await?;
    session.close().await;
    Ok(done)
}
