//! Chunks: raw bytes in, an object out that may be compressed, and the way back; hashed on both
//! sides of the codec.

use std::time::{Duration, Instant};

use bytes::Bytes;
use towpath_model::digest::Hash;
use towpath_model::manifest::{Codec, StoredChunk};
use towpath_model::{ErrorKind, Failure, Result};
use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation, OutBuffer};

use crate::backend::{ObjectReader, ObjectWriter};
use crate::blocks;
use crate::codec::Measured;
use crate::run_store::RunStore;

/// Levels of Zstandard: a negative one, which gives up ratio for speed, and the fastest of the
/// ordinary ones. Level 3 halves the speed for a tenth fewer bytes.
const FAST: i32 = -3;
const ORDINARY: i32 = 1;

/// How much is handed on at once: enough that a call of the hash, of the codec or of the store is
/// worth it, little enough to stay in a processor's cache.
pub const BLOCK: usize = 1 << 20;

/// A chunk being written.
pub struct ChunkWriter {
    object: ObjectWriter,
    packing: Option<Packing>,
    codec: Codec,
    raw: blake3::Hasher,
    raw_bytes: u64,
    began: Instant,
    compressing: Duration,
    waiting: Duration,
}

/// The compressed side of a chunk that is compressed.
struct Packing {
    encoder: Encoder<'static>,
    packed: Vec<u8>,
    stored: blake3::Hasher,
    stored_bytes: u64,
}

impl Packing {
    fn new(level: i32) -> Result<Self> {
        Ok(Self {
            encoder: Encoder::new(level).map_err(codec)?,
            packed: Vec::new(),
            stored: blake3::Hasher::new(),
            stored_bytes: 0,
        })
    }

    /// Compresses some of `raw` and gives the rest; stops when a block is full.
    fn pack<'r>(&mut self, raw: &'r [u8]) -> Result<&'r [u8]> {
        self.make_room();
        let mut input = InBuffer::around(raw);
        let from = self.packed.len();
        let mut output = OutBuffer::around_pos(&mut self.packed, from);
        self.encoder.run(&mut input, &mut output).map_err(codec)?;
        let read = input.pos();
        Ok(&raw[read..])
    }

    /// Ends the frame; `true` when all of it is in `packed`.
    fn end(&mut self) -> Result<bool> {
        self.make_room();
        let from = self.packed.len();
        let mut output = OutBuffer::around_pos(&mut self.packed, from);
        let left = self.encoder.finish(&mut output, false).map_err(codec)?;
        Ok(left == 0)
    }

    /// A small chunk should not cost a whole block of memory.
    fn make_room(&mut self) {
        if self.packed.capacity() == 0 {
            self.packed.reserve_exact(BLOCK);
        }
    }

    fn is_full(&self) -> bool {
        self.packed.len() == self.packed.capacity()
    }

    /// The block to store now, hashed.
    fn take(&mut self) -> Vec<u8> {
        let block = std::mem::take(&mut self.packed);
        self.stored.update(&block);
        self.stored_bytes += block.len() as u64;
        block
    }
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
    /// Where the time went.
    pub measured: Measured,
}

impl ChunkWriter {
    /// Begins a chunk under this key.
    pub async fn create(store: &RunStore, key: &str, codec: Codec) -> Result<Self> {
        let packing = match codec {
            Codec::None => None,
            Codec::ZstdFast => Some(Packing::new(FAST)?),
            Codec::Zstd => Some(Packing::new(ORDINARY)?),
        };
        Ok(Self {
            object: store.writer(key).await?,
            packing,
            codec,
            raw: blake3::Hasher::new(),
            raw_bytes: 0,
            began: Instant::now(),
            compressing: Duration::ZERO,
            waiting: Duration::ZERO,
        })
    }

    /// Appends raw bytes, best a block of [`BLOCK`] bytes; gives an empty buffer to fill next.
    pub async fn write(&mut self, raw: Vec<u8>) -> Result<Vec<u8>> {
        self.raw.update(&raw);
        self.raw_bytes += raw.len() as u64;
        if self.packing.is_none() {
            return self.send(raw).await;
        }
        let mut rest = raw.as_slice();
        while !rest.is_empty() {
            rest = self.pack(rest).await?;
        }
        let mut spent = raw;
        spent.clear();
        Ok(spent)
    }

