//! What has moved on on a source that is in use, and what that may explain.
//!
//! A policy may read other tables than its own. Where one of those has changed on the source since
//! the export, somebody may well see other rows there, and nothing is wrong with the target.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Stage;
use towpath_model::verification::Difference;
use towpath_model::{QualifiedName, Result};
use towpath_postgres::Session;

use crate::access::looking::{Findings, InDoubt};
use crate::access::policy::Policies;
use crate::access::standpoint::login;
use crate::options::VerifyContext;
use crate::tables;

/// Tables whose rows on the source are no longer those that were exported, and those above them
/// that show the same rows. All of them are read.
pub(crate) async fn moved(
    context: &VerifyContext,
    source: &ConnectionUrl,
) -> Result<BTreeSet<QualifiedName>> {
    let note = "access differs: reading the source's tables, to see which have moved on";
    context.events.note(Stage::Verify, note);
    let proof = tables::prove_side(context, source, Side::Source).await?;
    let table = |difference: Difference| match difference {
        Difference::Rows { table, .. }
        | Difference::Counts { table, .. }
        | Difference::TableUnreadable { table, .. } => Some(table),
        _ => None,
    };
    let mut moved: BTreeSet<QualifiedName> =
        proof.differences.into_iter().filter_map(table).collect();
    if moved.is_empty() {
        return Ok(moved);
    }
    let mut session = login(context, source, Side::Source).await?;
    let steps: Vec<Step> = session.fetch(PARENTS, &[]).await?;
    session.close().await;
    // As often as partitions are nested.
    loop {
        let before = moved.len();
        for step in &steps {
            let child = QualifiedName::new(&step.schema, &step.name);
            if moved.contains(&child) {
                moved.insert(QualifiedName::new(&step.above_schema, &step.above));
            }
        }
        if moved.len() == before {
            return Ok(moved);
        }
    }
}

#[derive(Deserialize)]
struct Step {
    schema: String,
    name: String,
    above_schema: String,
    above: String,
}

const PARENTS: &str = "
    select n.nspname as schema, c.relname as name, m.nspname as above_schema, p.relname as above
      from pg_catalog.pg_inherits i
      join pg_catalog.pg_class c on c.oid = i.inhrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      join pg_catalog.pg_class p on p.oid = i.inhparent
      join pg_catalog.pg_namespace m on m.oid = p.relnamespace
     where c.relkind in ('r', 'p')";

/// Decides what is in doubt: a difference that a table which has moved on may explain is not one.
pub(crate) async fn decide(
    context: &VerifyContext,
    source: &ConnectionUrl,
    texts: &(Texts, Texts),
    findings: &mut Findings,
) -> Result<()> {
    let in_doubt = std::mem::take(&mut findings.in_doubt);
    if in_doubt.is_empty() {
        return Ok(());
    }
    let moved = moved(context, source).await?;
    for InDoubt {
        difference,
        is_unproven,
    } in in_doubt
    {
        let relation = difference.relation.as_ref();
        let itself = relation.filter(|name| is_unproven && moved.contains(name));
        let read = || may_depend_on(relation?, &moved, &[&texts.0, &texts.1]);
        match itself.or_else(read) {
            Some(table) => findings.pass_over(difference.subject(), moved_on(table)),
            None => findings.differences.push(difference),
        }
    }
    Ok(())
}

fn moved_on(table: &QualifiedName) -> String {
    format!(
        "the source has moved on: {table} changed there since the export, which may be why it is \
         another answer; look again on a source that is fenced or quiet, after a new export"
    )
}

/// What is written in the policies, functions and views of a side.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// By relation: policies, and what a view selects.
    relations: BTreeMap<QualifiedName, String>,
    /// By name, whatever the schema: bodies of functions.
    functions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Text {
    schema: String,
    name: String,
    text: String,
}

