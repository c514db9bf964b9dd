//! What is noted is held, however it is spelled, and nothing else is.

use towpath_model::QualifiedName;
use towpath_model::masking::Transformer;

use super::*;

fn table(name: &str) -> TableId {
    TableId::of(&QualifiedName::new("public", name))
}

fn noted(values: &[&str]) -> Originals {
    let originals = Originals::new(100, 0);
    values.iter().for_each(|value| originals.note_value(value));
    originals
}

#[test]
fn what_was_noted_is_held_however_it_is_spelled() {
    let originals = noted(&[
        "Erika.Muster@posteo.de",
        "+49 (30) 901-82 01",
        "DE89 3704 0044 0532 0130 00",
        "Erika von Muster",
        "8.8.4.4",
        "7F3C0D7E-3B1A-4C57-9A53-0B7E3A0C9D11",
        "sk_prod_51HxyzABCDEF",
        "She called twice about the leak in her flat",
    ]);
    for same in [
        "erika.muster@POSTEO.de ",
        "0049 30 9018201",
        "DE89370400440532013000",
        "ERIKA VON  MUSTER",
        "8.8.4.4/32",
        "7f3c0d7e-3b1a-4c57-9a53-0b7e3a0c9d11",
        "SK_prod_51hxyzabcdef",
        "she called twice about the leak in her flat",
    ] {
        assert!(originals.holds_value(same), "{same}");
    }
    for other in [
        "erika.muster@posteo.org",
        "+49 30 9018202",
        "DE89370400440532013001",
        "Erika von Mustermann",
        "8.8.8.8",
        "7f3c0d7e-3b1a-4c57-9a53-0b7e3a0c9d12",
    ] {
        assert!(!originals.holds_value(other), "{other}");
    }
}

