//! Sets sequences to the state they had on the source.

use towpath_model::Result;
use towpath_model::inventory::SequenceState;
use towpath_model::name::quote_literal;
use towpath_postgres::Session;

use crate::options::LoadContext;

/// Sequences set in one transaction: each is a lock, and the server's table of locks has room for
/// `max_locks_per_transaction` (64 by default) for each connection only.
const TOGETHER: usize = 500;

/// Sets every sequence. Doing it twice changes nothing.
pub async fn set_sequences(context: &LoadContext, sequences: &[SequenceState]) -> Result<()> {
    let mut session = context.connect("sequences").await?;
    set_sequences_by(&mut session, context.search_path(), sequences).await?;
    session.close().await;
    Ok(())
}

/// The same by a session of the caller's.
pub async fn set_sequences_by(
    session: &mut Session,
    search_path: &str,
    sequences: &[SequenceState],
) -> Result<()> {
    for batch in sequences.chunks(TOGETHER) {
        session.begin_writing(search_path).await?;
        session.execute(&setting(batch)).await.map_err(|failure| {
            let (first, last) = (&batch[0].name, &batch[batch.len() - 1].name);
            failure.while_doing(match batch {
                [only] => format!("could not set sequence {} on target", only.name),
                _ => format!("could not set sequences {first} to {last} on target"),
            })
        })?;
        session.commit().await?;
    }
    Ok(())
}

/// One statement for all of them: a server far away is asked once.
fn setting(batch: &[SequenceState]) -> String {
    let state = |state: &SequenceState| {
        // Both parts matter: (42, false) hands out 42 next, (42, true) hands out 43.
        format!(
            "pg_catalog.setval({}::pg_catalog.regclass, {}, {})",
            quote_literal(&state.name.quoted()),
            state.last_value,
            state.is_called
        )
    };
    let states: Vec<String> = batch.iter().map(state).collect();
    format!("select {}", states.join(", "))
}
