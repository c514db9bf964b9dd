//! A clone: what it was made of, how it was masked, and what was looked for in it. No value of any
//! row, and none of a rule.

use std::collections::BTreeMap;

use towpath_model::clone::{ClonePlan, CloneProof, CloneSequences};
use towpath_model::masking::{ColumnTally, PlannedMask, Transformer};
use towpath_model::plan::PlannedTable;
use towpath_model::report::Report;
use towpath_model::subset::TableSubset;

use super::{SHOWN, some};
use crate::report::page::{Block, Line, Section, Table, Tone, columns, mark, text};
use crate::table;

pub(super) fn section(report: &Report) -> Option<Section> {
    let clone = report.plan.clone.as_ref()?;
    let proof = report
        .verification
        .as_ref()
        .and_then(|it| it.clone.as_ref());
    let mut blocks = vec![Block::Facts(facts(report, clone, proof))];
    blocks.extend(masked(report, proof));
    if let Some(proof) = proof {
        blocks.extend(allowed(proof));
    }
    blocks.extend(subset(report));
    let notes = clone.coverage.iter().flat_map(|it| &it.notes);
    let unseen = proof.iter().flat_map(|proof| &proof.not_looked_at);
    let unseen: Vec<&String> = notes.chain(unseen).collect();
    if !unseen.is_empty() {
        blocks.push(Block::Heading("Not looked at in the clone".to_owned()));
        blocks.push(some(unseen, |it| text(it.clone())));
    }
    Some(Section {
        id: "clone",
        title: "Clone",
        blocks,
    })
}

fn facts(
    report: &Report,
    clone: &ClonePlan,
    proof: Option<&CloneProof>,
) -> Vec<(&'static str, Line)> {
    let mut facts = vec![("name", text(clone.name.clone()))];
    let rows = match &clone.from {
        Some(run) => format!("of the export of run {run}; the source was not read"),
        None => "of a fresh export".to_owned(),
    };
    facts.push(("rows", text(rows)));
    if let Some(run) = &clone.reuses {
        let reused = format!("stored chunks of run {run}, where their table had not changed");
        facts.push(("used again", text(reused)));
    }
    let masks = match &clone.masks {
        Some(masks) => format!(
            "set {} under key {}, {}",
            masks.set.short(),
            masks.key_id,
            table::counted(masks.columns as u64, "column")
        ),
        None if clone
            .coverage
            .as_ref()
            .is_some_and(|it| it.as_they_are == 0) =>
        {
            "none".to_owned()
        }
        None => "none: personal data went as it is".to_owned(),
    };
    facts.push(("masks", text(masks)));
    facts.extend(coverage(clone).map(|told| ("coverage", told)));
    let kept = clone.subset.as_deref().unwrap_or("every row");
    facts.push(("subset", text(kept.to_owned())));
    if let Some(seed) = &clone.seed {
        facts.push(("seed", text(seed.clone())));
    }
    let sequences = match clone.sequences {
        CloneSequences::Carry => "where the source has them",
        CloneSequences::Fit => "behind the greatest value of their columns",
    };
    facts.push(("sequences", text(sequences)));
    facts.push(("residual scan", residual(proof)));
    let swapped_in = match &report.swapped {
        None => mark(
            Tone::Warn,
            "not that this run knows of; `towpath clones` tells what serves",
        ),
        Some(swapped) => text(match &swapped.kept {
            Some(kept) => format!("{}; the one before is kept as {kept}", swapped.at),
            None => format!("{}; none that served before is kept", swapped.at),
        }),
    };
    facts.push(("swapped in", swapped_in));
    facts
}

/// What the gate said of columns that nobody masked.
fn coverage(clone: &ClonePlan) -> Option<Line> {
    let covered = clone.coverage.as_ref()?;
    let mut told = format!(
        "{} masked, {} allowed by a rule, {} others",
        table::counted(covered.masked as u64, "column"),
        covered.allowed.len(),
        covered.plain
    );
    if !covered.approved {
        told.push_str("; not held against an approved set");
    }
    Some(match covered.as_they_are {
        0 => text(told),
        open => mark(
            Tone::Bad,
            format!(
                "{told}; besides {} of personal looks, as on the source: the gate was waived",
                table::counted(open as u64, "column")
            ),
        ),
    })
}

fn residual(proof: Option<&CloneProof>) -> Line {
    match proof.and_then(|proof| proof.residual.as_ref()) {
        None => mark(Tone::Warn, "not made by the verification of this report"),
        Some(scan) => text(format!(
            "{} in {} read, {} of them personal-looking, compared with {}; one in {} would be taken for an original by chance",
            table::counted(scan.values, "value"),
            table::counted(scan.columns, "column"),
            scan.personal_looking,
            table::counted(scan.originals, "original"),
            one_in(scan.false_positive)
        )),
    }
}

