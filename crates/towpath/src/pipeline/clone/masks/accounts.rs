//! What becomes of schema `auth`, where the platform keeps accounts. A clone has no use for them: nobody
//! logs in with them, and they are personal from end to end. Their ids stay where rows of the project
//! refer to them.

use std::collections::BTreeSet;

use towpath_mask::resolve::Preset;
use towpath_model::QualifiedName;
use towpath_model::keys::{ColumnFacts, KeyFacts, Reference};
use towpath_model::masking::{Fake, Transformer};
use towpath_model::plan::PlannedTable;

use super::shown;
use crate::pipeline::clone::order::AuthRows;

const SCHEMA: &str = "auth";

const USERS: &str = "users";

/// Columns of `auth.users` that say nothing about anybody: ids, kind and state of the account.
const STAY: [&str; 14] = [
    "id",
    "instance_id",
    "aud",
    "role",
    "is_super_admin",
    "is_sso_user",
    "is_anonymous",
    "email_confirmed_at",
    "phone_confirmed_at",
    "email_change_confirm_status",
    "created_at",
    "updated_at",
    "deleted_at",
    "banned_until",
];

/// What the setting makes of schema `auth`, as rules.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// Masks, unless the rules say others.
    pub(super) preset: Preset,
    /// Columns that lead to rows that do not go: they must become NULL, or else why not.
    pub(super) must_be_null: Vec<(QualifiedName, String, String)>,
    /// What is refused.
    pub(super) refusals: Vec<String>,
}

/// Whether no row of a table goes.
pub(super) fn is_emptied(auth: AuthRows, table: &QualifiedName) -> bool {
    table.schema == SCHEMA
        && match auth {
            AuthRows::Ids => table.name != USERS,
            AuthRows::None => true,
            AuthRows::Masked => false,
        }
}

/// Whether a table is the one of accounts.
pub fn is_of_users(table: &QualifiedName) -> bool {
    table.schema == SCHEMA && table.name == USERS
}

/// Whether a column of schema `auth` goes as it is although all else is masked.
pub fn stays_as_it_is(auth: AuthRows, table: &QualifiedName, column: &str) -> bool {
    auth == AuthRows::Ids && is_of_users(table) && STAY.contains(&column)
}

/// What the setting makes of the tables of a plan.
pub(super) fn of(auth: AuthRows, facts: &KeyFacts, tables: &[PlannedTable]) -> Accounts {
    let mut accounts = Accounts {
        preset: Preset {
            name: "clone.auth".to_owned(),
            columns: Vec::new(),
        },
        ..Accounts::default()
    };
    if auth == AuthRows::Ids {
        users(&mut accounts, facts);
    }
    let emptied: BTreeSet<&QualifiedName> = tables
        .iter()
        .map(|table| &table.name)
        .filter(|table| is_emptied(auth, table))
        .collect();
    for reference in &facts.references {
        if emptied.contains(&reference.parent) && !emptied.contains(&reference.child) {
            cut(&mut accounts, facts, tables, reference);
        }
    }
    accounts
}

/// Masks of the columns of `auth.users`.
fn users(accounts: &mut Accounts, facts: &KeyFacts) {
    let table = QualifiedName::new(SCHEMA, USERS);
    let Some(table_facts) = facts.tables.get(&table) else {
        return;
    };
    for column in &table_facts.columns {
        if column.generated || stays_as_it_is(AuthRows::Ids, &table, &column.name) {
            continue;
        }
        if let Some(transformer) = of_user(column) {
            let mask = (table.clone(), column.name.clone(), transformer);
            accounts.preset.columns.push(mask);
        }
    }
}

/// An account has an address to be told by, and else nothing. Later versions of the platform may add
/// columns: they become NULL, and one that cannot is for the coverage gate.
fn of_user(column: &ColumnFacts) -> Option<Transformer> {
    let is_text = ["text", "character varying"]
        .iter()
        .any(|name| column.base_type.starts_with(name));
    match (column.name.as_str(), column.base_type.as_str()) {
        ("email", _) if is_text => Some(Transformer::Fake {
            what: Fake::Email,
            locale: None,
            unique: true,
        }),
        // Functions of the project read keys of it: an empty document has none, and is no NULL.
        (_, "json" | "jsonb") => Some(Transformer::Constant {
            value: "{}".to_owned(),
        }),
        _ if !column.not_null => Some(Transformer::Null),
        _ if is_text => Some(Transformer::Constant {
            value: String::new(),
        }),
        _ => None,
    }
}

