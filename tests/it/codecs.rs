//! The text form that masks work on, held against the servers: what is decoded from a value's binary
//! form is what the server prints, and what is encoded from that is what it sends.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use towpath_mask::Codec;
use towpath_model::masking::Transformer;
use towpath_model::plan::Format;
use towpath_tests::{Pair, pair, project};

use crate::values_every::{literal, types};

/// As every session of towpath has them.
const SETTINGS: &str =
    "set extra_float_digits = 3; set datestyle = 'ISO, YMD'; set timezone = 'UTC';
    set bytea_output = 'hex';\n";

/// Values by chance, with the functions that send them.
const RANDOM: &[(&str, &str)] = &[
    (
        "int8send",
        "(random() * 9e18)::bigint - 4500000000000000000",
    ),
    (
        "numeric_send",
        "round(((random() - 0.5) * 10 ^ (n % 40))::numeric, n % 37)",
    ),
    (
        "numeric_send",
        "trunc(((random() - 0.5) * 10 ^ (n % 40))::numeric, -(n % 17))",
    ),
    (
        "float8send",
        "(random() - 0.5) * 10::float8 ^ (n % 600 - 300)",
    ),
    (
        "float8send",
        "trunc((random() * 10 ^ (n % 20))::numeric, n % 5)::float8",
    ),
    (
        "float4send",
        "((random() - 0.5) * 10::float8 ^ (n % 70 - 35))::float4",
    ),
    (
        "float4send",
        "trunc((random() * 10 ^ (n % 12))::numeric, n % 3)::float4",
    ),
    (
        "date_send",
        "date '2000-01-01' + (random() * 4000000)::integer - 2000000",
    ),
    (
        "timestamp_send",
        "timestamp '2000-01-01' + (random() - 0.3) * interval '16000 years'",
    ),
    (
        "timestamptz_send",
        "timestamptz '2000-01-01' + (random() - 0.5) * interval '300 years'",
    ),
    ("time_send", "time '00:00' + random() * interval '1 day'"),
    ("uuid_send", "gen_random_uuid()"),
    (
        "byteasend",
        "substr(decode(md5(random()::text), 'hex'), 1, n % 17)",
    ),
    (
        "inet_send",
        "set_masklen(inet '0.0.0.0' + (random() * 4294967295)::bigint, n % 33)",
    ),
    (
        "inet_send",
        "set_masklen(inet '::' + (random() * 2 ^ (n % 63))::bigint, n % 129)",
    ),
    (
        "inet_send",
        "inet '::ffff:0:0' + (random() * 4294967295)::bigint",
    ),
    (
        "inet_send",
        "('1:' || repeat('0:', n % 7) || repeat('2:', 6 - n % 7) || n % 2)::inet",
    ),
    (
        "cidr_send",
        "network(set_masklen(inet '2001:db8::' + (random() * 9e18)::bigint, n % 129))",
    ),
    ("macaddr_send", "left(md5(random()::text), 12)::macaddr"),
    (
        "point_send",
        "point(random() * 180, -random() / 10 ^ (n % 20))",
    ),
    (
        "array_send",
        "array[chr(n % 300 + 1), null, md5(n::text), 'NULL', '', ' ', '\"\\', '{,}']",
    ),
    ("array_send", "array[array[n, null], array[-n, 0]]"),
    (
        "array_send",
        "('[' || n % 7 - 3 || ':' || n % 7 - 2 || ']={1,2}')::bigint[]",
    ),
    ("array_send", "array[gen_random_uuid(), null]"),
    (
        "array_send",
        "array[timestamp '2000-01-01' + random() * interval '100 years']",
    ),
];

/// Every value of the fixture whose type has a codec, and its array: the function that sends it by
/// expression.
fn known_values(pair: &Pair) -> Vec<(String, String)> {
    let mut known = types();
    known.retain(|of| !of.name.contains('.'));
    let list: Vec<String> = known.iter().map(|of| literal(&of.name)).collect();
    let senders = pair.source.psql(&format!(
        "select t.typsend::regproc, format_type(t.oid, null) from unnest(array[{}]::regtype[]) with ordinality o (oid, at)
           join pg_type t on t.oid = o.oid order by o.at",
        list.join(", ")
    ));
    let mut all = Vec::new();
    for (of, line) in known.iter().zip(senders.lines()) {
        let (sender, base_type) = line.split_once('|').expect("two names");
        if Codec::of(Format::Binary, base_type).is_none() {
            continue;
        }
        let values = of
            .values
            .iter()
            .filter(|value| !value.contains("values_too"));
        for value in values {
            let value = format!("{}::{}", literal(value), of.name);
            all.push((sender.to_owned(), value.clone()));
            all.push(("array_send".to_owned(), format!("array[{value}, null]")));
        }
    }
    all
}

