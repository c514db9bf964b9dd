//! What is done once a clone serves: SQL of the user's, then a hook.

use std::path::PathBuf;

use towpath_model::clone::CloneMark;
use towpath_model::connection::Side;
use towpath_model::name::readable;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::context::Context;
use crate::pipeline::clone::database::Destination;
use crate::pipeline::hooks::{Moment, run_with};

/// Runs what is to be done once the clone serves: seed users, feature flags. It is done once: a failure
/// is told, and the clone serves all the same.
pub async fn after_swap(
    context: &Context,
    serving: &CloneMark,
    destination: &Destination,
) -> Result<()> {
    let done = async {
        seed(context, serving, destination).await?;
        let url = &destination.url;
        let told = vec![
            ("TOWPATH_CLONE", destination.name.clone()),
            ("TOWPATH_CLONE_HOST", url.host.clone()),
            ("TOWPATH_CLONE_PORT", url.port.to_string()),
        ];
        run_with(context, &serving.run, Moment::AfterClone, told).await
    }
    .await;
    done.map_err(|failure| {
        // No kind that says that nothing was changed, or that the same command goes on.
        Failure::new(
            ErrorKind::LocalFile,
            format!(
                "clone {} serves run {}, and what was to be done after it is not done",
                readable(&destination.name),
                serving.run
            ),
        )
        .because(failure)
        .hint("do it by hand; the same command would make the next clone")
    })
}

/// Refuses what the swap and what comes after it would stumble over: hours later is no time to learn
/// that a file is not there.
pub fn require(context: &Context) -> Result<()> {
    context.settings.count("clone.drain_s")?;
    context.settings.number("hooks.timeout_s")?;
    seed_file(context).map(|_| ())
}

/// The SQL of `clone.after_sql` with its path, where one is named.
fn seed_file(context: &Context) -> Result<Option<(PathBuf, String)>> {
    let Some(path) = context.settings.path("clone.after_sql") else {
        return Ok(None);
    };
    let sql = std::fs::read_to_string(&path).map_err(|cause| {
        Failure::new(
            ErrorKind::LocalFile,
            format!("could not read clone.after_sql, {}", path.display()),
        )
        .because(cause)
        .hint("a path is relative to the configuration file")
    })?;
    Ok(Some((path, sql)))
}

/// Runs the SQL of `clone.after_sql`, all of it or nothing.
async fn seed(context: &Context, serving: &CloneMark, destination: &Destination) -> Result<()> {
    let Some((path, sql)) = seed_file(context)? else {
        return Ok(());
    };
    let name = format!("towpath/{}/after", serving.run);
    let options = context.session_options(Side::Target, &name);
    let url = destination.database(&destination.name);
    let mut session = Session::connect(&url, Side::Target, &options).await?;
    let done = async {
        // As the login finds it at home: rows under policies, names in `public`.
        session
            .execute("begin; reset row_security; reset search_path")
            .await?;
        session.execute(&sql).await?;
        session.commit().await
    }
    .await;
    session.close().await;
    done.map_err(|failure: Failure| {
        failure.while_doing(format!("could not run clone.after_sql, {}", path.display()))
    })
}