/// Reads them.
pub(crate) async fn texts(session: &mut Session, policies: &Policies) -> Result<Texts> {
    let mut texts = Texts::default();
    for (relation, policies) in policies {
        for policy in policies {
            add(texts.relations.entry(relation.clone()), &policy.text());
        }
    }
    let views: Vec<Text> = session.fetch(VIEWS, &[]).await?;
    for view in views {
        let name = QualifiedName::new(view.schema, view.name);
        add(texts.relations.entry(name), &view.text);
    }
    let functions: Vec<Text> = session.fetch(FUNCTIONS, &[]).await?;
    for function in functions {
        add(texts.functions.entry(function.name), &function.text);
    }
    Ok(texts)
}

fn add<K: Ord>(entry: std::collections::btree_map::Entry<'_, K, String>, text: &str) {
    let all = entry.or_default();
    all.push('\n');
    all.push_str(&text.to_lowercase());
}

const VIEWS: &str = "
    select n.nspname as schema, c.relname as name,
           coalesce(pg_catalog.pg_get_viewdef(c.oid), '') as text
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('v', 'm') and n.nspname not in ('pg_catalog', 'information_schema')";

const FUNCTIONS: &str = "
    select n.nspname as schema, p.proname as name,
           pg_catalog.concat(p.prosrc, ' ', pg_catalog.pg_get_function_sqlbody(p.oid)) as text
      from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      join pg_catalog.pg_language l on l.oid = p.prolang
     where n.nspname not in ('pg_catalog', 'information_schema')
       and l.lanname not in ('c', 'internal')";

/// A table that has moved on and that the policies of a relation may read, if there is one.
///
/// Names are looked for as plain text, in policies and in whatever functions and views they name:
/// rather one too many than one too few. What puts SQL together while it runs may read anything.
pub(crate) fn may_depend_on<'m>(
    relation: &QualifiedName,
    moved: &'m BTreeSet<QualifiedName>,
    texts: &[&Texts],
) -> Option<&'m QualifiedName> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut waiting: Vec<&str> = texts
        .iter()
        .filter_map(|texts| texts.relations.get(relation))
        .map(String::as_str)
        .collect();
    while let Some(text) = waiting.pop() {
        let names = |name: &str| text.contains(&name.to_lowercase());
        if names("execute ") || names("query_to_xml") {
            return moved.first();
        }
        if let Some(table) = moved.iter().find(|table| names(&table.name)) {
            return Some(table);
        }
        for texts in texts {
            let functions = texts.functions.iter();
            let relations = texts
                .relations
                .iter()
                .map(|(name, text)| (&name.name, text));
            for (name, other) in functions.chain(relations) {
                if names(name) && seen.insert(other) {
                    waiting.push(other);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> QualifiedName {
        QualifiedName::new("public", text)
    }

    fn world() -> Texts {
        let mut texts = Texts::default();
        let relations = [
            ("documents", "private.is_member(team)"),
            ("profiles", "(id = auth.uid())"),
            ("rooms", "exists (select from my_rooms)"),
            ("my_rooms", "select from Room_Keys"),
            ("anything", "public.dynamic(id)"),
        ];
        for (relation, text) in relations {
            add(texts.relations.entry(name(relation)), text);
        }
        let functions = [
            ("is_member", "select from Team_Members m"),
            ("uid", "select current_setting('request.jwt.claim.sub')"),
            ("dynamic", "begin execute format('select from %I', x); end"),
        ];
        for (function, text) in functions {
            add(texts.functions.entry(function.to_owned()), text);
        }
        texts
    }

    #[test]
    fn what_a_policy_reads_is_found_through_functions_and_views() {
        let texts = world();
        let depends = |relation: &str, moved: &[&str]| {
            let moved: BTreeSet<QualifiedName> = moved.iter().map(|text| name(text)).collect();
            may_depend_on(&name(relation), &moved, &[&texts]).is_some()
        };
        assert!(depends("documents", &["team_members"]));
        assert!(!depends("documents", &["logs"]));
        assert!(!depends("profiles", &["team_members", "profiles"]));
        assert!(depends("rooms", &["room_keys"]));
        assert!(depends("anything", &["logs"]));
        assert!(!depends("anything", &[]));
        assert!(!depends("without policies", &["team_members"]));
    }
}
