//! The structure of a database: every object of the catalog as data, in a form that two servers spell
//! alike, whatever their major versions, and the difference of two such structures.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aspects::Aspects;
use crate::name::readable;
use crate::objects::Objects;

/// Kinds of objects that a schema consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// Role of the cluster.
    Role,
    /// Schema.
    Schema,
    /// Extension.
    Extension,
    /// Procedural or other language.
    Language,
    /// Enum, composite, range or base type.
    Type,
    /// Domain.
    Domain,
    /// Collation.
    Collation,
    /// Function, procedure, aggregate or window function.
    Function,
    /// Operator.
    Operator,
    /// Operator class.
    OperatorClass,
    /// Operator family.
    OperatorFamily,
    /// Cast.
    Cast,
    /// Encoding conversion.
    Conversion,
    /// Text search configuration.
    TextSearchConfiguration,
    /// Text search dictionary.
    TextSearchDictionary,
    /// Text search parser.
    TextSearchParser,
    /// Text search template.
    TextSearchTemplate,
    /// Table: ordinary, partitioned or partition, with its columns.
    Table,
    /// Foreign table.
    ForeignTable,
    /// View.
    View,
    /// Materialized view.
    MaterializedView,
    /// Sequence.
    Sequence,
    /// Index that no constraint owns.
    Index,
    /// Constraint of a table (those of a domain belong to the domain).
    Constraint,
    /// Extended statistics.
    Statistics,
    /// Rule other than a view's own.
    Rule,
    /// Trigger.
    Trigger,
    /// Row-level security policy.
    Policy,
    /// Default privileges.
    DefaultPrivileges,
    /// Foreign-data wrapper.
    ForeignDataWrapper,
    /// Foreign server.
    ForeignServer,
    /// User mapping.
    UserMapping,
    /// Publication.
    Publication,
    /// Subscription.
    Subscription,
    /// Event trigger.
    EventTrigger,
    /// Access method.
    AccessMethod,
    /// Setting attached to the database, or to a role in it.
    Setting,
    /// Security label.
    SecurityLabel,
    /// Large object.
    LargeObject,
    /// The database itself: its privileges and its comment. Its name is the target's own.
    Database,
    /// Configuration parameter of the server that somebody was given rights on.
    Parameter,
}

impl ObjectKind {
    /// The words for it, lower case.
    pub const fn label(self) -> &'static str {
        match self {
            ObjectKind::Role => "role",
            ObjectKind::Schema => "schema",
            ObjectKind::Extension => "extension",
            ObjectKind::Language => "language",
            ObjectKind::Type => "type",
            ObjectKind::Domain => "domain",
            ObjectKind::Collation => "collation",
            ObjectKind::Function => "function",
            ObjectKind::Operator => "operator",
            ObjectKind::OperatorClass => "operator class",
            ObjectKind::OperatorFamily => "operator family",
            ObjectKind::Cast => "cast",
            ObjectKind::Conversion => "conversion",
            ObjectKind::TextSearchConfiguration => "text search configuration",
            ObjectKind::TextSearchDictionary => "text search dictionary",
            ObjectKind::TextSearchParser => "text search parser",
            ObjectKind::TextSearchTemplate => "text search template",
            ObjectKind::Table => "table",
            ObjectKind::ForeignTable => "foreign table",
            ObjectKind::View => "view",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Index => "index",
            ObjectKind::Constraint => "constraint",
            ObjectKind::Statistics => "statistics",
            ObjectKind::Rule => "rule",
            ObjectKind::Trigger => "trigger",
            ObjectKind::Policy => "policy",
            ObjectKind::DefaultPrivileges => "default privileges",
            ObjectKind::ForeignDataWrapper => "foreign-data wrapper",
            ObjectKind::ForeignServer => "foreign server",
            ObjectKind::UserMapping => "user mapping",
            ObjectKind::Publication => "publication",
            ObjectKind::Subscription => "subscription",
            ObjectKind::EventTrigger => "event trigger",
            ObjectKind::AccessMethod => "access method",
            ObjectKind::Setting => "setting",
            ObjectKind::SecurityLabel => "security label",
            ObjectKind::LargeObject => "large object",
            ObjectKind::Database => "database",
            ObjectKind::Parameter => "parameter",
        }
    }
}

/// Which object: the identity that is the same on source and target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId {
    /// Kind.
    pub kind: ObjectKind,
    /// Schema, for objects that live in one (for those on a table: the table's schema).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Name.
    pub name: String,
    /// Name of the table, view or domain that the object hangs on (constraint, index, trigger,
    /// policy, rule), in the same schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Argument types that tell overloads apart: raw catalog names, schema-qualified and joined
    /// with commas (`pg_catalog.int4,public.mood[]`). Functions: input arguments. Operators: left
    /// and right, `none` where there is no left one. Casts: source and target type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
}

impl ObjectId {
    /// An object that lives in a schema.
    pub fn of(kind: ObjectKind, schema: &str, name: &str) -> Self {
        Self {
            kind,
            schema: Some(schema.to_owned()),
            name: name.to_owned(),
            on: None,
            args: None,
        }
    }

    /// An object of the database or the cluster.
    pub fn global(kind: ObjectKind, name: &str) -> Self {
        Self {
            kind,
            schema: None,
            name: name.to_owned(),
            on: None,
            args: None,
        }
    }

    /// An object that hangs on a table.
    pub fn on(kind: ObjectKind, schema: &str, table: &str, name: &str) -> Self {
        Self {
            on: Some(table.to_owned()),
            ..Self::of(kind, schema, name)
        }
    }

