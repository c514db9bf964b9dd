//! Sequences of the target against the manifest.

use std::collections::HashMap;

use towpath_model::Result;
use towpath_model::inventory::SequenceState;
use towpath_model::verification::Difference;
use towpath_postgres::{Session, catalog};

/// What every sequence of the manifest should be: as it was exported, or as a cutover has set it.
pub(crate) fn expected(
    exported: &[SequenceState],
    carried: &[SequenceState],
) -> Vec<SequenceState> {
    let carried: HashMap<_, _> = carried.iter().map(|state| (&state.name, state)).collect();
    exported
        .iter()
        .map(|state| carried.get(&state.name).copied().unwrap_or(state).clone())
        .collect()
}

/// Compares every sequence of the manifest.
pub(crate) async fn check(
    session: &mut Session,
    expected: &[SequenceState],
) -> Result<Vec<Difference>> {
    session.begin_reading().await?;
    let there = catalog::sequences(session).await?;
    let known: Vec<_> = expected
        .iter()
        .map(|s| s.name.clone())
        .filter(|name| there.contains(name))
        .collect();
    let found = catalog::sequence_states(session, &known).await?;
    session.rollback().await?;
    Ok(expected
        .iter()
        .filter_map(|expected| {
            let found = found.iter().find(|state| state.name == expected.name);
            (found != Some(expected)).then(|| Difference::Sequence {
                expected: expected.clone(),
                found: found.cloned(),
            })
        })
        .collect())
}
