//! The COPY statement of a chunk.

use towpath_model::digest::RunKey;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, OidRange, PageRange, PlannedChunk, PlannedTable, RowSource};

/// `COPY (select …) to stdout` of one chunk: named columns, this relation only (an inheritance
/// child's rows belong to the child), rows by page.
pub fn copy_statement(table: &PlannedTable, chunk: &PlannedChunk, key: &RunKey) -> String {
    let query = match table.rows {
        RowSource::Table => table_query(table, chunk),
        RowSource::LargeObjects { page_bytes } => large_objects_query(chunk, page_bytes),
    };
    format!(
        "copy ({query}) to stdout with ({})",
        copy_options(table.format, key)
    )
}

fn table_query(table: &PlannedTable, chunk: &PlannedChunk) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| match table.expressions.get(column) {
            None => quote_identifier(column),
            Some(expression) => format!("{expression} as {}", quote_identifier(column)),
        })
        .collect();
    let filter = chunk.pages.map(page_filter).unwrap_or_default();
    format!(
        "select {} from only {}{filter}",
        columns.join(", "),
        table.name.quoted()
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
            copy_statement(&table, &chunk, &RunKey::new([0; 32])),
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
            table_query(&table, &PlannedChunk::WHOLE),
            "select \"a\", null::text as \"b\" from only \"s\".\"t\""
        );
    }
}
