//! Random tables: untouched they are clean, and of those that were touched exactly those are found.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use towpath_tests::pg::psql;
use towpath_tests::sample::{Site, fixture};
use towpath_tests::{Pair, Project, SplitMix64, pair, project};

use super::full;
use super::table::{DEMANDED, LEVELS};
use crate::values_every::types;
use crate::values_random::{Random, table};

/// Replays this instead.
const SEED: &str = "TOWPATH_TEST_SEED";

/// Tables of one run.
const AT_ONCE: usize = 25;

/// Tables that are looked at when everything is.
const THOUSAND: usize = 1000;

fn script(random: &mut Random) -> String {
    let all = types();
    let (binary, _): (Vec<_>, Vec<_>) = types().into_iter().partition(|of| of.binary);
    let mut sql = format!(
        "begin; set local client_min_messages = warning;\n{}create schema random;\n",
        fixture("values/types.sql")
    );
    for at in 0..AT_ONCE {
        let of = if at % 2 == 0 { &all } else { &binary };
        sql.push_str(&table(random, of, &format!("random.r{at}"), false));
    }
    // What a level looks at beside rows.
    sql.push_str("create sequence random.numbers; select nextval('random.numbers');\ncommit;");
    sql
}

/// Strikes some tables of the target; gives those that now hold something else.
fn strike(site: &Site, random: &mut Random) -> BTreeSet<String> {
    let mut sql = String::from("set session_replication_role = replica;\n");
    for at in 0..AT_ONCE {
        let (name, nth) = (format!("random.r{at}"), random.below(20));
        let one = format!("(select ctid from {name} order by ctid offset {nth} limit 1)");
        let change = match random.below(4) {
            0 => format!("delete from {name} where ctid = {one}"),
            // A NULL that is a value, or a value that is NULL: of any type.
            1 => format!("update {name} set c0 = null where ctid = {one} and num_nonnulls(c0) = 1"),
            // Another version of the row elsewhere is the same row.
            2 => {
                writeln!(sql, "update {name} set c0 = c0 where ctid = {one};")
                    .expect("write to a string");
                continue;
            }
            _ => continue,
        };
        writeln!(
            sql,
            "with changed as ({change} returning 1) select 'r{at}' from changed;"
        )
        .expect("write to a string");
    }
    let changed = psql(&site.target_superuser, &sql);
    changed.lines().map(str::to_owned).collect()
}

/// Tables that `verify --rows` finds different.
fn found(project: &Project, code: i32) -> BTreeSet<String> {
    let end = project.expect(code, &["verify", "--rows", "--json"]);
    let line = end.stdout.lines().last().expect("a verification");
    let said: Value = serde_json::from_str(line).expect("JSON");
    let differences = said["verification"]["differences"].as_array();
    let names = differences.expect("differences").iter().map(|difference| {
        assert_eq!(difference["kind"], "rows", "{difference}");
        let rows = difference["located"].as_array().expect("located rows");
        // Without a key, a row that changed is one too many and one too few.
        assert!(
            [1, 2].contains(&rows.len()),
            "one row was touched: {difference}"
        );
        let name = difference["table"]["name"].as_str();
        name.expect("a name").to_owned()
    });
    names.collect()
}

fn assert_true(pair: &Pair, seed: u64) {
    let mut random = Random(SplitMix64(seed));
    let site = Site::fresh(pair, &format!("clean_{seed}"));
    psql(&site.source, &script(&mut random));
    let project = site.project(project!(pair)).with("TOWPATH_CHUNK_MIB", "1");
    project.expect(0, &["run", "--yes"]);
    let mut arguments = vec!["verify"];
    let joined = LEVELS.iter().filter(|level| !level.apart);
    arguments.extend(
        joined
            .filter(|level| level.label != DEMANDED)
            .flat_map(|level| level.flags),
    );
    let end = project.expect(0, &arguments);
    assert!(end.stdout.contains("no difference"), "{end}");
    let changed = strike(&site, &mut random);
    let code = if changed.is_empty() { 0 } else { 12 };
    assert_eq!(found(&project, code), changed);
}

#[test]
fn an_untouched_pair_is_clean_a_thousand_times_and_a_touched_one_never() {
    let (first, runs) = match std::env::var(SEED) {
        Ok(given) => (given.parse().expect("a seed is a number"), 1),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let runs = if full() { THOUSAND / AT_ONCE } else { 1 };
            (now.expect("after 1970").as_secs(), runs)
        }
    };
    let pair = pair();
    let wrong: Vec<String> = (0..runs as u64)
        .map(|run| first + run)
        .filter_map(|seed| {
            let trip = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_true(&pair, seed);
            }));
            trip.err().map(|_| format!("{SEED}={seed} replays this"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
