//! Numbers, dates and positions.

use super::*;

#[test]
fn dates_of_one_subject_move_together_and_never_stay() {
    let transformer = Transformer::DateShift {
        max_days: 3,
        subject: Some("owner".to_owned()),
    };
    let date = prepare("secret", &planned(transformer.clone(), "date"));
    let moment = prepare("secret", &planned(transformer, "timestamp with time zone"));
    let day_of = |text: &str| {
        let (year, month, day, _) = crate::codec::calendar::read_date(text).expect("a date");
        crate::codec::calendar::day_of(year, month, day)
    };
    let mut shifts = std::collections::BTreeSet::new();
    for owner in [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
    ] {
        let row = Row(Some(owner));
        let (mut first, mut second) = (String::new(), String::new());
        date.apply("2024-02-28", &row, &mut first).expect("apply");
        moment
            .apply("2024-03-01 10:11:12.5+00", &row, &mut second)
            .expect("apply");
        let shift = day_of(&first) - day_of("2024-02-28");
        assert_eq!(day_of(&second) - day_of("2024-03-01"), shift);
        assert!(second.ends_with(" 10:11:12.5+00"));
        assert!((1..=3).contains(&shift.abs()));
        shifts.insert(shift);
    }
    assert!(shifts.len() > 3, "{shifts:?}");
    let mut out = String::new();
    assert_eq!(
        date.apply("infinity", &Row(None), &mut out).expect("apply"),
        Masked::Empty
    );
}

#[test]
fn noise_stays_within_its_bounds() {
    let noise = |percent, min, max| Transformer::Noise { percent, min, max };
    for at in 1..300 {
        let value = (at * 97).to_string();
        let masked = masked(noise(10.0, Some(0.0), Some(9_000.5)), "integer", &value);
        let (before, after): (i64, i64) =
            (value.parse().expect("int"), masked.parse().expect("int"));
        assert!((0..=9_000).contains(&after), "{masked}");
        assert!(
            (before - after).abs() <= before / 10 + 1 || before > 9_000,
            "{before} {after}"
        );
    }
    assert_eq!(
        masked(noise(10.0, Some(5.0), None), "numeric(4,2)", "5.00").len(),
        4
    );
    assert_eq!(masked(noise(0.0001, Some(7.0), None), "smallint", "7"), "8");
    assert_eq!(
        masked(noise(0.0001, None, None), "smallint", "32767"),
        "32766"
    );
    assert_eq!(
        masked(noise(0.0001, None, None), "numeric(3,1)", "-99.9"),
        "-99.8"
    );
    let only = prepare(
        "secret",
        &planned(noise(10.0, Some(7.0), Some(7.0)), "integer"),
    );
    assert_eq!(apply(&only, "9").as_deref(), Some("7"));
    let numeric = prepare("secret", &planned(noise(10.0, None, None), "numeric"));
    assert_eq!(apply(&numeric, "NaN"), None);
    assert_eq!(apply(&numeric, "Infinity"), None);
}

#[test]
fn coordinates_lose_decimals_and_print_as_their_type_does() {
    let cut = |base_type, value| {
        let transformer = Transformer::Coordinates { decimals: 2 };
        apply(&prepare("secret", &planned(transformer, base_type)), value)
    };
    assert_eq!(
        cut("point", "(52.520008,13.404954)").as_deref(),
        Some("(52.52,13.4)")
    );
    assert_eq!(cut("point", "(-0.001,1.5e-07)").as_deref(), Some("(-0,0)"));
    assert_eq!(
        cut("numeric(9,6)", "52.529999").as_deref(),
        Some("52.520000")
    );
    assert_eq!(
        cut("numeric(9,6)", "-0.001000").as_deref(),
        Some("0.000000")
    );
    assert_eq!(cut("double precision", "52.501").as_deref(), Some("52.5"));
    assert_eq!(
        cut("text", "52.520008, -13.404954").as_deref(),
        Some("52.52, -13.40")
    );
    assert_eq!(cut("text", "52.52"), None);
}

