//! A sample of stored rows.

use towpath_mask::row::{Pieces, RowTexts};
use towpath_model::Result;
use towpath_model::digest::RunKey;
use towpath_model::plan::PlannedTable;
use towpath_store::ChunkReader;

use super::columns::Column;
use super::sample::{CHARACTERS, VALUES};
use crate::pipeline::clone::Sealed;

/// Chunks of a table that are looked into, spread over all of them.
const CHUNKS: usize = 3;

/// Blocks of a chunk that are read at most, each about a mebibyte.
const BLOCKS: usize = 16;

/// Rows of a block that are looked at, spread over it.
const ROWS: usize = 40;

/// What was read of a table.
#[derive(Default)]
pub(super) struct Stored<'c> {
    pub(super) values: Vec<(&'c Column, Vec<String>)>,
    pub(super) notes: Vec<String>,
}

/// Reads rows of the beginnings of some chunks of a table: who clones a sealed run of terabytes does
/// not want it read twice. Their hashes are proven when they are loaded: what
/// is told here is only what they look like.
pub(super) async fn read<'c>(
    from: &Sealed,
    key: &RunKey,
    planned: &PlannedTable,
    columns: &[&'c Column],
) -> Result<Stored<'c>> {
    // As the sealed run has it: the plan of the clone may have other ideas of the format.
    let tables = &from.plan.plan.tables;
    let Some(sealed) = tables.iter().find(|table| table.id == planned.id) else {
        return Ok(Stored::default());
    };
    let wanted: Vec<(usize, &'c Column)> = columns
        .iter()
        .filter_map(|column| {
            let names = &mut sealed.columns.iter();
            Some((names.position(|name| *name == column.name)?, *column))
        })
        .collect();
    let types: Vec<(usize, &str)> = wanted
        .iter()
        .map(|(at, column)| (*at, column.wanted.base_type.as_str()))
        .collect();
    let mut texts = RowTexts::new(key, sealed.format, sealed.columns.len(), &types)?;
    let notes = texts
        .unknown()
        .filter_map(|at| types.get(at).zip(wanted.get(at)))
        .map(|((_, base_type), (_, column))| {
            format!("{column}: stored values of type {base_type} cannot be read, so only its name was looked at")
        })
        .collect();
    let mut values: Vec<(&Column, Vec<String>)> = wanted
        .iter()
        .map(|(_, column)| (*column, Vec::new()))
        .collect();
    let exported = &from.manifest.tables;
    let chunks = exported.iter().find(|table| table.table == planned.id);
    let chunks = chunks
        .map(|table| table.chunks.as_slice())
        .unwrap_or_default();
    let filled: Vec<_> = chunks
        .iter()
        .filter(|chunk| chunk.digest.rows > 0)
        .collect();
    for chunk in filled.iter().step_by(filled.len().div_ceil(CHUNKS).max(1)) {
        let mut reader = ChunkReader::open(&from.store, chunk).await?;
        let mut pieces = Pieces::new(sealed.format);
        for _ in 0..BLOCKS {
            let Some(block) = reader.next().await? else {
                break;
            };
            let rows = pieces.whole_rows(&block);
            for row in rows.iter().step_by(rows.len().div_ceil(ROWS).max(1)) {
                for ((_, seen), text) in values.iter_mut().zip(texts.of_row(row)?) {
                    if let Some(text) = text.filter(|_| seen.len() < VALUES * CHUNKS) {
                        seen.push(text.chars().take(CHARACTERS).collect());
                    }
                }
            }
        }
    }
    Ok(Stored { values, notes })
}
