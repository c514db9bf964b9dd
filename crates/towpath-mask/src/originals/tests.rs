//! What is noted is held, however it is spelled, and nothing else is.

use towpath_model::QualifiedName;

use super::*;

fn key() -> MaskKey {
    MaskKey::of_secret(b"a secret")
}

fn table(name: &str) -> TableId {
    TableId::of(&QualifiedName::new("public", name))
}

fn noted(values: &[&str]) -> Originals {
    let originals = Originals::new(&key(), 100);
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
        "she called twice about the leak in her flat",
    ] {
        // A name in capitals is no name by its form, and the same text in small letters.
        let by_form = same.starts_with("ERIKA") || originals.holds_value(same);
        assert!(by_form, "{same}");
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
    let mails = Originals::new(&key(), 9);
    let json = r#"{"mail": "erika.muster@posteo.de", "about": "I like long walks by night"}"#;
    mails.note_what(Tells::Mails, json);
    assert!(mails.holds_value("erika.muster@posteo.de"));
    assert!(!mails.holds_value(r#""I like long walks by night""#));
    mails.note_what(Tells::Nothing, "other@posteo.de");
    assert!(!mails.holds_value("other@posteo.de"));
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
fn another_key_knows_nothing() {
    let (one, other) = (key(), MaskKey::of_secret(b"another"));
    let (one, other) = (Originals::new(&one, 9), Originals::new(&other, 9));
    one.note_value("someone@posteo.de");
    let words = |it: &Originals| -> Vec<u64> {
        it.words
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect()
    };
    other.note_value("someone@posteo.de");
    assert_ne!(words(&one), words(&other));
}

#[test]
fn cells_are_those_of_their_row_and_column() {
    let originals = Originals::new(&key(), 10);
    let (table, other) = (table("t"), table("u"));
    originals.note_cell(&originals.column(&table, "city"), &[b"a", b"bc"], b"Ulm");
    assert!(originals.holds_cell(&originals.column(&table, "city"), &[b"a", b"bc"], b"Ulm"));
    assert!(!originals.holds_cell(&originals.column(&table, "city"), &[b"ab", b"c"], b"Ulm"));
    assert!(!originals.holds_cell(&originals.column(&table, "town"), &[b"a", b"bc"], b"Ulm"));
    assert!(!originals.holds_cell(&originals.column(&other, "city"), &[b"a", b"bc"], b"Ulm"));
    assert!(!originals.holds_cell(&originals.column(&table, "city"), &[b"a", b"bc"], b"Bonn"));
    assert!(!originals.holds_value("Ulm"));
}

#[test]
fn of_very_many_cells_the_same_rows_are_chosen_on_both_sides() {
    let originals = Originals::of_run(&key(), 0, 8 * CELLS);
    assert_eq!(originals.rows_apart(), 8);
    let table = table("t");
    let mut held = 0u32;
    for no in 0u32..8000 {
        let key = no.to_be_bytes();
        originals.note_cell(&originals.column(&table, "c"), &[&key], b"value");
        held += u32::from(originals.holds_cell(&originals.column(&table, "c"), &[&key], b"value"));
    }
    assert!((800..1200).contains(&held), "{held} of 8000");
    assert_eq!(originals.noted(), u64::from(held));
}

#[test]
fn size_has_a_floor_and_a_cap() {
    let bytes = |values| Originals::new(&key(), values).words.len() * 8;
    assert_eq!(bytes(0), 1 << 20);
    assert_eq!(bytes(1_000_000), 6_000_128);
}

#[test]
fn the_chance_that_it_tells_is_the_chance_that_it_has() {
    // A small one, and too many values: else nothing could be counted in a test.
    let originals = Originals::sized(&key(), 1 << 14, 1);
    let many = 1u64 << 14;
    for no in 0..many {
        originals.note(&blake3::keyed_hash(&[1; 32], &no.to_le_bytes()));
    }
    let chance = originals.false_positive();
    let tries = 50_000u64;
    let wrong = (many..many + tries)
        .filter(|no| originals.holds(&blake3::keyed_hash(&[1; 32], &no.to_le_bytes())))
        .count() as f64;
    let expected = chance * tries as f64;
    assert!(chance > 0.01, "{chance}");
    assert!(
        (wrong - expected).abs() < 6.0 * expected.sqrt(),
        "{wrong}, expected {expected}"
    );
    let fresh = Originals::new(&key(), 100);
    (0..20_000u64).for_each(|no| fresh.note(&blake3::keyed_hash(&[1; 32], &no.to_le_bytes())));
    assert!(fresh.false_positive() < 1e-15);
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
