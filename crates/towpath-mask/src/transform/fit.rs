//! Which transformer goes with which type, and what it promises.

use std::result;

use towpath_model::masking::{Fake, Transformer, Uniqueness};
use towpath_model::plan::Format;

use super::array::Elements;
use super::dates::MOST_DAYS;
use super::noise::{self, Decimal};
use super::simple::HASH_DIGITS;
use crate::codec::{Codec, Type};

/// Characters that made-up data of a kind needs.
fn least_chars(what: Fake) -> u32 {
    match what {
        Fake::Email => 20,
        Fake::Url => 30,
        Fake::Phone => 14,
        Fake::Iban => 22,
        Fake::Ip => 15,
        Fake::PostalCode => 5,
        Fake::Username => 8,
        _ => 1,
    }
}

/// Characters that 64 bits of a hash need beside it.
const TOKEN_CHARS: u32 = 13;

/// Name of a transformer in the rules.
pub(super) fn kind(transformer: &Transformer) -> &'static str {
    match transformer {
        Transformer::Null => "null",
        Transformer::Constant { .. } => "constant",
        Transformer::Redact { .. } => "redact",
        Transformer::Hash { .. } => "hash",
        Transformer::Fake { .. } => "fake",
        Transformer::DateShift { .. } => "date-shift",
        Transformer::Noise { .. } => "noise",
        Transformer::FormatPreserving { .. } => "format-preserving",
        Transformer::Uuid => "uuid",
        Transformer::Json { .. } => "json",
        Transformer::Scrub { .. } => "scrub",
        Transformer::Coordinates { .. } => "coordinates",
        Transformer::EmptyBytes => "empty-bytes",
    }
}

/// Name of made-up data in the rules.
fn name_of(what: Fake) -> &'static str {
    match what {
        Fake::Name => "name",
        Fake::FirstName => "first-name",
        Fake::LastName => "last-name",
        Fake::Email => "email",
        Fake::Username => "username",
        Fake::Phone => "phone",
        Fake::Address => "address",
        Fake::Street => "street",
        Fake::City => "city",
        Fake::PostalCode => "postal-code",
        Fake::Company => "company",
        Fake::Iban => "iban",
        Fake::Ip => "ip",
        Fake::Url => "url",
        Fake::UserAgent => "user-agent",
        Fake::Text => "text",
    }
}

/// The label that equal values are masked alike under, unless the rules say another one: the
/// transformer's kind. The language of made-up data and bounds are parameters, which part values
/// beside it.
pub fn default_domain(transformer: &Transformer) -> String {
    match transformer {
        Transformer::Fake { what, .. } => format!("fake {}", name_of(*what)),
        other => kind(other).to_owned(),
    }
}

/// Characters that there is room for by the type or by what else is known of the column.
pub(super) fn least(base_type: &str, max_chars: Option<u32>) -> Option<u32> {
    match (Type::declared_chars(base_type), max_chars) {
        (Some(declared), Some(known)) => Some(declared.min(known)),
        (declared, known) => declared.or(known),
    }
}

/// Whether distinct values of a type stay distinct.
pub fn uniqueness(
    transformer: &Transformer,
    base_type: &str,
    max_chars: Option<u32>,
) -> Uniqueness {
    let (column_type, is_array) = Type::of(base_type);
    let max_chars = least(base_type, max_chars);
    match transformer {
        Transformer::FormatPreserving { .. } => match column_type {
            // Where every number has its own scale, 1.5 and 1.50 are equal and look different.
            Type::Numeric(None) => Uniqueness::NotGuaranteed,
            _ => Uniqueness::Preserved,
        },
        Transformer::Uuid => Uniqueness::Preserved,
        Transformer::Hash { digits } => {
            let digits = digits.unwrap_or(HASH_DIGITS);
            let digits = match column_type {
                Type::Bytes => digits,
                _ => digits.min(max_chars.unwrap_or(u32::MAX)),
            };
            match digits {
                // Two of 2^64 values meet then.
                32.. => Uniqueness::Preserved,
                // Two of a million values meet in one of 500 columns.
                12.. => Uniqueness::NotGuaranteed,
                _ => Uniqueness::Lossy,
            }
        }
        Transformer::Fake { what, unique, .. } => match (unique, what) {
            // 64 bits: among a million values two meet once in 30 million runs.
            (true, _) => Uniqueness::Preserved,
            (false, Fake::Email | Fake::Username | Fake::Url | Fake::Iban) => {
                Uniqueness::NotGuaranteed
            }
            _ => Uniqueness::Lossy,
        },
        Transformer::DateShift { .. } if !is_array => match column_type {
            Type::Timestamp | Type::TimestampTz => Uniqueness::NotGuaranteed,
            _ => Uniqueness::Lossy,
        },
        Transformer::Scrub { .. } | Transformer::Json { .. } => Uniqueness::NotGuaranteed,
        _ => Uniqueness::Lossy,
    }
}

