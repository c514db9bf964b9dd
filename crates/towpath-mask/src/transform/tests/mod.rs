use std::collections::HashMap;

use proptest::prelude::*;
use towpath_model::masking::{Fake, JsonRest, JsonRule, Locale, Uniqueness};
use towpath_model::plan::Format;

use super::*;
use crate::Codec;

mod json;
mod made_up;
mod numbers;
mod texts;

/// A row of two columns, `id` and `owner`.
struct Row(Option<&'static str>);

impl RowText for Row {
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>> {
        Ok(if column == 1 {
            self.0.map(Cow::Borrowed)
        } else {
            None
        })
    }
}

fn planned(transformer: Transformer, base_type: &str) -> PlannedMask {
    PlannedMask {
        domain: default_domain(&transformer),
        transformer,
        locale: Locale::En,
        condition: None,
        base_type: base_type.to_owned(),
        reads: Default::default(),
        max_chars: None,
        uniqueness: Uniqueness::Lossy,
        origin: String::new(),
    }
}

fn prepare(key: &str, mask: &PlannedMask) -> ColumnMask {
    let columns = ["id".to_owned(), "owner".to_owned()];
    ColumnMask::new(&MaskKey::of_secret(key.as_bytes()), mask, &columns).expect("a mask")
}

fn apply(mask: &ColumnMask, value: &str) -> Option<String> {
    let mut out = String::new();
    match mask.apply(value, &Row(None), &mut out).expect("apply") {
        Masked::Value => Some(out),
        Masked::Empty | Masked::Null | Masked::Spared => {
            assert_eq!(out, "");
            None
        }
    }
}

fn masked(transformer: Transformer, base_type: &str, value: &str) -> String {
    let mask = prepare("secret", &planned(transformer, base_type));
    apply(&mask, value).unwrap_or_else(|| panic!("{value} holds something"))
}

fn fake(what: Fake) -> Transformer {
    Transformer::Fake {
        what,
        locale: None,
        unique: false,
    }
}

fn shape() -> Transformer {
    Transformer::FormatPreserving {
        keep_first: 0,
        keep_last: 0,
    }
}

const ALL_FAKES: [Fake; 16] = [
    Fake::Name,
    Fake::FirstName,
    Fake::LastName,
    Fake::Email,
    Fake::Username,
    Fake::Phone,
    Fake::Address,
    Fake::Street,
    Fake::City,
    Fake::PostalCode,
    Fake::Company,
    Fake::Iban,
    Fake::Ip,
    Fake::Url,
    Fake::UserAgent,
    Fake::Text,
];

fn all_transformers() -> Vec<Transformer> {
    let mut all = vec![
        Transformer::Null,
        Transformer::Redact {
            character: None,
            keep_first: 1,
            keep_last: 2,
        },
        Transformer::Hash { digits: None },
        Transformer::DateShift {
            max_days: 30,
            subject: None,
        },
        Transformer::Noise {
            percent: 10.0,
            min: None,
            max: None,
        },
        shape(),
        Transformer::FormatPreserving {
            keep_first: 2,
            keep_last: 1,
        },
        Transformer::Uuid,
        Transformer::Json {
            rules: vec![JsonRule {
                path: "**".to_owned(),
                transformer: Transformer::Hash { digits: None },
            }],
            rest: JsonRest::Keep,
        },
        Transformer::Scrub {
            columns: vec!["owner".to_owned()],
        },
        Transformer::Coordinates { decimals: 1 },
        Transformer::EmptyBytes,
    ];
    for what in ALL_FAKES {
        for locale in [Locale::En, Locale::De] {
            for unique in [false, true] {
                all.push(Transformer::Fake {
                    what,
                    locale: Some(locale),
                    unique,
                });
            }
        }
    }
    all
}

/// Types, and values of theirs that hold something.
const VALUES: &[(&str, &[&str])] = &[
    (
        "text",
        &[
            "Anna Schmidt",
            "a",
            "Z",
            "7",
            "anna@firma.de",
            "+49 30 901820",
            "ÄÖÜ ß",
            "Αθήνα 5",
            "Москва",
            "日本語",
            "12.05.1980",
            "2001-02-03",
            "52.520008, 13.404954",
            "192.168.1.7",
            "DE89 3704 0044 0532 0130 00",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{\"a\": \"b\"}",
            "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}",
            "A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ],
    ),
    ("character varying(60)", &["Anna Schmidt", "x"]),
    (
        "character(50)",
        &["Anna                                              "],
    ),
    ("name", &["anna", "ÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜ"]),
    ("\"char\"", &["a"]),
    ("extensions.citext", &["Anna@Firma.DE", "anna"]),
    (
        "uuid",
        &[
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "00000000-0000-0000-0000-000000000000",
        ],
    ),
    (
        "smallint",
        &["0", "9", "-1", "-9", "32767", "-32768", "10000", "100"],
    ),
    (
        "integer",
        &["0", "2147483647", "-2147483648", "1000000000", "32768"],
    ),
    (
        "bigint",
        &[
            "0",
            "9223372036854775807",
            "-9223372036854775808",
            "1000000000000000000",
        ],
    ),
    ("oid", &["0", "4294967295", "1000000000"]),
    (
        "numeric",
        &[
            "0",
            "0.00",
            "-0.01",
            "1234.56",
            "99999999999999999999999999999999999999999.5",
        ],
    ),
    (
        "numeric(5,2)",
        &["0.00", "999.99", "-999.99", "0.01", "10.00"],
    ),
    (
        "real",
        &["0", "1.5", "-3.4028235e+38", "1e-45", "3.4028235e+38"],
    ),
    (
        "double precision",
        &["0", "52.520008", "-1.7976931348623157e+308", "5e-324"],
    ),
    ("boolean", &["t"]),
    ("bytea", &["\\x00ff"]),
    ("json", &["{\"a\" : [1, \"x\"]}"]),
    ("jsonb", &["{\"a\": [1, \"x\"]}", "\"x\"", "17"]),
    (
        "date",
        &[
            "2000-02-29",
            "0001-01-01 BC",
            "4714-11-24 BC",
            "5874897-12-31",
        ],
    ),
    (
        "timestamp without time zone",
        &["2026-01-01 12:00:00.5", "4714-11-24 00:00:00 BC"],
    ),
    (
        "timestamp with time zone",
        &["2026-01-01 00:00:00+00", "294276-12-31 23:59:59.999999+00"],
    ),
    ("time without time zone", &["12:00:00"]),
    ("interval", &["1 day"]),
    ("inet", &["10.1.2.3", "10.1.2.3/8", "fe80::1", "fe80::1/64"]),
    ("cidr", &["10.1.2.0/24", "10.0.0.0/8", "fe80::/16"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("point", &["(52.520008,13.404954)", "(-0.01,1e-05)"]),
    ("enum", &["happy"]),
    ("text[]", &["{a,\"b c\",NULL}", "{{x},{y}}"]),
    ("uuid[]", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"]),
    ("integer[]", &["{1,22,NULL}"]),
    ("date[]", &["{2020-01-01}"]),
    ("public.my_type", &["?"]),
];

#[test]
fn every_transformer_changes_every_value_of_every_type_that_it_fits() {
    let mut fitting: HashMap<&str, usize> = HashMap::new();
    for transformer in all_transformers() {
        for (base_type, values) in VALUES {
            if let Err(sentence) = fits(&transformer, base_type, None) {
                assert!(sentence.contains("use "), "{sentence}");
                continue;
            }
            *fitting.entry(base_type).or_default() += 1;
            let mask = prepare("secret", &planned(transformer.clone(), base_type));
            let codec = Codec::of(Format::Binary, base_type);
            for value in *values {
                let Some(masked) = apply(&mask, value) else {
                    let may_be_empty = matches!(
                        transformer,
                        Transformer::Null
                            | Transformer::Scrub { .. }
                            | Transformer::Json { .. }
                            | Transformer::Coordinates { .. }
                    );
                    assert!(may_be_empty, "{transformer:?} {base_type} {value}");
                    continue;
                };
                assert_ne!(masked, *value, "{transformer:?} {base_type}");
                assert_eq!(
                    apply(&mask, value).as_ref(),
                    Some(&masked),
                    "not the same twice"
                );
                if let Some(codec) = codec {
                    let mut bytes = Vec::new();
                    codec.encode(&masked, &mut bytes).unwrap_or_else(|_| {
                        panic!("{transformer:?} {base_type} {value}: {masked}")
                    });
                    let printed = codec.decode(&bytes).expect("decode");
                    assert_eq!(printed, masked, "{transformer:?} {base_type} {value}");
                }
                if *base_type == "name" {
                    assert!(masked.len() <= 63, "{transformer:?} {masked}");
                }
            }
        }
    }
    // NULL and one more fit every type that a mask can be made for.
    for (base_type, count) in fitting {
        let only_null = [
            "\"char\"",
            "boolean",
            "time without time zone",
            "interval",
            "enum",
            "public.my_type",
        ];
        assert_eq!(
            count == 1,
            only_null.contains(&base_type),
            "{base_type} {count}"
        );
    }
}

#[test]
fn a_domain_a_key_and_a_parameter_part_values_and_a_table_does_not() {
    for transformer in [
        fake(Fake::Email),
        shape(),
        Transformer::Hash { digits: None },
    ] {
        let mask = planned(transformer.clone(), "text");
        let here = apply(&prepare("secret", &mask), "anna@firma.de");
        let other_width = PlannedMask {
            max_chars: Some(200),
            base_type: "character varying(200)".to_owned(),
            ..mask.clone()
        };
        assert_eq!(
            here,
            apply(&prepare("secret", &other_width), "anna@firma.de")
        );
        assert_ne!(here, apply(&prepare("other", &mask), "anna@firma.de"));
        let other_domain = PlannedMask {
            domain: "customers".to_owned(),
            ..mask
        };
        assert_ne!(
            here,
            apply(&prepare("secret", &other_domain), "anna@firma.de")
        );
    }
}

/// Masks must stay what they are from version to version: clones are refreshed, and keys of one
/// must meet keys of another. If this changes, it is said so in the changelog.
#[test]
fn values_are_the_same_in_every_version() {
    let all: Vec<String> = known_values()
        .into_iter()
        .map(|(transformer, base_type, value)| masked(transformer, base_type, value))
        .collect();
    let expected = [
        "katelynn.keeling1585@example.org",
        "Billie Considine",
        "661355a3d6d49c0485ed30db0e079b4d",
        "Reby-7914",
        "7397",
        "39683571-a736-440c-89a1-70c453d6a48b",
        "+49 89 99998272",
        "DE74000000006218647491",
        "54 Lowe Shores, New Schaefermouth, ID 50673",
        "Green-Yost LLC",
        "2000-04-09",
        "96455",
    ];
    assert_eq!(all, expected);
}

fn known_values() -> Vec<(Transformer, &'static str, &'static str)> {
    vec![
        (fake(Fake::Email), "text", "anna@firma.de"),
        (fake(Fake::Name), "text", "Anna Schmidt"),
        (Transformer::Hash { digits: None }, "text", "Anna Schmidt"),
        (shape(), "text", "Anna-1980"),
        (shape(), "integer", "1980"),
        (
            Transformer::Uuid,
            "uuid",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (fake(Fake::Phone), "text", "+49 30 901820"),
        (fake(Fake::Iban), "text", "DE89370400440532013000"),
        (fake(Fake::Address), "text", "Unter den Linden 1"),
        (fake(Fake::Company), "text", "Firma"),
        (
            Transformer::DateShift {
                max_days: 100,
                subject: None,
            },
            "date",
            "2000-01-01",
        ),
        (
            Transformer::Noise {
                percent: 10.0,
                min: None,
                max: None,
            },
            "integer",
            "100000",
        ),
    ]
}

#[test]
fn equal_values_of_different_types_meet() {
    let number = |base_type, value| masked(shape(), base_type, value);
    assert_eq!(number("integer", "12345"), number("bigint", "12345"));
    assert_eq!(
        number("smallint", "32767"),
        number("numeric(20,0)", "32767")
    );
    assert_eq!(number("smallint", "-32768"), number("integer", "-32768"));
    assert_eq!(number("integer", "2147483647"), number("oid", "2147483647"));
    let text = |base_type, value| masked(fake(Fake::Email), base_type, value);
    assert_eq!(
        text("text", "a@b.de"),
        text("character(50)", "a@b.de    ").trim_end()
    );
    assert_eq!(
        text("public.citext", "A@B.de"),
        text("public.citext", "a@b.DE")
    );
    assert_eq!(text("text", "a@b.de"), text("public.citext", "a@b.DE"));
}

#[test]
fn conditions_are_about_the_row_as_it_was() {
    let condition = |is: Option<&str>, is_not: Option<&str>, is_null: Option<bool>| Condition {
        column: "owner".to_owned(),
        is: is.map(|one| vec![one.to_owned()]),
        is_not: is_not.map(|one| vec![one.to_owned()]),
        is_null,
    };
    for (condition, owner, applies) in [
        (condition(Some("a"), None, None), Some("a"), true),
        (condition(Some("a"), None, None), Some("b"), false),
        (condition(Some("a"), None, None), None, false),
        (condition(None, Some("a"), None), Some("a"), false),
        (condition(None, Some("a"), None), None, true),
        (condition(None, None, Some(true)), None, true),
        (condition(None, None, Some(false)), None, false),
        (condition(Some("a"), None, Some(true)), Some("a"), false),
    ] {
        let mask = PlannedMask {
            condition: Some(condition.clone()),
            ..planned(Transformer::Null, "text")
        };
        let mut out = String::new();
        let what = prepare("secret", &mask)
            .apply("x", &Row(owner), &mut out)
            .expect("apply");
        assert_eq!(what == Masked::Null, applies, "{condition:?} {owner:?}");
        assert_eq!(what == Masked::Spared, !applies);
    }
    // `character(3)` prints what it holds with the spaces that it adds.
    let padded = PlannedMask {
        condition: Some(condition(Some("a"), None, None)),
        reads: [("owner".to_owned(), "character(3)".to_owned())].into(),
        ..planned(Transformer::Null, "text")
    };
    let what = prepare("secret", &padded).apply("x", &Row(Some("a  ")), &mut String::new());
    assert_eq!(what.expect("apply"), Masked::Null);
    let mask = PlannedMask {
        condition: Some(Condition {
            column: "nowhere".to_owned(),
            ..Condition::default()
        }),
        ..planned(Transformer::Null, "text")
    };
    assert!(ColumnMask::new(&MaskKey::of_secret(b""), &mask, &[]).is_err());
}

#[test]
fn redaction_keeps_its_ends_but_never_everything() {
    let redact = |keep_first, keep_last, value| {
        let transformer = Transformer::Redact {
            character: None,
            keep_first,
            keep_last,
        };
        masked(transformer, "text", value)
    };
    assert_eq!(redact(0, 4, "4111-1111-1111-1234"), "****-****-****-1234");
    assert_eq!(redact(1, 0, "Ärger"), "Ä****");
    assert_eq!(redact(2, 2, "abc"), "***");
    assert_eq!(redact(5, 0, "ab-"), "**-");
    let letter = Transformer::Redact {
        character: Some('x'),
        keep_first: 0,
        keep_last: 0,
    };
    assert_eq!(masked(letter, "text", "xxx"), "***");
}

fn constant(value: &str) -> Transformer {
    Transformer::Constant {
        value: value.to_owned(),
    }
}

#[test]
fn short_hashes_meet_as_a_rule() {
    let of = |digits, base_type, room| uniqueness(&Transformer::Hash { digits }, base_type, room);
    for (digits, base_type, room, expected) in [
        (None, "text", None, Uniqueness::Preserved),
        (None, "bytea", Some(4), Uniqueness::Preserved),
        (None, "character(40)", Some(20), Uniqueness::NotGuaranteed),
        (Some(12), "text", None, Uniqueness::NotGuaranteed),
        (Some(8), "text", None, Uniqueness::Lossy),
        (None, "character varying(3)", None, Uniqueness::Lossy),
    ] {
        assert_eq!(
            of(digits, base_type, room),
            expected,
            "{digits:?} {base_type}"
        );
    }
}

#[test]
fn padded_columns_that_keys_tie_to_shorter_ones_get_the_same_masks() {
    let of = |width: u32| PlannedMask {
        max_chars: Some(10),
        ..planned(
            Transformer::Hash { digits: None },
            &format!("character({width})"),
        )
    };
    let short = apply(&prepare("secret", &of(10)), "anna      ").expect("changed");
    let long = apply(&prepare("secret", &of(20)), "anna                ").expect("changed");
    assert_eq!(long.trim_end(), short);
    let unique = Transformer::Fake {
        what: Fake::Email,
        locale: None,
        unique: true,
    };
    assert!(fits(&unique, "character(40)", Some(10)).is_err());
}

#[test]
fn arrays_are_masked_element_by_element() {
    let mask = prepare(
        "secret",
        &planned(Transformer::Hash { digits: Some(8) }, "text[]"),
    );
    let masked = apply(&mask, "{a,NULL,\"\",\"b c\",a}").expect("changed");
    let elements: Vec<&str> = masked.trim_matches(['{', '}']).split(',').collect();
    assert_eq!(elements[0], elements[4]);
    assert_ne!(elements[0], elements[3]);
    assert_eq!(&elements[1..3], ["NULL", "\"\""]);
    assert_eq!(apply(&mask, "{}"), None);
    assert_eq!(apply(&mask, "{NULL,\"\"}"), None);
}

#[test]
fn constants_must_be_what_the_database_would_print() {
    for (base_type, value, fine) in [
        ("integer", "7", true),
        ("integer", "07", false),
        ("boolean", "t", true),
        ("boolean", "true", false),
        ("date", "2000-01-01", true),
        ("date", "1/1/2000", false),
        ("jsonb", "{}", true),
        ("jsonb", "{", false),
        ("jsonb", r#"{"a": 1, "bb": [null, "é"], "aaa": {}}"#, true),
        ("jsonb", r#"{"a":1}"#, false),
        ("jsonb", r#"{"bb": 1, "a": 2}"#, false),
        ("jsonb", r#"{"a": 1, "a": 1}"#, false),
        ("jsonb", "1e5", false),
        ("jsonb", "-0", false),
        ("jsonb", r#""\u0000""#, false),
        ("json", r#"{"a":1,"a":1e5}"#, true),
        ("numeric", "0", true),
        ("numeric(10,2)", "0.00", true),
        ("numeric(10,2)", "0", false),
        ("numeric(10,2)", "0.001", false),
        ("numeric(3,2)", "10.00", false),
        ("numeric(3,2)", "NaN", true),
        ("numeric(3,2)", "Infinity", false),
        ("numeric(2,3)", "0.012", true),
        ("numeric(2,3)", "0.123", false),
        ("numeric(5,2)[]", "{0.00,NULL}", true),
        ("numeric(5,2)[]", "{0}", false),
        ("character varying(3)[]", "{abc}", true),
        ("character varying(3)[]", "{abcd}", false),
        (
            "timestamp(3) without time zone",
            "2000-01-01 00:00:00.125",
            true,
        ),
        (
            "timestamp(3) without time zone",
            "2000-01-01 00:00:00.0625",
            false,
        ),
        ("time(0) without time zone", "12:00:00.5", false),
        ("time with time zone", "12:00:00.5+01", true),
        ("text[]", "{}", true),
        ("text[]", "none", false),
        ("enum", "anything", true),
        ("interval", "1 day", true),
    ] {
        assert_eq!(
            fits(&constant(value), base_type, None).is_ok(),
            fine,
            "{base_type} {value}"
        );
    }
    assert!(fits(&constant("abcd"), "character varying(3)", Some(3)).is_err());
    assert!(prepare("secret", &planned(constant("x"), "text")).may_keep());
    let none = masked(constant("{}"), "character(5)[]", "{\"ab   \"}");
    assert_eq!(none, "{}");
    let in_json = |value: &str| {
        let rule = JsonRule {
            path: "n".to_owned(),
            transformer: constant(value),
        };
        let transformer = Transformer::Json {
            rules: vec![rule],
            rest: JsonRest::Keep,
        };
        fits(&transformer, "jsonb", None).is_ok()
    };
    assert!(in_json("7.50") && in_json("e5") && in_json("-0x"));
    assert!(!in_json("1e5") && !in_json("-0.0"));
}

#[test]
fn padded_values_are_padded_as_they_are_printed() {
    let masked = masked(
        fake(Fake::FirstName),
        "character(20)",
        "Anna                ",
    );
    assert_eq!(masked.len(), 20);
    assert!(!masked.starts_with(' ') && masked.ends_with(' '));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn texts_keep_their_shape_and_stay_apart(one in "\\PC{0,20}", other in "\\PC{0,20}", keep in 0..3_u32) {
        let transformer = Transformer::FormatPreserving { keep_first: keep, keep_last: keep };
        let mask = prepare("secret", &planned(transformer, "text"));
        let (first, second) = (apply(&mask, &one), apply(&mask, &other));
        if let Some(first) = &first {
            prop_assert_ne!(first, &one);
            prop_assert_eq!(first.chars().count(), one.chars().count());
            for (before, after) in one.chars().zip(first.chars()) {
                prop_assert_eq!(before.is_alphanumeric(), after.is_alphanumeric());
                prop_assert_eq!(before.is_ascii_digit(), after.is_ascii_digit());
                prop_assert_eq!(before.is_uppercase(), after.is_uppercase());
                if !before.is_alphanumeric() {
                    prop_assert_eq!(before, after);
                }
            }
        } else {
            prop_assert!(!one.contains(|char: char| char.is_ascii_alphanumeric()));
        }
        let (first, second) = (first.unwrap_or_else(|| one.clone()), second.unwrap_or_else(|| other.clone()));
        prop_assert_eq!(one == other, first == second);
    }

    #[test]
    fn nothing_that_comes_in_makes_a_mask_panic(value in "\\PC{0,40}|[-+0-9.eE:/@{},\"\\\\]{0,30}") {
        for transformer in all_transformers() {
            for base_type in ["text", "character(8)", "public.citext", "numeric", "integer", "date", "double precision", "inet", "jsonb", "text[]", "uuid", "macaddr", "point"] {
                let mask = prepare("k", &planned(transformer.clone(), base_type));
                let mut out = String::new();
                let what = mask.apply(&value, &Row(Some("Anna Schmidt")), &mut out).expect("apply");
                prop_assert!(what != Masked::Value || out != value);
                let takes_all = matches!(
                    transformer,
                    Transformer::Redact { .. }
                        | Transformer::Hash { .. }
                        | Transformer::Fake { .. }
                        | Transformer::DateShift { .. }
                        | Transformer::FormatPreserving { .. }
                        | Transformer::Uuid
                );
                let is_text = matches!(base_type, "text" | "character(8)" | "public.citext");
                if takes_all && is_text && value.contains(|char: char| char.is_ascii_alphanumeric()) {
                    prop_assert_eq!(what, Masked::Value, "{:?} {}", transformer, base_type);
                }
            }
        }
    }
}
