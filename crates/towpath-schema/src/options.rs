//! How the clean schema is made.

use std::path::PathBuf;

use towpath_model::secret_text::Handling;

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

/// What lets `service_role` pass row-level security on a target that gives nobody BYPASSRLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceRole {
    /// A policy on each table with row-level security.
    #[default]
    Policies,
    /// Nothing: it sees what policies leave it.
    Nothing,
}

/// Whether large objects go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LargeObjects {
    /// They go: their contents as rows.
    #[default]
    Carry,
    /// They stay on the source.
    Leave,
}

/// What becomes of triggers whose function surely fails on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BrokenTriggers {
    /// They go as they are and are reported.
    #[default]
    Report,
    /// They go disabled.
    Disable,
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
    /// What lets `service_role` pass row-level security.
    pub service_role: ServiceRole,
    /// What becomes of triggers that would make every write fail.
    pub broken_triggers: BrokenTriggers,
    /// What becomes of secrets.
    pub secrets: Handling,
    /// Whether large objects go.
    pub large_objects: LargeObjects,
    /// Whether [`towpath_model::schema::CleanSchema::needs`] is found out: files that are split by
    /// kind ask, a run does not, and for many tables it is most of the memory.
    pub finds_needs: bool,
    /// File of root certificates in PEM, when the URL names none.
    pub root_certificates: Option<PathBuf>,
}