/// A chance in words that a person reads.
fn one_in(chance: f64) -> String {
    if chance < 1e-15 {
        return "more than 10^15".to_owned();
    }
    format!("10^{:.0}", -chance.log10())
}

/// What a transformer is called; what it puts in a value's place may be a value, too.
fn label(transformer: &Transformer) -> String {
    let told = serde_json::to_value(transformer).unwrap_or_default();
    let word = |field: &str| told.get(field).and_then(serde_json::Value::as_str);
    match (word("with"), word("what")) {
        (Some(with), Some(what)) => format!("{with} {what}"),
        (Some(with), None) => with.to_owned(),
        _ => String::new(),
    }
}

fn masked(report: &Report, proof: Option<&CloneProof>) -> Vec<Block> {
    let planned = report.plan.tables.iter().flat_map(|table| {
        let masks = table.masks.iter();
        masks.map(move |(column, mask)| (table, column, mask))
    });
    let all: Vec<(&PlannedTable, &String, &PlannedMask)> = planned.collect();
    if all.is_empty() {
        return Vec::new();
    }
    let tallies: BTreeMap<_, _> = proof
        .map(|it| {
            it.columns
                .iter()
                .map(|of| (&of.table, &of.columns))
                .collect()
        })
        .unwrap_or_default();
    let number = |number: u64| text(number.to_string());
    let row = |(table, column, mask): &(&PlannedTable, &String, &PlannedMask)| {
        let tally = tallies.get(&table.name).and_then(|it| it.get(*column));
        let tally: Option<&ColumnTally> = tally;
        let mut cells = vec![
            text(table.name.to_string()),
            text((*column).clone()),
            text(label(&mask.transformer)),
            text(mask.origin.clone()),
        ];
        match tally {
            Some(it) => {
                cells.extend([it.changed, it.nulls, it.empty, it.spared].map(number));
                cells.push(match it.unchanged {
                    0 => number(0),
                    left => mark(Tone::Bad, left.to_string()),
                });
            }
            None => cells.extend((0..5).map(|_| text("not counted"))),
        }
        cells
    };
    let mut blocks = vec![
        Block::Heading("Masked columns".to_owned()),
        Block::Table(Table {
            caption: "Masked columns, and what became of their values".to_owned(),
            columns: columns(&[
                "table",
                "column",
                "by",
                "because of",
                "#changed",
                "#null",
                "#nothing to change",
                "#spared",
                "#as before",
            ]),
            rows: all.iter().take(SHOWN).map(row).collect(),
        }),
    ];
    if all.len() > SHOWN {
        blocks.push(Block::Paragraph(text(super::and_more(all.len() - SHOWN))));
    }
    blocks
}

fn allowed(proof: &CloneProof) -> Vec<Block> {
    if proof.allowed.is_empty() {
        return Vec::new();
    }
    let row = |it: &towpath_model::clone::AllowedColumn| {
        vec![
            text(it.table.to_string()),
            text(it.column.clone()),
            text(it.reason.clone()),
            match it.hits {
                0 => text("0"),
                hits => mark(Tone::Warn, hits.to_string()),
            },
        ]
    };
    vec![
        Block::Heading("Allowed to stay as they are".to_owned()),
        Block::Table(Table {
            caption: "Columns that may stay as they are".to_owned(),
            columns: columns(&["table", "column", "why", "#originals and secrets"]),
            rows: proof.allowed.iter().take(SHOWN).map(row).collect(),
        }),
    ]
}

/// Tables of which not every row goes.
fn subset(report: &Report) -> Vec<Block> {
    let went = |planned: &PlannedTable| {
        let mut exported = report.manifest.iter().flat_map(|it| &it.tables);
        let exported = exported.find(|it| it.table == planned.id);
        text(exported.map_or_else(|| "none yet".to_owned(), |it| it.digest.rows.to_string()))
    };
    let of_source = |planned: &PlannedTable| match u64::try_from(planned.estimated_rows) {
        Ok(rows) => text(rows.to_string()),
        Err(_) => text("not known"),
    };
    let rows: Vec<Vec<Line>> = report
        .plan
        .tables
        .iter()
        .filter_map(|planned| {
            let chosen = match planned.subset? {
                TableSubset::Empty => 0,
                TableSubset::Kept { estimated_rows, .. } => estimated_rows,
            };
            Some(vec![
                text(planned.name.to_string()),
                of_source(planned),
                text(chosen.to_string()),
                went(planned),
            ])
        })
        .take(SHOWN)
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Block::Heading("Subset".to_owned()),
        Block::Table(Table {
            caption: "Tables of which not every row goes".to_owned(),
            columns: columns(&["table", "#rows of the source, about", "#planned", "#went"]),
            rows,
        }),
    ]
}
