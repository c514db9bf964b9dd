//! One error type for the whole tool: what was being done, to which object, why it failed, what to
//! try. The kind alone decides the exit code and whether a retry makes sense.

use std::error::Error;
use std::fmt;

use crate::exit::Exit;

/// Result of anything that can fail with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What went wrong, as far as a caller or a script needs to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The command line is wrong.
    Usage,
    /// The configuration is wrong.
    Config,
    /// A server could not be reached, or hung up.
    Connect,
    /// A server refused the login.
    Authentication,
    /// TLS could not be established or the certificate does not verify.
    Tls,
    /// A check failed, and going on would lose something or fail later.
    Blocked,
    /// The target already holds something that this run did not put there.
    TargetNotEmpty,
    /// An object exists on the target with another structure.
    TargetStructure,
    /// Another live process holds the run's lease.
    LeaseHeld,
    /// There is no such run, or it has nothing to act on.
    NotFound,
    /// An object that a sealed run must have is not in its store.
    ObjectMissing,
    /// An object of that key already exists; put-once objects are never overwritten.
    ObjectExists,
    /// The run store refused access or does not exist.
    StoreAccess,
    /// Stored bytes are not the bytes that were written.
    ChunkCorrupt,
    /// The manifest, the plan or another document is damaged or was edited.
    DocumentCorrupt,
    /// An evidence is not what was signed, or not signed by whom it should be.
    EvidenceAltered,
    /// A document is of a version this towpath does not know.
    DocumentVersion,
    /// The session that held the exported snapshot is gone; a new one proves what is stored.
    SnapshotLost,
    /// The source had too much to do for too long, by the limits that it was given.
    SourceBusy,
    /// A statement failed on the source.
    Source,
    /// A statement failed on the target.
    Target,
    /// The schema could not be read, understood or rewritten.
    Schema,
    /// Verification found differences.
    Differences,
    /// An AWS API call failed.
    Aws,
    /// What should be switched has changed since it was read.
    Conflict,
    /// The cutover failed and was undone.
    CutoverUndone,
    /// The cutover failed and could not be undone completely.
    UndoIncomplete,
    /// A file of this machine could not be read or written.
    LocalFile,
    /// Stopped by a signal.
    Interrupted,
    /// A promise inside towpath was broken: a defect.
    Internal,
}

/// Whether trying the same thing again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It can: the cause may pass by itself.
    Later,
    /// It cannot: something must change first.
    Never,
}

impl ErrorKind {
    /// Every kind, in the order of the reference page.
    pub const ALL: [ErrorKind; 30] = [
        ErrorKind::Usage,
        ErrorKind::Config,
        ErrorKind::Connect,
        ErrorKind::Authentication,
        ErrorKind::Tls,
        ErrorKind::Blocked,
        ErrorKind::TargetNotEmpty,
        ErrorKind::TargetStructure,
        ErrorKind::LeaseHeld,
        ErrorKind::NotFound,
        ErrorKind::ObjectMissing,
        ErrorKind::ObjectExists,
        ErrorKind::StoreAccess,
        ErrorKind::ChunkCorrupt,
        ErrorKind::DocumentCorrupt,
        ErrorKind::EvidenceAltered,
        ErrorKind::DocumentVersion,
        ErrorKind::SnapshotLost,
        ErrorKind::SourceBusy,
        ErrorKind::Source,
        ErrorKind::Target,
        ErrorKind::Schema,
        ErrorKind::Differences,
        ErrorKind::Aws,
        ErrorKind::Conflict,
        ErrorKind::CutoverUndone,
        ErrorKind::UndoIncomplete,
        ErrorKind::LocalFile,
        ErrorKind::Interrupted,
        ErrorKind::Internal,
    ];

