//! `towpath mask`.

use towpath_model::{ErrorKind, Exit, Failure, Result};

use crate::arguments::MaskCommand;
use crate::context::Context;

/// Not built yet.
pub async fn mask(_context: &Context, _what: &MaskCommand) -> Result<Exit> {
    Err(Failure::new(ErrorKind::Internal, "not built yet"))
}
