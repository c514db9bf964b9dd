//! Reads rules files.

pub(crate) mod glob;
mod shape;

use serde_json::Value;
use toml::de::DeTable;
use towpath_model::clone_rules::{AllowRule, CloneRules};
use towpath_model::keys::table_named;
use towpath_model::masking::{Condition, Transformer};
use towpath_model::name::QualifiedName;
use towpath_model::{ErrorKind, Failure, Result};

use glob::{Case, Pattern};

/// The version that is written and read.
const VERSION: u32 = 1;

/// Parses a rules file; `place` is told in errors.
pub fn parse(text: &str, place: &str) -> Result<CloneRules> {
    let failed = |why: String| {
        Failure::new(
            ErrorKind::Config,
            format!("could not use the rules file {place}: {why}"),
        )
        .hint("docs/concepts/cloning.md shows a rules file with every key")
    };
    let at = |(at, why): (usize, String)| failed(format!("line {}: {why}", line(text, at)));
    let document = DeTable::parse(text).map_err(|cause| {
        // Only where and what: the error's own text quotes the line.
        let begin = cause.span().map_or(0, |span| span.start);
        at((begin, format!("it is not TOML: {}", cause.message())))
    })?;
    let document = document.get_ref();
    let found = shape::table("", 0, document, shape::FILE).map_err(at)?;
    let version = found.get("version").and_then(Value::as_u64);
    if let Some(version) = version.filter(|version| *version != u64::from(VERSION)) {
        return Err(Failure::new(
            ErrorKind::DocumentVersion,
            format!("{place} is of version {version}, and this towpath reads version {VERSION}"),
        ));
    }
    // Every key has been looked at, so that what is left to fail is a defect of the shapes.
    let mut rules: CloneRules = serde_json::from_value(Value::Object(found))
        .map_err(|_| failed("its keys could not be put together".to_owned()))?;
    rules.version = VERSION;
    check(&rules).map_err(failed)?;
    Ok(rules)
}

/// The line of a byte, from 1.
fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What the shape of a file does not tell.
fn check(rules: &CloneRules) -> Result<(), String> {
    for (mask, no) in rules.masks.iter().zip(1..) {
        let named = |why: String| format!("mask {no}: {why}");
        let patterns = [
            (mask.table.as_deref(), "table"),
            (mask.column.as_deref(), "column"),
            (mask.type_name.as_deref(), "type"),
        ];
        if patterns.iter().all(|(pattern, _)| pattern.is_none()) {
            return Err(named(
                "it names neither table, column nor type, and would be one for every column"
                    .to_owned(),
            ));
        }
        for (pattern, key) in patterns {
            if let Some(pattern) = pattern {
                Pattern::new(pattern, Case::IsTheSame)
                    .map_err(|why| named(format!("{key} is no pattern: {why}")))?;
                // Types have quotes as the server writes them.
                if key != "type" && is_quoted(pattern) {
                    return Err(named(format!("{key} {QUOTED}")));
                }
            }
        }
        if let Some(when) = &mask.when {
            check_condition(when).map_err(named)?;
        }
        check_transformer(&mask.transformer).map_err(named)?;
    }
    for (allow, no) in rules.allows.iter().zip(1..) {
        for pattern in [&allow.table, &allow.column] {
            Pattern::new(pattern, Case::Differs)
                .map_err(|why| format!("allow {no}: no pattern: {why}"))?;
            if is_quoted(pattern) {
                return Err(format!("allow {no}: its pattern {QUOTED}"));
            }
        }
    }
    for (reference, no) in rules.references.iter().zip(1..) {
        if let Some(when) = &reference.when {
            check_condition(when).map_err(|why| format!("reference {no}: {why}"))?;
        }
    }
    check_subset(rules)
}

/// What is said of a pattern with quotes around a name.
const QUOTED: &str =
    "has a name in double quotes: patterns have names as they are in the catalog, without";

/// Whether a pattern is written as SQL and references write names: with its quotes it would match
/// nothing, and a mask would be missing.
fn is_quoted(pattern: &str) -> bool {
    pattern.len() > 1
        && ((pattern.starts_with('"') && (pattern.ends_with('"') || pattern.contains("\".")))
            || (pattern.contains(".\"") && pattern.ends_with('"')))
}

/// A condition that holds in no row would let every value go as it is.
fn check_condition(condition: &Condition) -> Result<(), String> {
    let Condition {
        is,
        is_not,
        is_null,
        ..
    } = condition;
    if is.is_none() && is_not.is_none() && is_null.is_none() {
        return Err("when says nothing: use is, is_not or is_null".to_owned());
    }
    let Some(is) = is else {
        return Ok(());
    };
    let is_excluded = |value| is_not.as_ref().is_some_and(|not| not.contains(value));
    match *is_null == Some(true) || is.iter().all(is_excluded) {
        true => Err("when holds in no row: nothing is what it says".to_owned()),
        false => Ok(()),
    }
}

