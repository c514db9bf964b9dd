//! Structure of a database as data.
//!
//! One statement per kind of object, each in a file of its own, whatever the number of objects.
//! Membership in extensions, comments, privileges and columns are read for all kinds at once and
//! put to their objects by catalog and OID.

mod spelling;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use towpath_model::structure::{Grant, ObjectId, ObjectKind, SchemaObject, Structure};
use towpath_model::{ErrorKind, Failure, Result};

use crate::session::Session;

/// The version that gave publications schemas, column lists and row filters.
const PUBLICATIONS_KNOW_COLUMNS: u32 = 150_000;

/// The version that gave parameters privileges.
const PARAMETERS_HAVE_PRIVILEGES: u32 = 150_000;

/// The statements that list objects, by kind.
const LISTS: [(ObjectKind, &str); 37] = [
    (ObjectKind::Role, include_str!("roles.sql")),
    (ObjectKind::Schema, include_str!("schemas.sql")),
    (ObjectKind::Extension, include_str!("extensions.sql")),
    (ObjectKind::Language, include_str!("languages.sql")),
    (ObjectKind::Type, include_str!("types.sql")),
    (ObjectKind::Domain, include_str!("domains.sql")),
    (ObjectKind::Collation, include_str!("collations.sql")),
    (ObjectKind::Function, include_str!("functions.sql")),
    (ObjectKind::Operator, include_str!("operators.sql")),
    (
        ObjectKind::OperatorClass,
        include_str!("operator_classes.sql"),
    ),
    (
        ObjectKind::OperatorFamily,
        include_str!("operator_families.sql"),
    ),
    (ObjectKind::Cast, include_str!("casts.sql")),
    (ObjectKind::Conversion, include_str!("conversions.sql")),
    (
        ObjectKind::TextSearchConfiguration,
        include_str!("text_search_configurations.sql"),
    ),
    (
        ObjectKind::TextSearchDictionary,
        include_str!("text_search_dictionaries.sql"),
    ),
    (
        ObjectKind::TextSearchParser,
        include_str!("text_search_parsers.sql"),
    ),
    (
        ObjectKind::TextSearchTemplate,
        include_str!("text_search_templates.sql"),
    ),
    (ObjectKind::Table, include_str!("tables.sql")),
    (ObjectKind::ForeignTable, include_str!("foreign_tables.sql")),
    (ObjectKind::View, include_str!("views.sql")),
    (
        ObjectKind::MaterializedView,
        include_str!("materialized_views.sql"),
    ),
    (ObjectKind::Sequence, include_str!("sequences.sql")),
    (ObjectKind::Index, include_str!("indexes.sql")),
    (ObjectKind::Constraint, include_str!("constraints.sql")),
    (ObjectKind::Statistics, include_str!("statistics.sql")),
    (ObjectKind::Rule, include_str!("rules.sql")),
    (ObjectKind::Trigger, include_str!("triggers.sql")),
    (ObjectKind::Policy, include_str!("policies.sql")),
    (
        ObjectKind::DefaultPrivileges,
        include_str!("default_privileges.sql"),
    ),
    (
        ObjectKind::ForeignDataWrapper,
        include_str!("foreign_data_wrappers.sql"),
    ),
    (
        ObjectKind::ForeignServer,
        include_str!("foreign_servers.sql"),
    ),
    (ObjectKind::UserMapping, include_str!("user_mappings.sql")),
    (ObjectKind::Subscription, include_str!("subscriptions.sql")),
    (ObjectKind::EventTrigger, include_str!("event_triggers.sql")),
    (ObjectKind::AccessMethod, include_str!("access_methods.sql")),
    (ObjectKind::Setting, include_str!("settings.sql")),
    (ObjectKind::LargeObject, include_str!("large_objects.sql")),
];

