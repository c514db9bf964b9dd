//! Patterns on names: `*` for any characters, `?` for one, `[a-z]` for one of some and `[!a-z]` for none
//! of them, `{a,b}` for one of several, `\` before a character that means itself. `[]` means itself: an
//! array's type ends in it. For masks upper and lower case are the same: rather a column too many. For
//! what lets a column go as it is they differ, as in the catalog.
//!
//! Of characters, not of bytes: `?` is one ü, and Ü is ü where case is the same.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;
use towpath_model::name::QualifiedName;

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// They do.
    Differs,
    /// They do not.
    IsTheSame,
}

/// A pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    case: Case,
}

impl Pattern {
    /// Reads one; the error says what is wrong with it.
    pub(crate) fn new(text: &str, case: Case) -> Result<Self, String> {
        let regex = Regex::new(&regex_of(&folded(text, case))?);
        let regex = regex.map_err(|_| "it is too long".to_owned())?;
        Ok(Self { regex, case })
    }

    /// On `schema.table`; without a dot it is of schema `public`.
    pub(crate) fn of_table(text: &str, case: Case) -> Result<Self, String> {
        if text.contains('.') {
            Self::new(text, case)
        } else {
            Self::new(&format!("public.{text}"), case)
        }
    }

    /// Whether it matches a text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(&folded(text, self.case))
    }

    /// Whether it matches a table's name, as the catalog has it.
    pub(crate) fn is_table(&self, table: &QualifiedName) -> bool {
        self.is_match(&format!("{}.{}", table.schema, table.name))
    }

    /// Whether it matches a type: as it is written, without what is in its brackets, or without its
    /// schema.
    pub(crate) fn is_type(&self, type_name: &str) -> bool {
        let bare = match (type_name.find('('), type_name.find(')')) {
            (Some(open), Some(close)) if open < close => {
                format!("{}{}", &type_name[..open], &type_name[close + 1..])
            }
            _ => type_name.to_owned(),
        };
        let unqualified = bare.rsplit_once('.').map(|(_, name)| name);
        self.is_match(type_name)
            || self.is_match(&bare)
            || unqualified.is_some_and(|name| self.is_match(name))
    }
}

/// In lower case, where case is the same.
fn folded(text: &str, case: Case) -> Cow<'_, str> {
    match case == Case::IsTheSame && text.chars().any(char::is_uppercase) {
        true => Cow::Owned(text.to_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// The expression that a pattern stands for.
fn regex_of(pattern: &str) -> Result<String, String> {
    let mut regex = r"(?s)\A".to_owned();
    let mut depth = 0_usize;
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '\\' => match chars.next() {
                Some(escaped) => push_literal(escaped, &mut regex),
                None => return Err("a backslash stands at its end".to_owned()),
            },
            '[' if chars.next_if_eq(&']').is_some() => regex.push_str(r"\[\]"),
            '[' => push_class(&mut chars, &mut regex)?,
            '{' => {
                depth += 1;
                regex.push_str("(?:");
            }
            ',' if depth > 0 => regex.push('|'),
            '}' if depth > 0 => {
                depth -= 1;
                regex.push(')');
            }
            '}' => return Err("a } stands without its {".to_owned()),
            other => push_literal(other, &mut regex),
        }
    }
    if depth > 0 {
        return Err("a { stands without its }".to_owned());
    }
    regex.push_str(r"\z");
    Ok(regex)
}

/// What is behind `[`: characters and ranges.
fn push_class(chars: &mut Peekable<Chars<'_>>, regex: &mut String) -> Result<(), String> {
    regex.push('[');
    if chars.next_if(|char| matches!(char, '!' | '^')).is_some() {
        regex.push('^');
    }
    let unclosed = || "a [ stands without its ]".to_owned();
    let mut is_first = true;
    loop {
        let from = chars.next().ok_or_else(unclosed)?;
        if from == ']' && !is_first {
            regex.push(']');
            return Ok(());
        }
        is_first = false;
        push_literal(from, regex);
        let mut ahead = chars.clone();
        // A hyphen at the end is one.
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|to| *to != ']') {
            let to = ahead.next().ok_or_else(unclosed)?;
            if to < from {
                return Err(format!("{from}-{to} is no range"));
            }
            regex.push('-');
            push_literal(to, regex);
            *chars = ahead;
        }
    }
}

/// A character that means itself, whatever it is.
fn push_literal(char: char, regex: &mut String) {
    regex.push_str(&format!(r"\x{{{:x}}}", u32::from(char)));
}
