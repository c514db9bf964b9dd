use std::collections::BTreeMap;

use proptest::prelude::*;
use towpath_model::TableId;
use towpath_model::masking::{Condition, Locale, PlannedMask, Transformer, Uniqueness};
use towpath_model::plan::{PlannedChunk, RowSource};

use super::*;

fn mask(transformer: Transformer, condition: Option<Condition>) -> PlannedMask {
    PlannedMask {
        transformer,
        locale: Locale::En,
        domain: "a".to_owned(),
        condition,
        base_type: "text".to_owned(),
        reads: Default::default(),
        max_chars: None,
        uniqueness: Uniqueness::Lossy,
        origin: String::new(),
    }
}

fn constant(value: &str) -> PlannedMask {
    let value = value.to_owned();
    mask(Transformer::Constant { value }, None)
}

/// A table of text columns `a`, `b`…, of which some are masked.
fn table(format: Format, columns: usize, masks: &[(usize, PlannedMask)]) -> PlannedTable {
    let name = QualifiedName::new("s", "t");
    let names: Vec<String> = ('a'..).take(columns).map(String::from).collect();
    PlannedTable {
        id: TableId::of(&name),
        name,
        key: vec!["a".to_owned()],
        types: vec!["text".to_owned(); columns],
        rows: RowSource::Table,
        expressions: BTreeMap::new(),
        masks: masks
            .iter()
            .map(|(at, mask)| (names[*at].clone(), mask.clone()))
            .collect(),
        subset: None,
        format,
        format_reason: None,
        bytes: 0,
        estimated_rows: 0,
        force_row_security: false,
        chunks: vec![PlannedChunk::WHOLE],
        columns: names,
    }
}

fn run_key() -> RunKey {
    RunKey::new([7; 32])
}

fn masker(table: &PlannedTable) -> TableMask {
    let key = MaskKey::of_secret(b"a key that nobody guesses");
    TableMask::new(&key, &run_key(), table, None).unwrap()
}

type Row = Vec<Option<String>>;

/// A row as COPY writes it, made by other means than those that are tested: `(format, null)` in the
/// manual's words.
fn written(format: Format, row: &[Option<String>]) -> Vec<u8> {
    if format == Format::Binary {
        let mut bytes = i16::try_from(row.len()).unwrap().to_be_bytes().to_vec();
        for field in row {
            let length = field
                .as_ref()
                .map_or(-1, |it| i32::try_from(it.len()).unwrap());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(field.as_deref().unwrap_or_default().as_bytes());
        }
        return bytes;
    }
    let marker = run_key().null_marker();
    let field = |field: &Option<String>| match field {
        None => marker.clone(),
        Some(text) => {
            let alone = row.len() == 1 && text == "\\.";
            match alone || *text == marker || text.contains([',', '"', '\r', '\n']) {
                true => format!("\"{}\"", text.split('"').collect::<Vec<_>>().join("\"\"")),
                false => text.clone(),
            }
        }
    };
    let fields: Vec<String> = row.iter().map(field).collect();
    format!("{}\n", fields.join(",")).into_bytes()
}

fn masked(masker: &mut TableMask, row: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut unmasked) = (Vec::new(), Vec::new());
    masker.mask(row, &mut out, &mut unmasked).unwrap();
    (out, unmasked)
}

