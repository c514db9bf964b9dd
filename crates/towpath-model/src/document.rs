//! Envelope of every JSON file that towpath writes: what it is, of which version.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{ErrorKind, Failure, Result};

/// A document that a later towpath, or a person, may read.
pub trait Document: Serialize + DeserializeOwned {
    /// Name of the format, as in `towpath-plan`.
    const FORMAT: &'static str;
    /// Version of the format. Raised when a reader of the old version would misunderstand.
    const VERSION: u32;
    /// Whether it is laid out for people. Not where there is much of it and nobody reads it.
    const FOR_PEOPLE: bool = true;
}

#[derive(Serialize)]
struct Enveloped<'a, T> {
    format: &'static str,
    version: u32,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Deserialize)]
struct Opening {
    format: Option<String>,
    version: Option<u32>,
}

/// The document as JSON with a final newline.
pub fn render<T: Document>(document: &T) -> Result<Vec<u8>> {
    let enveloped = Enveloped {
        format: T::FORMAT,
        version: T::VERSION,
        body: document,
    };
    let rendered = if T::FOR_PEOPLE {
        serde_json::to_vec_pretty(&enveloped)
    } else {
        serde_json::to_vec(&enveloped)
    };
    let mut bytes = rendered.map_err(|cause| {
        Failure::new(
            ErrorKind::Internal,
            format!("could not write a {}", T::FORMAT),
        )
        .because(cause)
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a document; `place` names the file or object for the error.
pub fn parse<T: Document>(bytes: &[u8], place: &str) -> Result<T> {
    let corrupt = |cause: serde_json::Error| {
        Failure::new(
            ErrorKind::DocumentCorrupt,
            format!("could not read {place} as {}", T::FORMAT),
        )
        .because(cause)
        .hint("the file was damaged or edited; restore it, or start over with --new-run")
    };
    let opening: Opening = serde_json::from_slice(bytes).map_err(corrupt)?;
    if opening.format.as_deref() != Some(T::FORMAT) {
        return Err(Failure::new(
            ErrorKind::DocumentCorrupt,
            format!(
                "{place} is not a {} (its format is {:?})",
                T::FORMAT,
                opening.format.unwrap_or_default()
            ),
        ));
    }
    if opening.version != Some(T::VERSION) {
        return Err(Failure::new(
            ErrorKind::DocumentVersion,
            format!(
                "{place} is {} version {}, this towpath reads version {}",
                T::FORMAT,
                opening.version.unwrap_or_default(),
                T::VERSION
            ),
        )
        .hint("use the towpath that wrote it"));
    }
    serde_json::from_slice(bytes).map_err(corrupt)
}
