//! Independent proof that store and target hold what the source held.
//!
//! Shares no reader, splitter, encoder or hashing with export and load: rows are framed, counted
//! and hashed again here, from plain reads. What each level can and cannot see is written in
//! `docs/concepts/verification.md`.

mod bytes_in;
mod chunks;
mod coverage;
mod locate;
mod options;
mod row_digest;
mod row_key;
mod row_stream;
mod sequences;
mod slices;
mod structure;
mod tables;
mod verify;

pub use options::{Level, VerifyContext, VerifyOptions};
pub use structure::compare_with_expected;
pub use tables::{SideProof, prove_side};
pub use verify::{open_manifest, verify};
