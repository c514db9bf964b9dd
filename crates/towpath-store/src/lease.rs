//! The lease: one process at a time acts on a run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use towpath_model::document;
use towpath_model::lease::Lease;
use towpath_model::{ErrorKind, Failure, Result};

use crate::run_store::RunStore;

const KEY: &str = "lease.json";

/// This process, as the lease names it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
}

impl Process {
    fn holder(&self) -> String {
        let started = start_time(self.pid).unwrap_or_default();
        format!("{}/{}/{}/{started}", self.host, namespace(), self.pid)
    }

    /// Whether a holder of this host is a process that no longer runs: then nobody needs to wait
    /// for its lease to lapse. Hosts and containers may share a name, so only a holder of this
    /// very boot and process namespace is looked up in `/proc`.
    fn has_died(&self, holder: &str) -> bool {
        let own = format!("{}/{}/", self.host, namespace());
        let Some((pid, started)) = holder
            .strip_prefix(&own)
            .and_then(|rest| rest.split_once('/'))
        else {
            return false;
        };
        if started.is_empty() {
            return false;
        }
        match pid.parse().ok().and_then(start_time) {
            Some(now) => now != started,
            None => true,
        }
    }
}

/// This boot of this machine and this namespace of process ids; a word that no lease of another
/// holds where there is no `/proc`.
fn namespace() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let pids = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let pids: String = pids
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    format!("{}-{pids}", boot.trim())
}

/// When a process started, in the kernel's ticks: with the pid it names a process for good. Only
/// where there is a `/proc`; elsewhere a dead holder's lease has to lapse.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and brackets; fields count from the last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    // A zombie has ended; only its parent has not noticed.
    if state == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// How to hold a lease.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Who asks.
    pub process: Process,
    /// A random word for this holding.
    pub token: String,
    /// What for.
    pub command: String,
    /// How long it binds others after the last renewal.
    pub ttl: Duration,
}

/// A lease that is held, and renewed in the background until it is released.
pub struct HeldLease {
    store: RunStore,
    options: LeaseOptions,
    renewal: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl HeldLease {
    /// Takes the run's lease; [`ErrorKind::LeaseHeld`] when a live process has it.
    pub async fn acquire(store: &RunStore, options: LeaseOptions) -> Result<Self> {
        let (bytes, version) = store.get_versioned(KEY).await?;
        if let Some(bytes) = bytes {
            let current: Lease = document::parse(&bytes, &store.describe(KEY))?;
            if current.is_held(now_s()) && !options.process.has_died(&current.holder) {
                return Err(held(store, &current));
            }
        }
        let bytes = document::render(&lease(&options, options.ttl))?;
        if !store.replace(KEY, bytes, &version).await? && !is_ours(store, &options).await? {
            return Err(Failure::new(
                ErrorKind::LeaseHeld,
                format!("another process just took the lease of run {}", store.run()),
            )
            .hint("wait for it, or look with `towpath status`"));
        }
        let (tell, lost) = watch::channel(false);
        let renewal = tokio::spawn(renew(store.clone(), options.clone(), tell));
        Ok(Self {
            store: store.clone(),
            options,
            renewal,
            lost,
        })
    }

    /// Waits until the lease is lost; forever while it is held.
    pub fn lost(&self) -> impl Future<Output = Failure> + Send + use<> {
        let mut lost = self.lost.clone();
        let run = self.store.run().clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
            Failure::new(ErrorKind::LeaseHeld, format!("the lease of run {run} was lost"))
                .hint("the store could not be reached for too long and another process may act now; look with `towpath status`")
        }
    }

    /// Gives the lease back.
    pub async fn release(self) -> Result<()> {
        self.renewal.abort();
        // It lapses by itself: nobody has to wait for a store that does not answer.
        let giving = tokio::time::timeout(self.options.ttl / 6, self.give_back());
        giving.await.unwrap_or_else(|_| {
            let place = self.store.describe(KEY);
            let doing = format!("could not give back {place}");
            Err(Failure::new(ErrorKind::Connect, doing).because("no answer from the store"))
        })
    }

