//! Rows of a clone: planned, and chosen anew in the snapshot of the export.

use towpath_model::clone_rules::{SubsetRules, WholeTable};
use towpath_model::event::Stage;
use towpath_model::keys::{KeyFacts, Reference, declared, table_named};
use towpath_model::plan::{PageRange, Plan, PlannedChunk, PlannedTable};
use towpath_model::subset::{KeptRows, RowSet, TableSubset};
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::SnapshotHolder;
use towpath_subset::Choice;

use crate::context::Context;
use crate::pipeline::clone::{Cloning, Order};
use crate::table::counted;

/// Places of one slice. The source holds them several times over while it reads the slice, in each of
/// its sessions: rows of a few bytes would be millions in a slice of the usual size.
const PLACES_MAX: u64 = 250_000;

/// Enters into a plan which rows go: `PlannedTable::subset` and `ClonePlan::subset`.
pub async fn plan(
    context: &Context,
    order: &Order,
    facts: &KeyFacts,
    plan: &mut Plan,
    holder: &mut SnapshotHolder,
) -> Result<()> {
    let kept = Box::pin(chosen(context, order, facts, plan, holder)).await?;
    let whole = plan.bytes();
    for table in &mut plan.tables {
        if let Some(rows) = kept.of(&table.id) {
            enter(
                table,
                rows,
                is_left_out(&order.rules.subset, &table.name, facts),
            );
        }
    }
    plan.estimated_seconds = share(plan.estimated_seconds, plan.bytes(), whole).max(1);
    let sentence = sentence(&order.rules.subset, plan);
    if let Some(clone) = &mut plan.clone {
        clone.subset = sentence;
    }
    Ok(())
}

/// The rows that go, in the snapshot that is held.
pub async fn choose(
    context: &Context,
    cloning: &Cloning,
    plan: &Plan,
    holder: &mut SnapshotHolder,
) -> Result<KeptRows> {
    let Cloning { order, facts, .. } = cloning;
    Box::pin(chosen(context, order, facts, plan, holder)).await
}

async fn chosen(
    context: &Context,
    order: &Order,
    facts: &KeyFacts,
    plan: &Plan,
    holder: &mut SnapshotHolder,
) -> Result<KeptRows> {
    let empty: Vec<QualifiedName> = plan
        .tables
        .iter()
        .filter(|table| table.subset == Some(TableSubset::Empty))
        .map(|table| table.name.clone())
        .collect();
    let rules = &order.rules;
    if rules.subset.is_everything() && empty.is_empty() {
        return Ok(KeptRows::default());
    }
    if !rules.subset.is_everything() {
        let text = "choosing the rows of the clone on the source";
        context.events.note(Stage::Export, text.to_owned());
    }
    let declared = references(order, facts)?;
    let choice = Choice {
        rules: &rules.subset,
        facts,
        declared: &declared,
        tables: &plan.tables,
        empty: &empty,
        search_path: &plan.source.facts.search_path,
        stop: &context.stop,
    };
    towpath_subset::choose(holder.session(), choice)
        .await
        .map_err(|failure| failure.while_doing("could not choose the rows of the clone"))
}

/// The references that the rules declare.
fn references(order: &Order, facts: &KeyFacts) -> Result<Vec<Reference>> {
    let (references, refusals) = declared(&order.rules.references, facts);
    match refusals.as_slice() {
        [] => Ok(references),
        _ => Err(Failure::new(
            ErrorKind::Config,
            format!("{}: {}", order.rules_place, refusals.join("; ")),
        )),
    }
}

/// Whether a rule says that a table stays empty: by its name, or as a partition.
fn is_left_out(rules: &SubsetRules, table: &QualifiedName, facts: &KeyFacts) -> bool {
    towpath_subset::rule_of(rules, table, facts)
        .is_some_and(|rule| rule.rows == Some(WholeTable::None))
}

