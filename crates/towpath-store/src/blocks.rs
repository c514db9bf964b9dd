//! Blocks of memory that are used again.
//!
//! A block is filled by one thread and let go by another. An allocator gives such memory back to the
//! system and asks for it again, a mebibyte at a time, and the system clears every page of it: that
//! was four fifths of what reading chunks cost. So some blocks are kept.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::chunk::BLOCK;

/// Blocks kept at most: more than all readers of a process have at once.
const KEPT: usize = 16;

static KEPT_BLOCKS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty block with room for [`BLOCK`] bytes.
pub(crate) fn take() -> Vec<u8> {
    let mut kept = KEPT_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    kept.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK))
}

/// The bytes of a block, which is kept again when the last of them is let go.
pub(crate) fn share(block: Vec<u8>) -> Bytes {
    Bytes::from_owner(Shared(block))
}

struct Shared(Vec<u8>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut block = std::mem::take(&mut self.0);
        if block.capacity() != BLOCK {
            return;
        }
        block.clear();
        let mut kept = KEPT_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_empty_and_only_when_nobody_looks_at_it() {
        let mut block = take();
        block.extend_from_slice(b"rows");
        let whole = share(block);
        let part = whole.slice(1..3);
        drop(whole);
        assert_eq!(part, "ow");
        drop(part);
        assert!(take().is_empty());
    }
}
