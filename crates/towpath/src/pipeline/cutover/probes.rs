//! Probes: whether consumers reach the target and find there what they need.
//!
//! What can be asked while everything still points at the source is asked then: a probe that fails
//! before the fence costs nobody anything. After each group its functions are invoked, and when the
//! last group is switched everything is asked.

mod answer;
mod sessions;
mod sql;
mod wanted;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use towpath_model::cutover::{CheckOutcome, Checked, Checklist};
use towpath_model::event::Stage;
use towpath_model::journal::Entry;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::Journal;
use towpath_switch::{AlarmState, Gate, Invocation, SwitchClients, SwitchPlan};
use url::Url;

use crate::consumers;
use crate::context::Context;
use crate::http;
use crate::pipeline::cutover::probes::sessions::Since;
use crate::pipeline::cutover::probes::wanted::{Call, Sessions, Wanted};
use crate::secrets::KnownSecrets;

/// Probes that are asked side by side.
const AT_ONCE: usize = 8;

/// Between two attempts, doubled each time up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How soon somebody who waits hears that he should stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The probes of the configuration, asked after each group of a switch.
pub struct Probes<'a> {
    context: &'a Context,
    clients: &'a SwitchClients,
    journal: &'a Journal,
    wanted: Wanted,
    secrets: KnownSecrets,
    http: http::Client,
    /// Functions that read something which is switched.
    functions: Vec<String>,
    /// Those that no group has brought yet.
    ahead: Mutex<BTreeSet<String>>,
    /// Whether everything has passed since the last function was switched.
    passed: AtomicBool,
    since: Since,
}

/// One question.
enum Probe {
    Sql,
    Invoke(Call),
    Http(Url),
    Alarms,
    SourceSessions,
}

impl Probe {
    /// Its name in the list of probes.
    fn item(&self) -> String {
        match self {
            Probe::Sql => "sql".to_owned(),
            Probe::Invoke(call) => format!("invoke {}", call.told()),
            Probe::Http(url) => format!("http {}", http::shown(url)),
            Probe::Alarms => "alarms".to_owned(),
            Probe::SourceSessions => "source-sessions".to_owned(),
        }
    }
}

/// How a probe ended.
struct Asked {
    item: String,
    result: Result<String>,
}

impl<'a> Probes<'a> {
    /// Reads what the configuration wants; asks nothing.
    pub fn new(
        context: &'a Context,
        clients: &'a SwitchClients,
        journal: &'a Journal,
        bindings: &SwitchPlan,
    ) -> Result<Self> {
        let functions: BTreeSet<String> = bindings
            .bindings
            .iter()
            .flat_map(|binding| binding.readers())
            .cloned()
            .collect();
        Ok(Self {
            context,
            clients,
            journal,
            wanted: Wanted::of(context, &consumers::url(context)?)?,
            secrets: KnownSecrets::of(context),
            http: http::Client::new(),
            ahead: Mutex::new(functions.clone()),
            functions: functions.into_iter().collect(),
            passed: AtomicBool::new(false),
            since: Since::default(),
        })
    }

    /// Asks what must hold before anything is fenced: the login of consumers, pages, alarms. No
    /// function is invoked, because every one of them reaches the source.
    pub async fn before(&self) -> Result<()> {
        let mut probes = self.endpoints();
        probes.retain(|probe| !matches!(probe, Probe::SourceSessions));
        self.ask_these(probes, true).await.map_err(|failure| {
            failure.while_doing("a probe fails already, before anything is fenced or switched")
        })
    }

