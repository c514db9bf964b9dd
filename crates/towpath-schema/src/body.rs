//! What the text of a function names. The catalog knows nothing of it, so it loads anywhere and
//! fails when it is called.

use std::collections::BTreeSet;

use pg_query::protobuf::Token;
use towpath_model::schema::{Decision, RuntimeBreak};
use towpath_model::structure::{ObjectId, ObjectKind};

use crate::decision::Decisions;
use crate::reserved::is_managed_schema;
use crate::rules::{Evidence, extension_member};

/// Pairs `schema.name` in a text, outside of comments and string literals. A body that the scanner
/// cannot read names nothing: it could not be read by the server either.
pub(crate) fn mentions(text: &str) -> BTreeSet<(String, String)> {
    let Ok(scanned) = pg_query::scan(text) else {
        return BTreeSet::new();
    };
    let tokens: Vec<(Token, &str)> = scanned
        .tokens
        .iter()
        .filter(|token| !matches!(token.token(), Token::SqlComment | Token::CComment))
        .filter_map(|token| {
            let start = usize::try_from(token.start).ok()?;
            let end = usize::try_from(token.end).ok()?;
            Some((token.token(), text.get(start..end)?))
        })
        .collect();
    tokens
        .windows(3)
        .filter(|window| window[1].1 == ".")
        .filter_map(|window| Some((word(window[0])?, word(window[2])?)))
        .collect()
}

/// The name a token stands for: folded, or unquoted.
fn word((token, text): (Token, &str)) -> Option<String> {
    if let Some(quoted) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        return Some(quoted.replace("\"\"", "\""));
    }
    let is_word = token == Token::Ident
        || text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    let starts = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    (is_word && starts).then(|| text.to_lowercase())
}

/// Objects that go and will fail when used, with what they miss.
pub(crate) fn breaks(evidence: &Evidence<'_>, decisions: &Decisions) -> Vec<RuntimeBreak> {
    let mut breaks = Vec::new();
    let mut broken = BTreeSet::new();
    for (function, body) in &evidence.source.bodies {
        if !decisions.is_replayed(function) || decisions.of(function).is_none() {
            continue;
        }
        for (schema, name) in mentions(&body.text) {
            if is_missing(evidence, decisions, &schema, &name) {
                broken.insert(function.clone());
                breaks.push(RuntimeBreak {
                    object: function.clone(),
                    needs: format!("{schema}.{name}"),
                    consequence: format!(
                        "calling it fails: the target has no {schema}.{name}; rewrite it, or call the service from the application"
                    ),
                });
            }
        }
    }
    breaks.extend(broken_triggers(evidence, decisions, &broken));
    breaks.extend(left_rows(evidence));
    breaks
}

/// An extension without its rows does nothing, and nobody hears of it.
fn left_rows(evidence: &Evidence<'_>) -> impl Iterator<Item = RuntimeBreak> {
    extension_member::left_rows(evidence).map(|(table, extension)| RuntimeBreak {
        object: table.clone(),
        needs: format!(
            "the rows of {}.{}",
            table.schema.as_deref().unwrap_or_default(),
            table.name
        ),
        consequence: format!(
            "extension {extension} comes to the target without them: make its jobs, queues or settings anew there"
        ),
    })
}

/// A trigger on a broken function makes every write to its table fail.
fn broken_triggers(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
    broken: &BTreeSet<ObjectId>,
) -> Vec<RuntimeBreak> {
    evidence
        .source
        .trigger_functions
        .iter()
        .filter(|(trigger, function)| {
            broken.contains(*function)
                && decisions.of(trigger).is_some_and(|d| d != Decision::Dropped)
        })
        .map(|(trigger, function)| RuntimeBreak {
            object: trigger.clone(),
            needs: function.to_string(),
            consequence: "when it fires, the write to its table fails; disable it or rewrite its function before the cutover".to_owned(),
        })
        .collect()
}

/// Whether a qualified name of a managed schema means nothing on the target.
fn is_missing(evidence: &Evidence<'_>, decisions: &Decisions, schema: &str, name: &str) -> bool {
    if !is_managed_schema(schema) {
        return false;
    }
    let candidates: Vec<_> = evidence
        .structure
        .objects
        .values()
        .filter(|object| {
            object.id.schema.as_deref() == Some(schema)
                && object.id.name == name
                && object.id.on.is_none()
                && object.id.kind != ObjectKind::DefaultPrivileges
        })
        .collect();
    // What the source does not have either is no name of an object: an alias, a record's field.
    !candidates.is_empty()
        && !candidates.iter().any(|object| match &object.extension {
            Some(extension) => decisions.goes(&ObjectId::global(ObjectKind::Extension, extension)),
            None => decisions.goes(&object.id),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_name_nothing() {
        let body = "begin\n -- net.http_get()\n /* vault.x */ perform 'cron.schedule';\n perform NET.\"http_post\"(url := 'x'); return new.id; end";
        let found = mentions(body);
        assert!(found.contains(&("net".to_owned(), "http_post".to_owned())));
        assert!(
            !found
                .iter()
                .any(|(_, name)| name == "http_get" || name == "x" || name == "schedule")
        );
    }
}
