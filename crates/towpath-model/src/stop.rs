//! How a worker hears that it should stop at the next safe point.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{ErrorKind, Failure, Result};

/// A flag that is raised once, by a signal or by the failure of a sibling. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks everybody to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error when somebody asked: called between chunks and between statements.
    pub fn check(&self) -> Result<()> {
        if self.is_raised() {
            return Err(
                Failure::new(ErrorKind::Interrupted, "stopped at a safe point")
                    .hint("the same command resumes"),
            );
        }
        Ok(())
    }
}