#[test]
fn a_text_that_cannot_be_cut_keeps_its_shape_alone() {
    let cut = |value| {
        let transformer = Transformer::Coordinates { decimals: 1 };
        apply(&prepare("secret", &planned(transformer, "text")), value)
    };
    for value in [
        "Berlin",
        "Hauptstraße 12",
        "52.520008 Anna",
        "52,520008; 13,404954",
        "52,520",
        "525200080",
        "52°31'12\"N 13°24'18\"E",
        "u33dc0",
    ] {
        let cut = cut(value).unwrap_or_else(|| panic!("{value} is left"));
        let kept = cut
            .chars()
            .zip(value.chars())
            .filter(|(after, before)| after == before && before.is_alphanumeric());
        assert!(kept.count() < value.chars().count() / 2, "{value}: {cut}");
    }
    for (value, expected) in [
        (
            "SRID=4326;POINT(13.404954 52.520008)",
            "SRID=4326;POINT(13.4 52.5)",
        ),
        (
            "{\"lat\": 52.520008, \"lng\": -13.404954}",
            "{\"lat\": 52.5, \"lng\": -13.4}",
        ),
        ("52.520008° N, 13.404954° E", "52.5° N, 13.4° E"),
        ("13.404954E52.520008N", "13.4E52.5N"),
        ("1.5e-05,120.25", "0.0,120.2"),
    ] {
        assert_eq!(cut(value).as_deref(), Some(expected));
    }
    for value in ["", "52.5", "(52, 13)"] {
        assert_eq!(cut(value), None, "{value}");
    }
}

#[test]
fn integers_stay_within_their_type_and_apart() {
    for (base_type, from, to) in [("smallint", -32768, -32000), ("smallint", 31000, 32767)] {
        let mask = prepare("secret", &planned(shape(), base_type));
        let mut seen = HashMap::new();
        for number in from..=to {
            let text = number.to_string();
            let masked = apply(&mask, &text).expect("changed");
            let value: i16 = masked.parse().expect("a smallint");
            assert_eq!(value < 0, number < 0);
            assert_eq!(seen.insert(masked, number), None);
        }
    }
}

#[test]
fn a_date_within_a_text_is_no_date() {
    let shift = Transformer::DateShift {
        max_days: 30,
        subject: None,
    };
    let of_text = |value: &str| masked(shift.clone(), "text", value);
    assert!(!of_text("2001-02-03 Anna").contains("Anna"));
    assert!(!of_text("03.02.2001 Anna").contains("Anna"));
    for (value, kept) in [
        ("2001-02-03 1701234567", "1701234567"),
        ("2001-02-03+491701234567", "491701234567"),
        ("01.02.2000 - 03.04.1990", "03.04.1990"),
        ("15.06.2001 12.05.1960", "12.05.1960"),
        ("2001-02-03 10:11:12 17", "17"),
        ("2001-02-03 49:17:01.2345", "49:17"),
        ("2001-02-03 10:11:12.4917012345", "4917012345"),
        ("99999999999999999-01-01", "99999999999999999"),
    ] {
        let masked = of_text(value);
        assert!(!masked.contains(kept), "{value}: {masked}");
    }
    for time in [
        "T10:11:12Z",
        " 10:11",
        " 10:11:12.123456789",
        " 10:11:12+02",
        " 24:00:00 -08:00",
        "T10:11:12.5+0530",
        " 10:11:12 BC",
        "",
    ] {
        let masked = of_text(&format!("2001-02-03{time}"));
        assert!(masked.ends_with(time), "{time}: {masked}");
        let days = crate::codec::calendar::read_date(&masked);
        assert!(days.is_some(), "{masked} is no date");
    }
    assert!(of_text("15.06.2001").ends_with(".2001"));
}

