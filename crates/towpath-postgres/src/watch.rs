//! Whether a server that is silent still works for us.
//!
//! An index build is silent for hours and is right to be; a connection that was cut without a word
//! is silent too, and nobody would ever speak again. So a session that hears nothing for a while asks
//! the server on another connection what the first one is doing (`pg_stat_activity`; `state` and
//! `wait_event` as in the manual's chapter "Monitoring Database Activity"). Whoever works is waited
//! for; whoever waits for a lock is waited for with its reason, up to a limit; everything else is lost.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Stage;
use towpath_model::{ErrorKind, Failure, Result};

use crate::error::failure;
use crate::session::{SessionOptions, driver_options, query};

/// Periods of silence after which a server that waits for its client is given up: a row of hundreds
/// of mebibytes on a slow line looks like that for a while.
const PERIODS_OF_CLIENT_WAIT: u32 = 5;

/// Periods of silence after which a lock that somebody else holds is no longer waited for.
const PERIODS_OF_LOCK_WAIT: u32 = 10;

/// A bad word is heard twice before it is believed: the answer may have been on its way.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// What a process of the server does. A blocker of ours that works will be done some day; one that
/// waits for a client, or is somebody else's, may never be.
const ASK: &str = "
    select a.state,
           coalesce(a.wait_event_type, '') as wait_type,
           coalesce(a.wait_event, '') as wait,
           coalesce(b.who, '') as blockers,
           coalesce(b.ours, 'no') as ours
      from pg_catalog.pg_stat_activity a
      left join lateral (
           select pg_catalog.string_agg(
                      pg_catalog.concat('process ', h.pid, ' (', coalesce(nullif(h.application_name, ''), h.usename, 'not shown'), ')'),
                      ', ' order by h.pid) as who,
                  case when pg_catalog.bool_and(h.application_name like $2
                                                and h.state = 'active'
                                                and h.wait_event_type is distinct from 'Client')
                       then 'yes' else 'no' end as ours
             from pg_catalog.pg_stat_activity h
            where h.pid = any (pg_catalog.pg_blocking_pids(a.pid))
           ) b on true
     where a.pid = $1::pg_catalog.int4";

/// Looks after the silences of one session.
pub(crate) struct Watch {
    side: Side,
    url: ConnectionUrl,
    options: SessionOptions,
    pid: String,
    lost: AtomicBool,
}

/// What the server says of the session.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    /// It works.
    Works,
    /// It waits for a lock.
    Locked {
        /// Who holds it.
        by: String,
        /// Whether that is a session of this run that works.
        ours: bool,
    },
    /// It waits for us, who wait for it.
    WaitsForUs,
    /// It has nothing to do, or is not there.
    Lost(&'static str),
}

/// For how long silence of one kind has lasted.
#[derive(Default)]
struct Silence {
    bad_words: u32,
    locked_since: Option<Instant>,
    waits_for_us_since: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(side: Side, url: &ConnectionUrl, options: &SessionOptions) -> Self {
        Self {
            side,
            url: url.clone(),
            options: options.clone(),
            pid: String::new(),
            lost: AtomicBool::new(false),
        }
    }

    /// The server's process that works for the session.
    pub(crate) fn set_pid(&mut self, pid: &str) {
        pid.clone_into(&mut self.pid);
    }

    /// Waits for work of the session, as long as the server is at it.
    pub(crate) async fn over<T>(
        &self,
        doing: impl Fn() -> String,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        if self.lost.load(Ordering::Relaxed) {
            return Err(self.letter(doing(), "the session was given up before".to_owned()));
        }
        let mut work = pin!(work);
        let mut silence = Silence::default();
        let mut patience = self.options.silence;
        let start = Instant::now();
        loop {
            let asked = async {
                tokio::time::sleep(patience).await;
                Box::pin(self.ask()).await
            };
            let word = tokio::select! {
                biased;
                done = &mut work => return done.map_err(|cause| failure(self.side, doing(), cause)),
                word = asked => word,
            };
            patience = match word {
                Ok(Word::Lost(_)) | Err(_) => SECOND_LOOK.min(self.options.silence),
                Ok(_) => self.options.silence,
            };
            if let Some(refusal) = self.judge(&mut silence, word, &doing, start) {
                self.lost.store(true, Ordering::Relaxed);
                // What it holds would stand in the way of the next attempt.
                Box::pin(self.end()).await;
                return Err(refusal);
            }
        }
    }

