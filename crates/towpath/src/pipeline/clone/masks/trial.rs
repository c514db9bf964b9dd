//! A trial of masks on a sample: whether types, domains and checks of the source take what becomes of
//! its rows. It finds what no rule can tell, such as a check that wants a real country code, after
//! seconds and not after the load. What it does not meet in the sample, the load finds, and the clone
//! before goes on serving.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use towpath_mask::{ColumnMask, MaskKey, Masked, RowText};
use towpath_model::keys::{Check, KeyFacts, TableFacts};
use towpath_model::masking::{PlannedMask, Transformer};
use towpath_model::name::{quote_identifier, quote_literal, readable};
use towpath_model::plan::{Plan, PlannedTable};
use towpath_model::subset::TableSubset;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use super::{refuse, shown};
use crate::pipeline::clone::Order;

/// Rows of a table that are tried.
const ROWS: u32 = 100;

/// Pages that they are taken from, spread over all of the table.
const PAGES: u32 = 200;

/// Bytes of a page.
const PAGE: u32 = 8192;

/// Bytes of a row's columns that are read, at most: a hundred photographs in hexadecimal digits are more
/// than a process has room for.
const ROW_BYTES: u32 = 256 * 1024;

/// Masks a sample of rows and lets the source say whether its types, domains and checks take them.
/// Nothing is written, and the transaction, which holds the snapshot, survives what fails.
pub async fn try_constraints(
    order: &Order,
    facts: &KeyFacts,
    plan: &Plan,
    session: &mut Session,
) -> Result<()> {
    let Some(key) = &order.key else {
        return Ok(());
    };
    let mut refusals = Vec::new();
    // Expressions of indexes and checks may name nothing's schema, and planning inlines them.
    session
        .use_search_path(&plan.source.facts.search_path)
        .await?;
    for table in &plan.tables {
        let goes = table.subset != Some(TableSubset::Empty) && table.bytes > 0;
        let Some(table_facts) = facts.tables.get(&table.name).filter(|_| goes) else {
            continue;
        };
        let checks: Vec<&Check> = facts
            .checks
            .iter()
            .filter(|check| check.table == table.name && may_be_broken(check, table))
            .collect();
        let typed: Vec<&String> = table
            .masks
            .iter()
            .filter(|(_, mask)| !is_any_text(mask))
            .map(|(column, _)| column)
            .collect();
        // At thousands of tables the way to the server and back is what takes long.
        if !checks.is_empty() || !typed.is_empty() {
            let trial = Trial::of(session, key, table, table_facts).await?;
            trial.types(session, &typed, &mut refusals).await?;
            trial.checks(session, &checks, &mut refusals).await?;
        }
    }
    session.use_search_path("").await?;
    refuse(&order.rules_place, &refusals)
}

/// Whether a check reads a masked column, as far as can be told.
fn may_be_broken(check: &Check, table: &PlannedTable) -> bool {
    let is_masked = |column: &String| table.masks.contains_key(column);
    !table.masks.is_empty() && (check.columns.is_empty() || check.columns.iter().any(is_masked))
}

/// Whether every text is a value of the column's type, or the mask is one that it takes for sure.
fn is_any_text(mask: &PlannedMask) -> bool {
    mask.transformer == Transformer::Null || mask.base_type == "text"
}

/// A row of the source: where it is, and in the text form that rows travel in those of its columns that
/// masks look at.
#[derive(Deserialize)]
struct Sampled {
    place: String,
    fields: Vec<Option<String>>,
}

impl RowText for Sampled {
    fn text(&self, column: usize) -> Result<Option<Cow<'_, str>>> {
        let field = self.fields.get(column).and_then(Option::as_deref);
        Ok(field.map(Cow::Borrowed))
    }
}

/// Masked rows of one table.
struct Trial<'t> {
    table: &'t PlannedTable,
    facts: &'t TableFacts,
    /// By place, what became of masked columns, by their numbers; those that stay are left out.
    masked: Value,
    /// Places, as an array of the server's.
    places: String,
    /// Columns whose values are longer than they may be: an explicit cast would cut them off without
    /// a word.
    too_long: Vec<&'t String>,
}

