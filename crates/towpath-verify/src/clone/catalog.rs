//! Keys and references of a clone: whether they hold, asked of the rows where the server did not
//! prove it itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use towpath_model::clone::{CloneFinding, CloneProof};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::keys::{KeyFacts, Reference};
use towpath_model::name::{QualifiedName, quote_identifier};
use towpath_model::references;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use super::CloneContext;
use super::scan::is_of;
use crate::options::VerifyContext;
use crate::slices::must_lift_row_security;

/// Unique indexes, those of constraints included, and exclusion constraints.
const UNIQUES: &str = "
    select n.nspname as schema,
           t.relname as table,
           c.relname as name,
           i.indisvalid and i.indisready and i.indislive as usable,
           i.indisexclusion or i.indexprs is not null or i.indpred is not null as complex,
           array(select a.attname::pg_catalog.text
                 from pg_catalog.unnest(i.indkey::pg_catalog.int2[]) with ordinality as k (attnum, no)
                 join pg_catalog.pg_attribute a
                     on a.attrelid = i.indrelid and a.attnum = k.attnum
                 where k.no <= i.indnkeyatts
                 order by k.no) as columns
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_class t on t.oid = i.indrelid
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    where i.indisunique or i.indisexclusion
    order by 1, 2, 3";

#[derive(Debug, Deserialize)]
struct Unique {
    schema: String,
    table: String,
    name: String,
    usable: bool,
    complex: bool,
    columns: Vec<String>,
}

/// Foreign keys, as they were declared.
const FOREIGN_KEYS: &str = "
    select n.nspname as schema, t.relname as table, c.conname as name,
           -- Rows that went in while triggers were off are proven by nobody.
           c.convalidated and not exists (
               select from pg_catalog.pg_trigger g
               where g.tgconstraint = c.oid and g.tgenabled <> 'O') as validated
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_class t on t.oid = c.conrelid
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    where c.contype = 'f'";

#[derive(Debug, Deserialize)]
struct ForeignKey {
    schema: String,
    table: String,
    name: String,
    validated: bool,
}

/// Most common values and bounds of histograms of some columns, as texts.
const STATISTICS: &str = "
    select s.schemaname::pg_catalog.text as schema, s.tablename::pg_catalog.text as table,
           s.attname::pg_catalog.text as column, v.value as value
    from pg_catalog.pg_stats s
    join pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb)
             as m (\"schema\" pg_catalog.text, \"table\" pg_catalog.text, \"column\" pg_catalog.text)
        on m.schema = s.schemaname::pg_catalog.text
       and m.table = s.tablename::pg_catalog.text
       and m.column = s.attname::pg_catalog.text
    cross join lateral pg_catalog.unnest(
        coalesce(s.most_common_vals::pg_catalog.text::pg_catalog.text[], '{}')
        || coalesce(s.histogram_bounds::pg_catalog.text::pg_catalog.text[], '{}')
        || coalesce(s.most_common_elems::pg_catalog.text::pg_catalog.text[], '{}')) as v (value)
    where v.value is not null";

/// A value that the planner keeps of a column.
#[derive(Deserialize)]
pub(super) struct Kept {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) column: String,
    pub(super) value: String,
}

/// What is asked of the rows.
struct Question<'q> {
    reference: &'q Reference,
    /// The server holds the constraint to be true of all rows.
    is_validated: bool,
}

/// What the planner keeps of columns that are masked in all rows.
async fn statistics(context: &VerifyContext, session: &mut Session) -> Result<Vec<Kept>> {
    let columns: Vec<serde_json::Value> = context
        .plan
        .tables
        .iter()
        .flat_map(|table| {
            let masks = table.masks.iter();
            let whole = masks.filter(|(_, mask)| mask.condition.is_none());
            let (schema, name) = (&table.name.schema, &table.name.name);
            whole.map(move |(column, _)| json!({"schema": schema, "table": name, "column": column}))
        })
        .collect();
    let columns = serde_json::Value::Array(columns).to_string();
    session.fetch(STATISTICS, &[&columns]).await
}

/// Looks at keys and references; gives what statistics hold.
pub(super) async fn check(
    context: &VerifyContext,
    clone: &CloneContext,
    facts: &KeyFacts,
    proof: &mut CloneProof,
    findings: &mut Vec<CloneFinding>,
) -> Result<Vec<Kept>> {
    let options = context.session_options(Side::Target, "verify-clone");
    let mut session = Session::connect(context.target()?, Side::Target, &options).await?;
    session.begin_proving().await?;
    // Lifted for this transaction only, which is rolled back below.
    for table in &context.plan.tables {
        if must_lift_row_security(table, Side::Target) {
            let name = table.name.quoted();
            session
                .execute(&format!("alter table {name} no force row level security"))
                .await?;
        }
    }
    let keys: Vec<ForeignKey> = session.fetch(FOREIGN_KEYS, &[]).await?;
    let validated: BTreeMap<(String, String, String), bool> = keys
        .into_iter()
        .map(|key| ((key.schema, key.table, key.name), key.validated))
        .collect();
    if clone.declared.is_none() {
        proof.not_looked_at.push(
            "references that only rules declare: where they lead is in the rules alone".to_owned(),
        );
    }
    let declared = clone.declared.iter().flatten();
    let questions = facts.references.iter().chain(declared).map(|it| {
        let name = (
            it.child.schema.clone(),
            it.child.name.clone(),
            it.name.clone(),
        );
        Question {
            reference: it,
            is_validated: !it.is_declared && validated.get(&name) == Some(&true),
        }
    });
    let questions: Vec<Question<'_>> = questions.collect();
    let search_path = search_path(context, &questions, facts);
    session.use_search_path(&search_path).await?;
    for question in &questions {
        context.stop.check()?;
        let reference = question.reference;
        // What the server has proven of rows that are as they were needs no second look.
        if question.is_validated && !clone.is_thorough && !is_touched(context, facts, reference) {
            proof.references_checked += 1;
            continue;
        }
        let rows = dangling(&mut session, reference, facts).await?;
        if rows == 0 {
            proof.references_checked += 1;
            continue;
        }
        match allowed_to(context, clone, facts, question, rows, &search_path).await {
            None => findings.push(CloneFinding::Dangling {
                reference: reference.name.clone(),
                table: reference.child.clone(),
                rows,
            }),
            Some(why) => proof.not_looked_at.push(why),
        }
    }
    uniques(&mut session, facts, proof, findings).await?;
    let kept = match clone.originals {
        Some(_) => statistics(context, &mut session).await?,
        None => Vec::new(),
    };
    session.rollback().await?;
    session.close().await;
    Ok(kept)
}