    /// Asks every probe; fails at the first that does. Only the first round of a watch is written
    /// down, and what fails.
    pub async fn ask(&self, is_written: bool) -> Result<()> {
        let calls = self.wanted.all_calls(&self.functions);
        let mut probes: Vec<Probe> = calls.into_iter().map(Probe::Invoke).collect();
        probes.extend(self.endpoints());
        self.ask_these(probes, is_written).await?;
        self.passed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Asks every probe, unless the last group has passed them all a moment ago.
    pub async fn ask_if_due(&self) -> Result<()> {
        if self.passed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.ask(true).await
    }

    /// Whether somebody asked to stop.
    pub fn are_stopped(&self) -> bool {
        self.context.stop.is_raised()
    }

    /// Time between two rounds.
    pub fn interval(&self) -> Duration {
        self.wanted.interval
    }

    /// Waits; `false` when somebody asked to stop meanwhile.
    pub async fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while !self.context.stop.is_raised() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
        false
    }

    /// Says something beside the progress.
    pub fn note(&self, text: impl Into<String>) {
        self.context.events.note(Stage::Switch, text);
    }

    /// Writes down how something of the list of probes went.
    pub async fn record(&self, item: &str, outcome: CheckOutcome, seen: &str) -> Result<()> {
        let checked = Checked {
            list: Checklist::Probe,
            item: item.to_owned(),
            outcome,
            seen: self.secrets.taken_out_of(seen),
        };
        self.journal.append(Entry::Checked(checked)).await
    }

    fn endpoints(&self) -> Vec<Probe> {
        let mut probes = Vec::new();
        if self.wanted.sql {
            probes.push(Probe::Sql);
        }
        probes.extend(self.wanted.http.iter().cloned().map(Probe::Http));
        if !self.wanted.alarms.is_empty() {
            probes.push(Probe::Alarms);
        }
        if self.wanted.sessions != Sessions::Off {
            probes.push(Probe::SourceSessions);
        }
        probes
    }

    /// The probes of a group: its functions, and what shows trouble soonest.
    fn of_group(&self, functions: &[String]) -> Vec<Probe> {
        let calls = self.wanted.calls_of(functions);
        let mut probes: Vec<Probe> = calls.into_iter().map(Probe::Invoke).collect();
        if self.wanted.sql {
            probes.push(Probe::Sql);
        }
        if !self.wanted.alarms.is_empty() {
            probes.push(Probe::Alarms);
        }
        probes
    }

    async fn ask_these(&self, probes: Vec<Probe>, is_written: bool) -> Result<()> {
        let asked = stream::iter(probes.into_iter().map(|probe| self.attempt(probe)));
        let mut asked = asked.buffer_unordered(AT_ONCE);
        let mut failures = Vec::new();
        while let Some(Asked { item, result }) = asked.next().await {
            match result {
                Ok(seen) => {
                    if let Some((_, what)) = seen.split_once("warning: ") {
                        self.note(format!("warning: {what}"));
                    }
                    if is_written {
                        let outcome = match seen.starts_with("skipped: ") {
                            true => CheckOutcome::Skipped,
                            false => CheckOutcome::Passed,
                        };
                        self.record(&item, outcome, &seen).await?;
                    }
                }
                Err(failure) => {
                    // The sentence alone: what follows in the chain may quote an answer.
                    self.record(&item, CheckOutcome::Failed, &failure.to_string())
                        .await?;
                    failures.push((item, failure));
                }
            }
        }
        failures.sort_by(|(left, _), (right, _)| left.cmp(right));
        let others = failures.len().saturating_sub(1);
        let Some((item, failure)) = failures.into_iter().next() else {
            return Ok(());
        };
        let more = match others {
            0 => String::new(),
            others => format!(", and {others} more"),
        };
        Err(
            Failure::new(ErrorKind::Blocked, format!("probe `{item}` failed{more}"))
                .because(failure),
        )
    }

