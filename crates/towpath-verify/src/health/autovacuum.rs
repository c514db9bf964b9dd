//! Autovacuum is on, and for every table that did not have it off.

use towpath_model::health::HealthCheck;
use towpath_model::structure::SchemaObject;

use super::{Facts, pass, warn};

const CHECK: &str = "autovacuum";

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    if !facts.target.autovacuum {
        return warn(
            CHECK,
            "autovacuum, or track_counts, which it needs, is off: tables grow, statistics age, and in the end the server stops",
            Vec::new(),
            "set both to 1 in the instance's parameter group",
        );
    }
    let off: Vec<String> = facts
        .found
        .objects
        .values()
        .filter(|object| object.extension.is_none() && is_off(object))
        .map(|object| object.id.to_string())
        .collect();
    if off.is_empty() {
        return pass(CHECK, "on, for every table");
    }
    warn(
        CHECK,
        "autovacuum is off for tables",
        off,
        "`alter table … reset (autovacuum_enabled)`, unless somebody vacuums them otherwise",
    )
}

fn is_off(object: &SchemaObject) -> bool {
    let options = object.aspects.get("options").and_then(|it| it.as_array());
    options.into_iter().flatten().any(|option| {
        let (name, value) = option
            .as_str()
            .and_then(|option| option.split_once('='))
            .unwrap_or_default();
        // The server takes every word that it takes for a boolean, and any beginning of one.
        let value = value.to_ascii_lowercase();
        let says_no = |word: &str| !value.is_empty() && word.starts_with(&value);
        name == "autovacuum_enabled"
            && (value == "0"
                || value == "of"
                || says_no("false")
                || says_no("no")
                || value == "off")
    })
}
