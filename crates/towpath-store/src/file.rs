//! A run store in a local directory.
//!
//! An object is written to a temporary file, flushed to disk, and given its name by a hard link,
//! which fails when the name is taken: that is the create-only put. Files hold production rows, so
//! nobody but the owner may read them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::task::JoinHandle;
use towpath_model::digest::Hash;
use towpath_model::{ErrorKind, Failure, Result};

use crate::backend::Version;
use crate::blocks;
use crate::chunk::BLOCK;
use crate::staged::Staged;

mod adopt;

/// One block is being written, one waits.
pub(crate) const HELD_MAX: usize = 2 * BLOCK;

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

    pub(crate) async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let mut writer = self.writer(key)?;
        writer.write(bytes).await?;
        writer.finish().await.map(drop)
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

    /// Nothing is written before there is more than a block, or the end: a small object is one
    /// errand to the disk.
    pub(crate) fn writer(&self, key: &str) -> Result<FileWriter> {
        let path = self.directory.join(key);
        // Only to spare the work: the link at the end is what makes sure.
        if path.exists() {
            return Err(exists(&path));
        }
        Ok(FileWriter {
            disk: Disk::Here(Unnamed::new(path.clone())),
            held: None,
            path,
        })
    }

    pub(crate) async fn reader(&self, key: &str) -> Result<Option<FileReader>> {
        let path = self.directory.join(key);
        let opened = on_disk(move || (File::open(&path), path)).await?;
        match opened {
            (Ok(file), path) => Ok(Some(FileReader::begin(file, path))),
            (Err(cause), _) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            (Err(cause), path) => Err(access("open", &path, cause)),
        }
    }

    /// Deletes a folder with all that is in it; gives how many files there were.
    pub(crate) async fn delete_below(&self, folder: &str) -> Result<u64> {
        let path = self.directory.join(folder);
        on_disk(move || {
            let files = count_files(&path).and_then(|files| {
                std::fs::remove_dir_all(&path)?;
                Ok(files)
            });
            match files {
                Ok(files) => Ok(files),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
                Err(cause) => Err(access("delete", &path, cause)),
            }
        })
        .await?
    }

    pub(crate) async fn staged_below(&self, folder: &str) -> Result<Staged> {
        let path = self.directory.join(folder);
        on_disk(move || {
            let mut staged = Staged::default();
            count_staged(&path, &mut staged)?;
            Ok(staged)
        })
        .await?
    }

    /// Files of a directory have one version. A file that another run links to as well loses a name
    /// here and nothing else.
    pub(crate) async fn purge_below(&self, folder: &str) -> Result<Staged> {
        let staged = self.staged_below(folder).await?;
        self.delete_below(folder).await?;
        let path = self.directory.join(folder);
        // Without its parent there was nothing to delete.
        on_disk(move || match sync_parent(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(access("flush", &path, cause))
            }
            _ => Ok(()),
        })
        .await??;
        Ok(staged)
    }

    pub(crate) async fn is_there(&self, key: &str) -> Result<bool> {
        let path = self.directory.join(key);
        match tokio::fs::symlink_metadata(&path).await {
            Ok(_) => Ok(true),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            // Something on the way is no directory.
            Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => Ok(false),
            Err(cause) => Err(access("look at", &path, cause)),
        }
    }

    pub(crate) async fn folders(&self) -> Result<Vec<String>> {
        let directory = self.directory.clone();
        on_disk(move || match folders(&directory) {
            Ok(folders) => Ok(folders),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(cause) => Err(access("list", &directory, cause)),
        })
        .await?
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

fn folders(directory: &Path) -> io::Result<Vec<String>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            folders.push(name);
        }
    }
    Ok(folders)
}

/// Counts what is below a path. A symbolic link is refused: to delete it would leave the rows that it
/// leads to, and nobody would see them any more.
fn count_staged(path: &Path, staged: &mut Staged) -> Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(access("look at", path, cause)),
    };
    if found.is_symlink() {
        return Err(Failure::new(
            ErrorKind::StoreAccess,
            format!("{} is a symbolic link, and staged rows may be elsewhere", path.display()),
        )
        .hint("delete what it leads to and the link itself, or put the rows in its place; then the same command goes on"));
    }
    if !found.is_dir() {
        staged.add(found.len());
        return Ok(());
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(access("look into", path, cause)),
    };
    for entry in entries {
        let entry = entry.map_err(|cause| access("look into", path, cause))?;
        count_staged(&entry.path(), staged)?;
    }
    Ok(())
}

fn count_files(folder: &Path) -> io::Result<u64> {
    let mut files = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files += match entry.file_type()?.is_dir() {
            true => count_files(&entry.path())?,
            false => 1,
        };
    }
    Ok(files)
}

/// Work on the disk, where waiting for it holds up nobody else.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work)).await
}

async fn joined<T>(errand: JoinHandle<T>) -> Result<T> {
    errand.await.map_err(|panic| {
        Failure::new(ErrorKind::Internal, "an errand to the disk panicked").because(panic)
    })
}

