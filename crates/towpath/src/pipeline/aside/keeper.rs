//! The session that shows that somebody is at work in a database.

use std::time::Duration;

use tokio::task::JoinHandle;
use towpath_model::connection::ConnectionUrl;
use towpath_model::{Result, RunId};

use crate::context::Context;
use crate::pipeline::aside::connect;

/// How often it says a word: a way to the server on which nothing happens is closed by what is in
/// between.
const WORD_EVERY: Duration = Duration::from_secs(30);

/// Makes the server notice within half a minute that the machine at the other end is gone. By itself it
/// waits for hours (`tcp_keepalives_idle` in the manual of PostgreSQL, 20.3.2).
pub const NOTICE_SOON: &str =
    "set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3";

/// A session to a database for as long as somebody is at work in it. When the process dies, the server
/// sees its end at once: so it tells a dead one from a live one.
pub struct Keeper {
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins it, under a name that ends in `what`.
    pub async fn start(
        context: &Context,
        url: &ConnectionUrl,
        run: &RunId,
        what: &'static str,
    ) -> Result<Self> {
        let mut session = connect(context, url, run, what).await?;
        session.execute(NOTICE_SOON).await?;
        let (context, url, run) = (context.clone(), url.clone(), run.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(WORD_EVERY).await;
                if session.execute("select").await.is_err()
                    && let Ok(mut again) = connect(&context, &url, &run, what).await
                {
                    // Refused, it is only noticed later.
                    let _ = again.execute(NOTICE_SOON).await;
                    session = again;
                }
            }
        });
        Ok(Self { task })
    }

    /// Ends it.
    pub async fn end(mut self) {
        self.task.abort();
        // Its session is closed when the task is gone. That it was aborted is no news.
        let _ = (&mut self.task).await;
    }
}

/// Whoever gives up in between is no longer at work.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}