    async fn pack<'r>(&mut self, raw: &'r [u8]) -> Result<&'r [u8]> {
        let Some(packing) = &mut self.packing else {
            return Ok(&[]);
        };
        let began = Instant::now();
        let rest = packing.pack(raw)?;
        let full = packing.is_full().then(|| packing.take());
        self.compressing += began.elapsed();
        if let Some(block) = full {
            self.send_packed(block).await?;
        }
        Ok(rest)
    }

    async fn send_packed(&mut self, block: Vec<u8>) -> Result<()> {
        let spent = self.send(block).await?;
        if let Some(packing) = &mut self.packing {
            packing.packed = spent;
        }
        Ok(())
    }

    async fn send(&mut self, block: Vec<u8>) -> Result<Vec<u8>> {
        let began = Instant::now();
        let spent = self.object.write(block).await;
        self.waiting += began.elapsed();
        spent
    }

    /// Ends the raw bytes. What is left to do is the store's, and the next chunk may be read
    /// meanwhile.
    pub async fn seal(mut self) -> Result<SealedChunk> {
        while let Some(packing) = &mut self.packing {
            let ended = packing.end()?;
            let block = packing.take();
            self.send_packed(block).await?;
            if ended {
                break;
            }
        }
        let raw_hash = self.raw.finalize();
        let (stored_bytes, stored_hash) = match &self.packing {
            // The same bytes: hashed once.
            None => (self.raw_bytes, raw_hash),
            Some(packing) => (packing.stored_bytes, packing.stored.finalize()),
        };
        let busy = self.compressing + self.waiting;
        Ok(SealedChunk {
            object: self.object,
            written: ChunkWritten {
                codec: self.codec,
                raw_bytes: self.raw_bytes,
                raw_hash: raw_hash.into(),
                stored_bytes,
                stored_hash: stored_hash.into(),
                measured: Measured {
                    raw_bytes: self.raw_bytes,
                    stored_bytes,
                    compressing: self.compressing,
                    storing: Duration::ZERO,
                    other: self.began.elapsed().saturating_sub(busy),
                },
            },
        })
    }

    /// Makes the chunk exist, durably.
    pub async fn finish(self) -> Result<ChunkWritten> {
        self.seal().await?.finish().await
    }

    /// Gives the chunk up.
    pub async fn abort(self) -> Result<()> {
        self.object.abort().await
    }
}

/// A chunk whose bytes are all handed to the store; not yet an object.
pub struct SealedChunk {
    object: ObjectWriter,
    written: ChunkWritten,
}

impl SealedChunk {
    /// Memory that the chunk holds until it is finished, at most.
    pub fn held_bytes(&self) -> u64 {
        self.object.held_bytes(self.written.stored_bytes)
    }

    /// Makes the chunk exist, durably.
    pub async fn finish(self) -> Result<ChunkWritten> {
        let mut written = self.written;
        written.measured.storing = self.object.finish(written.stored_hash).await?;
        Ok(written)
    }
}

fn codec(cause: std::io::Error) -> Failure {
    Failure::new(ErrorKind::Internal, "could not compress a chunk").because(cause)
}

/// A chunk being read. What it gives is only proven at the end: [`ChunkReader::next`] gives
/// `None` once, after both hashes and both sizes were found right.
pub struct ChunkReader {
    object: ObjectReader,
    unpacking: Option<Unpacking>,
    expected: StoredChunk,
    place: String,
    stored: blake3::Hasher,
    stored_bytes: u64,
}

/// The raw side of a chunk that is compressed.
struct Unpacking {
    decoder: Decoder<'static>,
    pending: Bytes,
    frame_open: bool,
    /// A block that nothing was decoded into yet.
    spare: Vec<u8>,
    raw: blake3::Hasher,
    raw_bytes: u64,
}

impl Unpacking {
    fn new() -> Result<Self> {
        Ok(Self {
            decoder: Decoder::new().map_err(codec)?,
            pending: Bytes::new(),
            frame_open: false,
            spare: Vec::new(),
            raw: blake3::Hasher::new(),
            raw_bytes: 0,
        })
    }

