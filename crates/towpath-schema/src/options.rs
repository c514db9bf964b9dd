//! How the clean schema is made.

use std::path::PathBuf;

/// Whether the accounts of the project travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CarryAuthUsers {
    /// When an object that goes depends on `auth.users`: a foreign key, a view, a trigger on it, a
    /// function that names it.
    #[default]
    Auto,
    /// Never: what hangs on it is dropped and reported.
    Never,
}

/// Options of [`crate::clean_schema`].
#[derive(Debug, Clone)]
pub struct SchemaOptions {
    /// The `pg_dump` to run: of the source's major version or newer.
    pub pg_dump: PathBuf,
    /// The target's role that will own every user object.
    pub target_owner: String,
    /// Whether `auth.users` goes.
    pub carry_auth_users: CarryAuthUsers,
    /// File of root certificates in PEM, when the URL names none.
    pub root_certificates: Option<PathBuf>,
}
