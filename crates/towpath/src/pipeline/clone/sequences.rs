//! Sequences of a clone.

use towpath_model::Result;
use towpath_model::inventory::SequenceState;
use towpath_model::manifest::Manifest;
use towpath_store::Journal;

use crate::context::Context;
use crate::pipeline::clone::Cloning;

/// Sets sequences as the order says; gives those that stand elsewhere than the manifest says.
pub async fn reset(
    _inner: &Context,
    _cloning: &Cloning,
    _manifest: &Manifest,
    _journal: &Journal,
) -> Result<Vec<SequenceState>> {
    Ok(Vec::new())
}