/// A reference to rows that do not go: its columns become NULL, where they may.
fn cut(accounts: &mut Accounts, facts: &KeyFacts, tables: &[PlannedTable], reference: &Reference) {
    let columns: Vec<&ColumnFacts> = reference
        .child_columns
        .iter()
        .filter_map(|column| facts.column(&reference.child, column))
        .collect();
    let can_be_null: Vec<&&ColumnFacts> = columns
        .iter()
        .filter(|column| !column.not_null && !column.generated)
        .collect();
    // One NULL is enough to refer to nothing, unless all must be.
    let is_enough = match reference.is_full {
        true => can_be_null.len() == columns.len(),
        false => !can_be_null.is_empty(),
    };
    if !is_enough {
        accounts.refusals.push(format!(
            "{} refers to {} by {}, takes no NULL there, and no row of {} goes: use clone.auth = \"ids\" or \"masked\"",
            reference.child, reference.parent, reference.name, reference.parent
        ));
        return;
    }
    for column in can_be_null {
        let mask = (
            reference.child.clone(),
            column.name.clone(),
            Transformer::Null,
        );
        accounts.preset.columns.push(mask);
        // Rows of a partitioned table are those of its partitions.
        for table in tables.iter().filter(|table| {
            let parents = facts.tables.get(&table.name).map(|facts| &facts.parents);
            table.name == reference.child
                || parents.is_some_and(|parents| parents.contains(&reference.child))
        }) {
            accounts.must_be_null.push((
                table.name.clone(),
                column.name.clone(),
                format!(
                    "{} refers to {} by {}, of which no row goes, and the rules give it another mask than null, or none in some rows: use clone.auth = \"ids\" or \"masked\", or mask it with null",
                    shown(&table.name, &column.name),
                    reference.parent,
                    reference.name
                ),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::keys::TableFacts;

    use super::*;

    /// Name, type, and whether it takes no NULL.
    type Columns<'c> = &'c [(&'c str, &'c str, bool)];

    fn facts(tables: &[(&str, &str, Columns<'_>)]) -> KeyFacts {
        let tables = tables.iter().map(|(schema, name, columns)| {
            let columns = columns
                .iter()
                .map(|(name, base_type, not_null)| ColumnFacts {
                    name: (*name).to_owned(),
                    type_name: (*base_type).to_owned(),
                    base_type: (*base_type).to_owned(),
                    not_null: *not_null,
                    ..ColumnFacts::default()
                });
            let facts = TableFacts {
                columns: columns.collect(),
                ..TableFacts::default()
            };
            (QualifiedName::new(*schema, *name), facts)
        });
        KeyFacts {
            tables: tables.collect(),
            ..KeyFacts::default()
        }
    }

    fn key(child: &str, columns: &[&str], parent: &str, is_full: bool) -> Reference {
        Reference {
            name: format!("{child}_fk"),
            child: QualifiedName::new("public", child),
            child_columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            parent: QualifiedName::new("auth", parent),
            parent_columns: columns.iter().map(|it| (*it).to_owned()).collect(),
            is_full,
            condition: None,
            is_declared: false,
            is_period: false,
        }
    }

    fn planned(schema: &str, name: &str) -> PlannedTable {
        let name = QualifiedName::new(schema, name);
        serde_json::from_value(serde_json::json!({
            "id": towpath_model::TableId::of(&name), "name": name, "columns": [], "key": [],
            "types": [], "format": "binary", "bytes": 0, "estimated_rows": 0,
            "force_row_security": false, "chunks": [],
        }))
        .unwrap()
    }

    #[test]
    fn of_users_nothing_stays_that_says_who_they_are() {
        let facts = facts(&[(
            "auth",
            "users",
            &[
                ("id", "uuid", true),
                ("email", "character varying(255)", false),
                ("phone", "text", false),
                ("encrypted_password", "character varying(255)", true),
                ("raw_user_meta_data", "jsonb", false),
                ("last_sign_in_at", "timestamp with time zone", false),
                ("created_at", "timestamp with time zone", false),
                ("of_a_later_version", "bytea", false),
                ("not_to_be_helped", "bytea", true),
            ],
        )]);
        let tables = [planned("auth", "users"), planned("auth", "sessions")];
        let found = of(AuthRows::Ids, &facts, &tables);
        let masks: Vec<(&str, String)> = found
            .preset
            .columns
            .iter()
            .map(|(_, column, transformer)| {
                (column.as_str(), towpath_mask::rules::title(transformer))
            })
            .collect();
        let null = |column| (column, "null".to_owned());
        let constant = |column| (column, "constant".to_owned());
        assert_eq!(
            masks,
            [
                ("email", "fake-email".to_owned()),
                null("phone"),
                constant("encrypted_password"),
                constant("raw_user_meta_data"),
                null("last_sign_in_at"),
                null("of_a_later_version"),
            ]
        );
        let emptied = |auth, table: &str| is_emptied(auth, &QualifiedName::new("auth", table));
        assert!(emptied(AuthRows::Ids, "sessions") && !emptied(AuthRows::Ids, "users"));
        assert!(emptied(AuthRows::None, "users") && !emptied(AuthRows::Masked, "sessions"));
        let own = QualifiedName::new("public", "users");
        assert!(!is_emptied(AuthRows::None, &own));
        assert!(
            of(AuthRows::Masked, &facts, &tables)
                .preset
                .columns
                .is_empty()
        );
    }

    #[test]
    fn what_refers_to_rows_that_do_not_go_becomes_null_or_is_refused() {
        let mut facts = facts(&[
            ("auth", "users", &[("id", "uuid", true)]),
            (
                "public",
                "notes",
                &[("id", "uuid", false), ("x", "text", true)],
            ),
            ("public", "profiles", &[("id", "uuid", true)]),
            (
                "public",
                "pairs",
                &[("id", "uuid", false), ("x", "text", true)],
            ),
        ]);
        let tables = ["notes", "profiles", "pairs"].map(|name| planned("public", name));
        let tables = [&[planned("auth", "users")], &tables[..]].concat();
        facts.references = vec![
            key("notes", &["id", "x"], "users", false),
            key("profiles", &["id"], "users", false),
            key("pairs", &["id", "x"], "users", true),
        ];
        let found = of(AuthRows::None, &facts, &tables);
        let nulls: Vec<&str> = found
            .preset
            .columns
            .iter()
            .map(|(table, column, _)| {
                assert_eq!(column, "id");
                table.name.as_str()
            })
            .collect();
        // One NULL in a pair is enough, unless all of it must be.
        assert_eq!(nulls, ["notes"]);
        assert_eq!(found.refusals.len(), 2);
        assert!(found.refusals.iter().all(|why| why.contains("clone.auth")));
        // A rule that says something else of the column is told so, and one that says null is not.
        let rules = |with: &str| {
            let text = format!("[[mask]]\ntable = \"notes\"\ncolumn = \"id\"\nwith = \"{with}\"");
            let rules = towpath_mask::rules::parse(&text, "rules.toml").unwrap();
            let mut facts = facts.clone();
            facts.references.truncate(1);
            let mut tables = tables.clone();
            tables[1].columns = vec!["id".to_owned(), "x".to_owned()];
            super::super::resolved(&rules, "rules.toml", AuthRows::None, &facts, &tables).refusals
        };
        assert_eq!(rules("null"), Vec::<String>::new());
        for other in [
            "uuid",
            "null\"\nwhen = { column = \"x\", is = [\"a\"] }\ndomain = \"d",
        ] {
            let found = rules(other);
            let is_told = |why: &String| why.contains("another mask than null");
            assert!(found.iter().any(is_told), "{other}: {found:?}");
        }
        // With their ids there, nothing is cut.
        assert!(of(AuthRows::Ids, &facts, &tables).must_be_null.is_empty());
    }
}
