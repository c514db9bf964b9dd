//! Holds docs/concepts/cloning.md to the code: every transformer, kind of made-up data and key of a
//! rules file is on the page, the rules file that it shows is one, and its examples are what comes out.
//!
//! `UPDATE_GOLDEN=1 cargo test -p towpath-mask --test cloning_page` writes the examples anew.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use towpath_mask::{ColumnMask, MaskKey, Masked, RowText, transform};
use towpath_model::clone_rules::{CloneRules, MaskRule};
use towpath_model::masking::{Locale, PlannedMask, Transformer, Uniqueness};

const PAGE: &str = "docs/concepts/cloning.md";
const KEY: &str = "an example and no secret";

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(PAGE)
}

fn page() -> String {
    std::fs::read_to_string(path()).expect("read the page")
}

/// Words in backticks of an error of serde's: what it would have taken.
fn wanted<T: serde::de::DeserializeOwned>(value: Value, known: &str) -> BTreeSet<String> {
    let Err(cause) = serde_json::from_value::<T>(value) else {
        panic!("{known} was taken");
    };
    let text = cause.to_string();
    let (_, list) = text.split_once("expected").unwrap_or((&text, ""));
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn transformers() -> BTreeSet<String> {
    wanted::<Transformer>(json!({"with": "?"}), "a transformer ?")
}

/// Rows of the table of a section.
fn rows(section: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, text) = page.split_once(section).expect("the section is there");
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    lines
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

fn code_words(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Options of a transformer that makes sense but for a key that it does not know.
fn options(name: &str) -> BTreeSet<String> {
    let mut value = json!({"with": name, "?": 0});
    // Those that must be there.
    let needed = [
        ("value", json!("")),
        ("what", json!("name")),
        ("max_days", json!(1)),
        ("percent", json!(1.0)),
        ("rules", json!([])),
        ("decimals", json!(1)),
    ];
    let known = wanted::<Transformer>(value.clone(), name);
    for (key, some) in needed {
        if known.contains(key) {
            value[key] = some;
        }
    }
    wanted::<Transformer>(value, name)
}

#[test]
fn every_transformer_is_listed_with_its_options() {
    let rows = rows("### Transformers");
    let listed: BTreeSet<String> = rows.iter().flat_map(|row| code_words(&row[0])).collect();
    assert_eq!(listed, transformers());
    for row in &rows {
        let name = row[0].trim_matches('`');
        // Unit variants take any key, and a rule beside them has its own.
        let known = match name {
            "null" | "uuid" | "empty-bytes" => BTreeSet::new(),
            name => options(name),
        };
        assert_eq!(code_words(&row[1]), known, "options of {name}");
    }
}

#[test]
fn the_rules_file_that_is_shown_has_every_key_and_is_one() {
    let page = page();
    let (_, text) = page.split_once("```toml\n").expect("a rules file");
    let (text, _) = text.split_once("```").expect("its end");
    let rules = towpath_mask::rules::parse(text, "the page").expect("it is one");
    let mut keys = wanted::<CloneRules>(json!({"?": 0}), "a file with ?");
    let nested: [(&str, BTreeSet<String>); 3] = [
        (
            "allow",
            wanted::<CloneRules>(json!({"allow": [{"table": "", "column": "", "?": 0}]}), "?"),
        ),
        (
            "subset",
            wanted::<CloneRules>(json!({"subset": {"?": 0}}), "?"),
        ),
        (
            "table",
            wanted::<CloneRules>(json!({"subset": {"table": [{"table": "", "?": 0}]}}), "?"),
        ),
    ];
    keys.extend(nested.into_iter().flat_map(|(_, keys)| keys));
    let mask = MaskRule {
        table: Some(String::new()),
        column: Some(String::new()),
        type_name: Some(String::new()),
        domain: Some(String::new()),
        when: rules.masks[0].when.clone(),
        transformer: rules.masks[0].transformer.clone(),
    };
    let Value::Object(mask) = serde_json::to_value(&mask).expect("it is JSON") else {
        panic!("a mask is an object");
    };
    keys.extend(mask.keys().cloned());
    let Some(Value::Object(when)) = mask.get("when") else {
        panic!("the example has a condition");
    };
    assert_eq!(
        when.len(),
        4,
        "the example shows all of a condition: {when:?}"
    );
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        let is_shown = text.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            line.starts_with(&format!("{key} ="))
                || line
                    .trim_matches(['[', ']'])
                    .split('.')
                    .any(|part| part == key)
        });
        // Of its transformer the example shows what a fake needs.
        assert!(is_shown || key == "locale", "{key} is not shown");
    }
}

