//! One subject at a time, on both sides.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::access::{
    AccessDifference, AccessOperation, AccessOutcome, AccessRow, NotLookedAt, WriteAttempts,
};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::event::Stage;
use towpath_model::name::quote_identifier;
use towpath_model::{QualifiedName, Result};

use crate::access::attempt::{self, Effects};
use crate::access::moved::Texts;
use crate::access::policy::Policies;
use crate::access::privileges::{Held, RolePrivileges};
use crate::access::refused::{Answer, Refused};
use crate::access::relation::{Identity, Relation, RelationKind};
use crate::access::standpoint::Standpoint;
use crate::access::subject::Subject;
use crate::access::visible::{Both, OneSided, count, seen};
use crate::options::VerifyContext;

/// What is known of both sides before anybody is taken on.
pub(crate) struct Known {
    pub(crate) context: VerifyContext,
    pub(crate) source: ConnectionUrl,
    pub(crate) target: ConnectionUrl,
    pub(crate) relations: Vec<Relation>,
    /// Of source and target, by role.
    pub(crate) privileges: BTreeMap<String, (RolePrivileges, RolePrivileges)>,
    /// Of source and target.
    pub(crate) policies: (Policies, Policies),
    /// What attempts to write may bring about; empty where none are made.
    pub(crate) effects: (Effects, Effects),
    pub(crate) texts: (Texts, Texts),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) roles: BTreeSet<String>,
    pub(crate) visible_sets: u64,
    pub(crate) writes: u64,
    pub(crate) not_looked_at: BTreeSet<NotLookedAt>,
    pub(crate) differences: Vec<AccessDifference>,
    /// Differences that rows may explain: what they are is decided when everybody has been looked
    /// at, since the source may move on meanwhile.
    pub(crate) in_doubt: Vec<InDoubt>,
}

/// A difference that stands unless the source has moved on.
#[derive(Debug)]
pub(crate) struct InDoubt {
    pub(crate) difference: AccessDifference,
    /// Whether both sides hold its rows alike could not be looked at.
    pub(crate) is_unproven: bool,
}

impl Findings {
    pub(crate) fn add(&mut self, other: Self) {
        self.roles.extend(other.roles);
        self.visible_sets += other.visible_sets;
        self.writes += other.writes;
        self.not_looked_at.extend(other.not_looked_at);
        self.differences.extend(other.differences);
        self.in_doubt.extend(other.in_doubt);
    }

    pub(crate) fn pass_over(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.not_looked_at.insert(NotLookedAt {
            what: what.into(),
            reason: reason.into(),
        });
    }
}

impl Known {
    /// Privileges of a role on both sides.
    pub(crate) fn held(&self, role: &str, relation: &QualifiedName) -> (Held, Held) {
        self.privileges
            .get(role)
            .map(|(source, target)| (source.on(relation), target.on(relation)))
            .unwrap_or_default()
    }
}

/// Compares everything that a subject sees and may do.
pub(crate) async fn compare(known: &Known, subject: &Subject) -> Result<Findings> {
    let mut findings = Findings::default();
    let context = &known.context;
    let words = subject.shown().words();
    context
        .events
        .note(Stage::Verify, format!("access of {words}"));
    let (source, target) = tokio::try_join!(
        Standpoint::of(context, &known.source, Side::Source, subject, false),
        Standpoint::of(context, &known.target, Side::Target, subject, false),
    )?;
    let (mut source, mut target) = match (source, target) {
        (Ok(source), Ok(target)) => (source, target),
        (source, target) => {
            not_taken_on(subject, source.err(), target.err(), &mut findings);
            return Ok(findings);
        }
    };
    findings.roles.insert(subject.role.clone());
    let mut view = View::new(known, subject, &mut source, &mut target, &mut findings).await?;
    for relation in &known.relations {
        context.stop.check()?;
        if view.may_differ(relation) {
            view.relation(relation).await?;
        }
    }
    source.close().await;
    target.close().await;
    if context.options.access.writes == WriteAttempts::RollBack {
        attempt::compare(known, subject, &mut findings).await?;
    }
    Ok(findings)
}

