//! Transformers: one value in, another one out.
//!
//! What comes out depends on the key, the transformer with its parameters, the domain label and the
//! value, and on nothing else: not on row, table, run or chunk. So equal values stay equal wherever
//! they stand, and keys meet. No transformer gives back what it was given where that holds anything.

use std::borrow::Cow;

use towpath_model::masking::{Condition, PlannedMask, Transformer};
use towpath_model::{ErrorKind, Failure, Result};

use crate::codec::Type;
use crate::key::MaskKey;

mod array;
mod dates;
mod draw;
mod fake;
mod fit;
mod json;
mod memo;
mod noise;
mod permutation;
mod scrub;
mod shape;
mod simple;

pub(crate) use fit::printed;
pub use fit::{default_domain, fits, uniqueness};

pub(crate) use array::{Elements, write_element};
use dates::DateShift;
use fake::Maker;
use json::JsonMask;
use memo::Memo;
use noise::Noise;
use scrub::Scrubber;
use shape::Shape;

/// The other columns of the row that a value is of, as they were before masking.
pub trait RowText {
    /// The text form of a column, by its place in the plan; nothing for NULL.
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>>;
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masked {
    /// The text in `out` takes its place.
    Value,
    /// NULL takes its place.
    Null,
    /// A condition spares it.
    Spared,
    /// It holds nothing that could be changed.
    Empty,
}

/// The mask of one column, ready to be used.
pub struct ColumnMask {
    when: Option<When>,
    column_type: Type,
    is_array: bool,
    max_chars: Option<usize>,
    action: Action,
}

/// What is done to a value, or to each element of an array.
enum Action {
    Null,
    Constant(String),
    Redact(simple::Redact),
    Hash(simple::Hash),
    Fake(Box<Maker>),
    DateShift(DateShift),
    Noise(Noise),
    Shape(Shape, Memo),
    Uuid(shape::Uuids, Memo),
    Json(Box<JsonMask>),
    Scrub(Box<Scrubber>),
    Coordinates(simple::Coordinates),
    EmptyBytes,
}

impl ColumnMask {
    /// Prepares a mask; `columns` are those of the table as planned.
    pub fn new(key: &MaskKey, mask: &PlannedMask, columns: &[String]) -> Result<Self> {
        let (column_type, is_array) = Type::of(&mask.base_type);
        let is_whole = is_array && is_for_the_whole(&mask.transformer);
        let when = match &mask.condition {
            Some(condition) => Some(When::new(condition, mask, columns)?),
            None => None,
        };
        Ok(Self {
            when,
            // A whole array is neither padded nor lowered as its elements are.
            column_type: if is_whole { Type::Other } else { column_type },
            is_array: is_array && !is_whole,
            max_chars: room(column_type, fit::least(&mask.base_type, mask.max_chars)),
            action: Action::new(key, mask, column_type, columns)?,
        })
    }

    /// Whether a value may come out as it went in: a constant may be what already stands there.
    pub fn may_keep(&self) -> bool {
        matches!(self.action, Action::Constant(_))
    }

    /// Masks a value, given in its type's text form; the new text is in `out`, which is empty before.
    pub fn apply(&self, value: &str, row: &dyn RowText, out: &mut String) -> Result<Masked> {
        if let Some(when) = &self.when
            && !when.holds(row)?
        {
            return Ok(Masked::Spared);
        }
        if self.is_array {
            return self.apply_to_elements(value, row, out);
        }
        self.apply_to_one(value, row, out)
    }

    fn apply_to_elements(
        &self,
        value: &str,
        row: &dyn RowText,
        out: &mut String,
    ) -> Result<Masked> {
        let mut is_changed = false;
        let mut masked = String::new();
        let mut elements = Elements::of(value);
        while let Some(element) = elements.next(out) {
            masked.clear();
            match self.apply_to_one(&element, row, &mut masked)? {
                Masked::Value => {
                    is_changed = true;
                    array::write_element(&masked, out);
                }
                Masked::Null => {
                    is_changed = true;
                    out.push_str("NULL");
                }
                Masked::Spared | Masked::Empty => array::write_element(&element, out),
            }
        }
        if !is_changed {
            out.clear();
            return Ok(Masked::Empty);
        }
        Ok(Masked::Value)
    }

