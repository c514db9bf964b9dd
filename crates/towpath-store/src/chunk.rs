//! Chunks: raw bytes in, a compressed object out, and the way back; hashed on both sides of the
//! codec.

use std::io::Write;

use bytes::Bytes;
use towpath_model::digest::Hash;
use towpath_model::manifest::{Codec, StoredChunk};
use towpath_model::{ErrorKind, Failure, Result};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::backend::{ObjectReader, ObjectWriter};
use crate::run_store::RunStore;

/// Level of Zstandard: the fastest of the ordinary ones. Level 3 halves the speed for a tenth fewer
/// bytes.
const LEVEL: i32 = 1;

/// How much compressed data is gathered before it is handed to the store.
const BLOCK: usize = 1 << 20;

/// A chunk being written.
pub struct ChunkWriter {
    object: ObjectWriter,
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    raw: blake3::Hasher,
    stored: blake3::Hasher,
    raw_bytes: u64,
    stored_bytes: u64,
}

/// Sizes and hashes of a chunk that is stored durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkWritten {
    /// How it is compressed.
    pub codec: Codec,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// blake3 before compression.
    pub raw_hash: Hash,
    /// Bytes of the object.
    pub stored_bytes: u64,
    /// blake3 of the object.
    pub stored_hash: Hash,
}

impl ChunkWriter {
    /// Begins a chunk under this key.
    pub async fn create(store: &RunStore, key: &str) -> Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(codec)?;
        Ok(Self {
            object: store.writer(key).await?,
            encoder,
            raw: blake3::Hasher::new(),
            stored: blake3::Hasher::new(),
            raw_bytes: 0,
            stored_bytes: 0,
        })
    }

    /// Appends raw bytes: best in blocks of a mebibyte, so that hashing and compressing are worth
    /// their calls.
    pub async fn write(&mut self, raw: &[u8]) -> Result<()> {
        self.raw.update(raw);
        self.raw_bytes += raw.len() as u64;
        self.encoder.write_all(raw).map_err(codec)?;
        if self.encoder.get_ref().len() >= BLOCK {
            let block = std::mem::take(self.encoder.get_mut());
            self.send(&block).await?;
        }
        Ok(())
    }

    async fn send(&mut self, block: &[u8]) -> Result<()> {
        self.stored.update(block);
        self.stored_bytes += block.len() as u64;
        self.object.write(block).await
    }

    /// Makes the chunk exist, durably.
    pub async fn finish(mut self) -> Result<ChunkWritten> {
        self.encoder.do_finish().map_err(codec)?;
        let block = std::mem::take(self.encoder.get_mut());
        self.send(&block).await?;
        self.object.finish().await?;
        Ok(ChunkWritten {
            codec: Codec::Zstd,
            raw_bytes: self.raw_bytes,
            raw_hash: self.raw.finalize().into(),
            stored_bytes: self.stored_bytes,
            stored_hash: self.stored.finalize().into(),
        })
    }

    /// Gives the chunk up.
    pub async fn abort(self) -> Result<()> {
        self.object.abort().await
    }
}

fn codec(cause: std::io::Error) -> Failure {
    Failure::new(ErrorKind::Internal, "could not compress a chunk").because(cause)
}

/// A chunk being read. What it gives is only proven at the end: [`ChunkReader::next`] gives
/// `None` once, after both hashes and both sizes were found right.
pub struct ChunkReader {
    object: ObjectReader,
    decoder: Decoder<'static>,
    expected: StoredChunk,
    place: String,
    raw: blake3::Hasher,
    stored: blake3::Hasher,
    raw_bytes: u64,
    stored_bytes: u64,
    pending: Bytes,
    frame_open: bool,
}

