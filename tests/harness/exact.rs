//! What tables hold to the last bit, asked of each server alone: every value as text under pinned
//! settings and, beside it, in the binary form of its type. `-0`, the digits of a float and a blank
//! at the end of a `char` count.

use std::collections::BTreeMap;

use crate::oracle::PINNED;
use crate::pg::psql;

/// Rows and hash of every table of these schemas, by quoted name. Read as superuser.
#[must_use]
pub fn tables(url: &str, schemas: &[&str]) -> BTreeMap<String, (u64, String)> {
    let list: Vec<String> = schemas.iter().map(|name| format!("'{name}'")).collect();
    let queries = include_str!("exact.sql").replace(":schemas", &list.join(", "));
    psql(url, &format!("{PINNED}\n{queries}\n\\gexec"))
        .lines()
        .map(|line| {
            let (name, rows, hash) = serde_json::from_str(line).expect("a row is JSON");
            (name, (rows, hash))
        })
        .collect()
}

/// Asserts that two databases hold the same in these schemas; gives the number of tables.
pub fn assert_same(source: &str, target: &str, schemas: &[&str]) -> usize {
    let (wanted, found) = (tables(source, schemas), tables(target, schemas));
    let names: Vec<&String> = wanted.keys().collect();
    assert_eq!(names, found.keys().collect::<Vec<_>>(), "other tables");
    let wrong: Vec<_> = wanted
        .iter()
        .filter(|(name, held)| found[*name] != **held)
        .map(|(name, held)| format!("{name}: {held:?} became {:?}", found[name]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    wanted.len()
}