    fn apply_to_one(&self, value: &str, row: &dyn RowText, out: &mut String) -> Result<Masked> {
        let masked =
            self.action
                .apply(&plain(self.column_type, value), row, self.max_chars, out)?;
        if let (Masked::Value, Type::Padded(Some(width))) = (masked, self.column_type) {
            let width = usize::try_from(width).unwrap_or(usize::MAX);
            let chars = out.chars().count();
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(chars)));
        }
        Ok(masked)
    }
}

/// A value without what means nothing to its type, so that values that are equal to the database are
/// masked alike: padding, and the case of a `citext`.
fn plain(column_type: Type, value: &str) -> Cow<'_, str> {
    match column_type {
        Type::Padded(_) => Cow::Borrowed(value.trim_end_matches(' ')),
        Type::CaseInsensitive if value.chars().any(char::is_uppercase) => {
            Cow::Owned(value.to_lowercase())
        }
        _ => Cow::Borrowed(value),
    }
}

/// Whether a transformer takes an array as a whole.
fn is_for_the_whole(transformer: &Transformer) -> bool {
    matches!(
        transformer,
        Transformer::Null | Transformer::Constant { .. }
    )
}

/// Characters that there is room for.
fn room(column_type: Type, max_chars: Option<u32>) -> Option<usize> {
    let max_chars = max_chars.and_then(|chars| usize::try_from(chars).ok());
    match column_type {
        // 63 bytes, and made-up names may have letters of two.
        Type::Name => Some(max_chars.unwrap_or(31).min(31)),
        _ => max_chars,
    }
}

impl Action {
    fn new(
        key: &MaskKey,
        mask: &PlannedMask,
        column_type: Type,
        columns: &[String],
    ) -> Result<Self> {
        let keyed = |parameters: &str| {
            let kind = fit::kind(&mask.transformer);
            key.derive(&format!("{kind}\u{0}{parameters}\u{0}{}", mask.domain))
        };
        Ok(match &mask.transformer {
            Transformer::Null => Self::Null,
            Transformer::Constant { value } => Self::Constant(value.clone()),
            Transformer::Redact {
                character,
                keep_first,
                keep_last,
            } => Self::Redact(simple::Redact::new(*character, *keep_first, *keep_last)),
            Transformer::Hash { digits } => {
                Self::Hash(simple::Hash::new(keyed(""), *digits, column_type))
            }
            Transformer::Fake {
                what,
                locale,
                unique,
            } => {
                let locale = locale.unwrap_or(mask.locale);
                let key = keyed(&format!("{what:?} {locale:?}"));
                Self::Fake(Box::new(Maker::new(
                    key,
                    *what,
                    locale,
                    *unique,
                    column_type,
                )))
            }
            Transformer::DateShift { max_days, subject } => Self::DateShift(DateShift::new(
                keyed(&max_days.to_string()),
                *max_days,
                match subject {
                    Some(subject) => Some(Asked::new(subject, mask, columns)?),
                    None => None,
                },
                column_type,
            )),
            Transformer::Noise { percent, min, max } => {
                let key = keyed(&percent.to_string());
                Self::Noise(Noise::new(key, *percent, *min, *max, column_type))
            }
            Transformer::FormatPreserving {
                keep_first,
                keep_last,
            } => {
                let key = keyed(&format!("{keep_first} {keep_last}"));
                let shape = Shape::new(key, *keep_first, *keep_last, column_type);
                Self::Shape(shape, Memo::default())
            }
            Transformer::Uuid => Self::Uuid(shape::Uuids::new(keyed("")), Memo::default()),
            Transformer::Json { rules, rest } => {
                let is_json = matches!(column_type, Type::Json | Type::Jsonb);
                let json = JsonMask::new(key, mask, rules, *rest, columns, is_json)?;
                Self::Json(Box::new(json))
            }
            Transformer::Scrub { columns: named } => {
                let mut places = Vec::new();
                for column in named {
                    places.push((column.clone(), place_of(column, columns)?));
                }
                Self::Scrub(Box::new(Scrubber::new(key, mask.locale, places)))
            }
            Transformer::Coordinates { decimals } => {
                let key = keyed(&decimals.to_string());
                Self::Coordinates(simple::Coordinates::new(key, *decimals, column_type))
            }
            Transformer::EmptyBytes => Self::EmptyBytes,
        })
    }

