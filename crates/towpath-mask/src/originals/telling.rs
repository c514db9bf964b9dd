//! What tells of somebody: of a column by its mask, of a value by its form, each in the spelling in which
//! two of the same are equal.

use std::borrow::Cow;
use std::net::IpAddr;

use towpath_model::masking::{Fake, JsonRest, Transformer};

use crate::classify::{self, Kind};

/// What values of a column say by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tells {
    /// Nothing: a town, a day or a number may be anybody's, and that another row has it says nothing.
    /// Their cells are noted alone.
    Nothing,
    /// What they hold of e-mail addresses: the rest may stay as it is, and does stay somewhere.
    Mails,
    /// All that they are.
    All,
}

/// What values of a column that is masked like this say by themselves.
pub fn tells(transformer: &Transformer) -> Tells {
    match transformer {
        Transformer::Fake {
            what: Fake::City | Fake::PostalCode | Fake::Street | Fake::UserAgent,
            ..
        } => Tells::Nothing,
        Transformer::DateShift { .. }
        | Transformer::Noise { .. }
        | Transformer::Coordinates { .. }
        | Transformer::EmptyBytes => Tells::Nothing,
        Transformer::Json {
            rest: JsonRest::Keep,
            ..
        } => Tells::Mails,
        _ => Tells::All,
    }
}

/// Whether what a mask makes may look like this and be somebody's by chance, because it is of the same
/// kind as what there is.
pub fn may_meet_by_chance(transformer: &Transformer, looks: Looks) -> bool {
    match transformer {
        Transformer::Fake { what, .. } => match what {
            Fake::Email | Fake::Url | Fake::Iban | Fake::Text => false,
            // Ranges that are kept free are small, and test data uses them, too.
            Fake::Phone | Fake::PostalCode => looks == Looks::Number,
            Fake::Ip | Fake::UserAgent => true,
            Fake::Name
            | Fake::FirstName
            | Fake::LastName
            | Fake::Username
            | Fake::Address
            | Fake::Street
            | Fake::City
            | Fake::Company => matches!(looks, Looks::Name | Looks::Text | Looks::Token),
        },
        // A number stays one of as many digits, whatever its rule makes of texts.
        Transformer::Json { rules, rest } => {
            let is_number = looks == Looks::Number;
            rules
                .iter()
                .any(|rule| is_number || may_meet_by_chance(&rule.transformer, looks))
                || (is_number && *rest != JsonRest::Keep)
        }
        // Telephones are made up, and so are the names of the row's own columns.
        Transformer::Scrub { columns } => {
            looks == Looks::Number || (looks == Looks::Name && !columns.is_empty())
        }
        Transformer::Constant { .. }
        | Transformer::DateShift { .. }
        | Transformer::Noise { .. }
        | Transformer::FormatPreserving { .. }
        | Transformer::Uuid
        | Transformer::Coordinates { .. } => true,
        Transformer::Null
        | Transformer::Redact { .. }
        | Transformer::Hash { .. }
        | Transformer::EmptyBytes => false,
    }
}

/// What something looks like that tells of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Looks {
    /// An e-mail address.
    Email,
    /// A number of a telephone, an account or a card.
    Number,
    /// An IBAN.
    Iban,
    /// A public IP address.
    Ip,
    /// A UUID.
    Uuid,
    /// An id of letters and digits.
    Token,
    /// A token, a key or a password by its form.
    Secret,
    /// A name of a person.
    Name,
    /// A text that nobody writes twice.
    Text,
}

impl Looks {
    /// In a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Email => "e-mail",
            Self::Number => "number",
            Self::Iban => "IBAN",
            Self::Ip => "IP address",
            Self::Uuid => "UUID",
            Self::Token => "token",
            Self::Secret => "secret",
            Self::Name => "name",
            Self::Text => "text",
        }
    }
}

/// Bytes of a word that may be a secret.
const SECRET: u32 = 16;

/// Digits of a number that tells of somebody: less than these are counts, prices and days.
const DIGITS: usize = 9;

