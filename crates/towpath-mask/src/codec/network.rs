//! Addresses of networks and of hardware.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::types::Type;

/// Families as PostgreSQL sends them (src/include/utils/inet.h).
const V4: u8 = 2;
const V6: u8 = 3;

pub(super) fn decode(scalar: Type, value: &[u8], out: &mut String) -> Option<()> {
    if let Type::Mac(bytes) = scalar {
        if value.len() != usize::from(bytes) {
            return None;
        }
        for (at, byte) in value.iter().enumerate() {
            if at > 0 {
                out.push(':');
            }
            out.push_str(&format!("{byte:02x}"));
        }
        return Some(());
    }
    let [family, bits, _, length, address @ ..] = value else {
        return None;
    };
    if usize::from(*length) != address.len() {
        return None;
    }
    let most = match *family {
        V4 => {
            let address: [u8; 4] = address.try_into().ok()?;
            out.push_str(&Ipv4Addr::from(address).to_string());
            32
        }
        V6 => {
            let address: [u8; 16] = address.try_into().ok()?;
            write_v6(Ipv6Addr::from(address), out);
            128
        }
        _ => return None,
    };
    if *bits != most || scalar == Type::Cidr {
        out.push_str(&format!("/{bits}"));
    }
    Some(())
}

pub(super) fn encode(scalar: Type, text: &str, out: &mut Vec<u8>) -> Option<()> {
    if let Type::Mac(bytes) = scalar {
        let before = out.len();
        for byte in text.split(':') {
            let byte = u8::from_str_radix(byte, 16)
                .ok()
                .filter(|_| byte.len() == 2)?;
            out.push(byte);
        }
        return (out.len() - before == usize::from(bytes)).then_some(());
    }
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let is_cidr = u8::from(scalar == Type::Cidr);
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        let bits = bits.unwrap_or(32);
        out.extend_from_slice(&[V4, bits, is_cidr, 4]);
        out.extend_from_slice(&address.octets());
        return (bits <= 32).then_some(());
    }
    let address = address.parse::<Ipv6Addr>().ok()?;
    let bits = bits.unwrap_or(128);
    out.extend_from_slice(&[V6, bits, is_cidr, 16]);
    out.extend_from_slice(&address.octets());
    (bits <= 128).then_some(())
}

/// Writes an address as PostgreSQL does (src/port/inet_net_ntop.c): the first longest run of two
/// zeros or more is left out, and addresses that hold one of version 4 show it.
pub(crate) fn write_v6(address: Ipv6Addr, out: &mut String) {
    let groups = address.segments();
    let (start, length) = longest_zeros(&groups);
    let holds_v4 = start == 0
        && (length == 6 || (length == 7 && groups[7] != 1) || (length == 5 && groups[5] == 0xffff));
    let mut at = 0;
    while at < 8 {
        if length > 1 && at == start {
            // Groups end with a colon of their own: one more, or two at the beginning.
            out.push_str(if at == 0 { "::" } else { ":" });
            at += length;
            continue;
        }
        if at == 6 && holds_v4 {
            let octets = address.octets();
            let last = Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]);
            out.push_str(&last.to_string());
            return;
        }
        out.push_str(&format!("{:x}", groups[at]));
        at += 1;
        if at < 8 {
            out.push(':');
        }
    }
}

fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut at = 0;
    while at < 8 {
        let length = groups[at..].iter().take_while(|group| **group == 0).count();
        if length > best.1 {
            best = (at, length);
        }
        at += length.max(1);
    }
    match best.1 {
        0 | 1 => (8, 0),
        _ => best,
    }
}
