//! Privileges that a role has in effect, by whatever way they came to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use towpath_model::name::readable;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

/// What a role may do with a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    has_schema: bool,
    /// Privileges on the whole relation.
    whole: BTreeSet<String>,
    /// Privileges on columns only, by privilege.
    columns: BTreeMap<String, BTreeSet<String>>,
}

/// What a role may do in a database.
#[derive(Debug, Clone, Default)]
pub(crate) struct RolePrivileges {
    relations: BTreeMap<QualifiedName, Held>,
    /// Roles whose rights it has, itself included.
    pub(crate) is: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Row {
    schema: String,
    name: String,
    usage: bool,
    whole: Vec<String>,
    columns: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

impl Held {
    /// Whether a column may be used so.
    pub(crate) fn covers(&self, privilege: &str, column: &str) -> bool {
        let of_columns = self.columns.get(privilege);
        self.whole.contains(privilege) || of_columns.is_some_and(|these| these.contains(column))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.columns.is_empty()
    }

    /// In words: `select, update (name)`.
    pub(crate) fn words(&self) -> String {
        let listed = |(privilege, columns): (&String, &BTreeSet<String>)| {
            let columns: Vec<String> = columns.iter().map(|column| readable(column)).collect();
            (!columns.is_empty()).then(|| format!("{privilege} ({})", columns.join(", ")))
        };
        let mut words: Vec<String> = self.whole.iter().cloned().collect();
        words.extend(self.columns.iter().filter_map(listed));
        if !self.has_schema && !words.is_empty() {
            words.push("no usage of the schema".to_owned());
        }
        words.join(", ")
    }
}

impl RolePrivileges {
    pub(crate) fn on(&self, relation: &QualifiedName) -> Held {
        self.relations.get(relation).cloned().unwrap_or_default()
    }
}

/// Asks for all relations at once. The server answers for any role, so a role that the login may
/// not take on is compared too.
pub(crate) async fn privileges(session: &mut Session, role: &str) -> Result<RolePrivileges> {
    let rows: Vec<Row> = session.fetch(RELATIONS, &[role]).await?;
    let roles: Vec<Role> = session.fetch(ROLES, &[role]).await?;
    Ok(RolePrivileges {
        relations: rows
            .into_iter()
            .map(|row| {
                let held = Held {
                    has_schema: row.usage,
                    whole: row.whole.into_iter().collect(),
                    columns: row.columns,
                };
                (QualifiedName::new(row.schema, row.name), held)
            })
            .collect(),
        is: roles.into_iter().map(|role| role.name).collect(),
    })
}

/// Roles whose policies apply to a role: those whose rights it has without taking them on.
const ROLES: &str = "
    select r.rolname::pg_catalog.text as name from pg_catalog.pg_roles r
     where pg_catalog.pg_has_role($1::pg_catalog.name, r.oid, 'usage')";

/// Columns count only where the whole relation does not have the privilege.
const RELATIONS: &str = "
    select n.nspname as schema, c.relname as name,
           pg_catalog.has_schema_privilege(w.who, n.oid, 'usage') as usage,
           array(select p.privilege
                   from unnest(case when c.relkind = 'S' then array['select', 'update', 'usage']
                                    else array['select', 'insert', 'update', 'delete', 'truncate']
                               end) as p (privilege)
                  where case when c.relkind = 'S'
                             then pg_catalog.has_sequence_privilege(w.who, c.oid, p.privilege)
                             else pg_catalog.has_table_privilege(w.who, c.oid, p.privilege) end)
               as whole,
           coalesce((select pg_catalog.json_object_agg(p.privilege, p.columns)
                       from (select q.privilege, pg_catalog.json_agg(a.attname) as columns
                               from unnest(array['select', 'insert', 'update']) as q (privilege),
                                    pg_catalog.pg_attribute a
                              where c.relkind <> 'S' and a.attrelid = c.oid
                                and a.attnum > 0 and not a.attisdropped
                                and not pg_catalog.has_table_privilege(w.who, c.oid, q.privilege)
                                and pg_catalog.has_column_privilege(
                                        w.who, c.oid, a.attnum, q.privilege)
                              group by q.privilege) p), '{}') as columns
      from (select $1::pg_catalog.name as who) w,
           pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_columns_where_only_they_are_given() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let held = Held {
            has_schema: true,
            whole: set(&["insert"]),
            columns: BTreeMap::from([("select".to_owned(), set(&["id", "Full Name"]))]),
        };
        assert_eq!(held.words(), "insert, select (\"Full Name\", id)");
        assert!(held.covers("select", "id") && held.covers("insert", "anything"));
        assert!(!held.covers("select", "salary"));
        let closed = Held {
            has_schema: false,
            ..held
        };
        assert!(closed.words().ends_with("no usage of the schema"));
        assert_eq!(Held::default().words(), "");
    }
}
