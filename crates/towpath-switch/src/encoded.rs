//! Values within Base64, and values that nothing but their own code can read.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use towpath_model::connection::Secret;

/// Shorter texts are words, not encoded connections.
const SHORTEST: usize = 24;

/// How a text was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Standard,
    StandardUnpadded,
    Url,
    UrlUnpadded,
}

const ENCODINGS: [Encoding; 4] = [
    Encoding::Standard,
    Encoding::StandardUnpadded,
    Encoding::Url,
    Encoding::UrlUnpadded,
];

impl Encoding {
    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Standard => STANDARD.decode(text),
            Self::StandardUnpadded => STANDARD_NO_PAD.decode(text),
            Self::Url => URL_SAFE.decode(text),
            Self::UrlUnpadded => URL_SAFE_NO_PAD.decode(text),
        }
        .ok()
    }

    pub(crate) fn encode(self, text: &str) -> Secret {
        Secret::new(match self {
            Self::Standard => STANDARD.encode(text),
            Self::StandardUnpadded => STANDARD_NO_PAD.encode(text),
            Self::Url => URL_SAFE.encode(text),
            Self::UrlUnpadded => URL_SAFE_NO_PAD.encode(text),
        })
    }
}

/// The text within; without an encoding where the same bytes could not be made again.
pub(crate) struct Decoded {
    pub(crate) text: Secret,
    pub(crate) encoding: Option<Encoding>,
}

/// Takes Base64 apart; nothing for texts that are none, or hold no text.
pub(crate) fn decode(text: &str) -> Option<Decoded> {
    if text.len() < SHORTEST {
        return None;
    }
    for encoding in ENCODINGS {
        if let Some(decoded) = encoding.decode(text) {
            let text = String::from_utf8(decoded).ok()?;
            return Some(Decoded {
                text: Secret::new(text),
                encoding: Some(encoding),
            });
        }
    }
    // With line breaks, as `base64` of the shell writes it: readable, and not to be made again.
    let joined: String = text.split_whitespace().collect();
    if joined.len() == text.len() {
        return None;
    }
    let decoded = ENCODINGS.iter().find_map(|it| it.decode(&joined))?;
    Some(Decoded {
        text: Secret::new(String::from_utf8(decoded).ok()?),
        encoding: None,
    })
}

/// Whether a text has the outside of a ciphertext of KMS, as the console's encryption helper stores
/// it. The format is not documented; every ciphertext under a symmetric key begins with these bytes.
pub(crate) fn is_ciphertext(text: &str) -> bool {
    text.trim().starts_with("AQICAH")
        && STANDARD
            .decode(text.trim())
            .is_ok_and(|bytes| bytes.len() > 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_decodes_with_an_encoding_is_made_again_exactly(text in "\\PC{18,60}") {
            for encoding in ENCODINGS {
                let encoded = encoding.encode(&text);
                let decoded = decode(encoded.reveal()).unwrap();
                prop_assert_eq!(decoded.text.reveal(), &text);
                let again = decoded.encoding.unwrap().encode(decoded.text.reveal());
                prop_assert_eq!(again.reveal(), encoded.reveal());
            }
        }

        #[test]
        fn no_text_is_made_another(text in "\\PC{0,60}") {
            if let Some(decoded) = decode(&text) && let Some(encoding) = decoded.encoding {
                let again = encoding.encode(decoded.text.reveal());
                prop_assert_eq!(again.reveal(), &text);
            }
        }
    }

    #[test]
    fn line_breaks_are_read_and_not_written() {
        let broken = "cG9zdGdyZXM6Ly91OnBAaC9k\nb3RoZXI=\n";
        assert!(decode(broken).unwrap().encoding.is_none());
        let helper = STANDARD.encode([&[1_u8, 2, 2, 0, 0x78][..], &[7; 160]].concat());
        assert!(is_ciphertext(&helper), "{helper}");
        assert!(!is_ciphertext("AQICAH-words"));
    }
}