/// A rule, the type of its column, and a value.
const EXAMPLES: &[(&str, &str, &str)] = &[
    (r#"with = "null""#, "text", "anything"),
    (r#"with = "constant", value = "n/a""#, "text", "anything"),
    (r#"with = "redact""#, "text", "Room 12, left"),
    (
        r#"with = "redact", character = "-", keep_last = 4"#,
        "text",
        "4111 1111 1111 1234",
    ),
    (r#"with = "hash""#, "text", "s3cr3t"),
    (r#"with = "hash", digits = 12"#, "text", "s3cr3t"),
    (r#"with = "fake", what = "name""#, "text", "Ada Lovelace"),
    (
        r#"with = "fake", what = "name", locale = "de""#,
        "text",
        "Ada Lovelace",
    ),
    (r#"with = "fake", what = "first-name""#, "text", "Ada"),
    (r#"with = "fake", what = "last-name""#, "text", "Lovelace"),
    (
        r#"with = "fake", what = "email", unique = true"#,
        "text",
        "ada@lovelace.org",
    ),
    (r#"with = "fake", what = "username""#, "text", "ada1815"),
    (
        r#"with = "fake", what = "phone""#,
        "text",
        "+44 20 7946 1234",
    ),
    (
        r#"with = "fake", what = "address", locale = "de""#,
        "text",
        "12 St James Square, London",
    ),
    (
        r#"with = "fake", what = "street""#,
        "text",
        "12 St James Square",
    ),
    (r#"with = "fake", what = "city""#, "text", "London"),
    (r#"with = "fake", what = "postal-code""#, "text", "SW1Y 4JH"),
    (
        r#"with = "fake", what = "company""#,
        "text",
        "Analytical Engines Ltd",
    ),
    (
        r#"with = "fake", what = "iban""#,
        "text",
        "GB33BUKB20201555555555",
    ),
    (r#"with = "fake", what = "ip""#, "inet", "81.2.69.142"),
    (
        r#"with = "fake", what = "url""#,
        "text",
        "https://lovelace.org/ada",
    ),
    (
        r#"with = "fake", what = "user-agent""#,
        "text",
        "curl/8.5.0",
    ),
    (
        r#"with = "fake", what = "text""#,
        "text",
        "She did not want to talk about it.",
    ),
    (
        r#"with = "date-shift", max_days = 30"#,
        "date",
        "1815-12-10",
    ),
    (
        r#"with = "noise", percent = 10.0"#,
        "numeric(10,2)",
        "1250.00",
    ),
    (r#"with = "format-preserving""#, "text", "AB-1234/x"),
    (
        r#"with = "uuid""#,
        "uuid",
        "5b3ef1a2-7a59-4d3f-9a5e-0d4c1be3a111",
    ),
    (
        r#"with = "json", rest = "keep", rules = [{ path = "who.name", with = "fake", what = "name" }]"#,
        "jsonb",
        r#"{"who": {"name": "Ada"}, "n": 7}"#,
    ),
    (
        r#"with = "scrub""#,
        "text",
        "call 020 7946 1234 or mail ada@lovelace.org",
    ),
    (
        r#"with = "coordinates", decimals = 1"#,
        "point",
        "(51.50853,-0.12574)",
    ),
    (r#"with = "empty-bytes""#, "bytea", "\\x00ff"),
];

/// A row of one column.
struct Alone<'v>(&'v str);

impl RowText for Alone<'_> {
    fn text(&self, _column: usize) -> towpath_model::Result<Option<Cow<'_, str>>> {
        Ok(Some(Cow::Borrowed(self.0)))
    }
}

fn of_rule(rule: &str) -> Transformer {
    let keys = rule.replace(", ", "\n");
    // A list of rules holds commas of its own.
    let keys = match rule.split_once("rules = ") {
        Some((before, list)) => format!("{}rules = {list}", before.replace(", ", "\n")),
        None => keys,
    };
    let file = format!("[[mask]]\ncolumn = \"c\"\n{keys}\n");
    let rules = towpath_mask::rules::parse(&file, "an example");
    let rules = rules.unwrap_or_else(|failure| panic!("{rule}: {failure}"));
    rules.masks[0].transformer.clone()
}

fn example(rule: &str, base_type: &str, value: &str) -> String {
    let transformer = of_rule(rule);
    transform::fits(&transformer, base_type, None).unwrap_or_else(|why| panic!("{rule}: {why}"));
    let uniqueness = transform::uniqueness(&transformer, base_type, None);
    let locale = match &transformer {
        Transformer::Fake { locale, .. } => locale.unwrap_or_default(),
        _ => Locale::default(),
    };
    let mask = PlannedMask {
        domain: transform::default_domain(&transformer),
        transformer,
        locale,
        condition: None,
        base_type: base_type.to_owned(),
        reads: Default::default(),
        max_chars: None,
        uniqueness,
        origin: String::new(),
    };
    let key = MaskKey::of_secret(KEY.as_bytes());
    let mask = ColumnMask::new(&key, &mask, &["c".to_owned()]).expect("a mask");
    let mut after = String::new();
    let after = match mask
        .apply(value, &Alone(value), &mut after)
        .expect("it masks")
    {
        Masked::Value => format!("`{after}`"),
        Masked::Null => "NULL".to_owned(),
        Masked::Spared | Masked::Empty => panic!("{rule} leaves {value} as it is"),
    };
    let distinct = match uniqueness {
        Uniqueness::Preserved => "preserved",
        Uniqueness::NotGuaranteed => "not guaranteed",
        Uniqueness::Lossy => "lossy",
    };
    format!("| `{rule}` | `{base_type}` | {distinct} | `{value}` | {after} |\n")
}

/// Types that transformers are asked about, by what stands for each on the page.
const TYPES: &[&str] = &[
    "text",
    "bigint",
    "numeric(12,2)",
    "double precision",
    "boolean",
    "date",
    "timestamp with time zone",
    "interval",
    "uuid",
    "jsonb",
    "inet",
    "macaddr",
    "point",
    "bytea",
    "text[]",
];

/// Each transformer, and each kind of made-up data that does not go with every text alone, with the
/// types that it fits.
fn fitting() -> String {
    let mut table = String::from("| with | fits |\n|---|---|\n");
    let mut told = BTreeSet::new();
    for (rule, ..) in EXAMPLES {
        let transformer = of_rule(rule);
        let name = towpath_mask::rules::title(&transformer);
        // A constant fits what prints it, and says nothing of the type.
        if matches!(transformer, Transformer::Constant { .. }) || !told.insert(name.clone()) {
            continue;
        }
        let fits: Vec<String> = TYPES
            .iter()
            .filter(|base_type| transform::fits(&transformer, base_type, None).is_ok())
            .map(|base_type| format!("`{base_type}`"))
            .collect();
        assert!(!fits.is_empty(), "{name} fits nothing");
        let fits = match fits.len() == TYPES.len() {
            true => "every type".to_owned(),
            false => fits.join(", "),
        };
        table += &format!("| `{name}` | {fits} |\n");
    }
    table
}

#[test]
fn examples_are_what_comes_out() {
    const BEGIN: &str = "<!-- transformers -->\n";
    const END: &str = "<!-- end of transformers -->";
    let mut table =
        String::from("| rule | type | distinct values | before | after |\n|---|---|---|---|---|\n");
    for (rule, base_type, value) in EXAMPLES {
        table += &example(rule, base_type, value);
    }
    table += "\nWhat fits which type; `text` stands for every type of text, an array goes by its elements:\n\n";
    table += &fitting();
    let words = |key: &str| -> BTreeSet<String> {
        let begin = format!("{key} = \"");
        let pieces = EXAMPLES
            .iter()
            .filter_map(|(rule, ..)| rule.split_once(&begin));
        pieces
            .filter_map(|(_, rest)| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(words("with"), transformers());
    let fakes = wanted::<Transformer>(json!({"with": "fake", "what": "?"}), "a fake ?");
    assert!(fakes.len() > 10, "{fakes:?}");
    assert_eq!(words("what"), fakes);
    let page = page();
    let (before, rest) = page.split_once(BEGIN).expect("the place of the examples");
    let (_, after) = rest.split_once(END).expect("their end");
    let current = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(), &current).expect("write the page");
    } else {
        assert!(
            current == page,
            "the examples are not what comes out; UPDATE_GOLDEN=1 writes them anew"
        );
    }
}