/// Whether a transformer can be used for columns of a type; the error is a sentence that says why
/// not, and what to use instead.
pub fn fits(
    transformer: &Transformer,
    base_type: &str,
    max_chars: Option<u32>,
) -> result::Result<(), String> {
    let (column_type, is_array) = Type::of(base_type);
    let max_chars = least(base_type, max_chars);
    let name = kind(transformer);
    let refuse = |instead: &str| {
        Err(format!(
            "{name} does not fit type {base_type}: use {instead}"
        ))
    };
    let is_text = column_type.is_text();
    match transformer {
        Transformer::Null => Ok(()),
        Transformer::Constant { value } => fits_constant(value, base_type, max_chars),
        Transformer::Hash { digits: Some(0) } => Err("hash needs at least one digit".to_owned()),
        Transformer::Hash { .. } if is_text || column_type == Type::Bytes => Ok(()),
        Transformer::Redact { .. } if is_text => Ok(()),
        Transformer::Fake { what, unique, .. } => {
            fits_fake(*what, *unique, column_type, max_chars, &refuse)
        }
        Transformer::DateShift { max_days, .. } if !(1..=MOST_DAYS).contains(max_days) => Err(
            format!("date-shift needs max_days of at least 1 and at most {MOST_DAYS}"),
        ),
        Transformer::DateShift { .. } if is_text => Ok(()),
        Transformer::DateShift { .. } => match column_type {
            Type::Date | Type::Timestamp | Type::TimestampTz => Ok(()),
            _ => refuse(instead_of(column_type)),
        },
        Transformer::Noise { percent, min, max } => {
            fits_noise(*percent, *min, *max, column_type, &refuse)
        }
        Transformer::FormatPreserving {
            keep_first,
            keep_last,
        } => match column_type {
            _ if is_text => Ok(()),
            Type::Integer(_) | Type::Oid | Type::Mac(_) if *keep_first == 0 && *keep_last == 0 => {
                Ok(())
            }
            Type::Numeric(scale) if *keep_first == 0 && *keep_last == 0 && !is_rounded(scale) => {
                Ok(())
            }
            Type::Integer(_) | Type::Oid | Type::Mac(_) | Type::Numeric(_) => Err(format!(
                "format-preserving keeps no digits of type {base_type}: use it without keep_first and keep_last"
            )),
            _ => refuse(instead_of(column_type)),
        },
        Transformer::Uuid if column_type == Type::Uuid || column_type.is_text() => {
            match max_chars {
                Some(chars) if chars < 32 => Err(format!(
                    "uuid does not fit {chars} characters: use format-preserving"
                )),
                _ => Ok(()),
            }
        }
        Transformer::Json { rules, .. } => {
            if !matches!(column_type, Type::Json | Type::Jsonb | Type::Text) {
                return refuse(instead_of(column_type));
            }
            for rule in rules {
                fits_in_json(&rule.path, &rule.transformer)?;
            }
            Ok(())
        }
        Transformer::Scrub { .. } if is_text => Ok(()),
        Transformer::Coordinates { .. } => match column_type {
            _ if is_text => Ok(()),
            Type::Point if is_array => refuse("null"),
            Type::Point | Type::Float4 | Type::Float8 | Type::Numeric(_) => Ok(()),
            _ => refuse(instead_of(column_type)),
        },
        Transformer::EmptyBytes if column_type == Type::Bytes => Ok(()),
        Transformer::EmptyBytes if is_text => refuse("redact, or constant with an empty value"),
        _ => refuse(instead_of(column_type)),
    }
}

