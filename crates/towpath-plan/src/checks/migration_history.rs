//! The migration history goes along as it is. What is odd about it is told now, because the first
//! `db push` against the target will stumble over it.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::inventory::{Migration, MigrationHistory};
use towpath_model::plan::CheckResult;
use towpath_model::secret_text::Handling;

use super::{Facts, pass, some_of, warn};

/// Versions of fewer digits are numbers in a row; of more, dates and times.
const NUMBERED_DIGITS: usize = 6;

/// Digits of a version that is a time: `YYYYMMDDHHMMSS`.
const TIME_DIGITS: usize = 14;

/// Numbers missing from a row that are listed before it is no row any more.
const MISSING_MAX: u64 = 1000;

pub(super) fn check(facts: &Facts<'_>) -> CheckResult {
    const CHECK: &str = "migration-history";
    let Some(history) = facts.migrations else {
        return pass(CHECK, "no migration history that can be read");
    };
    let count = match history.migrations.len() {
        1 => "1 migration".to_owned(),
        many => format!("{many} migrations"),
    };
    let mut findings = oddities(history);
    let mut remedy = String::new();
    if !findings.is_empty() {
        remedy.push_str(
            "mend the history on the source before the run, with `supabase migration repair` or by hand, if later migrations should apply cleanly",
        );
    }
    let secret = secret_versions(history);
    if !secret.is_empty() {
        findings.push(match facts.secrets {
            Handling::Redact => format!(
                "statements of {} hold a secret and stay on the source: {}",
                secret.len(),
                some_of(&secret)
            ),
            Handling::Carry => format!(
                "statements of {} hold a secret and go along: {}",
                secret.len(),
                some_of(&secret)
            ),
        });
        if !remedy.is_empty() {
            remedy.push_str("; ");
        }
        remedy.push_str(match facts.secrets {
            Handling::Redact => {
                "the versions stay recorded; `secrets = \"carry\"` under [schema] takes their statements along"
            }
            Handling::Carry => {
                "`secrets = \"redact\"` under [schema] leaves them on the source; a secret that was in a migration should be replaced anyway"
            }
        });
    }
    if findings.is_empty() {
        return pass(CHECK, format!("{count}, nothing odd"));
    }
    warn(CHECK, format!("{count}; {}", findings.join("; ")), remedy)
}

/// Versions whose statements seem to hold a secret.
pub(crate) fn secret_versions(history: &MigrationHistory) -> Vec<String> {
    history
        .migrations
        .iter()
        .filter(|migration| migration.holds_secret)
        .map(|migration| shown(&migration.version))
        .collect()
}

/// A version or name as a person reads it on one line, whatever is in it.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    text.escape_debug().collect()
}

fn oddities(history: &MigrationHistory) -> Vec<String> {
    let all = &history.migrations;
    let mut findings = Vec::new();
    findings.extend(shared(all, "the same name", |migration| {
        migration.name.as_deref().filter(|name| !name.is_empty())
    }));
    findings.extend(shared(all, "identical statements", |migration| {
        migration.fingerprint.as_deref()
    }));
    let mut listed = |what: &str, versions: Vec<String>| {
        if !versions.is_empty() {
            findings.push(format!("{what}: {}", some_of(&versions)));
        }
    };
    listed("missing from the row of numbers", missing(all));
    let of = |wanted: &dyn Fn(&Migration) -> bool| -> Vec<String> {
        all.iter()
            .filter(|migration| wanted(migration))
            .map(|migration| shown(&migration.version))
            .collect()
    };
    listed(
        "no number and no time",
        of(&|m| !is_number(&m.version) && !is_time_like(&m.version)),
    );
    listed(
        "not of the form YYYYMMDDHHMMSS",
        of(&|m| is_time_like(&m.version) && m.version.len() != TIME_DIGITS),
    );
    listed(
        "no time that ever was",
        of(&|m| {
            m.version.len() == TIME_DIGITS && is_digits(&m.version) && !is_possible(&m.version)
        }),
    );
    listed(
        "newer than now",
        of(&|m| is_time_like(&m.version) && is_possible(&m.version) && m.version > history.now),
    );
    listed("recorded without statements", of(&|m| !m.has_statements));
    findings
}

/// Versions that have something in common which each should have for itself.
fn shared<'m>(
    all: &'m [Migration],
    what: &str,
    key: impl Fn(&'m Migration) -> Option<&'m str>,
) -> Option<String> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for migration in all {
        if let Some(key) = key(migration) {
            groups
                .entry(key)
                .or_default()
                .push(shown(&migration.version));
        }
    }
    let doubled: Vec<String> = groups
        .into_values()
        .filter(|versions| versions.len() > 1)
        .map(|versions| versions.join(" = "))
        .collect();
    (!doubled.is_empty()).then(|| format!("{what}: {}", some_of(&doubled)))
}

