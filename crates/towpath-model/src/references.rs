//! References as SQL: how a child's row meets its parent's, and which rows lead nowhere.
//!
//! Both sides are read as subqueries that give their key columns the names `k1`, `k2` and so on, so no
//! column of the user's can be taken for another one, whatever it is called, and a condition over the
//! child's columns needs no prefix.

use std::collections::BTreeSet;

use crate::keys::{ColumnFacts, KeyFacts, Reference};
use crate::name::{QualifiedName, quote_identifier};

/// Types between which `=` is built in, or a cast that loses nothing leads to one that is.
const FAMILIES: [&[&str]; 3] = [
    &[
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "real",
        "double precision",
    ],
    &["text", "character varying", "character", "name"],
    &[
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
    ],
];

/// The rows of one side of a reference: columns `rel` (`tableoid`), `place` (`ctid`), `k1`, `k2` …
/// Of an inheritance parent only its own rows, as foreign keys see it; of a partitioned table all.
pub fn rows_of(
    table: &QualifiedName,
    columns: &[String],
    facts: &KeyFacts,
    conditions: &[String],
) -> String {
    let keys: Vec<String> = (1..)
        .zip(columns)
        .map(|(no, column)| format!(", {} as k{no}", quote_identifier(column)))
        .collect();
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!(" where ({})", conditions.join(") and (")),
    };
    format!(
        "select tableoid as rel, ctid as place{} from {}{filter}",
        keys.concat(),
        from_item(table, facts)
    )
}

/// What stands behind `from`: partitions are read by way of their table, children by themselves.
pub fn from_item(table: &QualifiedName, facts: &KeyFacts) -> String {
    let is_partitioned = facts
        .tables
        .get(table)
        .is_some_and(|table| table.is_partitioned);
    match is_partitioned {
        true => table.quoted(),
        false => format!("only {}", table.quoted()),
    }
}

/// The condition under which row `c` of [`rows_of`] the child refers to row `p` of the parent. A NULL
/// within a key refers to nothing, under `MATCH FULL` as well, where all of it is NULL then.
///
/// The operator is found by the search path; see [`search_path`]. Declared references may lead from
/// one type to another that it cannot be compared with, a polymorphic `text` to a `uuid`: texts are
/// compared then. A period refers to every row whose period it overlaps: each may be one of those
/// that cover it.
pub fn meets(reference: &Reference, facts: &KeyFacts) -> String {
    let columns = reference
        .child_columns
        .iter()
        .zip(&reference.parent_columns);
    let parts: Vec<String> = (1_usize..)
        .zip(columns)
        .map(|(no, (child, parent))| {
            let child = column(facts, &reference.child, child);
            let parent = column(facts, &reference.parent, parent);
            if reference.is_declared && !compare(child, parent) {
                format!("c.k{no}::pg_catalog.text = p.k{no}::pg_catalog.text")
            } else if reference.is_period && no == reference.child_columns.len() {
                format!("c.k{no} operator(pg_catalog.&&) p.k{no}")
            } else if !reference.is_declared && is_padded(parent) && !is_padded(child) {
                // The key's own equality, for which blanks at the end are nothing. Between the two
                // types the server would choose that of texts.
                format!("c.k{no}::pg_catalog.bpchar = p.k{no}")
            } else {
                format!("c.k{no} = p.k{no}")
            }
        })
        .collect();
    parts.join(" and ")
}

/// Counts the rows that refer to something and lead nowhere, as column `rows`. For either side.
pub fn dangling_query(reference: &Reference, facts: &KeyFacts) -> String {
    let mut conditions: Vec<String> = reference
        .child_columns
        .iter()
        .map(|column| format!("{} is not null", quote_identifier(column)))
        .collect();
    conditions.extend(reference.condition.clone());
    let children = rows_of(
        &reference.child,
        &reference.child_columns,
        facts,
        &conditions,
    );
    let parents = rows_of(&reference.parent, &reference.parent_columns, facts, &[]);
    let meets = meets(reference, facts);
    let leads = match reference.is_period {
        false => format!("exists (select from ({parents}) as p where {meets})"),
        true => {
            let last = reference.child_columns.len();
            format!(
                "coalesce(c.k{last} operator(pg_catalog.<@) (
                     select pg_catalog.range_agg(p.k{last}) from ({parents}) as p where {meets}), false)"
            )
        }
    };
    format!(
        "select pg_catalog.count(*) as rows
           from ({children}) as c
          where not {leads}"
    )
}

