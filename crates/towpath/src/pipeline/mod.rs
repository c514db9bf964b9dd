//! The stages, put together. Workers hand over through the run store; what is here only says in
//! which order they are called and what is written down in between.

pub mod access;
pub mod aside;
pub mod clone;
pub mod cutover;
pub mod health;
pub mod hooks;
pub mod planning;
pub mod scratch;
pub mod survey;
pub mod transfer;
pub mod verifying;

use std::time::Instant;

use towpath_model::Result;
use towpath_model::journal::{Entry, RunStage};
use towpath_store::Journal;

use crate::clock;

/// Does some work and journals how long it took.
pub async fn timed<T>(
    journal: &Journal,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let (began, began_at_ms) = (Instant::now(), clock::now_ms());
    let done = work.await?;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    journal
        .append(Entry::Timing {
            what: what.to_owned(),
            millis,
            began_at_ms: Some(began_at_ms),
        })
        .await?;
    Ok(done)
}

/// Enters a stage.
pub async fn enter(journal: &Journal, stage: RunStage) -> Result<()> {
    journal.append(Entry::Stage { stage }).await
}
