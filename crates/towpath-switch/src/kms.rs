//! Keys for the way back out of KMS: a data key for each document, stored beside it wrapped by the
//! key of the setting, and bound to the run. Whoever may use that key opens the way back from any
//! machine; whoever only reads the store does not.

use std::collections::HashMap;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use serde::{Deserialize, Serialize};
use towpath_model::{ErrorKind, Failure, Result};
use zeroize::Zeroizing;

use crate::aws;
use crate::clients::SwitchClients;
use crate::undo::Attempt;

/// A data key.
pub(crate) type DataKey = Zeroizing<[u8; 32]>;

/// A data key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wrapped {
    /// ARN of the key that wraps it.
    pub(crate) key: String,
    /// The data key under that key, hexadecimal.
    pub(crate) data_key: String,
}

/// What the wrapping is bound to. It stands in the clear in CloudTrail
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html>), and a policy may
/// ask for it.
fn context(attempt: &Attempt) -> HashMap<String, String> {
    HashMap::from([
        ("towpath:run".to_owned(), attempt.run.to_string()),
        ("towpath:attempt".to_owned(), attempt.number.to_string()),
    ])
}

/// Makes a data key.
pub(crate) async fn make(
    clients: &SwitchClients,
    key: &str,
    attempt: &Attempt,
) -> Result<(DataKey, Wrapped)> {
    let call = clients
        .at(key)
        .keys
        .generate_data_key()
        .key_id(key)
        .key_spec(DataKeySpec::Aes256)
        .set_encryption_context(Some(context(attempt)));
    let made = Box::pin(call.send()).await.map_err(|error| {
        explained(
            aws::code(&error),
            aws::failure(
                &error,
                format!("could not make a key for the way back under KMS key {key}"),
                "kms:GenerateDataKey",
            ),
        )
    })?;
    let wrapped = Wrapped {
        key: made.key_id.unwrap_or_else(|| key.to_owned()),
        data_key: hex::encode(
            made.ciphertext_blob
                .map(Blob::into_inner)
                .unwrap_or_default(),
        ),
    };
    Ok((plain(made.plaintext)?, wrapped))
}

/// Unwraps a data key.
pub(crate) async fn unwrap(
    clients: &SwitchClients,
    wrapped: &Wrapped,
    attempt: &Attempt,
) -> Result<DataKey> {
    let Ok(blob) = hex::decode(&wrapped.data_key) else {
        return Err(damaged());
    };
    let key = &wrapped.key;
    let call = clients
        .at(key)
        .keys
        .decrypt()
        .key_id(key)
        .ciphertext_blob(Blob::new(blob))
        .set_encryption_context(Some(context(attempt)));
    let opened = Box::pin(call.send())
        .await
        .map_err(|error| match aws::code(&error) {
            // Another context, another key, or a changed byte: KMS does not say which.
            Some("InvalidCiphertextException" | "IncorrectKeyException") => damaged(),
            code => explained(
                code,
                aws::failure(
                    &error,
                    format!("could not open the way back with KMS key {key}"),
                    "kms:Decrypt",
                ),
            ),
        })?;
    plain(opened.plaintext)
}

fn plain(blob: Option<Blob>) -> Result<DataKey> {
    let bytes = Zeroizing::new(blob.map(Blob::into_inner).unwrap_or_default());
    let mut key = DataKey::default();
    if bytes.len() != key.len() {
        return Err(Failure::new(
            ErrorKind::Aws,
            format!("KMS gave a data key of {} bytes", bytes.len()),
        ));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn damaged() -> Failure {
    Failure::new(
        ErrorKind::DocumentCorrupt,
        "the wrapped key of the way back does not open: it was damaged, edited, or belongs to another run",
    )
    .hint("restore the document from a copy; the bucket may keep versions")
}

fn explained(code: Option<&str>, failure: Failure) -> Failure {
    match code {
        Some("DisabledException") => failure.hint("the key is disabled: enable it (aws kms enable-key)"),
        Some("KMSInvalidStateException") => failure.hint(
            "the key is pending deletion or import: cancel that (aws kms cancel-key-deletion)",
        ),
        Some("NotFoundException") => failure.hint(
            "switch.undo_kms_key_id names no key of this region and account; a key of another is named by its ARN",
        ),
        _ => failure,
    }
}
