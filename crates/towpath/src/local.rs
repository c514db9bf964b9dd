//! What towpath remembers on this machine, in `.towpath` beside the configuration: the current run
//! and the key of the undo data. Neither is part of the run store.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use towpath_model::{ErrorKind, Failure, Result, RunId};

use crate::clock;

/// The local state of a project.
#[derive(Debug, Clone)]
pub struct LocalState {
    directory: PathBuf,
}

impl LocalState {
    /// The state beside this configuration directory; nothing is created yet.
    pub fn beside(directory: &Path) -> Self {
        Self {
            directory: directory.join(".towpath"),
        }
    }

    /// The run that commands mean when none is named.
    pub fn current_run(&self) -> Result<Option<RunId>> {
        let path = self.directory.join("current-run");
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(file("read", &path, cause)),
        }
    }

    /// Remembers the current run.
    pub fn set_current_run(&self, run: &RunId) -> Result<()> {
        self.remember("current-run", run)
    }

    /// The last rehearsal that was made from here.
    pub fn last_rehearsal(&self) -> Result<Option<RunId>> {
        let path = self.directory.join("last-rehearsal");
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(file("read", &path, cause)),
        }
    }

    /// Remembers a rehearsal.
    pub fn set_last_rehearsal(&self, run: &RunId) -> Result<()> {
        self.remember("last-rehearsal", run)
    }

    fn remember(&self, name: &str, run: &RunId) -> Result<()> {
        self.create()?;
        let path = self.directory.join(name);
        let temporary = self
            .directory
            .join(format!(".{name}.{}", std::process::id()));
        std::fs::write(&temporary, format!("{run}\n"))
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|cause| file("write", &path, cause))
    }

    /// The key that a cutover of this project encrypted its undo data with.
    pub fn existing_undo_key(&self) -> Result<[u8; 32]> {
        let path = self.directory.join("undo.key");
        if !path.exists() {
            return Err(Failure::new(
                ErrorKind::LocalFile,
                format!("{} is not there", path.display()),
            )
            .hint("copy .towpath/undo.key from the machine that did the cutover: undo data cannot be read without it"));
        }
        self.undo_key()
    }

    /// The key that encrypts undo data; made on first use. Whoever has it and the run store can
    /// read the connection strings that functions had before the cutover.
    pub fn undo_key(&self) -> Result<[u8; 32]> {
        let path = self.directory.join("undo.key");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let mut key = [0; 32];
                hex::decode_to_slice(text.trim(), &mut key).map_err(|cause| {
                    Failure::new(
                        ErrorKind::LocalFile,
                        format!("{} is not a key", path.display()),
                    )
                    .because(cause)
                    .hint("restore it from your backup: undo data cannot be read without it")
                })?;
                Ok(key)
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => self.make_undo_key(&path),
            Err(cause) => Err(file("read", &path, cause)),
        }
    }

    fn make_undo_key(&self, path: &Path) -> Result<[u8; 32]> {
        self.create()?;
        let key: [u8; 32] = clock::random()?;
        // create_new: of two processes that begin at once, one gets its key and the other an error.
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|cause| file("create", path, cause))?;
        // Durable before anything is encrypted with it, its name in the directory included.
        writeln!(out, "{}", hex::encode(key))
            .and_then(|()| out.sync_all())
            .and_then(|()| std::fs::File::open(&self.directory)?.sync_all())
            .map_err(|cause| file("write", path, cause))?;
        Ok(key)
    }

    /// Where reports of a run go unless the operator says otherwise.
    pub fn report_directory(&self, run: &RunId) -> PathBuf {
        self.directory.join("reports").join(run.as_str())
    }

    fn create(&self) -> Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|cause| file("create", &self.directory, cause))
    }
}

fn file(verb: &str, path: &Path, cause: std::io::Error) -> Failure {
    Failure::new(
        ErrorKind::LocalFile,
        format!("could not {verb} {}", path.display()),
    )
    .because(cause)
}
