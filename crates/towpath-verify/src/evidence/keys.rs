//! Keys that evidence is signed with, and how a signature is checked.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use towpath_model::digest::{Hash, RunKey};
use towpath_model::verification::{Signature, SignatureAlgorithm};
use towpath_model::{ErrorKind, Failure, Result};

/// Whoever signs.
pub enum Signer {
    /// A key of the operator.
    Ed25519(Box<Ed25519KeyPair>),
    /// The key of the run, for want of one.
    Run(RunKey),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

impl Signer {
    /// Reads a private key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        // Of what cannot be read nothing is told: it may be the key, with a letter missing.
        let refuse = || {
            Failure::new(
                ErrorKind::Config,
                "the signing key is no ed25519 private key in PKCS#8 PEM without a passphrase",
            )
            .hint("make one with `openssl genpkey -algorithm ed25519 -out FILE`")
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| refuse())?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| refuse())?;
        Ok(Self::Ed25519(Box::new(pair)))
    }

    /// The public half; of a run's key there is none.
    pub fn public_key(&self) -> Option<PublicKey> {
        match self {
            Self::Ed25519(pair) => {
                let key: &[u8] = pair.public_key().as_ref();
                key.try_into().ok().map(PublicKey)
            }
            Self::Run(_) => None,
        }
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Signature {
        match self {
            Self::Ed25519(pair) => Signature {
                algorithm: SignatureAlgorithm::Ed25519,
                key: hex(pair.public_key().as_ref()),
                value: hex(pair.sign(bytes).as_ref()),
            },
            Self::Run(key) => {
                let key = evidence_key(key);
                Signature {
                    algorithm: SignatureAlgorithm::KeyedBlake3,
                    key: fingerprint(&key),
                    value: blake3::keyed_hash(&key, bytes).to_hex().to_string(),
                }
            }
        }
    }
}

/// An ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// How a SubjectPublicKeyInfo of an ed25519 key begins (RFC 8410, sections 3 and 4); the 32 bytes of
/// the key follow.
const SPKI_OF_ED25519: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

impl PublicKey {
    /// Reads a key as 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        Hash::try_from(text.to_owned()).ok().map(|it| Self(it.0))
    }

    /// Whether the key's owner has signed these bytes; the signature is the 64 bytes that `openssl
    /// pkeyutl -sign -rawin` writes.
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(bytes, signature)
            .is_ok()
    }

    /// Reads a key in PEM, as `openssl pkey -pubout` writes it.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
        let key = der.as_ref().strip_prefix(&SPKI_OF_ED25519)?;
        key.try_into().ok().map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Keys that an evidence may be proven by.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// The key of the run, where the store can be read.
    pub run: Option<RunKey>,
    /// The key that must have signed, if somebody demands one. Otherwise any ed25519 key may have:
    /// the evidence is whole then, and who made it is not proven.
    pub demanded: Option<PublicKey>,
}

pub(super) fn needs_run_key(signature: &Signature) -> bool {
    signature.algorithm == SignatureAlgorithm::KeyedBlake3
}

/// Checks a signature over bytes; gives what is wrong.
pub(super) fn check(signature: &Signature, bytes: &[u8], keys: &Keys) -> Result<(), String> {
    match signature.algorithm {
        SignatureAlgorithm::Ed25519 => check_ed25519(signature, bytes, keys),
        SignatureAlgorithm::KeyedBlake3 => check_keyed(signature, bytes, keys),
    }
}

fn check_ed25519(signature: &Signature, bytes: &[u8], keys: &Keys) -> Result<(), String> {
    let malformed = || "its signature is malformed".to_owned();
    let key: [u8; 32] = unhex(&signature.key).ok_or_else(malformed)?;
    let value: [u8; 64] = unhex(&signature.value).ok_or_else(malformed)?;
    if let Some(demanded) = keys.demanded
        && demanded.0 != key
    {
        return Err(format!(
            "it is signed by {}, {demanded} was demanded",
            PublicKey(key)
        ));
    }
    UnparsedPublicKey::new(&ED25519, key)
        .verify(bytes, &value)
        .map_err(|_| "its signature is not of these bytes".to_owned())
}

fn check_keyed(signature: &Signature, bytes: &[u8], keys: &Keys) -> Result<(), String> {
    let malformed = || "its signature is malformed".to_owned();
    if let Some(demanded) = keys.demanded {
        return Err(format!(
            "it is signed by the key of its run, {demanded} was demanded"
        ));
    }
    let run = keys.run.as_ref();
    let key = evidence_key(run.ok_or_else(|| "the key of its run is not at hand".to_owned())?);
    if signature.key != fingerprint(&key) {
        return Err("it is signed by the key of another run".to_owned());
    }
    let value: [u8; 32] = unhex(&signature.value).ok_or_else(malformed)?;
    // Compared in constant time, by blake3's own equality.
    match blake3::keyed_hash(&key, bytes) == blake3::Hash::from_bytes(value) {
        true => Ok(()),
        false => Err("its signature is not of these bytes".to_owned()),
    }
}

/// The key that a run's evidence is signed with: not the one of its rows, so that neither use tells
/// anything about the other.
fn evidence_key(key: &RunKey) -> [u8; 32] {
    blake3::derive_key("towpath 2026-11 evidence signature", key.bytes())
}

/// What tells keys of runs apart and nothing about them.
fn fingerprint(key: &[u8; 32]) -> String {
    let derived = blake3::derive_key("towpath 2026-11 evidence key fingerprint", key);
    hex(&derived[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hex in the one way that it is written: lower case, of the right length.
fn unhex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