/// Enters how much of a table goes. Its slices are cut anew: those of the whole table would be
/// hundreds that hold a row or none.
fn enter(table: &mut PlannedTable, rows: &RowSet, is_left_out: bool) {
    if is_left_out || table.subset == Some(TableSubset::Empty) {
        table.subset = Some(TableSubset::Empty);
        table.chunks = vec![PlannedChunk::WHOLE];
        return;
    }
    let kept = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let bytes = share(table.bytes, kept, rows_of(table, rows));
    // Of about as many bytes as those of the whole table were.
    let slices = u64::try_from(table.chunks.len()).unwrap_or(u64::MAX);
    let wanted = share(slices, bytes, table.bytes)
        .clamp(1, slices.max(1))
        .max(kept.div_ceil(PLACES_MAX));
    table.subset = Some(TableSubset::Kept {
        estimated_rows: kept,
        estimated_bytes: bytes,
    });
    table.chunks = slice(rows, usize::try_from(wanted).unwrap_or(1));
}

/// About how many rows a table has: as the server estimates, or as the pages of those that go tell.
fn rows_of(table: &PlannedTable, kept: &RowSet) -> u64 {
    let known = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    match u64::try_from(table.estimated_rows) {
        Ok(estimated) if estimated > 0 => estimated.max(known),
        _ => {
            let pages = kept.places().last().map_or(0, |place| (place >> 16) + 1);
            known.max(pages)
        }
    }
}