    /// The same with argument types.
    #[must_use]
    pub fn with_args(mut self, args: &str) -> Self {
        self.args = Some(args.to_owned());
        self
    }
}

/// `policy "own rows" on public.profiles`, `function app.total(pg_catalog.int4)`.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind.label())?;
        match (&self.schema, &self.on) {
            (Some(schema), Some(table)) => {
                write!(
                    f,
                    "{} on {}.{}",
                    readable(&self.name),
                    readable(schema),
                    readable(table)
                )?;
            }
            (Some(schema), None) => write!(f, "{}.{}", readable(schema), readable(&self.name))?,
            // A number, as it stands in SQL.
            (None, _) if self.kind == ObjectKind::LargeObject => f.write_str(&self.name)?,
            (None, _) => f.write_str(&readable(&self.name))?,
        }
        match &self.args {
            Some(args) => write!(f, "({args})"),
            None => Ok(()),
        }
    }
}

/// One privilege that somebody other than the owner holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// Role, or `public` for everybody (the role name is unquoted catalog text).
    pub grantee: String,
    /// Privilege: `SELECT`, `EXECUTE` and so on.
    pub privilege: String,
    /// Column, for column privileges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// With grant option.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grantable: bool,
}

/// An object with all that is compared about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchemaObject {
    /// Which.
    pub id: ObjectId,
    /// OID on the server it was read from; never compared, it ties in `pg_depend` and dumps.
    pub oid: u32,
    /// Owner, where the kind has one. Compared where the expected object names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Extension that this object is a member of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// Comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Privileges of others than the owner, defaults made explicit.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub grants: BTreeSet<Grant>,
    /// Everything else, by aspect: `definition`, `columns`, `row_security`, `enabled`…
    pub aspects: Aspects,
}

/// The structure of one database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    /// Objects by identity, sorted.
    pub objects: Objects,
}

impl Structure {
    /// Collects objects. Two objects of one identity are a defect of the reader, so the later one
    /// wins and tests look for it.
    pub fn new(objects: impl IntoIterator<Item = SchemaObject>) -> Self {
        Self {
            objects: objects.into_iter().collect(),
        }
    }
}

/// How an object differs between what was expected and what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum StructureDifference {
    /// Expected, not there.
    Missing {
        /// Which.
        object: ObjectId,
    },
    /// There, not expected.
    Extra {
        /// Which.
        object: ObjectId,
    },
    /// There with another aspect.
    Changed {
        /// Which.
        object: ObjectId,
        /// Aspect that differs; `comment`, `owner` and `grants` are aspects too.
        aspect: String,
        /// Value expected.
        expected: Value,
        /// Value found.
        found: Value,
    },
}

impl StructureDifference {
    /// The object that differs.
    pub fn object(&self) -> &ObjectId {
        match self {
            Self::Missing { object } | Self::Extra { object } | Self::Changed { object, .. } => {
                object
            }
        }
    }
}

/// What may differ on purpose for one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allowance {
    /// Aspects that are not compared.
    pub aspects: BTreeSet<String>,
}

/// Compares the structure that the target should have with the one it has. `expected` holds only
/// objects that must be there; `tolerated` says of an object found beyond them whether it may be.
pub fn compare(
    expected: &Structure,
    found: &Structure,
    allowance: impl Fn(&ObjectId) -> Allowance,
    tolerated: impl Fn(&SchemaObject) -> bool,
) -> Vec<StructureDifference> {
    let mut differences = Vec::new();
    for object in &expected.objects {
        let id = &object.id;
        match found.objects.get(id) {
            None => differences.push(StructureDifference::Missing { object: id.clone() }),
            Some(there) => compare_object(object, there, &allowance(id), &mut differences),
        }
    }
    for object in &found.objects {
        let id = &object.id;
        if !expected.objects.contains_key(id) && !tolerated(object) {
            differences.push(StructureDifference::Extra { object: id.clone() });
        }
    }
    differences
}

/// Differences of two objects of one identity.
pub fn compare_object(
    expected: &SchemaObject,
    found: &SchemaObject,
    allowance: &Allowance,
    differences: &mut Vec<StructureDifference>,
) {
    let mut compare = |aspect: &str, expected_value: Value, found_value: Value| {
        if expected_value != found_value && !allowance.aspects.contains(aspect) {
            differences.push(StructureDifference::Changed {
                object: expected.id.clone(),
                aspect: aspect.to_owned(),
                expected: expected_value,
                found: found_value,
            });
        }
    };
    compare(
        "comment",
        Value::from(expected.comment.clone()),
        Value::from(found.comment.clone()),
    );
    // Where nobody owns, or nobody says who has to, owners are not compared.
    if let Some(owner) = &expected.owner {
        compare(
            "owner",
            Value::from(owner.clone()),
            Value::from(found.owner.clone()),
        );
    }
    compare(
        "grants",
        grants_as_value(&expected.grants),
        grants_as_value(&found.grants),
    );
    let names: BTreeSet<&String> = expected
        .aspects
        .keys()
        .chain(found.aspects.keys())
        .collect();
    for name in names {
        let value = |object: &SchemaObject| object.aspects.get(name).cloned().unwrap_or_default();
        compare(name, value(expected), value(found));
    }
}

fn grants_as_value(grants: &BTreeSet<Grant>) -> Value {
    serde_json::to_value(grants).unwrap_or_default()
}