    /// The name used in JSON output and as the anchor in `docs/reference/errors.md`.
    pub const fn slug(self) -> &'static str {
        match self {
            ErrorKind::Usage => "usage",
            ErrorKind::Config => "config",
            ErrorKind::Connect => "connect",
            ErrorKind::Authentication => "authentication",
            ErrorKind::Tls => "tls",
            ErrorKind::Blocked => "blocked",
            ErrorKind::TargetNotEmpty => "target-not-empty",
            ErrorKind::TargetStructure => "target-structure",
            ErrorKind::LeaseHeld => "lease-held",
            ErrorKind::NotFound => "not-found",
            ErrorKind::ObjectMissing => "object-missing",
            ErrorKind::ObjectExists => "object-exists",
            ErrorKind::StoreAccess => "store-access",
            ErrorKind::ChunkCorrupt => "chunk-corrupt",
            ErrorKind::DocumentCorrupt => "document-corrupt",
            ErrorKind::EvidenceAltered => "evidence-altered",
            ErrorKind::DocumentVersion => "document-version",
            ErrorKind::SnapshotLost => "snapshot-lost",
            ErrorKind::SourceBusy => "source-busy",
            ErrorKind::Source => "source",
            ErrorKind::Target => "target",
            ErrorKind::Schema => "schema",
            ErrorKind::Differences => "differences",
            ErrorKind::Aws => "aws",
            ErrorKind::Conflict => "conflict",
            ErrorKind::CutoverUndone => "cutover-undone",
            ErrorKind::UndoIncomplete => "undo-incomplete",
            ErrorKind::LocalFile => "local-file",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Internal => "internal",
        }
    }

    /// The exit code a command ends with when this is why it failed.
    pub const fn exit(self) -> Exit {
        match self {
            ErrorKind::Usage | ErrorKind::Config => Exit::Usage,
            ErrorKind::Blocked
            | ErrorKind::TargetNotEmpty
            | ErrorKind::TargetStructure
            | ErrorKind::DocumentVersion => Exit::Blocked,
            ErrorKind::LeaseHeld => Exit::LeaseHeld,
            ErrorKind::ChunkCorrupt
            | ErrorKind::ObjectMissing
            | ErrorKind::DocumentCorrupt
            | ErrorKind::EvidenceAltered
            | ErrorKind::Differences => Exit::Differences,
            ErrorKind::Connect
            | ErrorKind::Conflict
            | ErrorKind::SnapshotLost
            | ErrorKind::SourceBusy => Exit::Resumable,
            ErrorKind::CutoverUndone => Exit::CutoverUndone,
            ErrorKind::UndoIncomplete => Exit::UndoIncomplete,
            ErrorKind::Interrupted => Exit::Interrupted,
            ErrorKind::Authentication
            | ErrorKind::Tls
            | ErrorKind::ObjectExists
            | ErrorKind::StoreAccess
            | ErrorKind::NotFound
            | ErrorKind::Source
            | ErrorKind::Target
            | ErrorKind::Schema
            | ErrorKind::Aws
            | ErrorKind::LocalFile
            | ErrorKind::Internal => Exit::Failed,
        }
    }

    /// Whether the same attempt may succeed later without anybody changing anything.
    pub const fn retry(self) -> Retry {
        match self {
            ErrorKind::Connect => Retry::Later,
            _ => Retry::Never,
        }
    }
}

/// A letter to the operator. `Display` says what was being done; the cause is in
/// [`Error::source`] and never repeated in the text, so a printer can walk the chain once.
pub struct Failure {
    kind: ErrorKind,
    doing: String,
    place: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure of this kind while doing something: a lower-case fragment such as
    /// `could not load chunk public.orders/0042 into target`.
    pub fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self {
            kind,
            doing: doing.into(),
            place: None,
            hint: None,
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds where: run, object key, attempt.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Wraps this failure in a sentence that says what the caller was doing; kind and hint stay
    /// those of the cause.
    #[must_use]
    pub fn while_doing(self, doing: impl Into<String>) -> Self {
        Self {
            kind: self.kind,
            doing: doing.into(),
            place: None,
            hint: None,
            source: Some(Box::new(self)),
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The hint nearest to the top of the chain.
    pub fn find_hint(&self) -> Option<&str> {
        self.find(|failure| failure.hint.as_deref())
    }

    /// The place nearest to the top of the chain.
    pub fn find_place(&self) -> Option<&str> {
        self.find(|failure| failure.place.as_deref())
    }

    fn find<'a>(&'a self, get: impl Fn(&'a Failure) -> Option<&'a str>) -> Option<&'a str> {
        let mut current: &'a (dyn Error + 'static) = self;
        loop {
            if let Some(found) = current.downcast_ref::<Failure>().and_then(&get) {
                return Some(found);
            }
            current = current.source()?;
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.kind.slug(), self.doing)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// An error with its causes, in one line. By `Display` alone: `Debug` of an answer may show its body.
pub fn story(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_is_found_below_a_wrapping_sentence() {
        let failure = Failure::new(ErrorKind::Connect, "could not reach source")
            .hint("check the network")
            .while_doing("could not export");
        assert_eq!(failure.to_string(), "could not export");
        assert_eq!(failure.find_hint(), Some("check the network"));
        assert_eq!(failure.kind().exit(), Exit::Resumable);
    }

    #[test]
    fn slugs_are_distinct() {
        let mut slugs: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), ErrorKind::ALL.len());
    }
}
