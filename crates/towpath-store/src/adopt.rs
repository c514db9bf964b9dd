//! Objects of one run that another takes over.

use towpath_model::{ErrorKind, Failure, Result};

use crate::backend::Backend;
use crate::run_store::RunStore;

impl RunStore {
    /// Takes over an object of another run of the same store, of so many bytes, under a key of its
    /// own; [`ErrorKind::ObjectExists`] when there is one. Its bytes are not read here: a hard link,
    /// or a copy that S3 makes. Whoever reads it proves its hash.
    pub async fn adopt(&self, from: &Self, from_key: &str, key: &str, bytes: u64) -> Result<()> {
        let (source_key, key) = (from.full(from_key), self.full(key));
        match (self.backend(), from.backend()) {
            (Backend::File(mine), Backend::File(theirs)) => {
                mine.adopt(theirs, &source_key, &key, bytes).await
            }
            (Backend::S3(mine), Backend::S3(theirs)) => {
                Box::pin(mine.adopt(theirs, &source_key, &key, bytes)).await
            }
            _ => Err(Failure::new(
                ErrorKind::Internal,
                "an object cannot be taken over from a store of another kind",
            )),
        }
    }
}
