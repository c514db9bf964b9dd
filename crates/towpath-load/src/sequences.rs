//! Sets sequences to the state they had on the source.

use towpath_model::Result;
use towpath_model::inventory::SequenceState;
use towpath_model::name::quote_literal;

use crate::options::LoadContext;

/// Sets every sequence, in one transaction. Doing it twice changes nothing.
pub async fn set_sequences(context: &LoadContext, sequences: &[SequenceState]) -> Result<()> {
    let mut session = context.connect("sequences").await?;
    session.begin_writing(context.search_path()).await?;
    for state in sequences {
        // Both parts matter: (42, false) hands out 42 next, (42, true) hands out 43.
        let sql = format!(
            "select pg_catalog.setval({}::pg_catalog.regclass, {}, {})",
            quote_literal(&state.name.quoted()),
            state.last_value,
            state.is_called
        );
        session.execute(&sql).await.map_err(|failure| {
            failure.while_doing(format!("could not set sequence {} on target", state.name))
        })?;
    }
    session.commit().await?;
    session.close().await;
    Ok(())
}
