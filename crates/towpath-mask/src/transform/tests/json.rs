//! Values within JSON.

use towpath_model::masking::JsonRest;

use super::*;

fn json(rules: &[(&str, Transformer)], rest: JsonRest) -> Transformer {
    Transformer::Json {
        rules: rules
            .iter()
            .map(|(path, transformer)| JsonRule {
                path: (*path).to_owned(),
                transformer: transformer.clone(),
            })
            .collect(),
        rest,
    }
}

#[test]
fn json_paths_lead_to_values_and_all_else_stays_byte_for_byte() {
    let document = r#"{"a": 1.50, "p": {"x y": "s", "mail": "m", "a\"b": {"": "w"}}, "l": [{"mail": "n"}, "t", [true, null]], "é\n": "u"}"#;
    for (path, expected) in [
        ("p.mail", document.replace("\"m\"", "\"X\"")),
        ("p.\"x y\"", document.replace("\"s\"", "\"X\"")),
        ("l[].mail", document.replace("\"n\"", "\"X\"")),
        ("$.l[0].mail", document.replace("\"n\"", "\"X\"")),
        ("l[1]", document.replace("\"t\"", "\"X\"")),
        ("l.*.mail", document.replace("\"n\"", "\"X\"")),
        (
            "**.mail",
            document.replace("\"m\"", "\"X\"").replace("\"n\"", "\"X\""),
        ),
        (
            "p",
            ["s", "m", "w"]
                .iter()
                .fold(document.to_owned(), |document, value| {
                    document.replace(&format!("\"{value}\""), "\"X\"")
                }),
        ),
        ("\"é\n\"", document.replace("\"u\"", "\"X\"")),
        ("p.\"a\"\"b\".\"\"", document.replace("\"w\"", "\"X\"")),
    ] {
        let masked = masked(
            json(&[(path, constant("X"))], JsonRest::Keep),
            "jsonb",
            document,
        );
        assert_eq!(masked, expected, "{path}");
    }
    for path in ["", "a..b", "a[", "a[x]", "\"a", "a[0]b", "."] {
        let refused = fits(
            &json(&[(path, constant("X"))], JsonRest::Keep),
            "jsonb",
            None,
        );
        assert!(refused.is_err(), "{path}");
    }
}

