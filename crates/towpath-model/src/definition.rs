//! Definitions that PostgreSQL writes from its catalogs, spelled alike whatever the major version.
//!
//! The same view reads differently on two servers, so that a comparison by text finds differences
//! that are none. What is taken out here says nothing about the object:
//!
//! - Up to 15, every column of a view is written with its relation. Since 16, a query over a single
//!   relation is written without, at its top level only: views lost the hidden entries of OLD and
//!   NEW that made them queries over three (`get_query_def` in `ruleutils.c` of both).
//! - A name is quoted when it is a keyword that cannot stand alone, and each version has more of
//!   those (appendix C of its manual).
//! - `XMLSERIALIZE` says `NO INDENT` since 16, where there was no choice before.
//! - A cast of an array constructor is one of its elements once it was dumped and restored.
//!
//! Pure text: nothing of it asks a server.

mod array_cast;

use std::ops::RangeInclusive;

/// Keywords that cannot be a column's name unquoted, and could in 15.
const NEWER_KEYWORDS: [&str; 13] = [
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "merge_action",
    "system_user",
];

const NO_INDENT: &str = " NO INDENT";

/// An expression or statement as every version writes it.
pub fn portable(text: &str) -> String {
    // Nearly every text of a large schema.
    if !text.contains('"') && !text.contains(NO_INDENT) {
        return array_cast::element_wise(text.to_owned());
    }
    array_cast::element_wise(written(&tokens(text), |_| true))
}

/// The same for the query of a view, without the relation before columns where it is the only one.
pub fn portable_view(text: &str) -> String {
    let tokens = tokens(text);
    let needless = only_relation(&tokens)
        .map(|(relation, item)| qualifiers(&tokens, &relation, &item))
        .unwrap_or_default();
    array_cast::element_wise(written(&tokens, |at| !needless.contains(&at)))
}

/// Whether this name must be quoted for a newer version, and an older one does not quote it.
pub fn is_newer_keyword(name: &str) -> bool {
    NEWER_KEYWORDS.contains(&name)
}

/// Whether a text that an older version wrote may be no SQL to a newer one, or other SQL: it holds
/// a newer keyword as a name. Says yes too often rather than too seldom. `json` is a type as well,
/// and only the name of a parameter suffers from being a keyword. Names are in lower case where
/// they have no quotes, and what the server means as a keyword is in capitals.
pub fn names_newer_keyword(text: &str) -> bool {
    if !NEWER_KEYWORDS.iter().any(|keyword| text.contains(keyword)) {
        return false;
    }
    let tokens = tokens(text);
    let solid: Vec<&Token<'_>> = tokens
        .iter()
        .filter(|token| token.kind != Kind::Blank)
        .collect();
    solid.iter().enumerate().any(|(at, token)| {
        if token.kind != Kind::Word || !is_newer_keyword(token.text) {
            return false;
        }
        let next = solid.get(at + 1);
        let is_argument = matches!(&solid[at + 1..], [equals, greater, ..]
            if equals.text == "=" && greater.text == ">");
        let is_parameter = next.is_some_and(|next| {
            matches!(next.kind, Kind::Word | Kind::Quoted) && !next.is("DEFAULT")
        }) && at.checked_sub(1).is_none_or(|before| {
            let before = solid[before];
            matches!(before.text, "(" | ",")
                || ["IN", "OUT", "INOUT", "VARIADIC"]
                    .iter()
                    .any(|mode| before.is(mode))
        });
        token.text != "json" || is_argument || is_parameter
    })
}

/// A piece of SQL, as short as it means something. Together they are the text, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    pub(crate) text: &'t str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// White space or a comment.
    Blank,
    /// Name or keyword.
    Word,
    /// Name in double quotes.
    Quoted,
    /// Literal in quotes of any sort.
    Literal,
    /// Number, operator, bracket or sign.
    Other,
}

impl Token<'_> {
    /// The name it stands for.
    pub(crate) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_lowercase()),
            Kind::Quoted => Some(unquoted(self.text)),
            _ => None,
        }
    }

    /// Whether it is this keyword, which is written in capitals and never quoted.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
        .replace("\"\"", "\"")
}

pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (kind, length) = first(rest);
        let (token, after) = rest.split_at(length);
        tokens.push(Token { kind, text: token });
        rest = after;
    }
    tokens
}

