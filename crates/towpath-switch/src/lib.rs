//! Switch: who points where in Lambda and Secrets Manager, and the way back.
//!
//! [`discover`] reads and decides, [`apply`] obeys, [`rollback`] puts back. Between the decision
//! and the first write the way back is stored, encrypted: after that, whatever happens, every
//! binding can be made exactly what it was.
//!
//! Bindings are written one after another. A switch is short, its order is the order of the way
//! back, and a failure then leaves few functions to put back.

mod apply;
mod aws;
mod binding;
mod carrier;
mod clients;
mod discover;
mod fields;
mod lambda;
mod mask;
mod options;
mod plan;
mod record;
mod rollback;
mod secret;
mod server;
mod split;
mod undo;
mod url;

pub use apply::{SwitchOutcome, apply};
pub use binding::{Binding, Change};
pub use clients::SwitchClients;
pub use discover::discover;
pub use options::{AwsOptions, Mapping, Selection};
pub use plan::{BindingsDocument, SwitchPlan, Untouched, Why};
pub use record::Record;
pub use rollback::{RollbackOutcome, rollback};
pub use undo::{UndoKey, bindings};