#[test]
fn what_codecs_read_is_what_the_server_prints_and_what_they_write_is_what_it_sends() {
    let pair = pair();
    let _project = project!(&pair);
    let mut sql = SETTINGS.to_owned();
    for (sender, value) in known_values(&pair) {
        writeln!(sql, "{};", row(&sender, &value, "generate_series(1, 1) n")).expect("write");
    }
    for (sender, value) in RANDOM {
        writeln!(sql, "{};", row(sender, value, "generate_series(1, 200) n")).expect("write");
    }
    let powers = "generate_series(-1074, 1023) n";
    writeln!(sql, "{};", row("float8send", "2::float8 ^ n", powers)).expect("write");
    let rows = pair.source.psql(&sql);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).expect("a row of JSON");
        let base_type = text_of(&row, "type");
        let text = String::from_utf8(bytes(&text_of(&row, "text"))).expect("UTF-8");
        let sent = bytes(&text_of(&row, "sent"));
        let Some(codec) = Codec::of(Format::Binary, &base_type) else {
            continue;
        };
        let decoded = codec
            .decode(&sent)
            .unwrap_or_else(|_| panic!("{base_type} {text}"));
        assert_eq!(decoded, text, "{base_type}");
        let mut encoded = Vec::new();
        codec
            .encode(&text, &mut encoded)
            .unwrap_or_else(|_| panic!("{base_type} {text}"));
        assert_eq!(encoded, sent, "{base_type} {text}");
        *counts.entry(base_type).or_default() += 1;
    }
    let scalars = counts.keys().filter(|name| !name.ends_with("[]")).count();
    assert!(scalars >= 26 && counts.len() >= 45, "{counts:?}");
}

/// Constants, and whether masks may have them: what the server prints is what every byte is compared
/// with.
const CONSTANTS: &[(&str, &str)] = &[
    (
        "jsonb",
        r#"{"b": 1, "aa": {}, "bb": {"": []}, "é": [1.5, -7, 0, true, null, "x\ty\u001f\"\\"]}"#,
    ),
    ("jsonb", r#"{"aa": 1, "b": 2}"#),
    ("jsonb", r#"{"é": 1, "b": 2}"#),
    ("jsonb", r#"{"a":1}"#),
    ("jsonb", r#"["\u00e9", "/", "\/"]"#),
    ("jsonb", "1e5"),
    ("jsonb", "-0"),
    ("jsonb", "-0.0"),
    ("json", r#"{"a":1,"a":1e5}"#),
    ("numeric(10,2)", "0"),
    ("numeric(10,2)", "0.00"),
    ("numeric(10,2)", "-1.005"),
    ("numeric(10,2)", "12345678.90"),
    ("numeric(10,2)", "123456789.00"),
    ("numeric(2,3)", "0.012"),
    ("numeric(2,3)", "0.123"),
    ("numeric(2,-3)", "0"),
    ("numeric(2,-3)", "-12000"),
    ("numeric(2,-3)", "12300"),
    ("numeric(2,-3)", "123000"),
    ("numeric(2,-3)", "12000.0"),
    ("numeric(3,0)", "-999"),
    ("numeric(5,2)", "NaN"),
    ("numeric(5,2)", "Infinity"),
    ("numeric(5,2)[]", "{0.00,NULL}"),
    ("numeric(5,2)[]", "{0}"),
    ("timestamp(3) without time zone", "2000-01-01 00:00:00.125"),
    ("timestamp(3) without time zone", "2000-01-01 00:00:00.0625"),
    ("timestamp(0) with time zone", "2000-01-01 00:00:00.5+00"),
    ("time(0) without time zone", "12:00:00.5"),
    ("time(1) with time zone", "12:00:00.5+01"),
    ("real", "1.0"),
    ("real", "1e+06"),
    ("boolean", "true"),
    ("boolean", "t"),
    ("bytea", "x"),
    ("bytea", "\\x00"),
    ("inet", "10.0.0.1/32"),
    ("inet", "10.0.0.1/8"),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    ("date", "2000-1-1"),
    ("date", "0001-01-01 BC"),
];

#[test]
fn constants_that_masks_may_have_are_what_the_server_prints() {
    let pair = pair();
    let mut sql = format!(
        "create function pg_temp.printed(value text, type text) returns text language plpgsql as $$
         declare printed text;
         begin
             execute format('select format(''%%s'', %L::%s)', value, type) into printed;
             return printed;
         exception when others then return null;
         end $$;\n{SETTINGS}"
    );
    for (base_type, value) in CONSTANTS {
        writeln!(
            sql,
            "select coalesce(pg_temp.printed({}, '{base_type}') = {}, false);",
            literal(value),
            literal(value)
        )
        .expect("write");
    }
    let printed = pair.source.psql(&sql);
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed.len(), CONSTANTS.len(), "{printed:?}");
    for ((base_type, value), printed) in CONSTANTS.iter().zip(printed) {
        let constant = Transformer::Constant {
            value: (*value).to_owned(),
        };
        let fits = towpath_mask::transform::fits(&constant, base_type, None);
        assert_eq!(
            fits.is_ok(),
            printed == "t",
            "{base_type} {value}: {fits:?}"
        );
    }
}

fn row(sender: &str, value: &str, of: &str) -> String {
    format!(
        "select json_build_object('type', pg_typeof(v)::text, 'text', encode(convert_to(format('%s', v), 'UTF8'), 'hex'),
                                  'sent', encode({sender}(v), 'hex'))
           from {of}, lateral (select {value} as v offset 0) as one"
    )
}

fn text_of(row: &Value, name: &str) -> String {
    row[name].as_str().expect("a text").to_owned()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}
