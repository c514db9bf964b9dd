//! Runs statements of a script, each once.

use towpath_model::Result;
use towpath_model::script::Statement;
use towpath_postgres::Session;

use crate::ledger;
use crate::options::LoadContext;

/// Name of the script of statements before the data, in the ledger.
pub(crate) const PRE_DATA: &str = "pre-data";

/// Name of the script of statements after the data, in the ledger.
pub(crate) const POST_DATA: &str = "post-data";

/// Runs statements in one transaction with their ledger entries: all of them are done or none is.
pub(crate) async fn run_batch(
    session: &mut Session,
    context: &LoadContext,
    script: &str,
    statements: &[&Statement],
    settings: &str,
) -> Result<()> {
    session.begin_writing(context.search_path()).await?;
    let run = &context.plan.run;
    let done = async {
        session.execute(settings).await?;
        for statement in statements {
            session.execute(&statement.sql).await.map_err(|failure| {
                failure.while_doing(format!("could not apply {} to target", statement.object))
            })?;
            ledger::enter_step(session, run, script, statement.no).await?;
        }
        session.commit().await
    }
    .await;
    if done.is_err() {
        // The first failure is the one to tell; if even this fails, the server forgets by itself.
        let _ = session.rollback().await;
    }
    done
}
