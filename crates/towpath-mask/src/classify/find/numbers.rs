//! Values that are made of digits.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::{Found, Kind, Marks, cuts_word};

/// Digits of a telephone number at most: ITU-T E.164, 6.
const PHONE_DIGITS: usize = 15;

/// What is made of digits: IBANs, cards, IPv4 addresses, numbers of US social security, telephones.
pub(super) fn look(text: &str, found: &mut Found, marks: &Marks) {
    let bytes = text.as_bytes();
    if marks.digits >= 10 {
        ibans(bytes, found);
    }
    let mut at = 0;
    while at < bytes.len() {
        let Some(start) = bytes[at..]
            .iter()
            .position(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'('))
        else {
            return;
        };
        let start = at + start;
        let run = Run::read(bytes, start);
        at = run.end.max(start + 1);
        if run.groups.is_empty() {
            continue;
        }
        for (kind, range) in run.parts() {
            found.note(kind, range);
        }
    }
}

/// Lengths by country, from the IBAN registry of SWIFT (ISO 13616).
const IBANS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18\
DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30\
KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25\
QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

fn iban_length(country: &[u8]) -> Option<usize> {
    IBANS.as_bytes().chunks(4).find_map(|entry| {
        let (code, length) = entry.split_at(2);
        let length = std::str::from_utf8(length).ok()?.parse().ok()?;
        code.eq_ignore_ascii_case(country).then_some(length)
    })
}

fn ibans(bytes: &[u8], found: &mut Found) {
    let mut at = 0;
    while at + 15 <= bytes.len() {
        let head = &bytes[at..at + 4];
        let begins = head[0].is_ascii_alphabetic()
            && head[1].is_ascii_alphabetic()
            && head[2].is_ascii_digit()
            && head[3].is_ascii_digit()
            && !cuts_word(bytes, at.checked_sub(1));
        let end = match begins {
            true => iban_length(&head[..2]).and_then(|length| iban_end(&bytes[at..], length)),
            false => None,
        };
        match end {
            Some(length) if !cuts_word(bytes, Some(at + length)) => {
                found.note(Kind::Account, at..at + length);
                at += length;
            }
            _ => at += 1,
        }
    }
}

/// Where an IBAN of so many characters ends that these bytes begin with, blanks between groups
/// allowed, if its check digits are right (ISO 7064, mod 97-10).
fn iban_end(bytes: &[u8], length: usize) -> Option<usize> {
    let mut characters = Vec::with_capacity(length);
    let mut end = 0;
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            b' ' | b'-' if bytes.get(place + 1).is_some_and(u8::is_ascii_alphanumeric) => continue,
            byte if byte.is_ascii_alphanumeric() => characters.push(byte.to_ascii_uppercase()),
            _ => return None,
        }
        if characters.len() == length {
            end = place + 1;
            break;
        }
    }
    if characters.len() != length {
        return None;
    }
    characters.rotate_left(4);
    let rest = characters.iter().fold(0_u32, |rest, character| {
        let value = char::from(*character).to_digit(36).unwrap_or(0);
        match value {
            0..=9 => (rest * 10 + value) % 97,
            _ => (rest * 100 + value) % 97,
        }
    });
    (rest == 1).then_some(end)
}

/// Groups of digits with little between them.
#[derive(Debug)]
struct Run<'t> {
    bytes: &'t [u8],
    groups: Vec<Range<usize>>,
    /// Where reading goes on.
    end: usize,
}

/// What may stand between two groups of one number.
const BETWEEN: &[&[u8]] = &[
    b" ",
    b"-",
    b".",
    b"/",
    b"(",
    b")",
    b") ",
    b" (",
    b")-",
    b")/",
    b" - ",
    b" / ",
    b".-",
    b"\xc2\xa0",
];

