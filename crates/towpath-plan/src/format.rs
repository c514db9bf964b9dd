//! Which format a table travels in.

use towpath_model::inventory::Relation;
use towpath_model::plan::Format;

/// Pairs of major versions whose binary forms were tried against each other by the round-trip tests
/// of value fidelity and of versions. Elsewhere every table travels as CSV.
const PROVEN_PAIRS: [(u32, u32); 3] = [(15, 15), (16, 16), (17, 17)];

/// What the operator asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FormatChoice {
    /// Binary where it is proven, CSV elsewhere.
    #[default]
    Auto,
    /// CSV for every table.
    Csv,
}

/// The format, with the reason when it is not binary. Binary COPY halves the way of a mixed table,
/// but is only right where every column's type has the same binary form on both sides.
pub fn choose_format(
    relation: &Relation,
    source_major: u32,
    target_major: u32,
    choice: FormatChoice,
) -> (Format, Option<String>) {
    if choice == FormatChoice::Csv {
        return (Format::Csv, Some("copy.format is csv".to_owned()));
    }
    if !PROVEN_PAIRS.contains(&(source_major, target_major)) {
        let reason = format!("binary form not proven from {source_major} to {target_major}");
        return (Format::Csv, Some(reason));
    }
    let unsafe_column = relation
        .columns
        .iter()
        .find(|column| !column.generated && !column.binary_safe);
    match unsafe_column {
        Some(column) => {
            let reason = format!("column {} is of type {}", column.name, column.type_name);
            (Format::Csv, Some(reason))
        }
        None => (Format::Binary, None),
    }
}