/// Reads every object of the database and every role of the cluster: those of managed schemas and
/// of extensions too, those that PostgreSQL itself brings not. Of large objects only those are
/// among them that belong to somebody else, have privileges, or a comment: what they hold is rows.
///
/// What it gives is the same on two servers that ran the same statements, of whatever major
/// versions, OIDs and owners aside: nothing of it depends on OIDs, dropped columns, sizes or the
/// clock, and what versions spell differently is spelled one way.
/// Values of options and settings that may be secret are replaced by the start of their SHA-256.
///
/// # Errors
///
/// [`ErrorKind::Internal`] when the search path is not empty, because definitions would leave out
/// the schemas on it (begin with [`Session::begin_reading`]), or when two objects claim one
/// identity. Any login may read all of it.
pub async fn read(session: &mut Session) -> Result<Structure> {
    require_empty_search_path(session).await?;
    let mut shared = Shared::read(session).await?;
    let mut objects = Vec::new();
    for (kind, sql) in LISTS {
        add(session, kind, sql, &mut shared, &mut objects).await?;
    }
    let publications = if session.version_num() >= PUBLICATIONS_KNOW_COLUMNS {
        include_str!("publications.sql")
    } else {
        include_str!("publications_before_15.sql")
    };
    add(
        session,
        ObjectKind::Publication,
        publications,
        &mut shared,
        &mut objects,
    )
    .await?;
    add(
        session,
        ObjectKind::Database,
        include_str!("database.sql"),
        &mut shared,
        &mut objects,
    )
    .await?;
    if session.version_num() >= PARAMETERS_HAVE_PRIVILEGES {
        let parameters = include_str!("parameters.sql");
        add(
            session,
            ObjectKind::Parameter,
            parameters,
            &mut shared,
            &mut objects,
        )
        .await?;
    }
    let labels = include_str!("security_labels.sql");
    add(
        session,
        ObjectKind::SecurityLabel,
        labels,
        &mut shared,
        &mut objects,
    )
    .await?;
    // Two of one identity are next to each other once they are sorted.
    objects.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(pair) = objects.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(Failure::new(
            ErrorKind::Internal,
            format!("the catalog was read to hold {} twice", pair[0].id),
        ));
    }
    Ok(Structure::new(objects))
}

async fn require_empty_search_path(session: &mut Session) -> Result<()> {
    let path = session
        .scalar("select pg_catalog.current_setting('search_path')", &[])
        .await?
        .unwrap_or_default();
    // Some versions read an empty path back as two double quotes.
    if path.is_empty() || path == "\"\"" {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Internal,
        format!("the structure was to be read with the search path {path:?}, it must be empty"),
    ))
}

async fn add(
    session: &mut Session,
    kind: ObjectKind,
    sql: &str,
    shared: &mut Shared,
    objects: &mut Vec<SchemaObject>,
) -> Result<()> {
    let rows: Vec<ObjectRow> = fetch(session, sql, kind.label()).await?;
    objects.extend(rows.into_iter().map(|row| shared.complete(kind, row)));
    Ok(())
}

async fn fetch<T: DeserializeOwned>(
    session: &mut Session,
    sql: &str,
    what: &str,
) -> Result<Vec<T>> {
    session.fetch(sql, &[]).await.map_err(|failure| {
        failure.while_doing(format!(
            "could not read the structure of the database: {what}"
        ))
    })
}

/// What every list gives.
#[derive(Debug, Deserialize)]
struct ObjectRow {
    #[serde(default)]
    schema: Option<String>,
    name: String,
    #[serde(default)]
    on: Option<String>,
    #[serde(default)]
    args: Option<String>,
    oid: u32,
    #[serde(default)]
    owner: Option<String>,
    /// Relation that this hangs on and whose extension it belongs to, having no membership of
    /// its own in the catalog.
    #[serde(default)]
    member_with: Option<u32>,
    /// What is not read for all kinds at once.
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    grants: BTreeSet<Grant>,
    aspects: BTreeMap<String, Value>,
}

/// A catalog by name, and the OID of an object in it.
type Address = (String, u32);

/// What is read for all kinds at once.
#[derive(Debug, Default)]
struct Shared {
    extensions: HashMap<Address, String>,
    comments: HashMap<Address, String>,
    grants: HashMap<Address, BTreeSet<Grant>>,
    owner_lacks: HashMap<Address, Value>,
    columns: HashMap<u32, Value>,
}

