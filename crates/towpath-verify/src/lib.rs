//! Independent proof that store and target hold what the source held.
//!
//! Shares no reader, splitter, encoder or hashing with export and load: rows are framed, counted
//! and hashed again here, from plain reads. What each level can and cannot see is written in
//! `docs/concepts/verification.md`.

mod access;
mod buckets;
mod bytes_in;
mod chunks;
mod clone;
mod counts;
mod coverage;
mod custody;
pub mod evidence;
mod health;
mod held;
mod live;
mod locate;
mod options;
mod pushdown;
mod row_digest;
mod row_fields;
mod row_query;
mod row_stream;
mod row_value;
mod sequences;
mod side;
mod slices;
mod structure;
mod tables;
mod verify;

pub use access::{AccessClaims, AccessOptions};
pub use clone::CloneContext;
pub use health::HealthOptions;
pub use live::{LiveProofs, prove_live};
pub use options::{Level, VerifyContext, VerifyOptions};
pub use structure::compare_with_expected;
pub use tables::{SideProof, prove_side};
pub use verify::{open_manifest, verify};