/// Kind and length of the first token of a text that is not empty.
fn first(text: &str) -> (Kind, usize) {
    let mut chars = text.chars();
    let head = chars.next().unwrap_or(' ');
    let next = chars.next();
    if head.is_whitespace() {
        return (Kind::Blank, span(text, char::is_whitespace));
    }
    match (head, next) {
        ('-', Some('-')) => (Kind::Blank, span(text, |c| c != '\n')),
        ('/', Some('*')) => (Kind::Blank, block_comment(text)),
        ('\'', _) => (Kind::Literal, quoted(text, '\'', false)),
        ('"', _) => (Kind::Quoted, quoted(text, '"', false)),
        ('e' | 'E', Some('\'')) => (Kind::Literal, 1 + quoted(&text[1..], '\'', true)),
        ('b' | 'B' | 'x' | 'X' | 'n' | 'N', Some('\'')) => {
            (Kind::Literal, 1 + quoted(&text[1..], '\'', false))
        }
        ('$', _) => dollar(text),
        (':', Some(':')) => (Kind::Other, 2),
        (c, _) if begins_word(c) => (
            Kind::Word,
            span(text, |c| begins_word(c) || continues_word(c)),
        ),
        (c, _) if c.is_ascii_digit() => (Kind::Other, span(text, |c| c.is_ascii_alphanumeric())),
        (c, _) => (Kind::Other, c.len_utf8()),
    }
}

/// Length of the head that consists of such characters, and is one at least.
fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len()).max(1)
}

/// What PostgreSQL's scanner takes for letters: every byte above ASCII too.
fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_word(c: char) -> bool {
    c.is_ascii_digit() || c == '$'
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of a literal or name in quotes. A quote within is doubled, or behind a backslash where
/// those count. One that does not end goes to the end.
fn quoted(text: &str, quote: char, backslashes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslashes {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

/// `$tag$ … $tag$`, or a parameter, or a lone dollar.
fn dollar(text: &str) -> (Kind, usize) {
    let tag = text[1..]
        .find('$')
        .map(|end| &text[..end + 2])
        .filter(|tag| {
            let inner = &tag[1..tag.len() - 1];
            !inner.starts_with(|c: char| c.is_ascii_digit())
                && inner.chars().all(|c| begins_word(c) || c.is_ascii_digit())
        });
    match tag {
        Some(tag) => {
            let after = text[tag.len()..].find(tag).map(|end| end + 2 * tag.len());
            (Kind::Literal, after.unwrap_or(text.len()))
        }
        None => (Kind::Other, 1 + span_of_digits(&text[1..])),
    }
}

fn span_of_digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len())
}

/// Puts tokens together again, without those that are not to stay.
fn written(tokens: &[Token<'_>], stays: impl Fn(usize) -> bool) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_no_indent(&tokens[at..]) {
            at += 4;
            continue;
        }
        if stays(at) {
            let name = unquoted(token.text);
            if token.kind == Kind::Quoted && NEWER_KEYWORDS.contains(&name.as_str()) {
                text.push_str(&name);
            } else {
                text.push_str(token.text);
            }
        }
        at += 1;
    }
    text
}