impl ChunkReader {
    /// Begins to read a chunk of the manifest.
    pub async fn open(store: &RunStore, chunk: &StoredChunk) -> Result<Self> {
        let place = store.describe(&chunk.key);
        let object = store.reader(&chunk.key).await?.ok_or_else(|| {
            Failure::new(
                ErrorKind::ObjectMissing,
                format!("stored chunk {} is missing", chunk.chunk),
            )
            .at(place.clone())
            .hint(
                "`towpath verify --chunks` lists every damaged chunk; export again with --new-run",
            )
        })?;
        Ok(Self {
            object,
            decoder: Decoder::new().map_err(codec)?,
            expected: chunk.clone(),
            place,
            raw: blake3::Hasher::new(),
            stored: blake3::Hasher::new(),
            raw_bytes: 0,
            stored_bytes: 0,
            pending: Bytes::new(),
            frame_open: false,
        })
    }

    /// The next raw bytes, up to a mebibyte; nothing at the proven end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut raw = vec![0u8; BLOCK];
        loop {
            let written = self.decode(&mut raw)?;
            if written > 0 {
                raw.truncate(written);
                self.raw.update(&raw);
                self.raw_bytes += written as u64;
                return Ok(Some(raw));
            }
            match self.object.next().await? {
                Some(block) => {
                    self.stored.update(&block);
                    self.stored_bytes += block.len() as u64;
                    self.pending = block;
                }
                None => return self.prove_end(),
            }
        }
    }

    /// Decodes what fits from the pending block; gives the raw bytes written. A call that fills
    /// the buffer leaves the rest of the block pending for the next.
    fn decode(&mut self, raw: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        while !self.pending.is_empty() && written < raw.len() {
            let mut input = InBuffer::around(&self.pending);
            let mut output = OutBuffer::around(&mut raw[written..]);
            let hint = self.decoder.run(&mut input, &mut output).map_err(|cause| {
                self.corrupt("stored bytes are not a Zstandard frame")
                    .because(cause)
            })?;
            let (read, wrote) = (input.pos(), output.pos());
            written += wrote;
            self.frame_open = hint != 0;
            let _consumed = self.pending.split_to(read);
            // The decoder may hold back output that did not fit; it gives it when called again.
            if read == 0 && wrote == 0 {
                return Err(self.corrupt("stored bytes end inside a Zstandard frame"));
            }
        }
        // Drain what the decoder still holds while there is room.
        while written < raw.len() && self.frame_open {
            let mut input = InBuffer::around(&[]);
            let mut output = OutBuffer::around(&mut raw[written..]);
            let hint = self.decoder.run(&mut input, &mut output).map_err(|cause| {
                self.corrupt("stored bytes are not a Zstandard frame")
                    .because(cause)
            })?;
            let wrote = output.pos();
            self.frame_open = hint != 0;
            if wrote == 0 {
                break;
            }
            written += wrote;
        }
        Ok(written)
    }

    fn prove_end(&mut self) -> Result<Option<Vec<u8>>> {
        let expected = &self.expected;
        let stored: Hash = self.stored.finalize().into();
        let raw: Hash = self.raw.finalize().into();
        if stored != expected.stored_hash || self.stored_bytes != expected.stored_bytes {
            return Err(self.corrupt(&format!(
                "stored bytes do not match the manifest (blake3 {}, expected {})",
                stored.short(),
                expected.stored_hash.short()
            )));
        }
        if self.frame_open {
            return Err(self.corrupt("stored bytes end inside a Zstandard frame"));
        }
        if raw != expected.raw_hash || self.raw_bytes != expected.raw_bytes {
            return Err(self.corrupt(&format!(
                "raw bytes do not match the manifest (blake3 {}, expected {})",
                raw.short(),
                expected.raw_hash.short()
            )));
        }
        Ok(None)
    }

    fn corrupt(&self, what: &str) -> Failure {
        Failure::new(ErrorKind::ChunkCorrupt, format!("chunk {}: {what}", self.expected.chunk))
            .at(self.place.clone())
            .hint("the object changed after it was stored; `towpath verify --chunks` lists every damaged chunk")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreLocation, StoreOptions};
    use proptest::prelude::*;
    use towpath_model::digest::RowDigest;
    use towpath_model::{ChunkId, QualifiedName, RunId, TableId};

    async fn store(directory: &std::path::Path) -> RunStore {
        let location = StoreLocation::File {
            directory: directory.to_owned(),
        };
        let run = RunId::compose("20260101", [1; 5]);
        RunStore::open(&location, &run, &StoreOptions::default()).await
    }

    async fn write(store: &RunStore, raw: &[u8], block: usize) -> StoredChunk {
        let table = TableId::of(&QualifiedName::new("public", "t"));
        let mut writer = ChunkWriter::create(store, "chunks/t/1").await.unwrap();
        for part in raw.chunks(block) {
            writer.write(part).await.unwrap();
        }
        let written = writer.finish().await.unwrap();
        StoredChunk {
            chunk: ChunkId { table, no: 1 },
            attempt: 1,
            key: "chunks/t/1".to_owned(),
            codec: written.codec,
            raw_bytes: written.raw_bytes,
            raw_hash: written.raw_hash,
            stored_bytes: written.stored_bytes,
            stored_hash: written.stored_hash,
            digest: RowDigest::default(),
        }
    }

    async fn read(store: &RunStore, chunk: &StoredChunk) -> Result<Vec<u8>> {
        let mut reader = ChunkReader::open(store, chunk).await?;
        let mut raw = Vec::new();
        while let Some(block) = reader.next().await? {
            raw.extend_from_slice(&block);
        }
        Ok(raw)
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn sizes_around_the_block_come_back_whole() {
        run(async {
            for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
                for compressible in [true, false] {
                    let directory = tempfile::tempdir().unwrap();
                    let store = store(directory.path()).await;
                    let mut raw = vec![7u8; size];
                    if !compressible {
                        blake3::Hasher::new().finalize_xof().fill(&mut raw);
                    }
                    let chunk = write(&store, &raw, 70_001).await;
                    assert_eq!(read(&store, &chunk).await.unwrap(), raw, "size {size}");
                }
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_flipped_bit_is_found(raw in proptest::collection::vec(any::<u8>(), 0..5000), at: prop::sample::Index, bit in 0u8..8) {
            run(async {
                let directory = tempfile::tempdir().unwrap();
                let store = store(directory.path()).await;
                let chunk = write(&store, &raw, 512).await;
                let path = directory.path().join(store.run().as_str()).join(&chunk.key);
                let mut bytes = std::fs::read(&path).unwrap();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                std::fs::write(&path, bytes).unwrap();
                let found = read(&store, &chunk).await.unwrap_err();
                assert_eq!(found.kind(), ErrorKind::ChunkCorrupt);
            });
        }
    }

    #[test]
    fn truncated_and_missing_objects_are_found() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let store = store(directory.path()).await;
            let chunk = write(&store, &[1, 2, 3, 4, 5, 6, 7, 8], 3).await;
            let path = directory.path().join(store.run().as_str()).join(&chunk.key);
            let bytes = std::fs::read(&path).unwrap();
            for keep in 0..bytes.len() {
                std::fs::write(&path, &bytes[..keep]).unwrap();
                let found = read(&store, &chunk).await.unwrap_err();
                assert_eq!(found.kind(), ErrorKind::ChunkCorrupt, "kept {keep}");
            }
            std::fs::remove_file(&path).unwrap();
            assert_eq!(
                read(&store, &chunk).await.unwrap_err().kind(),
                ErrorKind::ObjectMissing
            );
        });
    }

    #[test]
    fn an_object_is_never_overwritten() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let store = store(directory.path()).await;
            store.put_new("plan.json", b"one".to_vec()).await.unwrap();
            let refused = store
                .put_new("plan.json", b"two".to_vec())
                .await
                .unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ObjectExists);
            assert_eq!(store.get("plan.json").await.unwrap().unwrap(), b"one");
            store.put_same("plan.json", b"one".to_vec()).await.unwrap();
            assert!(store.put_same("plan.json", b"two".to_vec()).await.is_err());
        });
    }

    #[test]
    fn an_abandoned_writer_leaves_no_object() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let store = store(directory.path()).await;
            let mut writer = ChunkWriter::create(&store, "chunks/t/1").await.unwrap();
            writer.write(b"rows").await.unwrap();
            drop(writer);
            assert!(store.get("chunks/t/1").await.unwrap().is_none());
        });
    }
}
