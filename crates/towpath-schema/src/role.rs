//! Roles of the target: made when they are missing, never with rights its master cannot give.

use serde_json::{Value, json};
use towpath_model::name::{quote_identifier, quote_literal};
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject};

use crate::decision::Decisions;
use crate::reserved::{USER_OWNER, is_api_role, is_server_role};
use crate::rules::Evidence;
use crate::setting::{Carriage, carriage};

/// From this version on the creator of a role is a member of it, but with admin rights only; what a
/// member may is said membership by membership.
const MEMBERSHIPS_HAVE_OPTIONS: u32 = 160_000;

/// The statements that make the roles and their memberships.
pub(crate) fn statements(
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<(ObjectId, String)> {
    let roles: Vec<&SchemaObject> = evidence
        .structure
        .objects
        .values()
        .filter(|object| object.id.kind == ObjectKind::Role && decisions.goes(&object.id))
        .collect();
    let mut statements = Vec::new();
    for role in &roles {
        statements.push((role.id.clone(), creation(role, evidence)));
        if let (Some(comment), false) = (&role.comment, is_api_role(&role.id.name)) {
            let sql = format!(
                "comment on role {} is {}",
                quote_identifier(&role.id.name),
                quote_literal(comment).trim()
            );
            statements.push((role.id.clone(), sql));
        }
    }
    for role in &roles {
        statements.push((role.id.clone(), reachable(role, evidence)));
        for membership in memberships(role, evidence, decisions) {
            let sql = membership.statement(&role.id.name, evidence);
            statements.push((role.id.clone(), sql));
        }
    }
    statements
}

fn creation(role: &SchemaObject, evidence: &Evidence<'_>) -> String {
    let is = |aspect: &str| role.aspects.get(aspect).and_then(Value::as_bool) == Some(true);
    let api = is_api_role(&role.id.name);
    let mut words = vec![if is("login") && !api {
        "login"
    } else {
        "nologin"
    }];
    words.push(if is("inherit") || api {
        "inherit"
    } else {
        "noinherit"
    });
    if !api && evidence.target.can_create_roles {
        if is("createdb") {
            words.push("createdb");
        }
        if is("createrole") {
            words.push("createrole");
        }
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if !api {
        words.extend(limits(role));
    }
    let name = &role.id.name;
    let sql = format!("create role {} {}", quote_identifier(name), words.join(" "));
    guarded(name, &sql)
}

fn guarded(name: &str, sql: &str) -> String {
    let name = quote_literal(name);
    format!(
        "{BEFORE_CREATION}{}){IF_MISSING}{sql}{AFTER_CREATION}",
        name.trim()
    )
}

const BEFORE_CREATION: &str = "do $towpath$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = ";
const IF_MISSING: &str = " then
        ";
const AFTER_CREATION: &str = ";
    end if;
end
$towpath$";

/// The `create role` in a statement that makes a role when it is missing: it fails when the role is
/// there, so whoever runs it knows whose role it is.
pub fn creation_of_role(statement: &str) -> Option<&str> {
    let rest = statement.strip_prefix(BEFORE_CREATION)?;
    let inner = rest.strip_suffix(AFTER_CREATION)?;
    // A name may hold these very words. It stands on both sides of them.
    let places: Vec<usize> = inner.match_indices(IF_MISSING).map(|(at, _)| at).collect();
    let at = places.get(places.len() / 2)?;
    Some(&inner[at + IF_MISSING.len()..])
}

fn limits(role: &SchemaObject) -> impl Iterator<Item = String> {
    let connections = role
        .aspects
        .get("connection_limit")
        .and_then(Value::as_i64)
        .filter(|limit| *limit >= 0)
        .map(|limit| format!("connection limit {limit}"));
    let until = role
        .aspects
        .get("valid_until")
        .and_then(Value::as_str)
        .map(|until| format!("valid until {}", quote_literal(until).trim()));
    connections.into_iter().chain(until)
}

/// Lets the owner switch to the role, give objects to it, and set default privileges for it.
fn reachable(role: &SchemaObject, evidence: &Evidence<'_>) -> String {
    let name = quote_identifier(&role.id.name);
    if evidence.target.version_num >= MEMBERSHIPS_HAVE_OPTIONS {
        format!("grant {name} to current_user with inherit true, set true")
    } else {
        format!("grant {name} to current_user")
    }
}

/// What predefined roles a master that may create roles gives away, on RDS as elsewhere. Those that
/// reach the server's files and programs need a superuser.
const PREDEFINED: [&str; 8] = [
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_monitor",
    "pg_read_all_settings",
    "pg_read_all_stats",
    "pg_stat_scan_tables",
    "pg_signal_backend",
    "pg_checkpoint",
];

/// One membership as the target has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub of: String,
    admin: bool,
    inherit: bool,
    set: bool,
}

impl Membership {
    fn statement(&self, member: &str, evidence: &Evidence<'_>) -> String {
        let (of, member) = (quote_identifier(&self.of), quote_identifier(member));
        let options = if evidence.target.version_num >= MEMBERSHIPS_HAVE_OPTIONS {
            format!(
                " with admin {}, inherit {}, set {}",
                self.admin, self.inherit, self.set
            )
        } else if self.admin {
            " with admin option".to_owned()
        } else {
            String::new()
        };
        format!("grant {of} to {member}{options}")
    }

    /// As the structure reader shows it.
    pub(crate) fn shown(&self, evidence: &Evidence<'_>) -> Value {
        let mut shown = json!({"role": self.of, "admin": self.admin});
        if evidence.target.version_num >= MEMBERSHIPS_HAVE_OPTIONS {
            shown["inherit"] = Value::from(self.inherit);
            shown["set"] = Value::from(self.set);
        }
        shown
    }
}

fn listed(role: &SchemaObject) -> Vec<Membership> {
    let list = role.aspects.get("memberships").and_then(Value::as_array);
    let inherits = role.aspects.get("inherit").and_then(Value::as_bool) != Some(false);
    list.into_iter()
        .flatten()
        .filter_map(|membership| {
            let is = |option: &str| membership.get(option).and_then(Value::as_bool);
            Some(Membership {
                of: membership.get("role").and_then(Value::as_str)?.to_owned(),
                admin: is("admin") == Some(true),
                // Before memberships had options, the member said whether it inherits.
                inherit: is("inherit").unwrap_or(inherits),
                set: is("set").unwrap_or(true),
            })
        })
        .collect()
}

/// Memberships of a role in others that go. Nobody becomes a member of the target's master: what it
/// may is far more than the source's owner, and its members may it too.
pub(crate) fn memberships(
    role: &SchemaObject,
    evidence: &Evidence<'_>,
    decisions: &Decisions,
) -> Vec<Membership> {
    let mut all = listed(role);
    all.retain(|membership| goes(&membership.of, evidence, decisions));
    all
}

fn goes(of: &str, evidence: &Evidence<'_>, decisions: &Decisions) -> bool {
    let is_master = of == USER_OWNER || of == evidence.options.target_owner;
    !is_master && (PREDEFINED.contains(&of) || (!is_server_role(of) && decisions.role_goes(of)))
}

/// Names the memberships that stay behind in the reports of the roles that had them.
pub(crate) fn report(evidence: &Evidence<'_>, decisions: &mut Decisions) {
    for role in evidence.structure.objects.values() {
        if role.id.kind != ObjectKind::Role || !decisions.goes(&role.id) {
            continue;
        }
        report_settings(role, evidence, decisions);
        let lost: Vec<String> = listed(role)
            .into_iter()
            .map(|membership| membership.of)
            .filter(|of| !goes(of, evidence, decisions))
            // The platform's roles among themselves are the platform's business.
            .filter(|of| !is_api_role(&role.id.name) || of == USER_OWNER)
            .collect();
        if lost.is_empty() {
            continue;
        }
        let mut reason = format!("not a member of {} any more", lost.join(", "));
        if lost.iter().any(|of| of == USER_OWNER) {
            reason.push_str(&format!(
                ": {USER_OWNER}'s place is taken by {}, whose members may administer the server",
                evidence.options.target_owner
            ));
        }
        if is_api_role(&role.id.name) {
            decisions.explain(&role.id, &reason);
        } else {
            decisions.mark_changed(&role.id, &["memberships"], &reason);
        }
    }
}

/// Names the settings that stay behind, in the report of the role that had them.
fn report_settings(role: &SchemaObject, evidence: &Evidence<'_>, decisions: &mut Decisions) {
    let Some(Value::Object(settings)) = role.aspects.get("settings") else {
        return;
    };
    let lost: Vec<&str> = settings
        .keys()
        .filter(|name| carriage(name, evidence) != Carriage::Carried)
        .map(String::as_str)
        .collect();
    if !lost.is_empty() {
        let reason = format!(
            "without its setting of {}: a secret, or one that the target's master may not give",
            lost.join(", ")
        );
        decisions.explain(&role.id, &reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_creation_is_found_in_its_statement_whatever_the_name() {
        for name in [
            "anon",
            "it's \"odd\"",
            "x then\n        y",
            "a\\b",
            ") then\n        ",
        ] {
            let sql = format!("create role {} nologin", quote_identifier(name));
            let statement = guarded(name, &sql);
            assert_eq!(creation_of_role(&statement), Some(sql.as_str()), "{name:?}");
        }
        assert_eq!(creation_of_role("grant \"a\" to current_user"), None);
    }
}
