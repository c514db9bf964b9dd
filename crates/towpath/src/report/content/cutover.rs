//! The cutover as a person reads it, and the checklists around it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use towpath_model::cutover::{CheckOutcome, Checked, Checklist, Fence, FenceMode, WriteGap};
use towpath_model::report::{ChecklistItem, CutoverReport, ItemState, Report};

use super::{Block, Line, Section, Table, Tone, columns, mark, some, text};
use crate::table;

pub(super) fn section(report: &Report) -> Option<Section> {
    let cutover = report.cutover.as_ref()?;
    let mut blocks = Vec::new();
    if let Some(gap) = &cutover.gap {
        blocks.push(Block::Heading("The time without writes".to_owned()));
        blocks.push(Block::Facts(gap_facts(gap)));
        blocks.push(Block::Paragraph(text(
            "By the source's clock. Those of the target and of the machine that ran towpath were brought to it, as exactly as half a round trip.",
        )));
    }
    if let Some(fence) = &cutover.fence {
        blocks.push(Block::Heading("The fence".to_owned()));
        blocks.push(Block::Facts(fence_facts(fence, cutover.fence_stands)));
    }
    blocks.extend(listed("Gates", "gate", &cutover.gates));
    blocks.extend(listed("Probes", "probe", &cutover.probes));
    blocks.extend(timeline(cutover));
    Some(Section {
        id: "cutover",
        title: "Cutover",
        blocks,
    })
}

fn at(millis: u64) -> String {
    let nanoseconds = i128::from(millis) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Bounds, all by one clock.
fn gap_facts(gap: &WriteGap) -> Vec<(&'static str, Line)> {
    let from = gap.refused_from_ms;
    let mut facts = vec![("the source refused from", text(at(from)))];
    let mut bound = |name: &'static str, millis: Option<u64>, none: &str| {
        let told = millis.map(|millis| {
            let after = table::duration(millis.saturating_sub(from));
            format!("{after} later, {}", at(millis))
        });
        facts.push((name, text(told.unwrap_or_else(|| none.to_owned()))));
    };
    let none = "not measured";
    bound("first consumer at the target", gap.first_switched_ms, none);
    bound("last consumer at the target", gap.last_switched_ms, none);
    let none = "none was seen";
    bound(
        "first write seen on the target",
        gap.first_write_seen_ms,
        none,
    );
    facts
}

fn fence_facts(fence: &Fence, stands: bool) -> Vec<(&'static str, Line)> {
    let names = |tables: &[towpath_model::QualifiedName]| {
        let names: Vec<String> = tables.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let mode = match fence.mode {
        FenceMode::Refuse => "writes fail, and the error says where the database went",
        FenceMode::Wait => "writes wait for the switch, and fail then",
    };
    let mut facts = vec![
        ("position", text(fence.lsn.clone())),
        (
            "since",
            text(format!("{}, by the source's clock", at(fence.at_ms))),
        ),
        ("tables", text(fence.tables.to_string())),
        ("clients", text(mode)),
        (
            "now",
            match stands {
                true => mark(Tone::Plain, "stands, as far as the journal knows"),
                false => mark(Tone::Plain, "lifted"),
            },
        ),
    ];
    if !fence.weak.is_empty() {
        facts.push(("can be overridden by others on", text(names(&fence.weak))));
    }
    if !fence.open.is_empty() {
        let open = format!("NOT FENCED: {}", names(&fence.open));
        facts.push(("open", mark(Tone::Bad, open)));
    }
    facts
}

fn listed(title: &str, column: &'static str, all: &[Checked]) -> Vec<Block> {
    if all.is_empty() {
        return Vec::new();
    }
    let rows = all.iter().map(|checked| {
        let state = match checked.outcome {
            CheckOutcome::Passed => mark(Tone::Good, "held"),
            CheckOutcome::Failed => mark(Tone::Bad, "DID NOT HOLD"),
            CheckOutcome::Skipped => mark(Tone::Plain, "not asked"),
        };
        vec![
            text(checked.item.clone()),
            state,
            text(checked.seen.clone()),
        ]
    });
    vec![
        Block::Heading(title.to_owned()),
        Block::Table(Table {
            caption: format!("{title}, each with what it said last"),
            columns: columns(&[column, "said", "seen"]),
            rows: rows.collect(),
        }),
    ]
}

fn timeline(cutover: &CutoverReport) -> Vec<Block> {
    if cutover.timeline.is_empty() {
        return Vec::new();
    }
    let told = some(&cutover.timeline, |it| {
        text(format!("{}  {}", it.at, it.what))
    });
    vec![Block::Heading("What happened".to_owned()), told]
}

pub(super) fn checklists(report: &Report) -> Option<Section> {
    if report.checklists.is_empty() {
        return None;
    }
    let mut blocks = Vec::new();
    for (list, title) in [
        (Checklist::Before, "Before the move"),
        (Checklist::After, "After the move"),
    ] {
        let items = report.checklists.iter().filter(|it| it.list == list);
        blocks.push(Block::Heading(title.to_owned()));
        blocks.push(Block::Table(Table {
            caption: title.to_owned(),
            columns: columns(&["item", "state", "ticked by", "seen"]),
            rows: items.map(row).collect(),
        }));
    }
    Some(Section {
        id: "checklists",
        title: "Checklists",
        blocks,
    })
}

fn row(item: &ChecklistItem) -> Vec<Line> {
    let tone = match item.state {
        ItemState::Passed => Tone::Good,
        ItemState::Warned => Tone::Warn,
        ItemState::Failed => Tone::Bad,
        ItemState::Skipped | ItemState::Open | ItemState::ByHand => Tone::Plain,
    };
    let by = match item.by.is_empty() {
        true => "a person".to_owned(),
        false => item.by.join(", "),
    };
    vec![
        text(item.item.clone()),
        mark(tone, item.state.label()),
        text(by),
        text(item.seen.clone()),
    ]
}
