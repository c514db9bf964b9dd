//! Load: schema before, chunks exactly once, constraints after.
//!
//! Progress lives in the target, in the schema `towpath`, committed in the same transaction as the
//! work it tells of. Whatever dies whenever, the ledger and the tables agree, and the same command
//! goes on.

mod analysis;
mod begin;
mod board;
mod build;
mod catch_up;
mod chunks;
mod clear;
mod crew;
mod early;
mod guards;
mod large_objects;
mod ledger;
mod narrow;
mod options;
mod phases;
mod prepare;
mod references;
mod rows;
mod script;
mod sequences;

pub use catch_up::{Extent, TableCaughtUp, catch_up, refuse_large_objects};
pub use chunks::{Loaded, load_chunks};
pub use clear::{ClearOptions, clear, confirm_clear};
pub use early::Early;
pub use ledger::{LoadedBy, loaded_by};
pub use options::{LoadContext, LoadOptions};
pub use phases::post_data;
pub use prepare::{prepare, reset_stale};
pub use sequences::{set_sequences, set_sequences_by};
