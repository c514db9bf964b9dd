//! `towpath clones`: what is on the server, and the way back to the clone before.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use towpath_model::clone::{CloneMark, CloneState};
use towpath_model::connection::Side;
use towpath_model::name::readable;
use towpath_model::{Exit, Result};
use towpath_postgres::Session;

use crate::arguments::ClonesArguments;
use crate::commands::{ask, next};
use crate::context::Context;
use crate::pipeline::clone::database::marks::{Found, found_with_sizes};
use crate::pipeline::clone::database::{self, Destination};
use crate::pipeline::clone::order;
use crate::table;

/// Lists clones, or puts one back.
pub async fn clones(context: &Context, arguments: &ClonesArguments) -> Result<Exit> {
    let settings = &context.settings;
    let destination = match &arguments.name {
        Some(name) => order::destination(settings, name)?,
        None => Destination {
            url: order::server(settings)?,
            name: String::new(),
        },
    };
    if arguments.back {
        return Box::pin(back(context, &destination, arguments.yes)).await;
    }
    let options = context.session_options(Side::Target, "towpath/clones");
    let mut session = Session::connect(&destination.url, Side::Target, &options).await?;
    let all = found_with_sizes(&mut session).await;
    session.close().await;
    let all = all?;
    let is_wanted = |mark: &CloneMark| {
        arguments
            .name
            .as_ref()
            .is_none_or(|_| mark.name == destination.name)
    };
    let mut clones: Vec<(&Found, &CloneMark)> = all
        .iter()
        .filter_map(|it| Some((it, it.mark.as_ref().filter(|mark| is_wanted(mark))?)))
        .collect();
    // What serves first, then what was before it, the latest first.
    let rank = |state| match state {
        CloneState::Serving => 0,
        CloneState::Kept => 1,
        CloneState::Building => 2,
    };
    clones.sort_by(|(_, a), (_, b)| {
        let key = |mark: &CloneMark| (mark.name.clone(), rank(mark.state));
        key(a)
            .cmp(&key(b))
            .then_with(|| (&b.at, &b.run).cmp(&(&a.at, &a.run)))
    });
    let strange: Vec<&str> = all
        .iter()
        .filter(|it| it.mark.is_none())
        .map(|it| it.database.as_str())
        .collect();
    tell(context, &destination, &clones, &strange);
    Ok(Exit::Done)
}

fn tell(context: &Context, on: &Destination, clones: &[(&Found, &CloneMark)], strange: &[&str]) {
    let now = OffsetDateTime::now_utc();
    if context.json {
        let clones: Vec<Value> = clones
            .iter()
            .map(|(it, mark)| shown_json(it, mark, now))
            .collect();
        println!(
            "{}",
            json!({
                "v": 1, "type": "clones", "server": on.server(), "clones": clones,
                "not_marked": strange,
            })
        );
        return;
    }
    for database in strange {
        eprintln!(
            "database {database} is named like a clone's and is not marked as one: not touched"
        );
    }
    if clones.is_empty() {
        let (of_name, to) = match on.name.as_str() {
            "" => (String::new(), "NAME".to_owned()),
            name => (format!(" of the name {}", readable(name)), quoted(name)),
        };
        eprintln!("there are no clones{of_name} on {}", on.server());
        next(&format!("`towpath clone --to {to}` makes one"));
        return;
    }
    let head = [
        "name", "state", "rows of", "run", "source", "masks", "rows", "verified", "size",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(clones.iter().map(|(it, mark)| shown(it, mark, now)));
    print!("{}", table::aligned(&rows));
    let kept = clones
        .iter()
        .find(|(_, mark)| mark.state == CloneState::Kept);
    match kept {
        Some((_, mark)) => next(&format!(
            "`towpath clones {} --back` puts its latest kept clone back into its place",
            quoted(&mark.name)
        )),
        None => next("`towpath clone --to NAME` makes the next one"),
    }
}

/// A name as a shell takes it.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

fn state(found: &Found, mark: &CloneMark) -> &'static str {
    match (mark.state, &found.keeper) {
        _ if !found.is_open => "closed",
        (CloneState::Serving, _) => "serving",
        (CloneState::Kept, _) => "kept",
        (CloneState::Building, Some(_)) => "being built",
        (CloneState::Building, None) => "unfinished",
    }
}

