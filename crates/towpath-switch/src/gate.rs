//! What stands between the groups of a switch, and who else goes along with it.

use std::pin::Pin;

use towpath_model::Result;
use towpath_model::event::Events;

use crate::record::Record;

/// Who is asked and told while a switch is under way.
#[derive(Clone, Copy)]
pub struct Observers<'a> {
    /// Asked after each group.
    pub gate: &'a dyn Gate,
    /// Told durably of intent and completion.
    pub record: &'a dyn Record,
    /// Told for the person who waits.
    pub events: &'a Events,
}

/// Asked when every binding of a group points at the target, before the next group is touched. A
/// failure undoes the switch.
pub trait Gate: Send + Sync {
    /// Whether the switch may go on. `functions` are those of the group.
    fn switched<'a>(
        &'a self,
        group: &'a str,
        functions: &'a [String],
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

    /// Asked before consumers that reach the target already are put back because something failed:
    /// whether that may be done without losing what they wrote there. A failure leaves everything
    /// as it is, for a person to decide.
    fn may_go_back(&self) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(async { Ok(()) })
    }
}
