//! Everything that S3 holds below a key: versions, delete markers, unfinished uploads.
//!
//! "Deleting object versions from a versioning-enabled bucket" of Amazon S3's user guide: a deletion
//! without a version id hides an object and keeps its bytes; with one it is for good, and `null` is
//! the id of what a bucket without versions holds. "ListMultipartUploads" of its API reference: parts
//! of an upload that was not ended stay and are listed nowhere else.

use aws_sdk_s3::error::ProvideErrorMetadata;
use tokio::task::JoinSet;
use towpath_model::{ErrorKind, Failure, Result};

use super::{S3Backend, is_not_there};
use crate::staged::{Staged, still_there};

/// Requests on their way at once.
const AT_ONCE: usize = 16;

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    key: String,
    id: String,
    bytes: u64,
}

/// Where a listing goes on.
#[derive(Default)]
struct Marker {
    key: Option<String>,
    id: Option<String>,
}

struct Upload {
    key: String,
    id: String,
}

impl S3Backend {
    pub(crate) async fn staged_below(&self, folder: &str) -> Result<Staged> {
        let mut staged = Staged {
            uploads: self.uploads(folder).await?.len() as u64,
            ..Staged::default()
        };
        let mut marker = Some(Marker::default());
        while let Some(from) = marker {
            let (found, next) = self.versions(folder, from).await?;
            found.iter().for_each(|version| staged.add(version.bytes));
            marker = next;
        }
        Ok(staged)
    }

    pub(crate) async fn purge_below(&self, folder: &str) -> Result<Staged> {
        let mut purged = Staged::default();
        let uploads = self.uploads(folder).await?;
        purged.uploads = uploads.len() as u64;
        for upload in uploads {
            self.abort_upload(folder, upload).await?;
        }
        let mut before = None;
        // From the start each time: what was listed is gone then.
        loop {
            let (found, _) = self.versions(folder, Marker::default()).await?;
            let Some(first) = found.first().cloned() else {
                return Ok(purged);
            };
            if before.as_ref() == Some(&first) {
                let place = format!("s3://{}/{} version {}", self.bucket, first.key, first.id);
                return Err(still_there(place));
            }
            before = Some(first);
            for some in found.chunks(AT_ONCE) {
                self.purge_some(folder, some).await?;
            }
            found.iter().for_each(|version| purged.add(version.bytes));
        }
    }

    /// Names of folders at the top of the store.
    pub(crate) async fn folders(&self) -> Result<Vec<String>> {
        let prefix = match self.prefix.is_empty() {
            true => String::new(),
            false => format!("{}/", self.prefix),
        };
        let (mut folders, mut from) = (Vec::new(), None);
        loop {
            let listed = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(&prefix)
                .delimiter("/")
                .set_continuation_token(from.take())
                .send()
                .await
                .map_err(|error| self.failure("list", "", error))?;
            let names = listed.common_prefixes().iter().filter_map(|it| it.prefix());
            folders.extend(names.filter_map(|name| {
                let name = name.strip_prefix(&prefix)?.trim_end_matches('/');
                Some(name.to_owned())
            }));
            from = listed.next_continuation_token().map(str::to_owned);
            if listed.is_truncated() != Some(true) || from.is_none() {
                return Ok(folders);
            }
        }
    }

    /// Whether a key has an object now.
    pub(crate) async fn is_there(&self, key: &str) -> Result<bool> {
        let asked = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .send()
            .await;
        match asked {
            Ok(_) => Ok(true),
            Err(error) if is_not_there(&error) => Ok(false),
            Err(error) => Err(self.failure("ask for", key, error)),
        }
    }

