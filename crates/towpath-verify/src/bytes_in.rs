//! Where bytes of rows come from: a stored object, or a server.

use std::io::Write;

use towpath_model::Result;
use towpath_model::digest::Hash;
use towpath_model::manifest::StoredChunk;
use towpath_postgres::CopyOut;
use towpath_store::{ObjectReader, RunStore};
use zstd::stream::write::Decoder;

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

/// A stored object, read, hashed and decoded.
pub(crate) struct ObjectBytes {
    object: ObjectReader,
    /// Gone after the first bytes that are no Zstandard.
    decoder: Option<Decoder<'static, Vec<u8>>>,
    stored: blake3::Hasher,
    raw: blake3::Hasher,
    stored_bytes: u64,
    raw_bytes: u64,
    undecodable: Option<String>,
    ended: bool,
}

impl ObjectBytes {
    /// Opens a chunk's object; nothing when it is gone.
    pub(crate) async fn open(store: &RunStore, chunk: &StoredChunk) -> Result<Option<Self>> {
        let Some(object) = store.reader(&chunk.key).await? else {
            return Ok(None);
        };
        let (decoder, undecodable) = match Decoder::new(Vec::new()) {
            Ok(decoder) => (Some(decoder), None),
            Err(cause) => (None, Some(cause.to_string())),
        };
        Ok(Some(Self {
            object,
            decoder,
            stored: blake3::Hasher::new(),
            raw: blake3::Hasher::new(),
            stored_bytes: 0,
            raw_bytes: 0,
            undecodable,
            ended: false,
        }))
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        while !self.ended {
            let block = self.object.next().await?;
            match &block {
                Some(bytes) => {
                    self.stored.update(bytes);
                    self.stored_bytes += bytes.len() as u64;
                }
                None => self.ended = true,
            }
            let raw = self.decode(block.as_deref());
            if !raw.is_empty() {
                self.raw.update(&raw);
                self.raw_bytes += raw.len() as u64;
                return Ok(Some(raw));
            }
        }
        Ok(None)
    }

    /// Decodes a block, or flushes at the end. An object that stops being Zstandard is still read
    /// on, so that its stored hash can be told.
    fn decode(&mut self, block: Option<&[u8]>) -> Vec<u8> {
        let Some(decoder) = self.decoder.as_mut() else {
            return Vec::new();
        };
        let decoded = match block {
            Some(bytes) => decoder.write_all(bytes),
            None => decoder.flush(),
        };
        let raw = std::mem::take(decoder.get_mut());
        if let Err(cause) = decoded {
            self.undecodable = Some(cause.to_string());
            self.decoder = None;
        }
        raw
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
