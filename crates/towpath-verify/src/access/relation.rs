//! Relations that are looked at, and how their rows are told apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::Value;
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::plan::Plan;
use towpath_model::structure::{ObjectKind, Structure};
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

/// A relation that both sides have.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) name: QualifiedName,
    pub(crate) kind: RelationKind,
    /// Columns of the primary key with their types; none for keyless relations.
    pub(crate) key: Vec<Column>,
    /// Columns that hold the same on both sides: all but generated ones and those that the export
    /// did not read as they are.
    pub(crate) columns: Vec<String>,
    /// Of these, the ones of type `json` or `jsonb`, or of a domain over them.
    pub(crate) json: BTreeSet<String>,
    /// Whether some are missing there that a row cannot be written without.
    pub(crate) leaves_columns_out: bool,
    /// Rows exported.
    pub(crate) rows: u64,
    /// Keys that are looked at instead of all, as lines.
    pub(crate) sample: Option<Vec<String>>,
}

/// What can be asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelationKind {
    /// Rows can be read and written.
    Table,
    /// A view: rows come from tables.
    View,
    /// A foreign table or a sequence: nothing but privileges is asked.
    Other,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
}

/// What tells rows apart for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The primary key.
    Key,
    /// These columns together, and how often.
    Columns(Vec<String>),
}

#[derive(Deserialize)]
struct Found {
    schema: String,
    name: String,
    kind: String,
    key: Vec<Column>,
    columns: Vec<String>,
    json: BTreeSet<String>,
    leaves: Vec<(String, String)>,
}

/// Names of relations and of roles that the target must have.
pub(crate) fn expected(structure: &Structure) -> (BTreeSet<QualifiedName>, BTreeSet<String>) {
    let mut relations = BTreeSet::new();
    let mut roles = BTreeSet::new();
    for object in structure.objects.values() {
        match (object.id.kind, &object.id.schema) {
            (ObjectKind::Role, _) => {
                roles.insert(object.id.name.clone());
            }
            (
                ObjectKind::Table
                | ObjectKind::View
                | ObjectKind::MaterializedView
                | ObjectKind::ForeignTable
                | ObjectKind::Sequence,
                Some(schema),
            ) if object.extension.is_none() => {
                relations.insert(QualifiedName::new(schema, &object.id.name));
            }
            _ => {}
        }
    }
    (relations, roles)
}

/// Relations of a side by name.
pub(crate) async fn relations(
    session: &mut Session,
    plan: &Plan,
    rows: &HashMap<QualifiedName, u64>,
) -> Result<BTreeMap<QualifiedName, Relation>> {
    let found: Vec<Found> = session.fetch(RELATIONS, &[]).await?;
    let read_otherwise: HashMap<&QualifiedName, &BTreeMap<String, String>> = plan
        .tables
        .iter()
        .map(|table| (&table.name, &table.expressions))
        .collect();
    let relation = |found: Found| {
        let name = QualifiedName::new(found.schema, found.name);
        let otherwise = read_otherwise.get(&name);
        let leaves = found.leaves.iter();
        let leaves = leaves.map(|(schema, name)| QualifiedName::new(schema, name));
        let relation = Relation {
            leaves_columns_out: otherwise.is_some_and(|columns| !columns.is_empty()),
            kind: match found.kind.as_str() {
                "r" | "p" => RelationKind::Table,
                "v" | "m" => RelationKind::View,
                _ => RelationKind::Other,
            },
            key: found.key,
            json: found.json,
            columns: found
                .columns
                .into_iter()
                .filter(|column| otherwise.is_none_or(|columns| !columns.contains_key(column)))
                .collect(),
            rows: match rows.get(&name) {
                Some(rows) => *rows,
                None => leaves.filter_map(|leaf| rows.get(&leaf)).sum(),
            },
            sample: None,
            name: name.clone(),
        };
        (name, relation)
    };
    Ok(found.into_iter().map(relation).collect())
}