/// A file that has no name yet that a reader would look at. Dropped, it is gone.
struct Unnamed {
    file: Option<File>,
    temporary: PathBuf,
    path: PathBuf,
    /// Time spent on the disk.
    busy: Duration,
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Left behind it would only take space: no reader looks at names like this.
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}

impl Unnamed {
    fn new(path: PathBuf) -> Self {
        Self {
            file: None,
            temporary: temporary_name(&path),
            path,
            busy: Duration::ZERO,
        }
    }

    fn timed(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let began = Instant::now();
        let done = work(self);
        self.busy += began.elapsed();
        done
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file()?
            .write_all(bytes)
            .map_err(|cause| access("write", &self.path, cause))
    }

    fn file(&mut self) -> Result<&mut File> {
        if self.file.is_none() {
            make_parents(&self.path)?;
            let file = private(OpenOptions::new().write(true).create_new(true))
                .open(&self.temporary)
                .map_err(|cause| access("create", &self.temporary, cause))?;
            self.file = Some(file);
        }
        // Set just above.
        self.file
            .as_mut()
            .ok_or_else(|| Failure::new(ErrorKind::Internal, "a file that was opened is gone"))
    }

    /// Flushes the bytes, then gives them their name, then flushes the name: in this order no crash
    /// leaves a name without its bytes.
    fn name(&mut self) -> Result<()> {
        let flushed = self.file()?.sync_data();
        flushed.map_err(|cause| access("flush", &self.path, cause))?;
        match std::fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                return Err(exists(&self.path));
            }
            Err(cause) => return Err(access("name", &self.path, cause)),
        }
        // Before the flush of the directory, which then makes both changes durable at once.
        drop(std::fs::remove_file(&self.temporary));
        self.file = None;
        sync_parent(&self.path).map_err(|cause| access("flush", &self.path, cause))
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(
        ErrorKind::ObjectExists,
        format!("could not put {}: it exists already", path.display()),
    )
}

/// An object on its way to a file.
pub struct FileWriter {
    disk: Disk,
    /// The block that goes next.
    held: Option<Vec<u8>>,
    path: PathBuf,
}

enum Disk {
    Here(Unnamed),
    /// Writing a block, which comes back to be filled again.
    Writing(JoinHandle<(Unnamed, Vec<u8>, Result<()>)>),
    Failed,
}

impl FileWriter {
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let Some(block) = self.held.replace(bytes) else {
            return Ok(Vec::new());
        };
        let (mut unnamed, spent) = self.back().await?;
        self.disk = Disk::Writing(tokio::task::spawn_blocking(move || {
            let written = unnamed.timed(|unnamed| unnamed.write(&block));
            (unnamed, block, written)
        }));
        Ok(spent)
    }

    /// Waits for the block that is being written, if any.
    async fn back(&mut self) -> Result<(Unnamed, Vec<u8>)> {
        match std::mem::replace(&mut self.disk, Disk::Failed) {
            Disk::Here(unnamed) => Ok((unnamed, Vec::new())),
            Disk::Writing(errand) => {
                let (unnamed, mut block, written) = joined(errand).await?;
                written?;
                block.clear();
                Ok((unnamed, block))
            }
            Disk::Failed => Err(Failure::new(
                ErrorKind::StoreAccess,
                format!("could not write {} before", self.path.display()),
            )),
        }
    }

    pub(crate) async fn finish(mut self) -> Result<Duration> {
        let (mut unnamed, _) = self.back().await?;
        let last = self.held.take().unwrap_or_default();
        on_disk(move || {
            unnamed.timed(|unnamed| {
                unnamed.write(&last)?;
                unnamed.name()
            })?;
            Ok(unnamed.busy)
        })
        .await?
    }

    /// Waits for the block that is being written, so that nothing is left of the file afterwards.
    pub(crate) async fn abort(mut self) -> Result<()> {
        self.back().await.map(drop)
    }
}

/// The file, which moved on, and the block.
type BlockRead = io::Result<(File, Vec<u8>)>;

/// An object read from a file, a block ahead of whoever asks.
pub struct FileReader {
    next: Option<JoinHandle<BlockRead>>,
    path: PathBuf,
}

impl FileReader {
    fn begin(file: File, path: PathBuf) -> Self {
        let next = Some(read_block(file));
        Self { next, path }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(errand) = self.next.take() else {
            return Ok(None);
        };
        let (file, block) = joined(errand)
            .await?
            .map_err(|cause| access("read", &self.path, cause))?;
        if block.is_empty() {
            return Ok(None);
        }
        if block.len() == BLOCK {
            self.next = Some(read_block(file));
        }
        Ok(Some(blocks::share(block)))
    }
}

/// Reads a block in the background: a whole one, or what is left of the file.
fn read_block(mut file: File) -> JoinHandle<BlockRead> {
    tokio::task::spawn_blocking(move || {
        let left = file
            .metadata()?
            .len()
            .saturating_sub(io::Seek::stream_position(&mut file)?);
        let size = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        // A small object should not cost a whole block.
        let mut block = match size {
            BLOCK => blocks::take(),
            _ => Vec::with_capacity(size),
        };
        (&mut file).take(size as u64).read_to_end(&mut block)?;
        Ok((file, block))
    })
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
