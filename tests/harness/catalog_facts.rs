//! What two catalogs say, asked by plain SQL: a second opinion about structure that owes nothing to
//! the reader under test.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::pg::psql;

/// An object as `pg_identify_object_as_address` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    kind: String,
    names: Vec<String>,
    args: Vec<String>,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:?}", self.kind, self.names, self.args)
    }
}

/// Attributes of every object of a database.
pub type Facts = BTreeMap<Thing, BTreeMap<String, String>>;

/// Reads the catalog.
#[must_use]
pub fn facts(url: &str) -> Facts {
    let sql = format!(
        "set search_path = '';\n{}",
        include_str!("catalog_facts.sql")
    );
    let mut facts = Facts::new();
    for line in psql(url, &sql).lines() {
        let row: Value = serde_json::from_str(line).expect("a fact is JSON");
        let words = |at: usize| -> Vec<String> {
            let list = row[at].as_array().into_iter().flatten();
            list.map(|word| word.as_str().unwrap_or_default().to_owned())
                .collect()
        };
        let text = |at: usize| row[at].as_str().map(str::to_owned);
        let thing = Thing {
            kind: text(0).unwrap_or_default(),
            names: words(1),
            args: words(2),
        };
        let told = facts.entry(thing).or_default();
        if let (Some(attribute), Some(value)) = (text(3), text(4)) {
            told.insert(attribute, value);
        }
    }
    facts
}

/// What a run's report says about objects.
struct Report {
    entries: BTreeMap<String, Entry>,
    master: String,
}

struct Entry {
    decision: String,
    changed: BTreeSet<String>,
    reason: String,
}

impl Report {
    fn new(report: &Value, master: &str) -> Self {
        let objects = report["objects"].as_array().expect("objects");
        let entries = objects.iter().map(|object| {
            let id = &object["object"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let kind = text(&id["kind"]);
            // The name of an index says which.
            let parts = [&id["schema"], &id["on"], &id["name"]];
            let names: Vec<&str> = parts
                .into_iter()
                .enumerate()
                .filter(|(at, _)| !(*at == 1 && kind == "index"))
                .filter_map(|(_, part)| part.as_str())
                .collect();
            let changed = object["changed"].as_array().into_iter().flatten();
            let entry = Entry {
                decision: text(&object["decision"]),
                changed: changed.map(text).collect(),
                reason: text(&object["reason"]),
            };
            (key(&kind, &names, &text(&id["args"])), entry)
        });
        Self {
            entries: entries.collect(),
            master: master.to_owned(),
        }
    }

    fn of(&self, thing: &Thing) -> Option<&Entry> {
        let names: Vec<&str> = thing.names.iter().map(String::as_str).collect();
        let types: Vec<String> = thing.args.iter().map(|name| catalog_name(name)).collect();
        let args = types.join(",");
        let find =
            |kind: &str, names: &[&str], args: &str| self.entries.get(&key(kind, names, args));
        match thing.kind.as_str() {
            "table column"
            | "view column"
            | "materialized view column"
            | "foreign table column" => {
                let kind = thing.kind.trim_end_matches(" column").replace(' ', "-");
                find(&kind, names.get(..2)?, "")
            }
            "index" => find("index", &names, "").or_else(|| self.constraint(&names)),
            "table constraint" => find("constraint", &names, ""),
            "domain constraint" => find("domain", &names, ""),
            "type" => find("type", &names, "").or_else(|| find("domain", &names, "")),
            "function" | "procedure" | "aggregate" => find("function", &names, &args),
            "operator class" | "operator family" => {
                find(&thing.kind.replace(' ', "-"), names.get(1..)?, names[0])
            }
            "cast" => find(
                "cast",
                &["cast"],
                &format!("{},{args}", catalog_name(names[0])),
            ),
            "statistics object" => find("statistics", &names, ""),
            "server" => find("foreign-server", &names, ""),
            "user mapping" => find("user-mapping", &names, &args),
            "setting" => find("setting", &names[1..], names[0]),
            "default acl" => {
                let of = match args.as_str() {
                    "r" => "tables",
                    "S" => "sequences",
                    "f" => "functions",
                    "T" => "types",
                    "n" => "schemas",
                    _ => "large objects",
                };
                let role = if names[0] == self.master {
                    "postgres"
                } else {
                    names[0]
                };
                let names = [names[1], role];
                let names = &names[usize::from(names[0].is_empty())..];
                find("default-privileges", names, of)
            }
            kind => find(&kind.replace(' ', "-"), &names, &args),
        }
    }

    /// The constraint that an index belongs to; its table is not part of the index's address.
    fn constraint(&self, index: &[&str]) -> Option<&Entry> {
        let [schema, name] = index else { return None };
        let (begin, end) = (
            format!("constraint|{}.", bare(schema)),
            format!(".{}|", bare(name)),
        );
        let mut found = self
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with(&begin) && key.ends_with(&end));
        found.next().map(|(_, entry)| entry)
    }

