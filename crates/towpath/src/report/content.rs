//! What a report says, and in which order: the verdict, what it rests on and what it does not, then
//! the run from plan to timing.

mod clone;
mod cutover;
mod proof;
mod rows;
mod schema;
mod verdict;

use towpath_model::plan::{CheckResult, Plan, Verdict as CheckVerdict};
use towpath_model::rehearsal::Rehearsal;
use towpath_model::report::Report;

use super::chart::chart;
use super::page::{Block, Line, Page, Section, Span, Table, Tone, code, columns, list, mark, text};
use crate::commands::show;
use crate::table;

pub use schema::blocks as schema_blocks;

/// How many rows of a list are shown; all of them are in `report.json`.
const SHOWN: usize = 200;

/// The report of a run.
pub fn page(report: &Report) -> Page {
    let plan = &report.plan;
    let title = match (&plan.rehearsal, &plan.clone) {
        (Some(_), _) => format!("towpath rehearsal {}", plan.run),
        (None, Some(clone)) => format!("towpath clone {} by run {}", clone.name, plan.run),
        (None, None) => format!("towpath run {}", plan.run),
    };
    let target = match &plan.rehearsal {
        Some(rehearsal) => &rehearsal.stands_for,
        None => &plan.target.endpoint,
    };
    let mut sections = vec![proof::proven(report)];
    sections.extend(report.rehearsal.as_ref().map(|it| rehearsed(plan, it)));
    sections.extend(clone::section(report));
    sections.push(planned(report));
    sections.push(checks(plan));
    sections.push(Section {
        id: "schema",
        title: "Schema",
        blocks: schema::blocks(&report.schema),
    });
    sections.extend(rows::section(report));
    sections.extend(proof::verification(report));
    sections.extend(proof::differences(report));
    sections.extend(proof::access(report));
    sections.extend(proof::health(report));
    sections.extend(cutover::section(report));
    sections.extend(bindings(report));
    sections.extend(cutover::checklists(report));
    sections.extend(timing(report));
    Page {
        title,
        subtitle: format!("{} → {target}", plan.source.endpoint),
        verdict: verdict::verdict(report),
        sections,
        footer: format!(
            "Written {} by towpath {}. Every object, table and difference is in report.json.",
            report.written_at,
            env!("CARGO_PKG_VERSION")
        ),
    }
}

/// A stage as JSON has it.
fn stage(report: &Report) -> String {
    let value = serde_json::to_value(report.stage).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('-', " ")
}