    /// A page of versions and delete markers.
    async fn versions(&self, folder: &str, from: Marker) -> Result<(Vec<Found>, Option<Marker>)> {
        let listed = self
            .client
            .list_object_versions()
            .bucket(&self.bucket)
            .prefix(format!("{}/", self.key(folder)))
            .set_key_marker(from.key)
            .set_version_id_marker(from.id)
            .send()
            .await
            .map_err(|error| {
                let letter = self.failure("list the versions of", folder, error);
                with_hint(letter, LIST_HINT)
            })?;
        let id = |id: Option<&str>| id.unwrap_or("null").to_owned();
        let versions = listed.versions().iter().filter_map(|version| {
            Some(Found {
                key: version.key()?.to_owned(),
                id: id(version.version_id()),
                bytes: version
                    .size()
                    .and_then(|it| u64::try_from(it).ok())
                    .unwrap_or(0),
            })
        });
        let markers = listed.delete_markers().iter().filter_map(|marker| {
            Some(Found {
                key: marker.key()?.to_owned(),
                id: id(marker.version_id()),
                bytes: 0,
            })
        });
        let found: Vec<Found> = versions.chain(markers).collect();
        let next = Marker {
            key: listed.next_key_marker().map(str::to_owned),
            id: listed.next_version_id_marker().map(str::to_owned),
        };
        let goes_on = listed.is_truncated() == Some(true) && next.key.is_some();
        Ok((found, goes_on.then_some(next)))
    }

    async fn purge_some(&self, folder: &str, versions: &[Found]) -> Result<()> {
        let mut deletions = JoinSet::new();
        for version in versions.iter().cloned() {
            let (backend, folder) = (self.clone(), folder.to_owned());
            deletions.spawn(async move { Box::pin(backend.purge(&folder, version)).await });
        }
        while let Some(joined) = deletions.join_next().await {
            joined.map_err(|panic| {
                Failure::new(ErrorKind::Internal, "a deletion on S3 panicked").because(panic)
            })??;
        }
        Ok(())
    }

    async fn purge(&self, folder: &str, version: Found) -> Result<()> {
        let answer = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(version.key)
            .version_id(version.id)
            .send()
            .await;
        answer.map(|_| ()).map_err(|error| {
            let letter = self.failure("delete versions of", folder, error);
            with_hint(letter, DELETE_HINT)
        })
    }

    async fn uploads(&self, folder: &str) -> Result<Vec<Upload>> {
        let (mut uploads, mut from) = (Vec::new(), (None, None));
        loop {
            let listed = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(format!("{}/", self.key(folder)))
                .set_key_marker(from.0.take())
                .set_upload_id_marker(from.1.take())
                .send()
                .await
                .map_err(|error| {
                    let letter = self.failure("list unfinished uploads of", folder, error);
                    with_hint(letter, LIST_HINT)
                })?;
            uploads.extend(listed.uploads().iter().filter_map(|upload| {
                Some(Upload {
                    key: upload.key()?.to_owned(),
                    id: upload.upload_id()?.to_owned(),
                })
            }));
            from = (
                listed.next_key_marker().map(str::to_owned),
                listed.next_upload_id_marker().map(str::to_owned),
            );
            if listed.is_truncated() != Some(true) || from.0.is_none() {
                return Ok(uploads);
            }
        }
    }

    async fn abort_upload(&self, folder: &str, upload: Upload) -> Result<()> {
        let answer = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(upload.key)
            .upload_id(upload.id)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => {
                let letter = self.failure("abort uploads of", folder, error);
                Err(with_hint(letter, DELETE_HINT))
            }
        }
    }
}

const LIST_HINT: &str = "the role must be allowed s3:ListBucketVersions and s3:ListBucketMultipartUploads on the bucket: without them nobody can say that rows are gone; infra/README.md names the role that is";

const DELETE_HINT: &str = "the role must be allowed s3:DeleteObject, s3:DeleteObjectVersion and s3:AbortMultipartUpload below chunks/; where it is, the bucket wants MFA for deletions of versions or keeps objects under Object Lock: whoever looks after the bucket deletes them or waits for its lifecycle rule, then the same command goes on";

/// What may pass by itself keeps the hint that says so.
fn with_hint(letter: Failure, hint: &str) -> Failure {
    match letter.kind() {
        ErrorKind::Connect => letter,
        kind => Failure::new(kind, letter.to_string())
            .because(letter)
            .hint(hint),
    }
}
