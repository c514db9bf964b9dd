//! What every command works with.

use std::path::PathBuf;
use std::time::Duration;

use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Events;
use towpath_model::stop::Stop;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::SessionOptions;
use towpath_store::{
    HeldLease, Journal, LeaseOptions, Process, RunStore, StoreLocation, StoreOptions,
};

use crate::arguments::Arguments;
use crate::local::LocalState;
use crate::settings::Settings;
use crate::{clock, progress};

/// How long a lease binds others after its last renewal.
const LEASE_TTL: Duration = Duration::from_secs(60);

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
}

impl Context {
    /// Gathers the context of this process.
    pub fn new(arguments: &Arguments) -> Result<Self> {
        let settings = Settings::load(arguments)?;
        let mode = settings
            .word("progress", &["auto", "plain", "json", "none"])?
            .to_owned();
        let local = LocalState::beside(settings.directory());
        Ok(Self {
            json: arguments.json,
            events: progress::events(&mode),
            stop: Stop::default(),
            local,
            settings,
        })
    }

    /// Where the store is.
    pub fn store_location(&self) -> Result<StoreLocation> {
        StoreLocation::parse(self.settings.text("store"))
    }

    /// Opens the folder of a run.
    pub async fn open_store(&self, run: &RunId) -> Result<RunStore> {
        let endpoint_url = self.settings.optional("aws.endpoint_url");
        // Servers that are not AWS address buckets in the path; virtual hosts need DNS.
        let custom = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let path_style =
            endpoint_url.is_some() || custom("AWS_ENDPOINT_URL") || custom("AWS_ENDPOINT_URL_S3");
        let options = StoreOptions {
            profile: self.settings.optional("aws.profile"),
            region: self.settings.optional("aws.region"),
            endpoint_url,
            path_style,
            sse_kms_key_id: self.settings.optional("aws.sse_kms_key_id"),
        };
        Ok(Box::pin(RunStore::open(&self.store_location()?, run, &options)).await)
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
        options
    }

    /// The file of root certificates of a side.
    pub fn root_certificates(&self, side: Side) -> Option<PathBuf> {
        self.settings.path(&format!("{side}.root_cert"))
    }

    /// URL of a side.
    pub fn url(&self, side: Side) -> Result<ConnectionUrl> {
        self.settings.url(side)
    }

    /// Work done at once.
    pub fn jobs(&self) -> Result<usize> {
        let jobs = self.settings.number("copy.jobs")?;
        Ok(usize::try_from(jobs.min(64)).unwrap_or(64))
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
