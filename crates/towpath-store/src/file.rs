//! A run store in a local directory.
//!
//! An object is written to a temporary file, flushed to disk, and given its name by a hard link,
//! which fails when the name is taken: that is the create-only put. Files hold production rows, so
//! nobody but the owner may read them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towpath_model::digest::Hash;
use towpath_model::{ErrorKind, Failure, Result};

use crate::backend::Version;

const BLOCK: usize = 1 << 20;

pub(crate) struct FileBackend {
    directory: PathBuf,
}

impl FileBackend {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn describe(&self, key: &str) -> String {
        self.directory.join(key).display().to_string()
    }

    pub(crate) async fn put_new(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let mut writer = self.writer(key).await?;
        writer.write(bytes).await?;
        writer.finish().await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.directory.join(key);
        match tokio::fs::read(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(access("read", &path, cause)),
        }
    }

    pub(crate) async fn get_versioned(&self, key: &str) -> Result<(Option<Vec<u8>>, Version)> {
        Ok(match self.get(key).await? {
            Some(bytes) => {
                let tag = Hash::of(&bytes).to_string();
                (Some(bytes), Version::Tag(tag))
            }
            None => (None, Version::Absent),
        })
    }

    /// Compare and swap under a lock file: two processes on one machine cannot both win.
    pub(crate) async fn replace(&self, key: &str, bytes: &[u8], old: &Version) -> Result<bool> {
        let path = self.directory.join(key);
        make_parents(&path)?;
        let lock_path = sibling(&path, "lock");
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(&lock_path)
            .map_err(|cause| access("open", &lock_path, cause))?;
        // Held for one read and one rename; released when `lock` is dropped, or by the kernel when
        // this process dies.
        tokio::task::block_in_place(|| lock.lock())
            .map_err(|cause| access("lock", &lock_path, cause))?;
        let (_, now) = self.get_versioned(key).await?;
        if now != *old {
            return Ok(false);
        }
        let temporary = temporary_name(&path);
        write_durably(&temporary, bytes).map_err(|cause| access("write", &temporary, cause))?;
        std::fs::rename(&temporary, &path).map_err(|cause| access("replace", &path, cause))?;
        sync_parent(&path).map_err(|cause| access("flush", &path, cause))?;
        Ok(true)
    }

    pub(crate) async fn writer(&self, key: &str) -> Result<FileWriter> {
        let path = self.directory.join(key);
        make_parents(&path)?;
        let temporary = temporary_name(&path);
        let file = private(OpenOptions::new().write(true).create_new(true))
            .open(&temporary)
            .map_err(|cause| access("create", &temporary, cause))?;
        Ok(FileWriter {
            file: tokio::fs::File::from_std(file),
            temporary: Temporary(Some(temporary)),
            path,
        })
    }

    pub(crate) async fn reader(&self, key: &str) -> Result<Option<FileReader>> {
        let path = self.directory.join(key);
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Some(FileReader { file, path })),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(access("open", &path, cause)),
        }
    }

    /// The directory, or its nearest existing ancestor, must be a directory that can be written.
    pub(crate) async fn probe(&self) -> Result<()> {
        let mut nearest = self.directory.as_path();
        while !nearest.exists() {
            match nearest.parent() {
                Some(parent) => nearest = parent,
                None => break,
            }
        }
        let metadata =
            std::fs::metadata(nearest).map_err(|cause| access("look at", nearest, cause))?;
        if !metadata.is_dir() {
            let cause = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(access("use", nearest, cause));
        }
        // Listing needs no write, and a directory whose mode bits forbid writing is told apart
        // without trying to write.
        std::fs::read_dir(nearest).map_err(|cause| access("list", nearest, cause))?;
        if metadata.permissions().readonly() {
            return Err(access(
                "write to",
                nearest,
                io::ErrorKind::PermissionDenied.into(),
            ));
        }
        Ok(())
    }
}

/// Removes the temporary file unless it was given its name.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Left behind it would only take space: no reader looks at names like this.
            drop(std::fs::remove_file(path));
        }
    }
}

/// An object on its way to a file.
pub struct FileWriter {
    file: tokio::fs::File,
    temporary: Temporary,
    path: PathBuf,
}

impl FileWriter {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .await
            .map_err(|cause| access("write", &self.path, cause))
    }

    pub(crate) async fn finish(mut self) -> Result<()> {
        let path = self.path.clone();
        self.file
            .flush()
            .await
            .map_err(|cause| access("write", &path, cause))?;
        self.file
            .sync_all()
            .await
            .map_err(|cause| access("flush", &path, cause))?;
        let Some(temporary) = self.temporary.0.as_deref() else {
            return Ok(());
        };
        match std::fs::hard_link(temporary, &path) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::new(
                    ErrorKind::ObjectExists,
                    format!("could not put {}: it exists already", path.display()),
                ));
            }
            Err(cause) => return Err(access("name", &path, cause)),
        }
        sync_parent(&path).map_err(|cause| access("flush", &path, cause))
    }

    pub(crate) async fn abort(self) -> Result<()> {
        Ok(())
    }
}

/// An object read from a file.
pub struct FileReader {
    file: tokio::fs::File,
    path: PathBuf,
}

impl FileReader {
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut block = Vec::with_capacity(BLOCK);
        let mut limited = (&mut self.file).take(BLOCK as u64);
        limited
            .read_to_end(&mut block)
            .await
            .map_err(|cause| access("read", &self.path, cause))?;
        Ok(if block.is_empty() {
            None
        } else {
            Some(Bytes::from(block))
        })
    }
}

fn access(verb: &str, path: &Path, cause: io::Error) -> Failure {
    let letter = Failure::new(
        ErrorKind::StoreAccess,
        format!("could not {verb} {}", path.display()),
    );
    let hint = match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            "run as the user that owns the run store, or choose another directory with --store"
        }
        io::ErrorKind::StorageFull => "the disk is full; free space, then the same command resumes",
        io::ErrorKind::NotADirectory => "the run store must be a directory",
        _ => "look at the disk of the run store",
    };
    letter.because(cause).hint(hint)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn make_parents(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    if parent.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(|cause| access("create", parent, cause))?;
    sync_parent(parent).map_err(|cause| access("flush", parent, cause))
}

fn temporary_name(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let no = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Process ids repeat, in containers always: a leftover of a killed process must not be met again.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    sibling(path, &format!("{}-{now:x}-{no}.tmp", std::process::id()))
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.{suffix}"))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name is durable once its directory is flushed.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