/// Seconds since the rows were what the source held; since the mark, where that is not known yet.
fn age_s(mark: &CloneMark, now: OffsetDateTime) -> Option<u64> {
    let at = mark.snapshot_at.as_ref().unwrap_or(&mark.at);
    let at = OffsetDateTime::parse(at, &Rfc3339).ok()?;
    u64::try_from((now - at).whole_seconds()).ok()
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn shown(found: &Found, mark: &CloneMark, now: OffsetDateTime) -> Vec<String> {
    let name = match mark.state {
        CloneState::Serving => readable(&mark.name),
        CloneState::Kept | CloneState::Building => {
            format!("{} ({})", readable(&mark.name), found.database)
        }
    };
    let run = match &mark.from {
        Some(from) => format!("{} of {from}", mark.run),
        None => mark.run.to_string(),
    };
    let masks = match &mark.masks {
        Some(masks) => {
            let columns = table::counted(masks.columns as u64, "column");
            format!("{columns}, key {}", masks.key_id)
        }
        None => "none".to_owned(),
    };
    vec![
        name,
        state(found, mark).to_owned(),
        age_s(mark, now).map_or_else(|| "unknown".to_owned(), age),
        run,
        mark.source.clone(),
        masks,
        // What is kept, and where the evidence is, are sentences: `--json`, `status` and the report
        // have them.
        mark.subset
            .as_ref()
            .map_or("all", |_| "a subset")
            .to_owned(),
        mark.evidence
            .as_ref()
            .map_or("not yet", |_| "yes")
            .to_owned(),
        found
            .bytes
            .map_or_else(|| "unknown".to_owned(), table::bytes),
    ]
}

fn shown_json(found: &Found, mark: &CloneMark, now: OffsetDateTime) -> Value {
    json!({
        "name": mark.name,
        "database": found.database,
        "state": mark.state,
        "at_work": found.keeper,
        "run": mark.run,
        "from": mark.from,
        "store": mark.store,
        "source": mark.source,
        "at": mark.at,
        "snapshot_at": mark.snapshot_at,
        "age_s": age_s(mark, now),
        "masks": mark.masks,
        "subset": mark.subset,
        "evidence": mark.evidence,
        "bytes": found.bytes,
        "is_owned": found.is_owned,
        "is_open": found.is_open,
    })
}

/// Puts the latest kept clone back.
async fn back(context: &Context, destination: &Destination, yes: bool) -> Result<Exit> {
    let name = readable(&destination.name);
    let (serving, swapped) = Box::pin(database::put_back(context, destination, |kept, serving| {
        let rows = |mark: &CloneMark| {
            let at = mark.snapshot_at.as_ref().unwrap_or(&mark.at);
            format!("run {} (rows of {at})", mark.run)
        };
        let now = serving.map_or_else(|| "nothing".to_owned(), rows);
        let question = format!(
            "clone {name} serves {now}; put {} back into its place?",
            rows(kept)
        );
        ask(yes, &question)
    }))
    .await?;
    if context.json {
        println!(
            "{}",
            json!({
                "v": 1, "type": "clone-put-back", "name": destination.name, "run": serving.run,
                "kept": swapped.kept, "ended": swapped.ended,
            })
        );
        return Ok(Exit::Done);
    }
    println!("clone {name} serves run {} again", serving.run);
    if swapped.ended > 0 {
        let sessions = table::counted(swapped.ended as u64, "session");
        eprintln!("{sessions} did not end in time and had to be ended");
    }
    if let Some(kept) = &swapped.kept {
        eprintln!("the one that served is kept as {kept}");
    }
    next("`towpath clones` lists the clones on this server; the same command goes forth again");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_a_shell_where_they_need_it() {
        assert_eq!(quoted("staging-2.eu"), "staging-2.eu");
        assert_eq!(quoted("it's here"), "'it'\\''s here'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn ages_are_told_in_the_unit_that_a_person_would_use() {
        assert_eq!(age(119), "119 s ago");
        assert_eq!(age(7199), "119 min ago");
        assert_eq!(age(90_000), "25 h ago");
        assert_eq!(age(864_000), "10 days ago");
    }
}
