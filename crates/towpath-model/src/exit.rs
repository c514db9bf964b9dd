//! Exit codes: the contract with scripts and schedulers. Documented from here.

use serde::{Deserialize, Serialize};

/// How a towpath command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The command did what it was asked.
    Done,
    /// The command failed; the error chain on stderr says why.
    Failed,
    /// The command line or the configuration is wrong; nothing was touched.
    Usage,
    /// A check failed; nothing was changed.
    Blocked,
    /// Another live process holds the run's lease.
    LeaseHeld,
    /// Verification found differences.
    Differences,
    /// The cutover failed and everything it had changed was put back.
    CutoverUndone,
    /// The cutover failed and could not be put back completely: a person is needed.
    UndoIncomplete,
    /// The command failed for a reason that may pass; the same command resumes.
    Resumable,
    /// Stopped by a signal at a safe point; the same command resumes.
    Interrupted,
}

impl Exit {
    /// Every exit code, in the order of the reference page.
    pub const ALL: [Exit; 10] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Blocked,
        Exit::LeaseHeld,
        Exit::Differences,
        Exit::CutoverUndone,
        Exit::UndoIncomplete,
        Exit::Resumable,
        Exit::Interrupted,
    ];

    /// The process exit status. 0, 1 and 2 mean what they mean everywhere; outcomes of this tool
    /// start at 10, and 130 is what a shell reports for an interrupted command.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Blocked => 10,
            Exit::LeaseHeld => 11,
            Exit::Differences => 12,
            Exit::CutoverUndone => 13,
            Exit::UndoIncomplete => 14,
            Exit::Resumable => 15,
            Exit::Interrupted => 130,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Exit::ALL.len());
    }
}
