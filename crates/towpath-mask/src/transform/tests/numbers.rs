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
    assert_eq!(apply(&only, "7"), None);
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
    assert_eq!(cut("text", "Berlin"), None);
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
    let of_text = |value| masked(shift.clone(), "text", value);
    assert!(!of_text("2001-02-03 Anna").contains("Anna"));
    assert!(!of_text("03.02.2001 Anna").contains("Anna"));
    assert!(of_text("2001-02-03T10:11:12Z").ends_with("T10:11:12Z"));
    assert!(of_text("15.06.2001").ends_with(".2001"));
}
