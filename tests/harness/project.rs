//! A directory in which towpath is used for one pair of databases.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::installation::Installation;
use crate::pg::Pair;
use crate::process::{Finished, Towpath};

/// A project directory with the environment that its user has set.
pub struct Project {
    binary: &'static str,
    directory: TempDir,
    environment: Vec<(String, String)>,
}

/// The project of a pair, for the binary under test: `project!(&pair)`.
#[macro_export]
macro_rules! project {
    ($pair:expr) => {
        $crate::Project::new(env!("CARGO_BIN_EXE_towpath-under-test"), $pair)
    };
}

impl Project {
    /// An empty directory and the URLs of the pair.
    #[must_use]
    pub fn new(binary: &'static str, pair: &Pair) -> Self {
        let project = Self {
            binary,
            directory: tempfile::tempdir().expect("make a project directory"),
            environment: Vec::new(),
        };
        let project = project
            .with("TOWPATH_SOURCE_URL", &pair.source.url())
            .with("TOWPATH_TARGET_URL", &pair.target.url())
            .with("TOWPATH_PROGRESS", "plain")
            .with("TOWPATH_JOBS", "2");
        let newest = pair.newest();
        if newest == Installation::usual() {
            return project;
        }
        // Not on PATH, and nowhere that towpath looks.
        project.with(
            "TOWPATH_PG_DUMP",
            &newest.program("pg_dump").to_string_lossy(),
        )
    }

    /// The same with a variable set, over an earlier value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with several variables.
    #[must_use]
    pub fn with_all(self, variables: &[(String, String)]) -> Self {
        variables
            .iter()
            .fold(self, |project, (name, value)| project.with(name, value))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A call of towpath in this project.
    #[must_use]
    pub fn towpath(&self, arguments: &[&str]) -> Towpath {
        Towpath::new(self.binary, self.path())
            .envs(
                self.environment
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )
            .args(arguments)
    }

    /// The same as a plain command, for who wants to watch it while it runs.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.binary);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path())
            .args(arguments);
        command
    }

    /// Runs towpath and expects this exit code.
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Finished {
        self.towpath(arguments).run().expect_code(code)
    }

    /// The current run's id.
    #[must_use]
    pub fn run_id(&self) -> String {
        let path = self.path().join(".towpath/current-run");
        let text = std::fs::read_to_string(&path).expect("there is a current run");
        text.trim().to_owned()
    }

    /// The folder of the current run in the default store.
    #[must_use]
    pub fn run_folder(&self) -> PathBuf {
        self.path().join(".towpath").join(self.run_id())
    }

    /// A JSON document of the current run.
    #[must_use]
    pub fn document(&self, key: &str) -> Value {
        let path = self.run_folder().join(key);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&bytes).expect("a document is JSON")
    }

    /// Every file below the default store with its bytes, sorted; nothing when there is no store.
    #[must_use]
    pub fn store_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().join(".towpath")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.expect("read a directory").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).expect("read a file");
                    files.push((path, bytes));
                }
            }
        }
        files.sort();
        files
    }
}
