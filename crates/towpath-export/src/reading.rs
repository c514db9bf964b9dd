//! The COPY statement of a chunk.

use towpath_model::digest::RunKey;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, OidRange, PageRange, PlannedChunk, PlannedTable, RowSource};
use towpath_model::subset::{KeptRows, TableSubset, tid_array};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::options::ExportContext;

/// Where the places of the rows to be read are held while they are read. In the statement itself they
/// would be in the source's log and in `pg_stat_statements`, megabytes of them.
const PLACES: &str = "towpath.places";

/// Makes the session ready to read a chunk; gives the statement that reads it.
pub(crate) async fn begin_reading(
    context: &ExportContext,
    session: &mut Session,
    table: &PlannedTable,
    chunk: &PlannedChunk,
) -> Result<String> {
    let which = which_rows(&context.kept, table, chunk)?;
    if let Which::Placed(places) = which {
        // A setting that ends with the transaction: nothing is written, and no value comes back.
        let hold = "select pg_catalog.left(pg_catalog.set_config($1, $2, true), 0)";
        session.scalar(hold, &[PLACES, &tid_array(places)]).await?;
    }
    Ok(copy_statement(table, chunk, which, &context.key))
}

/// Which rows of a slice are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which<'k> {
    All,
    None,
    /// Those at these places.
    Placed(&'k [u64]),
}

/// The plan says of which tables some rows go; the key sets, which are of one snapshot, say which.
fn which_rows<'k>(
    kept: &'k KeptRows,
    table: &PlannedTable,
    chunk: &PlannedChunk,
) -> Result<Which<'k>> {
    match (table.subset, kept.of(&table.id)) {
        (None, None) => Ok(Which::All),
        (Some(TableSubset::Empty), _) => Ok(Which::None),
        (Some(TableSubset::Kept { .. }), Some(rows)) => Ok(match rows.within(chunk.pages) {
            [] => Which::None,
            places => Which::Placed(places),
        }),
        (Some(TableSubset::Kept { .. }), None) => Err(Failure::new(
            ErrorKind::Internal,
            format!("no rows of {} were chosen", table.name),
        )),
        (None, Some(_)) => Err(Failure::new(
            ErrorKind::Internal,
            format!("rows of {} were chosen, and all are planned", table.name),
        )),
    }
}

/// `COPY (select …) to stdout` of one chunk: named columns, this relation only (an inheritance
/// child's rows belong to the child), rows by page.
fn copy_statement(
    table: &PlannedTable,
    chunk: &PlannedChunk,
    which: Which<'_>,
    key: &RunKey,
) -> String {
    let query = match (table.rows, which) {
        (RowSource::LargeObjects { page_bytes }, Which::All) => {
            large_objects_query(chunk, page_bytes)
        }
        (RowSource::LargeObjects { page_bytes }, _) => {
            let all = large_objects_query(chunk, page_bytes);
            format!("select * from ({all}) as none where false")
        }
        (RowSource::Table, which) => table_query(table, chunk, which),
    };
    format!(
        "copy ({query}) to stdout with ({})",
        copy_options(table.format, key)
    )
}

fn table_query(table: &PlannedTable, chunk: &PlannedChunk, which: Which<'_>) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| match table.expressions.get(column) {
            None => quote_identifier(column),
            Some(expression) => format!("{expression} as {}", quote_identifier(column)),
        })
        .collect();
    let filter = match which {
        Which::All => chunk.pages.map(page_filter).unwrap_or_default(),
        Which::None => " where false".to_owned(),
        Which::Placed(_) => placed_filter(),
    };
    format!(
        "select {} from only {}{filter}",
        columns.join(", "),
        table.name.quoted()
    )
}

/// Read by a Tid Scan, which sorts the places and fetches no page besides theirs. A table of a few
/// pages may be read from its beginning to its end all the same: the subquery is computed once, and
/// without it the text would be taken apart for every row.
fn placed_filter() -> String {
    format!(
        " where ctid = any ((select pg_catalog.current_setting({})::pg_catalog.tid[])::pg_catalog.tid[])",
        quote_literal(PLACES)
    )
}

/// Pages of the large objects of a chunk. `pg_largeobject` itself is for superusers, so the size is
/// asked of a descriptor (PostgreSQL manual, "Large Objects", server-side functions; 262144 is
/// `INV_READ`, 2 is `SEEK_END`) and every page is a call of `lo_get`. Descriptors live as long as
/// the transaction, so each is closed at once.
///
/// Opening, asking and closing are steps of one scan, kept apart by `offset 0`. As joined subqueries
/// they would be wrong: the next object gets the number of the descriptor just closed, and the
/// planner may remember (`Memoize`) what it was told of that number before.
fn large_objects_query(chunk: &PlannedChunk, page_bytes: u32) -> String {
    let filter = chunk.oids.map(oid_filter).unwrap_or_default();
    format!(
        "select d.loid, d.start, d.data
           from (select o.loid, p.start, o.bytes,
                        pg_catalog.lo_get(o.loid, p.start, {page_bytes}) as data
                   from (select s.loid, s.bytes, pg_catalog.lo_close(s.fd) as closed
                           from (select f.loid, f.fd, pg_catalog.lo_lseek64(f.fd, 0, 2) as bytes
                                   from (select m.oid as loid, pg_catalog.lo_open(m.oid, 262144) as fd
                                           from pg_catalog.pg_largeobject_metadata m{filter}
                                         offset 0) as f
                                 offset 0) as s
                         offset 0) as o
                  cross join lateral pg_catalog.generate_series(
                                0::int8, greatest(o.bytes - 1, 0), {page_bytes}::int8) as p (start)
                  where o.closed = 0
                 offset 0) as d
          where d.start + {page_bytes} >= d.bytes
             or d.data <> pg_catalog.decode(pg_catalog.repeat('00', {page_bytes}), 'hex')"
    )
}