impl Shared {
    async fn read(session: &mut Session) -> Result<Self> {
        let members: Vec<MemberRow> = fetch(
            session,
            include_str!("members.sql"),
            "members of extensions",
        )
        .await?;
        let comments: Vec<CommentRow> =
            fetch(session, include_str!("comments.sql"), "comments").await?;
        let grants: Vec<GrantsRow> =
            fetch(session, include_str!("grants.sql"), "privileges").await?;
        let owner_lacks: Vec<LacksRow> = fetch(
            session,
            include_str!("owner_lacks.sql"),
            "privileges of owners",
        )
        .await?;
        let columns: Vec<ColumnsRow> =
            fetch(session, include_str!("columns.sql"), "columns").await?;
        Ok(Self {
            extensions: members
                .into_iter()
                .map(|row| ((row.catalog, row.oid), row.extension))
                .collect(),
            comments: comments
                .into_iter()
                .map(|row| ((row.catalog, row.oid), row.comment))
                .collect(),
            grants: grants
                .into_iter()
                .map(|row| ((row.catalog, row.oid), row.grants))
                .collect(),
            owner_lacks: owner_lacks
                .into_iter()
                .map(|row| ((row.catalog, row.oid), row.lacks))
                .collect(),
            columns: columns
                .into_iter()
                .map(|row| (row.oid, row.columns))
                .collect(),
        })
    }

    /// Puts to an object what is its own. Handed over and not copied: a schema of ten thousand tables
    /// would be held twice.
    fn complete(&mut self, kind: ObjectKind, row: ObjectRow) -> SchemaObject {
        let address = catalog_of(kind).map(|catalog| (catalog.to_owned(), row.oid));
        let mut aspects = row.aspects;
        if has_columns(kind) {
            let none = || Value::Array(Vec::new());
            let mut columns = self.columns.remove(&row.oid).unwrap_or_else(none);
            if aspects.contains_key("inherits") {
                let order = sort_columns(&mut columns);
                aspects.insert("column_order".to_owned(), order);
            }
            aspects.insert("columns".to_owned(), columns);
        }
        if let Some(lacks) = take(&mut self.owner_lacks, address.as_ref()) {
            aspects.insert("owner_lacks".to_owned(), lacks);
        }
        spelling::unify(kind, &mut aspects);
        SchemaObject {
            extension: address
                .as_ref()
                .and_then(|address| self.extensions.get(address))
                .or_else(|| self.extension_of_relation(row.member_with?))
                .cloned(),
            comment: take(&mut self.comments, address.as_ref()).or(row.comment),
            grants: take(&mut self.grants, address.as_ref()).unwrap_or(row.grants),
            id: ObjectId {
                kind,
                schema: row.schema,
                name: row.name,
                on: row.on,
                args: row.args,
            },
            oid: row.oid,
            owner: row.owner,
            aspects: aspects.into(),
        }
    }

    fn extension_of_relation(&self, oid: u32) -> Option<&String> {
        self.extensions.get(&("pg_class".to_owned(), oid))
    }
}

/// Sorts columns by name and gives the order they had. Where a table inherits, no statement makes
/// every order again, so it is an aspect of its own.
fn sort_columns(columns: &mut Value) -> Value {
    let name = |column: &Value| column.get("name").cloned().unwrap_or_default();
    let Value::Array(columns) = columns else {
        return Value::Null;
    };
    let order = columns.iter().map(name).collect();
    columns.sort_by_key(|column| name(column).as_str().map(str::to_owned));
    order
}

fn take<T>(among: &mut HashMap<Address, T>, address: Option<&Address>) -> Option<T> {
    among.remove(address?)
}

#[derive(Debug, Deserialize)]
struct MemberRow {
    catalog: String,
    oid: u32,
    extension: String,
}

#[derive(Debug, Deserialize)]
struct LacksRow {
    catalog: String,
    oid: u32,
    lacks: Value,
}

#[derive(Debug, Deserialize)]
struct CommentRow {
    catalog: String,
    oid: u32,
    comment: String,
}

#[derive(Debug, Deserialize)]
struct GrantsRow {
    catalog: String,
    oid: u32,
    grants: BTreeSet<Grant>,
}

#[derive(Debug, Deserialize)]
struct ColumnsRow {
    oid: u32,
    columns: Value,
}

