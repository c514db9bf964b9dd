//! The rules: each looks at one object and says what becomes of it, or leaves it to the next.

mod auth_users;
pub(crate) mod column_order;
pub(crate) mod database;
mod default_privileges;
mod emulated;
pub(crate) mod event_trigger;
pub(crate) mod extension;
pub(crate) mod extension_member;
mod fence;
pub(crate) mod forced_row_security;
mod hanger;
mod large_object;
mod managed;
pub(crate) mod parameter;
mod publication;
pub(crate) mod replaced;
mod role;
mod schema;
mod secret;
mod setting;
mod superuser;
mod user;

use std::collections::BTreeSet;

use towpath_model::Result;
use towpath_model::inventory::ServerFacts;
use towpath_model::structure::{ObjectId, ObjectKind, SchemaObject, Structure};

use crate::build_path;
use crate::bypass;
use crate::decision::{Decisions, Verdict};
use crate::dependents::{self, Lost};
use crate::options::{CarryAuthUsers, SchemaOptions};
use crate::references::DISABLED;
use crate::references::References;
use crate::reserved::{is_managed_schema, is_reserved_role};
use crate::source::Source;

/// Everything a rule may look at.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub structure: &'a Structure,
    pub source: &'a Source,
    pub target: &'a ServerFacts,
    pub options: &'a SchemaOptions,
    pub references: &'a References,
}

/// What earlier steps have found out, for the rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// `auth.users` goes.
    pub carries_users: bool,
    /// Functions that something the user made needs.
    pub needed: BTreeSet<ObjectId>,
    /// Functions take the place of extension pgjwt.
    pub replaces_jwt: bool,
    /// Schemas in which something that goes lives.
    pub inhabited: BTreeSet<String>,
}

/// A rule: its id, and what it says.
struct Rule {
    id: &'static str,
    decide: fn(&SchemaObject, &Evidence<'_>, &Findings) -> Option<Verdict>,
}

/// In this order; the first that says something decides. The last one always does.
const RULES: [Rule; 21] = [
    Rule {
        id: "fence",
        decide: fence::decide,
    },
    Rule {
        id: replaced::ID,
        decide: replaced::decide,
    },
    Rule {
        id: "extension-member",
        decide: extension_member::decide,
    },
    Rule {
        id: "extension",
        decide: extension::decide,
    },
    Rule {
        id: "role",
        decide: role::decide,
    },
    Rule {
        id: "database",
        decide: database::decide,
    },
    Rule {
        id: "parameter",
        decide: parameter::decide,
    },
    Rule {
        id: "secret",
        decide: secret::decide,
    },
    Rule {
        id: "large-object",
        decide: large_object::decide,
    },
    Rule {
        id: "setting",
        decide: setting::decide,
    },
    Rule {
        id: "default-privileges",
        decide: default_privileges::decide,
    },
    Rule {
        id: "event-trigger",
        decide: event_trigger::decide,
    },
    Rule {
        id: "publication",
        decide: publication::decide,
    },
    Rule {
        id: "emulated",
        decide: emulated::decide,
    },
    Rule {
        id: "auth-users",
        decide: auth_users::decide,
    },
    Rule {
        id: "schema",
        decide: schema::decide,
    },
    Rule {
        id: "managed",
        decide: managed::decide,
    },
    Rule {
        id: "hanger",
        decide: hanger::decide,
    },
    Rule {
        id: "superuser",
        decide: superuser::decide,
    },
    Rule {
        id: "forced-row-security",
        decide: forced_row_security::decide,
    },
    Rule {
        id: "user",
        decide: user::decide,
    },
];

/// Ids of decisions that follow from others, or that a statement brings about.
const LATER: [&str; 7] = [
    dependents::DEPENDENT,
    dependents::WEBHOOK,
    POLICY_ROLES,
    bypass::RULE,
    DISABLED,
    build_path::RULE,
    column_order::RULE,
];

/// A policy all of whose roles stay behind.
pub(crate) const POLICY_ROLES: &str = "policy-roles";

/// Every id that a decision can have.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.id).chain(LATER)
}

