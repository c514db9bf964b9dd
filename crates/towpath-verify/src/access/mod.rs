//! Whether roles may do on the target what they may do on the source.
//!
//! Each role that goes is taken on, with each set of claims, on both sides: in a transaction that
//! reads and is rolled back. What is refused is compared by SQLSTATE; what is seen, by the digest of
//! its keys; what may be written, by plans and by asking the policies about the same rows. Nothing
//! is written unless that is wanted (`attempt`).
//!
//! The measure is the source, which may be in use: rows that both sides do not hold alike are left
//! out, and where a policy may have read a table that has moved on, nothing is claimed (`moved`).

mod attempt;
mod looking;
mod moved;
mod options;
mod policy;
mod privileges;
mod refused;
mod relation;
mod standpoint;
mod subject;
mod visible;
mod writing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use tokio::task::JoinSet;
use towpath_model::access::{
    AccessDifference, AccessOperation, AccessOutcome, AccessProof, SampledRelation, WriteAttempts,
};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::schema::ExpectedStructure;
use towpath_model::{ErrorKind, Failure, QualifiedName, Result};
use towpath_postgres::Session;

use crate::access::attempt::Effects;
use crate::access::looking::{Findings, Known};
use crate::access::privileges::{RolePrivileges, privileges};
use crate::access::relation::{Relation, RelationKind};
use crate::access::subject::Subject;
use crate::options::VerifyContext;

pub use options::{AccessClaims, AccessOptions};

/// Subjects looked at at once, each with a session on either side.
const AT_ONCE: usize = 4;

/// Keys of a relation that is not read whole.
const SAMPLED_KEYS: u64 = 2000;

/// Compares what everybody sees and may do on both sides.
pub(crate) async fn check(context: &VerifyContext) -> Result<AccessProof> {
    let (source, target) = (context.source()?, context.target()?);
    let mut proof = AccessProof {
        write_attempts: context.options.access.writes,
        ..AccessProof::default()
    };
    let mut findings = Findings::default();
    let (known, subjects) = Box::pin(survey(context, source, target, &mut findings)).await?;
    for relation in &known.relations {
        proof.empty += u64::from(relation.kind == RelationKind::Table && relation.rows == 0);
        proof
            .sampled
            .extend(relation.sample.as_ref().map(|keys| SampledRelation {
                relation: relation.name.clone(),
                rows: relation.rows,
                looked_at: keys.len() as u64,
            }));
    }
    proof.relations = known.relations.len() as u64;
    proof.subjects = subjects.iter().map(Subject::shown).collect();
    let known = Arc::new(known);
    findings.add(all_subjects(Arc::clone(&known), subjects).await?);
    Box::pin(moved::decide(context, source, &known.texts, &mut findings)).await?;
    proof.roles = findings.roles.into_iter().collect();
    proof.visible_sets = findings.visible_sets;
    proof.writes = findings.writes;
    proof.not_looked_at = findings.not_looked_at.into_iter().collect();
    proof.differences = findings.differences;
    proof.differences.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(proof)
}

fn order(difference: &AccessDifference) -> (&str, &str, Option<&QualifiedName>, AccessOperation) {
    (
        &difference.role,
        &difference.claims,
        difference.relation.as_ref(),
        difference.operation,
    )
}

