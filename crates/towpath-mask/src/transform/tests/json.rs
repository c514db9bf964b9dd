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
    let document = r#"{"a": 1.50, "p": {"x y": "s", "mail": "m"}, "l": [{"mail": "n"}, "t", [true, null]], "é\n": "u"}"#;
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
            document.replace("\"s\"", "\"X\"").replace("\"m\"", "\"X\""),
        ),
        ("\"é\n\"", document.replace("\"u\"", "\"X\"")),
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
    ] {
        let masked = masked(transformer.clone(), "text", broken);
        assert!(
            !masked.contains("secret") && !masked.contains("hello"),
            "{masked}"
        );
    }
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
