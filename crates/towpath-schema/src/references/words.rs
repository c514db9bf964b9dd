//! Names found by words alone, where a text is no SQL that could be parsed.

use std::collections::BTreeSet;

use pg_query::protobuf::Token;

/// A token with its text; comments are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'t> {
    pub token: Token,
    pub text: &'t str,
    pub start: usize,
    pub end: usize,
}

impl Word<'_> {
    /// Whether it is this key word, which must be in lower case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.token != Token::Sconst && self.text.eq_ignore_ascii_case(word)
    }

    /// The name it stands for: folded, or unquoted.
    pub(crate) fn name(&self) -> Option<String> {
        let quoted = self.text.strip_prefix('"');
        if let Some(quoted) = quoted.and_then(|rest| rest.strip_suffix('"')) {
            return Some(quoted.replace("\"\"", "\""));
        }
        let is_word = self.token == Token::Ident
            || self
                .text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        let starts = self
            .text
            .starts_with(|c: char| c.is_alphabetic() || c == '_');
        (is_word && starts).then(|| self.text.to_lowercase())
    }
}

/// The tokens of a text; nothing when the scanner cannot read it.
pub(crate) fn scan(text: &str) -> Option<Vec<Word<'_>>> {
    let scanned = pg_query::scan(text).ok()?;
    let words = scanned
        .tokens
        .iter()
        .filter(|token| !matches!(token.token(), Token::SqlComment | Token::CComment))
        .filter_map(|token| {
            let start = usize::try_from(token.start).ok()?;
            let end = usize::try_from(token.end).ok()?;
            Some(Word {
                token: token.token(),
                text: text.get(start..end)?,
                start,
                end,
            })
        })
        .collect();
    Some(words)
}

/// Pairs `schema.name` in a text, outside of comments and string literals. A body that the scanner
/// cannot read names nothing: it could not be read by the server either.
pub(crate) fn mentions(text: &str) -> BTreeSet<(String, String)> {
    scan(text)
        .unwrap_or_default()
        .windows(3)
        .filter(|window| window[1].text == ".")
        .filter_map(|window| Some((window[0].name()?, window[2].name()?)))
        .collect()
}

/// The parts of a dotted name; nothing when the text is something else.
pub(crate) fn path(text: &str) -> Vec<String> {
    let Some(words) = scan(text) else {
        return Vec::new();
    };
    let is_path = words.iter().enumerate().all(|(at, word)| {
        if at % 2 == 0 {
            word.name().is_some()
        } else {
            word.text == "."
        }
    });
    if !is_path || words.len() % 2 == 0 {
        return Vec::new();
    }
    words.iter().step_by(2).filter_map(Word::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_dots_and_nothing_else() {
        assert_eq!(path("App.\"T \"\"x\""), ["app", "T \"x"]);
        assert_eq!(path("t"), ["t"]);
        for other in ["", "a b", "a.", ".a", "1.2", "a.b, c", "'a'"] {
            assert_eq!(path(other), Vec::<String>::new(), "{other}");
        }
    }

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