    async fn give_back(&self) -> Result<()> {
        let (bytes, version) = self.store.get_versioned(KEY).await?;
        let Some(bytes) = bytes else { return Ok(()) };
        let current: Lease = document::parse(&bytes, &self.store.describe(KEY))?;
        if current.token == self.options.token {
            let released = document::render(&lease(&self.options, Duration::ZERO))?;
            self.store.replace(KEY, released, &version).await?;
        }
        Ok(())
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews at a quarter of the time to live; gives up when the lease is not ours any more, or well
/// before it lapses.
async fn renew(store: RunStore, options: LeaseOptions, tell: watch::Sender<bool>) {
    let mut renewed_at = std::time::Instant::now();
    loop {
        tokio::time::sleep(options.ttl / 4).await;
        let renewal = tokio::time::timeout(options.ttl / 3, renew_once(&store, &options)).await;
        match renewal {
            Ok(Ok(true)) => renewed_at = std::time::Instant::now(),
            Ok(Ok(false)) => break,
            Ok(Err(cause)) => tracing::warn!(?cause, "could not renew the lease"),
            Err(_) => tracing::warn!("could not renew the lease: no answer from the store"),
        }
        // Given up before others may take it, not when they may have.
        if renewed_at.elapsed() >= options.ttl * 2 / 3 {
            break;
        }
    }
    // Nobody listening means the holder is gone already.
    let _ = tell.send(true);
}

async fn renew_once(store: &RunStore, options: &LeaseOptions) -> Result<bool> {
    let (bytes, version) = store.get_versioned(KEY).await?;
    let Some(bytes) = bytes else { return Ok(false) };
    let current: Lease = document::parse(&bytes, &store.describe(KEY))?;
    if current.token != options.token {
        return Ok(false);
    }
    let bytes = document::render(&lease(options, options.ttl))?;
    Ok(store.replace(KEY, bytes, &version).await? || is_ours(store, options).await?)
}

/// Whether the lease in the store is ours after all: a conditional put whose answer was lost is
/// refused when the client repeats it.
async fn is_ours(store: &RunStore, options: &LeaseOptions) -> Result<bool> {
    let current: Option<Lease> = store.get_document(KEY).await?;
    Ok(current.is_some_and(|lease| lease.token == options.token))
}

fn lease(options: &LeaseOptions, ttl: Duration) -> Lease {
    Lease {
        holder: options.process.holder(),
        token: options.token.clone(),
        command: options.command.clone(),
        renewed_at_s: now_s(),
        ttl_s: ttl.as_secs(),
    }
}

fn held(store: &RunStore, current: &Lease) -> Failure {
    let remaining = current
        .renewed_at_s
        .saturating_add(current.ttl_s)
        .saturating_sub(now_s());
    Failure::new(
        ErrorKind::LeaseHeld,
        format!(
            "run {} is leased by {} ({})",
            store.run(),
            who(&current.holder),
            current.command
        ),
    )
    .at(store.describe(KEY))
    .hint(format!(
        "wait for that process or end it; if it is dead, its lease lapses in {remaining} s"
    ))
}

/// Host and process id of a holder.
fn who(holder: &str) -> String {
    let parts: Vec<&str> = holder.split('/').collect();
    match parts.as_slice() {
        [host, _, pid, _] => format!("{host} process {pid}"),
        _ => holder.to_owned(),
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreLocation, StoreOptions};
    use towpath_model::RunId;

    fn options(token: &str, pid: u32) -> LeaseOptions {
        LeaseOptions {
            process: Process {
                host: "here".to_owned(),
                pid,
            },
            token: token.to_owned(),
            command: "run".to_owned(),
            ttl: Duration::from_secs(60),
        }
    }

    async fn store(directory: &std::path::Path) -> RunStore {
        let location = StoreLocation::File {
            directory: directory.to_owned(),
        };
        let run = RunId::compose("20260101", [1; 5]);
        RunStore::open(&location, &run, &StoreOptions::default()).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_live_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        let me = std::process::id();
        let first = HeldLease::acquire(&store, options("a", me)).await.unwrap();
        let Err(refused) = HeldLease::acquire(&store, options("b", me)).await else {
            panic!("a held lease was taken");
        };
        assert_eq!(refused.kind(), ErrorKind::LeaseHeld);
        first.release().await.unwrap();
        HeldLease::acquire(&store, options("b", me)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_lease_of_a_dead_process_of_this_host_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path()).await;
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let holder = HeldLease::acquire(&store, options("a", child.id()))
            .await
            .unwrap();
        let refused = HeldLease::acquire(&store, options("b", std::process::id())).await;
        assert_eq!(
            refused.err().map(|failure| failure.kind()),
            Some(ErrorKind::LeaseHeld)
        );
        child.kill().unwrap();
        child.wait().unwrap();
        HeldLease::acquire(&store, options("b", std::process::id()))
            .await
            .unwrap();
        drop(holder);
    }
}
