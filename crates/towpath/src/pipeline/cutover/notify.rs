//! Notifications: told in the background, retried, never in the way of the cutover.
//!
//! Each channel has a task and a queue of its own: one that hangs delays no other, and nothing here
//! is waited for before the command ends. A notice says what happened to which run, in words of
//! towpath's own; secrets are taken out of them all the same.

mod channel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};
use tokio::task::JoinHandle;
use towpath_model::connection::Side;
use towpath_model::{ErrorKind, Result, RunId};
use towpath_switch::SwitchClients;

use crate::clock;
use crate::context::Context;
use crate::pipeline::cutover::notify::channel::{Channel, Refused};
use crate::secrets::KnownSecrets;

/// Notices that wait for a channel. A cutover has a dozen.
const QUEUE: usize = 64;

/// Between two attempts, doubled each time up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Characters of a text.
const LONGEST: usize = 1000;

/// How much somebody should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// All is well.
    Info,
    /// Nothing is lost, and somebody should look.
    Warning,
    /// A person is needed now.
    Critical,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    /// That of an event.
    fn of(event: &str) -> Self {
        match event {
            "undo-incomplete" | "rollback-failed" => Severity::Critical,
            "undone" | "failed" => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// Something that is told.
#[derive(Debug, Clone)]
pub struct Notice {
    /// A word such as `fenced`.
    pub event: String,
    /// A sentence.
    pub text: String,
    /// How much somebody should care.
    pub severity: Severity,
    /// When, RFC 3339.
    pub at: String,
    /// The run.
    pub run: RunId,
    /// Endpoints of the databases, without user and password.
    pub source: String,
    pub target: String,
    /// Distinguishes the notices of one process.
    pub id: String,
}

/// Sends notices in the background.
pub struct Notifier {
    lanes: Vec<Lane>,
    secrets: KnownSecrets,
    run: RunId,
    source: String,
    target: String,
    patience: Duration,
}

/// A channel at work.
struct Lane {
    name: &'static str,
    queue: Sender<Arc<Notice>>,
    /// Gives the notices that were not delivered.
    task: JoinHandle<Vec<String>>,
    dropped: std::sync::atomic::AtomicU64,
}

impl Notifier {
    /// Prepares the channels of the configuration. One that cannot work is an error now, before
    /// anything has begun.
    pub fn start(context: &Context, run: &RunId, clients: &SwitchClients) -> Result<Self> {
        let settings = &context.settings;
        let attempts = settings.number("notify.attempts")?;
        let patience = Duration::from_secs(settings.number("notify.timeout_s")?);
        let channels = channel::channels(settings, clients)?;
        let lanes = channels
            .into_iter()
            .map(|channel| {
                let (queue, notices) = mpsc::channel(QUEUE);
                let name = channel.name();
                let task = tokio::spawn(deliver(channel, notices, attempts, patience));
                Lane {
                    name,
                    queue,
                    task,
                    dropped: 0.into(),
                }
            })
            .collect();
        let endpoint = |side| {
            let url = context.url(side);
            url.map(|url| url.identity()).unwrap_or_default()
        };
        Ok(Self {
            lanes,
            secrets: KnownSecrets::of(context),
            run: run.clone(),
            source: endpoint(Side::Source),
            target: endpoint(Side::Target),
            patience,
        })
    }

    /// Tells; returns at once. `event` is a word such as `fenced`, `text` a sentence without values.
    pub fn tell(&self, event: &str, text: &str) {
        if self.lanes.is_empty() {
            return;
        }
        let text = self.secrets.taken_out_of(text);
        let notice = Arc::new(Notice {
            event: event.to_owned(),
            text: text.chars().take(LONGEST).collect(),
            severity: Severity::of(event),
            at: clock::now(),
            run: self.run.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            id: format!("{}/{event}/{}", self.run, clock::now_ms()),
        });
        for lane in &self.lanes {
            if let Err(TrySendError::Full(_)) = lane.queue.try_send(Arc::clone(&notice)) {
                lane.dropped
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    /// Waits for what is under way, for a bounded time; says what could not be delivered.
    pub async fn finish(self) -> Vec<String> {
        let end = Instant::now() + self.patience;
        let mut undelivered = Vec::new();
        for lane in self.lanes {
            let Lane {
                name,
                queue,
                mut task,
                dropped,
            } = lane;
            drop(queue);
            let left = end.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, &mut task).await {
                Ok(Ok(lost)) => undelivered.extend(lost),
                Ok(Err(_)) => undelivered.push(format!("the task of {name} ended early")),
                Err(_) => {
                    task.abort();
                    undelivered.push(format!(
                        "{name} did not take every notice within {} s of the end",
                        self.patience.as_secs()
                    ));
                }
            }
            let dropped = dropped.into_inner();
            if dropped > 0 {
                undelivered.push(format!("{dropped} notices did not fit the queue of {name}"));
            }
        }
        undelivered
    }
}

/// Sends what comes, in its order; gives what could not be delivered.
async fn deliver(
    channel: Channel,
    mut notices: Receiver<Arc<Notice>>,
    attempts: u64,
    limit: Duration,
) -> Vec<String> {
    let mut lost = Vec::new();
    while let Some(notice) = notices.recv().await {
        if let Err(failure) = persist(&channel, &notice, attempts, limit).await {
            lost.push(format!(
                "notice `{}` was not delivered to {}: {failure:?}",
                notice.event,
                channel.name()
            ));
        }
    }
    lost
}

async fn persist(channel: &Channel, notice: &Notice, attempts: u64, limit: Duration) -> Result<()> {
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let Refused { failure, later } = match channel.send(notice, limit).await {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let is_final = later.is_none() && failure.kind() != ErrorKind::Connect;
        if is_final || attempt >= attempts {
            return Err(failure);
        }
        let wanted = later.unwrap_or(Duration::ZERO).max(pause);
        tokio::time::sleep(wanted.min(LONGEST_PAUSE)).await;
        attempt += 1;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_a_person_is_critical() {
        assert_eq!(Severity::of("undo-incomplete").word(), "critical");
        assert_eq!(Severity::of("undone").word(), "warning");
        assert_eq!(Severity::of("fenced").word(), "info");
    }
}