    /// Decodes until a block is full or the pending bytes are used up. What does not fit stays
    /// pending, or in the decoder, for the next call.
    fn decode(&mut self) -> std::io::Result<Vec<u8>> {
        let mut raw = std::mem::take(&mut self.spare);
        while !self.pending.is_empty() || self.frame_open {
            if raw.capacity() == 0 {
                raw = blocks::take();
            }
            let from = raw.len();
            let mut input = InBuffer::around(&self.pending);
            let mut output = OutBuffer::around_pos(&mut raw, from);
            let hint = self.decoder.run(&mut input, &mut output)?;
            let read = input.pos();
            self.frame_open = hint != 0;
            let _consumed = self.pending.split_to(read);
            // No progress: the rest of the frame is in the next block of the object, or nowhere.
            if raw.len() == raw.capacity() || (read == 0 && raw.len() == from) {
                break;
            }
        }
        if raw.is_empty() {
            self.spare = raw;
            return Ok(Vec::new());
        }
        self.raw.update(&raw);
        self.raw_bytes += raw.len() as u64;
        Ok(raw)
    }
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
            unpacking: match chunk.codec.is_packed() {
                true => Some(Unpacking::new()?),
                false => None,
            },
            expected: chunk.clone(),
            place,
            stored: blake3::Hasher::new(),
            stored_bytes: 0,
        })
    }

    /// The next raw bytes, at most about a mebibyte; nothing at the proven end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(unpacking) = &mut self.unpacking {
                let raw = unpacking.decode();
                let raw = raw.map_err(|cause| {
                    self.corrupt("stored bytes are not a Zstandard frame")
                        .because(cause)
                })?;
                if !raw.is_empty() {
                    return Ok(Some(blocks::share(raw)));
                }
            }
            let Some(block) = self.object.next().await? else {
                return self.prove_end();
            };
            self.stored.update(&block);
            self.stored_bytes += block.len() as u64;
            match &mut self.unpacking {
                Some(unpacking) => unpacking.pending = block,
                None => return Ok(Some(block)),
            }
        }
    }

    fn prove_end(&mut self) -> Result<Option<Bytes>> {
        let expected = &self.expected;
        let stored: Hash = self.stored.finalize().into();
        let (raw, raw_bytes, frame_open) = match &self.unpacking {
            None => (stored, self.stored_bytes, false),
            Some(unpacking) => (
                unpacking.raw.finalize().into(),
                unpacking.raw_bytes,
                unpacking.frame_open,
            ),
        };
        if stored != expected.stored_hash || self.stored_bytes != expected.stored_bytes {
            return Err(self.corrupt(&format!(
                "stored bytes do not match the manifest (blake3 {}, expected {})",
                stored.short(),
                expected.stored_hash.short()
            )));
        }
        if frame_open {
            return Err(self.corrupt("stored bytes end inside a Zstandard frame"));
        }
        if raw != expected.raw_hash || raw_bytes != expected.raw_bytes {
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

    async fn write(store: &RunStore, codec: Codec, raw: &[u8], block: usize) -> StoredChunk {
        let table = TableId::of(&QualifiedName::new("public", "t"));
        let mut writer = ChunkWriter::create(store, "chunks/t/1", codec)
            .await
            .unwrap();
        let mut buffer = Vec::new();
        for part in raw.chunks(block) {
            buffer.extend_from_slice(part);
            buffer = writer.write(buffer).await.unwrap();
            assert!(buffer.is_empty());
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
            masked: None,
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
                for (compressible, codec) in [true, false]
                    .into_iter()
                    .flat_map(|compressible| Codec::ALL.map(|codec| (compressible, codec)))
                {
                    let directory = tempfile::tempdir().unwrap();
                    let store = store(directory.path()).await;
                    let mut raw = vec![7u8; size];
                    if !compressible {
                        blake3::Hasher::new().finalize_xof().fill(&mut raw);
                    }
                    for block in [70_001, BLOCK, 5 * BLOCK] {
                        let chunk = Box::pin(write(&store, codec, &raw, block)).await;
                        assert_eq!(read(&store, &chunk).await.unwrap(), raw, "size {size}");
                        assert_eq!(chunk.raw_hash, Hash::of(&raw));
                        let path = directory.path().join(store.run().as_str()).join(&chunk.key);
                        let stored = std::fs::read(&path).unwrap();
                        assert_eq!(chunk.stored_hash, Hash::of(&stored));
                        assert_eq!(stored == raw, codec == Codec::None);
                        std::fs::remove_file(path).unwrap();
                    }
                }
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_flipped_bit_is_found(raw in proptest::collection::vec(any::<u8>(), 1..5000), codec in prop::sample::select(&Codec::ALL[..]), at: prop::sample::Index, bit in 0u8..8) {
            run(async {
                let directory = tempfile::tempdir().unwrap();
                let store = store(directory.path()).await;
                let chunk = Box::pin(write(&store, codec, &raw, 512)).await;
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
            for codec in Codec::ALL {
                let directory = tempfile::tempdir().unwrap();
                let store = store(directory.path()).await;
                let chunk = Box::pin(write(&store, codec, &[1, 2, 3, 4, 5, 6, 7, 8], 3)).await;
                let path = directory.path().join(store.run().as_str()).join(&chunk.key);
                let bytes = std::fs::read(&path).unwrap();
                for keep in 0..bytes.len() {
                    std::fs::write(&path, &bytes[..keep]).unwrap();
                    let found = read(&store, &chunk).await.unwrap_err();
                    assert_eq!(found.kind(), ErrorKind::ChunkCorrupt, "kept {keep}");
                }
                std::fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
                let found = read(&store, &chunk).await.unwrap_err();
                assert_eq!(found.kind(), ErrorKind::ChunkCorrupt);
                std::fs::remove_file(&path).unwrap();
                assert_eq!(
                    read(&store, &chunk).await.unwrap_err().kind(),
                    ErrorKind::ObjectMissing
                );
            }
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
            for codec in Codec::ALL {
                let mut writer = ChunkWriter::create(&store, "chunks/t/1", codec)
                    .await
                    .unwrap();
                for _ in 0..5 {
                    let rows = vec![b'r'; BLOCK];
                    drop(writer.write(rows).await.unwrap());
                }
                drop(writer);
                assert!(store.get("chunks/t/1").await.unwrap().is_none());
            }
        });
    }
}
