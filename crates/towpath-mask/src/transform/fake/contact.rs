//! Addresses and numbers under which nobody can be reached.
//!
//! - Domains: `example.com`, `.net`, `.org` (RFC 2606, section 3).
//! - Telephone numbers, Germany: those that the Bundesnetzagentur keeps for media productions
//!   (Mitteilung 148/2021, Amtsblatt 7/2021). Elsewhere, North America: 555-0100 to 555-0199
//!   (ATIS-0300115, 555 NXX Line Number Reference Document); United Kingdom: those that Ofcom keeps
//!   for drama ("Telephone numbers for use in TV and radio drama programmes").
//! - IP addresses: RFC 5737 and RFC 3849.
//! - IBANs: right check digits (ISO 13616, ISO 7064 MOD 97-10), and a bank code of zeros, or sort code
//!   of zeros, which is nobody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use towpath_model::masking::Locale;

use super::super::draw::{Draw, token};
use super::Lists;
use crate::codec::{Type, write_v6};

const DOMAINS: [&str; 3] = ["@example.com", "@example.net", "@example.org"];

/// Characters of each of [`DOMAINS`].
const DOMAIN_CHARS: usize = 12;

/// Prefixes of Berlin, Frankfurt, Hamburg, Cologne and Munich; three digits follow.
const GERMAN: [(&str, &str); 5] = [
    ("30", "23125"),
    ("69", "90009"),
    ("40", "66969"),
    ("221", "4710"),
    ("89", "99998"),
];

/// Area codes of some large towns of North America.
const AMERICAN: [&str; 24] = [
    "201", "202", "206", "212", "213", "214", "215", "216", "301", "303", "304", "305", "312",
    "313", "314", "404", "412", "415", "503", "512", "602", "612", "617", "702",
];

pub(super) fn email(
    lists: &Lists,
    unique: bool,
    draw: &mut Draw<'_>,
    room: usize,
    out: &mut String,
) {
    username(
        lists,
        unique,
        draw,
        room.saturating_sub(DOMAIN_CHARS).max(1),
        out,
    );
    out.push_str(draw.one_of(&DOMAINS).unwrap_or(DOMAINS[0]));
}

/// `first.last1234`, and with 64 bits of a hash behind it where it must be unique; the hash alone
/// where there is no room for more.
pub(super) fn username(
    lists: &Lists,
    unique: bool,
    draw: &mut Draw<'_>,
    room: usize,
    out: &mut String,
) {
    let first = draw.one_of(lists.first_names).unwrap_or("kim");
    let last = draw.one_of(lists.last_names).unwrap_or("doe");
    let bits = draw.bits();
    push_plain(first, out);
    out.push('.');
    push_plain(last, out);
    if unique {
        out.push('.');
        token(bits, out);
    } else {
        // 14 bits of it.
        out.push_str(&(bits >> 50).to_string());
    }
    if out.len() > room {
        out.clear();
        token(bits, out);
        out.truncate(room);
    }
}

/// Letters of ASCII in lower case; German ones as Germans write them without umlauts.
fn push_plain(name: &str, out: &mut String) {
    for char in name.chars() {
        match char {
            'ä' | 'Ä' => out.push_str("ae"),
            'ö' | 'Ö' => out.push_str("oe"),
            'ü' | 'Ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            _ if char.is_ascii_alphanumeric() => out.push(char.to_ascii_lowercase()),
            _ => {}
        }
    }
}

/// In the country and about the form of the number that it replaces.
pub(super) fn phone(
    locale: Locale,
    like: &str,
    draw: &mut Draw<'_>,
    room: usize,
    out: &mut String,
) {
    let like = like.trim_start();
    let (country, is_international) = match like.strip_prefix('+').or(like.strip_prefix("00")) {
        Some(rest) if rest.starts_with("49") => (Country::Germany, true),
        Some(rest) if rest.starts_with("44") => (Country::Britain, true),
        Some(rest) if rest.starts_with('1') => (Country::America, true),
        Some(_) => (Country::of(locale), true),
        None => (Country::of(locale), false),
    };
    let (code, trunk, area, number) = match country {
        Country::Germany => {
            let (area, prefix) = draw.one_of(&GERMAN).unwrap_or(GERMAN[0]);
            ("49", "0", area, format!("{prefix}{:03}", draw.below(1000)))
        }
        Country::Britain => ("44", "0", "7700", format!("900{:03}", draw.below(1000))),
        Country::America => {
            let area = draw.one_of(&AMERICAN).unwrap_or(AMERICAN[0]);
            ("1", "", area, format!("55501{:02}", draw.below(100)))
        }
    };
    let separator = like
        .chars()
        .find(|char| matches!(char, ' ' | '-' | '.' | '/'));
    // The longest one with two of them: 0049 221 4710272.
    let separator = separator.filter(|_| room >= 16);
    let separator = separator.map(String::from).unwrap_or_default();
    if is_international {
        out.push_str(if like.starts_with('+') { "+" } else { "00" });
        out.push_str(code);
        out.push_str(&separator);
    } else {
        out.push_str(trunk);
    }
    out.push_str(area);
    out.push_str(&separator);
    out.push_str(&number);
}

