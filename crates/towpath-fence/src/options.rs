//! What is fenced, and with how much patience.

use std::collections::BTreeSet;
use std::time::Duration;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::cutover::FenceMode;
use towpath_model::event::Events;
use towpath_model::stop::Stop;
use towpath_model::{QualifiedName, Result, RunId};
use towpath_postgres::{Session, SessionOptions};

use crate::blockers::CancelBlockers;

/// How locks are waited for. While a lock is waited for, every later writer waits behind it.
#[derive(Debug, Clone)]
pub struct LockPatience {
    /// An attempt at all locks together takes no longer.
    pub wait: Duration,
    /// How many attempts; between two of them everybody's writes go on for as long as an attempt
    /// takes.
    pub attempts: u32,
    /// What becomes of who holds a lock for longer than half an attempt.
    pub cancel: CancelBlockers,
}

/// Everything about a fence.
#[derive(Clone)]
pub struct FenceOptions {
    /// Source.
    pub source: ConnectionUrl,
    /// How to connect.
    pub session: SessionOptions,
    /// The run that fences.
    pub run: RunId,
    /// Tables whose rows have gone.
    pub tables: Vec<QualifiedName>,
    /// What else has gone and cannot be fenced.
    pub unfenceable: Vec<QualifiedName>,
    /// How clients are treated.
    pub mode: FenceMode,
    /// Clients wait no longer than this, where they wait.
    pub max_wait: Duration,
    /// What clients are told.
    pub message: String,
    /// Patience with locks.
    pub patience: LockPatience,
    /// Tables that may stay open, as they are written in errors.
    pub accept_open: BTreeSet<String>,
    /// Who hears of waiting.
    pub events: Events,
    /// Raised when nothing should be begun any more.
    pub stop: Stop,
}

impl FenceOptions {
    pub(crate) async fn connect(&self, worker: &str) -> Result<Session> {
        let mut options = self.session.clone();
        options.application_name = format!("towpath/{}/{worker}", self.run);
        Session::connect(&self.source, Side::Source, &options).await
    }
}
