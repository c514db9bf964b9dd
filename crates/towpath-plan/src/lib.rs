//! From what is there to what will happen: checks, chunk split, plan. Reads, never writes.

pub mod checks;
mod format;
mod plan;
mod split;

pub use format::choose_format;
pub use plan::{Contents, PlanOptions, plan, planned_relations};
pub use split::{split, split_large_objects};
