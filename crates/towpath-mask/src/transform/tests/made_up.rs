//! Made-up data.

use super::*;

#[test]
fn made_up_contacts_reach_nobody() {
    for at in 0..300 {
        let email = masked(fake(Fake::Email), "text", &format!("somebody{at}@firma.de"));
        let (local, domain) = email.split_once('@').expect("an address");
        assert!(["example.com", "example.net", "example.org"].contains(&domain));
        assert!(
            local
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'),
            "{local}"
        );
        let phone = masked(fake(Fake::Phone), "text", &format!("+4930{at:06}"));
        let kept = [
            "+493023125",
            "+496990009",
            "+494066969",
            "+492214710",
            "+498999998",
        ];
        assert!(
            kept.iter().any(|prefix| phone.starts_with(prefix)),
            "{phone}"
        );
        let phone = masked(fake(Fake::Phone), "text", &format!("(415) {at:03}-0000"));
        assert!(phone.contains("55501"), "{phone}");
        let ip = masked(fake(Fake::Ip), "inet", &format!("10.0.0.{}", at % 250));
        let nets = ["192.0.2.", "198.51.100.", "203.0.113."];
        assert!(nets.iter().any(|net| ip.starts_with(net)), "{ip}");
        let iban = masked(
            fake(Fake::Iban),
            "text",
            &format!("DE8937040044053201{at:04}"),
        );
        assert!(iban.starts_with("DE") && &iban[4..12] == "00000000" && iban.len() == 22);
        assert_eq!(remainder_of_iban(&iban), 1, "{iban}");
        let url = masked(fake(Fake::Url), "text", &format!("http://firma.de/{at}"));
        assert!(url.starts_with("http://example."), "{url}");
    }
    let v6 = masked(fake(Fake::Ip), "inet", "fe80::1/64");
    assert!(v6.starts_with("2001:db8:") && v6.ends_with("/64"), "{v6}");
    let grouped = masked(fake(Fake::Iban), "text", "GB29 NWBK 6016 1331 9268 19");
    assert!(
        grouped.starts_with("GB") && grouped.contains(" TEST 0000 00"),
        "{grouped}"
    );
}

/// Reckoned otherwise than the code does: as one long number.
fn remainder_of_iban(iban: &str) -> u32 {
    let moved = format!("{}{}", &iban[4..], &iban[..4]);
    let digits: String = moved
        .chars()
        .map(|char| char.to_digit(36).expect("a letter or digit").to_string())
        .collect();
    digits
        .bytes()
        .fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97)
}

#[test]
fn made_up_data_fits_its_column_and_unique_data_stays_apart() {
    for what in ALL_FAKES {
        for unique in [false, true] {
            let transformer = Transformer::Fake {
                what,
                locale: Some(Locale::De),
                unique,
            };
            for room in (1..70).rev() {
                if fits(&transformer, "character varying", Some(room)).is_err() {
                    continue;
                }
                let mask = PlannedMask {
                    max_chars: Some(room),
                    ..planned(transformer.clone(), "character varying")
                };
                let mask = prepare("secret", &mask);
                let mut seen = HashMap::new();
                for value in [
                    "Anna Schmidt",
                    "b@c.de",
                    "+49 30 1234567",
                    "fe80::1/64",
                    "ÄÖ",
                ] {
                    let masked = apply(&mask, value).expect("changed");
                    assert!(
                        masked.chars().count() <= usize::try_from(room).expect("room"),
                        "{what:?} {room}: {masked}"
                    );
                    assert_eq!(masked.trim(), masked);
                    let before = seen.insert(masked, value);
                    assert!(before.is_none() || !unique, "{what:?} {room}");
                }
            }
        }
    }
}

#[test]
fn made_up_names_of_a_citext_are_never_the_same_name() {
    use ::fake::locales::{Data, EN};
    for key in ["a", "b", "c", "d"] {
        let mask = prepare(key, &planned(fake(Fake::FirstName), "extensions.citext"));
        for name in EN::NAME_FIRST_NAME {
            let masked = apply(&mask, name).expect("changed");
            assert!(!masked.eq_ignore_ascii_case(name), "{masked} for {name}");
        }
    }
}

#[test]
fn a_mask_of_a_network_is_kept_and_no_number_that_looks_like_one() {
    let ip = |value| masked(fake(Fake::Ip), "text", value);
    for value in [
        "030/1234567",
        "n/24",
        "1.2.3.4/491701234",
        "1.2.3.4/33",
        "fe80::1/129",
    ] {
        assert!(!ip(value).contains('/'), "{value}");
    }
    assert!(ip("1.2.3.4/24").ends_with("/24"));
    assert!(ip("fe80::1/64").ends_with("/64"));
}
