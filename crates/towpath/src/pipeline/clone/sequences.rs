//! Sequences of a clone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use towpath_model::clone::CloneSequences;
use towpath_model::connection::Side;
use towpath_model::inventory::SequenceState;
use towpath_model::journal::Entry;
use towpath_model::manifest::Manifest;
use towpath_model::name::quote_identifier;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;
use towpath_store::Journal;

use crate::context::Context;
use crate::pipeline::clone::Cloning;

/// Sets sequences as the order says; gives those that stand elsewhere than the manifest says. Doing it
/// twice changes nothing.
pub async fn reset(
    inner: &Context,
    cloning: &Cloning,
    manifest: &Manifest,
    journal: &Journal,
) -> Result<Vec<SequenceState>> {
    if cloning.order.sequences == CloneSequences::Carry || manifest.sequences.is_empty() {
        return Ok(Vec::new());
    }
    let name = format!("towpath/{}/sequences", manifest.run);
    let options = inner.session_options(Side::Target, &name);
    let mut session = Session::connect(&inner.url(Side::Target)?, Side::Target, &options).await?;
    let done = async {
        let fits = fitting(&mut session, &manifest.sequences).await?;
        let states: Vec<SequenceState> = fits
            .into_iter()
            .filter(|state| !manifest.sequences.contains(state))
            .collect();
        towpath_load::set_sequences_by(&mut session, "", &states).await?;
        Ok(states)
    }
    .await;
    session.close().await;
    let states = done?;
    // Whoever verifies later has to expect these.
    let entry = Entry::SequencesCarried {
        states: states.clone(),
    };
    journal.append(entry).await?;
    Ok(states)
}

#[derive(Debug, Clone, Deserialize)]
struct SequenceRow {
    schema: String,
    name: String,
    start: i64,
    increment: i64,
    least: i64,
    greatest: i64,
}

/// A column that a sequence feeds: it is owned by the column, or named by its default. One `counts`
/// that holds whole numbers, and what the sequence gives as it is.
#[derive(Debug, Clone, Deserialize)]
struct FedRow {
    schema: String,
    name: String,
    table_schema: String,
    table_name: String,
    column: String,
    counts: bool,
    is_forced: bool,
}

/// Where each sequence of the manifest stands when it fits the rows. One that feeds a column that holds
/// no whole numbers (`'A' || nextval(…)`), or others than it gives (`2026000000 + nextval(…)`), stays
/// where the manifest has it: nobody can say what fits.
async fn fitting(session: &mut Session, known: &[SequenceState]) -> Result<Vec<SequenceState>> {
    // In a transaction that is rolled back: it lifts forced row-level security, which would hide rows
    // from the owner too.
    session.begin_proving().await?;
    let states = fitting_in(session, known).await;
    // The first failure is the news; a session that is gone has rolled back.
    let ended = session.rollback().await;
    let states = states?;
    ended.map(|()| states)
}

async fn fitting_in(session: &mut Session, known: &[SequenceState]) -> Result<Vec<SequenceState>> {
    let sequences: Vec<SequenceRow> = session
        .fetch(
            "select n.nspname as schema, c.relname as name, s.seqstart as start,
                    s.seqincrement as increment, s.seqmin as least, s.seqmax as greatest
               from pg_catalog.pg_sequence s
               join pg_catalog.pg_class c on c.oid = s.seqrelid
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace",
            &[],
        )
        .await?;
    let mut feeds: BTreeMap<QualifiedName, Vec<FedRow>> = BTreeMap::new();
    for row in fed(session).await? {
        let name = QualifiedName::new(row.schema.clone(), row.name.clone());
        feeds.entry(name).or_default().push(row);
    }
    lift_force(session, feeds.values().flatten()).await?;
    let mut states = Vec::new();
    for row in sequences {
        let name = QualifiedName::new(row.schema.clone(), row.name.clone());
        if !known.iter().any(|state| state.name == name) {
            continue;
        }
        let columns = feeds.remove(&name).unwrap_or_default();
        if columns.iter().any(|column| !column.counts) {
            continue;
        }
        let mut reached = None;
        let mut is_known = true;
        for column in &columns {
            match outermost(session, column, row.increment > 0).await? {
                Outermost::Nothing => {}
                Outermost::Value(value) => {
                    let further = match row.increment > 0 {
                        true => i128::max,
                        false => i128::min,
                    };
                    reached = Some(reached.map_or(value, |other| further(other, value)));
                }
                Outermost::NoNumber => is_known = false,
            }
        }
        if is_known {
            states.push(fit(&row, name, reached));
        }
    }
    Ok(states)
}

/// Where a sequence stands whose columns hold nothing beyond a value.
fn fit(row: &SequenceRow, name: QualifiedName, reached: Option<i128>) -> SequenceState {
    let (least, greatest) = (i128::from(row.least), i128::from(row.greatest));
    let untouched = SequenceState {
        name: name.clone(),
        last_value: row.start,
        is_called: false,
    };
    let Some(reached) = reached else {
        return untouched;
    };
    // All of its values lie before any that it can hand out.
    let is_before = match row.increment > 0 {
        true => reached < least,
        false => reached > greatest,
    };
    match i64::try_from(reached.clamp(least, greatest)) {
        Ok(last_value) if !is_before => SequenceState {
            name,
            last_value,
            is_called: true,
        },
        _ => untouched,
    }
}

