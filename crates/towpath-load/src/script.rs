//! Runs statements of a script, each once.

use towpath_model::script::Statement;
use towpath_model::{ErrorKind, Result};
use towpath_postgres::Session;

use crate::crew::may_try_again;
use crate::ledger;
use crate::options::LoadContext;
use crate::prepare::refuse_emptied;

/// Name of the script of statements before the data, in the ledger.
pub(crate) const PRE_DATA: &str = "pre-data";

/// Name of the script of statements after the data, in the ledger.
pub(crate) const POST_DATA: &str = "post-data";

/// Statements that share a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'b> {
    /// Name of their script.
    pub(crate) script: &'static str,
    /// What comes before them, for this transaction.
    pub(crate) settings: &'b str,
    /// The statements.
    pub(crate) statements: &'b [&'b Statement],
    /// What comes after them and is not in the ledger: doing it twice is doing it once.
    pub(crate) after: &'b str,
}

/// Runs statements in one transaction with their ledger entries: all of them are done or none is.
///
/// They go in one message, because most take less than the way to the server and back. When one
/// fails they are run once more, each by itself: then the error can say which one it was.
pub(crate) async fn run_batch(
    session: &mut Session,
    context: &LoadContext,
    batch: Batch<'_>,
) -> Result<()> {
    let Err(failure) = attempt(session, context, batch, Sent::Together).await else {
        return Ok(());
    };
    // What is not the server's answer to a statement will not be another one the second time.
    if failure.kind() != ErrorKind::Target {
        return Err(failure);
    }
    attempt(session, context, batch, Sent::Singly).await
}

/// The same for a builder, which goes on when its connection breaks, as those do that copy beside it:
/// a batch whose commit went through is in the ledger.
pub(crate) async fn run_batch_surely(
    session: &mut Option<Session>,
    context: &LoadContext,
    worker: &str,
    batch: Batch<'_>,
) -> Result<()> {
    let mut tried = 1;
    loop {
        let failure = match try_batch(session, context, worker, batch, tried).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        *session = None;
        if !may_try_again(&failure, tried, &context.stop).await {
            return Err(failure);
        }
        tried += 1;
    }
}

async fn try_batch(
    kept: &mut Option<Session>,
    context: &LoadContext,
    worker: &str,
    batch: Batch<'_>,
    tried: u32,
) -> Result<()> {
    let session = match kept {
        Some(session) => session,
        None => kept.insert(context.connect(worker).await?),
    };
    if tried == 1 {
        return run_batch(session, context, batch).await;
    }
    refuse_emptied(session, context).await?;
    let done = ledger::steps(session, &context.plan.run, batch.script).await?;
    let left: Vec<&Statement> = batch
        .statements
        .iter()
        .copied()
        .filter(|statement| !done.contains(&statement.no))
        .collect();
    let rest = Batch {
        statements: &left,
        ..batch
    };
    run_batch(session, context, rest).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Together,
    Singly,
}

async fn attempt(
    session: &mut Session,
    context: &LoadContext,
    batch: Batch<'_>,
    sent: Sent,
) -> Result<()> {
    let numbers: Vec<u32> = batch.statements.iter().map(|it| it.no).collect();
    let entering = ledger::entering(&context.plan.run, batch.script, &numbers);
    let done = async {
        session.begin_writing(context.search_path()).await?;
        if sent == Sent::Singly {
            session.execute(batch.settings).await?;
            for statement in batch.statements {
                session.execute(&statement.sql).await.map_err(|failure| {
                    failure.while_doing(format!("could not apply {} to target", statement.object))
                })?;
            }
            session
                .execute(&joined([batch.after, &entering, "commit"]))
                .await
        } else {
            let statements = batch.statements.iter().map(|it| it.sql.as_str());
            let all = std::iter::once(batch.settings).chain(statements).chain([
                batch.after,
                &entering,
                "commit",
            ]);
            session.execute(&joined(all)).await
        }
    }
    .await;
    if done.is_err() {
        // The first failure is the one to tell; if even this fails, the server forgets by itself.
        let _ = session.rollback().await;
    }
    done
}

fn joined<'s>(parts: impl IntoIterator<Item = &'s str>) -> String {
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(";\n")
}
