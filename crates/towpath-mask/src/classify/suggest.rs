//! What a column that looks personal could be masked with: a rule to begin with, which a person
//! reads before it counts.

use towpath_model::masking::{Fake, JsonRest, Transformer, Uniqueness};

use super::name::words;
use super::{Kind, Suspicion};
use crate::transform::{fits, uniqueness};

/// A column as far as a suggestion depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub column: String,
    /// The type below all domains.
    pub base_type: String,
    /// Characters that it takes at most.
    pub max_chars: Option<u32>,
    /// It takes no NULL.
    pub not_null: bool,
    /// It is under a unique key or a reference: values must stay distinct.
    pub is_key: bool,
}

/// A transformer for a column that looks like this; nothing where none fits.
pub fn suggest(suspicion: &Suspicion, wanted: &Wanted) -> Option<Transformer> {
    let within = suspicion.is_part.then(|| Transformer::Scrub {
        columns: Vec::new(),
    });
    within
        .filter(|_| !wanted.base_type.starts_with("json"))
        .into_iter()
        .chain(first_choices(suspicion.kind, &wanted.column))
        .chain(last_resorts())
        .find(|transformer| goes(transformer, wanted))
}

fn goes(transformer: &Transformer, wanted: &Wanted) -> bool {
    if *transformer == Transformer::Null {
        return !wanted.not_null && !wanted.is_key;
    }
    let stays_distinct =
        || uniqueness(transformer, &wanted.base_type, wanted.max_chars) == Uniqueness::Preserved;
    fits(transformer, &wanted.base_type, wanted.max_chars).is_ok()
        && (!wanted.is_key || stays_distinct())
}

fn first_choices(kind: Kind, column: &str) -> Vec<Transformer> {
    let told = words(column);
    let tells = |parts: &[&str]| {
        told.iter()
            .any(|word| parts.iter().any(|part| word.contains(part)))
    };
    match kind {
        Kind::Name if tells(&["first", "given", "vorname", "forename", "fname"]) => {
            fake(Fake::FirstName)
        }
        Kind::Name if tells(&["last", "sur", "family", "nachname", "familien", "lname"]) => {
            fake(Fake::LastName)
        }
        Kind::Name if tells(&["user", "nick", "login", "handle", "benutzer"]) => {
            fake(Fake::Username)
        }
        Kind::Name => fake(Fake::Name),
        Kind::Email => fake(Fake::Email),
        Kind::Phone => or_else(fake(Fake::Phone), [format_preserving()]),
        Kind::Address if tells(&["street", "strass", "str"]) => fake(Fake::Street),
        Kind::Address if tells(&["city", "town", "ort", "stadt"]) => fake(Fake::City),
        Kind::Address if tells(&["zip", "post", "plz"]) => {
            or_else(fake(Fake::PostalCode), [format_preserving()])
        }
        Kind::Address => fake(Fake::Address),
        Kind::Ip => fake(Fake::Ip),
        Kind::Account if tells(&["iban"]) => fake(Fake::Iban),
        Kind::Account => vec![format_preserving()],
        Kind::Secret => vec![
            Transformer::Null,
            Transformer::Hash { digits: None },
            Transformer::EmptyBytes,
        ],
        Kind::Birth => vec![Transformer::DateShift {
            max_days: 180,
            subject: None,
        }],
        Kind::Position => vec![Transformer::Coordinates { decimals: 1 }],
        Kind::FreeText => fake(Fake::Text),
        Kind::Device if tells(&["agent"]) => fake(Fake::UserAgent),
        Kind::Device => vec![Transformer::Hash { digits: None }],
        Kind::Whole if tells(&["mail"]) => fake(Fake::Email),
        Kind::Whole if tells(&["phone"]) => or_else(fake(Fake::Phone), [format_preserving()]),
        Kind::Whole => vec![Transformer::Null],
    }
}

/// What is made up, and the same with distinct values kept distinct, for keys.
fn fake(what: Fake) -> Vec<Transformer> {
    [false, true]
        .map(|unique| Transformer::Fake {
            what,
            locale: None,
            unique,
        })
        .to_vec()
}

fn or_else<const N: usize>(
    mut these: Vec<Transformer>,
    others: [Transformer; N],
) -> Vec<Transformer> {
    these.extend(others);
    these
}

const fn format_preserving() -> Transformer {
    Transformer::FormatPreserving {
        keep_first: 0,
        keep_last: 0,
    }
}

/// What says nothing about the kind, and fits nearly every column.
fn last_resorts() -> [Transformer; 11] {
    [
        Transformer::Json {
            rules: Vec::new(),
            rest: JsonRest::Redact,
        },
        Transformer::Uuid,
        Transformer::Null,
        format_preserving(),
        Transformer::Hash { digits: None },
        Transformer::Redact {
            character: None,
            keep_first: 0,
            keep_last: 0,
        },
        Transformer::EmptyBytes,
        Transformer::DateShift {
            max_days: 180,
            subject: None,
        },
        Transformer::Noise {
            percent: 50.0,
            min: None,
            max: None,
        },
        Transformer::Coordinates { decimals: 1 },
        Transformer::Fake {
            what: Fake::Ip,
            locale: None,
            unique: false,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::title;

    #[test]
    fn every_kind_has_a_rule_that_goes_with_every_type_and_key() {
        let kinds = [
            Kind::Name,
            Kind::Email,
            Kind::Phone,
            Kind::Address,
            Kind::Ip,
            Kind::Account,
            Kind::Secret,
            Kind::Birth,
            Kind::Position,
            Kind::FreeText,
            Kind::Device,
            Kind::Whole,
        ];
        let types = [
            "text",
            "character varying(40)",
            "citext",
            "jsonb",
            "inet",
            "uuid",
            "date",
            "bytea",
            "text[]",
            "point",
            "numeric(9,6)",
            "double precision",
            "integer",
            "bigint",
            "timestamp with time zone",
        ];
        for kind in kinds {
            for base_type in types {
                for not_null in [false, true] {
                    let suspicion = Suspicion {
                        kind,
                        because: String::new(),
                        is_part: false,
                    };
                    let wanted = Wanted {
                        column: "c".to_owned(),
                        base_type: base_type.to_owned(),
                        max_chars: base_type.contains("(40)").then_some(40),
                        not_null,
                        is_key: false,
                    };
                    let found = suggest(&suspicion, &wanted);
                    let found = found.unwrap_or_else(|| panic!("{kind}, {base_type}, {not_null}"));
                    assert!(!(not_null && found == Transformer::Null));
                    assert_eq!(fits(&found, base_type, wanted.max_chars), Ok(()));
                }
            }
        }
    }

    #[test]
    fn keys_stay_distinct() {
        let suspicion = Suspicion {
            kind: Kind::Email,
            because: String::new(),
            is_part: false,
        };
        let wanted = Wanted {
            column: "email".to_owned(),
            base_type: "text".to_owned(),
            is_key: true,
            ..Wanted::default()
        };
        let found = suggest(&suspicion, &wanted).unwrap();
        assert_eq!(title(&found), "fake-email");
        assert_eq!(uniqueness(&found, "text", None), Uniqueness::Preserved);
    }
}
