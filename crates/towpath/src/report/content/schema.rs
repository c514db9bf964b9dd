//! What became of every object of the source.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::schema::{Certainty, Decision, ObjectReport, SchemaReport};
use towpath_model::structure::ObjectId;

use super::{SHOWN, and_more};
use crate::report::page::{Block, Line, Table, Tone, columns, mark, text};
use crate::table;

/// Counts, then what may be missed, what will break, what is changed and what is the platform's.
pub fn blocks(report: &SchemaReport) -> Vec<Block> {
    let counts = [
        Decision::Kept,
        Decision::Rewritten,
        Decision::Emulated,
        Decision::Dropped,
    ]
    .map(|decision| {
        vec![
            text(decision.label()),
            text(report.count(decision).to_string()),
            text(meaning(decision)),
        ]
    });
    let mut blocks = vec![Block::Table(Table {
        caption: "Objects by what became of them".to_owned(),
        columns: columns(&["decision", "#objects", "meaning"]),
        rows: counts.to_vec(),
    })];
    if let Some(program) = &report.dumped_by {
        blocks.push(Block::Paragraph(text(format!("Read by {program}."))));
    }
    blocks.extend(breaks(report));
    let left: BTreeSet<&ObjectId> = report.left_behind().into_iter().collect();
    let of = |wanted: &dyn Fn(&ObjectReport) -> bool| -> Vec<&ObjectReport> {
        report.objects.iter().filter(|told| wanted(told)).collect()
    };
    let stays = of(&|told| told.decision != Decision::Kept && left.contains(&told.object));
    let changed = |decision| of(&|told| told.decision == decision && !left.contains(&told.object));
    blocks.extend(objects("Stays behind, and may be missed", &stays));
    blocks.extend(objects(
        "Rewritten on the way",
        &changed(Decision::Rewritten),
    ));
    blocks.extend(objects(
        "Replaced by towpath's own",
        &changed(Decision::Emulated),
    ));
    blocks.extend(objects(
        "Dropped, the platform's own",
        &changed(Decision::Dropped),
    ));
    blocks.extend(appendix(report));
    blocks
}

fn meaning(decision: Decision) -> &'static str {
    match decision {
        Decision::Kept => "goes as it is",
        Decision::Rewritten => "goes, changed in the named aspects",
        Decision::Emulated => "something of towpath's own stands in for it",
        Decision::Dropped => "does not go",
    }
}

fn breaks(report: &SchemaReport) -> Vec<Block> {
    if report.breaks_at_run_time.is_empty() {
        return Vec::new();
    }
    let row = |broken: &towpath_model::schema::RuntimeBreak| -> Vec<Line> {
        let callers: Vec<String> = broken.callers.iter().map(ToString::to_string).collect();
        vec![
            text(broken.object.to_string()),
            text(broken.needs.clone()),
            match broken.certainty {
                Certainty::Surely => mark(Tone::Bad, "surely"),
                Certainty::Perhaps => mark(Tone::Warn, "perhaps"),
            },
            text(broken.consequence.clone()),
            text(callers.join(", ")),
        ]
    };
    let mut rows: Vec<Vec<Line>> = report
        .breaks_at_run_time
        .iter()
        .take(SHOWN)
        .map(row)
        .collect();
    let more = report.breaks_at_run_time.len().saturating_sub(SHOWN);
    if more > 0 {
        rows.push(vec![
            text(and_more(more)),
            text(""),
            text(""),
            text(""),
            text(""),
        ]);
    }
    vec![
        Block::Heading("Breaks at run time".to_owned()),
        Block::Table(Table {
            caption: "Objects that load and fail when they are used".to_owned(),
            columns: columns(&["object", "needs", "fails", "consequence", "used by"]),
            rows,
        }),
    ]
}

/// Objects with rule and reason. Members of one extension share a row: there are hundreds, and JSON
/// has each.
fn objects(title: &str, all: &[&ObjectReport]) -> Option<Block> {
    if all.is_empty() {
        return None;
    }
    let mut rows = Vec::new();
    let mut members: BTreeMap<&str, Vec<&ObjectReport>> = BTreeMap::new();
    for told in all {
        if told.rule == "extension-member" && told.decision == Decision::Dropped {
            members.entry(&told.reason).or_default().push(told);
        } else {
            rows.push((told.object.to_string(), *told));
        }
    }
    for members in members.into_values() {
        let Some(first) = members.first() else {
            continue;
        };
        let named = match members.len() {
            1 => first.object.to_string(),
            many => format!("{many} members of an extension"),
        };
        rows.push((named, *first));
    }
    let more = rows.len().saturating_sub(SHOWN);
    let mut rows: Vec<Vec<Line>> = rows
        .into_iter()
        .take(SHOWN)
        .map(|(object, told)| {
            let reason = match told.changed.is_empty() {
                true => told.reason.clone(),
                false => format!("{} ({})", told.reason, told.changed.join(", ")),
            };
            vec![
                text(object),
                text(told.decision.label()),
                text(told.rule.clone()),
                text(reason),
            ]
        })
        .collect();
    if more > 0 {
        rows.push(vec![text(and_more(more)), text(""), text(""), text("")]);
    }
    Some(Block::Fold {
        summary: format!("{title}: {}", table::counted(all.len() as u64, "object")),
        blocks: vec![Block::Table(Table {
            caption: title.to_owned(),
            columns: columns(&["object", "decision", "rule", "reason"]),
            rows,
        })],
    })
}

fn appendix(report: &SchemaReport) -> Option<Block> {
    if report.appendix.is_empty() {
        return None;
    }
    let mut blocks = Vec::new();
    for entry in report.appendix.iter().take(SHOWN) {
        blocks.push(Block::Paragraph(text(entry.object.to_string())));
        blocks.push(Block::Sql(format!("{};", entry.sql)));
    }
    let more = report.appendix.len().saturating_sub(SHOWN);
    if more > 0 {
        blocks.push(Block::Paragraph(text(and_more(more))));
    }
    Some(Block::Fold {
        summary: format!(
            "Left out, for reference: {}",
            table::counted(report.appendix.len() as u64, "statement")
        ),
        blocks,
    })
}
