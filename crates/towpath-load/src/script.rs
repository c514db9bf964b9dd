//! Runs statements of a script, each once.

use towpath_model::script::Statement;
use towpath_model::{ErrorKind, Result};
use towpath_postgres::Session;

use crate::ledger;
use crate::options::LoadContext;

/// Name of the script of statements before the data, in the ledger.
pub(crate) const PRE_DATA: &str = "pre-data";

/// Name of the script of statements after the data, in the ledger.
pub(crate) const POST_DATA: &str = "post-data";

/// Runs statements in one transaction with their ledger entries: all of them are done or none is.
///
/// They go in one message, because most take less than the way to the server and back. When one
/// fails they are run once more, each by itself: then the error can say which one it was.
pub(crate) async fn run_batch(
    session: &mut Session,
    context: &LoadContext,
    script: &str,
    statements: &[&Statement],
    settings: &str,
) -> Result<()> {
    let Err(failure) = attempt(
        session,
        context,
        script,
        statements,
        settings,
        Sent::Together,
    )
    .await
    else {
        return Ok(());
    };
    // What is not the server's answer to a statement will not be another one the second time.
    if failure.kind() != ErrorKind::Target {
        return Err(failure);
    }
    attempt(session, context, script, statements, settings, Sent::Singly).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Together,
    Singly,
}

async fn attempt(
    session: &mut Session,
    context: &LoadContext,
    script: &str,
    statements: &[&Statement],
    settings: &str,
    sent: Sent,
) -> Result<()> {
    session.begin_writing(context.search_path()).await?;
    let done = async {
        if sent == Sent::Together {
            let all = std::iter::once(settings)
                .chain(statements.iter().map(|statement| statement.sql.as_str()));
            session
                .execute(&all.collect::<Vec<_>>().join(";\n"))
                .await?;
        } else {
            session.execute(settings).await?;
            for statement in statements {
                session.execute(&statement.sql).await.map_err(|failure| {
                    failure.while_doing(format!("could not apply {} to target", statement.object))
                })?;
            }
        }
        let numbers: Vec<u32> = statements.iter().map(|statement| statement.no).collect();
        ledger::enter_steps(session, &context.plan.run, script, &numbers).await?;
        session.commit().await
    }
    .await;
    if done.is_err() {
        // The first failure is the one to tell; if even this fails, the server forgets by itself.
        let _ = session.rollback().await;
    }
    done
}
