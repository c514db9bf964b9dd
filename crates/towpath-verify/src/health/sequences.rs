//! Every sequence is ahead of the column that it fills.

use towpath_model::health::HealthCheck;
use towpath_model::name::readable;
use towpath_model::upkeep::{SequenceColumn, SequenceReach};

use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "sequences-ahead";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let (mut behind, mut inherited, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let mut looked_at = 0;
    for used in facts.sequences {
        let of = &used.of;
        match &used.found {
            Err(reason) => left.push(format!("{} of {}: {reason}", of.sequence, place(of))),
            Ok(reach) => {
                looked_at += 1;
                if let Some(problem) = problem(of, reach) {
                    let told = format!("{} {problem}", of.sequence);
                    let as_exported = facts.exported.contains(&reach.state);
                    if as_exported {
                        &mut inherited
                    } else {
                        &mut behind
                    }
                    .push(told);
                }
            }
        }
    }
    if !behind.is_empty() {
        behind.extend(inherited);
        return fail(
            CHECK,
            "sequences give values that are taken, or none",
            behind,
            "`select setval('…', (select max(…) from …))`; an exhausted one wants a wider type",
        );
    }
    if !inherited.is_empty() {
        return warn(
            CHECK,
            "sequences give values that are taken, or none, just as they did on the source when it was exported",
            inherited,
            "`select setval('…', (select max(…) from …))`",
        );
    }
    let found = format!("{} ahead of their columns", counted(looked_at, "sequence"));
    match left.is_empty() {
        true => pass(CHECK, found),
        false => warn(
            CHECK,
            &format!("{found}; nobody looked at the others"),
            left,
            "look at them by hand: `select max(…)` beside the sequence's `last_value`",
        ),
    }
}

fn place(column: &SequenceColumn) -> String {
    format!("{}.{}", column.table, readable(&column.column))
}

/// What is wrong between a sequence and a column, if anything. It tells distances, no values.
fn problem(of: &SequenceColumn, reach: &SequenceReach) -> Option<String> {
    let step = i128::from(of.increment);
    let last = i128::from(reach.state.last_value);
    let next = if reach.state.is_called {
        last + step
    } else {
        last
    };
    let place = place(of);
    let (min, max) = (i128::from(of.min), i128::from(of.max));
    let is_over = if step > 0 { next > max } else { next < min };
    if is_over {
        // It begins anew, on purpose, and may meet what is there.
        return (!of.cycles).then(|| format!("is exhausted, and {place} takes from it"));
    }
    let largest = i128::from(of.largest?);
    if next > largest || next < -largest - 1 {
        return Some(format!("gives more than {place} can hold"));
    }
    let furthest = i128::from(reach.furthest?);
    let ahead = (next - furthest) * step.signum();
    (ahead <= 0 && !of.cycles).then(|| format!("is {} behind {place}", 1 - ahead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::QualifiedName;
    use towpath_model::inventory::SequenceState;

    fn column() -> SequenceColumn {
        SequenceColumn {
            sequence: QualifiedName::new("public", "orders_id_seq"),
            table: QualifiedName::new("public", "orders"),
            column: "id".to_owned(),
            largest: Some(i64::from(i32::MAX)),
            increment: 1,
            min: 1,
            max: i64::MAX,
            cycles: false,
            readable: true,
            is_cheap: true,
        }
    }

    fn at(last_value: i64, is_called: bool, furthest: Option<i64>) -> SequenceReach {
        SequenceReach {
            state: SequenceState {
                name: column().sequence,
                last_value,
                is_called,
            },
            furthest,
        }
    }

    #[test]
    fn the_next_value_has_to_be_free() {
        let told = |reach| problem(&column(), &reach);
        assert_eq!(told(at(10, true, Some(10))), None);
        assert_eq!(told(at(11, false, Some(10))), None);
        assert_eq!(told(at(1, false, None)), None);
        let behind = |by: u32| Some(format!("is {by} behind public.orders.id"));
        assert_eq!(told(at(10, false, Some(10))), behind(1));
        assert_eq!(told(at(9, true, Some(10))), behind(1));
        assert_eq!(told(at(1, false, Some(10))), behind(10));
    }

    #[test]
    fn a_sequence_that_goes_down_has_to_be_below() {
        let down = SequenceColumn {
            increment: -1,
            min: i64::MIN,
            max: -1,
            ..column()
        };
        assert_eq!(problem(&down, &at(-5, true, Some(-5))), None);
        assert!(problem(&down, &at(-4, true, Some(-5))).is_some());
    }

    #[test]
    fn its_end_and_the_columns_end_are_told() {
        let told = |of: &SequenceColumn, reach| problem(of, &reach).unwrap_or_default();
        let end = i64::from(i32::MAX);
        assert!(told(&column(), at(end, true, Some(end))).contains("can hold"));
        let short = SequenceColumn {
            max: 100,
            ..column()
        };
        assert!(told(&short, at(100, true, Some(100))).contains("exhausted"));
        let round = SequenceColumn {
            cycles: true,
            ..short
        };
        assert_eq!(problem(&round, &at(100, true, Some(100))), None);
        let widest = SequenceColumn {
            largest: Some(i64::MAX),
            ..column()
        };
        assert!(told(&widest, at(i64::MAX, true, Some(5))).contains("exhausted"));
    }
}
