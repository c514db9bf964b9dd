//! The key of a row, for the person who has to look at it. Only key columns are ever decoded.

use csv_async::{AsyncReaderBuilder, ByteRecord, Terminator};
use towpath_model::digest::RunKey;
use towpath_model::plan::{Format, PlannedTable};

/// Columns and values of the primary key; empty for keyless tables.
pub(crate) async fn key_of(
    table: &PlannedTable,
    key: &RunKey,
    row: &[u8],
) -> Vec<(String, String)> {
    let fields = match table.format {
        Format::Binary => binary_fields(row, table.columns.len()),
        Format::Csv => csv_fields(row, &key.null_marker()).await,
    };
    table
        .key
        .iter()
        .filter_map(|name| {
            let at = table.columns.iter().position(|column| column == name)?;
            let value = match (fields.get(at)?, table.format) {
                (None, _) => "null".to_owned(),
                (Some(bytes), Format::Csv) => String::from_utf8_lossy(bytes).into_owned(),
                (Some(bytes), Format::Binary) => readable(&table.types[at], bytes),
            };
            Some((name.clone(), value))
        })
        .collect()
}

pub(crate) async fn csv_fields(row: &[u8], null_marker: &str) -> Vec<Option<Vec<u8>>> {
    // The reader skips a blank line; as a row it is one empty text.
    if row == b"\n" {
        return vec![Some(Vec::new())];
    }
    let mut csv = AsyncReaderBuilder::new()
        .has_headers(false)
        .terminator(Terminator::Any(b'\n'))
        .create_reader(row);
    let mut record = ByteRecord::new();
    match csv.read_byte_record(&mut record).await {
        Ok(true) => record
            .iter()
            .map(|field| (field != null_marker.as_bytes()).then(|| field.to_vec()))
            .collect(),
        _ => Vec::new(),
    }
}

fn binary_fields(row: &[u8], columns: usize) -> Vec<Option<Vec<u8>>> {
    let mut fields = Vec::with_capacity(columns);
    let mut rest = row.get(2..).unwrap_or_default();
    for _ in 0..columns {
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                fields.push(after.get(..length).map(<[u8]>::to_vec));
                rest = after.get(length..).unwrap_or_default();
            }
            Err(_) => {
                fields.push(None);
                rest = after;
            }
        }
    }
    fields
}

/// The binary form of the types that keys are made of, as text; of others, as hex.
fn readable(type_name: &str, bytes: &[u8]) -> String {
    let integer = || -> Option<String> {
        Some(match bytes.len() {
            2 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
            4 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
            8 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
            _ => return None,
        })
    };
    let hex = || {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let uuid = || {
        let hex = hex();
        match hex.len() {
            32 => [
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..],
            ]
            .join("-"),
            _ => hex,
        }
    };
    match type_name {
        "smallint" | "integer" | "bigint" => integer().unwrap_or_else(hex),
        "oid" => bytes
            .try_into()
            .map_or_else(|_| hex(), |bytes| u32::from_be_bytes(bytes).to_string()),
        "uuid" => uuid(),
        "boolean" => (if bytes == [1] { "true" } else { "false" }).to_owned(),
        name if name == "text" || name.starts_with("character") || name == "name" => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        // A type of another schema that travels in binary is an enum or a domain; labels are text.
        name if name.contains('.') && bytes.iter().all(u8::is_ascii_graphic) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => format!("\\x{}", hex()),
    }
}
