//! The lease: who may act on a run.

use serde::{Deserialize, Serialize};

use crate::document::Document;

/// `lease.json`, the only object of a run that is ever overwritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Host and process that holds it.
    pub holder: String,
    /// A random word that tells this holding from any other of the same host and process id.
    pub token: String,
    /// What the holder does.
    pub command: String,
    /// When it was last renewed, in seconds since 1970.
    pub renewed_at_s: u64,
    /// How long after the renewal it lapses, in seconds; 0 when it was given back.
    pub ttl_s: u64,
}

impl Lease {
    /// Whether it still binds others at this time (seconds since 1970).
    pub fn is_held(&self, now_s: u64) -> bool {
        self.ttl_s > 0 && now_s < self.renewed_at_s.saturating_add(self.ttl_s)
    }
}

impl Document for Lease {
    const FORMAT: &'static str = "towpath-lease";
    const VERSION: u32 = 1;
}
