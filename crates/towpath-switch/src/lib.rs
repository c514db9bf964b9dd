//! Switch: who points where in Lambda and Secrets Manager, and the way back.
//!
//! [`discover`] reads and decides, [`apply`] obeys, [`rollback`] puts back. Between the decision
//! and the first write the way back is stored, encrypted: after that, whatever happens, every
//! binding can be made exactly what it was.
//!
//! Bindings are written side by side within a bound, group by group (a canary first, where there is
//! one) and level by level within a group: values that functions read, functions, aliases.

mod alarm;
mod alias;
mod apply;
mod aws;
mod binding;
mod carrier;
mod catalogue;
mod clients;
mod completion;
mod conninfo;
mod credentials;
#[cfg(test)]
mod decisions;
mod discover;
mod drift;
mod encoded;
mod fields;
mod gate;
mod groups;
mod holders;
mod invoke;
mod kept;
mod kms;
mod lambda;
mod left;
mod mapping;
mod mask;
mod options;
mod parameter;
mod patience;
mod plan;
mod record;
mod referred;
mod rollback;
mod secret;
mod server;
#[cfg(test)]
mod shapes;
mod split;
mod status;
mod tasks;
mod tls;
mod topic;
mod undo;
mod url;
mod value;
mod way_back;

pub use alarm::{AlarmState, alarm_states};
pub use apply::{Progress, SwitchOutcome, apply, progress};
pub use binding::{Binding, Change};
pub use clients::{Place, SwitchClients};
pub use completion::{Caches, Conditions, Note, complete};
pub use discover::discover;
pub use gate::{Gate, Observers};
pub use invoke::{Answer, Invocation, invoke};
pub use left::{Untouched, Why};
pub use mapping::{Mapping, PasswordBy, Via};
pub use options::{ApplyOptions, AwsOptions, Drifted, RollbackOptions, Selection};
pub use plan::{BindingsDocument, SwitchPlan};
pub use record::Record;
pub use referred::{parameter_value, secret_value};
pub use rollback::{RollbackOutcome, rollback};
pub use topic::publish;
pub use undo::{KeyPlace, UndoKey, bindings, key_place};
