//! What every command works with.

use std::path::PathBuf;
use std::time::Duration;

use towpath_export::{Guard, SourceLimits};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Events;
use towpath_model::inventory::ServerFacts;
use towpath_model::manifest::Codec;
use towpath_model::plan::{Plan, PlannedJobs};
use towpath_model::rehearsal::LeftAlone;
use towpath_model::stop::Stop;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_plan::{Machine, choose_jobs};
use towpath_postgres::SessionOptions;
use towpath_store::{
    CodecSetting, HeldLease, Journal, LeaseOptions, Process, RunStore, StoreLocation, StoreOptions,
};

use crate::arguments::Arguments;
use crate::local::LocalState;
use crate::settings::Settings;
use crate::{clock, progress};

/// Jobs at most, whoever asks for more.
const MOST_JOBS: u64 = 64;

/// How long a lease binds others after its last renewal.
const LEASE_TTL: Duration = Duration::from_secs(60);

/// Who has little patience still gives a connection over TLS the time it needs.
const SHORTEST_CONNECT: Duration = Duration::from_secs(5);

/// Settings, progress and the way to stop.
#[derive(Clone)]
pub struct Context {
    /// Effective settings.
    pub settings: Settings,
    /// Machine-readable output.
    pub json: bool,
    /// Where progress goes.
    pub events: Events,
    /// Raised by signals.
    pub stop: Stop,
    /// State of this machine.
    pub local: LocalState,
    /// Set while a rehearsal or a clone is at work: everything that goes to the target goes elsewhere.
    pub aside: Option<Aside>,
}

/// A database that is worked on in the target's place: the scratch database of a rehearsal, or the
/// one that a clone is built in.
#[derive(Debug, Clone)]
pub struct Aside {
    /// Where it is.
    pub url: ConnectionUrl,
    /// What is of the server and was there before.
    pub left_alone: LeftAlone,
}

impl Context {
    /// Gathers the context of this process.
    pub fn new(arguments: &Arguments) -> Result<Self> {
        let settings = Settings::load(arguments)?;
        let mode = settings
            .word("progress", &["auto", "plain", "json", "none"])?
            .to_owned();
        let local = LocalState::beside(settings.directory());
        settings.number("copy.silence_s")?;
        Ok(Self {
            json: arguments.json,
            events: progress::events(&mode),
            stop: Stop::default(),
            local,
            settings,
            aside: None,
        })
    }

    /// Where the store is.
    pub fn store_location(&self) -> Result<StoreLocation> {
        StoreLocation::parse(self.settings.text("store"))
    }

    /// Opens the folder of a run.
    pub async fn open_store(&self, run: &RunId) -> Result<RunStore> {
        let options = self.store_options();
        Ok(Box::pin(RunStore::open(&self.store_location()?, run, &options)).await)
    }

    /// Every run of the store.
    pub async fn stored_runs(&self) -> Result<Vec<RunId>> {
        let options = self.store_options();
        Box::pin(towpath_store::stored_runs(
            &self.store_location()?,
            &options,
        ))
        .await
    }

    fn store_options(&self) -> StoreOptions {
        let endpoint_url = self.settings.optional("aws.endpoint_url");
        // Servers that are not AWS address buckets in the path; virtual hosts need DNS.
        let custom = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let path_style =
            endpoint_url.is_some() || custom("AWS_ENDPOINT_URL") || custom("AWS_ENDPOINT_URL_S3");
        StoreOptions {
            profile: self.settings.optional("aws.profile"),
            region: self.settings.optional("aws.region"),
            endpoint_url,
            path_style,
            sse_kms_key_id: self.settings.optional("aws.sse_kms_key_id"),
            silence: Some(self.silence()),
        }
    }

    /// The run that a command means: the one named, or the current one.
    pub fn run(&self, named: Option<&str>) -> Result<RunId> {
        match named {
            Some(text) => text.parse(),
            None => self.local.current_run()?.ok_or_else(|| {
                Failure::new(ErrorKind::Usage, "there is no current run here")
                    .hint("name a run, or begin one with `towpath run`")
            }),
        }
    }

    /// How to connect to a side.
    pub fn session_options(&self, side: Side, application_name: &str) -> SessionOptions {
        let mut options = SessionOptions::named(application_name);
        options.root_certificates = self.root_certificates(side);
        options.silence = self.silence();
        let shorter = options.silence.max(SHORTEST_CONNECT);
        options.connect_timeout = options.connect_timeout.min(shorter);
        options.events = Some(self.events.clone());
        options
    }

    /// How long a server or the store may be silent. Checked when the context was gathered.
    fn silence(&self) -> Duration {
        Duration::from_secs(self.settings.number("copy.silence_s").unwrap_or(60))
    }

    /// The file of root certificates of a side.
    pub fn root_certificates(&self, side: Side) -> Option<PathBuf> {
        self.settings.path(&format!("{side}.root_cert"))
    }