/// Columns by name: a table that inherits may have them in another order on the target.
const RELATIONS: &str = "
    select n.nspname as schema, c.relname as name, c.relkind::pg_catalog.text as kind,
           coalesce((select pg_catalog.json_agg(pg_catalog.json_build_object(
                                'name', a.attname,
                                'type', pg_catalog.format_type(a.atttypid, -1)) order by k.at)
                       from pg_catalog.pg_index i,
                            unnest(i.indkey::pg_catalog.int2[]) with ordinality as k (attnum, at),
                            pg_catalog.pg_attribute a
                      where i.indrelid = c.oid and i.indisprimary and k.at <= i.indnkeyatts
                        and a.attrelid = c.oid and a.attnum = k.attnum), '[]') as key,
           coalesce((select pg_catalog.json_agg(a.attname order by a.attname)
                       from pg_catalog.pg_attribute a
                      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                        and a.attgenerated = ''), '[]') as columns,
           coalesce((select pg_catalog.json_agg(a.attname)
                       from pg_catalog.pg_attribute a
                       join pg_catalog.pg_type y on y.oid = a.atttypid
                      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                        and coalesce(nullif(y.typbasetype, 0), y.oid)
                            in ('pg_catalog.json'::pg_catalog.regtype,
                                'pg_catalog.jsonb'::pg_catalog.regtype)), '[]') as json,
           case when c.relkind = 'p' then
               coalesce((select pg_catalog.json_agg(pg_catalog.json_build_array(m.nspname, l.relname))
                           from pg_catalog.pg_partition_tree(c.oid) t
                           join pg_catalog.pg_class l on l.oid = t.relid
                           join pg_catalog.pg_namespace m on m.oid = l.relnamespace
                          where t.isleaf), '[]')
           else '[]' end as leaves
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'";

impl Relation {
    /// What tells rows apart for somebody who may read these columns: the key, or else all of them.
    pub(crate) fn identity(&self, may_read: impl Fn(&str) -> bool) -> Identity {
        if !self.key.is_empty() && self.key.iter().all(|column| may_read(&column.name)) {
            return Identity::Key;
        }
        let readable: Vec<String> = self
            .columns
            .iter()
            .filter(|column| may_read(column))
            .cloned()
            .collect();
        match (readable.is_empty(), self.key.is_empty()) {
            // Refused either way; the question has to name something.
            (true, false) => Identity::Key,
            (true, true) => Identity::Columns(self.columns.clone()),
            (false, _) => Identity::Columns(readable),
        }
    }

    /// The query whose lines tell rows apart, for whoever asks it.
    pub(crate) fn lines(&self, identity: &Identity) -> String {
        let condition = match (&self.sample, identity) {
            (Some(lines), Identity::Key) => format!(" where {}", self.is_one_of(lines)),
            _ => String::new(),
        };
        format!(
            "select {} from {}{condition}",
            self.line(identity),
            self.name.quoted()
        )
    }

    /// An expression of one text without line breaks.
    pub(crate) fn line(&self, identity: &Identity) -> String {
        match identity {
            Identity::Key => {
                let names: Vec<&str> = self.key.iter().map(|c| c.name.as_str()).collect();
                array_as_json(&names)
            }
            Identity::Columns(columns) => hash_of(columns),
        }
    }

    /// A hash of all that a row holds alike on both sides.
    pub(crate) fn contents(&self) -> String {
        hash_of(&self.columns)
    }

    /// The condition that the key is one of those in lines of [`Identity::Key`].
    pub(crate) fn is_one_of(&self, lines: &[String]) -> String {
        let values = lines.iter().filter_map(|line| key_values(line));
        match self.key.as_slice() {
            [only] => {
                let list: Vec<String> = values
                    .filter_map(|values| values.into_iter().next())
                    .map(|value| literal(&value))
                    .collect();
                // Equality of a list is what an index answers under row-level security too: the
                // operator is marked as one that leaks nothing.
                format!(
                    "{} = any (array[{}]::pg_catalog.text[]::{}[])",
                    quote_identifier(&only.name),
                    list.join(", "),
                    only.type_name
                )
            }
            several => {
                let row = |values: Vec<String>| {
                    let cast: Vec<String> = values
                        .iter()
                        .zip(several)
                        .map(|(value, column)| format!("{}::{}", literal(value), column.type_name))
                        .collect();
                    format!("({})", cast.join(", "))
                };
                let rows: Vec<String> = values.map(row).collect();
                if rows.is_empty() {
                    return "false".to_owned();
                }
                let names: Vec<String> = several
                    .iter()
                    .map(|column| quote_identifier(&column.name))
                    .collect();
                format!("({}) in ({})", names.join(", "), rows.join(", "))
            }
        }
    }

