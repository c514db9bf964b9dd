//! Large objects: how many, how big, and which of them the login may not read.

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::inventory::LargeObjects;

use crate::session::Session;

#[derive(Deserialize)]
struct Row {
    count: u64,
    bytes: u64,
    unreadable: u64,
    unreadable_oids: Vec<u32>,
    bounds: Vec<u32>,
}

#[derive(Deserialize)]
struct OidRow {
    oid: u32,
}

/// Reads what there is of large objects.
pub async fn large_objects(session: &mut Session) -> Result<LargeObjects> {
    let row: Row = session
        .fetch_one(include_str!("large_objects.sql"), &[])
        .await
        .map_err(|failure| failure.while_doing("could not read the list of large objects"))?;
    Ok(LargeObjects {
        count: row.count,
        bytes: row.bytes,
        unreadable: row.unreadable,
        unreadable_oids: row.unreadable_oids,
        bounds: row.bounds,
    })
}

/// Reads the OIDs of all large objects, ascending.
pub async fn large_object_oids(session: &mut Session) -> Result<Vec<u32>> {
    let rows: Vec<OidRow> = session
        .fetch(
            "select oid::int8 as oid from pg_catalog.pg_largeobject_metadata order by 1",
            &[],
        )
        .await
        .map_err(|failure| failure.while_doing("could not read the list of large objects"))?;
    Ok(rows.into_iter().map(|row| row.oid).collect())
}

/// Which of these OIDs are those of large objects here, ascending.
pub async fn large_objects_among(session: &mut Session, oids: &[u32]) -> Result<Vec<u32>> {
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = oids.iter().map(u32::to_string).collect();
    let rows: Vec<OidRow> = session
        .fetch(
            "select oid::int8 as oid from pg_catalog.pg_largeobject_metadata
              where oid = any ($1::pg_catalog.oid[]) order by 1",
            &[&format!("{{{}}}", list.join(","))],
        )
        .await
        .map_err(|failure| failure.while_doing("could not look for large objects"))?;
    Ok(rows.into_iter().map(|row| row.oid).collect())
}