/// Rounded up, and no more than all.
fn share(of: u64, part: u64, whole: u64) -> u64 {
    let share = (u128::from(of) * u128::from(part)).div_ceil(u128::from(whole.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX).min(of)
}

/// Slices of pages that hold about equally many of the rows that go, and every page.
fn slice(rows: &RowSet, wanted: usize) -> Vec<PlannedChunk> {
    let places = rows.places();
    let mut bounds = vec![0];
    for at in 1..wanted {
        let page = places
            .get(places.len() * at / wanted)
            .and_then(|place| u32::try_from(place >> 16).ok());
        if let Some(page) = page
            && bounds.last().is_some_and(|last| *last < page)
        {
            bounds.push(page);
        }
    }
    if bounds.len() == 1 {
        return vec![PlannedChunk::WHOLE];
    }
    let ends = bounds.iter().skip(1).copied().map(Some).chain([None]);
    (1..)
        .zip(bounds.iter().zip(ends))
        .map(|(no, (from_page, to_page))| PlannedChunk {
            no,
            pages: Some(PageRange {
                from_page: *from_page,
                to_page,
            }),
            oids: None,
        })
        .collect()
}

/// What goes, for people; nothing where every row does.
fn sentence(rules: &SubsetRules, plan: &Plan) -> Option<String> {
    let kept: Vec<(&PlannedTable, u64)> = plan
        .tables
        .iter()
        .filter_map(|table| match table.subset? {
            TableSubset::Kept { estimated_rows, .. } => Some((table, estimated_rows)),
            TableSubset::Empty => None,
        })
        .collect();
    let is_empty = |table: &&PlannedTable| table.subset == Some(TableSubset::Empty);
    let empty = plan.tables.iter().filter(is_empty).count();
    if rules.is_everything() && kept.is_empty() {
        return None;
    }
    let mut sentence = beginning(rules);
    let rows: u64 = kept.iter().map(|(_, rows)| rows).sum();
    let of: u64 = kept
        .iter()
        .map(|(table, rows)| u64::try_from(table.estimated_rows).unwrap_or(0).max(*rows))
        .sum();
    sentence.push_str(&format!(
        "{rows} of about {} in {}",
        counted(of, "row"),
        counted(u64::try_from(kept.len()).unwrap_or(u64::MAX), "table")
    ));
    if empty > 0 {
        let empty = counted(u64::try_from(empty).unwrap_or(u64::MAX), "other");
        sentence.push_str(&format!(", and none of {empty}"));
    }
    Some(sentence)
}

/// A table that rules name, with its schema.
fn shown(text: &str) -> String {
    table_named(text).map_or_else(|| text.to_owned(), |table| table.to_string())
}

/// What the choice begins with.
fn beginning(rules: &SubsetRules) -> String {
    let amount = |percent: Option<f64>, limit: Option<u64>| {
        let percent = percent.map(|percent| format!("{percent} %"));
        let limit = limit.map(|limit| format!("at most {}", counted(limit, "row")));
        let parts: Vec<String> = percent.into_iter().chain(limit).collect();
        parts.join(", ")
    };
    let mut parts: Vec<String> = Vec::new();
    for table in &rules.tables {
        let amount = amount(table.percent, table.limit);
        let chosen = table.condition.as_ref().map(|_| "chosen rows".to_owned());
        let said: Vec<String> = chosen
            .into_iter()
            .chain((!amount.is_empty()).then_some(amount))
            .collect();
        if !said.is_empty() {
            parts.push(format!("{} of {}", said.join(", "), shown(&table.table)));
        }
    }
    let of_all = amount(rules.percent, rules.limit);
    if !of_all.is_empty() || !rules.roots.is_empty() {
        let of_all = if of_all.is_empty() {
            "all".to_owned()
        } else {
            of_all
        };
        let roots = match rules.roots.is_empty() {
            true => "every root table".to_owned(),
            false => rules
                .roots
                .iter()
                .map(|root| shown(root))
                .collect::<Vec<_>>()
                .join(", "),
        };
        parts.push(format!("{of_all} of {roots}"));
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(
            "{} by seed {}, and what belongs to them: ",
            parts.join("; "),
            rules.seed.as_deref().unwrap_or(towpath_subset::SEED)
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use towpath_model::plan::{Format, RowSource};

    use super::*;

    #[test]
    fn slices_hold_about_equally_many_rows_and_every_page() {
        let rows = RowSet::new(
            (0..1000_u32)
                .flat_map(|n| (1..4).map(move |number| RowSet::place(n * n, number)))
                .collect(),
        );
        for wanted in [1, 2, 7, 500, 5000] {
            let chunks = slice(&rows, wanted);
            assert!(chunks.len() <= wanted && chunks.len() * 2 > wanted.min(1000));
            let held: Vec<usize> = chunks
                .iter()
                .map(|chunk| rows.within(chunk.pages).len())
                .collect();
            assert_eq!(held.iter().sum::<usize>(), rows.len());
            let most = rows.len() / chunks.len() + 3 * 3;
            assert!(held.iter().all(|held| *held <= 2 * most), "{held:?}");
        }
        assert_eq!(slice(&RowSet::default(), 9), vec![PlannedChunk::WHOLE]);
    }

    #[test]
    fn a_slice_of_narrow_rows_is_bounded_by_their_number() {
        let name = QualifiedName::new("s", "t");
        let mut table = PlannedTable {
            id: towpath_model::TableId::of(&name),
            name,
            columns: Vec::new(),
            key: Vec::new(),
            types: Vec::new(),
            rows: RowSource::Table,
            expressions: BTreeMap::new(),
            masks: BTreeMap::new(),
            subset: None,
            format: Format::Binary,
            format_reason: None,
            bytes: 36_000_000,
            estimated_rows: 1_000_000,
            force_row_security: false,
            chunks: vec![PlannedChunk::WHOLE],
        };
        let places = (0..4000_u32).flat_map(|page| (1..=226).map(move |n| RowSet::place(page, n)));
        let rows = RowSet::new(places.collect());
        enter(&mut table, &rows, false);
        assert!(table.covers_everything());
        let most = table.chunks.iter().map(|it| rows.within(it.pages).len());
        assert!(most.max().unwrap_or(0) <= 250_000 && table.chunks.len() < 9);
    }
}
