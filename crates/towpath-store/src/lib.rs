//! The run store: the interface between the stages, on S3 or in a local directory.
//!
//! Objects are put once and never overwritten; the one exception is the lease. Nothing that is read
//! is found by listing: documents have fixed keys, and everything else is named by a document or
//! numbered without gaps. What is to be deleted is listed, and so are the runs of a store.

mod adopt;
mod backend;
mod blocks;
mod chunk;
mod codec;
mod file;
mod journal;
mod lease;
mod location;
mod run_store;
mod s3;
mod staged;

pub use backend::{ObjectReader, ObjectWriter};
pub use chunk::{BLOCK, ChunkReader, ChunkWriter, ChunkWritten, SealedChunk};
pub use codec::{CodecCost, CodecPolicy, CodecSetting, Measured, Observed, choose};
pub use journal::{Journal, read_journal};
pub use lease::{HeldLease, LeaseOptions, Process};
pub use location::StoreLocation;
pub use run_store::{RunStore, StoreOptions};
pub use staged::{Staged, stored_runs};
