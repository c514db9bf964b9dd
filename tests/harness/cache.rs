//! What is slow to make and the same for every test, made once: target/lab-cache.
//!
//! An entry is named by the hash of everything it is made of. It is built aside, under a file lock,
//! and renamed into place when it is whole: a reader sees all of it or nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::server::User;

/// An entry of older inputs may still be in use by a run that started before the change.
const STALE_AFTER: Duration = Duration::from_hours(6);

/// Names an entry by its inputs.
pub(crate) struct Key(blake3::Hasher);

impl Key {
    pub(crate) fn new() -> Self {
        let mut key = Self(blake3::Hasher::new());
        // How entries are built is an input like any other, and nobody remembers to raise a number.
        key.text(include_str!("cache.rs"))
            .text(include_str!("installation.rs"))
            .text(include_str!("overlay.rs"))
            .text(include_str!("pg.rs"));
        key.text(&format!("{:?}", User::unprivileged()));
        key
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.0
            .update(&text.len().to_le_bytes())
            .update(text.as_bytes());
        self
    }

    /// All files of a directory tree, or one file.
    pub(crate) fn files(&mut self, path: &Path) -> &mut Self {
        if !path.is_dir() {
            let content = fs::read(path)
                .unwrap_or_else(|e| panic!("read the fixture {}: {e}", path.display()));
            self.text(&path.to_string_lossy())
                .text(&blake3::hash(&content).to_hex());
            return self;
        }
        for entry in entries(path) {
            self.files(&entry);
        }
        self
    }

    fn name(&self, what: &str) -> String {
        format!("{what}-{}", &self.0.finalize().to_hex()[..16])
    }
}

/// The entries of a directory in a stable order.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("read the directory {}: {e}", directory.display()))
        .map(|entry| entry.expect("read a directory entry").path())
        .collect();
    entries.sort();
    entries
}

/// The directory `what` made of `key`'s inputs. `build` fills it if it is not there yet.
pub(crate) fn entry(what: &str, key: &Key, build: impl FnOnce(&Path)) -> PathBuf {
    let root = root();
    let entry = root.join(key.name(what));
    if entry.is_dir() {
        return entry;
    }
    let lock = File::create(root.join(format!("{what}.lock"))).expect("make a lock file");
    lock.lock().expect("lock the cache");
    if entry.is_dir() {
        return entry;
    }
    let aside = root.join(format!("{what}.part"));
    remove(&aside);
    fs::create_dir(&aside).expect("make a directory in the cache");
    User::give(User::unprivileged(), &aside);
    build(&aside);
    fs::rename(&aside, &entry).expect("put a finished entry into the cache");
    remove_stale(what, &entry);
    entry
}

fn remove(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            panic!("remove {}: {e}", directory.display())
        }
        _ => {}
    }
}

fn remove_stale(what: &str, newest: &Path) {
    let hash_length = newest
        .to_string_lossy()
        .rsplit('-')
        .next()
        .map_or(0, str::len);
    for other in entries(root()) {
        let name = other
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let same_kind = name
            .strip_prefix(what)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|hash| hash.len() == hash_length && !hash.contains('-'));
        let stale = fs::metadata(&other)
            .and_then(|data| data.modified())
            .is_ok_and(|then| {
                SystemTime::now()
                    .duration_since(then)
                    .is_ok_and(|d| d > STALE_AFTER)
            });
        if same_kind && stale && other != newest {
            remove(&other);
        }
    }
}

/// Below target/, unless the servers' user cannot reach that (a checkout in a private home, as root).
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let user = User::unprivileged();
        let reachable = |path: &PathBuf| {
            fs::create_dir_all(path).is_ok()
                // It may be somebody else's, from an earlier run as another user.
                && File::create(path.join(".writable")).is_ok()
                && User::command(user, "test")
                    .arg("-x")
                    .arg(path)
                    .status()
                    .is_ok_and(|status| status.success())
        };
        let elsewhere = format!("towpath-lab-cache-{}", rustix::process::geteuid().as_raw());
        let places = [
            crate::target_directory().join("lab-cache"),
            std::env::temp_dir().join(&elsewhere),
            PathBuf::from("/var/tmp").join(&elsewhere),
        ];
        places
            .into_iter()
            .find(reachable)
            .expect("no directory for cached databases that the servers' user can reach")
    })
}
