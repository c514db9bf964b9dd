//! One small interface over both kinds of store.

use std::time::Duration;

use bytes::Bytes;
use towpath_model::Result;
use towpath_model::digest::Hash;

use crate::file::{FileBackend, FileReader, FileWriter};
use crate::s3::{S3Ahead, S3Backend, S3Writer};
use crate::staged::Staged;

/// A version of an object that a conditional overwrite can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// The object does not exist.
    Absent,
    /// The object has this tag: an entity tag on S3, a hash of the bytes in a file store.
    Tag(String),
}

/// Futures of the S3 side are boxed: the SDK's are tens of kibibytes each.
pub(crate) enum Backend {
    File(FileBackend),
    S3(S3Backend),
}

impl Backend {
    /// Puts a new object whole; an existing one is an error and stays as it is. Durable on return.
    pub(crate) async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        match self {
            Self::File(backend) => backend.put_new(key, bytes).await,
            Self::S3(backend) => Box::pin(backend.put_new(key, bytes)).await,
        }
    }

    /// Reads an object whole; nothing when there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::File(backend) => backend.get(key).await,
            Self::S3(backend) => Box::pin(backend.get(key))
                .await
                .map(|found| found.map(|(bytes, _)| bytes)),
        }
    }

    /// Reads an object with the version that [`Backend::replace`] wants.
    pub(crate) async fn get_versioned(&self, key: &str) -> Result<(Option<Vec<u8>>, Version)> {
        match self {
            Self::File(backend) => backend.get_versioned(key).await,
            Self::S3(backend) => Ok(match Box::pin(backend.get(key)).await? {
                Some((bytes, tag)) => (Some(bytes), Version::Tag(tag)),
                None => (None, Version::Absent),
            }),
        }
    }

    /// Overwrites an object if it is still of this version; `false` when somebody was faster.
    pub(crate) async fn replace(&self, key: &str, bytes: Vec<u8>, old: &Version) -> Result<bool> {
        match self {
            Self::File(backend) => backend.replace(key, &bytes, old).await,
            Self::S3(backend) => Box::pin(backend.replace(key, bytes, old)).await,
        }
    }

    /// Begins a new object of unknown size.
    pub(crate) async fn writer(&self, key: &str) -> Result<ObjectWriter> {
        match self {
            Self::File(backend) => backend.writer(key).map(ObjectWriter::File),
            Self::S3(backend) => Ok(ObjectWriter::S3(Box::new(backend.writer(key)))),
        }
    }

    /// Begins to read an object; nothing when there is none.
    pub(crate) async fn reader(&self, key: &str) -> Result<Option<ObjectReader>> {
        match self {
            Self::File(backend) => Ok(backend.reader(key).await?.map(ObjectReader::File)),
            Self::S3(backend) => {
                let reader = Box::pin(backend.reader(key)).await?;
                Ok(reader.map(|reader| ObjectReader::S3(reader.ahead())))
            }
        }
    }

    /// Deletes every object below a folder; gives how many there were.
    pub(crate) async fn delete_below(&self, folder: &str) -> Result<u64> {
        match self {
            Self::File(backend) => backend.delete_below(folder).await,
            Self::S3(backend) => Box::pin(backend.delete_below(folder)).await,
        }
    }

    /// What is below a folder, versions and unfinished uploads included.
    pub(crate) async fn staged_below(&self, folder: &str) -> Result<Staged> {
        match self {
            Self::File(backend) => backend.staged_below(folder).await,
            Self::S3(backend) => Box::pin(backend.staged_below(folder)).await,
        }
    }

    /// Deletes all of that for good.
    pub(crate) async fn purge_below(&self, folder: &str) -> Result<Staged> {
        match self {
            Self::File(backend) => backend.purge_below(folder).await,
            Self::S3(backend) => Box::pin(backend.purge_below(folder)).await,
        }
    }

    /// Whether there is an object of this key; its bytes are not read.
    pub(crate) async fn is_there(&self, key: &str) -> Result<bool> {
        match self {
            Self::File(backend) => backend.is_there(key).await,
            Self::S3(backend) => Box::pin(backend.is_there(key)).await,
        }
    }

    /// Names of the folders at the top.
    pub(crate) async fn folders(&self) -> Result<Vec<String>> {
        match self {
            Self::File(backend) => backend.folders().await,
            Self::S3(backend) => Box::pin(backend.folders()).await,
        }
    }

    /// Whether a network is between here and the store.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::S3(_))
    }

    /// Proves that the store can be reached and, as far as reading tells, used. Writes nothing.
    pub(crate) async fn probe(&self) -> Result<()> {
        match self {
            Self::File(backend) => backend.probe().await,
            Self::S3(backend) => Box::pin(backend.probe()).await,
        }
    }

    pub(crate) fn describe(&self, key: &str) -> String {
        match self {
            Self::File(backend) => backend.describe(key),
            Self::S3(backend) => backend.describe(key),
        }
    }
}

/// An object being written. It exists only once [`ObjectWriter::finish`] has returned; dropping the
/// writer leaves nothing that anybody would read.
pub enum ObjectWriter {
    /// To a local file.
    File(FileWriter),
    /// To S3.
    S3(Box<S3Writer>),
}

impl ObjectWriter {
    /// Appends a block and gives an empty buffer for the next. Waits while the store is slower than
    /// the caller; otherwise the block is stored while the caller makes the next.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        match self {
            Self::File(writer) => writer.write(bytes).await,
            Self::S3(writer) => Box::pin(writer.write(bytes)).await,
        }
    }

    /// Memory that an object of so many bytes holds on its way, at most.
    pub(crate) fn held_bytes(&self, bytes: u64) -> u64 {
        let most = match self {
            Self::File(_) => crate::file::HELD_MAX,
            Self::S3(_) => crate::s3::HELD_MAX,
        };
        bytes.min(most as u64)
    }

    /// Makes the object exist, durably, unless one of that key exists already. `hash` is of all its
    /// bytes: by it a put whose answer was lost is told from somebody else's. Gives the time that
    /// the store was at work on the object.
    pub async fn finish(self, hash: Hash) -> Result<Duration> {
        match self {
            Self::File(writer) => writer.finish().await,
            Self::S3(writer) => Box::pin(writer.finish(hash)).await,
        }
    }

    /// Gives the object up and clears what was sent so far.
    pub async fn abort(self) -> Result<()> {
        match self {
            Self::File(writer) => writer.abort().await,
            Self::S3(writer) => Box::pin(writer.abort()).await,
        }
    }
}

/// An object being read, block by block.
pub enum ObjectReader {
    /// From a local file.
    File(FileReader),
    /// From S3.
    S3(S3Ahead),
}

impl ObjectReader {
    /// The next block; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::File(reader) => reader.next().await,
            Self::S3(reader) => reader.next().await,
        }
    }
}
