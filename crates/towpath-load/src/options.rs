//! What a load needs to know.

use std::sync::Arc;

use towpath_model::Result;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::digest::RunKey;
use towpath_model::event::Events;
use towpath_model::plan::Plan;
use towpath_model::stop::Stop;
use towpath_postgres::{Session, SessionOptions};
use towpath_store::RunStore;

/// Settings of a load.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Chunks loaded, and indexes built, at once; one connection each.
    pub jobs: usize,
    /// How to connect.
    pub session: SessionOptions,
    /// `maintenance_work_mem` of index builds, in mebibytes.
    pub maintenance_work_mem_mib: u64,
    /// Processors of the target, as far as they are known: parallel workers of index builds are shared
    /// out by them.
    pub target_processors: Option<u32>,
}

/// Everything that every worker of a load shares.
#[derive(Clone)]
pub struct LoadContext {
    /// Target.
    pub target: ConnectionUrl,
    /// Run store.
    pub store: RunStore,
    /// Plan.
    pub plan: Arc<Plan>,
    /// Key of the run, for the NULL marker of CSV chunks.
    pub key: RunKey,
    /// Settings.
    pub options: LoadOptions,
    /// Where progress goes.
    pub events: Events,
    /// Raised when the work should end at the next safe point.
    pub stop: Stop,
}

impl LoadContext {
    pub(crate) async fn connect(&self, worker: &str) -> Result<Session> {
        let mut options = self.options.session.clone();
        options.application_name = format!("{}/{worker}", self.application_prefix());
        let mut session = Session::connect(&self.target, Side::Target, &options).await?;
        // Settings of the user's may be on the target already; none of them is for index builds.
        // When this process dies, the server notices within seconds and lets go of its locks,
        // instead of finishing an index build that nobody will commit.
        session
            .execute(
                "set client_connection_check_interval = '2s'; set statement_timeout = 0;
                 set lock_timeout = 0; set idle_in_transaction_session_timeout = 0",
            )
            .await?;
        Ok(session)
    }

    /// The search path of the source's login: what the user's functions expect to find.
    pub(crate) fn search_path(&self) -> &str {
        &self.plan.source.facts.search_path
    }

    pub(crate) fn application_prefix(&self) -> String {
        format!("towpath/{}/load", self.plan.run)
    }
}