/// Digits of a telephone number at most: ITU-T E.164, 6.
const PHONE_DIGITS: usize = 15;

/// Tells what a value is as a whole, where that tells of somebody, and what is found within it, each
/// in the form in which two spellings of the same are equal.
pub(super) fn each_telling(value: &str, mut told: impl FnMut(Looks, &str)) {
    let value = value.trim();
    let whole = whole(value);
    if let Some((looks, normal)) = &whole {
        told(*looks, normal);
    }
    // The others are one thing and hold no other; several numbers look like one that is too long.
    let may_be_more = match &whole {
        None | Some((Looks::Text | Looks::Token, _)) => true,
        Some((Looks::Number, digits)) => digits.len() > PHONE_DIGITS,
        Some(_) => false,
    };
    if !may_be_more || !may_hold_some(value) {
        return;
    }
    for (kind, place) in classify::find(value) {
        let Some(found) = value.get(place) else {
            continue;
        };
        let Some((looks, normal)) = part(kind, found) else {
            continue;
        };
        let is_told = whole.as_ref().is_some_and(|(_, all)| *all == normal);
        if !is_told || looks == Looks::Secret {
            told(looks, &normal);
        }
    }
}

/// Whether it is worth looking for parts: numbers have digits, addresses an `@`, and secrets are long
/// words.
fn may_hold_some(value: &str) -> bool {
    let (mut digits, mut word) = (0, 0);
    value.bytes().any(|byte| {
        word = if byte.is_ascii_whitespace() {
            0
        } else {
            word + 1
        };
        digits += u32::from(byte.is_ascii_digit());
        byte == b'@' || byte == b'%' || digits >= 4 || word >= SECRET
    }) || value.contains("-----")
}

/// Whether an e-mail address may be in it: with its `@`, or as links have it.
pub(super) fn may_hold_address(value: &str) -> bool {
    value.contains('@') || value.contains("%40")
}

fn part(kind: Kind, found: &str) -> Option<(Looks, Cow<'_, str>)> {
    match kind {
        Kind::Email if found.contains("%40") => {
            let plain = found.replacen("%40", "@", 1);
            Some((Looks::Email, Cow::Owned(normal(&plain).into_owned())))
        }
        Kind::Email => Some((Looks::Email, normal(found))),
        Kind::Phone | Kind::Account => number(found),
        Kind::Ip => address(found).map(|found| (Looks::Ip, found)),
        Kind::Secret => Some((Looks::Secret, normal(found))),
        _ => None,
    }
}

/// A number of digits, or of letters and digits as an IBAN is, without what people put between.
fn number(text: &str) -> Option<(Looks, Cow<'static, str>)> {
    let compact: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let digits = compact.bytes().filter(u8::is_ascii_digit).count();
    if digits < DIGITS {
        return None;
    }
    match digits == compact.len() {
        // `+49 30 …`, `0049 30 …`
        true => {
            let number = compact.trim_start_matches('0');
            (number.len() + 2 >= DIGITS).then(|| (Looks::Number, Cow::Owned(number.to_owned())))
        }
        false => Some((Looks::Iban, Cow::Owned(compact))),
    }
}

/// A public address: the others are in every network.
fn address(text: &str) -> Option<Cow<'_, str>> {
    let (host, _) = text.split_once('/').unwrap_or((text, ""));
    let is_public = match host.parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => {
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.octets()[0] < 2)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || (first == 0x2001 && second == 0xdb8))
        }
    };
    is_public.then(|| normal(host))
}

/// Small letters, one blank for many.
pub(super) fn normal(text: &str) -> Cow<'_, str> {
    let is_normal = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
    if is_normal {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    if text.is_ascii() {
        // The same, without a look at the tables of Unicode.
        let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
        for byte in text.bytes() {
            match is_blank(byte) {
                true if normal.is_empty() || normal.ends_with(' ') => {}
                true => normal.push(' '),
                false => normal.push(char::from(byte.to_ascii_lowercase())),
            }
        }
        normal.truncate(normal.trim_end_matches(' ').len());
        return Cow::Owned(normal);
    }
    for word in text.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    Cow::Owned(normal)
}

