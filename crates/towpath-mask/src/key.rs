//! The key of masks.

use std::fmt;

use zeroize::Zeroizing;

/// The secret that masks depend on: the same key gives the same values in every run, and who does
/// not have it cannot try out values until one fits.
#[derive(Clone)]
pub struct MaskKey(Zeroizing<[u8; 32]>);

impl MaskKey {
    /// Of a secret of any length and form.
    pub fn of_secret(secret: &[u8]) -> Self {
        Self(Zeroizing::new(blake3::derive_key(
            "towpath 2026-11 key of masks",
            secret,
        )))
    }

    /// Tells two keys apart, and says nothing about either.
    pub fn id(&self) -> String {
        let id = blake3::derive_key("towpath 2026-11 id of a key of masks", self.0.as_slice());
        hex::encode(&id[..8])
    }

    /// A key for one purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        *blake3::Hasher::new_keyed(&self.0)
            .update(purpose.as_bytes())
            .finalize()
            .as_bytes()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MaskKey({})", self.id())
    }
}