    /// Keys spread over a relation that is too large to be read whole by everybody.
    pub(crate) fn sample_of_keys(&self, wanted: u64) -> String {
        let percent = (100 * 4 * wanted).div_ceil(self.rows.max(1)).clamp(1, 100);
        format!(
            "select {} as line from {} tablesample system ({percent}) repeatable (42) limit {wanted}",
            self.line(&Identity::Key),
            self.name.quoted()
        )
    }

    /// A column that may be changed; one of the key only where there is no other.
    pub(crate) fn changeable(&self, may_update: impl Fn(&str) -> bool) -> Option<&String> {
        let is_key = |column: &String| self.key.iter().any(|key| key.name == *column);
        let mut columns: Vec<&String> = self.columns.iter().filter(|c| may_update(c)).collect();
        columns.sort_by_key(|column| is_key(column));
        columns.into_iter().next()
    }

    /// A line of [`Identity::Key`] as columns and values, for people.
    pub(crate) fn named(&self, line: &str) -> Vec<(String, String)> {
        let values = key_values(line).unwrap_or_default();
        let names = self.key.iter().map(|column| column.name.clone());
        names.zip(values).collect()
    }
}

fn literal(value: &str) -> String {
    quote_literal(value).trim().to_owned()
}

fn key_values(line: &str) -> Option<Vec<String>> {
    let values: Vec<Value> = serde_json::from_str(line).ok()?;
    values
        .into_iter()
        .map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn array_as_json<S: AsRef<str>>(columns: &[S]) -> String {
    let texts: Vec<String> = columns
        .iter()
        .map(|column| format!("{}::pg_catalog.text", quote_identifier(column.as_ref())))
        .collect();
    format!(
        "pg_catalog.array_to_json(array[{}]::pg_catalog.text[])::pg_catalog.text",
        texts.join(", ")
    )
}

fn hash_of<S: AsRef<str>>(columns: &[S]) -> String {
    format!(
        "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({}, 'UTF8')), 'hex')",
        array_as_json(columns)
    )
}

/// What COPY wrote, as it was: in a line without line breaks only backslashes are doubled.
pub(crate) fn line_of(copied: &[u8]) -> String {
    String::from_utf8_lossy(copied).replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(key: &[&str]) -> Relation {
        Relation {
            name: QualifiedName::new("s", "t"),
            kind: RelationKind::Table,
            key: key
                .iter()
                .map(|name| Column {
                    name: (*name).to_owned(),
                    type_name: "integer".to_owned(),
                })
                .collect(),
            columns: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            json: BTreeSet::new(),
            leaves_columns_out: false,
            rows: 0,
            sample: None,
        }
    }

    #[test]
    fn rows_are_told_apart_by_what_may_be_read() {
        let keyed = relation(&["a"]);
        assert_eq!(keyed.identity(|_| true), Identity::Key);
        assert_eq!(
            keyed.identity(|column| column != "a"),
            Identity::Columns(vec!["b".to_owned(), "c".to_owned()])
        );
        assert_eq!(keyed.identity(|_| false), Identity::Key);
        let keyless = relation(&[]);
        assert_eq!(
            keyless.identity(|_| false),
            Identity::Columns(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
    }

    #[test]
    fn keys_of_odd_values_find_their_rows() {
        let line = line_of(br#"["it's a \\"back\\\\slash\\""]"#);
        assert_eq!(line, r#"["it's a \"back\\slash\""]"#);
        assert_eq!(
            relation(&["a"]).is_one_of(&[line]),
            "\"a\" = any (array[E'it''s a \"back\\\\slash\"']::pg_catalog.text[]::integer[])"
        );
        assert_eq!(
            relation(&["a", "b"]).is_one_of(&[r#"["1","2"]"#.to_owned()]),
            "(\"a\", \"b\") in (('1'::integer, '2'::integer))"
        );
        assert_eq!(relation(&["a", "b"]).is_one_of(&[]), "false");
    }
}