/// What a value is as a whole, where that alone tells of somebody.
fn whole(text: &str) -> Option<(Looks, Cow<'_, str>)> {
    if text.len() < 6 {
        return None;
    }
    let bytes = text.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let (letters, words) = match text.is_ascii() {
        true => {
            let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
            let begins = |pair: &&[u8]| is_blank(pair[0]) && !is_blank(pair[1]);
            let first = usize::from(!is_blank(bytes[0]));
            (
                bytes.iter().filter(|b| b.is_ascii_alphabetic()).count(),
                first + bytes.windows(2).filter(begins).count(),
            )
        }
        false => (
            text.chars().filter(|c| c.is_alphabetic()).count(),
            text.split_whitespace().count(),
        ),
    };
    // A day, with or without a time.
    if bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') && letters < 3 {
        return None;
    }
    if words == 1 && is_email(text) {
        return Some((Looks::Email, normal(text)));
    }
    if text.contains(':') || text.matches('.').count() == 3 {
        let host = text.split_once('/').map_or(text, |(host, _)| host);
        if host.parse::<IpAddr>().is_ok() {
            return address(text).map(|found| (Looks::Ip, found));
        }
    }
    if is_uuid(bytes) {
        let is_nil = bytes.iter().all(|b| b"0-".contains(b));
        return (!is_nil).then(|| (Looks::Uuid, normal(text)));
    }
    if letters == 0 {
        let is_number = bytes
            .iter()
            .all(|b| b.is_ascii_digit() || b"+-()/ .".contains(b));
        let is_plain = digits == bytes.len() && digits <= DIGITS;
        let is_decimal = words == 1 && text.matches('.').count() == 1 && digits + 2 >= bytes.len();
        return (is_number && !is_plain && !is_decimal)
            .then(|| number(text))
            .flatten();
    }
    if is_iban(bytes) {
        return number(text);
    }
    match words {
        1 if text.len() >= 16 && digits >= 2 && letters >= 2 => Some((Looks::Token, normal(text))),
        2..=4 if is_name(text) => Some((Looks::Name, normal(text))),
        2.. if text.len() >= 20 => Some((Looks::Text, normal(text))),
        _ => None,
    }
}

/// An address and nothing else: lists of them, links and paths are looked through for each.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let in_local = |c: char| c.is_alphanumeric() || "._%+-'!#&*~".contains(c);
    let in_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    local.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        && local.chars().all(in_local)
        && domain.contains('.')
        && domain.chars().all(in_domain)
        && domain.ends_with(char::is_alphanumeric)
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Two letters of a country, two digits, and what the country numbers accounts by (ISO 13616), in
/// groups or not.
fn is_iban(bytes: &[u8]) -> bool {
    let compact = bytes.iter().filter(|b| **b != b' ');
    let opens = compact.clone().take(4).enumerate().all(|(at, b)| match at {
        0 | 1 => b.is_ascii_alphabetic(),
        _ => b.is_ascii_digit(),
    });
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let length = compact.clone().count();
    opens
        && (15..=34).contains(&length)
        && digits >= 10
        && compact.clone().all(u8::is_ascii_alphanumeric)
}

/// Words that begin with a capital, as names do, and the particles between.
fn is_name(text: &str) -> bool {
    const PARTICLES: [&str; 16] = [
        "von", "van", "de", "der", "den", "del", "della", "di", "da", "dos", "du", "la", "le",
        "zu", "bin", "al",
    ];
    let is_word = |word: &str| {
        let is_capital = word.chars().next().is_some_and(char::is_uppercase);
        let holds = |c: char| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '.');
        PARTICLES.contains(&word) || (is_capital && word.chars().all(holds))
    };
    text.split_whitespace().all(is_word)
}
