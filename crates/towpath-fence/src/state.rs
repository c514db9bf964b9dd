//! What the source says of its fence.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use towpath_model::cutover::Fence;
use towpath_model::{ErrorKind, Failure, Result, RunId};
use towpath_postgres::Session;

/// Of the notes on the source. One that is not known is not touched.
pub(crate) const VERSION: i32 = 1;

/// A fence on the source.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose it is.
    pub run: RunId,
    /// The fence, as it was put up.
    pub fence: Fence,
    /// It lets writes pass already, and is not cleared away completely.
    pub is_open: bool,
    pub(crate) note: Note,
}

/// The note on the source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Note {
    pub version: i32,
    pub run: String,
    pub is_open: bool,
    /// Second key of the lock that clients wait for.
    pub key: i32,
    /// Transaction that put the fence up.
    pub xid: String,
    pub fence: Fence,
    /// What is proven, by table.
    pub tables: Value,
}

impl Note {
    pub(crate) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|cause| {
            Failure::new(ErrorKind::Internal, "could not write the fence down").because(cause)
        })
    }
}

/// Looks for a fence. Works within a transaction and without.
pub async fn find(session: &mut Session) -> Result<Option<Found>> {
    let text = session
        .scalar(
            "select coalesce(
                        pg_catalog.obj_description(pg_catalog.to_regprocedure('towpath_fence.refuse()'), 'pg_proc'),
                        'nothing')
               from pg_catalog.pg_namespace n
              where n.nspname = 'towpath_fence'",
            &[],
        )
        .await
        .map_err(|failure| failure.while_doing("could not look for a fence on source"))?;
    let Some(text) = text else {
        return Ok(None);
    };
    // The version first: another one may look otherwise.
    let version = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|note| note.get("version").and_then(Value::as_i64));
    match version {
        Some(version) if version == i64::from(VERSION) => {}
        Some(version) => {
            return Err(Failure::new(
                ErrorKind::DocumentVersion,
                format!(
                    "the fence on source is of version {version}, this towpath knows {VERSION}"
                ),
            )
            .hint("use the towpath that put it up"));
        }
        None => return Err(foreign()),
    }
    let note: Note = serde_json::from_str(&text).map_err(|cause| foreign().because(cause))?;
    Ok(Some(Found {
        run: note.run.parse()?,
        fence: note.fence.clone(),
        is_open: note.is_open,
        note,
    }))
}

fn foreign() -> Failure {
    Failure::new(
        ErrorKind::Blocked,
        "source has a schema towpath_fence that is not towpath's",
    )
    .hint("rename it, or drop it: towpath keeps its fence in a schema of that name")
}