#[test]
fn what_is_within_a_value_is_found_again() {
    let originals = noted(&["write to Erika.Muster@posteo.de, or call +49 30 9018201 later"]);
    for text in [
        "erika.muster@posteo.de",
        r#"{"mail": "ERIKA.MUSTER@posteo.de"}"#,
        "her number is 0049 30 9018201",
    ] {
        assert!(originals.holds_value(text), "{text}");
    }
    let mails = Originals::new(9, 0);
    let json = r#"{"mail": "erika.muster@posteo.de", "about": "I like long walks by night"}"#;
    mails.note_what(Tells::Mails, json);
    assert!(mails.holds_value("erika.muster@posteo.de"));
    assert!(!mails.holds_value(r#""I like long walks by night""#));
    mails.note_what(Tells::Nothing, "other@posteo.de");
    assert!(!mails.holds_value("other@posteo.de"));
}

#[test]
fn what_stands_among_others_of_its_kind_is_found() {
    let originals = noted(&["Erika.Muster@posteo.de", "+49 30 9018201", "0170 7654321"]);
    for text in [
        "max@posteo.de,erika.muster@posteo.de",
        "max@posteo.de;erika.muster@posteo.de;",
        "<erika.muster@posteo.de>",
        "mailto:Erika.Muster@posteo.de",
        "user/erika.muster@posteo.de/avatar-2.png",
        "login:erika.muster@posteo.de:2024",
        "erika.muster@posteo.de.",
        "030 9018299 / 0049 30 9018201",
        "0170 7654321 / 030 1234567",
    ] {
        assert!(originals.holds_value(text), "{text}");
    }
    // And the other way round: a list is noted as what is in it.
    let lists = noted(&[
        "max@posteo.de,erika.muster@posteo.de",
        "030 9018299 / 0170 7654321",
    ]);
    for text in ["erika.muster@posteo.de", "030 9018299", "0170 7654321"] {
        assert!(lists.holds_value(text), "{text}");
    }
}

#[test]
fn what_masks_make_by_chance_is_told_by_what_it_looks_like() {
    let json = |rest, with: serde_json::Value| -> Transformer {
        let rules = serde_json::json!([{"path": "a", "with": with["with"], "what": with["what"]}]);
        let all = serde_json::json!({"with": "json", "rest": rest, "rules": rules});
        serde_json::from_value(all).unwrap()
    };
    let name = json(
        "redact",
        serde_json::json!({"with": "fake", "what": "name"}),
    );
    assert!(may_meet_by_chance(&name, Looks::Name));
    let email = json(
        "redact",
        serde_json::json!({"with": "fake", "what": "email"}),
    );
    assert!(!may_meet_by_chance(&email, Looks::Name));
    // A number under the rule becomes another number.
    assert!(may_meet_by_chance(&email, Looks::Number));
    assert!(!may_meet_by_chance(&email, Looks::Email));
    // Numbers of a rest that is redacted become others, too.
    let no_rules = |rest: &str| -> Transformer {
        serde_json::from_value(serde_json::json!({"with": "json", "rest": rest, "rules": []}))
            .unwrap()
    };
    assert!(may_meet_by_chance(&no_rules("redact"), Looks::Number));
    assert!(!may_meet_by_chance(&no_rules("keep"), Looks::Number));
    let scrub = |columns: &[&str]| Transformer::Scrub {
        columns: columns.iter().map(|it| (*it).to_owned()).collect(),
    };
    assert!(may_meet_by_chance(&scrub(&[]), Looks::Number));
    assert!(!may_meet_by_chance(&scrub(&[]), Looks::Name));
    assert!(may_meet_by_chance(&scrub(&["full_name"]), Looks::Name));
    assert!(!may_meet_by_chance(&scrub(&["full_name"]), Looks::Email));
}

#[test]
fn what_tells_of_nobody_is_not_noted() {
    let plain = [
        "",
        "yes",
        "Berlin",
        "12345",
        "123456789",
        "-12345678.90",
        "123456789.01",
        "2024-02-29",
        "2024-02-29 10:11:12.123456+00",
        "2024-02-29T10:11:12Z",
        "127.0.0.1",
        "192.168.0.17",
        "10.0.0.0/8",
        "000 000 000 000",
        "192.0.2.9",
        "::1",
        "fe80::1",
        "2001:db8::7",
        "true",
        "in review",
        "not paid yet",
        "00000000-0000-0000-0000-000000000000",
        "[]",
        "{}",
        "null",
        "paid in full",
    ];
    let originals = noted(&plain);
    assert_eq!(originals.noted(), 0);
    for value in plain {
        assert!(!originals.holds_value(value), "{value}");
    }
}

#[test]
fn another_process_would_note_other_hashes() {
    let (one, other) = (noted(&["someone@posteo.de"]), noted(&["someone@posteo.de"]));
    assert!(one.holds_value("someone@posteo.de") && other.holds_value("someone@posteo.de"));
    let of = |it: &Originals| it.of_values.hash_one("someone@posteo.de");
    assert!(one.held.holds(of(&one)) && !one.held.holds(of(&other)));
}

#[test]
fn cells_are_those_of_their_row_and_column() {
    let originals = Originals::new(10, 10);
    let row = |key: &[&str]| originals.row(key).expect("of few rows all are looked at");
    let (abc, other_row) = (row(&["a", "bc"]), row(&["ab", "c"]));
    let (table, other) = (table("t"), table("u"));
    originals.note_cell(originals.column(&table, "city"), abc, b"Ulm");
    let holds = |table, column, row, value: &str| {
        originals.holds_cell(originals.column(table, column), row, value.as_bytes())
    };
    assert!(holds(&table, "city", abc, "Ulm"));
    assert!(!holds(&table, "city", other_row, "Ulm"));
    assert!(!holds(&table, "town", abc, "Ulm"));
    assert!(!holds(&other, "city", abc, "Ulm"));
    assert!(!holds(&table, "city", abc, "Bonn"));
    assert!(!originals.holds_value("Ulm"));
}

#[test]
fn of_very_many_cells_the_same_rows_are_chosen_on_both_sides() {
    let originals = Originals::new(0, 8 * CELLS);
    assert_eq!(originals.rows_apart(), 8);
    let column = originals.column(&table("t"), "c");
    let chosen = |no: u32| originals.row([no.to_be_bytes()]);
    let rows = || (0..8000).filter_map(chosen);
    rows().for_each(|row| originals.note_cell(column, row, b"value"));
    assert!(rows().all(|row| originals.holds_cell(column, row, b"value")));
    let held = rows().count();
    assert!((800..1200).contains(&held), "{held} of 8000");
    assert_eq!(originals.noted(), held as u64);
}

#[test]
fn size_has_a_floor_and_follows_what_is_expected() {
    let bytes = |values| {
        let originals = Originals::new(values, 0);
        originals.note_value("someone@posteo.de");
        originals.held.bytes()
    };
    assert_eq!(bytes(0), 1 << 20);
    assert_eq!(bytes(1_000_000), 6_000_000);
}

#[test]
fn nothing_else_is_held() {
    let originals = Originals::new(0, 0);
    let address = |no: u32| format!("mail{no}@posteo.de");
    (0..50_000).for_each(|no| originals.note_value(&address(no)));
    assert!((0..50_000).all(|no| originals.holds_value(&address(no))));
    assert!(!(50_000..100_000).any(|no| originals.holds_value(&address(no))));
    assert_eq!((originals.noted(), originals.refused()), (50_000, 0));
    let chance = originals.false_positive();
    assert!(chance > 0.0 && chance < 1e-14, "{chance}");
}

#[test]
fn chunks_are_seen_when_they_were_told() {
    let originals = noted(&[]);
    let chunk = |no| ChunkId {
        table: table("t"),
        no,
    };
    originals.note_chunk(&chunk(1));
    assert!(originals.has_seen(&chunk(1)) && !originals.has_seen(&chunk(2)));
}
