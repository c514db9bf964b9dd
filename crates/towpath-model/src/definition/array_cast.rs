//! Casts of array constructors.
//!
//! `status in ('new', 'paid')` over a `varchar` is kept as a comparison with
//! `(ARRAY['new'::character varying, 'paid'::character varying])::text[]`. Whoever reads that text
//! back, as a restore does, keeps a constructor whose elements are cast one by one: the parser hands
//! the cast down (`transformTypeCast` in `parse_expr.c`). So a definition is spelled one way where
//! it was written by its user and another way where it was restored, and both mean the same.

use super::{Kind, Token, tokens};

/// The text with every cast of an array constructor handed down to its elements.
pub(super) fn element_wise(mut text: String) -> String {
    // Handing down may bring a cast in front of a constructor within: each turn takes one level.
    while let Some(next) = one_handed_down(&text) {
        text = next;
    }
    if text.contains("ARRAY[(") || text.contains(", (") {
        text = without_needless_brackets(&text);
    }
    text
}

fn is(token: Option<&Token<'_>>, text: &str) -> bool {
    token.is_some_and(|token| token.text == text)
}

fn joined(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

/// `(ARRAY[a, b])::t[]` becomes `ARRAY[(a)::t, (b)::t]`, the first one of them.
fn one_handed_down(text: &str) -> Option<String> {
    if !text.contains("(ARRAY[") {
        return None;
    }
    let tokens = tokens(text);
    (0..tokens.len()).find_map(|at| {
        let cast = Cast::at(&tokens, at)?;
        let elements: Vec<String> = elements(&tokens[cast.elements.clone()])
            .iter()
            .map(|element| cast_of(element, &cast.of))
            .collect();
        Some(format!(
            "{}ARRAY[{}]{}",
            joined(&tokens[..at]),
            elements.join(", "),
            joined(&tokens[cast.end..])
        ))
    })
}

struct Cast {
    elements: std::ops::Range<usize>,
    /// Type of an element.
    of: String,
    /// After the whole.
    end: usize,
}

impl Cast {
    fn at(tokens: &[Token<'_>], at: usize) -> Option<Self> {
        let begins = ["(", "ARRAY", "["]
            .iter()
            .enumerate()
            .all(|(step, text)| is(tokens.get(at + step), text));
        if !begins {
            return None;
        }
        let close = matching(tokens, at + 2)?;
        if !(is(tokens.get(close + 1), ")") && is(tokens.get(close + 2), "::")) {
            return None;
        }
        let (of, end) = array_type(tokens, close + 3)?;
        Some(Self {
            elements: at + 3..close,
            of,
            end,
        })
    }
}

/// The bracket that closes the one here.
fn matching(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" if token.kind == Kind::Other => depth += 1,
            ")" | "]" if token.kind == Kind::Other => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The element's type of the array type here, and where that ends.
fn array_type(tokens: &[Token<'_>], begin: usize) -> Option<(String, usize)> {
    let mut at = begin;
    loop {
        let token = tokens.get(at)?;
        match (token.kind, token.text) {
            (Kind::Word | Kind::Quoted, _) | (Kind::Blank, " ") | (Kind::Other, ".") => at += 1,
            // Length, precision.
            (Kind::Other, "(") => at = matching(tokens, at)? + 1,
            (Kind::Other, "[") if at > begin && is(tokens.get(at + 1), "]") => {
                return Some((joined(&tokens[begin..at]), at + 2));
            }
            _ => return None,
        }
    }
}

/// Elements of a constructor, without the blanks around.
fn elements<'t, 's>(tokens: &'t [Token<'s>]) -> Vec<&'t [Token<'s>]> {
    let mut elements = Vec::new();
    let mut depth = 0_usize;
    let mut begin = 0;
    for (at, token) in tokens.iter().enumerate() {
        match (token.kind, token.text) {
            (Kind::Other, "(" | "[") => depth += 1,
            (Kind::Other, ")" | "]") => depth = depth.saturating_sub(1),
            (Kind::Other, ",") if depth == 0 => {
                elements.push(trimmed(&tokens[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    let last = trimmed(&tokens[begin..]);
    if !last.is_empty() {
        elements.push(last);
    }
    elements
}

fn trimmed<'t, 's>(tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    let is_blank = |token: &&Token<'_>| token.kind == Kind::Blank;
    let begin = tokens.iter().take_while(is_blank).count();
    let end = tokens.len() - tokens[begin..].iter().rev().take_while(is_blank).count();
    &tokens[begin..end]
}

fn cast_of(element: &[Token<'_>], of: &str) -> String {
    let text = joined(element);
    let is_constructor = is(element.first(), "ARRAY")
        && is(element.get(1), "[")
        && matching(element, 1) == Some(element.len() - 1);
    if is_constructor {
        format!("({text})::{of}[]")
    } else {
        format!("({text})::{of}")
    }
}

/// An element `(1.5)::numeric` is written `1.5::numeric` when the constant is numeric by itself.
fn without_needless_brackets(text: &str) -> String {
    let tokens = tokens(text);
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < tokens.len() {
        match bracketed_word(&tokens, at) {
            Some(word) => {
                kept.push_str(&joined(word));
                at += word.len() + 2;
            }
            None => {
                kept.push_str(tokens[at].text);
                at += 1;
            }
        }
    }
    kept
}

/// A name, literal or number alone in the brackets that begin here, when they begin an element and
/// a cast follows.
fn bracketed_word<'t, 's>(tokens: &'t [Token<'s>], at: usize) -> Option<&'t [Token<'s>]> {
    if !is(tokens.get(at), "(") {
        return None;
    }
    let before = tokens[..at]
        .iter()
        .rev()
        .find(|token| token.kind != Kind::Blank)?;
    if !matches!(before.text, "[" | ",") {
        return None;
    }
    let close = matching(tokens, at)?;
    let within = tokens.get(at + 1..close)?;
    let is_word = match within {
        [one] => one.kind != Kind::Blank,
        // The tokens of a number with a point.
        several => several
            .iter()
            .all(|token| token.text == "." || token.text.starts_with(|c: char| c.is_ascii_digit())),
    };
    (is_word && !within.is_empty() && is(tokens.get(close + 1), "::")).then_some(within)
}

#[cfg(test)]
mod tests {
    use super::super::portable;

    /// As PostgreSQL 15 writes it where the user wrote it, and after a restore.
    const RESTORED: [(&str, &str); 7] = [
        (
            "((s)::text = ANY ((ARRAY['a'::character varying, 'it''s, ]'::character varying])::text[]))",
            "((s)::text = ANY (ARRAY[('a'::character varying)::text, ('it''s, ]'::character varying)::text]))",
        ),
        (
            "ROW('a'::text, (ARRAY[1.5])::numeric(7,2)[], 'x'::character varying(5))",
            "ROW('a'::text, ARRAY[1.5::numeric(7,2)], 'x'::character varying(5))",
        ),
        (
            "(ARRAY[1, 2])::numeric(7,2)[]",
            "ARRAY[(1)::numeric(7,2), (2)::numeric(7,2)]",
        ),
        (
            "(ARRAY[ARRAY['a'::text], ARRAY[(b)::text]])::character varying[]",
            "ARRAY[ARRAY[('a'::text)::character varying], ARRAY[((b)::text)::character varying]]",
        ),
        (
            "(ARRAY[now(), f(a, ARRAY[1])])::timestamp(3) without time zone[]",
            "ARRAY[(now())::timestamp(3) without time zone, (f(a, ARRAY[1]))::timestamp(3) without time zone]",
        ),
        (
            "(ARRAY[NULL::character varying, a])::\"odd [type]\".\"T\"\"[]\"[]",
            "ARRAY[(NULL::character varying)::\"odd [type]\".\"T\"\"[]\", (a)::\"odd [type]\".\"T\"\"[]\"]",
        ),
        (
            "(x <> ALL ((ARRAY['a'::bpchar])::text[])) AND (y = ANY ((ARRAY['b'::bpchar])::text[]))",
            "(x <> ALL (ARRAY[('a'::bpchar)::text])) AND (y = ANY (ARRAY[('b'::bpchar)::text]))",
        ),
    ];

    #[test]
    fn a_restored_definition_is_the_same() {
        for (written, restored) in RESTORED {
            assert_eq!(portable(written), portable(restored), "{written}");
        }
    }

    #[test]
    fn other_elements_types_and_brackets_are_others() {
        for (one, other) in [
            ("(ARRAY[a, b])::text[]", "ARRAY[(a)::text, b]"),
            ("(ARRAY[a])::text[]", "ARRAY[(a)::name]"),
            ("(ARRAY[a])::text[]", "(ARRAY[b])::text[]"),
            ("'(ARRAY[a])::text[]'", "'ARRAY[(a)::text]'"),
            ("(ARRAY[a])::text", "ARRAY[(a)::text]"),
            ("ARRAY[(a + b)::text]", "ARRAY[a + b::text]"),
            ("f(x, (a)::text)", "f(x, (b)::text)"),
        ] {
            assert_ne!(portable(one), portable(other), "{one}");
        }
    }

    #[test]
    fn nothing_that_is_no_cast_of_a_constructor_is_touched() {
        for text in [
            "(ARRAY[a, b])",
            "(ARRAY[a, b] || c)::text[]",
            "'(ARRAY[a])::text[]'::text",
            "((ARRAY[a])[1])::text",
            "(ARRAY[a])::",
            "(ARRAY[a",
        ] {
            assert_eq!(portable(text), text);
        }
    }
}
