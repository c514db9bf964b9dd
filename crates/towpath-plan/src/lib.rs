//! From what is there to what will happen: checks, chunk split, plan. Reads, never writes.

pub mod checks;
mod format;
mod jobs;
mod plan;
mod size;
mod split;

pub use format::{FormatChoice, choose_format};
pub use jobs::{Machine, choose_jobs, target_processors};
pub use plan::{Contents, PlanOptions, plan, planned_relations};
pub use size::ChunkSize;
pub use split::{split, split_large_objects};
