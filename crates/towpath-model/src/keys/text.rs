//! Texts in which the server writes its constraints and indexes, taken apart.

use crate::definition::{Kind, Token, tokens};
use crate::name::QualifiedName;

/// A definition without blanks.
pub(super) struct Definition<'t> {
    text: &'t str,
    tokens: Vec<(usize, Token<'t>)>,
}

impl<'t> Definition<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut at = 0;
        let placed = tokens(text).into_iter().map(|token| {
            let begin = at;
            at += token.text.len();
            (begin, token)
        });
        Self {
            text,
            tokens: placed
                .filter(|(_, token)| token.kind != Kind::Blank)
                .collect(),
        }
    }

    /// Where a keyword stands outside of all brackets, at or behind a place.
    pub(super) fn keyword(&self, word: &str, from: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (at, (_, token)) in self.tokens.iter().enumerate() {
            match token.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ if at >= from && depth == 0 && token.is(word) => return Some(at),
                _ => {}
            }
        }
        None
    }

    /// The first brackets at or behind a place: what is between them, and the place behind them.
    pub(super) fn brackets(&self, from: usize) -> Option<(Group<'_, 't>, usize)> {
        let tokens = self.tokens.get(from..)?;
        let open = tokens.iter().position(|(_, token)| token.text == "(")?;
        let mut depth = 0_usize;
        for (at, (_, token)) in tokens.iter().enumerate().skip(open) {
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let group = Group {
                    text: self.text,
                    tokens: &tokens[open + 1..at],
                };
                return Some((group, from + at + 1));
            }
        }
        None
    }

    /// All of it behind a place.
    pub(super) fn rest(&self, from: usize) -> Group<'_, 't> {
        Group {
            text: self.text,
            tokens: self.tokens.get(from..).unwrap_or_default(),
        }
    }

    /// The qualified name at a place.
    pub(super) fn qualified(&self, at: usize) -> Option<QualifiedName> {
        let text = |at: usize| self.tokens.get(at).map(|(_, token)| *token);
        let (schema, dot, name) = (text(at)?, text(at + 1)?, text(at + 2)?);
        (dot.text == ".").then_some(())?;
        Some(QualifiedName::new(schema.name()?, name.name()?))
    }

    /// How many tokens it has.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}

/// Tokens between two brackets.
#[derive(Clone, Copy)]
pub(super) struct Group<'d, 't> {
    text: &'t str,
    tokens: &'d [(usize, Token<'t>)],
}

impl<'t> Group<'_, 't> {
    /// The text.
    pub(super) fn text(&self) -> &'t str {
        match (self.tokens.first(), self.tokens.last()) {
            (Some((begin, _)), Some((last, token))) => &self.text[*begin..last + token.text.len()],
            _ => "",
        }
    }

    /// Items between commas outside of further brackets.
    pub(super) fn items(&self) -> Vec<Self> {
        let mut items = Vec::new();
        let (mut depth, mut begin) = (0_usize, 0);
        for (at, (_, token)) in self.tokens.iter().enumerate() {
            match token.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                "," if depth == 0 => {
                    items.push(self.part(begin, at));
                    begin = at + 1;
                }
                _ => {}
            }
        }
        items.push(self.part(begin, self.tokens.len()));
        items
    }

    fn part(&self, begin: usize, end: usize) -> Self {
        Self {
            text: self.text,
            tokens: &self.tokens[begin..end],
        }
    }

    /// Whether an item of a key is a period, as the last one may be since 18. A column may be called so.
    pub(super) fn is_period(&self) -> bool {
        matches!(self.tokens, [(_, period), _] if period.is("PERIOD"))
    }

    /// The column that an item of a key names.
    pub(super) fn column(&self) -> Option<String> {
        match self.tokens {
            [_, (_, name)] if self.is_period() => name.name(),
            [(_, name), ..] => name.name(),
            [] => None,
        }
    }

    /// Whether it holds a keyword.
    pub(super) fn holds(&self, word: &str) -> bool {
        self.tokens.iter().any(|(_, token)| token.is(word))
    }

    /// The names in it, those of functions and types among them.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.tokens.iter().filter_map(|(_, token)| token.name())
    }

    /// The text with another one in place of a keyword.
    pub(super) fn with(&self, word: &str, replacement: &str) -> String {
        let mut text = String::new();
        let mut end = self.tokens.first().map_or(0, |(begin, _)| *begin);
        for (begin, token) in self.tokens {
            text.push_str(&self.text[end..*begin]);
            text.push_str(if token.is(word) {
                replacement
            } else {
                token.text
            });
            end = begin + token.text.len();
        }
        text
    }
}

/// A name as `regclass` or `format_type` writes it with an empty search path.
pub(super) fn qualified(text: &str) -> Option<QualifiedName> {
    let definition = Definition::new(text);
    (definition.len() == 3).then_some(())?;
    definition.qualified(0)
}
