//! Keeping clients waiting.
//!
//! The fence is committed in either mode. Where clients wait, its function first asks for a lock
//! that a session of this process holds: when that session ends, by whatever death, their writes are
//! refused. Keeping the fence's transaction open instead would let them pass, beside consumers that
//! write to the target already.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::install::LOCK_CLASS;
use crate::lift;
use crate::state;

/// How often the server is asked something, so that nothing in between takes the connection for idle.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

enum Word {
    /// The switch is about to begin: there is no opening from here on.
    Switching(oneshot::Sender<()>),
    /// Let go of the clients.
    End(oneshot::Sender<()>),
}

/// Keeps clients of a fence waiting until it is ended, dropped, or the time is over. Before the
/// switch began the fence is opened then, so that they write to the source; later they are refused.
pub struct Waiting {
    words: mpsc::Sender<Word>,
    at_most: Duration,
}

impl Waiting {
    pub(crate) fn hold(session: Session, key: i32, at_most: Duration) -> Self {
        let (words, heard) = mpsc::channel(1);
        let holder = Holder {
            session,
            key,
            heard,
            deadline: Instant::now() + at_most,
            is_switching: false,
        };
        // It ends when `words` is dropped, at the latest.
        tokio::spawn(holder.hold());
        Self { words, at_most }
    }

    /// Says that the switch is about to begin.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Blocked`] when the time is over and clients write to the source again.
    pub async fn begin_switch(&self) -> Result<()> {
        self.say(Word::Switching).await.ok_or_else(|| {
            Failure::new(
                ErrorKind::Blocked,
                format!(
                    "clients have waited for the fence for {} s, and write to the source again",
                    self.at_most.as_secs()
                ),
            )
            .hint("let them wait longer with fence.max_wait_s, or refuse their writes with fence.mode")
        })
    }

    /// Lets go of them. They may be gone already.
    pub async fn end(self) {
        self.say(Word::End).await;
    }

    /// Nothing when nobody is there to hear it.
    async fn say(&self, word: impl FnOnce(oneshot::Sender<()>) -> Word) -> Option<()> {
        let (heard, hearing) = oneshot::channel();
        self.words.send(word(heard)).await.ok()?;
        hearing.await.ok()
    }
}

struct Holder {
    session: Session,
    key: i32,
    heard: mpsc::Receiver<Word>,
    deadline: Instant,
    is_switching: bool,
}

impl Holder {
    async fn hold(mut self) {
        loop {
            tokio::select! {
                word = self.heard.recv() => match word {
                    Some(Word::Switching(said)) => {
                        self.is_switching = true;
                        let _ = said.send(());
                    }
                    Some(Word::End(said)) => {
                        self.let_go().await;
                        let _ = said.send(());
                        return;
                    }
                    None => return self.let_go().await,
                },
                () = tokio::time::sleep_until(self.deadline) => {
                    if !self.is_switching {
                        self.open().await;
                        return self.let_go().await;
                    }
                    // Whoever asks later is told the same: they wait no more.
                    self.unlock().await;
                    self.deadline += Duration::from_hours(24);
                }
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    // A lost connection has let go of them already: their writes are refused.
                    drop(self.session.execute("select 1").await);
                }
            }
        }
    }

    async fn unlock(&mut self) {
        let sql = "select pg_catalog.pg_advisory_unlock($1::int4, $2::int4)::text";
        let keys = [LOCK_CLASS.to_string(), self.key.to_string()];
        drop(self.session.scalar(sql, &[&keys[0], &keys[1]]).await);
    }

    async fn let_go(mut self) {
        self.unlock().await;
        self.session.close().await;
    }

    /// A failure leaves a fence that refuses, and the cutover that lifts it.
    async fn open(&mut self) {
        if let Ok(Some(found)) = state::find(&mut self.session).await {
            drop(lift::open(&mut self.session, &found).await);
        }
    }
}
