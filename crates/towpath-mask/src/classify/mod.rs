//! What looks personal: by name, by type, and by content.
//!
//! Errs towards silence where a column could be anything (`products.name`, a version, a slug): an
//! alarm at every second column teaches people to allow all of them. What a value is by its own form
//! (an e-mail address, an IBAN, a key) is believed wherever it stands.

mod content;
mod find;
mod first_names;
mod name;
mod suggest;

use std::fmt;

pub use content::{by_content, may_tell};
pub use find::find;
pub use name::by_name;
pub use suggest::{Wanted, suggest};

/// Kinds of what looks personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// An IBAN, or another number of an account, a card or an identity document.
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

impl Kind {
    /// What one of it is called, lower case but for abbreviations.
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Name => "name of a person",
            Kind::Email => "e-mail address",
            Kind::Phone => "telephone number",
            Kind::Address => "postal address",
            Kind::Ip => "IP address",
            Kind::Account => "number of an account, card or document",
            Kind::Secret => "secret",
            Kind::Birth => "date of birth",
            Kind::Position => "position",
            Kind::FreeText => "free text",
            Kind::Device => "trace of a device",
            Kind::Whole => "data about a user",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Why a column looks personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// As what.
    pub kind: Kind,
    /// Because of what, for people: `its name`, `31 of 100 sampled values`.
    pub because: String,
    /// It stands within other texts, or among them: they need not give way with it.
    pub is_part: bool,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, by {}", self.kind, self.because)
    }
}