/// Takes everybody on, some at once.
async fn all_subjects(known: Arc<Known>, subjects: Vec<Subject>) -> Result<Findings> {
    let jobs = known.context.options.jobs.clamp(1, AT_ONCE);
    let shared = Arc::new((known, subjects, AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..jobs.min(shared.1.len()) {
        let shared = Arc::clone(&shared);
        workers.spawn(async move {
            let (known, subjects, next) = &*shared;
            let mut findings = Findings::default();
            while let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                findings.add(Box::pin(looking::compare(known, subject)).await?);
            }
            Ok::<_, Failure>(findings)
        });
    }
    let mut all = Findings::default();
    while let Some(joined) = workers.join_next().await {
        let found = joined.map_err(|panic| {
            Failure::new(ErrorKind::Internal, "a worker of the verification panicked")
                .because(panic)
        })??;
        all.add(found);
    }
    Ok(all)
}

/// Reads, as the logins, everything that does not depend on who looks.
async fn survey(
    context: &VerifyContext,
    source_url: &ConnectionUrl,
    target_url: &ConnectionUrl,
    findings: &mut Findings,
) -> Result<(Known, Vec<Subject>)> {
    let (wanted, roles) = {
        let expected: ExpectedStructure = context
            .store
            .require_document("schema/expected.json")
            .await?;
        relation::expected(&context.options.left_alone.expected(expected.structure))
    };
    let mut source = standpoint::login(context, source_url, Side::Source).await?;
    let mut target = standpoint::login(context, target_url, Side::Target).await?;
    let relations = both_have(context, &wanted, &mut source, &mut target, findings).await?;
    let policies = (
        policy::policies(&mut source).await?,
        policy::policies(&mut target).await?,
    );
    let texts = (
        moved::texts(&mut source, &policies.0).await?,
        moved::texts(&mut target, &policies.1).await?,
    );
    let options = &context.options.access;
    let effects = match options.writes {
        WriteAttempts::Explain => (Effects::default(), Effects::default()),
        WriteAttempts::RollBack => (
            attempt::effects(&mut source).await?,
            attempt::effects(&mut target).await?,
        ),
    };
    let users = subject::users(&mut source, &mut target, options.users).await?;
    let subjects = subject::subjects(&roles, users, options);
    let held = all_privileges(&subjects, &mut source, &mut target, findings).await?;
    compare_privileges(&held, &relations, findings);
    source.close().await;
    target.close().await;
    let known = Known {
        context: context.clone(),
        source: source_url.clone(),
        target: target_url.clone(),
        relations,
        privileges: held,
        policies,
        effects,
        texts,
    };
    Ok((known, subjects))
}

/// Relations of both sides; those that the target lacks are differences for everybody.
async fn both_have(
    context: &VerifyContext,
    wanted: &BTreeSet<QualifiedName>,
    source: &mut Session,
    target: &mut Session,
    findings: &mut Findings,
) -> Result<Vec<Relation>> {
    let mut rows: HashMap<QualifiedName, u64> = HashMap::new();
    for (table_no, table) in context.plan.tables.iter().enumerate() {
        rows.insert(table.name.clone(), context.exported(table_no)?.digest.rows);
    }
    let on_source = relation::relations(source, &context.plan, &rows).await?;
    let mut on_target = relation::relations(target, &context.plan, &rows).await?;
    let mut both = Vec::new();
    for (name, ours) in on_source {
        if !wanted.contains(&name) {
            continue;
        }
        let Some(theirs) = on_target.remove(&name) else {
            findings.differences.push(gone(name));
            continue;
        };
        let columns = common(&ours.columns, &theirs.columns);
        let is_short = columns.len() < ours.columns.len().max(theirs.columns.len());
        let mut relation = Relation {
            leaves_columns_out: theirs.leaves_columns_out || is_short,
            columns,
            ..theirs
        };
        if ours.key != relation.key {
            relation.key.clear();
        }
        let is_large = relation.rows > context.options.access.rows;
        if is_large && relation.kind == RelationKind::Table && !relation.key.is_empty() {
            relation.sample = sample(target, &relation).await?;
        }
        both.push(relation);
    }
    Ok(both)
}

/// Keys to look at, where the login may read them: not under row-level security that is forced.
async fn sample(target: &mut Session, relation: &Relation) -> Result<Option<Vec<String>>> {
    target.execute("savepoint sampling").await?;
    let sql = relation.sample_of_keys(SAMPLED_KEYS);
    let lines: Result<Vec<Line>> = target.fetch(&sql, &[]).await;
    target.execute("rollback to savepoint sampling").await?;
    match lines {
        Ok(lines) => Ok(Some(lines.into_iter().map(|line| line.line).collect())),
        Err(failure) => refused::refused::<()>(failure).map(|_| None),
    }
}

#[derive(Deserialize)]
struct Line {
    line: String,
}

fn common(ours: &[String], theirs: &[String]) -> Vec<String> {
    let both = ours.iter().filter(|column| theirs.contains(column));
    both.cloned().collect()
}

fn gone(relation: QualifiedName) -> AccessDifference {
    AccessDifference {
        role: "public".to_owned(),
        claims: String::new(),
        relation: Some(relation),
        operation: AccessOperation::Select,
        source: AccessOutcome::Allowed,
        target: AccessOutcome::Refused {
            code: "42P01".to_owned(),
        },
        only_source: 0,
        only_target: 0,
        at_least: false,
        rows: Vec::new(),
    }
}

type Privileges = BTreeMap<String, (RolePrivileges, RolePrivileges)>;

/// Of every role that is to be taken on and that both sides have.
async fn all_privileges(
    subjects: &[Subject],
    source: &mut Session,
    target: &mut Session,
    findings: &mut Findings,
) -> Result<Privileges> {
    let roles: BTreeSet<&str> = subjects.iter().map(|s| s.role.as_str()).collect();
    let mut held = Privileges::new();
    for role in roles {
        let there = (has_role(source, role).await?, has_role(target, role).await?);
        if there != (true, true) {
            let sides = match there {
                (false, false) => "neither side has it",
                (false, true) => "the source does not have it",
                _ => "the target does not have it",
            };
            findings.pass_over(format!("privileges of {role}"), sides);
            continue;
        }
        let both = (
            privileges(source, role).await?,
            privileges(target, role).await?,
        );
        held.insert(role.to_owned(), both);
    }
    Ok(held)
}

async fn has_role(session: &mut Session, role: &str) -> Result<bool> {
    let sql = "select rolname::pg_catalog.text from pg_catalog.pg_roles where rolname = $1";
    Ok(session.scalar(sql, &[role]).await?.is_some())
}

fn compare_privileges(held: &Privileges, relations: &[Relation], findings: &mut Findings) {
    for (role, (source, target)) in held {
        for relation in relations {
            let (ours, theirs) = (source.on(&relation.name), target.on(&relation.name));
            if ours.words() == theirs.words() {
                continue;
            }
            let has = |held: &privileges::Held| AccessOutcome::Has {
                privileges: held.words(),
            };
            findings.differences.push(AccessDifference {
                role: role.clone(),
                claims: String::new(),
                relation: Some(relation.name.clone()),
                operation: AccessOperation::Privileges,
                source: has(&ours),
                target: has(&theirs),
                only_source: 0,
                only_target: 0,
                at_least: false,
                rows: Vec::new(),
            });
        }
    }
}
