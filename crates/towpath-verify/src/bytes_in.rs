//! Where bytes of rows come from: a stored object, or a server.

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
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Object(object) => object.next().await,
            Self::Server(copy) => Ok(copy.next().await?.map(|message| message.to_vec())),
            #[cfg(test)]
            Self::Blocks(blocks) => Ok(blocks.pop_front()),
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
    packed: Vec<u8>,
    /// Where in `packed` the decoder is.
    at: usize,
    /// The last piece was full, so the decoder may hold more.
    is_full: bool,
}

impl Unpacking {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            packed: Vec::new(),
            at: 0,
            is_full: false,
        })
    }

    /// Takes packed bytes, when those before are used up.
    fn feed(&mut self, packed: &[u8]) {
        self.packed = packed.to_vec();
        self.at = 0;
    }

    /// The next piece; empty when more packed bytes are wanted.
    fn next(&mut self) -> std::io::Result<Vec<u8>> {
        let mut raw = vec![0; AT_ONCE];
        let mut filled = 0;
        while filled == 0 && (self.at < self.packed.len() || self.is_full) {
            let mut input = InBuffer::around(&self.packed[self.at..]);
            let mut output = OutBuffer::around(raw.as_mut_slice());
            self.decoder.run(&mut input, &mut output)?;
            let taken = input.pos();
            filled = output.pos();
            if taken == 0 && filled == 0 && !self.is_full {
                return Err(std::io::Error::other("the decoder makes no progress"));
            }
            self.at += taken;
            self.is_full = filled == AT_ONCE;
        }
        raw.truncate(filled);
        Ok(raw)
    }
}

/// A stored object, read, hashed and decoded.
pub(crate) struct ObjectBytes {
    object: ObjectReader,
    /// Gone after the first bytes that are no Zstandard.
    unpacking: Option<Unpacking>,
    stored: blake3::Hasher,
    raw: blake3::Hasher,
    stored_bytes: u64,
    raw_bytes: u64,
    undecodable: Option<String>,
}

impl ObjectBytes {
    /// Opens a chunk's object; nothing when it is gone.
    pub(crate) async fn open(store: &RunStore, chunk: &StoredChunk) -> Result<Option<Self>> {
        let Some(object) = store.reader(&chunk.key).await? else {
            return Ok(None);
        };
        let (unpacking, undecodable) = match Unpacking::new() {
            Ok(unpacking) => (Some(unpacking), None),
            Err(cause) => (None, Some(cause.to_string())),
        };
        Ok(Some(Self {
            object,
            unpacking,
            stored: blake3::Hasher::new(),
            raw: blake3::Hasher::new(),
            stored_bytes: 0,
            raw_bytes: 0,
            undecodable,
        }))
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let raw = self.unpack();
            if !raw.is_empty() {
                self.raw.update(&raw);
                self.raw_bytes += raw.len() as u64;
                return Ok(Some(raw));
            }
            let Some(block) = self.object.next().await? else {
                return Ok(None);
            };
            self.stored.update(&block);
            self.stored_bytes += block.len() as u64;
            if let Some(unpacking) = &mut self.unpacking {
                unpacking.feed(&block);
            }
        }
    }

    /// Unpacks a piece of the block at hand. An object that stops being Zstandard is still read on,
    /// so that its stored hash can be told.
    fn unpack(&mut self) -> Vec<u8> {
        match self.unpacking.as_mut().map(Unpacking::next) {
            None => Vec::new(),
            Some(Ok(raw)) => raw,
            Some(Err(cause)) => {
                self.undecodable = Some(cause.to_string());
                self.unpacking = None;
                Vec::new()
            }
        }
    }

    /// What was seen, once the end is reached.
    pub(crate) fn facts(&self) -> ObjectFacts {
        ObjectFacts {
            stored_bytes: self.stored_bytes,
            stored_hash: self.stored.finalize().into(),
            raw_bytes: self.raw_bytes,
            raw_hash: self.raw.finalize().into(),
            undecodable: self.undecodable.clone(),
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
            unpacking.feed(block);
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