/// Numbers that would make a transformer do nothing, or nothing that it says.
fn check_transformer(transformer: &Transformer) -> Result<(), String> {
    match transformer {
        Transformer::DateShift { max_days: 0, .. } => {
            Err("max_days must be 1 at least, or nothing moves".to_owned())
        }
        Transformer::DateShift { max_days, .. } if *max_days > 365_000 => {
            Err("max_days is more than a thousand years".to_owned())
        }
        Transformer::Noise { percent, min, max } => {
            if *percent <= 0.0 {
                return Err("percent must be above 0, or nothing changes".to_owned());
            }
            match (min, max) {
                (Some(min), Some(max)) if min > max => Err("min is greater than max".to_owned()),
                _ => Ok(()),
            }
        }
        Transformer::Hash {
            digits: Some(digits),
        } if !(4..=64).contains(digits) => Err("digits must be 4 to 64".to_owned()),
        Transformer::Redact {
            character: Some(character),
            ..
        } if character.is_alphanumeric() => Err(format!(
            "character must be neither letter nor digit, or {character:?} could not be told from what it hides"
        )),
        Transformer::Coordinates { decimals } if *decimals > 15 => {
            Err("decimals must be 15 at most".to_owned())
        }
        Transformer::Json { rules, rest } => {
            if rules.is_empty() && *rest == towpath_model::masking::JsonRest::Keep {
                return Err("json has no rules and keeps the rest, so nothing changes".to_owned());
            }
            for rule in rules {
                if matches!(rule.transformer, Transformer::Json { .. }) {
                    return Err("json within json: write a longer path".to_owned());
                }
                check_transformer(&rule.transformer)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn check_subset(rules: &CloneRules) -> Result<(), String> {
    let subset = &rules.subset;
    let percent = |percent: Option<f64>| match percent {
        Some(percent) if !(percent > 0.0 && percent <= 100.0) => {
            Err("subset: percent must be above 0 and at most 100".to_owned())
        }
        _ => Ok(()),
    };
    percent(subset.percent)?;
    let tables = subset.tables.iter().map(|table| &table.table);
    for name in subset.roots.iter().chain(tables) {
        if table_named(name).is_none() {
            return Err(format!(
                "subset: {name:?} names no table: write schema.table, or the table alone for schema public"
            ));
        }
    }
    for table in &subset.tables {
        percent(table.percent)?;
        let chooses = table.condition.is_some() || table.percent.is_some() || table.limit.is_some();
        if table.rows.is_some() && chooses {
            return Err(format!(
                "subset: {} says rows, and where, percent or limit besides",
                table.table
            ));
        }
    }
    Ok(())
}

/// A transformer in a word or two, as rules write it: `fake-email`.
pub fn title(transformer: &Transformer) -> String {
    let fields = serde_json::to_value(transformer).unwrap_or_default();
    let word = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    match word("what") {
        "" => word("with").to_owned(),
        what => format!("{}-{what}", word("with")),
    }
}

/// A pattern on names of tables, as rules have it.
#[derive(Debug, Clone)]
pub struct Tables(Pattern);

impl Tables {
    /// Reads one; the error says what is wrong with it.
    pub fn of(text: &str) -> Result<Self, String> {
        Pattern::of_table(text, Case::IsTheSame).map(Self)
    }

    /// Whether it matches a table.
    pub fn is_match(&self, table: &QualifiedName) -> bool {
        self.0.is_table(table)
    }
}

/// Rules that let columns go as they are, ready to be asked.
#[derive(Debug, Clone)]
pub struct Allows<'r>(Vec<(Pattern, Pattern, &'r AllowRule)>);

impl<'r> Allows<'r> {
    /// Those of a rules file. Patterns that are none were refused when it was read.
    pub fn of(rules: &'r CloneRules) -> Self {
        let ready = rules.allows.iter().filter_map(|allow| {
            let table = Pattern::of_table(&allow.table, Case::Differs).ok()?;
            let column = Pattern::new(&allow.column, Case::Differs).ok()?;
            Some((table, column, allow))
        });
        Self(ready.collect())
    }

    /// The one that lets a column go as it is.
    pub fn find(&self, table: &QualifiedName, column: &str) -> Option<&'r AllowRule> {
        self.all(table, column).next()
    }

    /// Whether one that names the schema lets a column go: `*.*` means what nobody knows anything of.
    pub(crate) fn name_schema(&self, table: &QualifiedName, column: &str) -> bool {
        self.all(table, column)
            .any(|allow| match allow.table.split_once('.') {
                Some((schema, _)) => schema == table.schema,
                None => true,
            })
    }

    fn all(&self, table: &QualifiedName, column: &str) -> impl Iterator<Item = &'r AllowRule> {
        let those = self.0.iter();
        those
            .filter(move |(tables, columns, _)| columns.is_match(column) && tables.is_table(table))
            .map(|(_, _, allow)| *allow)
    }
}

#[cfg(test)]
mod tests;
