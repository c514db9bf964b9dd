//! Rows of a table as COPY carries them, masked one by one.

mod binary;
mod csv;
mod texts;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use towpath_model::digest::{RowDigest, RunKey};
use towpath_model::masking::{ColumnTally, MaskTally, Transformer};
use towpath_model::plan::{Format, PlannedTable};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::codec::Codec;
use crate::key::MaskKey;
use crate::originals::{self, ColumnKey, Originals, Tells};
use crate::transform::{ColumnMask, Elements, Masked, RowText};

pub use texts::{Pieces, RowTexts};

/// Masks the rows of one stream of a table.
pub struct TableMask {
    name: QualifiedName,
    columns: Vec<Column>,
    /// Places of the primary key, where nothing of it is masked: by it a row of the clone is told to
    /// be the same as one of the source.
    key: Option<Vec<usize>>,
    originals: Option<Arc<Originals>>,
    form: Form,
    /// The text that takes a value's place; kept for its room.
    text: String,
    /// The row's form of it.
    value: Vec<u8>,
}

/// A column, as far as masks touch it.
struct Column {
    name: String,
    /// Reads and writes its values; nothing where no mask could ask for them.
    codec: Option<Codec>,
    mask: Option<ColumnMask>,
    /// What its values say of somebody by themselves.
    tells: Tells,
    /// Its values are arrays of which no element stays as it was.
    is_array: bool,
    /// What its cells are noted under, where originals are noted and it is masked.
    cells: Option<ColumnKey>,
    tally: ColumnTally,
}

impl Column {
    /// Notes what a value was: of an array every element, because that is how they are looked for.
    fn note(&self, originals: &Originals, text: &str) {
        if !self.is_array {
            return originals.note_what(self.tells, text);
        }
        let (mut elements, mut between) = (Elements::of(text), String::new());
        while let Some(element) = elements.next(&mut between) {
            originals.note_what(self.tells, &element);
            between.clear();
        }
    }
}

/// How rows are read and written.
enum Form {
    Binary(binary::Fields),
    Csv(Box<csv::Fields>),
}

/// The fields of one row.
#[derive(Clone, Copy)]
struct Fields<'r> {
    bytes: &'r [u8],
    places: &'r [Option<Range<usize>>],
}

impl<'r> Fields<'r> {
    /// The bytes of a field; nothing for NULL.
    fn get(&self, column: usize) -> Option<&'r [u8]> {
        self.bytes.get(self.places.get(column)?.clone()?)
    }
}