/// The catalog whose OIDs the objects of this kind have; none where the OID is another object's.
pub const fn catalog_of(kind: ObjectKind) -> Option<&'static str> {
    Some(match kind {
        ObjectKind::Role => "pg_authid",
        ObjectKind::Schema => "pg_namespace",
        ObjectKind::Extension => "pg_extension",
        ObjectKind::Language => "pg_language",
        ObjectKind::Type | ObjectKind::Domain => "pg_type",
        ObjectKind::Collation => "pg_collation",
        ObjectKind::Function => "pg_proc",
        ObjectKind::Operator => "pg_operator",
        ObjectKind::OperatorClass => "pg_opclass",
        ObjectKind::OperatorFamily => "pg_opfamily",
        ObjectKind::Cast => "pg_cast",
        ObjectKind::Conversion => "pg_conversion",
        ObjectKind::TextSearchConfiguration => "pg_ts_config",
        ObjectKind::TextSearchDictionary => "pg_ts_dict",
        ObjectKind::TextSearchParser => "pg_ts_parser",
        ObjectKind::TextSearchTemplate => "pg_ts_template",
        ObjectKind::Table
        | ObjectKind::ForeignTable
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Sequence
        | ObjectKind::Index => "pg_class",
        ObjectKind::Constraint => "pg_constraint",
        ObjectKind::Statistics => "pg_statistic_ext",
        ObjectKind::Rule => "pg_rewrite",
        ObjectKind::Trigger => "pg_trigger",
        ObjectKind::Policy => "pg_policy",
        ObjectKind::DefaultPrivileges => "pg_default_acl",
        ObjectKind::ForeignDataWrapper => "pg_foreign_data_wrapper",
        ObjectKind::ForeignServer => "pg_foreign_server",
        ObjectKind::Publication => "pg_publication",
        ObjectKind::Subscription => "pg_subscription",
        ObjectKind::EventTrigger => "pg_event_trigger",
        ObjectKind::AccessMethod => "pg_am",
        ObjectKind::LargeObject => "pg_largeobject",
        ObjectKind::Database => "pg_database",
        ObjectKind::Parameter => "pg_parameter_acl",
        ObjectKind::UserMapping | ObjectKind::Setting | ObjectKind::SecurityLabel => return None,
    })
}

const fn has_columns(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::View
            | ObjectKind::MaterializedView
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(oid: u32, member_with: Option<u32>) -> ObjectRow {
        ObjectRow {
            schema: Some("cron".to_owned()),
            name: "job".to_owned(),
            on: None,
            args: None,
            oid,
            owner: None,
            member_with,
            comment: None,
            grants: BTreeSet::new(),
            aspects: BTreeMap::new(),
        }
    }

    fn shared() -> Shared {
        let job = ("pg_class".to_owned(), 7);
        Shared {
            extensions: HashMap::from([(job.clone(), "pg_cron".to_owned())]),
            comments: HashMap::from([(job, "jobs".to_owned())]),
            columns: HashMap::from([(7, json!([{"name": "jobid"}]))]),
            ..Shared::default()
        }
    }

    #[test]
    fn a_table_gets_its_columns_and_its_comment() {
        let mut shared = shared();
        let table = shared.complete(ObjectKind::Table, row(7, None));
        assert_eq!(table.comment.as_deref(), Some("jobs"));
        assert_eq!(table.aspects["columns"], json!([{"name": "jobid"}]));
    }

    #[test]
    fn the_order_of_inherited_columns_is_an_aspect_of_its_own() {
        let columns = json!([{"name": "b"}, {"name": "a"}]);
        let read = || Shared {
            columns: HashMap::from([(7, columns.clone())]),
            ..Shared::default()
        };
        let plain = read().complete(ObjectKind::Table, row(7, None));
        assert_eq!(plain.aspects["columns"], columns);
        let mut inheriting = row(7, None);
        inheriting
            .aspects
            .insert("inherits".into(), json!(["cron.jobs"]));
        let child = read().complete(ObjectKind::Table, inheriting);
        assert_eq!(
            child.aspects["columns"],
            json!([{"name": "a"}, {"name": "b"}])
        );
        assert_eq!(child.aspects["column_order"], json!(["b", "a"]));
    }

    #[test]
    fn numbers_of_one_catalog_mean_nothing_in_another() {
        let function = shared().complete(ObjectKind::Function, row(7, None));
        assert_eq!(function.comment, None);
        assert_eq!(function.extension, None);
        assert!(!function.aspects.contains_key("columns"));
    }

    #[test]
    fn an_index_belongs_to_the_extension_of_its_table() {
        let index = shared().complete(ObjectKind::Index, row(8, Some(7)));
        assert_eq!(index.extension.as_deref(), Some("pg_cron"));
        assert_eq!(index.comment, None);
    }

    #[test]
    fn every_list_is_one_statement_named_by_its_first_line() {
        for (kind, sql) in LISTS {
            let mut code = sql
                .lines()
                .filter(|line| !line.trim_start().starts_with("--"));
            assert!(code.all(|line| !line.contains(';')), "{}", kind.label());
            assert!(sql.starts_with("-- "), "{}", kind.label());
        }
    }
}