/// SQLSTATE of `SET ROLE` to one that is not there (`check_role` in `commands/variable.c`).
const NO_SUCH_ROLE: &str = "22023";

fn not_taken_on(
    subject: &Subject,
    source: Option<Refused>,
    target: Option<Refused>,
    findings: &mut Findings,
) {
    let shown = subject.shown();
    let is_gone = |refused: &Option<Refused>| {
        refused
            .as_ref()
            .is_some_and(|refused| refused.code == NO_SUCH_ROLE)
    };
    if is_gone(&target) && !is_gone(&source) {
        let outcome = |refused: Option<Refused>| {
            refused.map_or(AccessOutcome::Allowed, |refused| refused.outcome())
        };
        findings.differences.push(AccessDifference {
            role: shown.role,
            claims: shown.claims,
            relation: None,
            operation: AccessOperation::SetRole,
            source: outcome(source),
            target: outcome(target),
            only_source: 0,
            only_target: 0,
            at_least: false,
            rows: Vec::new(),
        });
        return;
    }
    let sides = match (&source, &target) {
        (Some(_), Some(_)) => "source and target",
        (Some(_), None) => "source",
        _ => "target",
    };
    let code = source.or(target).map(|refused| refused.code);
    findings.pass_over(
        shown.words(),
        format!(
            "the login may not take the role on, on {sides} (SQLSTATE {}); its privileges were compared",
            code.unwrap_or_default()
        ),
    );
}

/// A subject on both sides.
pub(crate) struct View<'v> {
    pub(crate) known: &'v Known,
    pub(crate) subject: &'v Subject,
    pub(crate) source: &'v mut Standpoint,
    pub(crate) target: &'v mut Standpoint,
    pub(crate) findings: &'v mut Findings,
    /// Relations whose row-level security the subject is under, on source and target.
    pub(crate) under_security: (BTreeSet<QualifiedName>, BTreeSet<QualifiedName>),
}

/// What both sides said to the same question.
type Pair<T> = (Answer<T>, Answer<T>);

impl<'v> View<'v> {
    pub(crate) async fn new(
        known: &'v Known,
        subject: &'v Subject,
        source: &'v mut Standpoint,
        target: &'v mut Standpoint,
        findings: &'v mut Findings,
    ) -> Result<Self> {
        let under_security = tokio::try_join!(under_security(source), under_security(target))?;
        Ok(Self {
            known,
            subject,
            source,
            target,
            findings,
            under_security,
        })
    }

    /// Whether there is anything to ask that was not asked before: without row-level security on
    /// either side claims change nothing, and whoever has no privilege at all is refused all.
    pub(crate) fn may_differ(&self, relation: &Relation) -> bool {
        let (source, target) = &self.under_security;
        let is_under = source.contains(&relation.name) || target.contains(&relation.name);
        let (ours, theirs) = self.known.held(&self.subject.role, &relation.name);
        (is_under || self.subject.is_first) && !(ours.is_empty() && theirs.is_empty())
    }

    async fn relation(&mut self, relation: &Relation) -> Result<()> {
        if relation.kind == RelationKind::Other {
            return Ok(());
        }
        let (held, theirs) = self.known.held(&self.subject.role, &relation.name);
        let may_read =
            |column: &str| held.covers("select", column) && theirs.covers("select", column);
        let identity = relation.identity(may_read);
        let may_update =
            |column: &str| held.covers("update", column) && theirs.covers("update", column);
        let column = relation.changeable(may_update);
        let column = column.or(relation.columns.first());
        let questions = questions(relation, &identity, column);
        let outcomes = self.explain(&questions).await?;
        let mut open = BTreeSet::new();
        for ((operation, _), pair) in questions.iter().zip(outcomes) {
            if *operation != AccessOperation::Select {
                self.findings.writes += 1;
            }
            if matches!(pair, (Ok(()), Ok(()))) {
                open.insert(*operation);
            } else if let Some(difference) = self.refused(relation, *operation, pair) {
                self.findings.differences.push(difference);
            }
        }
        if relation.kind == RelationKind::Table {
            self.rows(relation, &identity, &open).await?;
            open.remove(&AccessOperation::Select);
            if !open.is_empty() {
                self.policies(relation, &open).await?;
            }
        }
        self.let_go().await
    }