enum Country {
    Germany,
    Britain,
    America,
}

impl Country {
    fn of(locale: Locale) -> Self {
        match locale {
            Locale::De => Self::Germany,
            Locale::En => Self::America,
        }
    }
}

pub(super) fn iban(locale: Locale, like: &str, draw: &mut Draw<'_>, room: usize, out: &mut String) {
    let is_german = match like.get(..2) {
        Some("DE") => true,
        Some("GB") => false,
        _ => locale == Locale::De,
    };
    let (country, account) = match is_german {
        true => ("DE", format!("00000000{:010}", draw.below(10_000_000_000))),
        false => ("GB", format!("TEST000000{:08}", draw.below(100_000_000))),
    };
    let check = 98 - remainder_97(&format!("{account}{country}00"));
    let number = format!("{country}{check:02}{account}");
    // In groups of four where it was.
    let is_grouped = like.contains(' ') && room >= 27;
    for (at, char) in number.chars().enumerate() {
        if is_grouped && at > 0 && at % 4 == 0 {
            out.push(' ');
        }
        out.push(char);
    }
}

/// Letters count from ten on.
fn remainder_97(text: &str) -> u32 {
    text.chars()
        .filter_map(|char| char.to_digit(36))
        .fold(0, |rest, digit| {
            let wide = if digit > 9 { rest * 100 } else { rest * 10 };
            (wide + digit) % 97
        })
}

/// Of the same family, with the same mask, where there is room. What is no address becomes one of
/// version 4.
pub(super) fn ip(
    like: &str,
    column_type: Type,
    draw: &mut Draw<'_>,
    room: usize,
    out: &mut String,
) {
    let (address, bits) = match like.split_once('/') {
        Some((address, bits)) => (address, bits.parse::<u8>().ok()),
        None => (like, None),
    };
    // Behind what is no address there is no mask: `030/123`.
    let bits = bits.filter(|bits| match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => *bits <= 32,
        Ok(IpAddr::V6(_)) => *bits <= 128,
        Err(_) => false,
    });
    // A network has nothing beyond its mask.
    let network = bits.filter(|_| column_type == Type::Cidr);
    // Without a mask they have 39 characters at most.
    if room >= 39 && address.parse::<Ipv6Addr>().is_ok() {
        let host = u128::from(draw.bits()) << 32 | u128::from(draw.bits() >> 32);
        let mut address = 0x2001_0db8_u128 << 96 | host;
        if let Some(bits) = network.filter(|bits| *bits < 128) {
            address &= !(u128::MAX >> bits);
        }
        write_v6(Ipv6Addr::from(address), out);
    } else {
        let net: u32 = draw
            .one_of(&[0xc000_0200, 0xc633_6400, 0xcb00_7100])
            .unwrap_or(0xc000_0200);
        let mut address = net | u32::try_from(draw.below(254) + 1).unwrap_or(1);
        if let Some(bits) = network.filter(|bits| *bits < 32) {
            address &= !(u32::MAX >> bits);
        }
        out.push_str(&Ipv4Addr::from(address).to_string());
    }
    let mask = bits.map(|bits| format!("/{bits}")).unwrap_or_default();
    if out.len() + mask.len() <= room {
        out.push_str(&mask);
    }
}

pub(super) fn url(like: &str, draw: &mut Draw<'_>, room: usize, out: &mut String) {
    let scheme = match like.split_once("://") {
        Some(("http", _)) => "http",
        _ => "https",
    };
    let start = match draw.below(3) {
        0 => format!("{scheme}://example.com/"),
        1 => format!("{scheme}://example.net/"),
        _ => format!("{scheme}://example.org/"),
    };
    out.push_str(&start);
    token(draw.bits(), out);
    if out.len() > room {
        out.truncate(room);
    }
}
