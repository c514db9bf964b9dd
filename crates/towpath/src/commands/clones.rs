//! `towpath clones`.

use towpath_model::{ErrorKind, Exit, Failure, Result};

use crate::arguments::ClonesArguments;
use crate::context::Context;

/// Not built yet.
pub async fn clones(_context: &Context, _arguments: &ClonesArguments) -> Result<Exit> {
    Err(Failure::new(ErrorKind::Internal, "not built yet"))
}
