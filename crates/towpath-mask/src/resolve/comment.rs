//! What the comment of a column says: `towpath:mask(email)`, `towpath:allow(why)`.

use towpath_model::masking::{Fake, JsonRest, Transformer};

/// What a comment says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Mask it.
    Mask(Transformer),
    /// It may go as it is, for this reason.
    Allow(String),
    /// Something for towpath that it does not understand.
    Unknown(String),
}

const MARK: &str = "towpath:";

/// Kinds of made-up data by name.
const FAKES: [(&str, Fake); 16] = [
    ("name", Fake::Name),
    ("first-name", Fake::FirstName),
    ("last-name", Fake::LastName),
    ("email", Fake::Email),
    ("username", Fake::Username),
    ("phone", Fake::Phone),
    ("address", Fake::Address),
    ("street", Fake::Street),
    ("city", Fake::City),
    ("postal-code", Fake::PostalCode),
    ("company", Fake::Company),
    ("iban", Fake::Iban),
    ("ip", Fake::Ip),
    ("url", Fake::Url),
    ("user-agent", Fake::UserAgent),
    ("text", Fake::Text),
];

/// Reads a comment; nothing where it does not speak to towpath. Who says two things has not been
/// understood.
pub fn said_by(comment: &str) -> Option<Said> {
    // Of a mark that nobody sees for its capitals a column would go as it is.
    let marks = comment.to_ascii_lowercase();
    let begin = marks.find(MARK)? + MARK.len();
    if marks[begin..].contains(MARK) {
        return Some(Said::Unknown("… twice".to_owned()));
    }
    let said = &comment[begin..];
    let argument = |verb: &str| {
        let inner = said.strip_prefix(verb)?.trim_start().strip_prefix('(')?;
        Some(inner.split_once(')')?.0.trim())
    };
    if let Some(reason) = argument("allow") {
        return Some(Said::Allow(reason.to_owned()));
    }
    let transformer = argument("mask").and_then(transformer);
    Some(match transformer {
        Some(transformer) => Said::Mask(transformer),
        None => {
            let verb: String = said
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "-(,=) ".contains(*c))
                .take(40)
                .collect();
            Said::Unknown(verb.trim_end().to_owned())
        }
    })
}

/// A transformer that needs no more than a word: `email`, `email unique`, `date-shift 30`.
fn transformer(text: &str) -> Option<Transformer> {
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let word = words.next()?;
    let argument = words.next();
    if words.next().is_some() {
        return None;
    }
    let count = |otherwise: u32| argument.map_or(Some(otherwise), |text| text.parse().ok());
    let fake = word.strip_prefix("fake-").unwrap_or(word);
    if let Some((_, what)) = FAKES.iter().find(|(name, _)| *name == fake) {
        let unique = match argument {
            None => false,
            Some("unique") => true,
            Some(_) => return None,
        };
        return Some(Transformer::Fake {
            what: *what,
            locale: None,
            unique,
        });
    }
    Some(match word {
        "date-shift" => Transformer::DateShift {
            max_days: count(30).filter(|days| *days > 0)?,
            subject: None,
        },
        "noise" => Transformer::Noise {
            percent: f64::from(count(10).filter(|percent| *percent > 0)?),
            min: None,
            max: None,
        },
        "coordinates" => Transformer::Coordinates {
            decimals: count(2).filter(|decimals| *decimals <= 15)?,
        },
        "hash" => Transformer::Hash {
            digits: match argument {
                None => None,
                Some(_) => Some(count(0).filter(|digits| (4..=64).contains(digits))?),
            },
        },
        _ if argument.is_some() => return None,
        "null" => Transformer::Null,
        "redact" => Transformer::Redact {
            character: None,
            keep_first: 0,
            keep_last: 0,
        },
        "format-preserving" => Transformer::FormatPreserving {
            keep_first: 0,
            keep_last: 0,
        },
        "uuid" => Transformer::Uuid,
        "json" => Transformer::Json {
            rules: Vec::new(),
            rest: JsonRest::Redact,
        },
        "scrub" => Transformer::Scrub {
            columns: Vec::new(),
        },
        "empty-bytes" => Transformer::EmptyBytes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_speak_where_they_are_addressed() {
        let fake = |what, unique| {
            Some(Said::Mask(Transformer::Fake {
                what,
                locale: None,
                unique,
            }))
        };
        assert_eq!(
            said_by("the e-mail; towpath:mask(email)"),
            fake(Fake::Email, false)
        );
        assert_eq!(
            said_by("towpath:mask( fake-email unique ) x"),
            fake(Fake::Email, true)
        );
        assert_eq!(
            said_by("towpath:mask(null)"),
            Some(Said::Mask(Transformer::Null))
        );
        assert_eq!(
            said_by("towpath:mask(date-shift 90)"),
            Some(Said::Mask(Transformer::DateShift {
                max_days: 90,
                subject: None
            }))
        );
        assert_eq!(
            said_by("towpath:allow(shown to everybody)"),
            Some(Said::Allow("shown to everybody".to_owned()))
        );
        assert_eq!(
            said_by("TowPath:mask(null)"),
            Some(Said::Mask(Transformer::Null))
        );
        assert_eq!(said_by("moved by towpath"), None);
        for bad in [
            "towpath:allow(x), was towpath:mask(email)",
            "towpath: mask(email)",
            "towpath:mask",
            "towpath:mask(emial)",
            "towpath:mask(null, now)",
            "towpath:mask(date-shift 0)",
            "towpath:hide(me)",
        ] {
            assert!(matches!(said_by(bad), Some(Said::Unknown(_))), "{bad}");
        }
    }
}
