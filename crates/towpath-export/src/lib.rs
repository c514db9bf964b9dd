//! Export: one snapshot, every chunk stored durably, then a sealed manifest.
//!
//! Entry points: [`copy()`] stores the chunks that are not stored yet, [`prove`] shows which chunks
//! of an earlier snapshot still hold under a new one, [`seal`] writes the manifest.

mod copy;
mod cutter;
mod guard;
mod limits;
mod options;
mod prove;
mod reading;
mod row_hashes;
mod rows;
mod seal;
mod take_over;
mod worker;

pub use copy::copy;
pub use guard::{Gate, Guard};
pub use limits::{Limit, SourceLimits};
pub use options::{ExportContext, ExportOptions, Masking};
pub use prove::{Proven, prove};
pub use seal::{SealInputs, seal};
pub use take_over::{TakeOver, adopt_tables, take_over};