fn hostile() -> impl Strategy<Value = Option<String>> {
    let texts = prop_oneof![
        Just(String::new()),
        Just("\\.".to_owned()),
        Just("\u{feff}begins with a mark of byte order".to_owned()),
        Just("\"".to_owned()),
        Just("\"\"".to_owned()),
        Just("\r".to_owned()),
        Just("\n\n,".to_owned()),
        Just("\\N".to_owned()),
        Just(" #'; -- ".to_owned()),
        "[ -~\n\r\t\"äß😀]{0,30}",
        Just("long, ".repeat(5000)),
    ];
    proptest::option::of(texts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn only_masked_fields_change_and_rows_stay_as_copy_writes_them(
        rows in (1usize..5).prop_flat_map(|columns| {
            proptest::collection::vec(proptest::collection::vec(hostile(), columns), 1..12)
        }),
        which in any::<u8>(),
        value in "[ -~\n\"]{1,8}",
    ) {
        for format in [Format::Binary, Format::Csv] {
            let columns = rows[0].len();
            let is_masked = |at: usize| which >> at & 1 == 1;
            let masks: Vec<_> = (0..columns)
                .filter(|at| is_masked(*at))
                .map(|at| (at, constant(&value)))
                .collect();
            let mut masker = masker(&table(format, columns, &masks));
            let mut nulls = 0;
            for row in &rows {
                let (out, unmasked) = masked(&mut masker, &written(format, row));
                let wanted: Row = row.iter().enumerate().map(|(at, field)| match is_masked(at) {
                    true => field.as_ref().map(|_| value.clone()),
                    false => field.clone(),
                }).collect();
                let left: Row = row.iter().enumerate()
                    .filter(|(at, _)| !is_masked(*at))
                    .map(|(_, field)| field.clone())
                    .collect();
                nulls += row.iter().enumerate().filter(|(at, it)| is_masked(*at) && it.is_none()).count();
                prop_assert_eq!(out, written(format, &wanted));
                prop_assert_eq!(unmasked, written(format, &left));
            }
            let tally = masker.finish(RowDigest::default());
            prop_assert_eq!(tally.columns.len(), masks.len());
            let sum: u64 = tally.columns.values().map(|it| it.nulls).sum();
            prop_assert_eq!(sum, nulls as u64);
            for it in tally.columns.values() {
                let all = it.nulls + it.changed + it.unchanged + it.empty + it.spared;
                prop_assert_eq!(all, rows.len() as u64);
            }
        }
    }
}

#[test]
fn what_is_spared_unchanged_or_gone_is_counted_for_itself() {
    let only_admins = Condition {
        column: "a".to_owned(),
        is_not: Some(vec!["admin".to_owned()]),
        ..Condition::default()
    };
    for format in [Format::Binary, Format::Csv] {
        let value = "x".to_owned();
        let masks = [
            (
                1,
                mask(Transformer::Constant { value }, Some(only_admins.clone())),
            ),
            (2, mask(Transformer::Null, None)),
        ];
        let mut masker = masker(&table(format, 3, &masks));
        let text = |text: &str| Some(text.to_owned());
        for (row, wanted) in [
            (
                [text("user"), text("y"), text("z")],
                [text("user"), text("x"), None],
            ),
            // The condition looks at the column as it was, and the value is what it was.
            (
                [text("admin"), text("y"), None],
                [text("admin"), text("y"), None],
            ),
            (
                [text("user"), text("x"), text("")],
                [text("user"), text("x"), None],
            ),
            ([None, None, text("z")], [None, None, None]),
        ] {
            let (out, _) = masked(&mut masker, &written(format, &row));
            assert_eq!(out, written(format, &wanted), "{format:?}");
        }
        let tally = masker.finish(RowDigest::default());
        let (b, c) = (tally.columns["b"], tally.columns["c"]);
        // What is the constant already is nothing that the mask left behind.
        assert_eq!((b.changed, b.spared, b.empty, b.nulls), (1, 1, 1, 1));
        assert_eq!(b.unchanged, 0);
        assert_eq!((c.changed + c.empty, c.nulls), (3, 1));
    }
}

#[test]
fn what_is_the_constant_already_is_no_original() {
    let secret = MaskKey::of_secret(b"a key that nobody guesses");
    let table = table(Format::Csv, 2, &[(1, constant("Nobody At All"))]);
    let originals = Arc::new(Originals::new(10, 10));
    let mut masker = TableMask::new(&secret, &run_key(), &table, Some(originals.clone())).unwrap();
    masked(&mut masker, b"1,Nobody At All\n");
    masked(&mut masker, b"2,Erika Muster\n");
    let cells = originals.column(&table.id, "b");
    let row = |key: &str| originals.row([key]).expect("of few rows all are looked at");
    assert!(!originals.holds_cell(cells, row("1"), b"Nobody At All"));
    assert!(!originals.holds_value("Nobody At All"));
    assert!(originals.holds_cell(cells, row("2"), b"Erika Muster"));
    assert!(originals.holds_value("Erika Muster"));
}

#[test]
fn elements_of_arrays_are_noted_one_by_one() {
    let secret = MaskKey::of_secret(b"a key that nobody guesses");
    let of_array = |transformer| PlannedMask {
        base_type: "text[]".to_owned(),
        ..mask(transformer, None)
    };
    let redact = Transformer::Redact {
        character: None,
        keep_first: 0,
        keep_last: 0,
    };
    let scrub = Transformer::Scrub { columns: vec![] };
    let masks = [(1, of_array(redact)), (2, of_array(scrub))];
    let table = table(Format::Csv, 3, &masks);
    let originals = Arc::new(Originals::new(10, 10));
    let mut masker = TableMask::new(&secret, &run_key(), &table, Some(originals.clone())).unwrap();
    let row = "1,\"{\"\"Erika Muster\"\",4930901820177}\",\"{\"\"Max Muster\"\",max@posteo.de}\"\n";
    masked(&mut masker, row.as_bytes());
    for original in ["Erika Muster", "4930901820177", "max@posteo.de"] {
        assert!(originals.holds_value(original), "{original}");
    }
    // A scrubbed array keeps the elements in which nothing is found.
    assert!(!originals.holds_value("Max Muster"));
}

#[test]
fn a_condition_on_an_enum_is_read_as_what_it_is() {
    let admins = Condition {
        column: "a".to_owned(),
        is: Some(vec!["admin".to_owned()]),
        ..Condition::default()
    };
    let mut hidden = mask(Transformer::Null, Some(admins));
    hidden.reads = BTreeMap::from([("a".to_owned(), "enum".to_owned())]);
    let mut table = table(Format::Binary, 2, &[(1, hidden)]);
    table.types[0] = "app.role".to_owned();
    let mut masker = masker(&table);
    let text = |text: &str| Some(text.to_owned());
    let (out, _) = masked(
        &mut masker,
        &written(Format::Binary, &[text("admin"), text("x")]),
    );
    assert_eq!(out, written(Format::Binary, &[text("admin"), None]));
}

#[test]
fn what_is_not_one_row_is_refused_without_its_values() {
    let refused = |format, row: &[u8]| {
        let mut masker = masker(&table(format, 2, &[(1, constant("x"))]));
        let failure = masker
            .mask(row, &mut Vec::new(), &mut Vec::new())
            .unwrap_err();
        let told = format!("{failure:?} {failure}");
        assert!(!told.contains("secret"), "{told}");
    };
    for row in [
        &b"a,secret\nb,secret\n"[..],
        b"a,secret",
        b"secret\n",
        b"a,secret,c\n",
        b"a,\"secret\n",
        b"\n",
        b"",
    ] {
        refused(Format::Csv, row);
    }
    let row = written(Format::Binary, &[Some("a".into()), Some("secret".into())]);
    refused(Format::Binary, &row[..row.len() - 1]);
    refused(Format::Binary, &[&row[..], b"x"].concat());
    refused(
        Format::Binary,
        &written(Format::Binary, &[Some("secret".into())]),
    );
}

#[test]
fn a_mark_of_byte_order_in_the_first_value_stays() {
    let mut masker = masker(&table(Format::Csv, 2, &[(1, constant("x"))]));
    let (out, unmasked) = masked(&mut masker, "\u{feff}a,b\n".as_bytes());
    assert_eq!(String::from_utf8(out).unwrap(), "\u{feff}a,x\n");
    assert_eq!(String::from_utf8(unmasked).unwrap(), "\u{feff}a\n");
}

#[test]
fn a_mask_of_no_column_is_refused() {
    let mut table = table(Format::Csv, 1, &[]);
    table.masks.insert("z".to_owned(), constant("x"));
    let key = MaskKey::of_secret(b"a key that nobody guesses");
    assert!(TableMask::new(&key, &run_key(), &table, None).is_err());
}
