//! Advice: indexes that nobody read on the source.

use towpath_model::health::HealthCheck;
use towpath_model::structure::{ObjectId, ObjectKind};
use towpath_model::upkeep::UnusedIndex;

use super::{Facts, not_looked_at, pass, warn};

const CHECK: &str = "unused-indexes";

/// What was not read for less than a day may be read by a job of the night.
const OLD_ENOUGH_S: u64 = 24 * 3600;

const MIB: u64 = 1 << 20;

pub(super) fn check(facts: &Facts<'_>) -> HealthCheck {
    let source = match facts.source {
        Ok(source) => source,
        Err(reason) => return not_looked_at(CHECK, format!("the source was not asked: {reason}")),
    };
    let since = match source.statistics_age_s {
        Some(age) if age < OLD_ENOUGH_S => {
            return not_looked_at(
                CHECK,
                format!(
                    "the source's statistics are {} old, which is too little",
                    hours(age)
                ),
            );
        }
        Some(age) => format!("in the {} that its statistics go back", hours(age)),
        None => "since its statistics began".to_owned(),
    };
    let names: Vec<String> = source
        .unused_indexes
        .iter()
        .filter(|unused| is_on_target(facts, unused))
        .map(|unused| format!("{} ({} MiB)", unused.index, unused.bytes.div_ceil(MIB)))
        .collect();
    if names.is_empty() {
        return pass(CHECK, format!("the source has read every index {since}"));
    }
    warn(
        CHECK,
        &format!("advice: the source has not read these indexes {since}"),
        names,
        "ask who made them; standbys count for themselves, and what runs once a year is not seen",
    )
}

fn is_on_target(facts: &Facts<'_>, unused: &UnusedIndex) -> bool {
    let index = &unused.index;
    let id = ObjectId::on(ObjectKind::Index, &index.schema, &index.table, &index.name);
    facts.found.objects.contains_key(&id)
}

fn hours(seconds: u64) -> String {
    match seconds / 3600 {
        0 => "less than an hour".to_owned(),
        hours if hours < 48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}