/// Decides about every object. Rules look at objects one by one, so what needs a view of the whole
/// is found out before: whether accounts go, which stand-ins are needed, which schemas are lived in.
pub(crate) fn decide(evidence: &Evidence<'_>) -> Result<(Decisions, Lost)> {
    let mut findings = Findings::default();
    let provisional = by_rules(evidence, &findings);
    findings.carries_users = evidence.options.carry_auth_users == CarryAuthUsers::Auto
        && auth_users::is_needed(evidence, &provisional);
    findings.needed = emulated::needed(evidence, &provisional);
    findings.replaces_jwt = replaced::is_needed(evidence, &provisional);
    let provisional = by_rules(evidence, &findings);
    findings.inhabited = schema::inhabited(evidence, &provisional);
    let mut decisions = by_rules(evidence, &findings);
    let lost = dependents::follow(evidence, &mut decisions)?;
    build_path::decide(evidence, &mut decisions);
    column_order::decide(evidence, &mut decisions)?;
    Ok((decisions, lost))
}

fn by_rules(evidence: &Evidence<'_>, findings: &Findings) -> Decisions {
    let mut decisions = Decisions::default();
    for object in evidence.structure.objects.values() {
        let verdict = RULES
            .iter()
            .find_map(|rule| Some((rule.id, (rule.decide)(object, evidence, findings)?)));
        let (id, verdict) = verdict.unwrap_or_else(|| ("user", Verdict::kept("made by the user")));
        decisions.set(&object.id, id, verdict);
    }
    decisions
}

/// Whether the platform owns this object.
fn is_owned_by_platform(object: &SchemaObject) -> bool {
    object.owner.as_deref().is_some_and(is_reserved_role)
}

fn lives_in_managed_schema(id: &ObjectId) -> bool {
    id.schema.as_deref().is_some_and(is_managed_schema)
}

/// The relation or domain that an object hangs on.
pub(crate) fn holder<'a>(structure: &'a Structure, id: &ObjectId) -> Option<&'a SchemaObject> {
    let (schema, on) = (id.schema.as_ref()?, id.on.as_ref()?);
    [
        ObjectKind::Table,
        ObjectKind::View,
        ObjectKind::MaterializedView,
        ObjectKind::ForeignTable,
        ObjectKind::Domain,
    ]
    .into_iter()
    .find_map(|kind| structure.objects.get(&ObjectId::of(kind, schema, on)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use towpath_model::schema::Decision;

    /// Pages of the reference, by the rule each is about.
    fn pages() -> BTreeMap<String, String> {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/schema-rules");
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .filter(|(name, _)| name != "README")
            .collect()
    }

    #[test]
    fn every_rule_has_its_page_and_every_page_its_rule() {
        let ids: BTreeSet<String> = super::ids().map(str::to_owned).collect();
        assert_eq!(ids.len(), super::ids().count(), "two rules of one id");
        let pages = pages();
        assert_eq!(pages.keys().cloned().collect::<BTreeSet<_>>(), ids);
    }

    #[test]
    fn every_page_names_its_decisions_and_answers_the_same_questions() {
        let words: Vec<String> = [
            Decision::Kept,
            Decision::Rewritten,
            Decision::Emulated,
            Decision::Dropped,
        ]
        .iter()
        .map(|decision| format!("`{}`", decision.label()))
        .collect();
        for (id, page) in pages() {
            assert!(page.starts_with(&format!("# {id}\n")), "{id}: its heading");
            let line = page
                .lines()
                .find_map(|line| line.strip_prefix("Decisions: "));
            let line = line.unwrap_or_else(|| panic!("{id} names no decisions"));
            for word in line.trim_end_matches('.').split(", ") {
                assert!(words.iter().any(|known| known == word), "{id}: {word}");
            }
            for question in ["What it decides", "Why", "What you see", "What to do"] {
                let heading = format!("\n## {question}\n\n");
                let (_, answer) = page
                    .split_once(&heading)
                    .unwrap_or_else(|| panic!("{id}: {question}"));
                assert!(
                    answer.starts_with(char::is_alphanumeric) || answer.starts_with('`'),
                    "{id}: {question}"
                );
            }
        }
    }

    #[test]
    fn the_list_of_pages_leads_to_each() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/reference/schema-rules/README.md");
        let list = std::fs::read_to_string(path).unwrap();
        for id in super::ids() {
            assert!(list.contains(&format!("- [{id}]({id}.md): ")), "{id}");
        }
    }
}
