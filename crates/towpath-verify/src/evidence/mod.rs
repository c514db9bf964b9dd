//! Evidence: a verification as it is stored, signed, and checked later without a database.
//!
//! What is signed are the bytes of the file before its last field, exactly as they are stored, and
//! not a form that a reader would compute: nothing has to be agreed on but where the signature
//! begins, and a program that knows nothing of towpath can check it. The field is written in one way
//! only, and read back by that: so there is no byte of a file that can change.

mod agreement;
mod keys;
mod layout;

use towpath_model::verification::{Signature, Verification};
use towpath_model::{ErrorKind, Failure, Result, document};

pub use self::agreement::contradictions;
pub use self::keys::{Keys, PublicKey, Signer};

/// What every rendered document ends with.
const END: &str = "\n}\n";

/// Signs a verification; gives the bytes to store and the verification with its signature.
pub fn seal(mut verification: Verification, signer: &Signer) -> Result<(Vec<u8>, Verification)> {
    verification.signature = None;
    // Whoever checks the evidence will look; whoever tests towpath should hear of it first.
    if cfg!(debug_assertions) {
        refuse_contradictions(&verification)?;
    }
    let mut bytes = layout::render(&verification)?;
    if !bytes.ends_with(END.as_bytes()) {
        return Err(Failure::new(
            ErrorKind::Internal,
            "an evidence does not end as documents do",
        ));
    }
    bytes.truncate(bytes.len() - END.len());
    let signature = signer.sign(&bytes);
    bytes.extend_from_slice(ending(&signature)?.as_bytes());
    verification.signature = Some(signature);
    Ok((bytes, verification))
}

fn refuse_contradictions(verification: &Verification) -> Result<()> {
    let found = contradictions(verification);
    match found.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            ErrorKind::Internal,
            format!("a verification contradicts itself: {}", found.join("; ")),
        )),
    }
}

/// The signature as a file ends with it.
fn ending(signature: &Signature) -> Result<String> {
    let text = serde_json::to_string(signature).map_err(|cause| {
        Failure::new(ErrorKind::Internal, "could not write a signature").because(cause)
    })?;
    Ok(format!(",\n  \"signature\": {text}{END}"))
}

/// An evidence that could be read, and of which nothing is proven yet.
#[derive(Debug)]
pub struct Evidence<'b> {
    verification: Verification,
    signature: Signature,
    signed: &'b [u8],
    place: String,
}

/// Reads an evidence; `place` names it for the error.
pub fn open<'b>(bytes: &'b [u8], place: &str) -> Result<Evidence<'b>> {
    let verification: Verification =
        document::parse(bytes, place).map_err(|failure| match failure.kind() {
            ErrorKind::DocumentCorrupt => altered(place, "it cannot be read").because(failure),
            _ => failure.hint("`towpath verify RUN` makes evidence of this version; for the old one use the towpath that wrote it"),
        })?;
    let Some(signature) = verification.signature.clone() else {
        return Err(altered(place, "it carries no signature"));
    };
    let Some(signed) = bytes.strip_suffix(ending(&signature)?.as_bytes()) else {
        return Err(altered(place, "it does not end with its signature"));
    };
    Ok(Evidence {
        verification,
        signature,
        signed,
        place: place.to_owned(),
    })
}

impl Evidence<'_> {
    /// What it tells, unproven: to find the key that proves it.
    pub fn unproven(&self) -> &Verification {
        &self.verification
    }

    /// Whether only the key of its run can prove it.
    pub fn needs_run_key(&self) -> bool {
        keys::needs_run_key(&self.signature)
    }

    /// The verification, once its signature is proven by these keys.
    pub fn checked(self, keys: &Keys) -> Result<Verification> {
        keys::check(&self.signature, self.signed, keys)
            .map_err(|why| altered(&self.place, &why))?;
        Ok(self.verification)
    }
}

/// The letter about an evidence that proves nothing.
pub fn altered(place: &str, why: &str) -> Failure {
    Failure::new(
        ErrorKind::EvidenceAltered,
        format!("{place} proves nothing: {why}"),
    )
    .hint("find out who changed it; what it tells of has to be verified again")
}

#[cfg(test)]
mod clone_tests;
#[cfg(test)]
mod tests;