#[test]
fn json_rules_count_in_their_order_and_null_takes_all() {
    let rules = [
        ("a.b", constant("first")),
        ("a", Transformer::Null),
        ("**", constant("last")),
    ];
    let masked_one = masked(
        json(&rules[..2], JsonRest::Redact),
        "jsonb",
        r#"{"a": {"b": "x"}, "c": "y z"}"#,
    );
    assert_eq!(masked_one, r#"{"a": null, "c": "* *"}"#);
    let number = masked(
        json(&rules[..1], JsonRest::Redact),
        "jsonb",
        r#"{"phone": 491701234567, "is": true}"#,
    );
    let digits = number
        .strip_prefix(r#"{"phone": "#)
        .and_then(|rest| rest.strip_suffix(r#", "is": true}"#));
    let digits = digits.unwrap_or_else(|| panic!("{number}"));
    assert!(digits.len() == 12 && digits != "491701234567" && digits.parse::<u64>().is_ok());
    let masked_two = masked(
        json(&rules, JsonRest::Keep),
        "jsonb",
        r#"{"z": [{}, [], "q"], "n": 12}"#,
    );
    assert_eq!(masked_two, r#"{"z": [{}, [], "last"], "n": "last"}"#);
    let numbers = masked(
        json(&[("n", constant("7"))], JsonRest::Keep),
        "jsonb",
        r#"{"n": 12}"#,
    );
    assert_eq!(numbers, r#"{"n": 7}"#);
}

#[test]
fn json_strings_are_escaped_as_jsonb_prints_them() {
    let odd = "\u{1}\u{8}\u{c}\n\r\t\"\\/é\u{7f}😀";
    let masked = masked(
        json(&[("a", constant(odd))], JsonRest::Keep),
        "jsonb",
        r#"{"a": "b"}"#,
    );
    assert_eq!(
        masked,
        "{\"a\": \"\\u0001\\b\\f\\n\\r\\t\\\"\\\\/é\u{7f}😀\"}"
    );
}

#[test]
fn text_that_is_no_json_is_redacted_as_a_whole() {
    let transformer = json(&[("a", constant("X"))], JsonRest::Keep);
    for broken in [
        "{\"a\": \"secret\"",
        "hello",
        "{\"a\" \"b\"}",
        "[1,]",
        "{\"a\": \"\\ud800\"}",
        "1 2",
        "0170-1234567",
        "0049170123456",
        "4111.1111.1111",
        "7secret",
        "491701234567",
        "\"secret\"",
        "[0170-1234567]",
        "{\"a\": \"b\", \"c\": 7secret}",
    ] {
        let masked = masked(transformer.clone(), "text", broken);
        assert!(
            !masked.contains("secret") && !masked.contains("hello"),
            "{masked}"
        );
        assert!(
            !masked.contains(|char: char| char.is_ascii_digit()),
            "{masked}"
        );
    }
    let all = json(
        &[("**", Transformer::Hash { digits: None })],
        JsonRest::Keep,
    );
    assert_ne!(masked(all, "text", "491701234567"), "491701234567");
    let mask = prepare("secret", &planned(transformer, "jsonb"));
    assert_eq!(apply(&mask, "{}"), None);
    assert_eq!(apply(&mask, "{\"b\": \"stays\"}"), None);
}

#[test]
fn deep_documents_are_walked_through() {
    let deep = format!("{}\"x\"{}", "[".repeat(100_000), "]".repeat(100_000));
    let masked_deep = masked(
        json(&[("**", constant("y"))], JsonRest::Keep),
        "json",
        &deep,
    );
    assert_eq!(masked_deep, deep.replace('x', "y"));
    let nulled = masked(
        json(&[("[0]", Transformer::Null)], JsonRest::Keep),
        "json",
        &deep,
    );
    assert_eq!(nulled, "[null]");
}

#[test]
fn a_constant_that_stands_there_already_is_nothing_to_change() {
    let transformer = json(
        &[("lang", constant("en")), ("n", constant("7"))],
        JsonRest::Keep,
    );
    let mask = prepare("secret", &planned(transformer.clone(), "jsonb"));
    assert_eq!(apply(&mask, r#"{"n": 7, "lang": "en"}"#), None);
    assert_eq!(
        masked(transformer.clone(), "jsonb", r#"{"n": 8, "lang": "en"}"#),
        r#"{"n": 7, "lang": "en"}"#
    );
    let many = prepare("secret", &planned(transformer, "jsonb[]"));
    assert_eq!(apply(&many, r#"{"{\"lang\": \"en\"}",NULL}"#), None);
}

#[test]
fn what_is_true_or_false_gives_way_to_a_constant_and_to_null() {
    let document = r#"{"positive": true, "n": null, "l": [false, "x"]}"#;
    for (transformer, expected) in [
        (
            constant("false"),
            r#"{"positive": false, "n": null, "l": [false, "false"]}"#,
        ),
        (
            constant("?"),
            r#"{"positive": "?", "n": null, "l": ["?", "?"]}"#,
        ),
    ] {
        let all = json(&[("*", transformer)], JsonRest::Keep);
        assert_eq!(masked(all, "jsonb", document), expected);
    }
    let nulled = json(&[("positive", Transformer::Null)], JsonRest::Keep);
    assert_eq!(
        masked(nulled, "jsonb", document),
        document.replace("true", "null")
    );
}

#[test]
fn numbers_of_any_size_are_numbers() {
    let shaped = json(&[("**", shape())], JsonRest::Keep);
    for number in [
        "1e400",
        "-0.5E-7",
        "12345678901234567890123456789012345678901234567890",
    ] {
        let document = format!("[{number}]");
        let masked = masked(shaped.clone(), "json", &document);
        assert_ne!(masked, document);
        assert_eq!(masked.len(), document.len(), "{masked}");
    }
    let noise = Transformer::Noise {
        percent: 10.0,
        min: None,
        max: None,
    };
    let noisy = masked(json(&[("**", noise)], JsonRest::Keep), "json", "[1e400]");
    assert!(noisy.ends_with("e400]") && noisy != "[1e400]", "{noisy}");
    let bounded = Transformer::Noise {
        percent: 10.0,
        min: None,
        max: Some(1.0),
    };
    let long = format!("[7.{}]", "7".repeat(70_000));
    let held = masked(json(&[("**", bounded)], JsonRest::Keep), "json", &long);
    assert!(held.starts_with("[1.0"), "{}", &held[..8]);
}

/// Documents by chance, as texts.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][-+]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let field = (any::<String>(), inner.clone()).prop_map(|(name, value)| {
            let name = serde_json::to_string(&name).expect("a string");
            format!("{name} : {value}")
        });
        let array = proptest::collection::vec(inner, 0..4);
        let object = proptest::collection::vec(field, 0..4);
        prop_oneof![
            array.prop_map(|elements| format!("[{}]", elements.join(" , "))),
            object.prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn documents_without_a_match_stay_byte_for_byte(document in document()) {
        let transformer = json(&[("no.such.name", constant("X"))], JsonRest::Keep);
        prop_assert_eq!(apply(&prepare("k", &planned(transformer, "json")), &document), None);
    }

    #[test]
    fn a_text_that_is_left_is_a_document(
        text in "[\\[\\]{}\",:0-9aeE.+\\- ]{0,12}|[\\[{][0-9.eE+\\-]{1,6}[\\]}]",
    ) {
        let transformer = json(&[("no.such.name", constant("X"))], JsonRest::Keep);
        let left = apply(&prepare("k", &planned(transformer, "text")), &text).is_none();
        if left && text.contains(char::is_alphanumeric) {
            let read = serde_json::from_str::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(&text).is_ok()
                || serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&text).is_ok();
            prop_assert!(read, "{}", text);
        }
    }
}
