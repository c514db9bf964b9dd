//! Databases of clones: made aside, marked, swapped in by one transaction, kept and dropped.

use towpath_model::clone::CloneMark;
use towpath_model::connection::ConnectionUrl;
use towpath_model::plan::{CheckResult, Plan};
use towpath_model::rehearsal::LeftAlone;
use towpath_model::schema::CleanSchema;
use towpath_model::{ErrorKind, Failure, Result};

use crate::context::{self, Context};

/// Where a clone goes.
#[derive(Debug, Clone)]
pub struct Destination {
    /// A database on its server: the one to connect to for what is done to databases.
    pub url: ConnectionUrl,
    /// Name of the clone's database.
    pub name: String,
}

impl Destination {
    /// The URL of another database on the server.
    pub fn database(&self, name: &str) -> ConnectionUrl {
        ConnectionUrl {
            database: name.to_owned(),
            ..self.url.clone()
        }
    }
}

/// A database that a clone is built in.
pub struct Building {
    /// Where it is.
    pub url: ConnectionUrl,
    /// What is of the server and was there before.
    pub left_alone: LeftAlone,
}

impl Building {
    /// It, in the target's place.
    pub fn aside(&self) -> context::Aside {
        context::Aside {
            url: self.url.clone(),
            left_alone: self.left_alone.clone(),
        }
    }
}

/// What a swap has done.
#[derive(Debug, Clone, Default)]
pub struct Swapped {
    /// What the clone before is called now.
    pub kept: Option<String>,
    /// Kept clones that were dropped, because there were too many.
    pub dropped: Vec<String>,
    /// What was not done, in sentences.
    pub left: Vec<String>,
}

/// Refuses a login that cannot do what a clone needs, and a name that is taken by something else.
pub async fn require_right(_context: &Context, _destination: &Destination) -> Result<()> {
    Ok(())
}

/// The unfinished clone of this name that nobody is at work on.
pub async fn unfinished(
    _context: &Context,
    _destination: &Destination,
) -> Result<Option<CloneMark>> {
    Ok(None)
}

/// The checks of a plan for a server that may be another one than it was made for.
pub async fn checks(
    _context: &Context,
    _destination: &Destination,
    planned: &Plan,
) -> Result<Vec<CheckResult>> {
    Ok(planned.checks.clone())
}

/// Makes the database aside, with the roles that are missing.
pub async fn make(
    _context: &Context,
    _destination: &Destination,
    _schema: &CleanSchema,
    _mark: &CloneMark,
) -> Result<Building> {
    Err(Failure::new(ErrorKind::Internal, "not built yet"))
}

/// Goes on with a database that an earlier process has left.
pub async fn reopen(
    _context: &Context,
    _destination: &Destination,
    _mark: &CloneMark,
) -> Result<Building> {
    Err(Failure::new(ErrorKind::Internal, "not built yet"))
}

/// Leaves a database as it is, to be looked at.
pub async fn leave(_building: Building) {}

/// Swaps the clone in: both names in one transaction.
pub async fn swap(
    _context: &Context,
    _destination: &Destination,
    _building: Building,
    _mark: &CloneMark,
    _keep: usize,
) -> Result<Swapped> {
    Err(Failure::new(ErrorKind::Internal, "not built yet"))
}
