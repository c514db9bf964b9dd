//! Random tables of random types with random rows, in random places of their pages, arrive.

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use towpath_tests::pg::psql;
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{SplitMix64, exact, pair, project};

use crate::values_every::{Type, literal, types};

/// Replays this instead.
const SEED: &str = "TOWPATH_TEST_SEED";

/// Pieces of text that formats have tripped over.
const PIECES: [&str; 24] = [
    "\\N",
    "\\.",
    "\\",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\"",
    "\"\"",
    "'",
    ",",
    ";",
    " ",
    "NULL",
    "{",
    "}",
    "(",
    "\u{1}",
    "\u{7f}",
    "\u{feff}",
    "é",
    "e\u{301}",
    "😀",
    "\u{10ffff}",
];

pub(crate) struct Random(pub(crate) SplitMix64);

impl Deref for Random {
    type Target = SplitMix64;

    fn deref(&self) -> &SplitMix64 {
        &self.0
    }
}

impl DerefMut for Random {
    fn deref_mut(&mut self) -> &mut SplitMix64 {
        &mut self.0
    }
}

impl Random {
    fn text(&mut self) -> String {
        let pieces = self.below(6);
        (0..pieces)
            .map(|_| match self.below(4) {
                0 => char::from_u32(1 + u32::try_from(self.below(0x7fff)).expect("small"))
                    .map_or_else(String::new, String::from),
                1 => (*self.pick(&PIECES)).repeat(1 + self.below(3)),
                2 => format!("{:x}", self.number()).repeat(1 + self.below(200)),
                _ => (*self.pick(&PIECES)).to_owned(),
            })
            .collect()
    }

    fn digits(&mut self, most: usize) -> String {
        let count = 1 + self.below(most);
        let digit = |random: &mut Self| char::from(b"0123456789"[random.below(10)]);
        (0..count).map(|_| digit(self)).collect()
    }

    fn json(&mut self, deep: usize) -> String {
        match self.below(if deep == 0 { 4 } else { 6 }) {
            0 => "null".to_owned(),
            1 => format!(
                "-{}.{}e{}",
                1 + self.below(9),
                self.digits(30),
                self.below(200)
            ),
            2 => Value::from(self.text()).to_string(),
            3 => (if self.once_in(2) { "true" } else { "false" }).to_owned(),
            4 => {
                let list: Vec<String> = (0..self.below(5)).map(|_| self.json(deep - 1)).collect();
                format!("[{} ]", list.join(" , "))
            }
            _ => {
                let list: Vec<String> = (0..self.below(5))
                    .map(|_| {
                        let key = Value::from(self.text());
                        format!("{key}: {}", self.json(deep - 1))
                    })
                    .collect();
                format!("{{{}}}", list.join(","))
            }
        }
    }

    /// A value as its input function takes it: of the list, or of any.
    fn value(&mut self, of: &Type) -> String {
        let bits = self.number();
        let narrow = u32::try_from(bits >> 32).expect("32 bits");
        let any = match of.name.as_str() {
            "bigint" => bits.cast_signed().to_string(),
            "integer" => narrow.cast_signed().to_string(),
            "oid" => narrow.to_string(),
            "xid8" => bits.to_string(),
            "double precision" => format!("{:e}", f64::from_bits(bits)),
            "real" => format!("{:e}", f32::from_bits(narrow)),
            "numeric" => {
                let sign = if self.once_in(2) { "-" } else { "" };
                format!("{sign}{}.{}", self.digits(200), self.digits(200))
            }
            "money" => format!("{}.{}", self.digits(15), 10 + self.below(90)),
            "text" | "varchar" | "extensions.citext" => self.text(),
            "bytea" => {
                let bytes: String = (0..self.below(900))
                    .map(|_| format!("{:02x}", self.below(256)))
                    .collect();
                format!("\\x{bytes}")
            }
            "uuid" => format!("{bits:016x}{:016x}", self.number()),
            "json" => self.json(4),
            "jsonb" => self.json(4),
            "timestamp" | "timestamptz" => format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
                1 + self.below(9999),
                1 + self.below(12),
                1 + self.below(28),
                self.below(24),
                self.below(60),
                self.below(60),
                self.below(1_000_000)
            ),
            "date" => format!(
                "{:04}-{:02}-{:02}",
                1 + self.below(9999),
                1 + self.below(12),
                1 + self.below(28)
            ),
            "interval" => format!(
                "{} mons {} days {}.{:06} s",
                narrow.cast_signed() / 4,
                self.below(9999),
                self.below(99999),
                self.below(1_000_000)
            ),
            "inet" => format!(
                "{}.{}.{}.{}/{}",
                self.below(256),
                self.below(256),
                self.below(256),
                self.below(256),
                self.below(33)
            ),
            "bit varying" => (0..self.below(70))
                .map(|_| if self.once_in(2) { '1' } else { '0' })
                .collect(),
            _ => return self.pick(&of.values).clone(),
        };
        if self.once_in(4) {
            return self.pick(&of.values).clone();
        }
        // NaN has many bit patterns and one spelling.
        if any == "NaN" || any == "inf" || any == "-inf" {
            return any.replace("inf", "Infinity");
        }
        any
    }

    /// An expression of the type, or NULL.
    fn expression(&mut self, of: &Type, shape: &Shape) -> String {
        if self.once_in(6) {
            return "null".to_owned();
        }
        let name = &of.name;
        let one = |random: &mut Self| {
            if random.once_in(6) {
                format!("null::{name}")
            } else {
                format!("{}::{name}", literal(&random.value(of)))
            }
        };
        match shape {
            Shape::One => one(self),
            Shape::Array => {
                let (wide, high) = (self.below(4), 1 + self.below(3));
                if wide == 0 {
                    return format!("'{{}}'::{name}[]");
                }
                let rows: Vec<String> = (0..high)
                    .map(|_| {
                        let row: Vec<String> = (0..wide).map(|_| one(self)).collect();
                        format!("[{}]", row.join(", "))
                    })
                    .collect();
                format!("array[{}]::{name}[]", rows.join(", "))
            }
        }
    }
}