/// What goes with a type.
fn instead_of(column_type: Type) -> &'static str {
    match column_type {
        Type::Text | Type::Padded(_) | Type::CaseInsensitive | Type::Name => {
            "fake, hash, redact or format-preserving"
        }
        Type::Integer(_) | Type::Oid => "noise, format-preserving or constant",
        Type::Numeric(_) => "noise, format-preserving, coordinates or constant",
        Type::Float4 | Type::Float8 => "noise, coordinates or constant",
        Type::Bytes => "empty-bytes or hash",
        Type::Uuid => "uuid",
        Type::Json | Type::Jsonb => "json, or constant '{}'",
        Type::Date | Type::Timestamp | Type::TimestampTz => "date-shift",
        Type::Inet | Type::Cidr => "fake ip",
        Type::Mac(_) => "format-preserving",
        Type::Point => "coordinates",
        Type::Boolean
        | Type::Byte
        | Type::Xml
        | Type::Time
        | Type::TimeTz
        | Type::Interval
        | Type::Enum
        | Type::Other => "null or constant",
    }
}

/// A constant must be what the database would print, because every byte is compared.
fn fits_constant(
    value: &str,
    base_type: &str,
    max_chars: Option<u32>,
) -> result::Result<(), String> {
    let chars = u32::try_from(value.chars().count()).unwrap_or(u32::MAX);
    let (column_type, is_array) = Type::of(base_type);
    if !is_array && max_chars.is_some_and(|most| chars > most) {
        return Err(format!(
            "the constant is longer than type {base_type} takes: use a shorter one"
        ));
    }
    if matches!(column_type, Type::Json | Type::Jsonb)
        && !is_array
        && serde_json::from_str::<serde::de::IgnoredAny>(value).is_err()
    {
        return Err(format!(
            "the constant is no {base_type}: use one that is, as '{{}}'"
        ));
    }
    printed(value, base_type).map_err(|otherwise| match otherwise {
        Some(printed) => {
            format!("the database prints the constant '{value}' otherwise: write '{printed}'")
        }
        None => format!(
            "the constant is no {base_type} as the database prints one: use another, or null"
        ),
    })
}

/// Whether a text is how the database prints a value of a type; if not, how it does, where it is one.
/// Types whose form is not known take any.
pub(crate) fn printed(value: &str, base_type: &str) -> result::Result<(), Option<String>> {
    let (column_type, is_array) = Type::of(base_type);
    let Some(codec) = Codec::of(Format::Binary, base_type) else {
        return Ok(());
    };
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes).map_err(|_| None)?;
    let printed = codec.decode(&bytes).map_err(|_| None)?;
    let printed = match (column_type, is_array) {
        (Type::Jsonb, false) => super::json::as_jsonb_prints(&printed),
        (_, false) => with_modifier(&printed, column_type, base_type),
        (_, true) => elements_fit(&printed, column_type, base_type).then(|| printed.into_owned()),
    };
    match printed {
        Some(printed) if printed == value => Ok(()),
        otherwise => Err(otherwise),
    }
}

/// A value of a type as a column prints it whose type has a modifier: `0` as `0.00` where the type is
/// `numeric(10,2)`. Nothing where the database would round it, or refuse it.
fn with_modifier(text: &str, column_type: Type, base_type: &str) -> Option<String> {
    match column_type {
        Type::Numeric(Some((precision, scale))) => {
            if text == "NaN" {
                return Some(text.to_owned());
            }
            let most = usize::try_from(i64::from(precision) - i64::from(scale.min(0))).ok()?;
            let decimal = Decimal::parse(text)?;
            let text = match usize::try_from(scale) {
                Ok(scale) => {
                    let zeros = scale.checked_sub(decimal.scale())?;
                    let point = match decimal.scale() == 0 && zeros > 0 {
                        true => ".",
                        false => "",
                    };
                    format!("{text}{point}{}", "0".repeat(zeros))
                }
                // Rounded before the point.
                Err(_) => {
                    let zeros = usize::try_from(scale.unsigned_abs()).ok()?;
                    let digits = decimal.digits();
                    let is_round = digits.is_empty() || digits.ends_with(&"0".repeat(zeros));
                    (decimal.scale() == 0 && is_round).then(|| text.to_owned())?
                }
            };
            (Decimal::parse(&text)?.digits().len() <= most).then_some(text)
        }
        Type::Timestamp | Type::TimestampTz | Type::Time | Type::TimeTz => {
            let behind = text.split_once('.').map_or("", |(_, behind)| behind);
            let decimals = behind.bytes().take_while(u8::is_ascii_digit).count();
            let most = Type::decimals_of_seconds(base_type);
            most.is_none_or(|most| decimals <= most)
                .then(|| text.to_owned())
        }
        _ => Some(text.to_owned()),
    }
}