/// A search path under which the keys of references are compared as their own types have it: a path
/// that is given, and the schemas of those types. Without the schema of `citext`, say, two values of
/// it are compared as `text` without a word, and a reference that the server holds for good dangles.
pub fn search_path<'r>(
    given: &str,
    references: impl IntoIterator<Item = &'r Reference>,
    facts: &KeyFacts,
) -> String {
    let mut schemas = BTreeSet::new();
    for reference in references {
        let children = reference
            .child_columns
            .iter()
            .map(|name| (&reference.child, name));
        let parents = reference
            .parent_columns
            .iter()
            .map(|name| (&reference.parent, name));
        for (table, name) in children.chain(parents) {
            schemas.extend(column(facts, table, name).and_then(schema_of));
        }
    }
    let added = schemas.iter().map(String::as_str);
    let parts: Vec<&str> = (!given.trim().is_empty())
        .then_some(given)
        .into_iter()
        .chain(added)
        .collect();
    parts.join(", ")
}

fn column<'f>(facts: &'f KeyFacts, table: &QualifiedName, name: &str) -> Option<&'f ColumnFacts> {
    let columns = &facts.tables.get(table)?.columns;
    columns.iter().find(|column| column.name == name)
}

/// Whether a column is a `character` of a length.
fn is_padded(column: Option<&ColumnFacts>) -> bool {
    column.is_some_and(|column| plain(&column.base_type) == "character")
}

/// Whether `=` takes a value of each. What is not known is left to the server.
fn compare(one: Option<&ColumnFacts>, other: Option<&ColumnFacts>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return true;
    };
    if one.base_type == "enum" || other.base_type == "enum" {
        // Every enum is called so: one and the same only by its own name.
        return one.type_name == other.type_name;
    }
    let (one, other) = (plain(&one.base_type), plain(&other.base_type));
    let together =
        |family: &&[&str]| family.contains(&one.as_str()) && family.contains(&other.as_str());
    one == other || FAMILIES.iter().any(together)
}

/// A type without its modifier.
fn plain(type_name: &str) -> String {
    match (type_name.find('('), type_name.find(')')) {
        (Some(open), Some(close)) if open < close && !type_name.contains('"') => {
            format!("{}{}", &type_name[..open], &type_name[close + 1..])
        }
        _ => type_name.to_owned(),
    }
}

