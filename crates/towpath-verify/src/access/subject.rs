//! Whom to take on: roles with the claims that their tokens hold.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use towpath_model::access::AccessSubject;
use towpath_model::name::quote_identifier;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

use crate::access::options::AccessOptions;

/// Roles that the API switches to.
const ANONYMOUS: &str = "anon";
const USER: &str = "authenticated";
const SERVICE: &str = "service_role";

/// Foreign keys to `auth.users` that are asked whose rows there are.
const KEYS_ASKED: usize = 12;

/// Rows of a table that are asked whose they are.
const ROWS_ASKED: u32 = 1000;

/// A role with claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) role: String,
    /// What the claims are called.
    pub(crate) label: String,
    /// Whether it is the first of its role: what does not depend on claims is asked once.
    pub(crate) is_first: bool,
    claims: Map<String, Value>,
}

impl Subject {
    fn new(role: &str, label: impl Into<String>, claims: Value) -> Self {
        Self {
            role: role.to_owned(),
            label: label.into(),
            is_first: false,
            claims: match claims {
                Value::Object(claims) => claims,
                _ => Map::new(),
            },
        }
    }

    /// Settings that carry the claims, as a JSON object: all of them in one, as PostgREST sets them
    /// from version 9 on, and each in one of its own, as it did before ("Transaction-Scoped
    /// Settings" of its manual). Functions of the platform and of users read either.
    pub(crate) fn settings(&self) -> String {
        let mut settings = Map::new();
        if !self.claims.is_empty() {
            let all = Value::Object(self.claims.clone()).to_string();
            settings.insert("request.jwt.claims".to_owned(), Value::from(all));
        }
        for (claim, value) in self.claims.iter().filter(|(claim, _)| is_plain(claim)) {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            settings.insert(format!("request.jwt.claim.{claim}"), Value::from(text));
        }
        Value::Object(settings).to_string()
    }

    pub(crate) fn shown(&self) -> AccessSubject {
        AccessSubject {
            role: self.role.clone(),
            claims: self.label.clone(),
        }
    }
}

/// Whether a claim may be part of a setting's name.
fn is_plain(claim: &str) -> bool {
    claim.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && claim
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Everybody to be taken on: each role that goes, without claims; roles of the API with those that
/// a token has; a sample of users; and those that the operator names.
pub(crate) fn subjects(
    roles: &BTreeSet<String>,
    users: Vec<User>,
    options: &AccessOptions,
) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for role in roles {
        subjects.push(Subject::new(role, "", Value::Null));
        if [ANONYMOUS, USER, SERVICE].contains(&role.as_str()) {
            let claims = json!({"role": role, "iss": "supabase"});
            subjects.push(Subject::new(role, "a token without a user", claims));
        }
    }
    if roles.contains(USER) {
        for (at, user) in users.into_iter().enumerate() {
            let label = format!("user {}", user.id);
            let claims = user.claims();
            if at == 0 {
                // Policies that want a second factor say no to everybody else.
                let mut second = claims.clone();
                second["aal"] = Value::from("aal2");
                subjects.push(Subject::new(USER, format!("{label}, aal2"), second));
            }
            subjects.push(Subject::new(USER, label, claims));
        }
    }
    for named in &options.claims {
        let claims = Value::Object(named.claims.clone());
        subjects.push(Subject::new(&named.role, named.name.clone(), claims));
    }
    let mut seen = BTreeSet::new();
    for subject in &mut subjects {
        subject.is_first = seen.insert(subject.role.clone());
    }
    subjects
}

/// A user of the platform, as far as a token tells.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct User {
    id: String,
    email: Option<String>,
    phone: Option<String>,
    app_metadata: Option<Value>,
    user_metadata: Option<Value>,
    is_anonymous: Option<bool>,
}

