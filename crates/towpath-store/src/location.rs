//! Where a run store is.

use std::fmt;
use std::path::PathBuf;

use towpath_model::{ErrorKind, Failure, Result};

/// A parsed store URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A directory of this machine: `file:///var/lib/towpath`.
    File {
        /// The directory.
        directory: PathBuf,
    },
    /// A prefix in a bucket: `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without slashes at either end; may be empty.
        prefix: String,
    },
}

impl StoreLocation {
    /// Parses a store URL.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(refuse(text, "a file store needs an absolute path"));
            }
            return Ok(Self::File {
                directory: PathBuf::from(path),
            });
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(refuse(text, "it names no bucket"));
            }
            return Ok(Self::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
            });
        }
        Err(refuse(text, "the scheme is neither file:// nor s3://"))
    }
}

fn refuse(text: &str, why: &str) -> Failure {
    Failure::new(
        ErrorKind::Config,
        format!("could not use {text:?} as run store: {why}"),
    )
    .hint("use file:///absolute/directory or s3://bucket/prefix")
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { directory } => write!(f, "file://{}", directory.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_shows_both_kinds() {
        for text in ["file:///var/x", "s3://bucket/a/b", "s3://bucket"] {
            assert_eq!(StoreLocation::parse(text).unwrap().to_string(), text);
        }
        for text in ["gs://bucket", "file://relative", "s3:///x", "/plain"] {
            let refused = StoreLocation::parse(text).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config);
            assert!(refused.find_hint().is_some());
        }
    }
}