    fn judge(
        &self,
        silence: &mut Silence,
        word: Result<Word>,
        doing: &impl Fn() -> String,
        start: Instant,
    ) -> Option<Failure> {
        let now = Instant::now();
        let limit = self.options.silence;
        let quiet = start.elapsed().as_secs();
        if !matches!(word, Ok(Word::Lost(_)) | Err(_)) {
            silence.bad_words = 0;
        }
        if !matches!(word, Ok(Word::Locked { .. })) {
            silence.locked_since = None;
        }
        if !matches!(word, Ok(Word::WaitsForUs)) {
            silence.waits_for_us_since = None;
        }
        match word {
            Ok(Word::Works) => None,
            Ok(Word::Locked { by, ours }) => {
                let since = *silence.locked_since.get_or_insert(now);
                self.tell(format!(
                    "{} waits for a lock held by {by} ({quiet} s)",
                    self.side
                ));
                (!ours && since.elapsed() + limit >= limit * PERIODS_OF_LOCK_WAIT).then(|| {
                    let kind = match self.side {
                        Side::Source => ErrorKind::Source,
                        Side::Target => ErrorKind::Target,
                    };
                    Failure::new(kind, doing())
                        .because(format!("waited {quiet} s for a lock held by {by}"))
                        .hint(format!(
                            "end that session of the {} or let it finish; the same command resumes",
                            self.side
                        ))
                })
            }
            Ok(Word::WaitsForUs) => {
                let since = *silence.waits_for_us_since.get_or_insert(now);
                (since.elapsed() + limit >= limit * PERIODS_OF_CLIENT_WAIT).then(|| {
                    self.letter(
                        doing(),
                        format!("nothing has come through for {quiet} s, and the server waits too"),
                    )
                })
            }
            Ok(Word::Lost(why)) => {
                silence.bad_words += 1;
                (silence.bad_words > 1)
                    .then(|| self.letter(doing(), format!("no answer for {quiet} s, and {why}")))
            }
            Err(cause) => {
                silence.bad_words += 1;
                let why = format!("no answer for {quiet} s, and none on another connection");
                (silence.bad_words > 1).then(|| cause.while_doing(why).while_doing(doing()))
            }
        }
    }

    fn letter(&self, doing: String, why: String) -> Failure {
        let side = self.side;
        Failure::new(ErrorKind::Connect, doing)
            .because(why)
            .hint(format!(
                "look at the {side} and the network; the same command resumes"
            ))
    }

    fn tell(&self, text: String) {
        if let Some(events) = &self.options.events {
            let stage = match self.side {
                Side::Source => Stage::Export,
                Side::Target => Stage::Load,
            };
            events.note(stage, text);
        }
    }

    async fn connect(&self) -> Result<PgConnection> {
        let mut options = self.options.clone();
        options.application_name.push_str("/watch");
        let doing = || format!("could not ask {} {}", self.side, self.url);
        let driver = driver_options(&self.url, self.side, &options)?;
        let connecting = PgConnection::connect_with(&driver);
        tokio::time::timeout(self.wait(), connecting)
            .await
            .map_err(|_| self.letter(doing(), "no answer".to_owned()))?
            .map_err(|cause| failure(self.side, doing(), cause))
    }

    /// For how long the second connection may be silent.
    fn wait(&self) -> Duration {
        self.options.connect_timeout.min(self.options.silence)
    }