fn search_path(context: &VerifyContext, questions: &[Question<'_>], facts: &KeyFacts) -> String {
    let given = &context.plan.source.facts.search_path;
    references::search_path(given, questions.iter().map(|it| it.reference), facts)
}

/// Whether masks or a subset have anything to do with a reference.
fn is_touched(context: &VerifyContext, facts: &KeyFacts, reference: &Reference) -> bool {
    let ends = [
        (&reference.child, &reference.child_columns),
        (&reference.parent, &reference.parent_columns),
    ];
    ends.into_iter().any(|(name, columns)| {
        let tables = context.plan.tables.iter();
        let mut tables = tables.filter(|it| is_of(&it.name, name, facts));
        tables.any(|table| {
            table.subset.is_some() || columns.iter().any(|it| table.masks.contains_key(it))
        })
    })
}

async fn dangling(session: &mut Session, reference: &Reference, facts: &KeyFacts) -> Result<u64> {
    #[derive(Deserialize)]
    struct Count {
        rows: u64,
    }
    let query = references::dangling_query(reference, facts);
    let found: Count = session.fetch_one(&query, &[]).await.map_err(|failure| {
        failure.while_doing(format!(
            "could not look where reference {} of {} leads",
            reference.name, reference.child
        ))
    })?;
    Ok(found.rows)
}

/// Why rows may lead nowhere: no constraint forbids it, and as many do on the source.
async fn allowed_to(
    context: &VerifyContext,
    clone: &CloneContext,
    facts: &KeyFacts,
    question: &Question<'_>,
    rows: u64,
    search_path: &str,
) -> Option<String> {
    let reference = question.reference;
    if question.is_validated {
        return None;
    }
    let what = format!(
        "{rows} rows of {} that {} holds lead nowhere",
        reference.child, reference.name
    );
    let why = "no validated constraint forbids it";
    let Some(source) = &clone.source else {
        return Some(format!(
            "{what}; {why}, and the source was not asked whether they do there"
        ));
    };
    match Box::pin(on_source(context, source, facts, reference, search_path)).await {
        Ok(there) if there < rows => None,
        Ok(_) => Some(format!(
            "{what}; {why}, and at least as many do on the source"
        )),
        Err(failure) => Some(format!(
            "{what}; {why}, and the source did not say whether they do there: {failure}"
        )),
    }
}

async fn on_source(
    context: &VerifyContext,
    source: &ConnectionUrl,
    facts: &KeyFacts,
    reference: &Reference,
    search_path: &str,
) -> Result<u64> {
    let options = context.session_options(Side::Source, "verify-clone");
    let mut session = Session::connect(source, Side::Source, &options).await?;
    session.begin_reading().await?;
    session.use_search_path(search_path).await?;
    let rows = dangling(&mut session, reference, facts).await?;
    session.rollback().await?;
    session.close().await;
    Ok(rows)
}

/// A unique index that the server keeps holds; what it does not keep is asked of the rows. One that is
/// not there is a difference of the structure.
async fn uniques(
    session: &mut Session,
    facts: &KeyFacts,
    proof: &mut CloneProof,
    findings: &mut Vec<CloneFinding>,
) -> Result<()> {
    let found: Vec<Unique> = session.fetch(UNIQUES, &[]).await?;
    for unique in found {
        let table = QualifiedName::new(&unique.schema, &unique.table);
        if !facts.tables.contains_key(&table) {
            continue;
        }
        if unique.usable {
            proof.uniques_checked += 1;
            continue;
        }
        if unique.complex {
            proof.not_looked_at.push(format!(
                "{} of {table} is not valid, and its expressions were not asked of the rows",
                unique.name
            ));
            continue;
        }
        let values = duplicates(session, &table, &unique.columns, facts).await?;
        match values {
            0 => proof.uniques_checked += 1,
            values => findings.push(CloneFinding::Duplicate {
                key: unique.name,
                table,
                values,
            }),
        }
    }
    Ok(())
}

async fn duplicates(
    session: &mut Session,
    table: &QualifiedName,
    columns: &[String],
    facts: &KeyFacts,
) -> Result<u64> {
    let columns: Vec<String> = columns.iter().map(|it| quote_identifier(it)).collect();
    if columns.is_empty() {
        return Ok(0);
    }
    let filter: Vec<String> = columns
        .iter()
        .map(|it| format!("{it} is not null"))
        .collect();
    let sql = format!(
        "select pg_catalog.count(*)::pg_catalog.text
         from (select from {} where {} group by {} having pg_catalog.count(*) > 1) as twice",
        references::from_item(table, facts),
        filter.join(" and "),
        columns.join(", ")
    );
    let count = session.scalar(&sql, &[]).await?;
    let count = count.as_deref().and_then(|text| text.parse().ok());
    count.ok_or_else(|| Failure::new(ErrorKind::Internal, "a count is no number"))
}