/// Lines of a long list, and how many there are besides.
fn some<T>(all: impl IntoIterator<Item = T>, to_line: impl Fn(T) -> Line) -> Block {
    let mut lines: Vec<Line> = Vec::new();
    let mut more = 0;
    for one in all {
        if lines.len() < SHOWN {
            lines.push(to_line(one));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        lines.push(text(and_more(more)));
    }
    list(lines)
}

fn and_more(count: usize) -> String {
    format!("and {count} more, in report.json")
}

fn planned(report: &Report) -> Section {
    let plan = &report.plan;
    let server = |side: &towpath_model::plan::DatabaseIdentity| {
        format!("{} (PostgreSQL {})", side.endpoint, side.facts.major())
    };
    let mut facts = vec![
        ("stage", text(stage(report))),
        ("source", text(server(&plan.source))),
        ("target", text(server(&plan.target))),
        ("store", text(plan.store.clone())),
        (
            "planned",
            text(format!("{} by towpath {}", plan.created_at, plan.made_by)),
        ),
        (
            "size",
            text(format!(
                "{} in {}, {} of heap",
                table::counted(plan.tables.len() as u64, "table"),
                table::counted(plan.chunk_count() as u64, "chunk"),
                table::bytes(plan.bytes())
            )),
        ),
    ];
    if let Some(jobs) = &plan.jobs {
        let jobs = format!(
            "{}: {}",
            table::counted(u64::from(jobs.jobs), "job"),
            jobs.reason
        );
        facts.push(("work at once", text(jobs)));
    }
    if let Some(manifest) = &report.manifest {
        let snapshot = format!("{} at {}", manifest.snapshot_at, manifest.snapshot_lsn);
        facts.push(("snapshot", text(snapshot)));
        facts.push(("sealed", text(manifest.sealed_at.clone())));
        facts.push(("manifest", code(manifest.root.to_string())));
    }
    if let Some(identifier) = &report.target_snapshot {
        facts.push(("RDS snapshot before the load", text(identifier.clone())));
    }
    Section {
        id: "plan",
        title: "Plan",
        blocks: vec![Block::Facts(facts)],
    }
}

fn rehearsed(plan: &Plan, rehearsal: &Rehearsal) -> Section {
    let mut facts = Vec::new();
    if let Some(of_plan) = &plan.rehearsal {
        facts.push(("stands for", text(of_plan.stands_for.clone())));
        facts.push(("scratch database", text(of_plan.database.clone())));
        let rows = match &of_plan.from {
            Some(run) => format!("of the export of run {run}; the source was not read"),
            None => "of a fresh export".to_owned(),
        };
        facts.push(("rows", text(rows)));
    }
    if !rehearsal.roles_made.is_empty() {
        let roles = rehearsal.roles_made.join(", ");
        facts.push(("roles made and dropped", text(roles)));
    }
    let mut blocks = vec![Block::Facts(facts)];
    let mut told = |title: &str, lines: Vec<String>, none: &str| {
        blocks.push(Block::Heading(title.to_owned()));
        if lines.is_empty() {
            blocks.push(Block::Paragraph(text(none)));
        } else {
            blocks.push(some(lines, text));
        }
    };
    if let Some(failure) = &rehearsal.failure {
        told("It ended early", vec![failure.clone()], "");
    }
    if let Some(gate) = &rehearsal.gate {
        let moved = gate.source_moved.iter().map(|moved| {
            format!("{moved}. Rows are to be expected while writers go on, and are caught up behind the fence; a schema that has changed refuses.")
        });
        let refused = gate.refused_by.iter().cloned().chain(moved).collect();
        told(
            "The gates of a cutover would refuse, or catch up",
            refused,
            "Nothing that it looked at.",
        );
        if !gate.not_looked_at.is_empty() {
            let not = gate.not_looked_at.clone();
            told("The gate did not look at", not, "");
        }
    }
    told(
        "A run would besides",
        rehearsal.would_besides.clone(),
        "Do nothing that was not rehearsed.",
    );
    told(
        "Left behind",
        rehearsal.left.clone(),
        "Nothing but this report, and in the run store plan, manifest and evidence.",
    );
    Section {
        id: "rehearsal",
        title: "Rehearsal",
        blocks,
    }
}

/// Verdicts as words with their tone.
fn check_mark(verdict: CheckVerdict) -> Line {
    match verdict {
        CheckVerdict::Pass => mark(Tone::Good, "pass"),
        CheckVerdict::NotLookedAt => mark(Tone::Plain, "not looked at"),
        CheckVerdict::Warn => mark(Tone::Warn, "warn"),
        CheckVerdict::Fail => mark(Tone::Bad, "FAIL"),
    }
}

/// A checklist: what needs a look in full, what passed for who wants to see it.
fn checklist<'c>(what: &str, results: impl Iterator<Item = &'c CheckResult>) -> Vec<Block> {
    let row = |result: &&CheckResult| {
        vec![
            text(result.check.clone()),
            check_mark(result.verdict),
            text(result.finding.clone()),
            text(result.remedy.clone()),
        ]
    };
    let (passed, others): (Vec<_>, Vec<_>) =
        results.partition(|result| result.verdict == CheckVerdict::Pass);
    let shown = |results: &[&CheckResult], caption: String| {
        Block::Table(Table {
            caption,
            columns: columns(&["check", "verdict", "finding", "remedy"]),
            rows: results.iter().map(row).collect(),
        })
    };
    let mut blocks = Vec::new();
    if others.is_empty() {
        blocks.push(Block::Paragraph(text("Every check passed.")));
    } else {
        blocks.push(shown(&others, format!("{what} that did not pass")));
    }
    if !passed.is_empty() {
        blocks.push(Block::Fold {
            summary: format!("{} passed", table::counted(passed.len() as u64, "check")),
            blocks: vec![shown(&passed, format!("{what} that passed"))],
        });
    }
    blocks
}

fn checks(plan: &Plan) -> Section {
    Section {
        id: "checks",
        title: "Checks before the run",
        blocks: checklist("Checks before the run", plan.checks.iter()),
    }
}

fn bindings(report: &Report) -> Option<Section> {
    let planned = report.rehearsal.iter().flat_map(|it| &it.bindings);
    let rows: Vec<Vec<Line>> = report
        .bindings
        .iter()
        .chain(planned)
        .map(|binding| {
            let tone = match binding.state.as_str() {
                "switched" => Tone::Good,
                "planned" | "restored" => Tone::Plain,
                _ => Tone::Warn,
            };
            vec![
                text(binding.binding.clone()),
                code(binding.before.clone()),
                code(binding.after.clone()),
                mark(tone, binding.state.clone()),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Section {
        id: "bindings",
        title: "Bindings",
        blocks: vec![
            Block::Paragraph(text(
                "Consumers by variable, as they were and as they are. Passwords are left out.",
            )),
            Block::Table(Table {
                caption: "Bindings".to_owned(),
                columns: columns(&["binding", "before", "after", "state"]),
                rows,
            }),
        ],
    })
}

fn timing(report: &Report) -> Option<Section> {
    if report.timings.is_empty() {
        return None;
    }
    let mut blocks: Vec<Block> = chart(&report.timings)
        .map(Block::Chart)
        .into_iter()
        .collect();
    let rows = report.timings.iter().map(|timing| {
        vec![
            text(timing.what.clone()),
            text(table::duration(timing.millis)),
        ]
    });
    let all = Block::Table(Table {
        caption: "How long each phase took, in the order in which they ended".to_owned(),
        columns: columns(&["what", "#took"]),
        rows: rows.collect(),
    });
    blocks.push(match blocks.is_empty() {
        true => all,
        false => Block::Fold {
            summary: "The same as numbers".to_owned(),
            blocks: vec![all],
        },
    });
    Some(Section {
        id: "timing",
        title: "Timing",
        blocks,
    })
}

/// The migration history in a line; nothing when there is none.
fn migrations(plan: &Plan) -> Option<Line> {
    let told = show::migrations(plan);
    let told = told.trim();
    (!told.is_empty()).then(|| vec![Span::Text(told.to_owned())])
}
