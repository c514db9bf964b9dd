//! The COPY statement of a chunk.

use towpath_model::digest::RunKey;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::{Format, PageRange, PlannedChunk, PlannedTable};

/// `COPY (select …) to stdout` of one chunk: named columns, this relation only (an inheritance
/// child's rows belong to the child), rows by page.
pub fn copy_statement(table: &PlannedTable, chunk: &PlannedChunk, key: &RunKey) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| quote_identifier(c)).collect();
    let filter = chunk.pages.map(page_filter).unwrap_or_default();
    format!(
        "copy (select {} from only {}{filter}) to stdout with ({})",
        columns.join(", "),
        table.name.quoted(),
        copy_options(table.format, key)
    )
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
        };
        assert_eq!(
            copy_statement(&table, &chunk, &RunKey::new([0; 32])),
            "copy (select \"Order\", \"weird \"\"col\"\"\" from only \"App Data\".\"Mixed.Dot\" \
             where ctid >= '(10,0)'::pg_catalog.tid and ctid < '(20,0)'::pg_catalog.tid) \
             to stdout with (format binary)"
        );
    }
}