/// The schema of a type as `format_type` writes it under an empty search path, quoted where it needs
/// to be; nothing for types of `pg_catalog`.
fn schema_of(column: &ColumnFacts) -> Option<String> {
    let name = match column.base_type.as_str() {
        "enum" => return None,
        name => name,
    };
    let mut in_quotes = false;
    let dot = name.find(|c| {
        in_quotes ^= c == '"';
        c == '.' && !in_quotes
    })?;
    Some(name[..dot].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::TableFacts;

    fn facts(tables: &[(&str, &[(&str, &str)])]) -> KeyFacts {
        let tables = tables.iter().map(|(name, columns)| {
            let columns = columns.iter().map(|(name, base_type)| ColumnFacts {
                name: (*name).to_owned(),
                type_name: (*base_type).to_owned(),
                base_type: (*base_type).to_owned(),
                ..ColumnFacts::default()
            });
            let facts = TableFacts {
                columns: columns.collect(),
                ..TableFacts::default()
            };
            (QualifiedName::new("s", *name), facts)
        });
        KeyFacts {
            tables: tables.collect(),
            ..KeyFacts::default()
        }
    }

    fn reference(is_declared: bool) -> Reference {
        Reference {
            name: "r".to_owned(),
            child: QualifiedName::new("s", "child"),
            child_columns: vec!["p\"k".to_owned()],
            parent: QualifiedName::new("s", "parent"),
            parent_columns: vec!["id".to_owned()],
            is_full: false,
            condition: is_declared.then(|| "\"kind\" = 'a'".to_owned()),
            is_declared,
            is_period: false,
        }
    }

    #[test]
    fn types_that_do_not_compare_meet_as_texts() {
        let of = |child, parent| {
            let facts = facts(&[("child", &[("p\"k", child)]), ("parent", &[("id", parent)])]);
            meets(&reference(true), &facts)
        };
        let as_texts = "c.k1::pg_catalog.text = p.k1::pg_catalog.text";
        assert_eq!(of("text", "uuid"), as_texts);
        assert_eq!(of("character varying(20)", "text"), "c.k1 = p.k1");
        assert_eq!(of("integer", "bigint"), "c.k1 = p.k1");
        assert_eq!(of("numeric(12,2)", "numeric"), "c.k1 = p.k1");
        assert_eq!(of("bigint", "text"), as_texts);
        // There is no operator, and for integers one that refuses what is no OID.
        assert_eq!(of("oid", "numeric"), as_texts);
        assert_eq!(of("bigint", "oid"), as_texts);
        assert_eq!(of("extensions.citext", "extensions.citext"), "c.k1 = p.k1");
        assert_eq!(of("text", "character(5)"), "c.k1 = p.k1");
    }

    #[test]
    fn a_foreign_key_is_equal_as_its_parent_has_it() {
        let of = |child, parent| {
            let facts = facts(&[("child", &[("p\"k", child)]), ("parent", &[("id", parent)])]);
            meets(&reference(false), &facts)
        };
        let padded = "c.k1::pg_catalog.bpchar = p.k1";
        assert_eq!(of("text", "character(5)"), padded);
        assert_eq!(of("character varying(9)", "character(5)"), padded);
        assert_eq!(of("character(9)", "character(5)"), "c.k1 = p.k1");
        assert_eq!(of("character(5)", "text"), "c.k1 = p.k1");
    }

    #[test]
    fn a_period_is_covered_by_every_row_that_it_overlaps() {
        let facts = facts(&[]);
        let reference = Reference {
            child_columns: vec!["room".to_owned(), "during".to_owned()],
            parent_columns: vec!["id".to_owned(), "open".to_owned()],
            is_period: true,
            ..reference(false)
        };
        let meets = meets(&reference, &facts);
        assert_eq!(meets, "c.k1 = p.k1 and c.k2 operator(pg_catalog.&&) p.k2");
        let sql = dangling_query(&reference, &facts);
        assert!(sql.contains("where not coalesce(c.k2 operator(pg_catalog.<@) ("));
        assert!(sql.contains("range_agg(p.k2)") && sql.contains(&meets));
    }

    #[test]
    fn types_bring_the_schemas_of_their_operators() {
        let facts = facts(&[
            ("child", &[("p\"k", "\"Ext. ensions\".citext")]),
            ("parent", &[("id", "app.isbn(3)")]),
        ]);
        let path = |given| search_path(given, [&reference(false)], &facts);
        assert_eq!(path("public"), "public, \"Ext. ensions\", app");
        assert_eq!(path(" "), "\"Ext. ensions\", app");
    }

    #[test]
    fn a_question_for_rows_that_lead_nowhere() {
        let mut facts = facts(&[
            ("child", &[("p\"k", "uuid")]),
            ("parent", &[("id", "uuid")]),
        ]);
        let parent = QualifiedName::new("s", "parent");
        if let Some(parent) = facts.tables.get_mut(&parent) {
            parent.is_partitioned = true;
        }
        let sql = dangling_query(&reference(true), &facts);
        assert_eq!(
            sql.split_whitespace().collect::<Vec<_>>().join(" "),
            "select pg_catalog.count(*) as rows from (select tableoid as rel, ctid as place, \
             \"p\"\"k\" as k1 from only \"s\".\"child\" where (\"p\"\"k\" is not null) and \
             (\"kind\" = 'a')) as c where not exists (select from (select tableoid as rel, ctid as \
             place, \"id\" as k1 from \"s\".\"parent\") as p where c.k1 = p.k1)"
        );
    }
}