    /// URL of a side. That of the target leads elsewhere while a rehearsal or a clone is at work:
    /// whatever asks for the target cannot reach the real one by mistake.
    pub fn url(&self, side: Side) -> Result<ConnectionUrl> {
        match (side, &self.aside) {
            (Side::Target, Some(aside)) => Ok(aside.url.clone()),
            _ => self.settings.url(side),
        }
    }

    /// This context with another database in the target's place.
    pub fn aside(&self, aside: Aside) -> Self {
        Self {
            aside: Some(aside),
            ..self.clone()
        }
    }

    /// What is not to be changed nor compared; nothing unless a rehearsal or a clone is at work.
    pub fn left_alone(&self) -> LeftAlone {
        let aside = self.aside.as_ref();
        aside.map_or_else(LeftAlone::default, |it| it.left_alone.clone())
    }

    /// Work done at once on a plan: decided by each process, because the next one may run elsewhere
    /// or be told another number.
    pub fn jobs(&self, plan: &Plan) -> Result<usize> {
        let chosen = self.choose_jobs(&plan.source.facts, &plan.target.facts)?;
        Ok(usize::try_from(chosen.jobs).unwrap_or(1))
    }

    /// The number of jobs between these servers, with what decided it.
    pub fn choose_jobs(&self, source: &ServerFacts, target: &ServerFacts) -> Result<PlannedJobs> {
        if let Some(jobs) = self.settings.number_or_auto("copy.jobs")? {
            return Ok(PlannedJobs {
                jobs: u32::try_from(jobs.min(MOST_JOBS)).unwrap_or(1),
                reason: format!("copy.jobs, from the {}", self.settings.origin("copy.jobs")),
            });
        }
        Ok(choose_jobs(self.machine(), source, target))
    }

    /// The machine that this process runs on, and who shares it.
    pub fn machine(&self) -> Machine {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        // Stored chunks are verified without any URL.
        let is_here = |side| self.url(side).is_ok_and(|url| url.is_loopback());
        Machine {
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            shares_with_source: is_here(Side::Source),
            shares_with_target: is_here(Side::Target),
        }
    }

    /// How chunks are compressed.
    pub fn codec(&self) -> Result<CodecSetting> {
        let words = ["auto", "none", "fast", "zstd"];
        Ok(match self.settings.word("copy.codec", &words)? {
            "none" => CodecSetting::Always(Codec::None),
            "fast" => CodecSetting::Always(Codec::ZstdFast),
            "zstd" => CodecSetting::Always(Codec::Zstd),
            _ => CodecSetting::Auto,
        })
    }

    /// How the source is guarded, where the configuration names a limit.
    pub fn guard(&self) -> Result<Option<Guard>> {
        let text = self.settings.text("source.max_load");
        let query = self.settings.optional("source.load_query");
        let limits = SourceLimits::parse(text, query).map_err(|failure| {
            let origin = self.settings.origin("source.max_load");
            failure.at(format!("from the {origin}"))
        })?;
        let max_pause = Duration::from_secs(self.settings.number("source.max_pause_s")?);
        Ok(limits.map(|limits| Guard { limits, max_pause }))
    }

    /// This process, for lease and journal.
    pub fn process(&self) -> Process {
        let host = std::fs::read_to_string("/etc/hostname")
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .or_else(|| std::env::var("HOSTNAME").ok())
            .unwrap_or_else(|| "localhost".to_owned());
        Process {
            host,
            pid: std::process::id(),
        }
    }

    /// Takes the lease of a run and opens its journal, does the work, and gives the lease back.
    /// Losing the lease ends the work.
    pub async fn with_lease<T>(
        &self,
        store: &RunStore,
        command: &str,
        work: impl AsyncFnOnce(Journal) -> Result<T>,
    ) -> Result<T> {
        let process = self.process();
        let who = format!("{}/{}", process.host, process.pid);
        let options = LeaseOptions {
            process,
            token: hex::encode(clock::random::<8>()?),
            command: command.to_owned(),
            ttl: LEASE_TTL,
        };
        let lease = HeldLease::acquire(store, options).await?;
        let done = async {
            let journal = Journal::open(store, &who, clock::now).await?;
            tokio::select! {
                done = work(journal) => done,
                lost = lease.lost() => {
                    self.stop.raise();
                    Err(lost)
                }
            }
        }
        .await;
        if let Err(failure) = lease.release().await {
            tracing::warn!(
                ?failure,
                "could not give the lease back; it lapses by itself"
            );
        }
        done
    }

    /// Listens for Ctrl-C and SIGTERM: the first asks for a safe stop, the second ends the process.
    pub fn listen_for_signals(&self) {
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let mut terminate =
                match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                    Ok(terminate) => terminate,
                    Err(cause) => {
                        tracing::warn!(%cause, "could not listen for SIGTERM");
                        return;
                    }
                };
            for asked in 1.. {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                if asked == 1 {
                    eprintln!("stopping at the next safe point; once more to stop at once");
                    stop.raise();
                } else {
                    eprintln!("stopped; the same command resumes");
                    std::process::exit(i32::from(towpath_model::Exit::Interrupted.code()));
                }
            }
        });
    }
}
