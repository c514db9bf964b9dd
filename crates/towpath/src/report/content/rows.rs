//! Tables: what was exported of each, and whether the target holds it.

use std::collections::HashMap;

use towpath_model::manifest::{ExportedTable, Manifest};
use towpath_model::plan::PlannedTable;
use towpath_model::report::Report;
use towpath_model::verification::TableProof;
use towpath_model::{QualifiedName, TableId};

use super::{SHOWN, migrations};
use crate::report::page::{Block, Line, Section, Table, Tone, code, columns, mark, text};
use crate::table;

pub(super) fn section(report: &Report) -> Option<Section> {
    let manifest = report.manifest.as_ref()?;
    let mut blocks = vec![Block::Paragraph(text(format!(
        "{}, {}, {} raw, {} stored. A digest is the keyed sum over all rows; its first 16 digits are shown.",
        table::counted(manifest.tables.len() as u64, "table"),
        table::counted(manifest.rows(), "row"),
        table::bytes(manifest.raw_bytes()),
        table::bytes(manifest.stored_bytes())
    )))];
    let proofs: HashMap<&QualifiedName, &TableProof> = report
        .verification
        .iter()
        .flat_map(|verification| &verification.tables)
        .map(|proof| (&proof.table, proof))
        .collect();
    let mut all = exported(report, manifest);
    // Those that are wrong first: a small table that differs must not be among the rest.
    let differs = |planned: &PlannedTable| {
        proofs
            .get(&planned.name)
            .is_some_and(|proof| proof.expected != proof.found)
    };
    all.sort_by(|(one, a), (other, b)| {
        differs(other)
            .cmp(&differs(one))
            .then(b.raw_bytes.cmp(&a.raw_bytes))
            .then_with(|| one.name.cmp(&other.name))
    });
    let (shown, rest) = all.split_at(all.len().min(SHOWN));
    let mut rows: Vec<Vec<Line>> = shown
        .iter()
        .map(|(planned, exported)| row(planned, exported, proofs.get(&planned.name).copied()))
        .collect();
    if !rest.is_empty() {
        rows.push(sum_of(rest, &proofs));
    }
    blocks.push(Block::Table(Table {
        caption: "Tables, the biggest first".to_owned(),
        columns: columns(&[
            "table",
            "#rows",
            "#raw",
            "#stored",
            "#chunks",
            "digest",
            "on the target",
        ]),
        rows,
    }));
    blocks.extend(migrations(&report.plan).map(Block::Paragraph));
    Some(Section {
        id: "tables",
        title: "Tables",
        blocks,
    })
}

/// Planned tables with what was exported of them.
fn exported<'r>(
    report: &'r Report,
    manifest: &'r Manifest,
) -> Vec<(&'r PlannedTable, &'r ExportedTable)> {
    let planned: HashMap<&TableId, &PlannedTable> = report
        .plan
        .tables
        .iter()
        .map(|table| (&table.id, table))
        .collect();
    let tables = manifest.tables.iter();
    tables
        .filter_map(|exported| Some((*planned.get(&exported.table)?, exported)))
        .collect()
}

fn row(planned: &PlannedTable, exported: &ExportedTable, proof: Option<&TableProof>) -> Vec<Line> {
    vec![
        text(planned.name.to_string()),
        text(exported.digest.rows.to_string()),
        text(table::bytes(exported.raw_bytes)),
        text(table::bytes(exported.stored_bytes)),
        text(exported.chunks.len().to_string()),
        code(exported.digest.hex().chars().take(16).collect::<String>()),
        match proof {
            Some(proof) if proof.expected == proof.found => mark(Tone::Good, "equal"),
            Some(_) => mark(Tone::Bad, "DIFFERS"),
            None => mark(Tone::Plain, "not compared"),
        },
    ]
}

fn sum_of(
    rest: &[(&PlannedTable, &ExportedTable)],
    proofs: &HashMap<&QualifiedName, &TableProof>,
) -> Vec<Line> {
    let sum = |number: fn(&ExportedTable) -> u64| -> u64 {
        rest.iter().map(|(_, exported)| number(exported)).sum()
    };
    let proven = |(planned, _): &&(&PlannedTable, &ExportedTable)| {
        let proof = proofs.get(&planned.name);
        proof.is_some_and(|proof| proof.expected == proof.found)
    };
    let equal = rest.iter().filter(proven).count();
    vec![
        text(format!("{} more, in report.json", rest.len())),
        text(sum(|it| it.digest.rows).to_string()),
        text(table::bytes(sum(|it| it.raw_bytes))),
        text(table::bytes(sum(|it| it.stored_bytes))),
        text(sum(|it| it.chunks.len() as u64).to_string()),
        text(""),
        match equal == rest.len() {
            true => mark(Tone::Good, "equal"),
            false => mark(Tone::Warn, format!("{equal} of {} equal", rest.len())),
        },
    ]
}
