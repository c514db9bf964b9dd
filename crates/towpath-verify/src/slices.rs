//! Cuts the reading of a side into pieces of about equal size, so that one big table keeps every
//! worker busy. Nothing of how the export cut its chunks is in it: digests add up, wherever a table
//! is cut.

use towpath_model::Result;
use towpath_model::connection::Side;
use towpath_model::plan::PlannedTable;
use towpath_postgres::{Session, catalog};

/// Pages of the heap that one worker reads at once: 64 MiB of the usual 8 KiB.
const PAGES: u64 = 8192;

/// A piece of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Which table of the plan.
    pub(crate) table_no: usize,
    /// First page, and first page after it; the last piece has no end. Nothing: all of it.
    pub(crate) pages: Option<(u64, Option<u64>)>,
}

impl Slice {
    /// The condition that a row of it meets.
    pub(crate) fn condition(&self) -> String {
        match self.pages {
            None => String::new(),
            Some((from, None)) => format!(" where ctid >= '({from},0)'::pg_catalog.tid"),
            Some((from, Some(to))) => format!(
                " where ctid >= '({from},0)'::pg_catalog.tid and ctid < '({to},0)'::pg_catalog.tid"
            ),
        }
    }
}

/// Whether the rows of a table have to be read all at once, in a transaction of their own.
///
/// The RDS master owns the table and has no BYPASSRLS: under FORCE even the owner would be refused,
/// so it is lifted for that one transaction.
pub(crate) fn must_lift_row_security(table: &PlannedTable, side: Side) -> bool {
    table.force_row_security && side == Side::Target
}

/// The pieces of all planned tables, in the order of the plan: biggest tables first.
pub(crate) async fn slices(session: &mut Session, tables: &[PlannedTable]) -> Result<Vec<Slice>> {
    let pages = catalog::heap_pages(session, PAGES).await?;
    let side = session.side();
    let pieces = tables.iter().enumerate().flat_map(|(table_no, table)| {
        let whole = !table.rows.is_table() || must_lift_row_security(table, side);
        let pages = pages.get(&table.name).filter(|_| !whole);
        cut(pages.copied().unwrap_or(0))
            .into_iter()
            .map(move |pages| Slice { table_no, pages })
    });
    Ok(pieces.collect())
}

/// Ranges that together cover every page, those beyond `pages` too.
fn cut(pages: u64) -> Vec<Option<(u64, Option<u64>)>> {
    let count = pages.div_ceil(PAGES);
    if count < 2 {
        return vec![None];
    }
    (0..count)
        .map(|at| Some((at * PAGES, (at + 1 < count).then_some((at + 1) * PAGES))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_one_piece() {
        assert_eq!(cut(0), [None]);
        assert_eq!(cut(PAGES), [None]);
        for pages in [PAGES + 1, 2 * PAGES, 2 * PAGES + 1, 100 * PAGES + 7] {
            let mut next = Some(0);
            for range in cut(pages) {
                let (from, to) = range.unwrap();
                assert_eq!(next, Some(from));
                next = to;
            }
            assert_eq!(next, None, "{pages} pages and what grows");
        }
    }

    #[test]
    fn a_condition_names_both_ends() {
        let slice = |pages| Slice { table_no: 0, pages }.condition();
        assert_eq!(slice(None), "");
        assert_eq!(
            slice(Some((5, Some(9)))),
            " where ctid >= '(5,0)'::pg_catalog.tid and ctid < '(9,0)'::pg_catalog.tid"
        );
        assert_eq!(
            slice(Some((9, None))),
            " where ctid >= '(9,0)'::pg_catalog.tid"
        );
    }
}