fn is_digits(version: &str) -> bool {
    !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(version: &str) -> bool {
    is_digits(version) && version.len() <= NUMBERED_DIGITS
}

/// Shorter and longer ones are times that somebody mistyped.
fn is_time_like(version: &str) -> bool {
    is_digits(version) && version.len() > NUMBERED_DIGITS
}

/// Numbers between the lowest and the highest that no version has.
fn missing(all: &[Migration]) -> Vec<String> {
    let there: BTreeSet<u64> = all
        .iter()
        .filter(|migration| is_number(&migration.version))
        .filter_map(|migration| migration.version.parse().ok())
        .collect();
    let (Some(first), Some(last)) = (there.first(), there.last()) else {
        return Vec::new();
    };
    let between = last - first + 1;
    let count = u64::try_from(there.len()).unwrap_or(between);
    if between - count > MISSING_MAX {
        return vec![format!("{} numbers", between - count)];
    }
    let width = all
        .iter()
        .filter(|migration| is_number(&migration.version))
        .map(|migration| migration.version.len())
        .min()
        .unwrap_or(1);
    (*first..=*last)
        .filter(|number| !there.contains(number))
        .map(|number| format!("{number:0width$}"))
        .collect()
}

/// Whether fourteen digits are a day of the calendar and a time of the day.
fn is_possible(version: &str) -> bool {
    if version.len() != TIME_DIGITS {
        return false;
    }
    let part = |from: usize, to: usize| version[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
        && year >= 1970
        && part(8, 10) < 24
        && part(10, 12) < 60
        && part(12, 14) < 60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(versions: &[&str]) -> MigrationHistory {
        MigrationHistory {
            migrations: versions
                .iter()
                .map(|version| Migration {
                    version: (*version).to_owned(),
                    name: Some(format!("name of {version}")),
                    has_statements: true,
                    fingerprint: Some(format!("fingerprint of {version}")),
                    holds_secret: false,
                })
                .collect(),
            now: "20261122170000".to_owned(),
        }
    }

    #[test]
    fn sound_histories_are_left_in_peace() {
        for versions in [
            &[][..],
            &["0001", "0002", "0003"],
            &["1", "2", "10", "3", "4", "5", "6", "7", "8", "9"],
            &["20240229235959", "20261122165959", "20261122170000"],
            &["0007"],
        ] {
            let found = oddities(&history(versions));
            assert!(found.is_empty(), "{versions:?}: {found:?}");
        }
    }

    #[test]
    fn every_oddity_is_named_with_its_versions() {
        for (versions, wanted) in [
            (
                &["0001", "0002", "0004", "0007"][..],
                "missing from the row of numbers: 0003, 0005, 0006",
            ),
            (&["1", "900000"], "899998 numbers"),
            (&["20230229000000"], "no time that ever was: 20230229000000"),
            (&["20231301000000"], "no time that ever was: 20231301000000"),
            (&["20230101250000"], "no time that ever was: 20230101250000"),
            (
                &["202301010000"],
                "not of the form YYYYMMDDHHMMSS: 202301010000",
            ),
            (&["20270101000000"], "newer than now: 20270101000000"),
            (&["first"], "no number and no time: first"),
            (&[""], "no number and no time: (empty)"),
            (&["1\n2"], "no number and no time: 1\\n2"),
        ] {
            let found = oddities(&history(versions)).join("; ");
            assert!(found.contains(wanted), "{versions:?}: {found}");
        }
    }

    #[test]
    fn doubles_are_named_together() {
        let mut doubled = history(&["0001", "0002", "0003"]);
        doubled.migrations[2].name = doubled.migrations[0].name.clone();
        doubled.migrations[1].fingerprint = doubled.migrations[0].fingerprint.clone();
        doubled.migrations[2].has_statements = false;
        doubled.migrations[2].fingerprint = None;
        let found = oddities(&doubled);
        assert_eq!(
            found,
            [
                "the same name: 0001 = 0003",
                "identical statements: 0001 = 0002",
                "recorded without statements: 0003"
            ]
        );
        // Two that have no name, and two without statements, have nothing in common.
        for migration in &mut doubled.migrations {
            migration.name = Some(String::new());
            migration.fingerprint = None;
            migration.has_statements = true;
        }
        assert!(oddities(&doubled).is_empty());
    }
}
