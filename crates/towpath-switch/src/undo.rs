//! The way back: everything needed to put each binding back exactly, encrypted, stored before the
//! first write.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use towpath_model::connection::Secret;
use towpath_model::document::Document;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_store::RunStore;
use zeroize::Zeroizing;

use crate::binding::{Binding, Change, FunctionBinding, SecretBinding, Subject};
use crate::carrier::Variables;
use crate::plan::BindingsDocument;

/// One attempt of a run to switch. A second one is made when the first was undone completely and
/// the consumers have changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) run: RunId,
    pub(crate) number: u32,
}

impl Attempt {
    pub(crate) fn first(run: &RunId) -> Self {
        Self {
            run: run.clone(),
            number: 1,
        }
    }

    pub(crate) fn next(&self) -> Self {
        Self {
            run: self.run.clone(),
            number: self.number + 1,
        }
    }

    /// Where the way back is stored: `switch/undo.json`, then `switch/undo-2.json` and so on.
    pub(crate) fn undo_key(&self) -> String {
        self.numbered("undo")
    }

    /// Where the masked bindings are stored.
    pub(crate) fn bindings_key(&self) -> String {
        self.numbered("bindings")
    }

    fn numbered(&self, name: &str) -> String {
        match self.number {
            1 => format!("switch/{name}.json"),
            number => format!("switch/{name}-{number}.json"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.number)
    }
}

/// The key that encrypts a run's way back. The caller keeps it; whoever loses it cannot roll back.
#[derive(Clone)]
pub struct UndoKey(Zeroizing<[u8; 32]>);

impl UndoKey {
    /// A key of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key as read from a file.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(Failure::new(
                ErrorKind::Config,
                format!(
                    "an undo key has {} bytes, this one {}",
                    key.len(),
                    bytes.len()
                ),
            ));
        }
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The bytes, for the one who keeps them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells keys apart without telling anything about them.
    fn fingerprint(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        hex::encode(&hmac::sign(&key, b"towpath undo key fingerprint").as_ref()[..8])
    }

    fn cipher(&self) -> Result<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.as_slice())
            .map_err(|_| Failure::new(ErrorKind::Internal, "could not use the undo key"))
    }
}

impl fmt::Debug for UndoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UndoKey(redacted)")
    }
}

/// `switch/undo.json`: the sealed bindings.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    run: RunId,
    cipher: String,
    key_fingerprint: String,
    nonce: String,
    sealed: String,
}

impl Document for Sealed {
    const FORMAT: &'static str = "towpath-undo";
    const VERSION: u32 = 1;
}

const CIPHER: &str = "aes-256-gcm";

/// What the encryption is bound to: the way back of one attempt opens as that of no other.
fn context(attempt: &Attempt) -> Aad<Vec<u8>> {
    Aad::from(format!("{} {} {attempt}", Sealed::FORMAT, Sealed::VERSION).into_bytes())
}

/// Stores the way back; refuses when there is one.
pub(crate) async fn keep(
    store: &RunStore,
    key: &UndoKey,
    attempt: &Attempt,
    bindings: &[Binding],
) -> Result<()> {
    let sealed = seal(key, attempt, bindings)?;
    store.put_document(&attempt.undo_key(), &sealed).await
}

/// Reads the latest way back; nothing when none is stored.
pub(crate) async fn latest(
    store: &RunStore,
    key: &UndoKey,
) -> Result<Option<(Attempt, Vec<Binding>)>> {
    let mut attempt = Attempt::first(store.run());
    let mut latest = None;
    while let Some(sealed) = store.get_document::<Sealed>(&attempt.undo_key()).await? {
        let next = attempt.next();
        latest = Some((attempt, sealed));
        attempt = next;
    }
    let Some((attempt, sealed)) = latest else {
        return Ok(None);
    };
    let place = store.describe(&attempt.undo_key());
    let bindings = open(key, &attempt, &sealed).map_err(|failure| failure.at(place))?;
    Ok(Some((attempt, bindings)))
}