    fn apply(
        &self,
        value: &str,
        row: &dyn RowText,
        max_chars: Option<usize>,
        out: &mut String,
    ) -> Result<Masked> {
        if value.is_empty() && !matches!(self, Self::Null | Self::Constant(_)) {
            return Ok(Masked::Empty);
        }
        let is_changed = match self {
            Self::Null => return Ok(Masked::Null),
            Self::Constant(constant) => {
                out.push_str(constant);
                true
            }
            Self::Redact(redact) => redact.apply(value, out),
            Self::Hash(hash) => hash.apply(value, max_chars, out),
            Self::Fake(maker) => maker.apply(value, max_chars, out),
            Self::DateShift(shift) => shift.apply(value, row, out)?,
            Self::Noise(noise) => noise.apply(value, out)?,
            Self::Shape(shape, memo) => {
                memo.apply(value, out, |value, out| shape.apply(value, out))
            }
            Self::Uuid(uuids, memo) => memo.apply(value, out, |value, out| uuids.apply(value, out)),
            Self::Json(json) => json.apply(value, row, max_chars, out)?,
            Self::Scrub(scrubber) => scrubber.apply(value, row, max_chars, out)?,
            Self::Coordinates(coordinates) => coordinates.apply(value, out),
            Self::EmptyBytes if value == "\\x" => false,
            Self::EmptyBytes => {
                out.push_str("\\x");
                true
            }
        };
        if !is_changed {
            out.clear();
            return Ok(Masked::Empty);
        }
        Ok(Masked::Value)
    }
}

fn place_of(column: &str, columns: &[String]) -> Result<usize> {
    columns
        .iter()
        .position(|name| name == column)
        .ok_or_else(|| {
            Failure::new(
                ErrorKind::Config,
                format!(
                    "a mask needs column {column}, which the table does not have or does not copy"
                ),
            )
        })
}

/// Another column of the row that a mask looks at.
struct Asked {
    place: usize,
    column_type: Type,
}

impl Asked {
    fn new(column: &str, mask: &PlannedMask, columns: &[String]) -> Result<Self> {
        let column_type = match mask.reads.get(column).map(|of| Type::of(of)) {
            Some((column_type, false)) => column_type,
            _ => Type::Other,
        };
        Ok(Self {
            place: place_of(column, columns)?,
            column_type,
        })
    }

    /// Its value in the one form of all that are equal to the database; nothing for NULL.
    fn ask<T>(&self, row: &dyn RowText, told: impl FnOnce(Option<&str>) -> T) -> Result<T> {
        let text = row.text(self.place)?;
        let text = text.as_deref().map(|text| plain(self.column_type, text));
        Ok(told(text.as_deref()))
    }
}

/// A condition whose column is found.
struct When {
    asked: Asked,
    condition: Condition,
}

impl When {
    fn new(condition: &Condition, mask: &PlannedMask, columns: &[String]) -> Result<Self> {
        let asked = Asked::new(&condition.column, mask, columns)?;
        let plain = |list: &Option<Vec<String>>| {
            let list = list.as_ref()?.iter();
            Some(
                list.map(|one| plain(asked.column_type, one).into_owned())
                    .collect(),
            )
        };
        let condition = Condition {
            is: plain(&condition.is),
            is_not: plain(&condition.is_not),
            ..condition.clone()
        };
        Ok(Self { asked, condition })
    }

    fn holds(&self, row: &dyn RowText) -> Result<bool> {
        let Condition {
            is,
            is_not,
            is_null,
            ..
        } = &self.condition;
        self.asked.ask(row, |value| {
            let is_among = |list: &Vec<String>| list.iter().any(|one| Some(one.as_str()) == value);
            is.as_ref().is_none_or(is_among)
                && !is_not.as_ref().is_some_and(is_among)
                && is_null.is_none_or(|is_null| is_null == value.is_none())
        })
    }
}

#[cfg(test)]
mod tests;
