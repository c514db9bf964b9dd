//! The way back: everything needed to put each binding back exactly, encrypted, stored before the
//! first write.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use towpath_model::document::Document;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_store::RunStore;
use zeroize::Zeroizing;

use crate::binding::Binding;
use crate::clients::SwitchClients;
use crate::kept::KeptBinding;
use crate::kms::{self, DataKey, Wrapped};
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

/// The key that encrypts a run's way back. Whoever loses it cannot roll back.
#[derive(Clone)]
pub struct UndoKey(Kind);

#[derive(Clone)]
enum Kind {
    /// The caller keeps it.
    Local(DataKey),
    /// KMS keeps it.
    Kms {
        clients: Box<SwitchClients>,
        key: String,
    },
}

/// Where the key of a way back is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// With whoever began the switch.
    Local,
    /// In KMS: the ARN of the key.
    Kms(String),
}

impl UndoKey {
    /// A key of 32 random bytes, kept by the caller.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Kind::Local(Zeroizing::new(bytes)))
    }

    /// A key of KMS, by id, alias or ARN.
    pub fn kms(clients: &SwitchClients, key: &str) -> Self {
        Self(Kind::Kms {
            clients: Box::new(clients.clone()),
            key: key.to_owned(),
        })
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
        Ok(Self(Kind::Local(key)))
    }

    /// Proves that it can be used, for sealing and for opening: whoever may only seal could never
    /// go back.
    pub async fn check(&self, run: &RunId) -> Result<()> {
        let attempt = Attempt::first(run);
        let (key, wrapped) = self.make(&attempt).await?;
        let (Kind::Kms { clients, .. }, Some(wrapped)) = (&self.0, wrapped) else {
            return Ok(());
        };
        if kms::unwrap(clients, &wrapped, &attempt).await? == key {
            return Ok(());
        }
        Err(Failure::new(
            ErrorKind::Internal,
            "KMS opens a key of the way back as another one",
        ))
    }

    /// The key of a new document.
    async fn make(&self, attempt: &Attempt) -> Result<(DataKey, Option<Wrapped>)> {
        match &self.0 {
            Kind::Local(key) => Ok((key.clone(), None)),
            Kind::Kms { clients, key } => {
                let (key, wrapped) = kms::make(clients, key, attempt).await?;
                Ok((key, Some(wrapped)))
            }
        }
    }

    /// The key of a stored document.
    async fn of(&self, attempt: &Attempt, sealed: &Sealed) -> Result<DataKey> {
        match (&self.0, &sealed.wrapped) {
            (Kind::Local(key), None) => Ok(key.clone()),
            // The document's own key counts: the setting may name another by now.
            (Kind::Kms { clients, .. }, Some(wrapped)) => {
                kms::unwrap(clients, wrapped, attempt).await
            }
            (Kind::Local(_), Some(wrapped)) => Err(Failure::new(
                ErrorKind::Config,
                format!("the way back is encrypted under KMS key {}", wrapped.key),
            )),
            (Kind::Kms { .. }, None) => Err(Failure::new(
                ErrorKind::Config,
                "the way back is encrypted with the local key of the machine that began the cutover",
            )),
        }
    }
}

/// Tells keys apart without telling anything about them.
fn fingerprint(key: &DataKey) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
    hex::encode(&hmac::sign(&key, b"towpath undo key fingerprint").as_ref()[..8])
}

fn cipher(key: &DataKey) -> Result<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key.as_slice())
        .map_err(|_| Failure::new(ErrorKind::Internal, "could not use the undo key"))
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
    /// The key itself, wrapped by one of KMS; absent where the caller keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrapped: Option<Wrapped>,
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
    let sealed = seal(key, attempt, bindings).await?;
    store.put_document(&attempt.undo_key(), &sealed).await
}

/// Reads the latest way back; nothing when none is stored.
pub(crate) async fn latest(
    store: &RunStore,
    key: &UndoKey,
) -> Result<Option<(Attempt, Vec<Binding>)>> {
    let Some((attempt, sealed)) = latest_sealed(store).await? else {
        return Ok(None);
    };
    let place = store.describe(&attempt.undo_key());
    let opened = open(key, &attempt, &sealed).await;
    let bindings = opened.map_err(|failure| failure.at(place))?;
    Ok(Some((attempt, bindings)))
}

