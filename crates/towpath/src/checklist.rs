//! The team's checklists before and after a move, ticked by what was looked at. What no look can
//! tell is a person's to tick, and stands on the list all the same.

use towpath_model::cutover::{CheckOutcome, Checked, Checklist, WriteGap};
use towpath_model::plan::{CheckResult, Plan, Verdict};
use towpath_model::report::{ChecklistItem, ItemState};
use towpath_model::verification::{Difference, Verification};

use crate::table;

/// What ticks an item.
enum Ticks {
    /// Checks of `towpath check`, as the plan has them.
    Checks(&'static [&'static str]),
    /// A gate of the cutover.
    Gate(&'static str),
    /// A level of the verification.
    Level(&'static str),
    /// Checks of `towpath verify --health`.
    Health(&'static [&'static str]),
    /// The probes, those of alarms or all others.
    Probes { of_alarms: bool },
    /// That the time without writes was measured.
    Gap,
    /// A person.
    Hand,
}

const BEFORE: &[(&str, Ticks)] = &[
    (
        "the logins reach both databases",
        Ticks::Checks(&["source-login", "target-login", "two-databases"]),
    ),
    (
        "connections are encrypted and certificates verified",
        Ticks::Checks(&["source-tls", "target-tls"]),
    ),
    (
        "versions of both servers are supported",
        Ticks::Checks(&["source-version", "target-version"]),
    ),
    (
        "the source's login sees every row",
        Ticks::Checks(&["source-readable"]),
    ),
    (
        "encoding and collation fit",
        Ticks::Checks(&["target-encoding"]),
    ),
    (
        "extensions exist on the target",
        Ticks::Checks(&["extensions"]),
    ),
    (
        "roles, policies and objects can be made as planned",
        Ticks::Checks(&["target-structure"]),
    ),
    (
        "nothing of others is on the target",
        Ticks::Checks(&["target-empty", "target-large-objects"]),
    ),
    (
        "large objects and unlogged tables are known",
        Ticks::Checks(&["source-large-objects", "source-unlogged"]),
    ),
    (
        "the migration history is carried",
        Ticks::Checks(&["migration-history"]),
    ),
    (
        "no secret travels in the schema",
        Ticks::Checks(&["schema-secrets"]),
    ),
    (
        "what breaks at run time is dealt with",
        Ticks::Checks(&["schema-run-time"]),
    ),
    ("the run store can be reached", Ticks::Checks(&["store"])),
    (
        "the RDS instance is the one meant, and available",
        Ticks::Checks(&["rds-instance", "rds-version", "rds-endpoint"]),
    ),
    (
        "parameters of the instance are in force",
        Ticks::Checks(&["rds-parameters"]),
    ),
    (
        "automated backups of the target are on",
        Ticks::Checks(&["rds-backups"]),
    ),
    (
        "a rehearsal of the same schema went well",
        Ticks::Gate("rehearsal"),
    ),
    ("the copy is proven", Ticks::Gate("verification")),
    ("the proof is young enough", Ticks::Gate("verification-age")),
    (
        "no consumer would go on using the source",
        Ticks::Gate("consumers"),
    ),
    ("a second person has approved", Ticks::Gate("approval")),
    ("it is the maintenance window", Ticks::Gate("window")),
    ("the checks hold on the night", Ticks::Gate("checks")),
    (
        "there is an RDS snapshot of the target",
        Ticks::Gate("snapshot"),
    ),
    (
        "the target's disk has room for the indexes and a year of growth",
        Ticks::Hand,
    ),
    (
        "replication slots and subscribers of the source are known, and end with it",
        Ticks::Hand,
    ),
    (
        "network paths from the functions' subnets to the target are open",
        Ticks::Hand,
    ),
    (
        "what still depends on Supabase (Auth, Storage, Realtime, its API) is agreed with its owners",
        Ticks::Hand,
    ),
    (
        "deployments are frozen, and values in their templates are prepared",
        Ticks::Hand,
    ),
    (
        "whoever may decide on a rollback is named and awake",
        Ticks::Hand,
    ),
];

