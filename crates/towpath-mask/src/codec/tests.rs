use proptest::prelude::*;
use towpath_model::plan::Format;

use super::*;

/// Texts as PostgreSQL prints them; each must come back as it was. Against a server they are tried
/// by the integration tests.
const PRINTED: &[(&str, &[&str])] = &[
    ("text", &["", "a", "Grüße, 世界", "\"quoted\"\n"]),
    ("character(4)", &["ab  "]),
    ("\"char\"", &["", "a", "\\377"]),
    ("boolean", &["t", "f"]),
    ("bytea", &["\\x", "\\x00ff10"]),
    (
        "uuid",
        &[
            "00000000-0000-0000-0000-000000000000",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ],
    ),
    ("smallint", &["-32768", "0", "32767"]),
    ("integer", &["-2147483648", "7"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    (
        "real",
        &[
            "0",
            "-0",
            "1.5",
            "1e+06",
            "999999",
            "1e-05",
            "0.0001",
            "3.4028235e+38",
            "NaN",
            "-Infinity",
        ],
    ),
    (
        "double precision",
        &[
            "0",
            "-0",
            "0.1",
            "123456.789",
            "100000000000000",
            "1e+15",
            "1.2345678901234568e+17",
            "1e-05",
            "0.00012",
            "5e-324",
            "1.7976931348623157e+308",
            "Infinity",
            "NaN",
            "42",
        ],
    ),
    (
        "numeric",
        &[
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "100000000",
            "0.0001",
            "0.00001",
            "12345.678900",
            "-99999999999999999999999999.000000000000001",
            "NaN",
            "Infinity",
            "-Infinity",
            "1000000000000000000000000000000",
        ],
    ),
    (
        "date",
        &[
            "2000-01-01",
            "0001-12-31 BC",
            "5874897-12-31",
            "infinity",
            "-infinity",
            "4714-11-24 BC",
        ],
    ),
    (
        "timestamp without time zone",
        &[
            "2026-01-01 00:00:00",
            "1999-12-31 23:59:59.999999",
            "0001-01-01 00:00:00 BC",
            "infinity",
        ],
    ),
    (
        "timestamp(3) with time zone",
        &[
            "2026-01-01 00:00:00+00",
            "0044-03-15 12:30:00.5+00 BC",
            "294276-12-31 23:59:59.999999+00",
        ],
    ),
    (
        "time without time zone",
        &["00:00:00", "24:00:00", "12:34:56.000001"],
    ),
    (
        "time with time zone",
        &[
            "00:00:00+00",
            "12:34:56.7+05:30",
            "01:00:00-08",
            "01:00:00+00:00:01",
        ],
    ),
    ("json", &["{\"a\": 1}"]),
    ("jsonb", &["{\"a\": 1}"]),
    (
        "inet",
        &[
            "192.168.0.1",
            "10.0.0.0/8",
            "::1",
            "2001:db8::1/64",
            "::ffff:1.2.3.4",
            "1:0:0:2::",
            "::",
        ],
    ),
    ("cidr", &["192.168.0.0/24", "10.1.2.3/32", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:ff:fe:01:02:03"]),
    ("point", &["(1,2)", "(-0.5,1e+20)"]),
    ("enum", &["happy"]),
    (
        "text[]",
        &[
            "{}",
            "{a,NULL,\"NULL\",\"\",\"a b\"}",
            "{{a,b},{c,d}}",
            "[0:1]={x,y}",
            "{\"q\\\"u\\\\\"}",
        ],
    ),
    ("character varying(5)[]", &["{abc}"]),
    ("integer[]", &["{1,NULL,-3}", "{{{1}},{{2}}}"]),
    ("uuid[]", &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"]),
    (
        "timestamp without time zone[]",
        &["{\"2026-01-01 00:00:00\",NULL}"],
    ),
    ("numeric(5,2)[]", &["{1.50,NaN}"]),
];

#[test]
fn what_postgresql_prints_comes_back_as_it_was() {
    for (base_type, texts) in PRINTED {
        let codec = Codec::of(Format::Binary, base_type).expect(base_type);
        for text in *texts {
            let mut bytes = Vec::new();
            codec
                .encode(text, &mut bytes)
                .unwrap_or_else(|_| panic!("{base_type} {text}"));
            assert_eq!(codec.decode(&bytes).expect(base_type), *text, "{base_type}");
        }
    }
}

#[test]
fn what_is_not_of_a_type_is_refused_and_leaves_nothing_behind() {
    for (base_type, text) in [
        ("integer", "2147483648"),
        ("smallint", "a"),
        ("boolean", "yes"),
        ("bytea", "\\x0"),
        ("bytea", "abc"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"),
        ("numeric", "1e5"),
        ("numeric", ""),
        ("double precision", "1e999"),
        ("date", "2026-02-30"),
        ("date", "2026-01-01 00:00:00"),
        ("timestamp without time zone", "2026-01-01 25:00:00"),
        ("timestamp with time zone", "2026-01-01 00:00:00"),
        ("timestamp without time zone", "294277000-01-01 00:00:00"),
        ("inet", "1.2.3.4/33"),
        ("inet", "1.2.3"),
        ("macaddr", "08:00:2b:01:02"),
        ("point", "1,2"),
        ("integer[]", "{1,{2}}"),
        ("integer[]", "{{1},{2,3}}"),
        ("integer[]", "1"),
    ] {
        let codec = Codec::of(Format::Binary, base_type).expect(base_type);
        let mut bytes = b"before".to_vec();
        assert!(
            codec.encode(text, &mut bytes).is_err(),
            "{base_type} {text}"
        );
        assert_eq!(bytes, b"before");
    }
}

#[test]
fn damaged_bytes_are_refused_and_never_a_panic() {
    for (base_type, texts) in PRINTED {
        let codec = Codec::of(Format::Binary, base_type).expect(base_type);
        for text in *texts {
            let mut bytes = Vec::new();
            codec.encode(text, &mut bytes).expect("encode");
            for length in 0..bytes.len() {
                let _ = codec.decode(&bytes[..length]);
            }
            for at in 0..bytes.len() {
                for flip in [1, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= flip;
                    let _ = codec.decode(&damaged);
                }
            }
        }
    }
}

#[test]
fn arrays_of_dimensions_without_elements_are_refused_at_once() {
    let mut bytes = Vec::new();
    for number in [2, 0, 23, i32::MAX, 1, 0, 1] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    let codec = Codec::of(Format::Binary, "integer[]").expect("a codec");
    assert!(codec.decode(&bytes).is_err());
}

#[test]
fn types_whose_binary_form_is_not_known_have_no_codec_but_in_csv() {
    for base_type in [
        "public.citext",
        "xml",
        "interval",
        "money",
        "point[]",
        "int4range",
        "enum[]",
    ] {
        assert_eq!(Codec::of(Format::Binary, base_type), None, "{base_type}");
        assert!(Codec::of(Format::Csv, base_type).is_some());
    }
}

fn round_trip(base_type: &str, bytes: &[u8]) -> Vec<u8> {
    let codec = Codec::of(Format::Binary, base_type).expect("a codec");
    let mut again = Vec::new();
    let text = codec.decode(bytes).expect("decode").into_owned();
    codec
        .encode(&text, &mut again)
        .unwrap_or_else(|_| panic!("{base_type} {text}"));
    again
}

proptest! {
    #[test]
    fn numbers_and_moments_come_back(
        small in any::<i16>(),
        number in any::<i64>(),
        float in any::<f64>(),
        real in any::<f32>(),
        day in -2_451_545_i32..2_145_031_949,
        moment in -211_813_488_000_000_000_i64..9_223_371_331_200_000_000,
        uuid in any::<[u8; 16]>(),
        bytes in any::<Vec<u8>>(),
    ) {
        prop_assert_eq!(round_trip("smallint", &small.to_be_bytes()), small.to_be_bytes());
        prop_assert_eq!(round_trip("bigint", &number.to_be_bytes()), number.to_be_bytes());
        if !float.is_nan() {
            prop_assert_eq!(round_trip("double precision", &float.to_be_bytes()), float.to_be_bytes());
        }
        if !real.is_nan() {
            prop_assert_eq!(round_trip("real", &real.to_be_bytes()), real.to_be_bytes());
        }
        prop_assert_eq!(round_trip("date", &day.to_be_bytes()), day.to_be_bytes());
        prop_assert_eq!(round_trip("timestamp with time zone", &moment.to_be_bytes()), moment.to_be_bytes());
        prop_assert_eq!(round_trip("uuid", &uuid), uuid);
        prop_assert_eq!(round_trip("bytea", &bytes), bytes);
    }

    #[test]
    fn decimal_numbers_come_back(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?") {
        let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
        let text = if is_zero { text.trim_start_matches('-') } else { &text };
        let codec = Codec::of(Format::Binary, "numeric").expect("a codec");
        let mut bytes = Vec::new();
        codec.encode(text, &mut bytes).expect("encode");
        prop_assert_eq!(codec.decode(&bytes).expect("decode"), text);
    }

    #[test]
    fn arrays_of_any_text_come_back(elements in prop::collection::vec(any::<Option<String>>(), 0..6)) {
        let mut text = String::from("{");
        for (at, element) in elements.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            match element {
                Some(element) => crate::transform::write_element(element, &mut text),
                None => text.push_str("NULL"),
            }
        }
        text.push('}');
        let codec = Codec::of(Format::Binary, "text[]").expect("a codec");
        let mut bytes = Vec::new();
        codec.encode(&text, &mut bytes).expect("encode");
        prop_assert_eq!(codec.decode(&bytes).expect("decode"), text);
    }
}
