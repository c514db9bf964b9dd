//! Differences of structure as a person reads them: column by column, line by line.

use serde_json::{Map, Value};

use crate::digest::Hash;
use crate::secret_text;
use crate::structure::StructureDifference;

/// What the two sides of a difference are called.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'s> {
    /// The side that is expected, or left.
    pub expected: &'s str,
    /// The side that was found, or right.
    pub found: &'s str,
}

/// The most values of one object that a single line names.
const LINE: usize = 4;

/// The longest text that is shown line by line.
const LINES: usize = 400;

/// The first names of a list and how many more there are.
pub fn some_of<T: ToString>(items: &[T]) -> String {
    const SHOWN: usize = 5;
    let mut text = items
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}

/// A difference in as many lines as it needs, the first without indentation.
pub fn lines(difference: &StructureDifference, sides: Sides<'_>) -> Vec<String> {
    match difference {
        StructureDifference::Missing { object } => {
            vec![format!("{object}: only in {}", sides.expected)]
        }
        StructureDifference::Extra { object } => vec![format!("{object}: only in {}", sides.found)],
        StructureDifference::Changed {
            object,
            aspect,
            expected,
            found,
        } => {
            let mut lines = vec![format!("{object}: differs in {}", aspect.replace('_', " "))];
            lines.extend(
                values(aspect, expected, found, sides)
                    .into_iter()
                    .map(|line| format!("  {line}")),
            );
            lines
        }
    }
}

/// The same in one line, for a finding among others.
pub fn line(difference: &StructureDifference, sides: Sides<'_>) -> String {
    match difference {
        StructureDifference::Missing { object } => format!("{object} is missing"),
        StructureDifference::Extra { object } => format!("{object} is not expected"),
        StructureDifference::Changed {
            object,
            aspect,
            expected,
            found,
        } => {
            let mut values = values(aspect, expected, found, sides);
            if values.len() > LINE {
                let more = values.len() - LINE;
                values.truncate(LINE);
                values.push(format!("and {more} more"));
            }
            if aspect == "columns" {
                return format!("{object}: {}", values.join("; "));
            }
            format!(
                "{object}: {}: {}",
                aspect.replace('_', " "),
                values.join("; ")
            )
        }
    }
}

/// Replaces texts that seem to hold secrets by their hashes, for output that goes elsewhere.
pub fn without_secrets(value: &Value) -> Value {
    match value {
        Value::String(text) if is_secret(text) => Value::from(hashed(text)),
        Value::Array(entries) => entries.iter().map(without_secrets).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), without_secrets(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn is_secret(text: &str) -> bool {
    secret_text::looks_secret(text).is_some()
}

fn hashed(text: &str) -> String {
    format!("blake3:{}", Hash::of(text.as_bytes()))
}

fn values(aspect: &str, expected: &Value, found: &Value, sides: Sides<'_>) -> Vec<String> {
    match (aspect, expected, found) {
        ("columns" | "attributes", Value::Array(expected), Value::Array(found)) => {
            columns(expected, found, sides)
        }
        (_, Value::String(expected), Value::String(found))
            if expected.contains('\n') || found.contains('\n') =>
        {
            text(expected, found, sides)
        }
        (_, Value::Array(expected), Value::Array(found)) => entries(expected, found, sides),
        (_, Value::Object(expected), Value::Object(found)) => fields(expected, found, sides),
        _ => vec![pair(expected, found, sides)],
    }
}

fn pair(expected: &Value, found: &Value, sides: Sides<'_>) -> String {
    let (expected, found) = (without_secrets(expected), without_secrets(found));
    format!(
        "{} {}, {} {}",
        sides.found,
        shown(&found),
        sides.expected,
        shown(&expected)
    )
}

/// A value for people: texts bare, nothing as a word.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let words: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), shown(value)))
                .collect();
            words.join(", ")
        }
        other => other.to_string(),
    }
}

fn name(column: &Value) -> &str {
    column.get("name").and_then(Value::as_str).unwrap_or("?")
}

fn columns(expected: &[Value], found: &[Value], sides: Sides<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let find = |list: &[Value], wanted: &str| list.iter().find(|c| name(c) == wanted).cloned();
    for column in expected {
        match find(found, name(column)) {
            None => lines.push(format!(
                "column {}: only in {}",
                name(column),
                sides.expected
            )),
            Some(there) => {
                let empty = Map::new();
                let fields_of = |value: &Value| value.as_object().unwrap_or(&empty).clone();
                lines.extend(
                    fields(&fields_of(column), &fields_of(&there), sides)
                        .into_iter()
                        .map(|line| format!("column {}: {line}", name(column))),
                );
            }
        }
    }
    for column in found {
        if find(expected, name(column)).is_none() {
            lines.push(format!("column {}: only in {}", name(column), sides.found));
        }
    }
    let order = |list: &[Value]| list.iter().map(|c| name(c).to_owned()).collect::<Vec<_>>();
    if lines.is_empty() && order(expected) != order(found) {
        lines.push(format!(
            "order of columns: {} {}, {} {}",
            sides.found,
            order(found).join(", "),
            sides.expected,
            order(expected).join(", ")
        ));
    }
    lines
}

