//! Values that are personal by their own form, within any text.

mod numbers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use towpath_model::secret_text;

use super::Kind;

/// No secret that its form tells is shorter: `a://b:c@`.
const SECRET_BYTES: usize = 8;

/// What is found in a text: kinds, with where each begins and ends in bytes, in order and not
/// overlapping. Where two readings meet, the stricter form wins: a key holds no telephone number.
pub fn find(text: &str) -> Vec<(Kind, Range<usize>)> {
    let marks = Marks::of(text);
    let mut found = Found::default();
    if text.len() >= SECRET_BYTES {
        secrets(text, &mut found);
    }
    if marks.at {
        emails(text, &mut found);
    }
    if marks.digits >= 2 && marks.colons >= 2 || marks.dashes >= 5 {
        ipv6_and_mac(text, &mut found);
    }
    if marks.digits >= 4 {
        numbers::look(text, &mut found, &marks);
    }
    let found = found.0.into_iter();
    found
        .map(|(start, (end, kind))| (kind, start..end))
        .collect()
}

/// What a text holds at all: most texts hold nothing, and are read once.
#[derive(Default)]
struct Marks {
    at: bool,
    digits: usize,
    colons: usize,
    dashes: usize,
}

impl Marks {
    fn of(text: &str) -> Self {
        let mut marks = Self::default();
        for byte in text.bytes() {
            match byte {
                b'@' => marks.at = true,
                b'0'..=b'9' => marks.digits += 1,
                b':' => marks.colons += 1,
                b'-' => marks.dashes += 1,
                _ => {}
            }
        }
        marks.at |= marks.digits >= 2 && text.contains("%40");
        marks
    }
}

/// Ends and kinds by where they begin: a text may be a list of a hundred thousand addresses.
#[derive(Default)]
struct Found(BTreeMap<usize, (usize, Kind)>);

impl Found {
    /// Notes a range, unless another one is there already.
    fn note(&mut self, kind: Kind, range: Range<usize>) {
        // Of those that begin before its end the last one ends last: none lies over another.
        let before = self.0.range(..range.end).next_back();
        let is_free = before.is_none_or(|(_, (end, _))| *end <= range.start);
        if !range.is_empty() && is_free {
            self.0.insert(range.start, (range.end, kind));
        }
    }
}

static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    let branches: Vec<String> = secret_text::forms_in_data()
        .map(|form| format!("(?:{form})"))
        .collect();
    RegexBuilder::new(&branches.join("|"))
        .case_insensitive(true)
        .unicode(false)
        .build()
        .expect("the patterns are constants that a test has built")
});

fn secrets(text: &str, found: &mut Found) {
    for hit in SECRETS.find_iter(text.as_bytes()) {
        let mut range = hit.range();
        if text[..].is_char_boundary(range.start) && hit.as_bytes().starts_with(b"-----") {
            range.end = end_of_pem(text, range.end);
        }
        // The patterns take in what stands before and after.
        let bytes = text.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'-');
        while range.start < range.end && !bytes.get(range.start).is_some_and(inner) {
            range.start += 1;
        }
        let tail = |byte: &u8| inner(byte) || matches!(byte, b'@' | b'_' | b'=' | b'/' | b'.');
        while range.start < range.end && !bytes.get(range.end - 1).is_some_and(tail) {
            range.end -= 1;
        }
        found.note(Kind::Secret, range);
    }
}

/// The end of a PEM block whose first line ends here; of the text, when it is cut off.
fn end_of_pem(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let Some(end) = rest.find("-----END") else {
        return text.len();
    };
    let after = rest.get(end + 8..).unwrap_or_default();
    match after.find("-----") {
        Some(dashes) => from + end + 8 + dashes + 5,
        None => text.len(),
    }
}