async fn latest_sealed(store: &RunStore) -> Result<Option<(Attempt, Sealed)>> {
    let mut attempt = Attempt::first(store.run());
    let mut latest = None;
    while let Some(sealed) = store.get_document::<Sealed>(&attempt.undo_key()).await? {
        let next = attempt.next();
        latest = Some((attempt, sealed));
        attempt = next;
    }
    Ok(latest)
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

/// Where the key of a run's latest way back is kept; nothing when none is stored.
pub async fn key_place(store: &RunStore) -> Result<Option<KeyPlace>> {
    Ok(latest_sealed(store)
        .await?
        .map(|(_, sealed)| match sealed.wrapped {
            Some(wrapped) => KeyPlace::Kms(wrapped.key),
            None => KeyPlace::Local,
        }))
}

async fn seal(key: &UndoKey, attempt: &Attempt, bindings: &[Binding]) -> Result<Sealed> {
    let (key, wrapped) = key.make(attempt).await?;
    let broken = || Failure::new(ErrorKind::Internal, "could not encrypt the way back");
    let kept: Vec<KeptBinding> = bindings.iter().map(KeptBinding::of).collect();
    let plain = serde_json::to_vec(&kept).map_err(|_| broken())?;
    // Encrypted in place: what is left in this buffer is what is stored.
    let mut buffer = Zeroizing::new(plain);
    let nonce = cipher(&key)?
        .seal_in_place_append_tag(context(attempt), &mut *buffer)
        .map_err(|_| broken())?;
    Ok(Sealed {
        run: attempt.run.clone(),
        cipher: CIPHER.to_owned(),
        key_fingerprint: fingerprint(&key),
        wrapped,
        nonce: hex::encode(nonce.as_ref()),
        sealed: hex::encode(buffer.as_slice()),
    })
}

async fn open(key: &UndoKey, attempt: &Attempt, sealed: &Sealed) -> Result<Vec<Binding>> {
    let key = key.of(attempt, sealed).await?;
    if sealed.key_fingerprint != fingerprint(&key) {
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
    let plain = cipher(&key)?
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            context(attempt),
            &mut buffer,
        )
        .map_err(|_| damaged())?;
    // The cause is left out: a parser quotes what it stumbles over.
    let kept: Vec<KeptBinding> = serde_json::from_slice(plain).map_err(|_| damaged())?;
    Ok(kept.into_iter().map(KeptBinding::binding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::{
        AliasBinding, AliasTarget, Change, FunctionBinding, Network, NetworkChange,
        ParameterBinding, ParameterShape, SecretBinding, SecretLabels, Subject, Weight,
    };
    use towpath_model::connection::Secret;
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
                    network: Some(NetworkChange {
                        before: Network::default(),
                        after: Network {
                            subnets: vec!["subnet-2".to_owned(), "subnet-1".to_owned()],
                            security_groups: vec!["sg-1".to_owned()],
                            ipv6: Some(false),
                        },
                    }),
                }),
                readers: vec!["f".to_owned()],
                changes: vec![change.clone()],
            },
            Binding {
                subject: Subject::Parameter(ParameterBinding {
                    name: "/app/db".to_owned(),
                    arn: "arn:aws:ssm:eu-west-1:000000000000:parameter/app/db".to_owned(),
                    version: 7,
                    shape: ParameterShape {
                        kind: "SecureString".to_owned(),
                        key_id: Some("alias/app".to_owned()),
                        ..ParameterShape::default()
                    },
                    before: Secret::new("hunter2"),
                    after: Secret::new("hunter3"),
                }),
                readers: Vec::new(),
                changes: vec![change.clone()],
            },
            Binding {
                subject: Subject::Alias(AliasBinding {
                    function: "f".to_owned(),
                    alias: "live".to_owned(),
                    before: AliasTarget {
                        version: "3".to_owned(),
                        // Its shortest decimal text is not what a hasty parser reads back.
                        routing: [("4".to_owned(), Weight::of(0.1 + 0.2))].into(),
                    },
                    code: "sha".to_owned(),
                    before_variables: map("hunter2"),
                    after_variables: map("hunter3"),
                    provisioned: Some(2),
                }),
                readers: vec!["f".to_owned()],
                changes: vec![change.clone()],
            },
            Binding {
                subject: Subject::Secret(SecretBinding {
                    arn: "arn:x".to_owned(),
                    name: "x".to_owned(),
                    version: "v1".to_owned(),
                    labels: SecretLabels {
                        beside_current: vec!["mine".to_owned()],
                        previous: Some("v0".to_owned()),
                    },
                    before: Secret::new("hunter2"),
                    after: Secret::new("hunter3"),
                }),
                readers: vec!["f".to_owned(), "g".to_owned()],
                changes: vec![change],
            },
        ]
    }

    fn run(text: &str) -> Attempt {
        Attempt::first(&text.parse().unwrap())
    }

    #[tokio::test]
    async fn what_was_sealed_opens_equal_and_shows_nothing() {
        let key = UndoKey::new([7; 32]);
        let sealed = seal(&key, &run("20261122-a"), &bindings()).await.unwrap();
        let bytes = document::render(&sealed).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter"));
        let again: Sealed = document::parse(&bytes, "undo").unwrap();
        assert_eq!(
            open(&key, &run("20261122-a"), &again).await.unwrap(),
            bindings()
        );
        let shown = format!("{:?} {key:?}", bindings());
        assert!(
            !shown.contains("hunter") && !shown.contains("7, 7"),
            "{shown}"
        );
        let second = seal(&key, &run("20261122-a"), &bindings()).await.unwrap();
        assert_ne!(second.nonce, sealed.nonce);
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let key = UndoKey::new([7; 32]);
        let kind = async |key: &UndoKey, id: &str, sealed: &Sealed| {
            open(key, &run(id), sealed).await.unwrap_err().kind()
        };
        let mut sealed = seal(&key, &run("20261122-a"), &bindings()).await.unwrap();
        assert_eq!(
            kind(&UndoKey::new([8; 32]), "20261122-a", &sealed).await,
            ErrorKind::Config
        );
        assert_eq!(
            kind(&key, "20261122-b", &sealed).await,
            ErrorKind::DocumentCorrupt
        );
        let second = run("20261122-a").next();
        assert!(open(&key, &second, &sealed).await.is_err());
        for at in [0, sealed.sealed.len() / 2, sealed.sealed.len() - 1] {
            let intact = sealed.sealed.clone();
            let flipped = if &intact[at..=at] == "0" { "1" } else { "0" };
            sealed.sealed.replace_range(at..=at, flipped);
            assert_eq!(
                kind(&key, "20261122-a", &sealed).await,
                ErrorKind::DocumentCorrupt
            );
            sealed.sealed = intact;
        }
        sealed.nonce = "00".repeat(NONCE_LEN);
        assert_eq!(
            kind(&key, "20261122-a", &sealed).await,
            ErrorKind::DocumentCorrupt
        );
        assert!(UndoKey::from_slice(&[1; 31]).is_err());
    }
}
