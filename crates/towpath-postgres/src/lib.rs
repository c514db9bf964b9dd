//! The only crate of towpath that knows the database driver.
//!
//! Sessions with pinned settings, the snapshot holder, COPY in both directions, and reading of the
//! catalog. Everything is handed out in types of [`towpath_model`]; no type of the driver leaves.

mod copy;
mod error;
#[cfg(target_os = "linux")]
mod no_delay;
mod session;
mod snapshot;
mod watch;

pub mod catalog;
pub mod structure;

pub use copy::{CopyIn, CopyOut};
pub use error::{ServerError, redact_message};
pub use session::{Session, SessionOptions};
pub use snapshot::{SnapshotFacts, SnapshotHolder};