    /// Lets locks on a relation go before the next one is looked at: whoever waits for one has
    /// others waiting behind.
    pub(crate) async fn let_go(&mut self) -> Result<()> {
        tokio::try_join!(self.source.undo(), self.target.undo()).map(|_| ())
    }

    /// Asks each side for the plans of all statements at once, and only where it refuses one by
    /// one. To explain is to check privileges, policies' recursion and what functions are called,
    /// without running anything.
    async fn explain(&mut self, questions: &[(AccessOperation, String)]) -> Result<Vec<Pair<()>>> {
        let (source, target) = tokio::try_join!(
            explain_on(self.source, questions),
            explain_on(self.target, questions)
        )?;
        Ok(source.into_iter().zip(target).collect())
    }

    /// The difference between what both sides said, if it is one.
    pub(crate) fn refused(
        &mut self,
        relation: &Relation,
        operation: AccessOperation,
        (source, target): Pair<()>,
    ) -> Option<AccessDifference> {
        let of_the_moment = [&source, &target]
            .into_iter()
            .filter_map(|answer| answer.as_ref().err())
            .find(|refused| refused.is_of_the_moment());
        if let Some(refused) = of_the_moment {
            self.pass_over(relation, operation, &refused.reason());
            return None;
        }
        (source != target).then(|| {
            let (source, target) = (outcome(source.err()), outcome(target.err()));
            self.difference(relation, operation, source, target)
        })
    }

    /// The same for what was refused while rows were read: they may be the reason.
    pub(crate) fn refused_while_running(
        &mut self,
        relation: &Relation,
        operation: AccessOperation,
        pair: Pair<()>,
    ) {
        if let Some(difference) = self.refused(relation, operation, pair) {
            self.findings.in_doubt.push(InDoubt {
                difference,
                is_unproven: false,
            });
        }
    }

    fn difference(
        &self,
        relation: &Relation,
        operation: AccessOperation,
        source: AccessOutcome,
        target: AccessOutcome,
    ) -> AccessDifference {
        AccessDifference {
            role: self.subject.role.clone(),
            claims: self.subject.label.clone(),
            relation: Some(relation.name.clone()),
            operation,
            source,
            target,
            only_source: 0,
            only_target: 0,
            at_least: false,
            rows: Vec::new(),
        }
    }

    pub(crate) fn pass_over(
        &mut self,
        relation: &Relation,
        operation: AccessOperation,
        reason: &str,
    ) {
        let what = format!(
            "{}: {} on {}",
            self.subject.shown().words(),
            operation.label(),
            relation.name
        );
        self.findings.pass_over(what, reason);
    }

    /// Compares the rows that are seen.
    async fn rows(
        &mut self,
        relation: &Relation,
        identity: &Identity,
        open: &BTreeSet<AccessOperation>,
    ) -> Result<()> {
        const READ: AccessOperation = AccessOperation::Select;
        if !open.contains(&READ) {
            return Ok(());
        }
        let is_large = relation.rows > self.known.context.options.access.rows;
        if is_large && (relation.sample.is_none() || *identity != Identity::Key) {
            let reason = "more rows than `verify.access_rows`, and no key to take some by";
            self.pass_over(relation, READ, reason);
            return Ok(());
        }
        let key = *self.known.context.key.bytes();
        let query = relation.lines(identity);
        let (source, target) = tokio::try_join!(
            seen(self.source, &key, &query),
            seen(self.target, &key, &query)
        )?;
        self.findings.visible_sets += 1;
        let (source, target) = match (source, target) {
            (Ok(source), Ok(target)) => (source, target),
            (source, target) => {
                let pair = (source.map(|_| ()), target.map(|_| ()));
                self.refused_while_running(relation, READ, pair);
                return Ok(());
            }
        };
        if source.all == target.all {
            return Ok(());
        }
        let counts = (source.all.rows, target.all.rows);
        let mut both = Both {
            source: self.source,
            target: self.target,
        };
        let found = both
            .one_sided(&key, relation, identity, (&source, &target))
            .await?;
        match found {
            Ok(found) => self.tell(relation, identity, READ, counts, found),
            Err(refused) => self.pass_over(relation, READ, &refused.reason()),
        }
        Ok(())
    }