    /// Asks until it passes, as often as the configuration says.
    async fn attempt(&self, probe: Probe) -> Asked {
        let item = probe.item();
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            // Twice the time, because some probes ask twice; each part is bounded by itself.
            let limit = self.wanted.timeout * 2;
            let result = tokio::time::timeout(limit, Box::pin(self.once(&probe)))
                .await
                .unwrap_or_else(|_| {
                    Err(Failure::new(
                        ErrorKind::Connect,
                        format!("no answer within {} s", limit.as_secs()),
                    ))
                });
            let is_last = attempt >= self.wanted.attempts;
            if result.is_ok() || is_last || !self.wait(pause).await {
                return Asked { item, result };
            }
            if let Err(failure) = &result {
                self.note(format!("probe `{item}`, attempt {attempt}: {failure}"));
            }
            attempt += 1;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, probe: &Probe) -> Result<String> {
        match probe {
            Probe::Sql => Box::pin(sql::ask(self.context, &self.wanted)).await,
            Probe::Invoke(call) => self.invoke(call).await,
            Probe::Http(url) => self.get(url).await,
            Probe::Alarms => self.alarms().await,
            Probe::SourceSessions => {
                Box::pin(sessions::ask(self.context, &self.wanted, &self.since)).await
            }
        }
    }

    async fn invoke(&self, call: &Call) -> Result<String> {
        let function = call.function.clone().unwrap_or_default();
        let invocation = Invocation {
            function: function.clone(),
            qualifier: call.qualifier.clone(),
            payload: call.payload.clone(),
            timeout: self.wanted.timeout,
        };
        let began = Instant::now();
        let answer = Box::pin(towpath_switch::invoke(self.clients, &invocation)).await?;
        let seen = answer::judge(&answer, &function, &self.wanted, &self.secrets)?;
        Ok(format!("{seen} in {} ms", began.elapsed().as_millis()))
    }

    async fn get(&self, url: &Url) -> Result<String> {
        let name = http::shown(url);
        let call = http::Call {
            url,
            name: &name,
            body: None,
            headers: Vec::new(),
            timeout: self.wanted.timeout,
        };
        let status = self.http.send(call).await?.status;
        if self
            .wanted
            .statuses
            .iter()
            .any(|good| good.contains(&status))
        {
            return Ok(format!("status {status}"));
        }
        let failure = Failure::new(
            ErrorKind::Blocked,
            format!(
                "{name} answers with status {status}, not {}",
                self.context.settings.text("probe.http_status")
            ),
        );
        Err(match status {
            300..400 => failure.hint("redirects are not followed; name the URL that it leads to"),
            _ => failure,
        })
    }

    async fn alarms(&self) -> Result<String> {
        let asked =
            towpath_switch::alarm_states(self.clients, &self.wanted.alarms, self.wanted.timeout);
        let states = Box::pin(asked).await?;
        let is_bad = |state| match state {
            AlarmState::Ok => false,
            AlarmState::Alarm | AlarmState::Missing => true,
            AlarmState::InsufficientData => self.wanted.silent_alarm_fails,
        };
        let bad: Vec<String> = states
            .iter()
            .filter(|(_, state)| is_bad(*state))
            .map(|(name, state)| match state {
                AlarmState::Missing => format!("there is no CloudWatch alarm {name}"),
                AlarmState::InsufficientData => format!("CloudWatch alarm {name} has no data"),
                _ => format!("CloudWatch alarm {name} is in ALARM"),
            })
            .collect();
        if bad.is_empty() {
            return Ok(format!("{} not in ALARM", states.len()));
        }
        Err(Failure::new(ErrorKind::Blocked, bad.join("; ")))
    }
}

impl Gate for Probes<'_> {
    fn switched<'a>(
        &'a self,
        group: &'a str,
        functions: &'a [String],
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        self.passed.store(false, Ordering::Relaxed);
        let is_last = {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            for function in functions {
                ahead.remove(function);
            }
            ahead.is_empty()
        };
        Box::pin(async move {
            self.note(format!("probing what group {group} has switched"));
            match is_last {
                true => self.ask(true).await,
                false => self.ask_these(self.of_group(functions), true).await,
            }
        })
    }
}