enum Shape {
    One,
    Array,
}

/// The script of one table; a big one has several chunks.
pub(crate) fn table(random: &mut Random, types: &[Type], name: &str, is_big: bool) -> String {
    let columns: Vec<(&Type, Shape)> = (0..1 + random.below(7))
        .map(|_| {
            let shape = if random.once_in(4) {
                Shape::Array
            } else {
                Shape::One
            };
            (random.pick(types), shape)
        })
        .collect();
    let key = *random.pick(&["", "k bigint primary key, ", "k bigint, "]);
    let fill = 10 + random.below(91);
    let mut sql = format!("create table {name} ({key}");
    for (at, (of, shape)) in columns.iter().enumerate() {
        let array = if matches!(shape, Shape::Array) {
            "[]"
        } else {
            ""
        };
        let comma = if at == 0 { "" } else { ", " };
        write!(sql, "{comma}c{at} {}{array}", of.name).expect("write to a string");
    }
    writeln!(
        sql,
        ") with (fillfactor = {fill}, autovacuum_enabled = off);"
    )
    .expect("write to a string");
    let (rows, doublings) = match is_big {
        true => (120, 8),
        false => (*random.pick(&[0, 1, 40, 120]), random.below(7)),
    };
    for row in 0..rows {
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("{row}, ")
        };
        let values: Vec<String> = columns
            .iter()
            .map(|(of, shape)| random.expression(of, shape))
            .collect();
        writeln!(
            sql,
            "insert into {name} values ({key}{});",
            values.join(", ")
        )
        .expect("write to a string");
    }
    // Many pages of the same rows, then holes, rows that have moved, and pages that are empty.
    for _ in 0..doublings {
        let key_too = if key.is_empty() {
            ""
        } else {
            "k + (select max(k) + 1 from T), "
        };
        let list: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
        let sql_of = format!(
            "insert into T select {key_too}{} from T;\n",
            list.join(", ")
        );
        sql.push_str(&sql_of.replace('T', name));
    }
    let (some, every) = (random.below(5), 2 + random.below(5));
    let from = random.below(40);
    for statement in [
        "delete from T where (ctid::text::point)[0]::integer % EVERY = SOME;",
        "update T set c0 = c0 where (ctid::text::point)[1]::integer % EVERY = SOME;",
        "delete from T where (ctid::text::point)[0] >= FROM;",
    ] {
        if random.once_in(2) {
            let statement = statement
                .replace('T', name)
                .replace("EVERY", &every.to_string())
                .replace("SOME", &some.to_string())
                .replace("FROM", &from.to_string());
            sql.push_str(&statement);
            sql.push('\n');
        }
    }
    sql
}

fn script(seed: u64, tables: usize) -> String {
    let mut random = Random(SplitMix64(seed));
    let all = types();
    let binary: Vec<Type> = types().into_iter().filter(|of| of.binary).collect();
    let mut sql = format!(
        "begin; set local client_min_messages = warning;\n{}create schema random;\n",
        fixture("values/types.sql")
    );
    for at in 0..tables {
        // Half of the tables hold nothing but what may travel in binary.
        let of = if at % 2 == 0 { &all } else { &binary };
        sql.push_str(&table(&mut random, of, &format!("random.r{at}"), at < 2));
    }
    sql.push_str("commit;");
    sql
}

#[test]
fn random_tables_arrive_to_the_last_bit() {
    let seed = match std::env::var(SEED) {
        Ok(given) => given.parse().expect("a seed is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs(),
    };
    let full = std::env::var_os("TOWPATH_TEST_FULL").is_some();
    let tables = if full { 100 } else { 12 };
    let trip = std::panic::catch_unwind(|| assert_arrive(seed, tables, full));
    assert!(trip.is_ok(), "{SEED}={seed} replays this");
}

fn assert_arrive(seed: u64, tables: usize, full: bool) {
    let pair = pair();
    for (name, format) in [("random_auto", "auto"), ("random_csv", "csv")] {
        let site = Site::fresh(&pair, name);
        psql(&site.source, &script(seed, tables));
        let project = site
            .project(project!(&pair))
            .with("TOWPATH_CHUNK_MIB", "1")
            .with("TOWPATH_COPY_FORMAT", format);
        project.expect(0, &["run", "--yes"]);
        let proof = project.expect(0, &["verify", "--rows"]);
        assert!(proof.stdout.contains("no difference"), "{proof}");
        let count = exact::assert_same(&site.source_superuser, &site.target_superuser, &["random"]);
        assert_eq!(count, tables);
        let plan = project.document("plan.json");
        let planned = plan["tables"].as_array().expect("tables");
        let chunks = |table: &Value| table["chunks"].as_array().map_or(0, Vec::len);
        assert!(
            planned.iter().any(|table| chunks(table) > 1),
            "{SEED}={seed}"
        );
        if !full {
            break;
        }
    }
}
