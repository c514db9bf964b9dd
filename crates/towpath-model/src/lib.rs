//! What towpath writes down, and what it calls things.
//!
//! Pure data and pure functions: nothing here does I/O, reads a clock, the environment or a source
//! of randomness. Every type that is persisted opens with a `format` and a `version`
//! ([`document`]), so that a later towpath can tell what it reads and refuse what it does not know.

pub mod access;
pub mod aspects;
pub mod clone;
pub mod clone_rules;
pub mod connection;
pub mod convergence;
pub mod custody;
pub mod cutover;
pub mod definition;
pub mod digest;
pub mod document;
pub mod event;
pub mod exit;
pub mod expectation;
pub mod failure;
pub mod health;
pub mod ids;
pub mod inventory;
pub mod journal;
pub mod keys;
pub mod lease;
pub mod manifest;
pub mod masking;
pub mod migrations;
pub mod name;
pub mod objects;
pub mod plan;
pub mod readable;
pub mod references;
pub mod rehearsal;
pub mod report;
pub mod schema;
pub mod script;
pub mod secret_text;
pub mod stop;
pub mod structure;
pub mod subset;
pub mod upkeep;
pub mod verification;

pub use exit::Exit;
pub use failure::{ErrorKind, Failure, Result};
pub use ids::{ChunkId, RunId, TableId};
pub use name::QualifiedName;
