//! Which PostgreSQL is under test: the distribution's, and those that `scripts/setup` unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::cache::{self, Key};
use crate::pg::run;
use crate::server::User;

/// An installation of PostgreSQL: server, clients and extensions.
#[derive(Debug, PartialEq, Eq)]
pub struct Installation {
    major: u32,
    /// What the server says of its version.
    version: String,
    binaries: PathBuf,
    libraries: PathBuf,
    shared: PathBuf,
    knows_icu: bool,
}

impl Installation {
    /// What tests use that ask for nothing else: `TOWPATH_TEST_PG_BIN`, or the newest one of the
    /// distribution's.
    #[must_use]
    pub fn usual() -> &'static Self {
        static USUAL: OnceLock<Installation> = OnceLock::new();
        USUAL.get_or_init(|| Self::at(&usual_binaries()))
    }

    /// The one of a major version.
    #[must_use]
    pub fn of(major: u32) -> &'static Self {
        static OTHERS: Mutex<BTreeMap<u32, &'static Installation>> = Mutex::new(BTreeMap::new());
        if major == Self::usual().major {
            return Self::usual();
        }
        let mut others = OTHERS.lock().expect("no test panicked with the lock");
        others
            .entry(major)
            .or_insert_with(|| Box::leak(Box::new(Self::at(&unpacked_binaries(major)))))
    }

    fn at(binaries: &Path) -> Self {
        let version = run(Command::new(binaries.join("postgres")).arg("--version"));
        let major = version
            .split_whitespace()
            .find_map(|word| word.split('.').next()?.parse().ok())
            .expect("`postgres --version` names a version");
        let said = |option: &str| {
            PathBuf::from(run(Command::new(binaries.join("pg_config")).arg(option)).trim())
        };
        let configuration = run(Command::new(binaries.join("pg_config")).arg("--configure"));
        Self {
            major,
            version,
            binaries: said("--bindir"),
            libraries: said("--pkglibdir"),
            shared: said("--sharedir"),
            // Wanted by name up to 15, unless it is said otherwise since.
            knows_icu: if major < 16 {
                configuration.contains("--with-icu")
            } else {
                !configuration.contains("--without-icu")
            },
        }
    }

    /// Major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Whether it was built with collations of ICU.
    #[must_use]
    pub fn knows_icu(&self) -> bool {
        self.knows_icu
    }

    /// A program of it.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub(crate) fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Where loadable modules are.
    pub(crate) fn libraries(&self) -> &Path {
        &self.libraries
    }

    /// Where the client library is, if it came along: modules that are clients themselves, such as
    /// `postgres_fdw`, would find the system's, which may be older.
    pub(crate) fn client_library(&self) -> Option<&Path> {
        self.libraries
            .join("libpq.so.5")
            .exists()
            .then_some(&*self.libraries)
    }

    /// Where extensions and time zones are.
    pub(crate) fn shared(&self) -> &Path {
        &self.shared
    }

    /// Makes a cache entry one of this installation.
    pub(crate) fn mark(&self, key: &mut Key) {
        key.text(&self.binaries.to_string_lossy())
            .text(&self.version);
    }
}

fn usual_binaries() -> PathBuf {
    if let Some(path) = std::env::var_os("TOWPATH_TEST_PG_BIN") {
        let path = PathBuf::from(path);
        assert!(
            path.join("initdb").is_file(),
            "TOWPATH_TEST_PG_BIN is {}, which has no initdb",
            path.display()
        );
        return path;
    }
    distributed()
        .pop_last()
        .map(|(_, binaries)| binaries)
        .expect(
            "there is no PostgreSQL server below /usr/lib/postgresql, and tests need one: run \
             scripts/setup, or set TOWPATH_TEST_PG_BIN to a directory with initdb",
        )
}

/// Servers of the distribution by major version.
fn distributed() -> BTreeMap<u32, PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let major = path.file_name()?.to_str()?.parse().ok()?;
            let binaries = path.join("bin");
            binaries
                .join("initdb")
                .is_file()
                .then_some((major, binaries))
        })
        .collect()
}

/// Unpacked below target/, or of the distribution.
fn unpacked_binaries(major: u32) -> PathBuf {
    let unpacked = crate::target_directory().join(format!("pg/{major}"));
    if unpacked.join("bin/initdb").is_file() {
        return reachable(&unpacked, major).join("bin");
    }
    distributed().remove(&major).unwrap_or_else(|| {
        panic!(
            "PostgreSQL {major} is neither in {} nor below /usr/lib/postgresql, and tests need it: \
             run scripts/setup",
            unpacked.display()
        )
    })
}

/// A checkout in a private home cannot be entered by the servers' user when root runs the tests.
/// The cache is where it can.
fn reachable(unpacked: &Path, major: u32) -> PathBuf {
    let user = User::unprivileged();
    let runs = User::command(user, "test")
        .arg("-x")
        .arg(unpacked.join("bin/postgres"))
        .status()
        .is_ok_and(|status| status.success());
    if runs {
        return unpacked.to_owned();
    }
    let mut key = Key::new();
    key.text(&fs::read_to_string(unpacked.join("wanted.txt")).unwrap_or_default());
    cache::entry(&format!("pg{major}"), &key, |entry| {
        run(Command::new("cp")
            .arg("-a")
            .arg(unpacked.join("."))
            .arg(entry));
    })
}
