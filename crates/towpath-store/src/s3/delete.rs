//! Deletes what lies below a key. Found by listing: what no journal tells of is to go as well.

use tokio::task::JoinSet;
use towpath_model::{ErrorKind, Failure, Result};

use super::S3Backend;

/// Requests on their way at once.
const AT_ONCE: usize = 16;

impl S3Backend {
    /// Deletes every object below a folder; gives how many there were. In a bucket with versions they
    /// can be brought back until the bucket's own rule takes the versions.
    pub(crate) async fn delete_below(&self, folder: &str) -> Result<u64> {
        let prefix = format!("{}/", self.key(folder));
        let mut deleted = 0;
        // From the start each time: what was listed is gone then.
        loop {
            let listed = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(&prefix)
                .send()
                .await
                .map_err(|error| self.failure("list", folder, error))?;
            let keys: Vec<String> = listed
                .contents()
                .iter()
                .filter_map(|object| object.key().map(str::to_owned))
                .collect();
            if keys.is_empty() {
                return Ok(deleted);
            }
            let found = keys.len() as u64;
            for some in keys.chunks(AT_ONCE) {
                self.delete_some(folder, some).await?;
            }
            deleted += found;
            if listed.is_truncated() != Some(true) {
                return Ok(deleted);
            }
        }
    }

    async fn delete_some(&self, folder: &str, keys: &[String]) -> Result<()> {
        let mut deletions = JoinSet::new();
        for key in keys.iter().cloned() {
            let (backend, folder) = (self.clone(), folder.to_owned());
            deletions.spawn(async move { Box::pin(backend.delete(&folder, key)).await });
        }
        while let Some(joined) = deletions.join_next().await {
            joined.map_err(|panic| {
                Failure::new(ErrorKind::Internal, "a deletion on S3 panicked").because(panic)
            })??;
        }
        Ok(())
    }

    async fn delete(&self, folder: &str, key: String) -> Result<()> {
        let answer = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        answer.map(|_| ()).map_err(|error| {
            let letter = self.failure("delete objects of", folder, error);
            match letter.kind() {
                ErrorKind::Connect => letter,
                kind => Failure::new(kind, letter.to_string()).because(letter).hint(
                    "the role may not delete: infra/README.md names the one that may; the bucket's lifecycle rule takes staged chunks in the end",
                ),
            }
        })
    }
}