fn oid_filter(range: OidRange) -> String {
    let from = format!(" where m.oid >= {}::pg_catalog.oid", range.from_oid);
    match range.to_oid {
        Some(to) => format!("{from} and m.oid < {to}::pg_catalog.oid"),
        None => from,
    }
}

fn page_filter(range: PageRange) -> String {
    let from = format!(" where ctid >= '({},0)'::pg_catalog.tid", range.from_page);
    match range.to_page {
        Some(to) => format!("{from} and ctid < '({to},0)'::pg_catalog.tid"),
        None => from,
    }
}

fn copy_options(format: Format, key: &RunKey) -> String {
    match format {
        Format::Binary => "format binary".to_owned(),
        Format::Csv => format!("format csv, null {}", quote_literal(&key.null_marker())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use towpath_model::subset::RowSet;
    use towpath_model::{QualifiedName, TableId};

    #[test]
    fn names_are_quoted_and_ranges_half_open() {
        let name = QualifiedName::new("App Data", "Mixed.Dot");
        let table = PlannedTable {
            id: TableId::of(&name),
            name,
            columns: vec!["Order".to_owned(), "weird \"col\"".to_owned()],
            key: Vec::new(),
            types: Vec::new(),
            rows: RowSource::Table,
            expressions: BTreeMap::new(),
            masks: std::collections::BTreeMap::new(),
            subset: None,
            format: Format::Binary,
            format_reason: None,
            bytes: 0,
            estimated_rows: 0,
            force_row_security: false,
            chunks: Vec::new(),
        };
        let chunk = PlannedChunk {
            no: 2,
            pages: Some(PageRange {
                from_page: 10,
                to_page: Some(20),
            }),
            oids: None,
        };
        assert_eq!(
            copy_statement(&table, &chunk, Which::All, &RunKey::new([0; 32])),
            "copy (select \"Order\", \"weird \"\"col\"\"\" from only \"App Data\".\"Mixed.Dot\" \
             where ctid >= '(10,0)'::pg_catalog.tid and ctid < '(20,0)'::pg_catalog.tid) \
             to stdout with (format binary)"
        );
    }

    #[test]
    fn a_column_with_an_expression_keeps_its_name() {
        let name = QualifiedName::new("s", "t");
        let table = PlannedTable {
            id: TableId::of(&name),
            name,
            columns: vec!["a".to_owned(), "b".to_owned()],
            key: Vec::new(),
            types: Vec::new(),
            rows: RowSource::Table,
            expressions: BTreeMap::from([("b".to_owned(), "null::text".to_owned())]),
            masks: std::collections::BTreeMap::new(),
            subset: None,
            format: Format::Binary,
            format_reason: None,
            bytes: 0,
            estimated_rows: 0,
            force_row_security: false,
            chunks: Vec::new(),
        };
        assert_eq!(
            table_query(&table, &PlannedChunk::WHOLE, Which::All),
            "select \"a\", null::text as \"b\" from only \"s\".\"t\""
        );
    }

    #[test]
    fn of_a_subset_exactly_the_kept_places_of_a_slice_are_read() {
        let name = QualifiedName::new("s", "t");
        let kept = TableSubset::Kept {
            estimated_rows: 3,
            estimated_bytes: 0,
        };
        let mut table = planned(&name, Some(kept));
        let places = [(0, 7), (9, 65_535), (10, 1)].map(|(p, n)| RowSet::place(p, n));
        let mut rows = KeptRows::default();
        let slice = |from_page, to_page| PlannedChunk {
            pages: Some(PageRange { from_page, to_page }),
            ..PlannedChunk::WHOLE
        };
        assert!(
            which_rows(&rows, &table, &slice(0, None)).is_err(),
            "not chosen is not all"
        );
        rows.tables
            .insert(table.id.clone(), RowSet::new(places.to_vec()));
        let which = |chunk: &PlannedChunk| which_rows(&rows, &table, chunk).unwrap();
        assert_eq!(which(&slice(0, Some(10))), Which::Placed(&places[..2]));
        assert_eq!(which(&slice(10, None)), Which::Placed(&places[2..]));
        assert_eq!(which(&slice(1, Some(9))), Which::None);
        let read = table_query(&table, &slice(10, None), Which::Placed(&places[2..]));
        assert!(read.contains("= any ((select pg_catalog.current_setting('towpath.places')"));
        table.subset = None;
        assert!(
            which_rows(&rows, &table, &slice(0, None)).is_err(),
            "some are not all"
        );
        table.subset = Some(TableSubset::Empty);
        assert_eq!(
            which_rows(&rows, &table, &slice(0, None)).unwrap(),
            Which::None
        );
        assert!(table_query(&table, &slice(0, None), Which::None).ends_with("\"t\" where false"));
    }

    fn planned(name: &QualifiedName, subset: Option<TableSubset>) -> PlannedTable {
        PlannedTable {
            id: TableId::of(name),
            name: name.clone(),
            columns: vec!["a".to_owned()],
            key: Vec::new(),
            types: Vec::new(),
            rows: RowSource::Table,
            expressions: BTreeMap::new(),
            masks: BTreeMap::new(),
            subset,
            format: Format::Binary,
            format_reason: None,
            bytes: 0,
            estimated_rows: 0,
            force_row_security: false,
            chunks: Vec::new(),
        }
    }
}
