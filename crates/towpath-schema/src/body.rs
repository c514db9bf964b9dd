//! Words with a dot between them in a text that may be no SQL at all. What a body names, resolved
//! and weighed, is in [`crate::references`].

use std::collections::BTreeSet;

use pg_query::protobuf::Token;

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
pub(crate) fn word((token, text): (Token, &str)) -> Option<String> {
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
