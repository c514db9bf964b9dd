//! `towpath clean`.

use towpath_model::{ErrorKind, Exit, Failure, Result};

use crate::arguments::CleanArguments;
use crate::context::Context;

/// Not built yet.
pub async fn clean(_context: &Context, _arguments: &CleanArguments) -> Result<Exit> {
    Err(Failure::new(ErrorKind::Internal, "not built yet"))
}
