//! What was proven, what was not looked at, and what differs.

use towpath_model::access::AccessDifference;
use towpath_model::custody::{Link, LinkCount};
use towpath_model::report::Report;
use towpath_model::schema::Decision;
use towpath_model::structure::ObjectKind;
use towpath_model::verification::{Difference, Measure};
use towpath_verify::Level;

use super::{SHOWN, and_more, checklist, some};
use crate::commands::{proofs, show};
use crate::report::page::{
    Block, Line, Section, Span, Table, Tone, code, columns, list, mark, text,
};
use crate::table;

/// What each level means when nobody has looked.
fn unseen(level: Level) -> &'static str {
    match level {
        Level::Chunks => "stored objects: whether they are what the manifest says",
        Level::Rows => "rows: whether the target holds those of the export",
        Level::Sequences => "sequences: whether they stand where they stood",
        Level::Schema => "structure: whether the target has what the schema report promises",
        Level::Counts => "counts of rows",
        Level::Access => "access: whether roles see and may do the same on both sides",
        Level::Health => "health: the checklist after a move",
    }
}

pub(super) fn proven(report: &Report) -> Section {
    let mut blocks = Vec::new();
    match &report.verification {
        Some(verification) => blocks.push(list(proofs::lines(verification).into_iter().map(text))),
        None => blocks.push(Block::Paragraph(text("Nothing yet."))),
    }
    blocks.push(Block::Heading("What was not looked at".to_owned()));
    blocks.push(list(not_looked_at(report).into_iter().map(text)));
    Section {
        id: "proven",
        title: "What was proven",
        blocks,
    }
}

fn not_looked_at(report: &Report) -> Vec<String> {
    let looked_at = |level: Level| {
        let verification = report.verification.as_ref();
        verification.is_some_and(|it| it.looked_at(level.label()))
    };
    let mut lines: Vec<String> = Level::EVERY
        .into_iter()
        .filter(|level| !looked_at(*level))
        // Who compares all rows has counted them.
        .filter(|level| *level != Level::Counts || !looked_at(Level::Rows))
        .map(|level| unseen(level).to_owned())
        .collect();
    let is_table = |told: &&towpath_model::schema::ObjectReport| {
        told.decision == Decision::Dropped && told.object.kind == ObjectKind::Table
    };
    let dropped = report.schema.objects.iter().filter(is_table).count() as u64;
    if dropped > 0 {
        lines.push(format!(
            "rows of {} that the schema leaves behind",
            table::counted(dropped, "table")
        ));
    }
    lines.push("values of generated columns and contents of materialized views: the target makes them anew".to_owned());
    if let Some(manifest) = &report.manifest {
        lines.push(format!(
            "what was written to the source after its snapshot at {}",
            manifest.snapshot_at
        ));
    }
    lines
}

pub(super) fn verification(report: &Report) -> Option<Section> {
    let verification = report.verification.as_ref()?;
    let chain = &verification.chain;
    let mut facts = vec![
        (
            "looked",
            text(format!(
                "{} to {}",
                verification.began_at, verification.ended_at
            )),
        ),
        ("levels", text(verification.levels.join(", "))),
        (
            "measure",
            text(match verification.source {
                Measure::Manifest => "the export",
                Measure::Live => "the source as it was meanwhile",
            }),
        ),
        ("manifest", code(verification.manifest.to_string())),
    ];
    if let Some(signature) = &verification.signature {
        let algorithm = serde_json::to_value(signature.algorithm).unwrap_or_default();
        facts.push((
            "signed",
            vec![
                Span::Text(format!("{}, key ", algorithm.as_str().unwrap_or_default())),
                Span::Code(signature.key.chars().take(16).collect()),
            ],
        ));
    }
    let of_chunks = |link: fn(&towpath_model::custody::ChunkLinks) -> Link| -> LinkCount {
        chain.chunks().map(|chunk| link(&chunk.links)).collect()
    };
    let rows = [
        ("plan and manifest agree", chain.document_links()),
        ("schema file = its hash", chain.file_links()),
        ("stored object = its hash", of_chunks(|links| links.stored)),
        ("unpacked bytes = their hash", of_chunks(|links| links.raw)),
        (
            "rows of the chunk = digest of the export",
            of_chunks(|links| links.rows),
        ),
        (
            "digest of the export = rows on the target",
            chain.table_links(),
        ),
    ]
    .map(|(what, count)| chain_row(what, count));
    Some(Section {
        id: "verification",
        title: "Verification",
        blocks: vec![
            Block::Facts(facts),
            Block::Heading("Chain of custody".to_owned()),
            Block::Table(Table {
                caption: "Links from the stored object to the rows of the target".to_owned(),
                columns: columns(&["link", "#held", "#broken", "#not looked at", "verdict"]),
                rows: rows.to_vec(),
            }),
        ],
    })
}

