//! The journal, as the switch needs it.

use std::future::Future;
use std::pin::Pin;

use towpath_model::Result;
use towpath_model::journal::Entry;

/// Durable record of intent and completion; returns after it is stored.
pub trait Record: Send + Sync {
    /// Records one entry.
    fn record<'a>(&'a self, entry: Entry) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
}
