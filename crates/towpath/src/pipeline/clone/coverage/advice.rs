//! What to do about columns that are not covered: rules to paste.

use serde_json::Value;
use towpath_mask::classify::suggest;
use towpath_model::masking::Transformer;

use super::Coverage;
use super::columns::Column;
use super::lock::toml_text;

/// Rules that fit into a hint.
const IN_HINT: usize = 3;

pub(super) fn hint(coverage: &Coverage) -> String {
    let rules = rules(coverage, IN_HINT);
    let mut hint =
        "mask them, or allow them by name; `towpath mask check` prints rules for all of them"
            .to_owned();
    if coverage.uncovered.is_empty() {
        hint = "look at them, and then mask them, allow them, or run `towpath mask approve`"
            .to_owned();
    }
    if !rules.is_empty() {
        hint.push_str(". In the rules file (--rules, or clone.rules):\n");
        hint.push_str(rules.trim_end());
    }
    hint
}

/// Rules for the first of the columns that look personal.
pub(super) fn rules(coverage: &Coverage, most: usize) -> String {
    let wanted = coverage.uncovered.iter().take(most);
    let rules = wanted.map(
        |found| match suggest(&found.suspicion, &found.column.wanted) {
            Some(transformer) => mask(&found.column, &transformer),
            None => allow(&found.column),
        },
    );
    rules.collect::<Vec<_>>().join("\n")
}

fn mask(column: &Column, transformer: &Transformer) -> String {
    let mut text = format!("[[mask]]\n{}", place(column));
    let fields = serde_json::to_value(transformer).unwrap_or_default();
    let fields = fields.as_object().cloned().unwrap_or_default();
    let word = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let with = match word("what") {
        "" => word("with").to_owned(),
        what => format!("{}-{what}", word("with")),
    };
    text.push_str(&format!("with = {}\n", toml_text(&with)));
    for (key, value) in &fields {
        let idle = match value {
            Value::Null => true,
            Value::Bool(said) => !said,
            Value::Array(items) => items.is_empty(),
            Value::Number(number) => number.as_u64() == Some(0),
            _ => ["with", "what"].contains(&key.as_str()),
        };
        if !idle {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

/// Where nothing fits, a person must say why it may go.
fn allow(column: &Column) -> String {
    format!("[[allow]]\n{}reason = \"\"\n", place(column))
}

fn place(column: &Column) -> String {
    let table = format!("{}.{}", column.table.schema, column.table.name);
    format!(
        "table = {}\ncolumn = {}\n",
        toml_text(&literally(&table)),
        toml_text(&literally(&column.name))
    )
}

/// A pattern that matches nothing but this text.
fn literally(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if "*?[]{}\\!".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
