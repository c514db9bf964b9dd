//! Masks of a clone: rules become masks of the plan's columns, and what the database would refuse is
//! refused before anything is copied.

mod accounts;
mod trial;

use std::collections::BTreeMap;

use towpath_mask::resolve::{Resolved, resolve_with};
use towpath_mask::{ColumnMask, MaskKey};
use towpath_model::clone_rules::CloneRules;
use towpath_model::digest::Hash;
use towpath_model::keys::KeyFacts;
use towpath_model::masking::{MaskSet, PlannedMask, Transformer};
use towpath_model::plan::{CheckResult, Format, Plan, PlannedTable, Verdict};
use towpath_model::subset::TableSubset;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};

use crate::pipeline::clone::Order;
use crate::pipeline::clone::order::{AuthRows, no_key};

pub use accounts::{is_of_users, stays_as_it_is};
pub use trial::{as_it_travels, try_constraints};

/// What warnings are called among the checks of a plan.
const CHECK: &str = "clone-masks";

/// What the rules make of the columns of a plan, with what is to become of accounts. The same for a
/// clone and for `mask check`.
pub fn resolved(
    rules: &CloneRules,
    place: &str,
    auth: AuthRows,
    facts: &KeyFacts,
    tables: &[PlannedTable],
) -> Resolved {
    let accounts = accounts::of(auth, facts, tables);
    let mut resolved = resolve_with(rules, place, &accounts.preset, facts, tables);
    for (table, column, why) in &accounts.must_be_null {
        let mask = resolved
            .masks
            .get(table)
            .and_then(|masks| masks.get(column));
        // Under a condition the other rows would refer to rows that do not go.
        let is_null =
            |mask: &PlannedMask| mask.transformer == Transformer::Null && mask.condition.is_none();
        if !mask.is_some_and(is_null) {
            resolved.refusals.push(why.clone());
        }
    }
    resolved.refusals.extend(accounts.refusals);
    resolved
}

/// Enters masks into a plan: `PlannedTable::masks`, formats, and `ClonePlan::masks`. Refused with
/// [`ErrorKind::Blocked`], all refusals at once.
pub fn plan(order: &Order, facts: &KeyFacts, plan: &mut Plan) -> Result<()> {
    let silent = order.unmasked.then(|| without_comments(facts));
    let mut resolved = resolved(
        &order.rules,
        &order.rules_place,
        order.auth,
        silent.as_ref().unwrap_or(facts),
        &plan.tables,
    );
    for table in &mut plan.tables {
        // A plan of a sealed run may hold masks of its own: its rows are what they made of them.
        table.masks = resolved.masks.remove(&table.name).unwrap_or_default();
        // What is a part there is a part here.
        if accounts::is_emptied(order.auth, &table.name) {
            table.subset = Some(TableSubset::Empty);
        }
        if let Some(reason) = resolved.as_csv.remove(&table.name) {
            travel_as_csv(order, table, reason, &mut resolved.refusals);
        }
    }
    refuse(&order.rules_place, &resolved.refusals)?;
    for warning in resolved.warnings {
        plan.checks.push(CheckResult {
            check: CHECK.to_owned(),
            verdict: Verdict::Warn,
            finding: warning,
            remedy: String::new(),
        });
    }
    let set = match plan.tables.iter().any(|table| !table.masks.is_empty()) {
        true => Some(set(order.key.as_ref().ok_or_else(no_key)?, &plan.tables)?),
        false => None,
    };
    if let Some(clone) = &mut plan.clone {
        clone.masks = set;
    }
    Ok(())
}

/// Who says that personal data goes as it is means columns whose comments say otherwise, too.
fn without_comments(facts: &KeyFacts) -> KeyFacts {
    let mut facts = facts.clone();
    let tables = facts.tables.values_mut();
    for column in tables.flat_map(|table| &mut table.columns) {
        column.comment = None;
    }
    facts
}

/// Rows of a fresh export may travel as they like; stored ones stay as they are.
fn travel_as_csv(
    order: &Order,
    table: &mut PlannedTable,
    reason: String,
    refusals: &mut Vec<String>,
) {
    match &order.from {
        None => {
            table.format = Format::Csv;
            table.format_reason = Some(reason);
        }
        Some(run) => refusals.push(format!(
            "{}: its rows are stored in their binary form, and {reason}; clone the source itself (leave --from {run} out), or make a run with copy.format = \"csv\" and clone that",
            table.name
        )),
    }
}

fn refuse(place: &str, refusals: &[String]) -> Result<()> {
    if refusals.is_empty() {
        return Ok(());
    }
    let list: String = refusals.iter().map(|why| format!("\n  {why}")).collect();
    Err(Failure::new(
        ErrorKind::Blocked,
        format!("the masks cannot be used:{list}"),
    )
    .hint(format!(
        "change {place}; `towpath clone --dry-run` tries it without making anything"
    )))
}

/// The set of masks, which every column's mask has agreed to be used under this key.
fn set(key: &MaskKey, tables: &[PlannedTable]) -> Result<MaskSet> {
    let mut all: BTreeMap<String, BTreeMap<&str, PlannedMask>> = BTreeMap::new();
    let mut columns = 0;
    for table in tables {
        for (column, mask) in &table.masks {
            ColumnMask::new(key, mask, &table.columns).map_err(|failure| {
                failure.while_doing(format!(
                    "could not prepare the mask of {}.{column}",
                    table.name
                ))
            })?;
            columns += 1;
            // Who said so changes no value.
            let mask = PlannedMask {
                origin: String::new(),
                ..mask.clone()
            };
            all.entry(table.name.quoted())
                .or_default()
                .insert(column, mask);
        }
    }
    let canonical = serde_json::to_vec(&all).map_err(|cause| {
        Failure::new(ErrorKind::Internal, "could not write down the masks").because(cause)
    })?;
    Ok(MaskSet {
        set: Hash::of(&canonical),
        key_id: key.id(),
        columns,
    })
}

/// A column's name for people.
fn shown(table: &QualifiedName, column: &str) -> String {
    format!("{table}.{}", towpath_model::name::readable(column))
}