    fn role_goes(&self, role: &str) -> bool {
        role == "public"
            || role.starts_with("pg_")
            || self
                .entries
                .get(&key("role", &[role], ""))
                .is_some_and(|entry| entry.decision != "dropped")
    }
}

/// Types that have a name in the standard, as the catalog calls them.
fn catalog_name(name: &str) -> String {
    const STANDARD: [(&str, &str); 15] = [
        ("bigint", "int8"),
        ("bit varying", "varbit"),
        ("bit", "bit"),
        ("boolean", "bool"),
        ("character varying", "varchar"),
        ("character", "bpchar"),
        ("double precision", "float8"),
        ("integer", "int4"),
        ("interval", "interval"),
        ("numeric", "numeric"),
        ("real", "float4"),
        ("smallint", "int2"),
        ("time without time zone", "time"),
        ("timestamp with time zone", "timestamptz"),
        ("timestamp without time zone", "timestamp"),
    ];
    let element = name.trim_end_matches("[]");
    match STANDARD.iter().find(|(standard, _)| *standard == element) {
        Some((_, catalog)) => format!("pg_catalog.{catalog}{}", &name[element.len()..]),
        None => name.to_owned(),
    }
}

fn key(kind: &str, names: &[&str], args: &str) -> String {
    format!("{kind}|{}|{}", bare(&names.join(".")), bare(args))
}

/// Some addresses quote and some do not.
fn bare(name: &str) -> String {
    name.replace('"', "")
}