    /// An error is a server that cannot be reached; one that refuses, because it has no connection
    /// left for example, lives.
    async fn ask(&self) -> Result<Word> {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(refusal) if refusal.kind() != ErrorKind::Connect || is_crowded(&refusal) => {
                return Ok(Word::Works);
            }
            Err(refusal) => return Err(refusal),
        };
        let run = run_prefix(&self.options.application_name);
        let parameters = [self.pid.as_str(), run.as_str()];
        let asked = connection.fetch_optional(query(ASK, &parameters));
        let answer = tokio::time::timeout(self.wait(), asked).await;
        let doing = || format!("could not ask {} about a session", self.side);
        let answer = answer.map_err(|_| self.letter(doing(), "no answer".to_owned()))?;
        let row = match answer.map_err(|cause| failure(self.side, doing(), cause)) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Word::Lost("the server no longer knows of the session")),
            Err(refusal) if refusal.kind() == ErrorKind::Connect => return Err(refusal),
            Err(_) => return Ok(Word::Works),
        };
        let text = |column: &str| -> String {
            let value: Option<String> = row.try_get(column).unwrap_or_default();
            value.unwrap_or_default()
        };
        Ok(word(
            &text("state"),
            &text("wait_type"),
            &text("wait"),
            text("blockers"),
            text("ours") == "yes",
        ))
    }

    /// Ends the session on the server, if it can be reached.
    async fn end(&self) {
        let end = async {
            let mut connection = self.connect().await.ok()?;
            let sql = "select pg_catalog.pg_terminate_backend($1::pg_catalog.int4)";
            connection
                .execute(query(sql, &[self.pid.as_str()]))
                .await
                .ok()
        };
        // The failure that led here is the one to tell.
        drop(tokio::time::timeout(self.wait(), end).await);
    }
}

fn word(state: &str, wait_type: &str, wait: &str, by: String, ours: bool) -> Word {
    match (state, wait_type, wait) {
        // Hidden from this login: alive is all that can be known.
        ("", _, _) => Word::Works,
        ("active" | "fastpath function call", "Lock", _) if !by.is_empty() => {
            Word::Locked { by, ours }
        }
        ("active" | "fastpath function call", "Client", "ClientRead" | "ClientWrite") => {
            Word::WaitsForUs
        }
        ("active" | "fastpath function call", _, _) => Word::Works,
        _ => Word::Lost(
            "the server has nothing to do for the session: the request or the answer was lost",
        ),
    }
}

/// Application names of this run as a pattern.
fn run_prefix(application_name: &str) -> String {
    let run: Vec<&str> = application_name.split('/').take(2).collect();
    let escaped = run.join("/").replace('\\', "\\\\").replace('%', "\\%");
    format!("{}%", escaped.replace('_', "\\_"))
}

fn is_crowded(refusal: &Failure) -> bool {
    let mut cause = std::error::Error::source(refusal);
    while let Some(error) = cause {
        if let Some(server) = error.downcast_ref::<crate::ServerError>() {
            return server.code == "53300";
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_at_work_is_waited_for_and_an_idle_one_is_not() {
        let heard =
            |state: &str, kind: &str, wait: &str| word(state, kind, wait, String::new(), false);
        assert_eq!(heard("active", "", ""), Word::Works);
        assert_eq!(heard("active", "IO", "DataFileRead"), Word::Works);
        assert_eq!(heard("active", "Client", "ClientRead"), Word::WaitsForUs);
        assert_eq!(heard("active", "Client", "ClientWrite"), Word::WaitsForUs);
        assert!(matches!(
            heard("idle", "Client", "ClientRead"),
            Word::Lost(_)
        ));
        assert!(matches!(
            heard("idle in transaction", "Client", "ClientRead"),
            Word::Lost(_)
        ));
        assert!(matches!(
            word(
                "active",
                "Lock",
                "relation",
                "process 7 (psql)".to_owned(),
                false
            ),
            Word::Locked { .. }
        ));
        // Another login's session shows nothing.
        assert_eq!(heard("", "", ""), Word::Works);
    }

    #[test]
    fn sessions_of_the_run_share_a_prefix() {
        assert_eq!(
            run_prefix("towpath/20260101-a_b/load/3"),
            "towpath/20260101-a\\_b%"
        );
    }
}
