//! Fence: from one moment on, no write on the source that the target does not have.
//!
//! One transaction takes `SHARE ROW EXCLUSIVE` locks on every migrated table, which waits for every
//! transaction that has written there and lets no other one begin to, and installs triggers that
//! refuse writes from its commit on. What stands on the source says so itself, in the schema
//! `towpath_fence`: a fence is found, proven and lifted without knowing anything else.

mod blockers;
mod holder;
mod install;
mod lift;
mod lock;
mod margin;
mod options;
mod proof;
mod put_up;
mod state;
mod tables;

pub use blockers::{Blocker, CancelBlockers};
pub use holder::Waiting;
pub use lift::{Lifted, lift};
pub use margin::with_margin;
pub use options::{FenceOptions, LockPatience};
pub use proof::prove;
pub use put_up::{Up, put_up};
pub use state::{Found, find};

/// The trigger on every fenced table. Triggers fire in the order of their names (PostgreSQL manual,
/// "Overview of Trigger Behavior"), and nobody's begins with a space.
pub const TRIGGER: &str = " towpath_fence";

/// The second one on tables of a subscription: its workers fire no triggers of statements.
pub const ROW_TRIGGER: &str = " towpath_fence_row";