/// Whether each element of an array is one of its type, as the database prints it.
fn elements_fit(array: &str, column_type: Type, base_type: &str) -> bool {
    let room = Type::declared_chars(base_type).and_then(|chars| usize::try_from(chars).ok());
    let (mut elements, mut between) = (Elements::of(array), String::new());
    while let Some(element) = elements.next(&mut between) {
        let chars = element.chars().count();
        let fits = match (column_type, room) {
            (Type::Padded(_), Some(room)) => chars == room,
            (_, Some(room)) => chars <= room,
            (_, None) => true,
        };
        let as_printed = with_modifier(&element, column_type, base_type);
        if !fits || as_printed.as_deref() != Some(&*element) {
            return false;
        }
    }
    true
}

fn fits_fake(
    what: Fake,
    unique: bool,
    column_type: Type,
    max_chars: Option<u32>,
    refuse: &dyn Fn(&str) -> result::Result<(), String>,
) -> result::Result<(), String> {
    let name = name_of(what);
    if matches!(column_type, Type::Inet | Type::Cidr) && what == Fake::Ip {
        return match unique {
            true => Err("fake ip has too few addresses to be unique: use null".to_owned()),
            false => Ok(()),
        };
    }
    if !column_type.is_text() {
        return refuse(instead_of(column_type));
    }
    let can_be_unique = matches!(
        what,
        Fake::Name
            | Fake::FirstName
            | Fake::LastName
            | Fake::Email
            | Fake::Username
            | Fake::Company
            | Fake::Url
            | Fake::Text
    );
    if unique && !can_be_unique {
        return Err(format!(
            "fake {name} cannot be unique: use format-preserving"
        ));
    }
    let mut least = least_chars(what);
    if unique {
        least = match what {
            Fake::Username => TOKEN_CHARS,
            Fake::Email => TOKEN_CHARS + 12,
            // `https://example.com/` and all of the hash.
            Fake::Url => TOKEN_CHARS + 20,
            _ => TOKEN_CHARS + 4,
        };
    }
    let room = super::room(column_type, max_chars);
    match room {
        Some(room) if u32::try_from(room).is_ok_and(|room| room < least) => Err(format!(
            "fake {name} needs {least} characters, and the column has {room}: use format-preserving"
        )),
        _ => Ok(()),
    }
}

fn fits_noise(
    percent: f64,
    min: Option<f64>,
    max: Option<f64>,
    column_type: Type,
    refuse: &dyn Fn(&str) -> result::Result<(), String>,
) -> result::Result<(), String> {
    if !(percent.is_finite() && percent > 0.0) {
        return Err("noise needs a percent above 0".to_owned());
    }
    if let (Some(min), Some(max)) = (min, max)
        && min >= max
    {
        return Err("noise has no choice between its min and max: use constant".to_owned());
    }
    match column_type {
        Type::Numeric(scale) if is_rounded(scale) => return refuse("null or constant"),
        Type::Integer(_) | Type::Oid | Type::Float4 | Type::Float8 | Type::Numeric(_) => {}
        _ => return refuse(instead_of(column_type)),
    }
    match noise::has_choice(column_type, min, max) {
        true => Ok(()),
        false => Err(
            "noise has no two numbers of the column's type between its min and max: use other ones, or constant"
                .to_owned(),
        ),
    }
}

/// Whether a scale is negative: numbers are rounded before the point.
fn is_rounded(scale: Option<(u32, i32)>) -> bool {
    scale.is_some_and(|(_, scale)| scale < 0)
}

fn fits_in_json(path: &str, transformer: &Transformer) -> result::Result<(), String> {
    super::json::check_path(path)?;
    match transformer {
        Transformer::Json { .. } | Transformer::EmptyBytes => Err(format!(
            "{} does not fit within JSON, at {path}: use redact or null",
            kind(transformer)
        )),
        Transformer::Constant { value } if super::json::is_number_of_another_form(value) => {
            Err(format!(
                "the constant '{value}' at {path} is a number that the database prints otherwise: use it without exponent"
            ))
        }
        Transformer::Null | Transformer::Constant { .. } => Ok(()),
        Transformer::Noise { .. } => fits(transformer, "numeric", None),
        other => fits(other, "text", None),
    }
}
