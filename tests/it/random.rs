//! Whatever schema a customer's login can make arrives: a property over random ones.

use std::time::{SystemTime, UNIX_EPOCH};

use towpath_tests::pg::try_psql;
use towpath_tests::random::schema;
use towpath_tests::sample::Site;
use towpath_tests::{Pair, pair, project};

/// Seeds that are always tried.
const FIXED: [u64; 3] = [1, 2, 3];
/// Replays these instead, separated by commas.
const SEEDS: &str = "TOWPATH_TEST_SEEDS";

fn seeds() -> Vec<u64> {
    if let Ok(given) = std::env::var(SEEDS) {
        return given
            .split(',')
            .map(|seed| seed.trim().parse().expect("a seed is a number"))
            .collect();
    }
    let fresh = if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        47
    } else {
        2
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let first = now.as_secs() % 1_000_000_000;
    FIXED
        .into_iter()
        .chain((0..fresh).map(|n| first + n))
        .collect()
}

#[test]
fn random_schemas_arrive_whole() {
    let pair = pair();
    let failed: Vec<String> = seeds()
        .into_iter()
        .filter_map(|seed| {
            let wrong = arrives(&pair, seed)?;
            Some(format!("{SEEDS}={seed} replays this:\n{wrong}"))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// What went wrong with the schema of a seed.
fn arrives(pair: &Pair, seed: u64) -> Option<String> {
    let site = Site::fresh(pair, &format!("random_{seed}"));
    if let Err(error) = try_psql(&site.source, &schema(seed)) {
        return Some(format!("the source refuses the schema: {error}"));
    }
    let project = site.project(project!(pair));
    let end = project.towpath(&["run", "--yes"]).run();
    if end.code != Some(0) {
        return Some(end.to_string());
    }
    let unexplained = site.unexplained(&project);
    if !unexplained.is_empty() {
        return Some(format!("{unexplained:#?}"));
    }
    site.assert_same_rows();
    None
}