#[test]
fn dates_stay_in_years_of_as_many_digits() {
    // Never and for ever, as applications write them, and as most of them can read them.
    for at in 0..40 {
        let transformer = Transformer::DateShift {
            max_days: 400,
            subject: None,
        };
        let mask = prepare(&at.to_string(), &planned(transformer, "text"));
        for value in [
            "9999-12-31",
            "0001-01-01",
            "0001-01-01 00:00:00",
            "31.12.9999",
        ] {
            let masked = apply(&mask, value).expect("it moves");
            assert_eq!(masked.len(), value.len(), "{value}: {masked}");
        }
    }
}

#[test]
fn no_date_is_left_for_want_of_room_in_the_calendar() {
    let shift = |max_days| Transformer::DateShift {
        max_days,
        subject: None,
    };
    assert!(fits(&shift(365_000), "date", None).is_ok());
    for max_days in [0, 365_001, u32::MAX] {
        assert!(fits(&shift(max_days), "date", None).is_err());
        for base_type in ["date", "timestamp without time zone"] {
            let mask = prepare("secret", &planned(shift(max_days), base_type));
            for value in [
                "2000-01-01",
                "0001-01-01",
                "9999-12-31",
                "4714-11-24 BC",
                "294276-12-31",
            ] {
                let value = match base_type {
                    "date" => value.to_owned(),
                    _ => match value.strip_suffix(" BC") {
                        Some(day) => format!("{day} 00:00:00 BC"),
                        None => format!("{value} 00:00:00"),
                    },
                };
                assert!(
                    apply(&mask, &value).is_some(),
                    "{max_days} {base_type} {value}"
                );
            }
        }
    }
}

#[test]
fn a_subject_is_one_however_its_column_pads_or_writes_it() {
    let transformer = Transformer::DateShift {
        max_days: 300,
        subject: Some("owner".to_owned()),
    };
    let shifted = |base_type: &str, owner| {
        let mask = PlannedMask {
            reads: [("owner".to_owned(), base_type.to_owned())].into(),
            ..planned(transformer.clone(), "date")
        };
        let mut out = String::new();
        let what = prepare("secret", &mask).apply("2000-01-01", &Row(Some(owner)), &mut out);
        assert_eq!(what.expect("apply"), Masked::Value);
        out
    };
    let plain = shifted("text", "ab");
    assert_eq!(shifted("character(5)", "ab   "), plain);
    assert_eq!(shifted("extensions.citext", "aB"), plain);
    assert_ne!(shifted("text", "ab   "), plain);
}

#[test]
fn noise_refuses_bounds_that_leave_no_choice_and_lets_no_number_through() {
    let noise = |min, max| Transformer::Noise {
        percent: 10.0,
        min,
        max,
    };
    for (base_type, min, max) in [
        ("integer", Some(0.2), Some(0.8)),
        ("integer", Some(6.5), Some(7.5)),
        ("smallint", Some(100_000.0), None),
        ("smallint", None, Some(-32_768.0)),
        ("oid", None, Some(-1.0)),
        ("numeric(3,1)", Some(99.9), None),
        ("numeric(5,0)", Some(1.1), Some(1.9)),
        ("numeric", Some(7.0), Some(7.0)),
    ] {
        assert!(
            fits(&noise(min, max), base_type, None).is_err(),
            "{base_type}"
        );
    }
    for (base_type, min, max) in [
        ("integer", Some(0.0), Some(1.0)),
        ("numeric(3,1)", Some(0.2), Some(0.8)),
        ("numeric", Some(0.2), Some(0.8)),
        ("double precision", Some(0.2), Some(0.8)),
    ] {
        assert!(
            fits(&noise(min, max), base_type, None).is_ok(),
            "{base_type}"
        );
    }
    // The scale of `numeric` is the value's, so only a value tells.
    for (base_type, min, max, value) in [
        ("numeric", 0.2, 0.8, "7"),
        ("numeric", 7.0, 7.4, "7"),
        ("integer", 7.0, 7.0, "7"),
        ("real", 1.5, 1.500_000_01, "1.5"),
        ("numeric[]", 0.2, 0.8, "{0.55,7}"),
    ] {
        let mask = prepare("secret", &planned(noise(Some(min), Some(max)), base_type));
        let masked = mask.apply(value, &Row(None), &mut String::new());
        let failure = masked.expect_err("it is left as it is");
        assert!(!failure.to_string().contains(value), "{failure}");
    }
    let long = "1234567890123456789012345678.50";
    let bounded = prepare(
        "secret",
        &planned(noise(None, Some(1000.0)), "numeric(40,2)"),
    );
    assert_eq!(apply(&bounded, long).as_deref(), Some("1000.00"));
}