fn chain_row(what: &str, count: LinkCount) -> Vec<Line> {
    let verdict = match count {
        LinkCount { broken: 1.., .. } => mark(Tone::Bad, "BROKEN"),
        LinkCount {
            held: 1..,
            not_looked_at: 0,
            ..
        } => mark(Tone::Good, "held"),
        LinkCount { held: 1.., .. } => mark(Tone::Warn, "held in part"),
        _ => mark(Tone::Plain, "not looked at"),
    };
    let number = |count: u64| text(count.to_string());
    vec![
        text(what),
        number(count.held),
        number(count.broken),
        number(count.not_looked_at),
        verdict,
    ]
}

pub(super) fn differences(report: &Report) -> Option<Section> {
    let verification = report.verification.as_ref()?;
    let all = &verification.differences;
    let mut blocks = Vec::new();
    if all.is_empty() {
        let levels = verification.levels.join(", ");
        blocks.push(Block::Paragraph(text(format!(
            "None, at the levels that were looked at: {levels}."
        ))));
    } else {
        let mut lines: Vec<(Line, Vec<Line>)> = all.iter().take(SHOWN).map(difference).collect();
        if all.len() > SHOWN {
            lines.push((text(and_more(all.len() - SHOWN)), Vec::new()));
        }
        blocks.push(Block::List(lines));
    }
    Some(Section {
        id: "differences",
        title: "Differences",
        blocks,
    })
}

/// The first line of a difference, and what belongs to it.
fn difference(difference: &Difference) -> (Line, Vec<Line>) {
    let told = show::difference(difference);
    // Only what tells of rows has more lines than one; a name may hold a line break.
    let mut parts = told.split("\n    ");
    let first = text(parts.next().unwrap_or_default());
    (first, parts.map(text).collect())
}

pub(super) fn access(report: &Report) -> Option<Section> {
    let access = report.verification.as_ref()?.access.as_ref()?;
    let mut blocks = vec![Block::Paragraph(text(format!("{}.", access.summary())))];
    let subjects: Vec<String> = access.subjects.iter().map(|it| it.words()).collect();
    blocks.push(Block::Fold {
        summary: format!(
            "Who was taken on: {}",
            table::counted(subjects.len() as u64, "subject")
        ),
        blocks: vec![some(subjects, text)],
    });
    if access.differences.is_empty() {
        blocks.push(Block::Paragraph(text("No difference.")));
    } else {
        let row = |it: &AccessDifference| {
            vec![
                text(it.role.clone()),
                text(it.claims.clone()),
                text(
                    it.relation
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                ),
                text(it.operation.label()),
                text(it.source.to_string()),
                text(it.target.to_string()),
            ]
        };
        blocks.push(Block::Table(Table {
            caption: "What somebody may do on one side only".to_owned(),
            columns: columns(&[
                "role",
                "claims",
                "relation",
                "operation",
                "source",
                "target",
            ]),
            rows: access.differences.iter().take(SHOWN).map(row).collect(),
        }));
    }
    if !access.not_looked_at.is_empty() {
        blocks.push(Block::Heading("Not looked at".to_owned()));
        blocks.push(some(&access.not_looked_at, |it| text(it.to_string())));
    }
    Some(Section {
        id: "access",
        title: "Access",
        blocks,
    })
}

pub(super) fn health(report: &Report) -> Option<Section> {
    let health = report.verification.as_ref()?.health.as_ref()?;
    let results = health.results();
    let mut blocks = checklist("Checks after the move", results.iter());
    let slower: Vec<(Line, Vec<Line>)> = health
        .queries
        .iter()
        .filter(|query| !query.regressions.is_empty())
        .take(SHOWN)
        .map(|query| {
            let what = format!(
                "query {}, {} on the source, reading {}",
                query.query,
                table::counted(query.calls, "call"),
                query.tables.join(", ")
            );
            (
                text(what),
                query
                    .regressions
                    .iter()
                    .map(|it| text(it.clone()))
                    .collect(),
            )
        })
        .collect();
    if !health.queries.is_empty() {
        blocks.push(Block::Heading("Queries".to_owned()));
        blocks.push(Block::Paragraph(text(format!(
            "{} looked at on both sides, {} worse on the target.",
            health.queries.len(),
            slower.len()
        ))));
        if !slower.is_empty() {
            blocks.push(Block::List(slower));
        }
    }
    Some(Section {
        id: "health",
        title: "Health",
        blocks,
    })
}