/// Writes a row, or those of its fields that are not masked.
enum Writer<'w> {
    Binary(&'w mut Vec<u8>),
    Csv(csv::Line<'w>),
}

impl<'w> Writer<'w> {
    fn put(&mut self, field: Option<&[u8]>) -> Result<()> {
        match self {
            Self::Binary(out) => binary::put(out, field),
            Self::Csv(line) => {
                line.put(field);
                Ok(())
            }
        }
    }

    fn end(self) {
        if let Self::Csv(line) = self {
            line.end();
        }
    }
}

impl TableMask {
    /// For a table with masks. What the values were is told to `originals`, as keyed hashes.
    pub fn new(
        key: &MaskKey,
        run_key: &RunKey,
        table: &PlannedTable,
        originals: Option<Arc<Originals>>,
    ) -> Result<Self> {
        if let Some(unknown) = table
            .masks
            .keys()
            .find(|name| !table.columns.contains(name))
        {
            return Err(Failure::new(
                ErrorKind::Internal,
                format!("{}: masked column {unknown} is not copied", table.name),
            ));
        }
        let mut columns: Vec<Column> = (table.columns.iter().enumerate())
            .map(|(at, name)| column(key, table, at, name))
            .collect::<Result<_>>()?;
        if let Some(originals) = &originals {
            for column in columns.iter_mut().filter(|column| column.mask.is_some()) {
                column.cells = Some(originals.column(&table.id, &column.name));
            }
        }
        let key = table.key.iter().map(|name| {
            let at = table.columns.iter().position(|column| column == name)?;
            (!table.masks.contains_key(name)).then_some(at)
        });
        let key: Option<Vec<usize>> = key.collect();
        Ok(Self {
            name: table.name.clone(),
            form: match table.format {
                Format::Binary => Form::Binary(binary::Fields::default()),
                Format::Csv => Form::Csv(Box::new(csv::Fields::new(run_key.null_marker())?)),
            },
            key: key.filter(|key| !key.is_empty()),
            columns,
            originals,
            text: String::new(),
            value: Vec::new(),
        })
    }

    /// Masks one row, in the form of the table's format: the new row is appended to `out`, and those
    /// of its fields that no mask is planned for to `unmasked`, as COPY would write them for a query
    /// of these columns alone.
    pub fn mask(&mut self, row: &[u8], out: &mut Vec<u8>, unmasked: &mut Vec<u8>) -> Result<()> {
        let columns = &mut self.columns;
        let masked = columns
            .iter()
            .filter(|column| column.mask.is_some())
            .count();
        let left = columns.len() - masked;
        let (fields, mut whole, mut rest) = match &mut self.form {
            Form::Binary(form) => {
                let fields = form.split(row, columns.len())?;
                binary::begin(out, columns.len())?;
                binary::begin(unmasked, left)?;
                (fields, Writer::Binary(out), Writer::Binary(unmasked))
            }
            Form::Csv(form) => {
                let (fields, marker) = form.split(row, columns.len())?;
                let whole = csv::Line::new(out, marker, columns.len());
                let rest = csv::Line::new(unmasked, marker, left);
                (fields, Writer::Csv(whole), Writer::Csv(rest))
            }
        };
        let key = match (&self.originals, &self.key) {
            // NULL has no place in a primary key.
            (Some(originals), Some(key)) => {
                originals.row(key.iter().filter_map(|at| fields.get(*at)))
            }
            _ => None,
        };
        for at in 0..columns.len() {
            let original = fields.get(at);
            if columns[at].mask.is_none() {
                whole.put(original)?;
                rest.put(original)?;
                continue;
            }
            let Some(original) = original else {
                columns[at].tally.nulls += 1;
                whole.put(None)?;
                continue;
            };
            let masked = mask_value(
                columns,
                at,
                original,
                fields,
                &mut self.text,
                &mut self.value,
            );
            let (became, text) = masked.map_err(|failure| {
                let doing = format!(
                    "could not mask column {} of {}",
                    columns[at].name, self.name
                );
                failure.while_doing(doing)
            })?;
            let mask = columns[at].mask.as_ref();
            // It is the constant that would take its place, and nobody's original.
            let is_kept = became == Masked::Value
                && self.value == original
                && mask.is_some_and(ColumnMask::may_keep);
            if let (Some(originals), Masked::Value | Masked::Null, false) =
                (&self.originals, became, is_kept)
            {
                columns[at].note(originals, &text);
                if let (Some(key), Some(cells)) = (key, columns[at].cells) {
                    originals.note_cell(cells, key, original);
                }
            }
            let tally = &mut columns[at].tally;
            match became {
                Masked::Value => {
                    // Told from the bytes themselves: a transformer is not its own witness.
                    match self.value == original {
                        true if is_kept => tally.empty += 1,
                        true => tally.unchanged += 1,
                        false => tally.changed += 1,
                    }
                    whole.put(Some(&self.value))?;
                }
                Masked::Null => {
                    tally.changed += 1;
                    whole.put(None)?;
                }
                Masked::Spared => {
                    tally.spared += 1;
                    whole.put(Some(original))?;
                }
                Masked::Empty => {
                    tally.empty += 1;
                    whole.put(Some(original))?;
                }
            }
        }
        whole.end();
        rest.end();
        Ok(())
    }

    /// What was done; `unmasked` is the digest of what was appended to it.
    pub fn finish(self, unmasked: RowDigest) -> MaskTally {
        let columns = self.columns.into_iter();
        MaskTally {
            unmasked,
            columns: columns
                .filter(|column| column.mask.is_some())
                .map(|column| (column.name, column.tally))
                .collect(),
        }
    }
}

fn column(key: &MaskKey, table: &PlannedTable, at: usize, name: &str) -> Result<Column> {
    let planned = table.masks.get(name);
    // Of what is not masked the plan names the type that the table has, which may be a domain.
    let read = || table.masks.values().find_map(|mask| mask.reads.get(name));
    let base_type = match planned {
        Some(mask) => Some(&mask.base_type),
        None => read().or_else(|| table.types.get(at)),
    };
    let base_type = base_type.map_or("", String::as_str);
    let codec = Codec::of(table.format, base_type);
    if planned.is_some() && codec.is_none() {
        return Err(Failure::new(
            ErrorKind::Internal,
            format!(
                "{}.{name} of type {base_type} cannot be masked as it travels",
                table.name
            ),
        ));
    }
    let mask = planned.map(|mask| ColumnMask::new(key, mask, &table.columns));
    Ok(Column {
        name: name.to_owned(),
        codec,
        mask: mask.transpose()?,
        tells: planned.map_or(Tells::Nothing, |mask| originals::tells(&mask.transformer)),
        is_array: planned.is_some_and(|mask| {
            let leaves_some = matches!(
                mask.transformer,
                Transformer::Scrub { .. } | Transformer::Json { .. }
            );
            mask.base_type.ends_with("[]") && !leaves_some
        }),
        cells: None,
        tally: ColumnTally::default(),
    })
}

/// Masks a value: `value` holds the new one's bytes when there is one. Gives the original's text.
fn mask_value<'r>(
    columns: &[Column],
    at: usize,
    original: &'r [u8],
    fields: Fields<'r>,
    text: &mut String,
    value: &mut Vec<u8>,
) -> Result<(Masked, Cow<'r, str>)> {
    let (Some(mask), Some(codec)) = (&columns[at].mask, &columns[at].codec) else {
        return Err(Failure::new(ErrorKind::Internal, "a mask is gone"));
    };
    let was = codec.decode(original)?;
    text.clear();
    value.clear();
    let became = mask.apply(&was, &Texts { columns, fields }, text)?;
    if became == Masked::Value {
        codec.encode(text, value)?;
    }
    Ok((became, was))
}

/// The row's columns as texts.
struct Texts<'t> {
    columns: &'t [Column],
    fields: Fields<'t>,
}

impl RowText for Texts<'_> {
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>> {
        let Some(value) = self.fields.get(column) else {
            return Ok(None);
        };
        let asked = self.columns.get(column);
        match asked.and_then(|column| column.codec.as_ref()) {
            Some(codec) => codec.decode(value).map(Some),
            None => Err(Failure::new(
                ErrorKind::Internal,
                format!(
                    "column {} cannot be read in binary",
                    asked.map_or("?", |column| column.name.as_str())
                ),
            )),
        }
    }
}

/// What is no row of the table: a bug, or a stream that was not proven.
fn malformed(what: &str) -> Failure {
    Failure::new(ErrorKind::Internal, format!("could not mask a row: {what}"))
}

#[cfg(test)]
mod tests;
