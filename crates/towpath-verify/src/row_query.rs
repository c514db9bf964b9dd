//! The SQL that reads rows as they are compared.

use towpath_model::connection::Side;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PlannedTable, RowSource};

/// The rows of a table that meet a condition, as COPY writes them.
pub(crate) fn copy_statement(
    table: &PlannedTable,
    side: Side,
    condition: &str,
    null_marker: &str,
) -> String {
    copy_of(&rows(table, side, condition), table.format, null_marker)
}

/// COPY of a query in a format.
pub(crate) fn copy_of(query: &str, format: Format, null_marker: &str) -> String {
    let form = match format {
        Format::Binary => "format binary".to_owned(),
        Format::Csv => format!("format csv, null {}", quote_literal(null_marker)),
    };
    format!("copy ({query}) to stdout ({form})")
}

/// The rows of a table that meet a condition.
pub(crate) fn rows(table: &PlannedTable, side: Side, condition: &str) -> String {
    match table.rows {
        RowSource::Table => format!("{}{condition}", rows_of_table(table, side)),
        RowSource::LargeObjects { page_bytes } => pages_of_large_objects(page_bytes),
    }
}

/// On the source, a column that was not exported as it is must be read as it was exported; on the
/// target it holds just that.
fn rows_of_table(table: &PlannedTable, side: Side) -> String {
    let column = |name: &String| match table.expressions.get(name) {
        Some(expression) if side == Side::Source => expression.clone(),
        _ => quote_identifier(name),
    };
    let list: Vec<String> = table.columns.iter().map(column).collect();
    format!(
        "select {} from only {}",
        list.join(","),
        table.name.quoted()
    )
}

/// Every page of every large object that is no hole, and the last page whatever it holds: its place
/// tells the object's size.
pub(crate) fn pages_of_large_objects(page_bytes: u32) -> String {
    format!(
        "with measured as (
             select opened.oid, opened.size, pg_catalog.lo_close(opened.fd) as closed
             from (
                 select found.oid, found.fd, pg_catalog.lo_lseek64(found.fd, 0, 2) as size
                 from (
                     select oid, pg_catalog.lo_open(oid, 262144) as fd
                     from pg_catalog.pg_largeobject_metadata
                     offset 0
                 ) as found
                 offset 0
             ) as opened
         )
         select oid, at * {page_bytes}, piece
         from (
             select m.oid, m.size, n.at,
                    pg_catalog.lo_get(m.oid, n.at * {page_bytes}, {page_bytes}) as piece
             from measured m,
                  generate_series(0, greatest((m.size - 1) / {page_bytes}, 0)) as n (at)
             where m.closed = 0
             offset 0
         ) as paged
         where pg_catalog.octet_length(pg_catalog.btrim(piece, '\\x00'::pg_catalog.bytea)) > 0
            or (at + 1) * {page_bytes} >= size"
    )
}
