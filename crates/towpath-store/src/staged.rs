//! Staged rows that are to go for good, and the runs of a store.
//!
//! Here alone something is found by listing: what interrupted attempts left is in no document, and
//! neither is which runs a store has.

use tokio::task::JoinSet;
use towpath_model::{ErrorKind, Failure, Result, RunId};

use crate::location::StoreLocation;
use crate::run_store::{RunStore, STAGED, StoreOptions, backend};

/// Keys asked for at once.
const AT_ONCE: usize = 16;

/// What a store holds of the staged rows of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    /// Objects, those of interrupted attempts too; on S3 every version and every delete marker.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads to S3 that were begun and not ended: their parts are rows as well.
    pub uploads: u64,
}

impl Staged {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.objects == 0 && self.uploads == 0
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

impl RunStore {
    /// What is staged of the run. Reads nothing but names and sizes.
    pub async fn staged(&self) -> Result<Staged> {
        self.backend().staged_below(&self.full(STAGED)).await
    }

    /// Deletes the staged rows for good: objects that no document names, versions, delete markers
    /// and unfinished uploads as well. Gives what went. Nobody may be at work on the run; safe to
    /// repeat.
    pub async fn purge_staged(&self) -> Result<Staged> {
        self.backend().purge_below(&self.full(STAGED)).await
    }

    /// Proves that nothing staged is left, in two ways: the listing is empty, versions included, and
    /// the store denies each of these keys when asked for it.
    pub async fn prove_unstaged(&self, keys: impl IntoIterator<Item = String>) -> Result<u64> {
        let left = self.staged().await?;
        if !left.is_empty() {
            return Err(still_there(format!(
                "{} objects and {} unfinished uploads are below {}",
                left.objects,
                left.uploads,
                self.describe(STAGED)
            )));
        }
        let mut asked = 0;
        let mut asking = JoinSet::new();
        for key in keys {
            if asking.len() >= AT_ONCE {
                asked += answer(asking.join_next().await)?;
            }
            let store = self.clone();
            asking.spawn(async move {
                match store.backend().is_there(&store.full(&key)).await? {
                    true => Err(still_there(format!("{} is there", store.describe(&key)))),
                    false => Ok(()),
                }
            });
        }
        while !asking.is_empty() {
            asked += answer(asking.join_next().await)?;
        }
        Ok(asked)
    }
}

fn answer(joined: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<u64> {
    match joined {
        None => Ok(0),
        Some(Ok(answered)) => answered.map(|()| 1),
        Some(Err(panic)) => {
            Err(Failure::new(ErrorKind::Internal, "asking the store panicked").because(panic))
        }
    }
}

pub(crate) fn still_there(what: String) -> Failure {
    Failure::new(ErrorKind::StoreAccess, "staged rows were deleted and are still there")
        .because(what)
        .hint("somebody writes to the run, or the store keeps what it says it deletes; the same command tries again")
}

/// Every run that a location has a folder of, in the order of their ids, which begin with their day.
/// A folder with another name is none of ours.
pub async fn stored_runs(location: &StoreLocation, options: &StoreOptions) -> Result<Vec<RunId>> {
    let folders = backend(location, options).await.folders().await?;
    let mut runs: Vec<RunId> = folders
        .iter()
        .filter_map(|folder| folder.parse().ok())
        .collect();
    runs.sort();
    runs.dedup();
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(directory: &std::path::Path) -> StoreLocation {
        StoreLocation::File {
            directory: directory.to_owned(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn staged_files_go_and_everything_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let location = location(directory.path());
        let options = StoreOptions::default();
        assert_eq!(stored_runs(&location, &options).await.unwrap(), Vec::new());
        let (first, second) = (
            RunId::compose("20260101", [1; 5]),
            RunId::compose("20260102", [2; 5]),
        );
        let store = RunStore::open(&location, &first, &options).await;
        let other = RunStore::open(&location, &second, &options).await;
        // Nothing there yet is nothing to do.
        assert_eq!(store.purge_staged().await.unwrap(), Staged::default());
        let keys = ["chunks/public.a/0000.1.bin", "chunks/public.a/0001.1.bin"];
        for key in keys {
            store.put_new(key, vec![7; 10]).await.unwrap();
        }
        store
            .put_new("manifest.json", b"kept".to_vec())
            .await
            .unwrap();
        other
            .put_new("chunks/public.a/0000.1.bin", vec![8; 10])
            .await
            .unwrap();
        // What a killed process leaves, and a chunk that another run has adopted.
        let folder = directory.path().join(first.as_str()).join("chunks");
        std::fs::write(folder.join("public.a/.0002.1.bin.77-0.tmp"), b"orphan").unwrap();
        let adopted = directory
            .path()
            .join(second.as_str())
            .join("chunks/adopted");
        std::fs::hard_link(folder.join("public.a/0000.1.bin"), &adopted).unwrap();

        assert_eq!(store.staged().await.unwrap().objects, 3);
        let denied = store
            .prove_unstaged(keys.map(str::to_owned))
            .await
            .unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::StoreAccess);
        let purged = store.purge_staged().await.unwrap();
        assert_eq!((purged.objects, purged.bytes), (3, 26));
        assert!(store.staged().await.unwrap().is_empty());
        assert_eq!(
            store.prove_unstaged(keys.map(str::to_owned)).await.unwrap(),
            2
        );
        assert_eq!(store.require("manifest.json").await.unwrap(), b"kept");
        assert_eq!(std::fs::read(adopted).unwrap(), vec![7; 10]);
        assert_eq!(other.staged().await.unwrap().objects, 2);

        // What is elsewhere would stay there: told, before anything is deleted.
        let other_disk = tempfile::tempdir().unwrap();
        let elsewhere = other_disk.path();
        std::fs::write(elsewhere.join("0000.1.bin"), b"rows").unwrap();
        for link in [folder.clone(), folder.join("public.a")] {
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(elsewhere, &link).unwrap();
            for refused in [
                store.staged().await.map(drop),
                store.purge_staged().await.map(drop),
                store.prove_unstaged([]).await.map(drop),
            ] {
                let said = refused.unwrap_err().to_string();
                assert!(said.contains("symbolic link"), "{said}");
            }
            assert!(elsewhere.join("0000.1.bin").is_file());
            std::fs::remove_file(&link).unwrap();
        }
        std::fs::remove_dir(&folder).unwrap();

        // A key outside of the folder that is listed is asked for all the same.
        let kept = ["manifest.json".to_owned()];
        assert!(store.prove_unstaged(kept).await.is_err());
        std::fs::create_dir(directory.path().join("Not A Run")).unwrap();
        assert_eq!(
            stored_runs(&location, &options).await.unwrap(),
            vec![first, second]
        );
    }
}