/// Addresses as people have them: RFC 5322 allows far more than any provider gives out. Letters may
/// be of any script (RFC 6531).
fn emails(text: &str, found: &mut Found) {
    let mut from = 0;
    while let Some((at, width)) = next_at(text, from) {
        from = at + width;
        let before = text.get(..at).unwrap_or_default();
        let local: &str = {
            let taken = before
                .char_indices()
                .rev()
                .take(64)
                .take_while(|(_, c)| c.is_alphanumeric() || "._%+-'!#&*~".contains(*c))
                .last()
                .map_or(at, |(place, _)| place);
            before.get(taken..).unwrap_or_default()
        };
        let local = local.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
        let after = text.get(from..).unwrap_or_default();
        let domain = domain(after);
        if local.is_empty() || domain == 0 {
            continue;
        }
        // `git@host:path` is no person.
        if local == "git" && after[domain..].starts_with([':', '/']) {
            continue;
        }
        found.note(Kind::Email, at - local.len()..from + domain);
    }
}

/// The next `@`, plain or as URLs carry it, with its width. One look for both: what one of them does
/// not find would be looked for to the end of the text again and again.
fn next_at(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = text.as_bytes().get(from..)?;
    let is_escaped = |at: usize| rest[at..].starts_with(b"%40");
    let at = (0..rest.len()).find(|at| rest[*at] == b'@' || is_escaped(*at))?;
    Some((from + at, if rest[at] == b'@' { 1 } else { 3 }))
}

/// Bytes of the host name that a text begins with; 0 when there is none under a top-level domain.
fn domain(text: &str) -> usize {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '.'))
        .unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    let name = name.trim_end_matches(['.', '-']);
    let labels: Vec<&str> = name.split('.').collect();
    // A sentence may end where the next begins without a blank: no label is empty then.
    let whole = labels.len() >= 2
        && labels
            .iter()
            .all(|label| !label.is_empty() && label.len() <= 63 && !label.starts_with('-'));
    let top = labels.last().copied().unwrap_or_default();
    let is_top =
        top.starts_with("xn--") || top.chars().count() >= 2 && top.chars().all(char::is_alphabetic);
    // `logo@2x.png` is a file.
    let is_file = [
        "png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "css", "js", "ts", "tsx", "json",
    ]
    .iter()
    .any(|extension| top.eq_ignore_ascii_case(extension));
    match whole && is_top && !is_file {
        true => name.len(),
        false => 0,
    }
}

/// Whether a run of word characters is cut at a byte: what stands there is part of something longer.
fn cuts_word(bytes: &[u8], at: Option<usize>) -> bool {
    at.and_then(|at| bytes.get(at))
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
}

fn ipv6_and_mac(text: &str, found: &mut Found) {
    let bytes = text.as_bytes();
    let belongs = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.');
    let mut at = 0;
    while at < bytes.len() {
        if !bytes.get(at).is_some_and(belongs) {
            at += 1;
            continue;
        }
        let end = bytes[at..]
            .iter()
            .position(|byte| !belongs(byte))
            .map_or(bytes.len(), |length| at + length);
        let whole = !cuts_word(bytes, at.checked_sub(1)) && !cuts_word(bytes, Some(end));
        if whole && let Some(run) = text.get(at..end) {
            let run = run.trim_end_matches(['.', '-']);
            let run = match run.ends_with("::") {
                true => run,
                false => run.trim_end_matches(':'),
            };
            if is_mac(run) {
                found.note(Kind::Device, at..at + run.len());
            } else if is_ipv6(run) {
                found.note(Kind::Ip, at..at + run.len());
            }
        }
        at = end;
    }
}

fn is_mac(run: &str) -> bool {
    let bytes = run.as_bytes();
    let separator = bytes.get(2).copied().unwrap_or_default();
    bytes.len() == 17
        && matches!(separator, b':' | b'-')
        && bytes
            .chunks(3)
            .all(|pair| pair.get(2).is_none_or(|byte| *byte == separator) && is_hex(&pair[..2]))
        && bytes.iter().any(|byte| !matches!(byte, b'0' | b':' | b'-'))
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// `::1` and `a::b` are addresses to the letter, and neither is anybody's.
fn is_ipv6(run: &str) -> bool {
    let first = run.split(':').next().unwrap_or_default();
    run.len() >= 6
        && run.bytes().any(|byte| byte.is_ascii_digit())
        && (first.len() >= 3 || run.bytes().filter(|byte| *byte == b':').count() == 7)
        && run.parse::<Ipv6Addr>().is_ok()
}
