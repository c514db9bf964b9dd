//! Keys that evidence is signed and checked with.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use towpath_model::{ErrorKind, Failure, Result};
use towpath_store::RunStore;
use towpath_verify::evidence::{Keys, PublicKey, Signer};

use crate::context::Context;
use crate::run_files;

/// The setting of the signing key.
const SIGNING_KEY: &str = "verify.signing_key";

/// Whoever signs the evidence of this process: the key of the setting, or that of the run.
pub async fn signer(context: &Context, store: &RunStore) -> Result<Signer> {
    match configured(context)? {
        Some(signer) => Ok(signer),
        None => Ok(Signer::Run(run_files::key(store).await?)),
    }
}

/// The public half of the key of the setting.
pub fn own_public_key(context: &Context) -> Result<Option<PublicKey>> {
    Ok(configured(context)?.and_then(|signer| signer.public_key()))
}

/// Keys that prove an evidence of this run, whoever signed it.
pub async fn keys_of_run(store: &RunStore) -> Result<Keys> {
    Ok(Keys {
        run: Some(run_files::key(store).await?),
        demanded: None,
    })
}

/// The key that an argument names: 64 hex digits, or a file with PEM or such digits.
pub fn public_key(argument: &str) -> Result<PublicKey> {
    if let Some(key) = PublicKey::from_hex(argument) {
        return Ok(key);
    }
    let refuse = |what: String| {
        Failure::new(ErrorKind::Usage, what)
            .hint("give 64 hex digits, or the file of `openssl pkey -in KEY -pubout`")
    };
    let bytes = fs::read(argument).map_err(|cause| {
        refuse(format!("could not read the public key {argument}")).because(cause)
    })?;
    let digits = || PublicKey::from_hex(std::str::from_utf8(&bytes).ok()?.trim());
    let key = PublicKey::from_pem(&bytes).or_else(digits);
    key.ok_or_else(|| refuse(format!("{argument} holds no ed25519 public key")))
}

fn configured(context: &Context) -> Result<Option<Signer>> {
    let Some(path) = context.settings.path(SIGNING_KEY) else {
        return Ok(None);
    };
    let pem = read_private(&path)?;
    let signer = Signer::from_pem(&pem).map_err(|failure| {
        failure.at(format!(
            "{}, from the {}",
            path.display(),
            context.settings.origin(SIGNING_KEY)
        ))
    })?;
    Ok(Some(signer))
}

/// Reads a file that nobody else may read. Looked at through the handle, so that what is judged is
/// what is read.
fn read_private(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |cause: std::io::Error| {
        Failure::new(
            ErrorKind::Config,
            format!("could not read the signing key {}", path.display()),
        )
        .because(cause)
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            ErrorKind::Config,
            format!(
                "others may read or change the signing key {} (mode {:04o})",
                path.display(),
                mode & 0o7777
            ),
        )
        .hint(format!("chmod 600 {}", path.display())));
    }
    let mut pem = Vec::new();
    file.read_to_end(&mut pem).map_err(unreadable)?;
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        fs::write(&path, "key").unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = read_private(&path).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Config, "{mode:o}");
            assert!(failure.find_hint().unwrap().starts_with("chmod 600 "));
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_private(&path).unwrap(), b"key");
        }
        assert!(read_private(&directory.path().join("none")).is_err());
    }

    #[test]
    fn a_public_key_is_digits_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.hex");
        let digits = "ab".repeat(32);
        fs::write(&path, format!("{digits}\n")).unwrap();
        let by_file = public_key(path.to_str().unwrap()).unwrap();
        assert_eq!(by_file, public_key(&digits).unwrap());
        fs::write(&path, "nothing").unwrap();
        for wrong in [path.to_str().unwrap(), "", "no/such/file"] {
            let failure = public_key(wrong).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Usage, "{wrong}");
        }
    }
}
