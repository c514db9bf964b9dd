use super::*;

fn only(text: &str) -> Vec<(Kind, &str)> {
    find(text)
        .into_iter()
        .map(|(kind, range)| (kind, &text[range]))
        .collect()
}

#[test]
fn what_is_somebodys_is_found_to_the_byte() {
    // Made up; IBANs and cards are the examples of their registries and issuers.
    let table: &[(&str, &[(Kind, &str)])] = &[
        (
            "write to Ada.Lovelace+x@example.co.uk.",
            &[(Kind::Email, "Ada.Lovelace+x@example.co.uk")],
        ),
        (
            "„jörg@bücher.example“",
            &[(Kind::Email, "jörg@bücher.example")],
        ),
        (
            "<o'brien@example.org>,a_b@example.com;",
            &[
                (Kind::Email, "o'brien@example.org"),
                (Kind::Email, "a_b@example.com"),
            ],
        ),
        (
            "https://x.example/?mail=ada%40example.com&a=1",
            &[(Kind::Email, "ada%40example.com")],
        ),
        (
            "{\"mail\":\"ada@example.com\"}",
            &[(Kind::Email, "ada@example.com")],
        ),
        ("+49 170 1234567", &[(Kind::Phone, "+49 170 1234567")]),
        ("+491701234567", &[(Kind::Phone, "+491701234567")]),
        ("tel:+1-212-555-0123;", &[(Kind::Phone, "+1-212-555-0123")]),
        ("+49 (0) 30 123456", &[(Kind::Phone, "+49 (0) 30 123456")]),
        ("+49(0)30-123456.", &[(Kind::Phone, "+49(0)30-123456")]),
        (
            "call (212) 555-0123 now",
            &[(Kind::Phone, "(212) 555-0123")],
        ),
        ("212.555.0123", &[(Kind::Phone, "212.555.0123")]),
        ("1-212-555-0123", &[(Kind::Phone, "1-212-555-0123")]),
        ("0170/1234567", &[(Kind::Phone, "0170/1234567")]),
        ("0170 / 1234567", &[(Kind::Phone, "0170 / 1234567")]),
        (
            "Tel. (030) 123456-78, Fax 030 123456-79",
            &[
                (Kind::Phone, "(030) 123456-78"),
                (Kind::Phone, "030 123456-79"),
            ],
        ),
        ("020 7946 0123", &[(Kind::Phone, "020 7946 0123")]),
        ("06 12 34 56 78", &[(Kind::Phone, "06 12 34 56 78")]),
        ("0049 30 123456", &[(Kind::Phone, "0049 30 123456")]),
        (
            "on 2024-01-05 0170 1234567 rang",
            &[(Kind::Phone, "0170 1234567")],
        ),
        (
            "DE89370400440532013000",
            &[(Kind::Account, "DE89370400440532013000")],
        ),
        (
            "IBAN: DE89 3704 0044 0532 0130 00 bei",
            &[(Kind::Account, "DE89 3704 0044 0532 0130 00")],
        ),
        (
            "gb29nwbk60161331926819",
            &[(Kind::Account, "gb29nwbk60161331926819")],
        ),
        (
            "paid by 4242 4242 4242 4242",
            &[(Kind::Account, "4242 4242 4242 4242")],
        ),
        ("378282246310005", &[(Kind::Account, "378282246310005")]),
        ("ssn 219-09-9999", &[(Kind::Account, "219-09-9999")]),
        ("from 203.0.113.7:443", &[(Kind::Ip, "203.0.113.7")]),
        (
            "203.0.113.7/32, 10.1.2.3",
            &[(Kind::Ip, "203.0.113.7"), (Kind::Ip, "10.1.2.3")],
        ),
        ("1.2.3.4", &[(Kind::Ip, "1.2.3.4")]),
        ("8.8.8.8.", &[(Kind::Ip, "8.8.8.8")]),
        ("2001:db8::1", &[(Kind::Ip, "2001:db8::1")]),
        (
            "at 2001:db8:0:0:1:0:0:1.",
            &[(Kind::Ip, "2001:db8:0:0:1:0:0:1")],
        ),
        ("00:1b:44:11:3a:b7", &[(Kind::Device, "00:1b:44:11:3a:b7")]),
        ("00-1B-44-11-3A-B7", &[(Kind::Device, "00-1B-44-11-3A-B7")]),
        (
            "key=sk_live_abcdefghij0123456789;",
            &[(Kind::Secret, "sk_live_abcdefghij0123456789")],
        ),
        (
            "äsb_secret_abcdefghij0123",
            &[(Kind::Secret, "sb_secret_abcdefghij0123")],
        ),
        (
            "AKIAABCDEFGHIJKLMNOP is it",
            &[(Kind::Secret, "AKIAABCDEFGHIJKLMNOP")],
        ),
        (
            "postgres://app:hunter2@db.example.com/x",
            &[(Kind::Secret, "postgres://app:hunter2@")],
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(&only(text), wanted, "{text}");
    }
}

#[test]
fn long_lists_are_read_in_one_go() {
    // Whoever looks through all that was found, or to the end of the text, for each: minutes.
    let mails: String = (0..40_000)
        .map(|no| format!("p{no}@example.org,"))
        .collect();
    assert_eq!(find(&mails).len(), 40_000);
    assert_eq!(find(&format!("1234 {}", "(".repeat(400_000))), []);
    let phones = "+4917012345678\n".repeat(20_000);
    assert_eq!(find(&phones).len(), 20_000);
}

#[test]
fn private_keys_are_found_whole() {
    let text = "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- b";
    let wanted = text.strip_prefix("a ").unwrap().strip_suffix(" b").unwrap();
    assert_eq!(only(text), [(Kind::Secret, wanted)]);
    assert_eq!(only("-----BEGIN PRIVATE KEY-----\nMII").len(), 1);
}

#[test]
fn what_is_nobodys_is_left_alone() {
    let table = [
        "",
        "@",
        "a@b",
        "@ada",
        "ada@",
        "logo@2x.png",
        "react@18.2.0",
        "git@github.com:acme/app.git",
        "2024-01-05",
        "2024-01-05 10:20:30.123456+00",
        "2024-01-05T10:20:30Z",
        "05.01.2024",
        "05/01/2024 08:30 - 10:00",
        "20240105102030",
        "01234567890",
        "1234567890",
        "1700000000000",
        "978-3-16-148410-0",
        "0-306-40615-2",
        "ISBN 0 306 40615 2",
        "018f4e2a-7c1d-7b3a-9f21-0a1b2c3d4e5f",
        "12345678-1234-1234-1234-123456789012",
        "ORD-2024-000123",
        "INV-0012-3456-7890",
        "52.520008, 13.404954",
        "0.123456789",
        "-12.50",
        "1,234,567.89",
        "1.234.567,89",
        "1.2.3",
        "v1.2.3.4",
        "10.0.0.0",
        "127.0.0.1",
        "1.2.3.4-beta",
        "1.2.3.4.5",
        "999.1.2.3",
        "12:34:56",
        "std::vector",
        "cafe::bad",
        "::1",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "DE89370400440532013001",
        "4242424242424241",
        "0000000000000000",
        "UTC+0100",
        "x+4917012345678",
        "00:00:00:00:00:00",
        "#ff00aa",
        "1/2",
        "A5 148 x 210",
        "sk-",
        "the quick brown fox jumps over the lazy dog",
        "100 200 300 400",
    ];
    for text in table {
        assert_eq!(only(text), [], "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn ranges_are_ordered_and_between_characters(text in "[ab@.ä%40+()0-9:/ -]{0,60}|\\PC{0,60}") {
        let mut end = 0;
        for (_, range) in find(&text) {
            proptest::prop_assert!(end <= range.start && range.start < range.end);
            proptest::prop_assert!(text.get(range.clone()).is_some());
            end = range.end;
        }
    }
}
