//! Between the form in which COPY carries a value and its type's text form.
//!
//! The text form is the one that PostgreSQL prints under the settings that every session of towpath
//! pins: ISO dates, UTC, hexadecimal bytes, shortest floats, intervals in PostgreSQL's style. Binary
//! forms are those of the types' send functions (PostgreSQL, src/backend/utils/adt).

use std::borrow::Cow;

use towpath_model::plan::Format;
use towpath_model::{ErrorKind, Failure, Result};

mod arrays;
pub(crate) mod calendar;
mod moments;
mod network;
mod numbers;
mod plain;
mod types;

pub(crate) use network::write_v6;
pub(crate) use numbers::{write_float4, write_float8};
pub(crate) use types::Type;

use arrays::Array;

/// Reads and writes values of one type in one format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The text form itself.
    Text,
    /// A binary form.
    Scalar(Type),
    /// A binary form with dimensions.
    Array(Array),
}

impl Codec {
    /// The codec of a type below all domains, `enum` for an enum; nothing when the type's binary form
    /// is not known here. In CSV every value is its text form already.
    pub fn of(format: Format, base_type: &str) -> Option<Self> {
        if format == Format::Csv {
            return Some(Self { form: Form::Text });
        }
        let (element, is_array) = Type::of(base_type);
        let form = match is_array {
            true => Form::Array(Array::of(element, base_type)?),
            false => Form::Scalar(known(element)?),
        };
        Some(Self { form })
    }

    /// The text form of a value.
    pub fn decode<'v>(&self, value: &'v [u8]) -> Result<Cow<'v, str>> {
        match self.form {
            Form::Text => plain::text(value).map(Cow::Borrowed),
            Form::Scalar(scalar) => decode_scalar(scalar, value),
            Form::Array(array) => array.decode(value).map(Cow::Owned),
        }
        .ok_or_else(|| malformed("a value is not of the binary form of its type"))
    }

    /// Writes a value that is given in its text form.
    pub fn encode(&self, text: &str, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let encoded = match self.form {
            Form::Text => {
                out.extend_from_slice(text.as_bytes());
                Some(())
            }
            Form::Scalar(scalar) => encode_scalar(scalar, text, out),
            Form::Array(array) => array.encode(text, out),
        };
        encoded.ok_or_else(|| {
            out.truncate(start);
            malformed("a masked value is not of its column's type")
        })
    }
}

/// Values never show in errors.
fn malformed(doing: &str) -> Failure {
    Failure::new(ErrorKind::Internal, doing)
}

fn known(scalar: Type) -> Option<Type> {
    match scalar {
        Type::Other | Type::CaseInsensitive | Type::Xml | Type::Interval => None,
        known => Some(known),
    }
}

fn decode_scalar(scalar: Type, value: &[u8]) -> Option<Cow<'_, str>> {
    if let Type::Text | Type::Padded(_) | Type::Name | Type::Json | Type::Enum = scalar {
        return plain::text(value).map(Cow::Borrowed);
    }
    if scalar == Type::Jsonb {
        return match value.split_first()? {
            (1, text) => plain::text(text).map(Cow::Borrowed),
            _ => None,
        };
    }
    let mut out = String::new();
    match scalar {
        Type::Integer(_) | Type::Oid | Type::Numeric(_) | Type::Float4 | Type::Float8 => {
            numbers::decode(scalar, value, &mut out)?;
        }
        Type::Date | Type::Timestamp | Type::TimestampTz | Type::Time | Type::TimeTz => {
            moments::decode(scalar, value, &mut out)?
        }
        Type::Inet | Type::Cidr | Type::Mac(_) => network::decode(scalar, value, &mut out)?,
        Type::Boolean | Type::Byte | Type::Bytes | Type::Uuid | Type::Point => {
            plain::decode(scalar, value, &mut out)?;
        }
        _ => return None,
    }
    Some(Cow::Owned(out))
}

fn encode_scalar(scalar: Type, text: &str, out: &mut Vec<u8>) -> Option<()> {
    match scalar {
        Type::Text | Type::Padded(_) | Type::Name | Type::Json | Type::Enum => {
            out.extend_from_slice(text.as_bytes());
            Some(())
        }
        Type::Jsonb => {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
            Some(())
        }
        Type::Integer(_) | Type::Oid | Type::Numeric(_) | Type::Float4 | Type::Float8 => {
            numbers::encode(scalar, text, out)
        }
        Type::Date | Type::Timestamp | Type::TimestampTz | Type::Time | Type::TimeTz => {
            moments::encode(scalar, text, out)
        }
        Type::Inet | Type::Cidr | Type::Mac(_) => network::encode(scalar, text, out),
        Type::Boolean | Type::Byte | Type::Bytes | Type::Uuid | Type::Point => {
            plain::encode(scalar, text, out)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
