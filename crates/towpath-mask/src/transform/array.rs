//! Arrays in their text form (PostgreSQL manual, "Array Input and Output Syntax").

use std::borrow::Cow;

/// Goes through the elements of an array of any depth. All that is not an element, braces, commas,
/// bounds and NULLs, is handed through.
pub(crate) struct Elements<'v> {
    rest: &'v str,
}

impl<'v> Elements<'v> {
    /// Of an array's text.
    pub(crate) fn of(array: &'v str) -> Self {
        // Bounds other than one stand before the first brace: `[0:1]={a,b}`.
        Self { rest: array }
    }

    /// The next element that is not NULL; what is before it is appended to `out`.
    pub(crate) fn next(&mut self, out: &mut String) -> Option<Cow<'v, str>> {
        if self.rest.starts_with('[')
            && let Some((bounds, rest)) = self.rest.split_once('=')
        {
            out.push_str(bounds);
            out.push('=');
            self.rest = rest;
        }
        loop {
            let first = self.rest.chars().next()?;
            match first {
                '{' | '}' | ',' => {
                    out.push(first);
                    self.rest = &self.rest[1..];
                }
                '"' => return Some(self.quoted()),
                _ => {
                    let end = self.rest.find([',', '}']).unwrap_or(self.rest.len());
                    let (element, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    if element != "NULL" {
                        return Some(Cow::Borrowed(element));
                    }
                    out.push_str(element);
                }
            }
        }
    }

    fn quoted(&mut self) -> Cow<'v, str> {
        let body = &self.rest[1..];
        let mut plain = String::new();
        let mut chars = body.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &body[at + 1..];
                    return Cow::Owned(plain);
                }
                '\\' => plain.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => plain.push(char),
            }
        }
        self.rest = "";
        Cow::Owned(plain)
    }
}

/// Writes an element with the quotes that PostgreSQL gives it (src/backend/utils/adt/arrayfuncs.c,
/// `array_out`): around nothing at all, NULL, and what holds anything that means something.
pub(crate) fn write_element(element: &str, out: &mut String) {
    let is_special = |char: char| {
        matches!(
            char,
            '"' | '\\' | '{' | '}' | ',' | ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'
        )
    };
    if !element.is_empty() && !element.eq_ignore_ascii_case("null") && !element.contains(is_special)
    {
        out.push_str(element);
        return;
    }
    out.push('"');
    for char in element.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(array: &str) -> String {
        let mut out = String::new();
        let mut elements = Elements::of(array);
        while let Some(element) = elements.next(&mut out) {
            write_element(&format!("{element}{element}"), &mut out);
        }
        out
    }

    #[test]
    fn elements_are_found_and_all_else_stays() {
        assert_eq!(doubled("{}"), "{}");
        assert_eq!(doubled("{a,NULL,\"b c\"}"), "{aa,NULL,\"b cb c\"}");
        assert_eq!(doubled("[0:1]={{a},{\"\"}}"), "[0:1]={{aa},{\"\"}}");
        assert_eq!(
            doubled(r#"{"q\"\\,}","null"}"#),
            r#"{"q\"\\,}q\"\\,}",nullnull}"#
        );
    }
}
