//! What looks personal: by name, by type, and by content.

use towpath_model::name::QualifiedName;

/// Kinds of what looks personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A name of a person.
    Name,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A postal address, or a part of one.
    Address,
    /// An IP address.
    Ip,
    /// An IBAN, or another number of an account or a card.
    Account,
    /// A token, a password, a key.
    Secret,
    /// A date of birth.
    Birth,
    /// A position.
    Position,
    /// Free text: whatever somebody wrote.
    FreeText,
    /// A user agent or another trace of a device.
    Device,
    /// Of a table that is personal as a whole, as `auth.users`.
    Whole,
}

/// Why a column looks personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// As what.
    pub kind: Kind,
    /// Because of what, for people: `its name`, `31 of 100 sampled values`.
    pub because: String,
}

/// What name and type of a column alone say.
pub fn by_name(_table: &QualifiedName, _column: &str, _base_type: &str) -> Option<Suspicion> {
    None
}

/// What sampled values say; NULLs left out.
pub fn by_content(_base_type: &str, _values: &[String]) -> Option<Suspicion> {
    None
}

/// What is found in a text: kinds, with where each begins and ends in bytes.
pub fn find(_text: &str) -> Vec<(Kind, std::ops::Range<usize>)> {
    Vec::new()
}