    /// Enters rows that one side lets through and the other does not.
    pub(crate) fn tell(
        &mut self,
        relation: &Relation,
        identity: &Identity,
        operation: AccessOperation,
        counts: (u64, u64),
        found: OneSided,
    ) {
        if found.some_moved {
            self.findings.pass_over(
                relation.name.to_string(),
                "rows that source and target do not hold alike: who sees them is not compared",
            );
        }
        if found.is_empty() {
            return;
        }
        let outcome = |rows| AccessOutcome::Rows { rows };
        let mut difference =
            self.difference(relation, operation, outcome(counts.0), outcome(counts.1));
        difference.only_source = count(&found.only_source);
        difference.only_target = count(&found.only_target);
        difference.at_least = found.at_least;
        let sides = [("source", found.only_source), ("target", found.only_target)];
        let named = sides.into_iter().flat_map(|(only_on, rows)| {
            rows.into_iter().map(move |row| AccessRow {
                only_on: only_on.to_owned(),
                key: match identity {
                    Identity::Key => relation.named(&row.line),
                    Identity::Columns(_) => Vec::new(),
                },
            })
        });
        difference.rows = named
            .filter(|row| !row.key.is_empty())
            .take(self.known.context.options.max_differences)
            .collect();
        self.findings.in_doubt.push(InDoubt {
            difference,
            is_unproven: found.is_unproven,
        });
    }
}

fn outcome(refused: Option<Refused>) -> AccessOutcome {
    refused.map_or(AccessOutcome::Allowed, |refused| refused.outcome())
}

/// Statements to explain.
fn questions(
    relation: &Relation,
    identity: &Identity,
    column: Option<&String>,
) -> Vec<(AccessOperation, String)> {
    let name = relation.name.quoted();
    if relation.kind != RelationKind::Table {
        let select = format!("explain select 1 from {name}");
        return vec![(AccessOperation::Select, select)];
    }
    let mut questions = vec![
        (
            AccessOperation::Select,
            format!("explain {}", relation.lines(identity)),
        ),
        (
            AccessOperation::Insert,
            format!("explain insert into {name} default values"),
        ),
        (
            AccessOperation::Delete,
            format!("explain delete from {name}"),
        ),
    ];
    if let Some(column) = column {
        let column = quote_identifier(column);
        questions.push((
            AccessOperation::Update,
            format!("explain update {name} set {column} = default"),
        ));
    }
    questions
}

async fn explain_on(
    standpoint: &mut Standpoint,
    questions: &[(AccessOperation, String)],
) -> Result<Vec<Answer<()>>> {
    let all: Vec<&str> = questions.iter().map(|(_, sql)| sql.as_str()).collect();
    if standpoint.attempt(&all.join("; ")).await?.is_ok() {
        return Ok(vec![Ok(()); questions.len()]);
    }
    let mut answers = Vec::with_capacity(questions.len());
    for (_, sql) in questions {
        answers.push(standpoint.attempt(sql).await?);
    }
    Ok(answers)
}

/// Relations whose row-level security the subject is under.
async fn under_security(standpoint: &mut Standpoint) -> Result<BTreeSet<QualifiedName>> {
    let sql = "select n.nspname as schema, c.relname as name
                 from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where c.relkind in ('r', 'p') and c.relrowsecurity
                  and pg_catalog.row_security_active(c.oid)";
    let answer: Answer<Vec<QualifiedName>> = standpoint.fetch(sql, &[]).await?;
    Ok(answer.unwrap_or_default().into_iter().collect())
}