/// The masked bindings of a run's latest switch; nothing when none was begun.
pub async fn bindings(store: &RunStore) -> Result<Option<BindingsDocument>> {
    let mut attempt = Attempt::first(store.run());
    let mut latest = None;
    while let Some(document) = store.get_document(&attempt.bindings_key()).await? {
        latest = Some(document);
        attempt = attempt.next();
    }
    Ok(latest)
}

fn seal(key: &UndoKey, attempt: &Attempt, bindings: &[Binding]) -> Result<Sealed> {
    let broken = || Failure::new(ErrorKind::Internal, "could not encrypt the way back");
    let kept: Vec<Kept> = bindings.iter().map(Kept::of).collect();
    let plain = serde_json::to_vec(&kept).map_err(|_| broken())?;
    // Encrypted in place: what is left in this buffer is what is stored.
    let mut buffer = Zeroizing::new(plain);
    let nonce = key
        .cipher()?
        .seal_in_place_append_tag(context(attempt), &mut *buffer)
        .map_err(|_| broken())?;
    Ok(Sealed {
        run: attempt.run.clone(),
        cipher: CIPHER.to_owned(),
        key_fingerprint: key.fingerprint(),
        nonce: hex::encode(nonce.as_ref()),
        sealed: hex::encode(buffer.as_slice()),
    })
}

fn open(key: &UndoKey, attempt: &Attempt, sealed: &Sealed) -> Result<Vec<Binding>> {
    if sealed.key_fingerprint != key.fingerprint() {
        return Err(Failure::new(
            ErrorKind::Config,
            "the way back was encrypted with another undo key",
        )
        .hint("use the key file of the machine that began the cutover"));
    }
    let damaged = || {
        Failure::new(
            ErrorKind::DocumentCorrupt,
            "the way back does not decrypt: it was damaged, edited, or belongs to another run",
        )
        .hint("restore it from a copy; the bucket may keep versions")
    };
    if sealed.cipher != CIPHER {
        return Err(damaged());
    }
    let mut nonce = [0; NONCE_LEN];
    hex::decode_to_slice(&sealed.nonce, &mut nonce).map_err(|_| damaged())?;
    let mut buffer = Zeroizing::new(hex::decode(&sealed.sealed).map_err(|_| damaged())?);
    let plain = key
        .cipher()?
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            context(attempt),
            &mut buffer,
        )
        .map_err(|_| damaged())?;
    // The cause is left out: a parser quotes what it stumbles over.
    let kept: Vec<Kept> = serde_json::from_slice(plain).map_err(|_| damaged())?;
    Ok(kept.into_iter().map(Kept::binding).collect())
}

/// A secret on its way into or out of the encrypted document, and nowhere else.
#[derive(Clone)]
struct Revealed(Secret);

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Revealed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Secret::new(text)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Kept {
    Function {
        function: String,
        revision: String,
        before: BTreeMap<String, Revealed>,
        after: BTreeMap<String, Revealed>,
        changes: Vec<Change>,
    },
    Secret {
        arn: String,
        name: String,
        version: String,
        before: Revealed,
        after: Revealed,
        changes: Vec<Change>,
    },
}

fn revealed(variables: &Variables) -> BTreeMap<String, Revealed> {
    variables
        .iter()
        .map(|(name, value)| (name.clone(), Revealed(value.clone())))
        .collect()
}

fn hidden(variables: BTreeMap<String, Revealed>) -> Variables {
    variables
        .into_iter()
        .map(|(name, value)| (name, value.0))
        .collect()
}

impl Kept {
    fn of(binding: &Binding) -> Self {
        let changes = binding.changes.clone();
        match &binding.subject {
            Subject::Function(function) => Kept::Function {
                function: function.function.clone(),
                revision: function.revision.clone(),
                before: revealed(&function.before),
                after: revealed(&function.after),
                changes,
            },
            Subject::Secret(secret) => Kept::Secret {
                arn: secret.arn.clone(),
                name: secret.name.clone(),
                version: secret.version.clone(),
                before: Revealed(secret.before.clone()),
                after: Revealed(secret.after.clone()),
                changes,
            },
        }
    }

