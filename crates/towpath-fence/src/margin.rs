//! How far ahead of the source the sequences of the target begin.

use serde::Deserialize;
use towpath_model::inventory::SequenceState;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

/// How a sequence counts.
#[derive(Debug, Clone, Deserialize)]
struct Bounds {
    schema: String,
    name: String,
    increment: i64,
    min: i64,
    max: i64,
}

/// The states with so many numbers left out ahead of each. `nextval` fires no trigger: a client that
/// only draws numbers goes on under the fence, and what it draws must not be drawn on the target
/// again. A sequence that has fewer than twice as many numbers left keeps its state: better the same
/// number twice in a place that no row shows than none at all.
pub async fn with_margin(
    session: &mut Session,
    states: &[SequenceState],
    margin: u64,
) -> Result<Vec<SequenceState>> {
    let bounds: Vec<Bounds> = session
        .fetch(
            "select n.nspname as schema, c.relname as name,
                    s.seqincrement as increment, s.seqmin as min, s.seqmax as max
               from pg_catalog.pg_sequence s
               join pg_catalog.pg_class c on c.oid = s.seqrelid
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace",
            &[],
        )
        .await?;
    let bounds_of = |name: &QualifiedName| {
        bounds
            .iter()
            .find(|bounds| bounds.schema == name.schema && bounds.name == name.name)
    };
    Ok(states
        .iter()
        .map(|state| match bounds_of(&state.name) {
            Some(bounds) => ahead(state, bounds, margin),
            None => state.clone(),
        })
        .collect())
}

fn ahead(state: &SequenceState, bounds: &Bounds, margin: u64) -> SequenceState {
    let last = i128::from(state.last_value);
    let room = match bounds.increment {
        up if up > 0 => i128::from(bounds.max) - last,
        _ => last - i128::from(bounds.min),
    };
    let step = i128::from(bounds.increment) * i128::from(margin);
    let moved = i64::try_from(last + step);
    match moved {
        Ok(last_value) if room >= 2 * step.abs() => SequenceState {
            last_value,
            ..state.clone()
        },
        _ => state.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(last_value: i64, increment: i64, min: i64, max: i64, margin: u64) -> i64 {
        let state = SequenceState {
            name: QualifiedName::new("public", "s"),
            last_value,
            is_called: true,
        };
        let bounds = Bounds {
            schema: "public".to_owned(),
            name: "s".to_owned(),
            increment,
            min,
            max,
        };
        ahead(&state, &bounds, margin).last_value
    }

    #[test]
    fn numbers_are_left_out_in_the_direction_of_the_sequence() {
        assert_eq!(moved(42, 1, 1, i64::MAX, 1000), 1042);
        assert_eq!(moved(42, 10, 1, i64::MAX, 1000), 10_042);
        assert_eq!(moved(-100, -1, i64::MIN, -1, 1000), -1100);
        assert_eq!(moved(42, 1, 1, i64::MAX, 0), 42);
    }

    #[test]
    fn a_sequence_that_is_nearly_used_up_keeps_what_it_has() {
        assert_eq!(moved(32_000, 1, 1, 32_767, 1000), 32_000);
        assert_eq!(moved(30_000, 1, 1, 32_767, 1000), 31_000);
        assert_eq!(moved(i64::MAX - 5, 1, 1, i64::MAX, 1000), i64::MAX - 5);
        assert_eq!(
            moved(i64::MIN + 5, -3, i64::MIN, -1, u64::MAX),
            i64::MIN + 5
        );
        assert_eq!(moved(5, 1, 1, 100, 1000), 5);
    }
}
