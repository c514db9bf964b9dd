//! Nothing on the target goes on talking to the source.

use serde_json::Value;
use towpath_model::health::HealthCheck;
use towpath_model::name::readable;
use towpath_model::structure::{ObjectKind, SchemaObject};

use super::source_name::names_source;
use super::{Facts, counted, fail, pass, warn};

const CHECK: &str = "source-links";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let mut links = servers(facts);
    let mut mentions = mentions(facts);
    for subscription in &facts.target.subscriptions {
        let name = format!("subscription {}", readable(&subscription.name));
        match &subscription.connection {
            Some(text) if names_source(facts.source_names, text) => links.push(name),
            Some(_) => {}
            None => mentions.push(format!("{name} (where it reads may not be seen)")),
        }
    }
    let jobs = facts.target.jobs.iter();
    mentions.extend(
        jobs.filter(|job| names_source(facts.source_names, &job.text))
            .map(|job| format!("cron job {}", readable(&job.name))),
    );
    if !links.is_empty() {
        links.extend(mentions);
        return fail(
            CHECK,
            "the target reads or writes the source",
            links,
            "drop them, or `alter server … options (set host …)`: rows that go there are lost to the target",
        );
    }
    if !mentions.is_empty() {
        return warn(
            CHECK,
            "the source's name is in",
            mentions,
            "read them: one that connects there by dblink or HTTP goes on using the source",
        );
    }
    pass(
        CHECK,
        "no foreign server, subscription, function, view, job or setting names the source",
    )
}

/// Foreign servers that lead to the source, and what hangs on them.
fn servers(facts: &Facts<'_>) -> Vec<String> {
    let of = |kind: ObjectKind| {
        let objects = facts.found.objects.values();
        objects.filter(move |object| object.id.kind == kind)
    };
    of(ObjectKind::ForeignServer)
        .filter(|server| names_source(facts.source_names, &place(server)))
        .map(|server| {
            let name = server.id.name.as_str();
            let mappings = of(ObjectKind::UserMapping)
                .filter(|mapping| mapping.id.args.as_deref() == Some(name))
                .count();
            let tables = of(ObjectKind::ForeignTable)
                .filter(|table| table.aspects.get("server").and_then(Value::as_str) == Some(name))
                .count();
            format!(
                "{} ({}, {})",
                server.id,
                counted(mappings, "user mapping"),
                counted(tables, "foreign table")
            )
        })
        .collect()
}

/// Host and port of a foreign server as text.
fn place(server: &SchemaObject) -> String {
    let option = |name: &str| {
        let options = server.aspects.get("options")?;
        options.get(name)?.as_str()
    };
    let host = option("host").unwrap_or_default();
    format!("{host} {}", option("port").unwrap_or("5432"))
}

/// Objects whose text names the source: bodies, views, defaults, arguments of triggers, settings.
fn mentions(facts: &Facts<'_>) -> Vec<String> {
    facts
        .found
        .objects
        .values()
        .filter(|object| {
            object.extension.is_none()
                && object.id.kind != ObjectKind::ForeignServer
                && object.id.schema.as_deref() != Some("towpath")
        })
        .filter(|object| {
            let mut values = object.aspects.values();
            values.any(|value| is_mentioned(facts, value))
        })
        .map(|object| object.id.to_string())
        .collect()
}

fn is_mentioned(facts: &Facts<'_>, value: &Value) -> bool {
    match value {
        Value::String(text) => names_source(facts.source_names, text),
        Value::Array(items) => items.iter().any(|item| is_mentioned(facts, item)),
        Value::Object(fields) => fields.values().any(|field| is_mentioned(facts, field)),
        _ => false,
    }
}