/// A default that is what a sequence gives and nothing else, as the server writes it: with the sequence
/// as a constant, or as a text that is looked up.
const PLAIN: &str = r#"^\(*nextval\(\(?'([^']|'')+'(::text\))?::regclass\)\)*(::[a-z0-9_ ."]+)?$"#;

async fn fed(session: &mut Session) -> Result<Vec<FedRow>> {
    session
        .fetch(
            "with feeds as (
                select d.objid as sequence, d.refobjid as relation, d.refobjsubid::int2 as attribute
                  from pg_catalog.pg_depend d
                 where d.classid = 'pg_catalog.pg_class'::regclass
                   and d.refclassid = 'pg_catalog.pg_class'::regclass
                   and d.refobjsubid > 0
                   and d.deptype in ('a', 'i')
                union
                select d.refobjid, f.adrelid, f.adnum
                  from pg_catalog.pg_attrdef f
                  join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass
                   and d.objid = f.oid
                   and d.refclassid = 'pg_catalog.pg_class'::regclass
             )
             select sn.nspname as schema, s.relname as name,
                    tn.nspname as table_schema, t.relname as table_name, a.attname as column,
                    coalesce(nullif(y.typbasetype, 0), y.oid) in
                      ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
                    and coalesce(pg_catalog.pg_get_expr(f.adbin, f.adrelid) ~ $1, true) as counts,
                    t.relforcerowsecurity as is_forced
               from feeds x
               join pg_catalog.pg_class s on s.oid = x.sequence and s.relkind = 'S'
               join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
               join pg_catalog.pg_class t on t.oid = x.relation and t.relkind in ('r', 'p')
               join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
               join pg_catalog.pg_attribute a on a.attrelid = x.relation and a.attnum = x.attribute
               join pg_catalog.pg_type y on y.oid = a.atttypid
               left join pg_catalog.pg_attrdef f on f.adrelid = x.relation and f.adnum = x.attribute
              order by 1, 2, 3, 4, 5",
            &[PLAIN],
        )
        .await
}

async fn lift_force(session: &mut Session, fed: impl Iterator<Item = &FedRow>) -> Result<()> {
    let forced = fed.filter(|row| row.is_forced);
    let tables: BTreeSet<String> = forced.map(FedRow::table).collect();
    for table in tables {
        let sql = format!("alter table {table} no force row level security");
        session.execute(&sql).await?;
    }
    Ok(())
}

impl FedRow {
    fn table(&self) -> String {
        QualifiedName::new(self.table_schema.clone(), self.table_name.clone()).quoted()
    }
}

enum Outermost {
    /// There is no row, or every one is null.
    Nothing,
    /// The value that is furthest.
    Value(i128),
    /// Not one that a sequence could stand at: `NaN`, infinity.
    NoNumber,
}

/// The greatest value of a column, or the least where its sequence counts down.
async fn outermost(session: &mut Session, column: &FedRow, counts_up: bool) -> Result<Outermost> {
    let (which, towards) = match counts_up {
        true => ("max", "ceil"),
        false => ("min", "floor"),
    };
    let sql = format!(
        "select pg_catalog.{towards}(pg_catalog.{which}({})::numeric)::text from {}",
        quote_identifier(&column.column),
        column.table()
    );
    let found = session.scalar(&sql, &[]).await?;
    Ok(match found.map(|text| text.parse()) {
        None => Outermost::Nothing,
        Some(Ok(value)) => Outermost::Value(value),
        Some(Err(_)) => Outermost::NoNumber,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(increment: i64, least: i64, greatest: i64, reached: Option<i128>) -> (i64, bool) {
        let row = SequenceRow {
            schema: "public".to_owned(),
            name: "s".to_owned(),
            start: if increment > 0 { least } else { greatest },
            increment,
            least,
            greatest,
        };
        let state = fit(&row, QualifiedName::new("public", "s"), reached);
        (state.last_value, state.is_called)
    }

    #[test]
    fn a_sequence_stands_behind_what_its_columns_hold_and_within_its_bounds() {
        assert_eq!(stands(1, 1, 100, None), (1, false));
        assert_eq!(stands(1, 1, 100, Some(42)), (42, true));
        assert_eq!(stands(1, 1, 100, Some(1000)), (100, true));
        assert_eq!(stands(1, 1, 100, Some(-5)), (1, false));
        assert_eq!(stands(-1, -100, -1, Some(-42)), (-42, true));
        assert_eq!(stands(-1, -100, -1, Some(3)), (-1, false));
        assert_eq!(stands(1, 1, i64::MAX, Some(i128::MAX)), (i64::MAX, true));
    }
}
