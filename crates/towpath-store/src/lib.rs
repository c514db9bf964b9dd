//! The run store: the interface between the stages, on S3 or in a local directory.
//!
//! Objects are put once and never overwritten; the one exception is the lease. Nothing is found by
//! listing: documents have fixed keys, and everything else is named by a document or numbered
//! without gaps.

mod backend;
mod chunk;
mod file;
mod journal;
mod lease;
mod location;
mod run_store;
mod s3;

pub use backend::{ObjectReader, ObjectWriter};
pub use chunk::{ChunkReader, ChunkWriter, ChunkWritten};
pub use journal::{Journal, read_journal};
pub use lease::{HeldLease, LeaseOptions, Process};
pub use location::StoreLocation;
pub use run_store::{RunStore, StoreOptions};