impl User {
    /// What GoTrue puts into an access token ("JWT Fields" of Supabase's manual), with a time that
    /// has not come.
    fn claims(&self) -> Value {
        json!({
            "aud": USER,
            "role": USER,
            "sub": self.id,
            "email": self.email.as_deref().unwrap_or_default(),
            "phone": self.phone.as_deref().unwrap_or_default(),
            "app_metadata": self.app_metadata.clone().unwrap_or_else(|| json!({})),
            "user_metadata": self.user_metadata.clone().unwrap_or_else(|| json!({})),
            "is_anonymous": self.is_anonymous.unwrap_or(false),
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": 1_700_000_000}],
            "session_id": "00000000-0000-4000-8000-000000000000",
            "iss": "supabase",
            "iat": 1_700_000_000,
            "exp": 4_102_444_800_u64,
        })
    }
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct ForeignKey {
    schema: String,
    relation: String,
    column: String,
}

/// Users, the same ones at each call: the first, those that own most of the rows of tables that
/// refer to users, the last, and others. Those that only one side has are left out, where the
/// target has users at all.
pub(crate) async fn users(
    source: &mut Session,
    target: &mut Session,
    wanted: usize,
) -> Result<Vec<User>> {
    if wanted == 0 || !has_users(source).await? {
        return Ok(Vec::new());
    }
    let mut candidates = candidates(source, wanted).await?;
    if has_users(target).await? {
        let there = "select u.id::pg_catalog.text as id from auth.users u
                      where u.id::pg_catalog.text in
                            (select pg_catalog.json_array_elements_text($1::pg_catalog.json))";
        let ids: Vec<Id> = target.fetch(there, &[&listed(&candidates)]).await?;
        candidates.retain(|candidate| ids.iter().any(|id| id.id == *candidate));
    }
    candidates.truncate(wanted);
    let mut users: Vec<User> = source.fetch(USERS, &[&listed(&candidates)]).await?;
    users.sort_by_key(|user| candidates.iter().position(|id| *id == user.id));
    Ok(users)
}

fn listed(ids: &[String]) -> String {
    Value::from(ids.to_vec()).to_string()
}

/// Only what a token tells: passwords and tokens of the table stay where they are.
const USERS: &str = "
    select u.id::pg_catalog.text as id,
           j ->> 'email' as email,
           j ->> 'phone' as phone,
           j -> 'raw_app_meta_data' as app_metadata,
           j -> 'raw_user_meta_data' as user_metadata,
           (j ->> 'is_anonymous')::pg_catalog.bool as is_anonymous
      from auth.users u, lateral (select pg_catalog.to_jsonb(u)) as x (j)
     where u.id::pg_catalog.text in
           (select pg_catalog.json_array_elements_text($1::pg_catalog.json))";

async fn has_users(session: &mut Session) -> Result<bool> {
    let sql = "select case when pg_catalog.has_schema_privilege(n.oid, 'usage')
                            and pg_catalog.has_table_privilege(c.oid, 'select') then 'yes' end
                 from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where n.nspname = 'auth' and c.relname = 'users'";
    Ok(session.scalar(sql, &[]).await?.is_some())
}

async fn candidates(source: &mut Session, wanted: usize) -> Result<Vec<String>> {
    let keys: Vec<ForeignKey> = source
        .fetch(
            "select n.nspname as schema, c.relname as relation, a.attname as column
               from pg_catalog.pg_constraint k
               join pg_catalog.pg_class c on c.oid = k.conrelid
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
              where k.contype = 'f' and k.conparentid = 0
                and k.confrelid = pg_catalog.to_regclass('auth.users')
                and pg_catalog.cardinality(k.conkey) = 1
                and n.nspname not in ('auth', 'storage', 'realtime')
                and pg_catalog.has_schema_privilege(n.oid, 'usage')
                and pg_catalog.has_table_privilege(c.oid, 'select')
              order by c.reltuples desc, n.nspname, c.relname, a.attname",
            &[],
        )
        .await?;
    let mut parts = vec![
        "(select u.id::pg_catalog.text, 0 from auth.users u order by u.id limit 1)".to_owned(),
    ];
    for (at, key) in keys.iter().take(KEYS_ASKED).enumerate() {
        let table = QualifiedName::new(&key.schema, &key.relation).quoted();
        let column = quote_identifier(&key.column);
        parts.push(format!(
            "(select s.id, {rank} from (select t.{column}::pg_catalog.text as id from {table} t
                where t.{column} is not null limit {ROWS_ASKED}) s
              group by s.id order by pg_catalog.count(*) desc, s.id limit 2)",
            rank = 1 + at
        ));
    }
    let last = "(select u.id::pg_catalog.text, 100 from auth.users u order by u.id desc limit 1)";
    parts.push(last.to_owned());
    // More than wanted: some may not be on the target.
    parts.push(format!(
        "(select u.id::pg_catalog.text, 101 from auth.users u
           order by pg_catalog.md5(u.id::pg_catalog.text) limit {})",
        wanted.saturating_mul(3).saturating_add(10)
    ));
    let sql = format!(
        "select c.id from ({}) as c (id, rank) group by c.id
          order by pg_catalog.min(c.rank), pg_catalog.md5(c.id)",
        parts.join(" union all ")
    );
    let ids: Vec<Id> = source.fetch(&sql, &[]).await?;
    Ok(ids.into_iter().map(|id| id.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::options::AccessClaims;

    fn user(id: &str) -> User {
        User {
            id: id.to_owned(),
            email: Some("a@example.com".to_owned()),
            phone: None,
            app_metadata: Some(json!({"role": "admin"})),
            user_metadata: None,
            is_anonymous: None,
        }
    }

    fn roles(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn claims_are_set_both_ways_and_never_part_of_a_label() {
        let all = subjects(
            &roles(&[USER]),
            vec![user("u-1")],
            &AccessOptions::default(),
        );
        let subject = all.iter().find(|one| one.label == "user u-1").unwrap();
        let settings: Map<String, Value> = serde_json::from_str(&subject.settings()).unwrap();
        assert_eq!(settings["request.jwt.claim.sub"], "u-1");
        assert_eq!(
            settings["request.jwt.claim.app_metadata"],
            r#"{"role":"admin"}"#
        );
        let claims: Value =
            serde_json::from_str(settings["request.jwt.claims"].as_str().unwrap()).unwrap();
        assert_eq!(claims["email"], "a@example.com");
        assert!(all.iter().all(|one| !one.label.contains("example.com")));
    }

    #[test]
    fn everybody_is_there_once_with_and_without_claims() {
        let options = AccessOptions {
            claims: vec![AccessClaims {
                name: "the auditor".to_owned(),
                role: "app_readonly".to_owned(),
                claims: Map::new(),
            }],
            ..AccessOptions::default()
        };
        let all = subjects(
            &roles(&[ANONYMOUS, "app_readonly"]),
            vec![user("u-1")],
            &options,
        );
        let words: Vec<String> = all.iter().map(|one| one.shown().words()).collect();
        assert_eq!(
            words,
            [
                "anon",
                "anon (a token without a user)",
                "app_readonly",
                "app_readonly (the auditor)"
            ],
            "without the role, no user is taken on"
        );
        let first: Vec<bool> = all.iter().map(|one| one.is_first).collect();
        assert_eq!(first, [true, false, true, false]);
        let nothing: Map<String, Value> = serde_json::from_str(&all[0].settings()).unwrap();
        assert!(nothing.is_empty());
    }

    #[test]
    fn an_odd_claim_is_no_name_of_a_setting() {
        let odd = Subject::new(
            USER,
            "odd",
            json!({"https://example.com/x": 1, "Caps": 2, "ok_1": 3}),
        );
        let settings: Map<String, Value> = serde_json::from_str(&odd.settings()).unwrap();
        let names: Vec<&str> = settings.keys().map(String::as_str).collect();
        assert_eq!(names, ["request.jwt.claim.ok_1", "request.jwt.claims"]);
    }
}