const AFTER: &[(&str, Ticks)] = &[
    ("rows are equal", Ticks::Level("rows")),
    ("stored chunks are whole", Ticks::Level("chunks")),
    (
        "sequences are where the source had them, or further",
        Ticks::Level("sequences"),
    ),
    (
        "no sequence is behind its column",
        Ticks::Health(&["sequences-ahead"]),
    ),
    ("the structure is the expected one", Ticks::Level("schema")),
    (
        "indexes and constraints are valid",
        Ticks::Health(&["indexes", "constraints"]),
    ),
    (
        "row-level security is on and forced as before",
        Ticks::Health(&["row-security"]),
    ),
    (
        "every role sees and may do the same",
        Ticks::Level("access"),
    ),
    (
        "owners and grants are the expected ones",
        Ticks::Health(&["owners", "grants"]),
    ),
    (
        "triggers fire as before",
        Ticks::Health(&["triggers", "event-triggers"]),
    ),
    (
        "materialized views are filled",
        Ticks::Health(&["materialized-views"]),
    ),
    (
        "statistics are fresh and autovacuum is on",
        Ticks::Health(&["statistics", "autovacuum"]),
    ),
    (
        "versions of extensions and collations are in order",
        Ticks::Health(&["extension-versions", "collation-versions"]),
    ),
    ("slow queries are no slower", Ticks::Health(&["queries"])),
    (
        "consumers reach the target",
        Ticks::Probes { of_alarms: false },
    ),
    ("alarms are quiet", Ticks::Probes { of_alarms: true }),
    ("the time without writes is measured", Ticks::Gap),
    (
        "nothing in the target leads to the source",
        Ticks::Health(&["source-links"]),
    ),
    (
        "nobody is connected to the source",
        Ticks::Health(&["source-sessions"]),
    ),
    (
        "automated backups of the target are on",
        Ticks::Checks(&["rds-backups"]),
    ),
    (
        "values in deployment templates point at the target",
        Ticks::Hand,
    ),
    (
        "jobs of pg_cron and of others run on the target",
        Ticks::Hand,
    ),
    ("the old credentials are revoked", Ticks::Hand),
    (
        "the undo key is kept until nobody will go back",
        Ticks::Hand,
    ),
    (
        "the Supabase project is paused, and deleted when its retention ends",
        Ticks::Hand,
    ),
];

/// What an item can be ticked by.
pub struct Seen<'a> {
    /// The plan, with its checks.
    pub plan: &'a Plan,
    /// Evidence, the latest first.
    pub evidence: &'a [Verification],
    /// Gates and probes, in order; the last word on each counts.
    pub checked: &'a [&'a Checked],
    /// The time without writes.
    pub gap: Option<&'a WriteGap>,
}

/// Both lists, as they stand.
pub fn items(seen: &Seen<'_>) -> Vec<ChecklistItem> {
    let of = |list: Checklist, items: &'static [(&'static str, Ticks)]| {
        items.iter().map(move |(item, ticks)| {
            let (by, (state, told)) = (names(ticks), seen.tick(ticks));
            ChecklistItem {
                list,
                item: (*item).to_owned(),
                by,
                state,
                seen: told,
            }
        })
    };
    of(Checklist::Before, BEFORE)
        .chain(of(Checklist::After, AFTER))
        .collect()
}

fn names(ticks: &Ticks) -> Vec<String> {
    let prefixed = |prefix: &str, names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{prefix} {name}"))
            .collect()
    };
    match ticks {
        Ticks::Checks(names) => prefixed("check", names),
        Ticks::Gate(name) => prefixed("gate", &[name]),
        Ticks::Level(name) => prefixed("verify", &[name]),
        Ticks::Health(names) => prefixed("health", names),
        Ticks::Probes { of_alarms: true } => vec!["alarms".to_owned()],
        Ticks::Probes { of_alarms: false } => vec!["probes".to_owned()],
        Ticks::Gap => vec!["write gap".to_owned()],
        Ticks::Hand => Vec::new(),
    }
}

type Stand = (ItemState, String);

impl Seen<'_> {
    fn tick(&self, ticks: &Ticks) -> Stand {
        match ticks {
            Ticks::Checks(names) => of_checks(self.plan.checks.iter(), names),
            Ticks::Gate(name) => self.of_items(Checklist::Gate, |item| item == *name),
            Ticks::Level(level) => self.of_level(level),
            Ticks::Health(names) => self
                .evidence
                .iter()
                .find_map(|it| it.health.as_ref())
                .map_or_else(open, |health| {
                    of_checks(health.checks.iter().map(|it| &it.result), names)
                }),
            Ticks::Probes { of_alarms } => self.of_items(Checklist::Probe, |item| {
                item.starts_with("alarm") == *of_alarms
            }),
            Ticks::Gap => match self.gap {
                Some(_) => (
                    ItemState::Passed,
                    "in the section of the cutover".to_owned(),
                ),
                None => open(),
            },
            Ticks::Hand => (ItemState::ByHand, String::new()),
        }
    }

    /// The last word on each of some items of a list.
    fn of_items(&self, list: Checklist, is_meant: impl Fn(&str) -> bool) -> Stand {
        let meant = |it: &&Checked| it.list == list && is_meant(&it.item);
        let all = last_words(self.checked.iter().copied().filter(meant));
        worst(all.iter().map(|checked| {
            let state = match checked.outcome {
                CheckOutcome::Passed => ItemState::Passed,
                CheckOutcome::Failed => ItemState::Failed,
                CheckOutcome::Skipped => ItemState::Skipped,
            };
            (state, checked.seen.as_str())
        }))
    }

    fn of_level(&self, level: &str) -> Stand {
        let looked = self.evidence.iter().find(|it| it.looked_at(level));
        let Some(looked) = looked else {
            return open();
        };
        let differences = looked.differences.iter();
        let count = differences.filter(|it| level_of(it) == level).count();
        match count {
            0 => (ItemState::Passed, format!("looked at {}", looked.ended_at)),
            count => (
                ItemState::Failed,
                format!(
                    "{} at {}",
                    table::counted(count as u64, "difference"),
                    looked.ended_at
                ),
            ),
        }
    }
}

