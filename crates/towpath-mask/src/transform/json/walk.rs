//! A walk through a JSON text.

use std::borrow::Cow;

use towpath_model::Result;

use super::JsonMask;
use super::path::{Place, begin, go};
use crate::transform::{Action, Masked, RowText};

/// An object or array that is open.
struct Level {
    is_array: bool,
    index: usize,
    /// The rule that holds for all of it.
    rule: Option<usize>,
}

/// One walk through a document; levels are kept in a list, because documents may be deeper than a
/// stack.
pub(super) struct Walk<'w> {
    mask: &'w JsonMask,
    text: &'w str,
    row: &'w dyn RowText,
    out: &'w mut String,
    at: usize,
    copied: usize,
    levels: Vec<Level>,
    /// Positions in the paths of all rules, level by level.
    positions: Vec<u64>,
    is_changed: bool,
    scratch: String,
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        mask: &'w JsonMask,
        text: &'w str,
        row: &'w dyn RowText,
        out: &'w mut String,
    ) -> Self {
        Self {
            mask,
            text,
            row,
            out,
            at: 0,
            copied: 0,
            levels: Vec::new(),
            positions: mask.rules.iter().map(|rule| begin(&rule.path)).collect(),
            is_changed: false,
            scratch: String::new(),
        }
    }

    /// Whether anything changed; nothing where the text is no JSON.
    pub(super) fn run(&mut self) -> Result<Option<bool>> {
        let rule = self.matching(None);
        self.spaces();
        // Of a column of texts a number or a string may be anything but a document.
        let is_document = matches!(self.peek(), Some(b'{' | b'[' | b't' | b'f' | b'n'));
        if rule.is_none() && !is_document && !self.mask.is_json {
            return Ok(None);
        }
        let Some(mut is_done) = self.value(rule)? else {
            return Ok(None);
        };
        while !is_done {
            let Some(done) = self.next()? else {
                return Ok(None);
            };
            is_done = done;
        }
        self.spaces();
        if self.at < self.text.len() {
            return Ok(None);
        }
        self.out.push_str(&self.text[self.copied..]);
        Ok(Some(self.is_changed))
    }

    /// The rule for the value that is about to begin: the first one of those that match it or what
    /// it is within.
    fn matching(&self, of_parent: Option<usize>) -> Option<usize> {
        let rules = &self.mask.rules;
        let positions = &self.positions[self.positions.len() - rules.len()..];
        let own = rules
            .iter()
            .zip(positions)
            .position(|(rule, at)| at & 1 << rule.path.len() != 0);
        match (own, of_parent) {
            (Some(own), Some(parent)) => Some(own.min(parent)),
            (own, parent) => own.or(parent),
        }
    }

    /// Goes on within the innermost level: to its next value, or to its end. True at the end of the
    /// document.
    fn next(&mut self) -> Result<Option<bool>> {
        self.spaces();
        let Some(level) = self.levels.last_mut() else {
            return Ok(Some(true));
        };
        let (is_array, index, of_parent) = (level.is_array, level.index, level.rule);
        level.index += 1;
        let end = if is_array { b']' } else { b'}' };
        if self.peek() == Some(end) {
            self.at += 1;
            self.levels.pop();
            return Ok(Some(self.leave()));
        }
        if index > 0 {
            if self.peek() != Some(b',') {
                return Ok(None);
            }
            self.at += 1;
            self.spaces();
        }
        let rules = &self.mask.rules;
        let base = self.positions.len() - rules.len();
        if is_array {
            for (number, rule) in rules.iter().enumerate() {
                let to = go(
                    &rule.path,
                    self.positions[base + number],
                    &Place::Index(index),
                );
                self.positions.push(to);
            }
        } else {
            let Some(name) = self.string() else {
                return Ok(None);
            };
            for (number, rule) in rules.iter().enumerate() {
                let to = go(
                    &rule.path,
                    self.positions[base + number],
                    &Place::Name(&name),
                );
                self.positions.push(to);
            }
            self.spaces();
            if self.peek() != Some(b':') {
                return Ok(None);
            }
            self.at += 1;
        }
        let rule = self.matching(of_parent);
        self.value(rule)
    }

    /// One value: a scalar is masked, an object or array opened. True where the document ends.
    fn value(&mut self, rule: Option<usize>) -> Result<Option<bool>> {
        self.spaces();
        let start = self.at;
        let is_nulled = rule.is_some_and(|rule| {
            matches!(
                self.mask.rules.get(rule).map(|rule| &rule.strings),
                Some(Action::Null)
            )
        });
        if is_nulled {
            if self.skip().is_none() {
                return Ok(None);
            }
            self.replace(start, "null");
            return Ok(Some(self.leave()));
        }
        match self.peek() {
            Some(first @ (b'{' | b'[')) => {
                self.at += 1;
                self.levels.push(Level {
                    is_array: first == b'[',
                    index: 0,
                    rule,
                });
                Ok(Some(false))
            }
            Some(b'"') => {
                let Some(string) = self.string() else {
                    return Ok(None);
                };
                let action = match rule.and_then(|rule| self.mask.rules.get(rule)) {
                    Some(rule) => Some(&rule.strings),
                    None => self.mask.rest.as_ref(),
                };
                self.mask_string(&string, start, action)?;
                Ok(Some(self.leave()))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.scalar();
                if !is_number(&self.text[start..self.at]) {
                    return Ok(None);
                }
                let action = match rule.and_then(|rule| self.mask.rules.get(rule)) {
                    Some(rule) => Some(&rule.numbers),
                    None => self.mask.rest_of_numbers.as_ref(),
                };
                self.mask_number(start, action)?;
                Ok(Some(self.leave()))
            }
            Some(b't' | b'f' | b'n') => {
                self.scalar();
                match &self.text[start..self.at] {
                    "true" | "false" => self.mask_truth(start, rule),
                    "null" => {}
                    _ => return Ok(None),
                }
                Ok(Some(self.leave()))
            }
            _ => Ok(None),
        }
    }

    /// Behind a value: its positions are done with. True where it was the document.
    fn leave(&mut self) -> bool {
        let keep = self.positions.len().saturating_sub(self.mask.rules.len());
        self.positions.truncate(keep);
        self.levels.is_empty()
    }

    fn mask_string(&mut self, string: &str, start: usize, action: Option<&Action>) -> Result<()> {
        let Some(action) = action else { return Ok(()) };
        let mut masked = std::mem::take(&mut self.scratch);
        masked.clear();
        let what = action.apply(string, self.row, None, &mut masked)?;
        match what {
            Masked::Value => {
                let mut written = String::with_capacity(masked.len() + 2);
                write_string(&masked, &mut written);
                self.replace(start, &written);
            }
            Masked::Null => self.replace(start, "null"),
            Masked::Spared | Masked::Empty => {}
        }
        self.scratch = masked;
        Ok(())
    }

    fn mask_number(&mut self, start: usize, action: Option<&Action>) -> Result<()> {
        let Some(action) = action else { return Ok(()) };
        let mut masked = String::new();
        let number = &self.text[start..self.at];
        match action.apply(number, self.row, None, &mut masked)? {
            Masked::Value if is_number(&masked) => self.replace(start, &masked),
            Masked::Value => {
                let mut written = String::new();
                write_string(&masked, &mut written);
                self.replace(start, &written);
            }
            Masked::Null => self.replace(start, "null"),
            Masked::Spared | Masked::Empty => {}
        }
        Ok(())
    }

    /// A constant stands for what is true or false, too. Nothing else is made of them.
    fn mask_truth(&mut self, start: usize, rule: Option<usize>) {
        let rule = rule.and_then(|rule| self.mask.rules.get(rule));
        let Some(Action::Constant(constant)) = rule.map(|rule| &rule.strings) else {
            return;
        };
        if matches!(constant.as_str(), "true" | "false") {
            return self.replace(start, constant);
        }
        let mut written = String::new();
        write_string(constant, &mut written);
        self.replace(start, &written);
    }

    fn replace(&mut self, start: usize, with: &str) {
        // A constant may be what stands there.
        if &self.text[start..self.at] == with {
            return;
        }
        self.out.push_str(&self.text[self.copied..start]);
        self.out.push_str(with);
        self.copied = self.at;
        self.is_changed = true;
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// To the end of a number or a word.
    fn scalar(&mut self) {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        while self.peek().is_some_and(is_part) {
            self.at += 1;
        }
    }

    /// A string, without its quotes and escapes.
    fn string(&mut self) -> Option<Cow<'w, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = start + end_of_string(self.text.as_bytes().get(start..)?)?;
        self.at = end + 1;
        let raw = self.text.get(start..end)?;
        match raw.contains('\\') {
            true => unescape(raw).map(Cow::Owned),
            false => Some(Cow::Borrowed(raw)),
        }
    }

    /// Over a value, whatever it is.
    fn skip(&mut self) -> Option<()> {
        let mut depth: usize = 0;
        loop {
            self.spaces();
            match self.peek()? {
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b'"' => {
                    self.string()?;
                }
                byte if byte.is_ascii_alphanumeric() || byte == b'-' => self.scalar(),
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Where the quote is that ends a string.
fn end_of_string(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn unescape(raw: &str) -> Option<String> {
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escaped = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escaped.len_utf8()..];
        plain.push(match escaped {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (char, after) = unescape_unicode(rest)?;
                rest = after;
                char
            }
            '"' | '\\' | '/' => escaped,
            _ => return None,
        });
    }
    plain.push_str(rest);
    Some(plain)
}

/// Four hexadecimal digits, or twice four for what is beyond 16 bits.
fn unescape_unicode(text: &str) -> Option<(char, &str)> {
    let (unit, rest) = code_unit(text)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((char::from_u32(unit)?, rest));
    }
    let (low, rest) = code_unit(rest.strip_prefix("\\u")?)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let code = 0x1_0000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
    Some((char::from_u32(code)?, rest))
}

fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?,
        rest,
    ))
}

/// Whether a text is a number in JSON, however great (RFC 8259, section 6).
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, decimals) = match number.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (number, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && decimals.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

/// Writes a string as `jsonb` prints it (src/backend/utils/adt/json.c, `escape_json`).
pub(super) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
}
