//! Where bytes of rows come from: a stored object, or a server.

use bytes::Bytes;
use towpath_model::Result;
use towpath_model::digest::Hash;
use towpath_model::manifest::StoredChunk;
use towpath_postgres::CopyOut;
use towpath_store::{ObjectReader, RunStore};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// Raw bytes given at once: a few stored bytes may be gigabytes of rows.
const AT_ONCE: usize = 1 << 20;

/// Raw bytes of rows, in order.
pub(crate) enum BytesIn<'c> {
    /// From the store.
    Object(Box<ObjectBytes>),
    /// From a server.
    Server(CopyOut<'c>),
    /// From memory.
    #[cfg(test)]
    Blocks(std::collections::VecDeque<Vec<u8>>),
}

impl BytesIn<'_> {
    /// The next raw bytes; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Object(object) => object.next().await,
            Self::Server(copy) => copy.next().await,
            #[cfg(test)]
            Self::Blocks(blocks) => Ok(blocks.pop_front().map(Bytes::from)),
        }
    }
}

/// What was seen of a stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectFacts {
    pub(crate) stored_bytes: u64,
    pub(crate) stored_hash: Hash,
    pub(crate) raw_bytes: u64,
    pub(crate) raw_hash: Hash,
    /// Why the object could not be decoded to its end, if so.
    pub(crate) undecodable: Option<String>,
}

/// Zstandard, unpacked a bounded piece at a time.
struct Unpacking {
    decoder: Decoder<'static>,
    packed: Bytes,
    /// Where in `packed` the decoder is.
    at: usize,
    /// The last piece was full, so the decoder may hold more.
    is_full: bool,
}

impl Unpacking {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            packed: Bytes::new(),
            at: 0,
            is_full: false,
        })
    }

    /// Takes packed bytes, when those before are used up.
    fn feed(&mut self, packed: Bytes) {
        self.packed = packed;
        self.at = 0;
    }

    /// The next piece; empty when more packed bytes are wanted.
    fn next(&mut self) -> std::io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        while raw.is_empty() && (self.at < self.packed.len() || self.is_full) {
            raw.reserve_exact(AT_ONCE);
            let mut input = InBuffer::around(&self.packed[self.at..]);
            let mut output = OutBuffer::around(&mut raw);
            self.decoder.run(&mut input, &mut output)?;
            let taken = input.pos();
            if taken == 0 && raw.is_empty() && !self.is_full {
                return Err(std::io::Error::other("the decoder makes no progress"));
            }
            self.at += taken;
            self.is_full = raw.len() == raw.capacity();
        }
        Ok(raw)
    }
}

/// How the bytes of an object become those of rows.
enum Packing {
    /// They are the same.
    Plain,
    Zstandard(Unpacking),
    /// It said it was Zstandard. Why it is none.
    Undecodable(String),
}

/// A stored object, read, hashed and decoded.
pub(crate) struct ObjectBytes {
    object: ObjectReader,
    packing: Packing,
    stored: blake3::Hasher,
    raw: blake3::Hasher,
    stored_bytes: u64,
    raw_bytes: u64,
}

impl ObjectBytes {
    /// Opens a chunk's object; nothing when it is gone.
    pub(crate) async fn open(store: &RunStore, chunk: &StoredChunk) -> Result<Option<Self>> {
        let Some(object) = store.reader(&chunk.key).await? else {
            return Ok(None);
        };
        let packing = match chunk.codec.is_packed().then(Unpacking::new) {
            None => Packing::Plain,
            Some(Ok(unpacking)) => Packing::Zstandard(unpacking),
            Some(Err(cause)) => Packing::Undecodable(cause.to_string()),
        };
        Ok(Some(Self {
            object,
            packing,
            stored: blake3::Hasher::new(),
            raw: blake3::Hasher::new(),
            stored_bytes: 0,
            raw_bytes: 0,
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let raw = self.unpack();
            if !raw.is_empty() {
                self.raw.update(&raw);
                self.raw_bytes += raw.len() as u64;
                return Ok(Some(Bytes::from(raw)));
            }
            let Some(block) = self.object.next().await? else {
                return Ok(None);
            };
            self.stored.update(&block);
            self.stored_bytes += block.len() as u64;
            match &mut self.packing {
                Packing::Plain => return Ok(Some(block)),
                Packing::Zstandard(unpacking) => unpacking.feed(block),
                Packing::Undecodable(_) => {}
            }
        }
    }

    /// Unpacks a piece of the block at hand. An object that stops being Zstandard is still read on,
    /// so that its stored hash can be told.
    fn unpack(&mut self) -> Vec<u8> {
        let Packing::Zstandard(unpacking) = &mut self.packing else {
            return Vec::new();
        };
        unpacking.next().unwrap_or_else(|cause| {
            self.packing = Packing::Undecodable(cause.to_string());
            Vec::new()
        })
    }

    /// What was seen, once the end is reached.
    pub(crate) fn facts(&self) -> ObjectFacts {
        let stored_hash = self.stored.finalize().into();
        // The same bytes: hashed once.
        let (raw_bytes, raw_hash) = match self.packing {
            Packing::Plain => (self.stored_bytes, stored_hash),
            _ => (self.raw_bytes, self.raw.finalize().into()),
        };
        ObjectFacts {
            stored_bytes: self.stored_bytes,
            stored_hash,
            raw_bytes,
            raw_hash,
            undecodable: match &self.packing {
                Packing::Undecodable(why) => Some(why.clone()),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of what was packed, fed in blocks.
    fn pieces(packed: &[u8], block: usize) -> std::io::Result<Vec<Vec<u8>>> {
        let mut unpacking = Unpacking::new()?;
        let mut pieces = Vec::new();
        for block in packed.chunks(block) {
            unpacking.feed(Bytes::copy_from_slice(block));
            loop {
                match unpacking.next()? {
                    piece if piece.is_empty() => break,
                    piece => pieces.push(piece),
                }
            }
        }
        Ok(pieces)
    }

    #[test]
    fn a_few_stored_bytes_never_become_gigabytes_at_once() {
        let raw = vec![0; 50 * AT_ONCE + 7];
        let packed = zstd::encode_all(raw.as_slice(), 1).unwrap();
        assert!(packed.len() < AT_ONCE / 10);
        for block in [1, 100, packed.len()] {
            let pieces = pieces(&packed, block).unwrap();
            assert!(pieces.iter().all(|piece| piece.len() <= AT_ONCE));
            assert_eq!(pieces.concat(), raw);
        }
    }

    #[test]
    fn what_is_no_zstandard_is_told() {
        assert!(pieces(b"not packed at all", 5).is_err());
        let packed = zstd::encode_all(b"rows".as_slice(), 1).unwrap();
        let twice = [packed.clone(), packed].concat();
        assert_eq!(pieces(&twice, 3).unwrap().concat(), b"rowsrows");
    }
}