fn open() -> Stand {
    (ItemState::Open, String::new())
}

/// The last word on each item, in the order in which they were first spoken of.
pub fn last_words<'c>(checked: impl Iterator<Item = &'c Checked>) -> Vec<&'c Checked> {
    let mut last: Vec<&Checked> = Vec::new();
    for one in checked {
        match last.iter_mut().find(|it| it.item == one.item) {
            Some(before) => *before = one,
            None => last.push(one),
        }
    }
    last
}

fn of_checks<'c>(results: impl Iterator<Item = &'c CheckResult>, names: &[&str]) -> Stand {
    let meant = results.filter(|it| names.contains(&it.check.as_str()));
    worst(meant.map(|it| {
        let state = match it.verdict {
            Verdict::Pass => ItemState::Passed,
            Verdict::Warn => ItemState::Warned,
            Verdict::Fail => ItemState::Failed,
            Verdict::NotLookedAt => ItemState::Skipped,
        };
        (state, it.finding.as_str())
    }))
}

/// What is worst decides, and tells; one that was passed over does not spoil those that were seen.
fn worst<'t>(all: impl Iterator<Item = (ItemState, &'t str)>) -> Stand {
    let rank = |state: ItemState| match state {
        ItemState::Failed => 4,
        ItemState::Warned => 3,
        ItemState::Passed => 2,
        ItemState::Skipped => 1,
        ItemState::Open | ItemState::ByHand => 0,
    };
    let mut found: Option<(ItemState, &str)> = None;
    for (state, seen) in all {
        if found.is_none_or(|(before, _)| rank(state) > rank(before)) {
            found = Some((state, seen));
        }
    }
    found.map_or_else(open, |(state, seen)| (state, seen.to_owned()))
}

/// The level that a difference was found at.
fn level_of(difference: &Difference) -> &'static str {
    match difference {
        Difference::ChunkMissing { .. }
        | Difference::ChunkCorrupt { .. }
        | Difference::FileCorrupt { .. }
        | Difference::Chain { .. } => "chunks",
        Difference::Rows { .. } | Difference::TableUnreadable { .. } => "rows",
        Difference::Counts { .. } => "counts",
        Difference::Sequence { .. } => "sequences",
        Difference::Access(_) => "access",
        Difference::Health(_) => "health",
        Difference::Structure(_) => "schema",
        Difference::Clone(_) => "clone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::cutover::gates::GATES;
    use crate::report::sample;

    fn checked(list: Checklist, item: &str, outcome: CheckOutcome) -> Checked {
        Checked {
            list,
            item: item.to_owned(),
            outcome,
            seen: format!("{item} seen"),
        }
    }

    #[test]
    fn every_gate_has_its_item() {
        let ticked: Vec<&str> = BEFORE
            .iter()
            .filter_map(|(_, ticks)| match ticks {
                Ticks::Gate(name) => Some(*name),
                _ => None,
            })
            .collect();
        for gate in GATES {
            assert!(ticked.contains(&gate), "{gate}");
        }
        assert_eq!(ticked.len(), GATES.len());
    }

    #[test]
    fn items_are_ticked_by_the_last_word_and_the_worst_of_several() {
        let report = sample::report(2, |no| format!("t{no}"));
        let verification = report.verification.clone().unwrap();
        let words = [
            checked(Checklist::Gate, "window", CheckOutcome::Failed),
            checked(Checklist::Gate, "window", CheckOutcome::Passed),
            checked(Checklist::Probe, "invoke a", CheckOutcome::Passed),
            checked(Checklist::Probe, "invoke b", CheckOutcome::Failed),
            checked(Checklist::Probe, "alarm errors", CheckOutcome::Passed),
        ];
        let evidence = [verification];
        let seen = Seen {
            plan: &report.plan,
            evidence: &evidence,
            checked: &words.iter().collect::<Vec<_>>(),
            gap: None,
        };
        let all = items(&seen);
        let state = |item: &str| all.iter().find(|it| it.item == item).unwrap().state;
        assert_eq!(state("it is the maintenance window"), ItemState::Passed);
        assert_eq!(state("consumers reach the target"), ItemState::Failed);
        assert_eq!(state("alarms are quiet"), ItemState::Passed);
        assert_eq!(state("rows are equal"), ItemState::Failed);
        assert_eq!(state("stored chunks are whole"), ItemState::Passed);
        assert_eq!(
            state("what breaks at run time is dealt with"),
            ItemState::Warned
        );
        assert_eq!(state("a second person has approved"), ItemState::Open);
        assert_eq!(
            state("the time without writes is measured"),
            ItemState::Open
        );
        assert_eq!(state("the old credentials are revoked"), ItemState::ByHand);
    }
}