    fn binding(self) -> Binding {
        match self {
            Kept::Function {
                function,
                revision,
                before,
                after,
                changes,
            } => Binding {
                subject: Subject::Function(FunctionBinding {
                    function,
                    revision,
                    before: hidden(before),
                    after: hidden(after),
                }),
                changes,
            },
            Kept::Secret {
                arn,
                name,
                version,
                before,
                after,
                changes,
            } => Binding {
                subject: Subject::Secret(SecretBinding {
                    arn,
                    name,
                    version,
                    before: before.0,
                    after: after.0,
                }),
                changes,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::document;

    fn bindings() -> Vec<Binding> {
        let map = |value: &str| [("A".to_owned(), Secret::new(value))].into();
        let change = Change {
            place: "A".to_owned(),
            before: "b".to_owned(),
            after: "a".to_owned(),
        };
        vec![
            Binding {
                subject: Subject::Function(FunctionBinding {
                    function: "f".to_owned(),
                    revision: "r1".to_owned(),
                    before: map("hunter2 \"\u{1F6A2}\n"),
                    after: map("hunter3"),
                }),
                changes: vec![change.clone()],
            },
            Binding {
                subject: Subject::Secret(SecretBinding {
                    arn: "arn:x".to_owned(),
                    name: "x".to_owned(),
                    version: "v1".to_owned(),
                    before: Secret::new("hunter2"),
                    after: Secret::new("hunter3"),
                }),
                changes: vec![change],
            },
        ]
    }

    fn run(text: &str) -> Attempt {
        Attempt::first(&text.parse().unwrap())
    }

    #[test]
    fn what_was_sealed_opens_equal_and_shows_nothing() {
        let key = UndoKey::new([7; 32]);
        let sealed = seal(&key, &run("20261122-a"), &bindings()).unwrap();
        let bytes = document::render(&sealed).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter"));
        let again: Sealed = document::parse(&bytes, "undo").unwrap();
        assert_eq!(open(&key, &run("20261122-a"), &again).unwrap(), bindings());
        let shown = format!("{:?} {key:?}", bindings());
        assert!(
            !shown.contains("hunter") && !shown.contains("7, 7"),
            "{shown}"
        );
        let second = seal(&key, &run("20261122-a"), &bindings()).unwrap();
        assert_ne!(second.nonce, sealed.nonce);
    }

    #[test]
    fn anything_else_is_refused() {
        let key = UndoKey::new([7; 32]);
        let kind = |key: &UndoKey, id: &str, sealed: &Sealed| {
            open(key, &run(id), sealed).unwrap_err().kind()
        };
        let mut sealed = seal(&key, &run("20261122-a"), &bindings()).unwrap();
        assert_eq!(
            kind(&UndoKey::new([8; 32]), "20261122-a", &sealed),
            ErrorKind::Config
        );
        assert_eq!(
            kind(&key, "20261122-b", &sealed),
            ErrorKind::DocumentCorrupt
        );
        let second = run("20261122-a").next();
        assert!(open(&key, &second, &sealed).is_err());
        for at in [0, sealed.sealed.len() / 2, sealed.sealed.len() - 1] {
            let intact = sealed.sealed.clone();
            let flipped = if &intact[at..=at] == "0" { "1" } else { "0" };
            sealed.sealed.replace_range(at..=at, flipped);
            assert_eq!(
                kind(&key, "20261122-a", &sealed),
                ErrorKind::DocumentCorrupt
            );
            sealed.sealed = intact;
        }
        sealed.nonce = "00".repeat(NONCE_LEN);
        assert_eq!(
            kind(&key, "20261122-a", &sealed),
            ErrorKind::DocumentCorrupt
        );
        assert!(UndoKey::from_slice(&[1; 31]).is_err());
    }
}
