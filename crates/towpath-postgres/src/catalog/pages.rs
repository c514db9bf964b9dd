//! How many pages tables have.

use std::collections::HashMap;

use serde::Deserialize;
use towpath_model::{QualifiedName, Result};

use crate::session::Session;

#[derive(Deserialize)]
struct PagesRow {
    schema: String,
    name: String,
    pages: u64,
}

/// Pages of the heap of every table that has more than `above` of them, as the files are now.
pub async fn heap_pages(session: &mut Session, above: u64) -> Result<HashMap<QualifiedName, u64>> {
    let rows: Vec<PagesRow> = session
        .fetch(
            "select sized.*
               from (select n.nspname as schema, c.relname as name,
                            pg_catalog.pg_relation_size(c.oid)
                            / pg_catalog.current_setting('block_size')::int8 as pages
                       from pg_catalog.pg_class c
                       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                      where c.relkind = 'r') as sized
              where sized.pages > $1::int8",
            &[&above.to_string()],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (QualifiedName::new(row.schema, row.name), row.pages))
        .collect())
}
