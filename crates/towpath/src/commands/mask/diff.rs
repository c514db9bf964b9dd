//! `towpath mask diff`: what becomes of a sample of rows. Values are masked here and shown on stdout;
//! they are written nowhere.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};
use towpath_mask::rules::Tables;
use towpath_mask::{ColumnMask, MaskKey, Masked, RowText, rules};
use towpath_model::name::{quote_identifier, quote_literal, readable};
use towpath_model::plan::PlannedTable;
use towpath_model::{ErrorKind, Exit, Failure, Result};
use towpath_postgres::Session;

use super::{Key, look};
use crate::arguments::MaskDiffArguments;
use crate::commands::next;
use crate::context::Context;
use crate::pipeline::clone::masks::as_it_travels;
use crate::pipeline::clone::order::no_key;
use crate::table;

/// What stands for a value that is not shown. Of one length: that of a name narrows it down.
const HIDDEN: &str = "hidden";

/// Characters of a value that a line shows.
const SHOWN: usize = 60;

/// Rows of a table that are asked for before they are chosen by chance: pages of a large one.
const PAGES: u32 = 10;

pub(super) async fn diff(context: &Context, arguments: &MaskDiffArguments) -> Result<Exit> {
    let only = arguments.table.as_deref().map(Tables::of).transpose();
    let only =
        only.map_err(|why| Failure::new(ErrorKind::Usage, format!("TABLE is no pattern: {why}")))?;
    let mut looked = look(context, arguments.rules.rules.as_deref(), Key::Real).await?;
    let Some(key) = looked.order.key.clone() else {
        return Err(no_key());
    };
    // Expressions of indexes may name nothing's schema, and planning inlines them.
    let path = &looked.plan.source.facts.search_path;
    looked.holder.session().use_search_path(path).await?;
    let wanted = |planned: &&PlannedTable| {
        !planned.masks.is_empty()
            && only
                .as_ref()
                .is_none_or(|only| only.is_match(&planned.name))
    };
    let mut shown = 0_u64;
    for planned in looked.plan.tables.iter().filter(wanted) {
        context.stop.check()?;
        let rows = sample(looked.holder.session(), planned, arguments.rows).await?;
        let after = mask_rows(&key, planned, &rows)?;
        if context.json {
            print_json(planned, &rows, &after, arguments.show_before);
        } else {
            print!("{}", as_text(planned, &rows, &after, arguments.show_before));
        }
        shown += 1;
    }
    looked.holder.release().await?;
    if shown == 0 {
        eprintln!("no masked table matches");
    } else if !arguments.show_before {
        next("--show-before shows the source's values, too: personal data on your screen");
    }
    Ok(Exit::Done)
}

/// The columns of a row as text, in the plan's order.
#[derive(Deserialize)]
struct Row {
    fields: Vec<Option<String>>,
}

impl RowText for Row {
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>> {
        let field = self.fields.get(column).and_then(Option::as_deref);
        Ok(field.map(Cow::Borrowed))
    }
}

/// Some rows, the same ones each time: who changes a rule wants to see what it changed.
async fn sample(session: &mut Session, planned: &PlannedTable, rows: u32) -> Result<Vec<Row>> {
    let fields: Vec<String> = planned
        .columns
        .iter()
        .map(|column| {
            let value = match planned.expressions.get(column) {
                None => quote_identifier(column),
                Some(expression) => format!("({expression})"),
            };
            as_it_travels(&value)
        })
        .collect();
    let name = planned.name.quoted();
    let sql = format!(
        "select pg_catalog.to_json(array[{}]::pg_catalog.text[]) as fields from only {name} \
         tablesample system (least(100, 100.0 * greatest({PAGES}, {rows}) * 8192 \
         / greatest(pg_catalog.pg_relation_size({}::pg_catalog.regclass), 1))) repeatable (1) \
         limit {rows}",
        fields.join(", "),
        quote_literal(&name),
    );
    session.fetch(&sql, &[]).await.map_err(|failure| {
        failure.while_doing(format!("could not read a sample of {}", planned.name))
    })
}

/// What became of one value.
enum After {
    Null,
    Became(String),
    Nulled,
    Spared,
    Empty,
}

