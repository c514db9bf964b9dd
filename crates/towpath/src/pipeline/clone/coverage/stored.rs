//! A sample of stored rows.

use towpath_mask::row::{Pieces, RowTexts};
use towpath_model::Result;
use towpath_model::digest::RunKey;
use towpath_model::plan::PlannedTable;
use towpath_store::ChunkReader;

use super::columns::Column;
use super::sample::CHARACTERS;
use crate::pipeline::clone::Sealed;

/// Values of a column that are looked at in one chunk, NULLs left out.
const VALUES: usize = 200;

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

/// Values of a column. The first chunk must not be all that is looked at: it holds the oldest rows.
#[derive(Default)]
struct Taken {
    values: Vec<String>,
    /// How many there were when the chunk began.
    before: usize,
}

impl Taken {
    fn begin_chunk(&mut self) {
        self.before = self.values.len();
    }

    fn take(&mut self, text: &str) {
        if self.values.len() < self.before + VALUES {
            self.values.push(text.chars().take(CHARACTERS).collect());
        }
    }
}

/// Reads rows of the beginnings of some chunks of a table: who clones a sealed run of terabytes does
/// not want it read twice. Their hashes are proven when they are loaded: what is told here is only what
/// they look like.
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
    let mut taken: Vec<Taken> = wanted.iter().map(|_| Taken::default()).collect();
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
        taken.iter_mut().for_each(Taken::begin_chunk);
        for _ in 0..BLOCKS {
            let Some(block) = reader.next().await? else {
                break;
            };
            let rows = pieces.whole_rows(&block);
            for row in rows.iter().step_by(rows.len().div_ceil(ROWS).max(1)) {
                for (taken, text) in taken.iter_mut().zip(texts.of_row(row)?) {
                    if let Some(text) = text {
                        taken.take(&text);
                    }
                }
            }
        }
    }
    let columns = wanted.iter().map(|(_, column)| *column);
    let values = columns.zip(taken.into_iter().map(|it| it.values)).collect();
    Ok(Stored { values, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_has_its_say() {
        let mut taken = Taken::default();
        for (chunk, offered) in [("a", 1000), ("b", 3), ("c", 1000)] {
            taken.begin_chunk();
            (0..offered).for_each(|_| taken.take(chunk));
        }
        let of = |chunk| taken.values.iter().filter(|it| *it == chunk).count();
        assert_eq!((of("a"), of("b"), of("c")), (VALUES, 3, VALUES));
        taken.begin_chunk();
        taken.take(&"ä".repeat(CHARACTERS + 1));
        let last = taken.values.last().map(|it| it.chars().count());
        assert_eq!(last, Some(CHARACTERS));
    }
}