impl<'t> Trial<'t> {
    async fn of(
        session: &mut Session,
        key: &MaskKey,
        table: &'t PlannedTable,
        facts: &'t TableFacts,
    ) -> Result<Self> {
        let rows = sample(session, table).await?;
        let mut masks = BTreeMap::new();
        for (column, mask) in &table.masks {
            let at = table.columns.iter().position(|name| name == column);
            if let Some(at) = at {
                masks.insert(column, (at, ColumnMask::new(key, mask, &table.columns)?));
            }
        }
        let (mut masked, mut too_long) = (Vec::new(), Vec::new());
        for row in &rows {
            let mut values = Map::new();
            for (no, (column, (at, mask))) in masks.iter().enumerate() {
                let became = apply(mask, row, *at).map_err(|failure| {
                    let name = shown(&table.name, column);
                    failure.while_doing(format!("could not mask a sampled value of {name}"))
                })?;
                let Some(became) = became else {
                    continue;
                };
                let room = table.masks.get(*column).and_then(|mask| {
                    let is_array = mask.base_type.ends_with(']');
                    mask.max_chars.filter(|_| !is_array)
                });
                if let (Some(room), Some(text)) = (room, became.as_str())
                    && text.trim_end_matches(' ').chars().count()
                        > usize::try_from(room).unwrap_or(usize::MAX)
                    && !too_long.contains(column)
                {
                    too_long.push(*column);
                }
                values.insert(no.to_string(), became);
            }
            masked.push(json!({"place": row.place, "values": values}));
        }
        let places: Vec<&str> = rows.iter().map(|row| row.place.as_str()).collect();
        Ok(Self {
            table,
            facts,
            places: format!(
                "array[{}]::pg_catalog.tid[]",
                places
                    .iter()
                    .map(|place| quote_literal(place))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            masked: Value::Array(masked),
            too_long,
        })
    }

    /// Whether every masked value is one of its type: of all columns at once, and where that fails
    /// one by one.
    async fn types(
        &self,
        session: &mut Session,
        columns: &[&String],
        refusals: &mut Vec<String>,
    ) -> Result<()> {
        if columns.is_empty() {
            return Ok(());
        }
        let all = self.count(session, &self.typed(columns)).await?;
        if all.is_some() && self.too_long.is_empty() {
            return Ok(());
        }
        for column in columns {
            let Some(mask) = self.table.masks.get(*column) else {
                continue;
            };
            let name = shown(&self.table.name, column);
            let (type_name, by) = (self.type_of(column), &mask.origin);
            if self.too_long.contains(column) {
                refusals.push(format!(
                    "{name}, by {by}: masked values are longer than type {type_name} takes; use another transformer"
                ));
            } else if self
                .count(session, &self.typed(&[*column]))
                .await?
                .is_none()
            {
                refusals.push(format!(
                    "{name}, by {by}: masked values of a sample are none of type {type_name}; use another transformer"
                ));
            }
        }
        Ok(())
    }

    /// Reads masked values as their types.
    fn typed(&self, columns: &[&String]) -> String {
        let casts: Vec<String> = self
            .table
            .masks
            .keys()
            .enumerate()
            .filter(|(_, column)| columns.contains(column))
            .map(|(no, column)| {
                format!(
                    "pg_catalog.count((x.value operator(pg_catalog.->) 'values'
                         operator(pg_catalog.->>) '{no}')::{})",
                    self.type_of(column)
                )
            })
            .collect();
        format!(
            "select {} as rows
               from pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) as x (value)",
            casts.join(" operator(pg_catalog.+) ")
        )
    }

    /// Whether checks hold for masked rows: all at once, and where one does not, one by one.
    async fn checks(
        &self,
        session: &mut Session,
        checks: &[&Check],
        refusals: &mut Vec<String>,
    ) -> Result<()> {
        let any: Vec<String> = checks
            .iter()
            .map(|check| format!("not ({})", check.expression))
            .collect();
        if any.is_empty() {
            return Ok(());
        }
        let broken = self.broken(&self.masked_rows(), &any.join(" or "));
        if self.count(session, &broken).await? == Some(0) {
            return Ok(());
        }
        for check in checks {
            self.check(session, check, refusals).await?;
        }
        Ok(())
    }

    /// Counts rows; names of columns in the condition are the table's.
    fn broken(&self, rows: &str, condition: &str) -> String {
        format!(
            "select pg_catalog.count(*) as rows from ({rows}) as {} where {condition}",
            quote_identifier(&self.table.name.name)
        )
    }

    /// Whether a check holds for masked rows. One that original rows break, or that cannot be asked
    /// for by itself, says nothing about masks.
    async fn check(
        &self,
        session: &mut Session,
        check: &Check,
        refusals: &mut Vec<String>,
    ) -> Result<()> {
        let condition = format!("not ({})", check.expression);
        let masked = self.broken(&self.masked_rows(), &condition);
        let found = self.count(session, &masked).await?;
        if found == Some(0) {
            return Ok(());
        }
        let original = self.broken(&self.original_rows(), &condition);
        let before = self.count(session, &original).await?;
        if before.is_none() || before >= found.or(Some(u64::MAX)) {
            return Ok(());
        }
        let columns: Vec<String> = check
            .columns
            .iter()
            .filter_map(|column| {
                let mask = self.table.masks.get(column)?;
                Some(format!("{} by {}", readable(column), mask.origin))
            })
            .collect();
        refusals.push(format!(
            "{}: masked rows of a sample break check {} ({}); use transformers that it takes, such as format-preserving, constant, or date-shift with one subject",
            self.table.name,
            readable(&check.name),
            columns.join(", ")
        ));
        Ok(())
    }

    /// The type that values are cast to: below domains, whose checks are asked one by one, so that
    /// the one that fails has a name.
    fn type_of(&self, column: &str) -> &str {
        let facts = self.facts.columns.iter().find(|facts| facts.name == column);
        facts.map_or("pg_catalog.text", |facts| {
            match facts.base_type.starts_with("enum") {
                true => &facts.type_name,
                false => &facts.base_type,
            }
        })
    }

    /// The sampled rows with masked values in their places.
    fn masked_rows(&self) -> String {
        let numbers: BTreeMap<&String, usize> = self.table.masks.keys().zip(0..).collect();
        let columns: Vec<String> = self
            .facts
            .columns
            .iter()
            .map(|column| {
                let name = quote_identifier(&column.name);
                match numbers.get(&column.name) {
                    None => format!("t.{name}"),
                    Some(no) => format!(
                        "case when x.value operator(pg_catalog.->) 'values' operator(pg_catalog.?) '{no}'
                              then (x.value operator(pg_catalog.->) 'values'
                                    operator(pg_catalog.->>) '{no}')::{}
                              else t.{name} end as {name}",
                        self.type_of(&column.name)
                    ),
                }
            })
            .collect();
        format!(
            "select {} from only {} as t
               join pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) as x (value)
                 on t.ctid operator(pg_catalog.=)
                    (x.value operator(pg_catalog.->>) 'place')::pg_catalog.tid
              where t.ctid operator(pg_catalog.=) any ({})",
            columns.join(", "),
            self.table.name.quoted(),
            self.places
        )
    }

    /// The same rows as they are.
    fn original_rows(&self) -> String {
        format!(
            "select t.* from only {} as t
              where t.ctid operator(pg_catalog.=) any ({}) and $1::pg_catalog.jsonb is not null",
            self.table.name.quoted(),
            self.places
        )
    }

    /// Asks within a savepoint; nothing where the server refuses the question.
    async fn count(&self, session: &mut Session, sql: &str) -> Result<Option<u64>> {
        #[derive(Deserialize)]
        struct Counted {
            rows: u64,
        }
        session.execute("savepoint towpath_trial").await?;
        let asked = session
            .fetch_one::<Counted>(sql, &[&self.masked.to_string()])
            .await;
        session
            .execute("rollback to savepoint towpath_trial; release savepoint towpath_trial")
            .await?;
        match asked {
            Ok(counted) => Ok(Some(counted.rows)),
            // What the server says quotes the value: it is not told, nor kept.
            Err(failure) if failure.kind() == ErrorKind::Source => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// What becomes of a value, as JSON; nothing where it stays.
fn apply(mask: &ColumnMask, row: &Sampled, at: usize) -> Result<Option<Value>> {
    let Some(value) = row.text(at)? else {
        return Ok(None);
    };
    let mut out = String::new();
    Ok(match mask.apply(&value, row, &mut out)? {
        Masked::Value => Some(Value::from(out)),
        Masked::Null => Some(Value::Null),
        Masked::Spared | Masked::Empty => None,
    })
}

/// An expression as the text that masks see. `format` gives what a type's output function does, which
/// is what COPY gives, too; a cast to text does not: booleans, blanks of `character`.
pub fn as_it_travels(value: &str) -> String {
    // A row value with a NULL in it is neither NULL nor not, but distinct from it.
    format!("case when {value} is distinct from null then pg_catalog.format('%s', {value}) end")
}

/// Rows from all over a table, the same ones in every trial.
async fn sample(session: &mut Session, table: &PlannedTable) -> Result<Vec<Sampled>> {
    let value = |column: &String| match table.expressions.get(column) {
        None => format!("t.{}", quote_identifier(column)),
        Some(expression) => format!("({expression})"),
    };
    let is_read = |column: &String| {
        let mut masks = table.masks.iter();
        masks.any(|(masked, mask)| masked == column || mask.reads.contains_key(column))
    };
    let fields: Vec<String> = table
        .columns
        .iter()
        .map(|column| match is_read(column) {
            true => as_it_travels(&value(column)),
            false => "null".to_owned(),
        })
        .collect();
    let sizes: Vec<String> = table
        .columns
        .iter()
        .filter(|column| is_read(column))
        .map(|column| format!("coalesce(pg_catalog.pg_column_size({}), 0)", value(column)))
        .collect();
    let name = table.name.quoted();
    let sql = format!(
        "select t.ctid::pg_catalog.text as place,
                pg_catalog.to_json(array[{}]::pg_catalog.text[]) as fields
           from only {name} as t
                tablesample system (least(100, {PAGES}00.0 * {PAGE}
                    / greatest(pg_catalog.pg_relation_size({}::pg_catalog.regclass), 1)))
                repeatable (1)
          where {} operator(pg_catalog.<=) {ROW_BYTES}
          order by pg_catalog.md5(t.ctid::pg_catalog.text)
          limit {ROWS}",
        fields.join(", "),
        quote_literal(&name),
        sizes.join(" operator(pg_catalog.+) ")
    );
    session.fetch(&sql, &[]).await.map_err(|failure: Failure| {
        failure.while_doing(format!("could not read a sample of {}", table.name))
    })
}
