//! Who is still connected to the source.

use std::collections::BTreeMap;

use towpath_model::health::HealthCheck;
use towpath_model::upkeep::Sessions;

use super::{Facts, counted, fail, not_looked_at, pass, warn};

const CHECK: &str = "source-sessions";

/// Roles that the platform's own services connect as, whatever applications do:
/// <https://supabase.com/docs/guides/database/postgres/roles>. `authenticator` is PostgREST, whose
/// connections say nothing about who calls it.
const PLATFORM: [&str; 10] = [
    "authenticator",
    "pgbouncer",
    "supabase_admin",
    "supabase_auth_admin",
    "supabase_etl_admin",
    "supabase_functions_admin",
    "supabase_read_only_user",
    "supabase_realtime_admin",
    "supabase_replication_admin",
    "supabase_storage_admin",
];

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let source = match facts.source {
        Ok(source) => source,
        Err(reason) => return not_looked_at(CHECK, format!("the source was not asked: {reason}")),
    };
    let (platform, others): (Vec<&Sessions>, Vec<&Sessions>) = source
        .sessions
        .iter()
        .partition(|it| PLATFORM.contains(&it.role.as_str()));
    let beside = match count(platform.iter().copied()) {
        0 => String::new(),
        count => format!(
            " beside {} of the platform's own services",
            counted(count, "session")
        ),
    };
    if others.is_empty() {
        return pass(CHECK, format!("nobody is connected to the source{beside}"));
    }
    let names = told(&others);
    let found = counted(count(others.iter().copied()), "session");
    if !facts.after_cutover {
        let found = format!("{found}{beside}, consumers were not switched yet");
        return pass(CHECK, format!("{found}: {}", names.join(", ")));
    }
    if others.iter().any(|it| it.writes) {
        return fail(
            CHECK,
            &format!("applications write to the source after the cutover; {found}{beside}"),
            names,
            "stop them now: what they write is not on the target",
        );
    }
    warn(
        CHECK,
        &format!("applications are connected to the source after the cutover; {found}{beside}"),
        names,
        "point them at the target, then end their sessions",
    )
}

fn count<'s>(sessions: impl Iterator<Item = &'s Sessions>) -> usize {
    let counts = sessions.map(|it| usize::try_from(it.count).unwrap_or(usize::MAX));
    counts.fold(0, usize::saturating_add)
}

/// `orders-api as app: 3 idle, 1 active`.
fn told(sessions: &[&Sessions]) -> Vec<String> {
    let mut by_client: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for it in sessions {
        let state = it
            .state
            .as_deref()
            .unwrap_or("in a state that is not shown");
        let writing = if it.writes { ", writing" } else { "" };
        by_client
            .entry((it.application.as_str(), it.role.as_str()))
            .or_default()
            .push(format!("{} {state}{writing}", it.count));
    }
    by_client
        .into_iter()
        .map(|((application, role), states)| {
            let application = match application {
                "" => "a client without a name",
                name => name,
            };
            format!("{application} as {role}: {}", states.join(", "))
        })
        .collect()
}
