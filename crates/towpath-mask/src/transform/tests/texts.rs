//! Free text.

use super::*;

/// A row whose every column holds this.
struct Texts(String);

impl RowText for Texts {
    fn text(&self, _column: usize) -> Result<Option<Cow<'_, str>>> {
        Ok(Some(Cow::Borrowed(&self.0)))
    }
}

#[test]
fn texts_lose_what_the_row_and_other_columns_say() {
    let transformer = Transformer::Scrub {
        columns: vec!["owner".to_owned()],
    };
    let mask = prepare("secret", &planned(transformer, "text"));
    let scrub = |owner, text: &str| {
        let mut out = String::new();
        mask.apply(text, &Row(Some(owner)), &mut out)
            .expect("apply");
        out
    };
    let name = masked(fake(Fake::Name), "text", "Anna Schmidt");
    let (first, last) = name.split_once(' ').expect("two names");
    assert_eq!(
        scrub(
            "Anna Schmidt",
            "Call anna, or ANNA SCHMIDT; not Annabell. Frau Schmidt!"
        ),
        format!("Call {first}, or {name}; not Annabell. Frau {last}!")
    );
    let mail = masked(fake(Fake::Email), "text", "anna@firma.de");
    assert_eq!(
        scrub("x", "mail anna@firma.de now"),
        format!("mail {mail} now")
    );
    assert_eq!(scrub("A", "A is here"), "");
}

#[test]
fn names_are_found_however_they_are_written_and_whatever_they_stand_in() {
    let transformer = Transformer::Scrub {
        columns: vec!["owner".to_owned()],
    };
    let mask = prepare("secret", &planned(transformer, "text"));
    for (owner, text, gone) in [
        ("Al", "Al is here, AL!", &["Al", "AL"][..]),
        ("Li Ng", "for Ng, by li", &["Ng"]),
        (
            "Schmidt, Anna",
            "Schmidt called, anna too",
            &["Schmidt", "anna"],
        ),
        (
            "Müller-Lüdenscheidt",
            "Frau Lüdenscheidt, geb. MÜLLER",
            &["Lüdenscheidt", "MÜLLER"],
        ),
        ("Müller", "Mueller, MUELLER", &["ueller", "UELLER"]),
        ("Weiß", "Herr WEISS und Frau Weiss", &["WEISS", "Weiss"]),
        ("ΓΙΩΡΓΟΣ", "ο Γιώργος και ο γιωργος", &["γιωργος"]),
        (
            "José Núñez",
            "jose, NUNEZ und José",
            &["jose", "NUNEZ", "José"],
        ),
        ("Łukasz", "lukasz", &["lukasz"]),
        ("Zoe", "Zoë", &["Zoë"]),
        ("Müller", "Mu\u{308}ller", &["ller"]),
        ("José", "Jose\u{301}!", &["Jos"]),
        ("İbrahim", "ibrahim IBRAHIM", &["ibrahim", "IBRAHIM"]),
        ("王小明", "请王小明来", &["王小明"]),
        ("田中", "田中さん", &["田中"]),
        ("김철수", "김철수가 왔다", &["김철수"]),
        ("Anna", "对Anna说", &["Anna"]),
        ("{Anna,Schmidt}", "Anna und Schmidt", &["Anna", "Schmidt"]),
        // Where two findings overlap nothing of either may stay.
        (
            "Anna Schmidt",
            "Anna schmidt@firma.de",
            &["schmidt", "firma"],
        ),
        (
            "Frau Anna",
            "Frau anna.schmidt@firma.de",
            &["schmidt", "firma"],
        ),
    ] {
        let mut out = String::new();
        let what = mask
            .apply(text, &Row(Some(owner)), &mut out)
            .expect("apply");
        assert_eq!(what, Masked::Value, "{owner}: {text}");
        for gone in gone {
            assert!(!out.contains(gone), "{owner}: {text}: {out}");
        }
    }
    // And nothing else is.
    for (owner, text) in [
        ("Anna de Vries", "de la of in"),
        ("Anna", "Annabell, Annas, Johanna"),
        ("https://firma.de/anna", "https and de"),
        ("49 12", "49 or 12"),
    ] {
        let mut out = String::new();
        let what = mask
            .apply(text, &Row(Some(owner)), &mut out)
            .expect("apply");
        assert_eq!(what, Masked::Empty, "{owner}: {text}: {out}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn names_of_the_row_are_gone_from_its_texts(
        owner in "Qx[a-zäöüß]{2,6}( Xq[a-z]{2,6})?",
        before in "[ a-z@.0-9+-]{0,12}",
        after in "[ a-z@.0-9+-]{0,12}",
        around in "[ .,@/\n'(-]{2}",
    ) {
        let transformer = Transformer::Scrub { columns: vec!["owner".to_owned()] };
        let mask = prepare("k", &planned(transformer, "text"));
        let (left, right) = around.split_at(1);
        let text = format!("{before}{left}{owner}{right}{after}");
        let mut out = String::new();
        let row = Texts(owner.clone());
        prop_assert_eq!(mask.apply(&text, &row, &mut out).expect("apply"), Masked::Value);
        for word in owner.split(' ') {
            prop_assert!(!out.contains(word), "{}: {}", text, out);
        }
    }
}
