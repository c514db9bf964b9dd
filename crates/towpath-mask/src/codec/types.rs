//! Types as `format_type` writes them.

/// A type below all domains, as far as masks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// `text`, `character varying`.
    Text,
    /// `character(n)`: padded with spaces, which mean nothing.
    Padded(Option<u32>),
    /// `citext`: case means nothing.
    CaseInsensitive,
    /// `name`: 63 bytes.
    Name,
    /// `"char"`: one byte.
    Byte,
    /// Signed integers of so many bytes.
    Integer(u8),
    /// `oid`.
    Oid,
    /// `numeric`, with precision and scale.
    Numeric(Option<(u32, i32)>),
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `boolean`.
    Boolean,
    /// `bytea`.
    Bytes,
    /// `uuid`.
    Uuid,
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// `xml`.
    Xml,
    /// `date`.
    Date,
    /// `timestamp`.
    Timestamp,
    /// `timestamp with time zone`.
    TimestampTz,
    /// `time`.
    Time,
    /// `time with time zone`.
    TimeTz,
    /// `interval`.
    Interval,
    /// `inet`.
    Inet,
    /// `cidr`.
    Cidr,
    /// `macaddr`, `macaddr8`: so many bytes.
    Mac(u8),
    /// `point`.
    Point,
    /// An enum.
    Enum,
    /// Anything else.
    Other,
}

impl Type {
    /// Reads a type, and tells whether it is an array of it.
    pub(crate) fn of(base_type: &str) -> (Self, bool) {
        match base_type.strip_suffix("[]") {
            Some(element) => (Self::of_scalar(element.trim_end_matches("[]")), true),
            None => (Self::of_scalar(base_type), false),
        }
    }

    fn of_scalar(name: &str) -> Self {
        let (stem, modifier, rest) = split(name);
        match (stem, rest) {
            ("text" | "character varying" | "varchar", "") => Self::Text,
            ("character" | "char" | "bpchar", "") => {
                Self::Padded(modifier.and_then(|width| width.parse().ok()))
            }
            ("name", "") => Self::Name,
            ("\"char\"", "") => Self::Byte,
            ("smallint", "") => Self::Integer(2),
            ("integer", "") => Self::Integer(4),
            ("bigint", "") => Self::Integer(8),
            ("oid", "") => Self::Oid,
            ("numeric", "") => Self::Numeric(modifier.and_then(precision_and_scale)),
            ("real", "") => Self::Float4,
            ("double precision", "") => Self::Float8,
            ("boolean", "") => Self::Boolean,
            ("bytea", "") => Self::Bytes,
            ("uuid", "") => Self::Uuid,
            ("json", "") => Self::Json,
            ("jsonb", "") => Self::Jsonb,
            ("xml", "") => Self::Xml,
            ("date", "") => Self::Date,
            ("timestamp", "with time zone") => Self::TimestampTz,
            ("timestamp", "without time zone") | ("timestamp without time zone", "") => {
                Self::Timestamp
            }
            ("timestamp with time zone", "") => Self::TimestampTz,
            ("time", "with time zone") | ("time with time zone", "") => Self::TimeTz,
            ("time", "without time zone") | ("time without time zone", "") => Self::Time,
            ("inet", "") => Self::Inet,
            ("cidr", "") => Self::Cidr,
            ("macaddr", "") => Self::Mac(6),
            ("macaddr8", "") => Self::Mac(8),
            ("point", "") => Self::Point,
            ("enum", "") => Self::Enum,
            _ if stem == "interval" || stem.starts_with("interval ") => Self::Interval,
            _ if is_citext(stem) => Self::CaseInsensitive,
            _ => Self::Other,
        }
    }

    /// Characters that the type itself takes at most: `character varying(20)`, and elements of its
    /// arrays.
    pub(crate) fn declared_chars(base_type: &str) -> Option<u32> {
        match split(base_type.trim_end_matches("[]")) {
            ("character varying" | "character", modifier, "") => modifier?.parse().ok(),
            _ => None,
        }
    }

    /// Decimals of seconds that the type itself takes at most: `timestamp(3) with time zone`.
    pub(crate) fn decimals_of_seconds(base_type: &str) -> Option<usize> {
        let (stem, modifier, _) = split(base_type.trim_end_matches("[]"));
        let is_one = matches!(stem, "timestamp" | "time");
        modifier.filter(|_| is_one)?.parse().ok()
    }

    /// Whether values are texts in which anything may stand.
    pub(crate) fn is_text(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Padded(_) | Self::CaseInsensitive | Self::Name
        )
    }
}

/// The extension's type, in whatever schema it lives.
fn is_citext(name: &str) -> bool {
    name == "citext" || name.ends_with(".citext")
}

/// `numeric(10,2)` is `numeric` with `10,2`; what follows the parenthesis is given, too.
fn split(name: &str) -> (&str, Option<&str>, &str) {
    if name.starts_with('"') {
        return (name, None, "");
    }
    match name.split_once('(') {
        Some((stem, rest)) => match rest.split_once(')') {
            Some((modifier, rest)) => (stem.trim_end(), Some(modifier), rest.trim_start()),
            None => (name, None, ""),
        },
        None => (name, None, ""),
    }
}

fn precision_and_scale(modifier: &str) -> Option<(u32, i32)> {
    match modifier.split_once(',') {
        Some((precision, scale)) => {
            Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
        }
        None => Some((modifier.trim().parse().ok()?, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_format_type_writes_them() {
        for (name, expected) in [
            ("text", Type::Text),
            ("character varying", Type::Text),
            ("character varying(20)", Type::Text),
            ("character(3)", Type::Padded(Some(3))),
            ("bpchar", Type::Padded(None)),
            ("\"char\"", Type::Byte),
            ("numeric", Type::Numeric(None)),
            ("numeric(10,2)", Type::Numeric(Some((10, 2)))),
            ("numeric(2,-3)", Type::Numeric(Some((2, -3)))),
            ("timestamp(3) with time zone", Type::TimestampTz),
            ("timestamp without time zone", Type::Timestamp),
            ("time(0) without time zone", Type::Time),
            ("interval day to second(3)", Type::Interval),
            ("extensions.citext", Type::CaseInsensitive),
            ("enum", Type::Enum),
            ("public.my_type", Type::Other),
            ("\"weird(10)\"", Type::Other),
        ] {
            assert_eq!(Type::of(name), (expected, false), "{name}");
        }
        assert_eq!(Type::of("character varying(20)[]"), (Type::Text, true));
        assert_eq!(Type::declared_chars("character varying(20)[]"), Some(20));
        assert_eq!(Type::declared_chars("character varying"), None);
        assert_eq!(Type::declared_chars("numeric(3)"), None);
    }
}