/// By row, the masked columns in order.
fn mask_rows(key: &MaskKey, planned: &PlannedTable, rows: &[Row]) -> Result<Vec<Vec<After>>> {
    let mut masks = Vec::new();
    for (column, mask) in &planned.masks {
        let at = planned.columns.iter().position(|name| name == column);
        if let Some(at) = at {
            masks.push((at, ColumnMask::new(key, mask, &planned.columns)?));
        }
    }
    rows.iter()
        .map(|row| {
            let after = masks.iter().map(|(at, mask)| mask_value(row, *at, mask));
            after.collect::<Result<Vec<_>>>().map_err(|failure| {
                failure.while_doing(format!("could not mask a row of {}", planned.name))
            })
        })
        .collect()
}

fn mask_value(row: &Row, at: usize, mask: &ColumnMask) -> Result<After> {
    let Some(value) = row.text(at)? else {
        return Ok(After::Null);
    };
    let mut out = String::new();
    Ok(match mask.apply(&value, row, &mut out)? {
        Masked::Value => After::Became(out),
        Masked::Null => After::Nulled,
        Masked::Spared => After::Spared,
        Masked::Empty => After::Empty,
    })
}

/// The side before, as far as it may be seen.
fn before(row: &Row, at: Option<usize>, show: bool) -> String {
    let value = at
        .and_then(|at| row.fields.get(at))
        .and_then(Option::as_deref);
    match value {
        None => "NULL".to_owned(),
        Some("") => "''".to_owned(),
        Some(value) if show => one_line(value),
        Some(_) => HIDDEN.to_owned(),
    }
}

/// The side after. What a mask leaves as it is is the source's own, and hidden with it.
fn after(after: &After, before: &str) -> String {
    match after {
        After::Null => "NULL".to_owned(),
        After::Became(text) if text.is_empty() => "''".to_owned(),
        After::Became(text) => one_line(text),
        After::Nulled => "NULL (was a value)".to_owned(),
        After::Spared => format!("{before} (spared by the condition)"),
        After::Empty => format!("{before} (nothing to mask)"),
    }
}

/// A value on one line; what a terminal would obey is shown instead.
fn one_line(value: &str) -> String {
    let mut line = String::new();
    for (count, c) in value.chars().enumerate() {
        if count == SHOWN {
            line.push('…');
            break;
        }
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

fn as_text(planned: &PlannedTable, rows: &[Row], masked: &[Vec<After>], show: bool) -> String {
    let mut lines = vec![
        ["row", "column", "with", "before", "after"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for ((row, values), no) in rows.iter().zip(masked).zip(1_usize..) {
        for ((column, mask), value) in planned.masks.iter().zip(values) {
            let at = planned.columns.iter().position(|name| name == column);
            let before = before(row, at, show);
            lines.push(vec![
                no.to_string(),
                readable(column),
                rules::title(&mask.transformer),
                before.clone(),
                after(value, &before),
            ]);
        }
    }
    let rows = table::counted(rows.len() as u64, "row");
    format!("{}, {rows}\n{}\n", planned.name, table::aligned(&lines))
}

fn print_json(planned: &PlannedTable, rows: &[Row], masked: &[Vec<After>], show: bool) {
    for ((row, values), no) in rows.iter().zip(masked).zip(1_usize..) {
        let columns: Vec<Value> = planned
            .masks
            .iter()
            .zip(values)
            .map(|((column, mask), value)| {
                let at = planned.columns.iter().position(|name| name == column);
                let before = at
                    .and_then(|at| row.fields.get(at))
                    .and_then(Option::as_deref);
                let (became, text) = match value {
                    After::Null => ("null", None),
                    After::Became(text) => ("value", Some(text.as_str())),
                    After::Nulled => ("nulled", None),
                    After::Spared => ("spared", before.filter(|_| show)),
                    After::Empty => ("nothing-to-mask", before.filter(|_| show)),
                };
                let mut column = json!({
                    "column": column, "with": rules::title(&mask.transformer),
                    "became": became, "after": text,
                });
                if show && let Some(fields) = column.as_object_mut() {
                    fields.insert("before".to_owned(), json!(before));
                }
                column
            })
            .collect();
        println!(
            "{}",
            json!({
                "v": 1, "type": "mask-diff", "table": planned.name.to_string(), "row": no,
                "columns": columns,
            })
        );
    }
}