/// ` NO INDENT` before the bracket that closes.
fn is_no_indent(tokens: &[Token<'_>]) -> bool {
    matches!(tokens, [blank, no, gap, indent, close, ..]
        if blank.kind == Kind::Blank && gap.kind == Kind::Blank && close.text == ")"
            && no.text == "NO" && indent.text == "INDENT")
}

/// How many brackets each token stands in, and whether one of them is around a query.
fn surroundings(tokens: &[Token<'_>]) -> Vec<(usize, bool)> {
    let mut open: Vec<bool> = Vec::new();
    let mut all = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        if token.text == ")" {
            open.pop();
        }
        all.push((open.len(), open.contains(&true)));
        if token.text == "(" {
            open.push(begins_query(&tokens[at + 1..]));
        }
    }
    all
}

fn begins_query(tokens: &[Token<'_>]) -> bool {
    tokens
        .iter()
        .find(|token| token.kind != Kind::Blank && token.text != "(")
        .is_some_and(|token| {
            ["SELECT", "WITH", "VALUES"]
                .iter()
                .any(|word| token.is(word))
        })
}

/// The name by which the query speaks of its relation, and where that stands after FROM; none when
/// there are several, or none, or the query is made of queries.
fn only_relation(tokens: &[Token<'_>]) -> Option<(String, RangeInclusive<usize>)> {
    const AFTER_FROM: [&str; 9] = [
        "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR",
    ];
    const COMBINED: [&str; 3] = ["UNION", "INTERSECT", "EXCEPT"];
    let around = surroundings(tokens);
    let is_one_of = |at: usize, words: &[&str]| words.iter().any(|word| tokens[at].is(word));
    let top: Vec<usize> = (0..tokens.len())
        .filter(|at| around[*at].0 == 0 && tokens[*at].kind != Kind::Blank)
        .collect();
    if top.iter().any(|at| is_one_of(*at, &COMBINED)) {
        return None;
    }
    // `is distinct from` has its own.
    let from = (0..top.len()).find(|index| {
        let after_distinct = *index > 0 && tokens[top[*index - 1]].is("DISTINCT");
        tokens[top[*index]].is("FROM") && !after_distinct
    })?;
    let item: Vec<usize> = top[from + 1..]
        .iter()
        .copied()
        .take_while(|at| tokens[*at].text != ";" && !is_one_of(*at, &AFTER_FROM))
        .collect();
    let whole = *item.first()?..=*item.last()?;
    if item.iter().any(|at| tokens[*at].text == ",") || holds_a_join(tokens, &around, &whole) {
        return None;
    }
    item.iter()
        .take_while(|at| !tokens[**at].is("TABLESAMPLE"))
        .filter_map(|at| tokens[*at].name())
        .last()
        .map(|relation| (relation, whole))
}

/// Joins are written in brackets, with their own brackets within.
fn holds_a_join(
    tokens: &[Token<'_>],
    around: &[(usize, bool)],
    item: &RangeInclusive<usize>,
) -> bool {
    item.clone()
        .any(|at| !around[at].1 && tokens[at].is("JOIN"))
}

/// Positions of `relation` and `.` before a column, outside of every inner query and of FROM.
fn qualifiers(tokens: &[Token<'_>], relation: &str, item: &RangeInclusive<usize>) -> Vec<usize> {
    let around = surroundings(tokens);
    let solid: Vec<usize> = (0..tokens.len())
        .filter(|at| tokens[*at].kind != Kind::Blank)
        .collect();
    let mut found = Vec::new();
    for (index, window) in solid.windows(3).enumerate() {
        let [name, dot, column] = [window[0], window[1], window[2]];
        let before = index.checked_sub(1).map(|i| tokens[solid[i]]);
        // A type, a collation or part of a longer name is no column.
        let is_other =
            before.is_some_and(|token| matches!(token.text, "." | "::") || token.is("COLLATE"));
        let after = solid.get(index + 3).map(|at| tokens[*at].text);
        let is_column = tokens[column].name().is_some() && !matches!(after, Some("." | "("));
        if !around[name].1
            && !item.contains(&name)
            && !is_other
            && is_column
            && tokens[dot].text == "."
            && tokens[name].name().as_deref() == Some(relation)
        {
            found.extend([name, dot]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 15 writes and what 18 writes of the same view.
    const ALIKE: [(&str, &str); 10] = [
        (
            " SELECT EXTRACT(year FROM t.at) AS y\n   FROM public.t\n  WHERE (t.a IS DISTINCT FROM t.b);",
            " SELECT EXTRACT(year FROM at) AS y\n   FROM public.t\n  WHERE (a IS DISTINCT FROM b);",
        ),
        (
            " SELECT documents.id,\n    documents.title\n   FROM public.documents;",
            " SELECT id,\n    title\n   FROM public.documents;",
        ),
        (
            " SELECT \"Order Items\".\"Order\",\n    (\"Order Items\".place).x AS x\n   FROM public.\"Order Items\"\n  WHERE (\"Order Items\".\"user\" = auth.uid());",
            " SELECT \"Order\",\n    (place).x AS x\n   FROM public.\"Order Items\"\n  WHERE (\"user\" = auth.uid());",
        ),
        (
            " SELECT p.id\n   FROM auth.p p\n  WHERE (EXISTS ( SELECT 1 FROM public.q WHERE (q.id = p.id)))\n  ORDER BY p.id;",
            " SELECT id\n   FROM auth.p p\n  WHERE (EXISTS ( SELECT 1 FROM public.q WHERE (q.id = p.id)))\n  ORDER BY id;",
        ),
        (
            " SELECT g.g,\n    count(g.*) AS n\n   FROM generate_series(1, 3) g(g);",
            " SELECT g,\n    count(g.*) AS n\n   FROM generate_series(1, 3) g(g);",
        ),
        (
            " SELECT s.x,\n    lower(s.y) AS y\n   FROM ( SELECT a.x, b.y FROM (public.a JOIN public.b USING (id))) s;",
            " SELECT x,\n    lower(y) AS y\n   FROM ( SELECT a.x, b.y FROM (public.a JOIN public.b USING (id))) s;",
        ),
        (
            " WITH RECURSIVE t(id) AS (\n SELECT d.id FROM public.d\n UNION ALL\n SELECT d.id FROM (public.d JOIN t t_1 ON ((d.p = t_1.id)))\n )\n SELECT t.id\n   FROM t;",
            " WITH RECURSIVE t(id) AS (\n SELECT d.id FROM public.d\n UNION ALL\n SELECT d.id FROM (public.d JOIN t t_1 ON ((d.p = t_1.id)))\n )\n SELECT id\n   FROM t;",
        ),
        (
            " SELECT t.json_value,\n    XMLSERIALIZE(CONTENT t.x AS text) AS x\n   FROM ONLY public.t;",
            " SELECT \"json_value\",\n    XMLSERIALIZE(CONTENT x AS text NO INDENT) AS x\n   FROM ONLY public.t;",
        ),
        (
            " SELECT t.a\n   FROM public.t TABLESAMPLE system ((10)::real)\n  WHERE (t.b ~ 'it''s t.b'::text);",
            " SELECT a\n   FROM public.t TABLESAMPLE system ((10)::real)\n  WHERE (b ~ 'it''s t.b'::text);",
        ),
        (
            " SELECT auth.level,\n    (auth.kind)::auth.kind AS kind,\n    auth.uid() AS uid\n   FROM private.auth;",
            " SELECT level,\n    (kind)::auth.kind AS kind,\n    auth.uid() AS uid\n   FROM private.auth;",
        ),
    ];

    #[test]
    fn what_versions_spell_differently_becomes_alike() {
        for (older, newer) in ALIKE {
            assert_eq!(portable_view(older), portable_view(newer), "{older}");
        }
    }

    #[test]
    fn a_real_difference_stays_one() {
        let differ = [
            ("SELECT t.a FROM public.t;", "SELECT t.b FROM public.t;"),
            ("SELECT t.a FROM public.t;", "SELECT t.a FROM private.t;"),
            (
                "SELECT t.a FROM public.t;",
                "SELECT t.a FROM ONLY public.t;",
            ),
            (
                "SELECT a.x FROM (public.a JOIN public.b ON (true));",
                "SELECT b.x FROM (public.a JOIN public.b ON (true));",
            ),
            (
                "SELECT a.x FROM public.a, LATERAL f(a.x) b(x);",
                "SELECT b.x FROM public.a, LATERAL f(a.x) b(x);",
            ),
            (
                "SELECT (SELECT u.x FROM public.u WHERE (u.x = t.x)) AS x FROM public.t;",
                "SELECT (SELECT u.x FROM public.u WHERE (u.x = u.x)) AS x FROM public.t;",
            ),
            (
                "SELECT t.a FROM public.t UNION SELECT u.a FROM public.u;",
                "SELECT t.a FROM public.t UNION SELECT t.a FROM public.u;",
            ),
            ("SELECT 't.a' FROM public.t;", "SELECT 'a' FROM public.t;"),
            (
                "SELECT count(t.*) FROM public.t;",
                "SELECT count(*) FROM public.t;",
            ),
            ("SELECT t.a FROM public.t;", "SELECT t.\"A\" FROM public.t;"),
        ];
        for (one, other) in differ {
            assert_ne!(portable_view(one), portable_view(other), "{one}");
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let same = [
            "",
            "'json'::text || $tag$ \"json\" NO INDENT) $tag$",
            "E'it\\'s \"json_value\"' -- \"json_value\"\n",
            "/* \"json\" /* nested */ \"json\" */ x",
            "(\"select\" = $1) AND (b'01' = B'01') AND \"odd\"\"json\" > 1.5e3",
            "'unfinished",
            "$unfinished$ x",
            "naïve.Ünïcode",
        ];
        for text in same {
            assert_eq!(portable(text), text);
            assert_eq!(portable_view(text), text);
        }
    }

    #[test]
    fn names_that_became_keywords_are_found() {
        for text in [
            "(system_user IS NOT NULL)",
            "json text, n integer",
            "n integer, OUT json spelling.t",
            "public.f(json => 1)",
            "t.json_value",
        ] {
            assert!(names_newer_keyword(text), "{text}");
        }
        for text in [
            "n json, m json DEFAULT '{\"json_value\": 1}'::json",
            "json",
            "(x)::json",
            "\"system_user\" = 'system_user'",
            "json DEFAULT NULL::json",
            "JSON_VALUE(settings, '$.plan' RETURNING text)",
        ] {
            assert!(!names_newer_keyword(text), "{text}");
        }
    }

    #[test]
    fn tokens_are_the_text() {
        for (older, newer) in ALIKE {
            for text in [older, newer] {
                let again: String = tokens(text).iter().map(|token| token.text).collect();
                assert_eq!(again, text);
            }
        }
    }
}