/// What the catalog of the target says otherwise than that of the source, and the report does not
/// explain. `master` owns the target.
#[must_use]
pub fn unexplained(source: &Facts, target: &Facts, report: &Value, master: &str) -> Vec<String> {
    let report = Report::new(report, master);
    let source = renamed(source, master);
    let mut found = Vec::new();
    for thing in source.keys().chain(target.keys()).collect::<BTreeSet<_>>() {
        if is_out_of_scope(thing, &report) {
            continue;
        }
        let entry = report.of(thing);
        let decision = entry.map_or("unheard of", |entry| entry.decision.as_str());
        match (source.get(thing), target.get(thing)) {
            (Some(_), None) if matches!(decision, "dropped" | "emulated") => {}
            (None, Some(_)) if matches!(decision, "emulated" | "rewritten") => {}
            (Some(_), None) => found.push(format!(
                "{thing} is missing, and the report says {decision}"
            )),
            (None, Some(_)) => {
                found.push(format!("{thing} is extra, and the report says {decision}"))
            }
            (Some(_), Some(_)) if decision == "emulated" => {}
            (Some(was), Some(is)) => {
                let changed = entry.map(|entry| entry.changed.clone()).unwrap_or_default();
                let exempts =
                    entry.is_some_and(|entry| entry.reason.contains("lets through who passes"));
                for (attribute, was, is) in differences(was, is, &report) {
                    let is_exemption = exempts && is.ends_with(&format!(" OR {was})"));
                    if !changed.contains(&attribute)
                        && !is_exemption
                        && respelled(&was) != respelled(&is)
                    {
                        found.push(format!(
                            "{thing}: {attribute} was {was:?}, is {is:?} ({decision})"
                        ));
                    }
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// What is the source login's on the source is the master's on the target.
fn renamed(source: &Facts, master: &str) -> Facts {
    source
        .iter()
        .map(|(thing, told)| {
            let mut thing = thing.clone();
            if thing.kind == "default acl" && thing.names[0] == "postgres" {
                master.clone_into(&mut thing.names[0]);
            }
            (thing, told.clone())
        })
        .collect()
}

/// A restored definition has the cast of an array at its elements: which is where, the server's own
/// reading decides, so brackets and casts are left out where there is such an array.
fn respelled(text: &str) -> String {
    if !text.contains("ARRAY[") {
        return text.to_owned();
    }
    let mut words = text.replace(['(', ')', '[', ']'], "").replace("ARRAY", "");
    for cast in [
        "::character varying",
        "::text",
        "::numeric7,2",
        "::numeric",
        "::bpchar",
    ] {
        words = words.replace(cast, "");
    }
    words
}

/// Roles that only one side's platform has, and what hangs on them.
fn is_out_of_scope(thing: &Thing, report: &Report) -> bool {
    let is_platforms = |role: &str| !report.role_goes(role);
    match thing.kind.as_str() {
        "role" => is_platforms(&thing.names[0]),
        "membership" => {
            let told = report.entries.get(&key("role", &[&thing.names[0]], ""));
            thing.names.iter().any(|role| is_platforms(role))
                || told.is_some_and(|role| role.reason.contains(&format!(" {}", thing.names[1])))
        }
        "default acl" => thing.names[0] != report.master && is_platforms(&thing.names[0]),
        "setting" => {
            let role = thing.names[0].as_str();
            let setting = thing.names[1].as_str();
            // What the source's server or login has set is the database's on the target.
            (role.is_empty() && matches!(setting, "search_path" | "default_text_search_config"))
                || (!role.is_empty() && is_platforms(role))
                || report
                    .entries
                    .get(&key("role", &[role], ""))
                    .is_some_and(|entry| entry.reason.contains(setting))
        }
        _ => false,
    }
}

type Told = BTreeMap<String, String>;

fn differences(was: &Told, is: &Told, report: &Report) -> Vec<(String, String, String)> {
    let (mut expected, found) = (expected_rights(was, is, report), without_owner(is));
    // Where no column needs it, there is nothing to have options.
    if is.get("toasted").is_some_and(|toasted| toasted == "false") {
        expected.remove("toast_reloptions");
    }
    let attributes: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    attributes
        .into_iter()
        .filter(|attribute| expected.get(*attribute) != found.get(*attribute))
        .map(|attribute| {
            let value = |told: &Told| told.get(attribute).cloned().unwrap_or_else(|| "-".into());
            (attribute.clone(), value(&expected), value(&found))
        })
        .collect()
}

fn without_owner(told: &Told) -> Told {
    told.iter()
        .filter(|(attribute, _)| {
            !matches!(attribute.as_str(), "owner" | "toasted")
                && !attribute.starts_with("owners right ")
        })
        .map(|(attribute, value)| (attribute.clone(), value.clone()))
        .collect()
}

/// Rights to roles that go. Whoever owned an object and does not own it any more has all of them.
fn expected_rights(was: &Told, is: &Told, report: &Report) -> Told {
    let owner = is.get("owner").map_or("", String::as_str);
    let mut expected: Told = without_owner(was)
        .into_iter()
        .filter(|(attribute, _)| match grantee(attribute) {
            Some(role) => role != "postgres" && role != owner && report.role_goes(role),
            None => true,
        })
        .collect();
    if let Some(former) = was.get("owner") {
        let is_user = former != "postgres" && report.role_goes(former);
        if is_user && former != owner {
            for right in was
                .keys()
                .filter_map(|name| name.strip_prefix("owners right "))
            {
                expected.insert(format!("grant {right} to {former}"), "plain".into());
            }
        }
    }
    for (attribute, value) in was {
        if attribute == "roles" && value.contains("postgres") {
            let master = value.replace("postgres", &report.master);
            expected.insert(attribute.clone(), master);
        }
    }
    expected
}

fn grantee(attribute: &str) -> Option<&str> {
    attribute
        .strip_prefix("grant ")?
        .split_once(" to ")
        .map(|(_, role)| role)
}
