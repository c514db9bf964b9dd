//! Roles are of the whole server: those that are missing are made, those that are there are left alone.

use std::collections::BTreeSet;

use serde::Deserialize;
use towpath_model::Result;
use towpath_model::name::quote_identifier;
use towpath_model::rehearsal::{AddedMembership, MadeRole};
use towpath_model::schema::CleanSchema;
use towpath_model::script::Statement;
use towpath_model::structure::ObjectKind;
use towpath_postgres::Session;
use towpath_schema::creation_of_role;

#[derive(Deserialize)]
struct NameRow {
    name: String,
}

/// A role of the server.
#[derive(Deserialize)]
pub struct RoleRow {
    /// Name.
    pub name: String,
    /// OID.
    pub oid: u32,
    /// Comment.
    pub comment: Option<String>,
}

/// Memberships of the login, in a form in which a changed one is another one.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct MembershipRow {
    role: String,
    grantor: String,
    options: String,
}

/// What became of the roles of a script.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// Every role that was on the server before.
    pub before: BTreeSet<String>,
    /// Those that were made.
    pub made: Vec<MadeRole>,
    /// Memberships of the login that were added.
    pub memberships: Vec<AddedMembership>,
    /// What could not be done without a change of what was there, in sentences.
    pub not_done: Vec<String>,
}

/// Makes the roles of the script that are not there, and the login a member of those that are, in one
/// transaction with the statement that tells so. Without their `if not exists`: a role that somebody
/// else makes at this moment ends the transaction, and is not taken for ours.
pub async fn make_roles(
    session: &mut Session,
    schema: &CleanSchema,
    marking: impl FnOnce(&Roles) -> String,
) -> Result<Roles> {
    session.begin_writing("").await?;
    let there: Vec<NameRow> = session
        .fetch("select rolname as name from pg_catalog.pg_roles", &[])
        .await?;
    let mut found = Roles {
        before: there.into_iter().map(|row| row.name).collect(),
        ..Roles::default()
    };
    let of_roles = schema
        .pre_data
        .iter()
        .filter(|statement| statement.object.kind == ObjectKind::Role);
    let (old, new): (Vec<&Statement>, Vec<&Statement>) =
        of_roles.partition(|statement| found.before.contains(&statement.object.name));
    for sql in new.iter().filter_map(|it| creation_of_role(&it.sql)) {
        session.execute(sql).await?;
    }
    for statement in old.iter().filter(|it| is_membership_of_login(it)) {
        let role = &statement.object.name;
        match add_membership(session, statement).await? {
            Some(added) => found.memberships.extend(added),
            None => found.not_done.push(format!(
                "the membership of the target's login in role {} would get other options",
                towpath_model::name::readable(role)
            )),
        }
    }
    let now = roles(session).await?;
    found.made = now
        .into_iter()
        .filter(|role| !found.before.contains(&role.name))
        .filter(|role| new.iter().any(|it| it.object.name == role.name))
        .map(|role| MadeRole {
            name: role.name,
            oid: role.oid,
        })
        .collect();
    session.execute(&marking(&found)).await?;
    session.commit().await?;
    Ok(found)
}

/// Every role of the server.
pub async fn roles(session: &mut Session) -> Result<Vec<RoleRow>> {
    session
        .fetch(
            "select rolname as name, oid::int8 as oid,
                    pg_catalog.shobj_description(oid, 'pg_authid') as comment
               from pg_catalog.pg_roles
              order by rolname",
            &[],
        )
        .await
}

/// Whether a statement lets the login act as the role; the load wants it for owners.
fn is_membership_of_login(statement: &Statement) -> bool {
    let plain = format!(
        "grant {} to current_user",
        quote_identifier(&statement.object.name)
    );
    let rest = statement.sql.strip_prefix(&plain);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" with "))
}

/// Adds a membership of the login; gives what to take back. Nothing is done, and nothing given, when
/// it would change one that is there.
async fn add_membership(
    session: &mut Session,
    statement: &Statement,
) -> Result<Option<Vec<AddedMembership>>> {
    let before = memberships(session).await?;
    session.execute("savepoint membership").await?;
    session.execute(&statement.sql).await?;
    let after = memberships(session).await?;
    let is_changed = before.iter().any(|row| !after.contains(row));
    if is_changed {
        session.execute("rollback to savepoint membership").await?;
        return Ok(None);
    }
    let added = after.into_iter().filter(|row| !before.contains(row));
    Ok(Some(
        added
            .map(|row| AddedMembership {
                role: row.role,
                grantor: row.grantor,
            })
            .collect(),
    ))
}

async fn memberships(session: &mut Session) -> Result<BTreeSet<MembershipRow>> {
    let rows: Vec<MembershipRow> = session
        .fetch(
            "select r.rolname as role, pg_catalog.pg_get_userbyid(m.grantor)::text as grantor,
                    pg_catalog.to_jsonb(m)::text as options
               from pg_catalog.pg_auth_members m
               join pg_catalog.pg_roles r on r.oid = m.roleid
               join pg_catalog.pg_roles l on l.oid = m.member
              where l.rolname = current_user",
            &[],
        )
        .await?;
    Ok(rows.into_iter().collect())
}