fn fields(
    expected: &Map<String, Value>,
    found: &Map<String, Value>,
    sides: Sides<'_>,
) -> Vec<String> {
    let mut names: Vec<&String> = expected.keys().chain(found.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let value = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
            let (expected, found) = (value(expected), value(found));
            (expected != found).then(|| {
                format!(
                    "{}: {}",
                    name.replace('_', " "),
                    pair(&expected, &found, sides)
                )
            })
        })
        .collect()
}

fn entries(expected: &[Value], found: &[Value], sides: Sides<'_>) -> Vec<String> {
    let only = |these: &[Value], those: &[Value], side: &str| {
        these
            .iter()
            .filter(|entry| !those.contains(entry))
            .map(|entry| format!("only in {side}: {}", shown(&without_secrets(entry))))
            .collect::<Vec<_>>()
    };
    let mut lines = only(expected, found, sides.expected);
    lines.extend(only(found, expected, sides.found));
    if lines.is_empty() {
        lines.push(pair(
            &Value::from(expected.to_vec()),
            &Value::from(found.to_vec()),
            sides,
        ));
    }
    lines
}

/// Lines that only one side has, in the order of the text. When either side may hold a secret, or
/// is very long, only hashes.
fn text(expected: &str, found: &str, sides: Sides<'_>) -> Vec<String> {
    let (left, right): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), found.lines().collect());
    let is_long = left.len() > LINES || right.len() > LINES;
    if is_long || is_secret(expected) || is_secret(found) {
        return vec![format!(
            "{} {}, {} {}",
            sides.found,
            hashed(found),
            sides.expected,
            hashed(expected)
        )];
    }
    let common = common_lines(&left, &right);
    let mut lines = vec![
        format!("--- {}", sides.expected),
        format!("+++ {}", sides.found),
    ];
    let (mut at_left, mut at_right) = (0, 0);
    for (in_left, in_right) in common.into_iter().chain([(left.len(), right.len())]) {
        lines.extend(left[at_left..in_left].iter().map(|line| format!("-{line}")));
        lines.extend(
            right[at_right..in_right]
                .iter()
                .map(|line| format!("+{line}")),
        );
        (at_left, at_right) = (in_left + 1, in_right + 1);
    }
    if lines.len() == 2 {
        lines.push("only line ends differ".to_owned());
    }
    lines
}

/// Places of a longest common subsequence of lines in both texts.
fn common_lines(left: &[&str], right: &[&str]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for (i, a) in left.iter().enumerate().rev() {
        for (j, b) in right.iter().enumerate().rev() {
            lengths[i][j] = if a == b {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut places) = (0, 0, Vec::new());
    while i < left.len() && j < right.len() {
        if left[i] == right[j] {
            places.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::structure::{ObjectId, ObjectKind};

    const SIDES: Sides<'static> = Sides {
        expected: "source",
        found: "target",
    };

    fn changed(aspect: &str, expected: Value, found: Value) -> StructureDifference {
        StructureDifference::Changed {
            object: ObjectId::of(ObjectKind::Table, "app", "Order"),
            aspect: aspect.to_owned(),
            expected,
            found,
        }
    }

    #[test]
    fn columns_differ_one_by_one() {
        let difference = changed(
            "columns",
            json!([{"name": "id", "type": "bigint"}, {"name": "note", "type": "text"}, {"name": "at"}]),
            json!([{"name": "id", "type": "integer", "not_null": true}, {"name": "at"}, {"name": "x"}]),
        );
        assert_eq!(
            lines(&difference, SIDES),
            [
                "table app.\"Order\": differs in columns",
                "  column id: not null: target true, source none",
                "  column id: type: target integer, source bigint",
                "  column note: only in source",
                "  column x: only in target",
            ]
        );
        let swapped = changed(
            "columns",
            json!([{"name": "a"}, {"name": "b"}]),
            json!([{"name": "b"}, {"name": "a"}]),
        );
        assert!(line(&swapped, SIDES).contains("order of columns: target b, a, source a, b"));
    }

    #[test]
    fn texts_differ_line_by_line() {
        let difference = changed(
            "body",
            json!("begin\n  a;\n  b;\nend"),
            json!("begin\n  b;\n  c;\nend"),
        );
        assert_eq!(
            lines(&difference, SIDES)[1..],
            ["  --- source", "  +++ target", "  -  a;", "  +  c;"]
        );
    }

    #[test]
    fn what_may_be_a_secret_is_never_shown() {
        let secret = "select x\nfrom y where token = 'sk_live_0123456789abcdef'";
        for value in [
            json!(secret),
            json!(secret.replace('\n', " ")),
            json!([secret]),
            json!({"a": secret}),
        ] {
            for difference in [
                changed("body", value.clone(), json!("select\n1")),
                changed("body", json!([]), value.clone()),
                changed(
                    "columns",
                    json!([{"name": "a", "default": value}]),
                    json!([{"name": "a"}]),
                ),
            ] {
                let said = lines(&difference, SIDES).join("\n") + &line(&difference, SIDES);
                assert!(!said.contains("sk_live"), "{said}");
            }
            assert!(!without_secrets(&value).to_string().contains("sk_live"));
        }
    }
}
