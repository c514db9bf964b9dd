//! Masking: what stands in a clone in the place of personal data. The rules as the plan holds them,
//! and what masking counted. Keys are never part of any document; their ids are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Hash, RowDigest};

/// Which rules, under which key, masked the rows of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskSet {
    /// Hash of the masks of every column, as planned: equal sets give equal values under one key.
    pub set: Hash,
    /// Id of the key: tells two keys apart and says nothing about either.
    pub key_id: String,
    /// Columns that are masked.
    pub columns: usize,
}

/// Whether distinct values stay distinct.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uniqueness {
    /// Distinct values give distinct ones, always.
    Preserved,
    /// Distinct values may meet by chance.
    NotGuaranteed,
    /// Distinct values meet as a rule.
    Lossy,
}

/// Languages of made-up data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// German.
    De,
}

/// Kinds of made-up data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fake {
    /// First and last name.
    Name,
    /// First name.
    FirstName,
    /// Last name.
    LastName,
    /// E-mail address under a domain that is reserved for examples (RFC 2606).
    Email,
    /// User name.
    Username,
    /// Telephone number of a range that is kept free for fiction.
    Phone,
    /// Street and house number, town with its code, as one text.
    Address,
    /// Street and house number.
    Street,
    /// Town.
    City,
    /// Postal code.
    PostalCode,
    /// Company.
    Company,
    /// IBAN with right check digits and a bank code that no bank has.
    Iban,
    /// Address of a range for documentation (RFC 5737, RFC 3849).
    Ip,
    /// URL under a reserved domain.
    Url,
    /// User agent of a browser.
    UserAgent,
    /// A sentence or more, about as long as the text it replaces.
    Text,
}

/// How a value is replaced. NULL stays NULL whatever is said here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "with", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transformer {
    /// NULL.
    Null,
    /// The same value everywhere.
    Constant {
        /// The value, in its type's text form.
        value: String,
    },
    /// Letters and digits give way to a character, all but some at both ends.
    Redact {
        /// The character; `*` unless told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        character: Option<char>,
        /// Characters kept at the beginning.
        #[serde(default)]
        keep_first: u32,
        /// Characters kept at the end.
        #[serde(default)]
        keep_last: u32,
    },
    /// Keyed hash, in hexadecimal digits.
    Hash {
        /// Digits; 32 unless told or unless the column is shorter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digits: Option<u32>,
    },
    /// Made-up data.
    Fake {
        /// What.
        what: Fake,
        /// Language; that of the rules unless told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locale: Option<Locale>,
        /// Distinct values stay distinct, by a keyed number within each.
        #[serde(default)]
        unique: bool,
    },
    /// Dates and times moved by some days, by as many for all of one subject: what lies between
    /// two of its dates stays as it was.
    DateShift {
        /// At most so many days, both ways; never none.
        max_days: u32,
        /// Column that names the subject; each value is its own subject unless told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// Numbers changed by chance within bounds, keeping their scale; never by nothing where the
    /// bounds leave a choice.
    Noise {
        /// At most so many per cent of the number, both ways.
        percent: f64,
        /// Smallest result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// Greatest result.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// Digits give way to digits and letters to letters of the same case, at the same places; all
    /// else stays. Distinct values stay distinct, none stays what it was.
    FormatPreserving {
        /// Characters kept at the beginning.
        #[serde(default)]
        keep_first: u32,
        /// Characters kept at the end.
        #[serde(default)]
        keep_last: u32,
    },
    /// Another UUID of the same version. Distinct values stay distinct.
    Uuid,
    /// Values within JSON, each by a transformer of its own.
    Json {
        /// Rules; of several that match a value the first one counts.
        rules: Vec<JsonRule>,
        /// Strings and numbers that no rule names: `keep`, `redact` or `scrub`.
        #[serde(default)]
        rest: JsonRest,
    },
    /// Within free text: e-mail addresses, telephone numbers, IBANs, IP addresses, and what the
    /// row's own columns hold.
    Scrub {
        /// Columns of the same row whose values are looked for in the text.
        #[serde(default)]
        columns: Vec<String>,
    },
    /// Coordinates, `lat,lon` text or the PostgreSQL types `point` and numbers, cut to some
    /// decimals.
    Coordinates {
        /// Decimals that stay; two are about a kilometre.
        decimals: u32,
    },
    /// No bytes at all.
    EmptyBytes,
}

/// What becomes of strings and numbers in JSON that no rule names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JsonRest {
    /// They stay.
    #[default]
    Keep,
    /// Strings are redacted; numbers become others of as many digits.
    Redact,
    /// Strings are scrubbed, numbers stay.
    Scrub,
}

/// A rule within JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JsonRule {
    /// Path: names separated by dots, `*` for any one name or element, `**` for any depth, `[]` or
    /// `[3]` for elements of an array; a name in double quotes may hold anything.
    pub path: String,
    /// What happens to strings and numbers there; to all below, where there is an object or array.
    #[serde(flatten)]
    pub transformer: Transformer,
}

/// When a mask applies: by another column of the same row. All that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The column; its value as it was before masking.
    pub column: String,
    /// It holds one of these, in its type's text form.
    #[serde(default, rename = "is", skip_serializing_if = "Option::is_none")]
    pub is: Option<Vec<String>>,
    /// It holds none of these; NULL is none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_not: Option<Vec<String>>,
    /// It is NULL, or it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_null: Option<bool>,
}

/// What happens to one column of a table: part of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedMask {
    /// How values are replaced.
    pub transformer: Transformer,
    /// Language of made-up data.
    #[serde(default)]
    pub locale: Locale,
    /// Values are masked alike wherever this label is the same: what makes foreign keys and joins
    /// meet. That of the transformer's kind unless the rules say another.
    pub domain: String,
    /// When; always where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The type below all domains, as `format_type` writes it: `character varying(20)`. `enum` for
    /// an enum.
    pub base_type: String,
    /// The other columns that it reads, with the types below their domains.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: BTreeMap<String, String>,
    /// Characters that the column takes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<u32>,
    /// Whether distinct values stay distinct.
    pub uniqueness: Uniqueness,
    /// Which rule said so, for people: `rule 3 of towpath.clone.toml`, `foreign key orders_user_fkey`.
    pub origin: String,
}

/// What masking did to one column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnTally {
    /// Values that were NULL.
    pub nulls: u64,
    /// Values that hold nothing to change: empty texts, arrays and documents, and texts in which
    /// the transformer finds nothing.
    pub empty: u64,
    /// Values that became other ones.
    pub changed: u64,
    /// Values that the transformer left as they were although it should not have.
    pub unchanged: u64,
    /// Values that a condition spared.
    pub spared: u64,
}

impl ColumnTally {
    /// Adds another one's counts.
    pub fn add(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.empty += other.empty;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.spared += other.spared;
    }
}

/// What masking did to the rows of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskTally {
    /// Digest of the columns that are not masked, of the rows as the source has them, in the plan's
    /// order: the clone must give the same.
    pub unmasked: RowDigest,
    /// Masked columns.
    pub columns: BTreeMap<String, ColumnTally>,
}

impl MaskTally {
    /// Adds the counts of another chunk of the same table.
    pub fn add(&mut self, other: &Self) {
        self.unmasked = [&self.unmasked, &other.unmasked].into_iter().collect();
        for (column, tally) in &other.columns {
            self.columns.entry(column.clone()).or_default().add(tally);
        }
    }
}