fn changes(transformer: &Transformer, base_type: &str, value: &str) {
    let Ok(()) = fits(transformer, base_type, None) else {
        return;
    };
    let mask = prepare("secret", &planned(transformer.clone(), base_type));
    let masked = apply(&mask, value).unwrap_or_else(|| panic!("{base_type} {value} is left"));
    assert_ne!(masked, value);
    let codec = Codec::of(Format::Binary, base_type).expect("a codec");
    let mut bytes = Vec::new();
    let encoded = codec.encode(&masked, &mut bytes);
    encoded.unwrap_or_else(|_| panic!("{base_type} {value}: {masked}"));
    assert_eq!(codec.decode(&bytes).expect("decode"), masked, "{value}");
    if let Type::Numeric(Some((precision, scale))) = Type::of(base_type).0 {
        let digits = masked.trim_start_matches(['-', '0', '.']);
        let digits = digits.bytes().filter(u8::is_ascii_digit).count();
        let decimals = masked
            .split_once('.')
            .map_or(0, |(_, decimals)| decimals.len());
        assert!(
            digits <= usize::try_from(precision).expect("precision"),
            "{masked}"
        );
        assert_eq!(decimals, usize::try_from(scale).expect("scale"), "{masked}");
    }
}

fn printed(base_type: &str, bytes: &[u8]) -> String {
    let codec = Codec::of(Format::Binary, base_type).expect("a codec");
    codec.decode(bytes).expect("decode").into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_number_and_every_day_becomes_another_of_its_type(
        small in any::<i16>(),
        number in any::<i32>(),
        great in any::<i64>(),
        real in any::<f32>(),
        double in any::<f64>(),
        unscaled in -99_999_i32..=99_999,
        long in "-?[1-9][0-9]{0,60}(\\.[0-9]{1,40})?",
        day in -2_451_545_i32..2_145_031_949,
        moment in -211_813_488_000_000_000_i64..9_223_371_331_200_000_000,
        percent in prop_oneof![Just(1e-9), 0.01..200.0, Just(10_000.0)],
        max_days in prop_oneof![1_u32..500, Just(365_000)],
    ) {
        let noise = Transformer::Noise { percent, min: None, max: None };
        for transformer in [&noise, &shape()] {
            changes(transformer, "smallint", &small.to_string());
            changes(transformer, "integer", &number.to_string());
            changes(transformer, "bigint", &great.to_string());
            changes(transformer, "oid", &number.unsigned_abs().to_string());
            changes(transformer, "numeric", &long);
            let sign = if unscaled < 0 { "-" } else { "" };
            let digits = unscaled.unsigned_abs();
            changes(transformer, "numeric(5,2)", &format!("{sign}{}.{:02}", digits / 100, digits % 100));
            changes(transformer, "numeric(5,5)", &format!("{sign}0.{digits:05}"));
            changes(transformer, "numeric(5,0)", &unscaled.to_string());
        }
        if real.is_finite() {
            changes(&noise, "real", &printed("real", &real.to_be_bytes()));
        }
        if double.is_finite() {
            changes(&noise, "double precision", &printed("double precision", &double.to_be_bytes()));
        }
        let shift = Transformer::DateShift { max_days, subject: None };
        changes(&shift, "date", &printed("date", &day.to_be_bytes()));
        for base_type in ["timestamp without time zone", "timestamp with time zone"] {
            changes(&shift, base_type, &printed(base_type, &moment.to_be_bytes()));
        }
    }
}
