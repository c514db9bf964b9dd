//! The folder of one run in a store.

use std::sync::Arc;

use towpath_model::document::{self, Document};
use towpath_model::{ErrorKind, Failure, Result, RunId};

use crate::backend::{Backend, ObjectReader, ObjectWriter, Version};
use crate::file::FileBackend;
use crate::location::StoreLocation;
use crate::s3::S3Backend;

/// Folder of the staged rows of a run.
pub(crate) const STAGED: &str = "chunks";

/// How to reach a store on S3. What is not set comes from the AWS default chain.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Profile.
    pub profile: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Endpoint for S3-compatible servers and VPC endpoints.
    pub endpoint_url: Option<String>,
    /// Address the bucket in the path, as S3-compatible servers want it.
    pub path_style: bool,
    /// Encrypt new objects with this KMS key; otherwise the bucket's default applies.
    pub sse_kms_key_id: Option<String>,
    /// How long a request may take, and a body be silent; 60 s unless told.
    pub silence: Option<std::time::Duration>,
}

pub(crate) async fn backend(location: &StoreLocation, options: &StoreOptions) -> Backend {
    match location.clone() {
        StoreLocation::File { directory } => Backend::File(FileBackend::new(directory)),
        StoreLocation::S3 { bucket, prefix } => {
            Backend::S3(S3Backend::connect(bucket, prefix, options).await)
        }
    }
}

/// The objects of one run. Cheap to clone.
#[derive(Clone)]
pub struct RunStore {
    backend: Arc<Backend>,
    run: RunId,
}

impl RunStore {
    /// Opens the folder of a run; nothing is read or written yet.
    pub async fn open(location: &StoreLocation, run: &RunId, options: &StoreOptions) -> Self {
        Self {
            backend: Arc::new(backend(location, options).await),
            run: run.clone(),
        }
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(crate) fn full(&self, key: &str) -> String {
        format!("{}/{key}", self.run)
    }

    /// Where an object is, for messages.
    pub fn describe(&self, key: &str) -> String {
        self.backend.describe(&self.full(key))
    }

    /// Whether a network is between here and the store.
    pub fn is_remote(&self) -> bool {
        self.backend.is_remote()
    }

    /// Proves that the store can be reached. Writes nothing.
    pub async fn probe(&self) -> Result<()> {
        self.backend.probe().await
    }

    /// Puts a new object, durably; [`ErrorKind::ObjectExists`] when there is one.
    pub async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.backend.put_new(&self.full(key), bytes).await
    }

    /// Puts a new object, or proves that the same bytes are there already: what a resumed process
    /// does about a put whose answer it may not have lived to see.
    pub async fn put_same(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        match self.put_new(key, bytes.clone()).await {
            Err(failure) if failure.kind() == ErrorKind::ObjectExists => {
                if self.get(key).await?.as_deref() == Some(bytes.as_slice()) {
                    return Ok(());
                }
                Err(failure.hint("it holds something else; start over with --new-run"))
            }
            other => other,
        }
    }

    /// Reads an object whole; nothing when there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.backend.get(&self.full(key)).await
    }

    /// Reads an object that must be there.
    pub async fn require(&self, key: &str) -> Result<Vec<u8>> {
        self.get(key).await?.ok_or_else(|| {
            Failure::new(
                ErrorKind::ObjectMissing,
                format!("{} is missing", self.describe(key)),
            )
            .hint("check --store and --run; `towpath status` shows the run it knows")
        })
    }

    /// Puts a new document.
    pub async fn put_document<T: Document>(&self, key: &str, document: &T) -> Result<()> {
        self.put_new(key, document::render(document)?).await
    }

    /// Reads a document; nothing when there is none.
    pub async fn get_document<T: Document>(&self, key: &str) -> Result<Option<T>> {
        match self.get(key).await? {
            Some(bytes) => document::parse(&bytes, &self.describe(key)).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a document that must be there.
    pub async fn require_document<T: Document>(&self, key: &str) -> Result<T> {
        document::parse(&self.require(key).await?, &self.describe(key))
    }

    /// Puts a document under the first free number of a series (`verify/1.json`, `verify/2.json`…);
    /// gives the key.
    pub async fn put_numbered<T: Document>(&self, folder: &str, document: &T) -> Result<String> {
        self.put_numbered_bytes(folder, document::render(document)?)
            .await
    }

    /// Puts a document that is rendered already under the first free number of a series.
    pub async fn put_numbered_bytes(&self, folder: &str, bytes: Vec<u8>) -> Result<String> {
        for number in 1..=100_000u32 {
            let key = format!("{folder}/{number}.json");
            match self.put_new(&key, bytes.clone()).await {
                Err(failure) if failure.kind() == ErrorKind::ObjectExists => {}
                Err(failure) => return Err(failure),
                Ok(()) => return Ok(key),
            }
        }
        Err(Failure::new(
            ErrorKind::ObjectExists,
            format!("{} is full", self.describe(folder)),
        ))
    }

    /// The latest document of a series, with its key. Those before it are not looked into: they may
    /// be of another version.
    pub async fn latest_numbered<T: Document>(&self, folder: &str) -> Result<Option<(String, T)>> {
        let Some((key, bytes)) = self.latest_numbered_bytes(folder).await? else {
            return Ok(None);
        };
        let document = document::parse(&bytes, &self.describe(&key))?;
        Ok(Some((key, document)))
    }

    /// The bytes of the latest document of a series, with its key.
    pub async fn latest_numbered_bytes(&self, folder: &str) -> Result<Option<(String, Vec<u8>)>> {
        let mut latest = None;
        for number in 1..=100_000u32 {
            let key = format!("{folder}/{number}.json");
            match self.get(&key).await? {
                Some(bytes) => latest = Some((key, bytes)),
                None => break,
            }
        }
        Ok(latest)
    }

    /// Begins a new object of unknown size.
    pub async fn writer(&self, key: &str) -> Result<ObjectWriter> {
        self.backend.writer(&self.full(key)).await
    }

    /// Begins to read an object; nothing when there is none.
    pub async fn reader(&self, key: &str) -> Result<Option<ObjectReader>> {
        self.backend.reader(&self.full(key)).await
    }

    /// Deletes the staged rows of the run, those of interrupted attempts too; gives how many objects
    /// there were. Plan, manifest, journal and evidence stay. Nobody may be at work on the run.
    pub async fn delete_staged(&self) -> Result<u64> {
        self.backend.delete_below(&self.full(STAGED)).await
    }

    pub(crate) async fn get_versioned(&self, key: &str) -> Result<(Option<Vec<u8>>, Version)> {
        self.backend.get_versioned(&self.full(key)).await
    }

    pub(crate) async fn replace(&self, key: &str, bytes: Vec<u8>, old: &Version) -> Result<bool> {
        self.backend.replace(&self.full(key), bytes, old).await
    }
}
