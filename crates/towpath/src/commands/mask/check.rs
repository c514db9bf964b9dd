//! `towpath mask check`: which columns are masked, allowed, suspicious.

use serde_json::{Value, json};
use towpath_mask::rules;
use towpath_model::masking::{PlannedMask, Uniqueness};
use towpath_model::name::readable;
use towpath_model::plan::{Plan, Verdict};
use towpath_model::{ErrorKind, Exit, Failure, Result};

use super::{Key, Looked, look};
use crate::arguments::MaskCheckArguments;
use crate::commands::next;
use crate::context::Context;
use crate::pipeline::clone::coverage::{self, Coverage};
use crate::pipeline::clone::masks;
use crate::table;

pub(super) async fn check(context: &Context, arguments: &MaskCheckArguments) -> Result<Exit> {
    let Looked {
        order,
        facts,
        plan,
        mut holder,
    } = look(context, arguments.rules.rules.as_deref(), Key::Any).await?;
    let coverage = coverage::of_source(context, &order, &facts, &plan, holder.session()).await?;
    if context.json {
        println!("{}", as_json(&plan, &coverage));
    } else {
        print!("{}", as_text(&plan, &coverage));
    }
    // After the table: what the server has against a mask is read beside it.
    masks::try_constraints(&order, &facts, &plan, holder.session()).await?;
    holder.release().await?;
    coverage.require()?;
    if arguments.strict {
        require_more(&plan, &coverage)?;
    }
    next(match coverage.is_approved {
        true => "`towpath clone --to NAME` makes a clone with these masks",
        false => {
            "`towpath mask approve` writes down which columns there are: a new one stops a clone then"
        }
    });
    Ok(Exit::Done)
}

/// What only `--strict` refuses.
fn require_more(plan: &Plan, coverage: &Coverage) -> Result<()> {
    // Not the notes: what cannot be looked at has no way out.
    let mut findings: Vec<String> = warnings(plan).map(str::to_owned).collect();
    if !coverage.is_approved {
        findings.push("no columns are approved: there is no lock file beside the rules".to_owned());
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorKind::Blocked,
        format!(
            "{} under --strict:\n  {}",
            table::counted(findings.len() as u64, "finding"),
            findings.join("\n  ")
        ),
    )
    .hint("change the rules file, or run `towpath mask approve` and commit what it writes"))
}

/// What planning the masks found worth knowing.
fn warnings(plan: &Plan) -> impl Iterator<Item = &str> {
    let warned = |check: &&towpath_model::plan::CheckResult| check.verdict == Verdict::Warn;
    plan.checks
        .iter()
        .filter(warned)
        .map(|check| check.finding.as_str())
}

/// Every masked column, in the plan's order.
fn masked(plan: &Plan) -> impl Iterator<Item = (String, &String, &PlannedMask)> {
    plan.tables.iter().flat_map(|planned| {
        let masks = planned.masks.iter();
        masks.map(|(column, mask)| (planned.name.to_string(), column, mask))
    })
}

fn as_text(plan: &Plan, coverage: &Coverage) -> String {
    let mut rows = Vec::new();
    for (table, column, mask) in masked(plan) {
        rows.push(vec![
            format!("{table}.{}", readable(column)),
            format!("masked: {}", rules::title(&mask.transformer)),
            distinct(mask.uniqueness).to_owned(),
            mask.origin.clone(),
        ]);
    }
    for allowed in &coverage.allowed {
        rows.push(vec![
            format!("{}.{}", allowed.table, readable(&allowed.column)),
            "allowed".to_owned(),
            String::new(),
            allowed.reason.clone(),
        ]);
    }
    for found in &coverage.uncovered {
        let column = &found.column;
        rows.push(vec![
            column.to_string(),
            "LOOKS PERSONAL".to_owned(),
            String::new(),
            found.suspicion.to_string(),
        ]);
    }
    for found in &coverage.unapproved {
        rows.push(vec![
            found.column.to_string(),
            "NOT APPROVED".to_owned(),
            String::new(),
            found.change.to_string(),
        ]);
    }
    let mut text = String::new();
    if !rows.is_empty() {
        let head = ["column", "is", "distinct values", "because"];
        rows.insert(0, head.map(str::to_owned).to_vec());
        text.push_str(&table::aligned(&rows));
    }
    text.push_str(&format!(
        "{} masked, {} allowed, {} personal by their looks, {} not approved, {} others\n",
        coverage.masked,
        coverage.allowed.len(),
        coverage.uncovered.len(),
        coverage.unapproved.len(),
        coverage.plain.saturating_sub(coverage.unapproved.len()),
    ));
    for warning in warnings(plan).chain(coverage.notes.iter().map(String::as_str)) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    let paste = coverage.rules_to_paste();
    if !paste.is_empty() {
        text.push_str(&format!("\n# rules to begin with\n{paste}"));
    }
    text
}

const fn distinct(uniqueness: Uniqueness) -> &'static str {
    match uniqueness {
        Uniqueness::Preserved => "stay distinct",
        Uniqueness::NotGuaranteed => "may meet",
        Uniqueness::Lossy => "meet",
    }
}

fn as_json(plan: &Plan, coverage: &Coverage) -> Value {
    let masked: Vec<Value> = masked(plan)
        .map(|(table, column, mask)| {
            json!({
                "table": table, "column": column, "with": rules::title(&mask.transformer),
                "uniqueness": mask.uniqueness, "because": mask.origin,
            })
        })
        .collect();
    let allowed: Vec<Value> = coverage
        .allowed
        .iter()
        .map(|one| json!({"table": one.table.to_string(), "column": one.column, "because": one.reason}))
        .collect();
    let personal: Vec<Value> = coverage
        .uncovered
        .iter()
        .map(|found| {
            json!({
                "table": found.column.table.to_string(), "column": found.column.name,
                "looks_like": found.suspicion.kind.label(), "because": found.suspicion.because,
            })
        })
        .collect();
    let unapproved: Vec<Value> = coverage
        .unapproved
        .iter()
        .map(|found| {
            json!({
                "table": found.column.table.to_string(), "column": found.column.name,
                "because": found.change.to_string(),
            })
        })
        .collect();
    json!({
        "v": 1, "type": "mask-check", "masked": masked, "allowed": allowed,
        "looks_personal": personal, "unapproved": unapproved,
        "others": coverage.plain.saturating_sub(coverage.unapproved.len()),
        "approved": coverage.is_approved,
        "warnings": warnings(plan).collect::<Vec<_>>(), "notes": coverage.notes,
        "rules": coverage.rules_to_paste(),
    })
}
