//! Another name for a file that is stored already.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use towpath_model::{ErrorKind, Failure, Result};

use super::{FileBackend, Unnamed, access, exists, make_parents, on_disk, sync_parent};
use crate::chunk::BLOCK;

impl FileBackend {
    /// Gives an object of so many bytes another key, by a hard link where both are on one file
    /// system. Objects are never written to, so two names of one file are as good as two files.
    pub(crate) async fn adopt(
        &self,
        source: &Self,
        source_key: &str,
        key: &str,
        bytes: u64,
    ) -> Result<()> {
        let source = source.directory.join(source_key);
        let path = self.directory.join(key);
        on_disk(move || adopt(&source, &path, bytes)).await?
    }
}

fn adopt(source: &Path, path: &Path, bytes: u64) -> Result<()> {
    let found = match std::fs::metadata(source) {
        Ok(found) => found.len(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let letter = format!("{} is missing", source.display());
            return Err(Failure::new(ErrorKind::ObjectMissing, letter));
        }
        Err(cause) => return Err(access("look at", source, cause)),
    };
    if found != bytes {
        return Err(Failure::new(
            ErrorKind::ChunkCorrupt,
            format!(
                "{} has {found} bytes, {bytes} were stored",
                source.display()
            ),
        ));
    }
    make_parents(path)?;
    match std::fs::hard_link(source, path) {
        Ok(()) => sync_parent(path).map_err(|cause| access("flush", path, cause)),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        // Another file system, another owner, too many links: a copy does what a link would.
        Err(_) => copy(source, path),
    }
}

fn copy(source: &Path, path: &Path) -> Result<()> {
    let failed = |cause| access("read", source, cause);
    let mut file = File::open(source).map_err(failed)?;
    let mut unnamed = Unnamed::new(path.to_owned());
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        let read = (&mut file).take(BLOCK as u64).read_to_end(&mut block);
        let read = read.map_err(failed)?;
        unnamed.write(&block)?;
        if read < BLOCK {
            return unnamed.name();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adopted_object_outlives_the_first_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), b"rows").unwrap();
        adopt(&path("a"), &path("run/chunks/b"), 4).unwrap();
        let kind = |source: &str, to: &str, bytes| {
            let adopted = adopt(&path(source), &path(to), bytes);
            adopted.unwrap_err().kind()
        };
        assert_eq!(kind("a", "run/chunks/b", 4), ErrorKind::ObjectExists);
        assert_eq!(kind("a", "c", 5), ErrorKind::ChunkCorrupt);
        assert_eq!(kind("none", "c", 4), ErrorKind::ObjectMissing);
        std::fs::remove_file(path("a")).unwrap();
        assert_eq!(std::fs::read(path("run/chunks/b")).unwrap(), b"rows");
    }

    #[test]
    fn where_links_cannot_be_made_the_bytes_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let bytes: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
            std::fs::write(path("a"), &bytes).unwrap();
            let to = path(&length.to_string());
            copy(&path("a"), &to).unwrap();
            assert!(std::fs::read(&to).unwrap() == bytes, "{length} bytes");
            assert_eq!(
                copy(&path("a"), &to).unwrap_err().kind(),
                ErrorKind::ObjectExists
            );
        }
    }
}