impl<'t> Run<'t> {
    fn read(bytes: &'t [u8], start: usize) -> Self {
        let mut run = Self {
            bytes,
            groups: Vec::new(),
            end: start,
        };
        if !bytes[start].is_ascii_digit() {
            run.end = start + 1;
            // `+` and `(` count by the group that they stand before.
            if !bytes
                .get(start + 1)
                .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'(')
            {
                return run;
            }
        }
        let mut at = match bytes[start].is_ascii_digit() {
            true => start,
            false => {
                start
                    + bytes[start..]
                        .iter()
                        .take(3)
                        .position(u8::is_ascii_digit)
                        .unwrap_or(0)
            }
        };
        if at > start + 2 || at == start && !bytes[start].is_ascii_digit() {
            return run;
        }
        loop {
            let length = bytes[at..]
                .iter()
                .position(|byte| !byte.is_ascii_digit())
                .unwrap_or(bytes.len() - at);
            if length == 0 {
                break;
            }
            run.groups.push(at..at + length);
            run.end = at + length;
            let between = bytes[run.end..]
                .iter()
                .take(4)
                .position(u8::is_ascii_digit)
                .unwrap_or(0);
            if between == 0 || !BETWEEN.contains(&&bytes[run.end..run.end + between]) {
                break;
            }
            at = run.end + between;
        }
        run
    }

    /// What the groups make, from the left, each as long as it can be.
    fn parts(&self) -> Vec<(Kind, Range<usize>)> {
        let mut parts = Vec::new();
        let mut from = 0;
        while from < self.groups.len() {
            // No number has more groups than digits.
            let longest = self.groups.len().min(from + 12);
            let part = (from + 1..=longest)
                .rev()
                .find_map(|to| self.part(from, to).map(|part| (part, to)));
            from = match part {
                Some((part, to)) => {
                    parts.push(part);
                    to
                }
                None => from + 1,
            };
        }
        parts
    }

    fn part(&self, from: usize, to: usize) -> Option<(Kind, Range<usize>)> {
        let groups = &self.groups[from..to];
        let (first, last) = (groups.first()?, groups.last()?);
        let before = first.start.checked_sub(1);
        let opened = before.and_then(|at| self.bytes.get(at));
        let plus = match opened {
            Some(b'+') => before,
            // `(+49) …`, `+(49) …`
            Some(b'(') => before
                .and_then(|at| at.checked_sub(1))
                .filter(|at| self.bytes.get(*at) == Some(&b'+')),
            _ => None,
        };
        let start = match (plus, opened) {
            (Some(at), _) => at,
            (None, Some(b'(')) => first.start - 1,
            _ => first.start,
        };
        // Long lists of small numbers are tried at every one of them: most are told by their shape.
        let leads = plus.is_some() || self.bytes.get(first.start) == Some(&b'0');
        let count: usize = groups.iter().map(ExactSizeIterator::len).sum();
        if groups.len() > 5 && !leads || count > 19 {
            return None;
        }
        let digits: Vec<u8> = groups
            .iter()
            .flat_map(|group| self.bytes[group.clone()].iter().copied())
            .collect();
        if let Some(ip) = self.ipv4(groups) {
            return Some(ip);
        }
        if !(7..=19).contains(&digits.len()) {
            return None;
        }
        let after = self.bytes.get(last.end);
        let open_end = cuts_word(self.bytes, Some(last.end))
            || matches!(after, Some(b'-' | b'.' | b'/' | b':' | b','))
                && self
                    .bytes
                    .get(last.end + 1)
                    .is_some_and(u8::is_ascii_alphanumeric)
            || matches!(after, Some(b'@' | b'%' | b'='));
        let open_start = cuts_word(self.bytes, start.checked_sub(1))
            || plus.is_none()
                && start
                    .checked_sub(1)
                    .and_then(|at| self.bytes.get(at))
                    .is_some_and(|byte| {
                        matches!(
                            byte,
                            b'.' | b'-' | b'/' | b'#' | b'=' | b'$' | b'%' | b'&' | b'~'
                        )
                    });
        // Part of something longer, of letters or of digits.
        if open_end || open_start {
            return None;
        }
        if self.is_card(groups, &digits) || self.is_social_security(groups) {
            return Some((Kind::Account, first.start..last.end));
        }
        let phone = match plus {
            Some(_) => digits.len() <= PHONE_DIGITS && digits.first() != Some(&b'0'),
            None => self.is_phone(groups, &digits),
        };
        phone.then_some((Kind::Phone, start..last.end))
    }

    fn between(&self, groups: &[Range<usize>], separator: &[u8]) -> bool {
        groups
            .windows(2)
            .all(|pair| &self.bytes[pair[0].end..pair[1].start] == separator)
    }

    fn lengths<const N: usize>(&self, groups: &[Range<usize>], lengths: [usize; N]) -> bool {
        groups.len() == N
            && groups
                .iter()
                .zip(lengths)
                .all(|(group, wanted)| group.len() == wanted)
    }

    fn ipv4(&self, groups: &[Range<usize>]) -> Option<(Kind, Range<usize>)> {
        let (first, last) = (groups.first()?, groups.last()?);
        if groups.len() != 4 || !self.between(groups, b".") {
            return None;
        }
        let before = first.start.checked_sub(1).and_then(|at| self.bytes.get(at));
        let after = (self.bytes.get(last.end), self.bytes.get(last.end + 1));
        let open = cuts_word(self.bytes, first.start.checked_sub(1))
            || matches!(before, Some(b'.' | b'-' | b'+' | b'~' | b'^' | b'='))
            || cuts_word(self.bytes, Some(last.end))
            || matches!(after, (Some(b'.' | b'-' | b'+'), Some(next)) if next.is_ascii_alphanumeric());
        let address: Ipv4Addr = std::str::from_utf8(&self.bytes[first.start..last.end])
            .ok()?
            .parse()
            .ok()?;
        // Nobody's, and the usual versions of software.
        let nobodys = address.is_loopback()
            || address.is_unspecified()
            || address.is_broadcast()
            || address.octets()[1..] == [0, 0, 0];
        (!open && !nobodys).then_some((Kind::Ip, first.start..last.end))
    }

    /// Payment cards: ISO/IEC 7812, with the check digit of its annex B, by ranges of the issuers.
    fn is_card(&self, groups: &[Range<usize>], digits: &[u8]) -> bool {
        let starts = |prefixes: &[&str]| {
            prefixes
                .iter()
                .any(|prefix| digits.starts_with(prefix.as_bytes()))
        };
        let head: u32 = digits
            .iter()
            .take(4)
            .fold(0, |head, digit| head * 10 + u32::from(digit - b'0'));
        let issued = match digits.len() {
            13 | 19 => starts(&["4"]),
            14 => starts(&["36", "38"]),
            15 => starts(&["34", "37"]),
            16 => {
                starts(&["4", "6011", "65", "35"])
                    || (5100..5600).contains(&head)
                    || (2221..2721).contains(&head)
            }
            _ => false,
        };
        let grouped = groups.len() == 1
            || (self.between(groups, b" ") || self.between(groups, b"-"))
                && (groups[..groups.len() - 1]
                    .iter()
                    .all(|group| group.len() == 4)
                    || self.lengths(groups, [4, 6, 5])
                    || self.lengths(groups, [4, 6, 4]));
        let varied = digits.windows(2).any(|pair| pair[0] != pair[1]);
        issued && grouped && varied && has_luhn_digit(digits)
    }

    /// US social security: the areas, groups and serials that were never given out are none.
    fn is_social_security(&self, groups: &[Range<usize>]) -> bool {
        if !self.lengths(groups, [3, 2, 4]) || !self.between(groups, b"-") {
            return false;
        }
        let text = |at: usize| &self.bytes[groups[at].clone()];
        text(0) != b"000"
            && text(0) != b"666"
            && text(0)[0] != b'9'
            && text(1) != b"00"
            && text(2) != b"0000"
    }

    /// Numbers without a `+`: with a trunk or international prefix, or in the North American form,
    /// and never without something between their groups: those are the ids of something.
    fn is_phone(&self, groups: &[Range<usize>], digits: &[u8]) -> bool {
        if groups.len() < 2
            || digits.len() < 9
            || digits.len() > PHONE_DIGITS
            || self.has_date(groups)
        {
            return false;
        }
        let dotted = self.between(groups, b".");
        let first = &self.bytes[groups[0].clone()];
        let national = first.len() >= 2
            && first.len() <= 6
            && first[0] == b'0'
            && first[1] != b'0'
            && digits.len() <= 13
            && (!dotted || groups.len() >= 5);
        let international = (3..=6).contains(&first.len())
            && first.starts_with(b"00")
            && first[2] != b'0'
            && is_calling_code(&first[2..])
            && digits.len() >= 11;
        national || international || self.is_north_american(groups)
    }

    fn is_north_american(&self, groups: &[Range<usize>]) -> bool {
        let groups = match groups.split_first() {
            Some((one, rest)) if rest.len() == 3 && &self.bytes[one.clone()] == b"1" => rest,
            _ => groups,
        };
        self.lengths(groups, [3, 3, 4])
            && (b'2'..=b'9').contains(&self.bytes[groups[0].start])
            && (b'2'..=b'9').contains(&self.bytes[groups[1].start])
    }

    /// Whether a date is among the groups: `2024-01-05`, `05.01.2024`.
    fn has_date(&self, groups: &[Range<usize>]) -> bool {
        let year = |group: &Range<usize>| {
            group.len() == 4 && matches!(&self.bytes[group.start..group.start + 2], b"19" | b"20")
        };
        let short = |group: &Range<usize>| group.len() <= 2;
        groups.windows(3).any(|three| {
            year(&three[0]) && short(&three[1]) && short(&three[2])
                || short(&three[0]) && short(&three[1]) && year(&three[2])
        })
    }
}

/// Whether digits behind `00` begin with a country code of one or two digits (ITU-T E.164, annex);
/// all of three digits begin with those of a region.
fn is_calling_code(digits: &[u8]) -> bool {
    match digits {
        [b'1' | b'7'] => true,
        [b'1' | b'7', ..] => digits.len() >= 3,
        [b'2'..=b'6' | b'8' | b'9', b'0'..=b'9', ..] => true,
        _ => false,
    }
}

fn has_luhn_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, 0..=4) => digit * 2,
                (_, digit) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
