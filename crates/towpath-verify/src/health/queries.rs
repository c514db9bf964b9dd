//! The source's slowest queries, planned on both sides.
//!
//! Whether a text is a query that reads is the server's to say: it is prepared, in a transaction
//! that can change nothing, and its plan is looked at. Plans are those of a role that row-level
//! security lets through, under unknown parameters: the texts have lost their constants.

use std::collections::HashSet;

use towpath_model::health::{ComparedQuery, HealthCheck};
use towpath_model::structure::{ObjectKind, Structure};
use towpath_model::upkeep::TopQuery;
use towpath_model::{Failure, QualifiedName, Result};
use towpath_postgres::{Session, catalog::queries};

use super::facts::{Gathered, connect_source, connect_target};
use super::query_plan::{Both, Plan, regressions};
use super::{counted, not_looked_at, pass, warn};
use crate::options::VerifyContext;

const CHECK: &str = "queries";

/// Most of a platform's queries are its own and touch nothing that goes: that many more are read for
/// each that is wanted.
const READ_FOR_ONE: usize = 10;

/// SQLSTATE of a table that the login may not read.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// What came of it.
pub(super) struct Compared {
    pub check: HealthCheck,
    pub queries: Vec<ComparedQuery>,
}

impl Compared {
    fn nothing(why: impl Into<String>) -> Self {
        Self {
            check: not_looked_at(CHECK, why),
            queries: Vec::new(),
        }
    }
}

/// Compares plans where somebody agreed to the queries' being read.
pub(super) async fn compare(context: &VerifyContext, gathered: &Gathered<'_>) -> Result<Compared> {
    let wanted = context.options.health.queries;
    if wanted == 0 {
        return Ok(Compared::nothing(
            "texts of queries may hold personal data, so they are read with --explain-queries only",
        ));
    }
    let mut source = match Box::pin(connect_source(context)).await {
        Ok(session) => session,
        Err(failure) => {
            return Ok(Compared::nothing(format!(
                "the source was not asked: {failure}"
            )));
        }
    };
    let limit = wanted.saturating_mul(READ_FOR_ONE).min(5_000);
    let top = match queries::top_queries(&mut source, limit).await {
        Ok(Some(top)) => top,
        Ok(None) => {
            return Ok(Compared::nothing(
                "the source does not have the extension pg_stat_statements",
            ));
        }
        Err(failure) => {
            let why = told(&failure);
            return Ok(Compared::nothing(format!(
                "pg_stat_statements of the source cannot be read: {why}"
            )));
        }
    };
    let mut target = Box::pin(connect_target(context)).await?;
    let search_path = &context.plan.source.facts.search_path;
    queries::begin_planning(&mut source, search_path).await?;
    queries::begin_planning(&mut target, search_path).await?;
    let costs = queries::cost_settings(&mut source).await?;
    let same_costs = costs == queries::cost_settings(&mut target).await?;
    let mut comparison = Comparison {
        context,
        known: tables(&gathered.expected),
        costs: if same_costs { Vec::new() } else { costs },
        source,
        target,
    };
    let mut found = Vec::new();
    for query in &top {
        if found.iter().filter(|it| is_compared(it)).count() >= wanted {
            break;
        }
        context.stop.check()?;
        found.extend(Box::pin(comparison.one(query)).await?);
    }
    comparison.end().await?;
    Ok(Compared {
        check: verdict(&found, wanted),
        queries: found,
    })
}

fn is_compared(query: &ComparedQuery) -> bool {
    query.skipped.is_none()
}

/// Relations that a query may read and be found on the target.
fn tables(expected: &Structure) -> HashSet<QualifiedName> {
    let objects = expected.objects.keys();
    objects
        .filter(|id| {
            matches!(
                id.kind,
                ObjectKind::Table | ObjectKind::MaterializedView | ObjectKind::ForeignTable
            )
        })
        .filter_map(|id| Some(QualifiedName::new(id.schema.clone()?, id.name.clone())))
        .collect()
}

/// Two servers that plan the same queries.
struct Comparison<'c> {
    context: &'c VerifyContext,
    known: HashSet<QualifiedName>,
    /// The source's cost settings where the target's are others.
    costs: Vec<(String, String)>,
    source: Session,
    target: Session,
}

impl Comparison<'_> {
    /// Nothing for a query that is the platform's own, or the system's.
    async fn one(&mut self, query: &TopQuery) -> Result<Option<ComparedQuery>> {
        let text = &query.text;
        let on_source = match queries::explain(&mut self.source, text, &[]).await? {
            Ok(explained) => explained,
            Err(failure) if queries::sqlstate(&failure) == Some(INSUFFICIENT_PRIVILEGE) => {
                return Ok(None);
            }
            Err(failure) => return Ok(Some(self.skipped(query, &failure))),
        };
        let source = Plan::read(&on_source.plan);
        let relations = source.relations();
        if relations.is_empty() || relations.iter().any(|it| !self.known.contains(*it)) {
            return Ok(None);
        }
        let mut compared = ComparedQuery {
            tables: relations.iter().map(ToString::to_string).collect(),
            ..self.bare(query)
        };
        if source.writes() {
            compared.skipped = Some("it changes or locks rows".to_owned());
            return Ok(Some(compared));
        }
        let target = match queries::explain(&mut self.target, text, &[]).await? {
            Ok(explained) => Plan::read(&explained.plan),
            Err(failure) => {
                compared.source = Some(source.told(source.cost, None));
                compared
                    .regressions
                    .push(format!("cannot be planned: {}", told(&failure)));
                return Ok(Some(compared));
            }
        };
        let target_cost_alike = match self.costs.is_empty() {
            true => target.cost,
            false => queries::explain(&mut self.target, text, &self.costs)
                .await?
                .map_or(target.cost, |alike| Plan::read(&alike.plan).cost),
        };
        let (source_ms, target_ms) = match on_source.parameters {
            0 => self.times(text, &source, &target).await?,
            _ => (None, None),
        };
        let both = Both {
            source: &source,
            target: &target,
            target_cost_alike,
            source_ms,
            target_ms,
        };
        compared.regressions = regressions(&both, self.context.options.health.query_regression);
        compared.source = Some(source.told(source.cost, source_ms));
        compared.target = Some(target.told(target_cost_alike, target_ms));
        Ok(Some(compared))
    }

    /// How long a query takes on both sides, where that was asked for and changes nothing. The
    /// transaction refuses to write; what reaches out of the database, or waits, is volatile, and is
    /// refused by name, one name too many rather than one too few.
    async fn times(
        &mut self,
        text: &str,
        source: &Plan,
        target: &Plan,
    ) -> Result<(Option<f64>, Option<f64>)> {
        let is_wanted = self.context.options.health.analyze_queries;
        if !is_wanted || source.has_unknown_operators || target.has_unknown_operators {
            return Ok((None, None));
        }
        for (session, plan) in [(&mut self.source, source), (&mut self.target, target)] {
            if queries::any_volatile(session, &plan.functions).await? {
                return Ok((None, None));
            }
        }
        let source_ms = queries::time(&mut self.source, text).await?.ok();
        let target_ms = queries::time(&mut self.target, text).await?.ok();
        Ok((source_ms, target_ms))
    }

    fn skipped(&self, query: &TopQuery, failure: &Failure) -> ComparedQuery {
        ComparedQuery {
            skipped: Some(format!(
                "cannot be planned on the source: {}",
                told(failure)
            )),
            ..self.bare(query)
        }
    }

    fn bare(&self, query: &TopQuery) -> ComparedQuery {
        let shown = self.context.options.show_values;
        ComparedQuery {
            query: query.id.clone(),
            calls: query.calls,
            total_ms: query.total_ms,
            tables: Vec::new(),
            text: shown.then(|| query.text.clone()),
            source: None,
            target: None,
            regressions: Vec::new(),
            skipped: None,
        }
    }

    async fn end(mut self) -> Result<()> {
        self.source.rollback().await?;
        self.target.rollback().await?;
        self.source.close().await;
        self.target.close().await;
        Ok(())
    }
}

/// Why a server refused, without its message: that may quote the query.
fn told(failure: &Failure) -> String {
    match queries::sqlstate(failure) {
        Some("42601") => "its text cannot be parsed without its constants".to_owned(),
        Some("42P18") => "the type of a parameter is not known without its value".to_owned(),
        Some("42P01") => "a table is missing".to_owned(),
        Some("42703") => "a column is missing".to_owned(),
        Some("42883") => "a function or operator is missing".to_owned(),
        Some("42704") => "a type is missing".to_owned(),
        Some("42501") => {
            "a privilege is missing, or row-level security holds the login back".to_owned()
        }
        Some("55000") => "it is not in shared_preload_libraries".to_owned(),
        Some("55P03") => "a lock was not to be had".to_owned(),
        Some("57014") => "it took too long".to_owned(),
        Some(code) => format!("SQLSTATE {code}"),
        None => "the server did not answer as it should".to_owned(),
    }
}

fn verdict(found: &[ComparedQuery], wanted: usize) -> HealthCheck {
    let compared = found.iter().filter(|it| is_compared(it)).count();
    let skipped = match found.len() - compared {
        0 => String::new(),
        count => format!("; {count} more could not be compared"),
    };
    let all = format!(
        "{} of the {wanted} asked for, by total time on the source",
        match compared {
            1 => "1 query".to_owned(),
            many => format!("{many} queries"),
        }
    );
    let worse: Vec<String> = found
        .iter()
        .filter(|it| !it.regressions.is_empty())
        .map(|it| {
            let calls = usize::try_from(it.calls).unwrap_or(usize::MAX);
            format!(
                "query {} ({} on {}) {}",
                it.query,
                counted(calls, "call"),
                it.tables.join(", "),
                it.regressions.join("; ")
            )
        })
        .collect();
    match worse.is_empty() {
        true if compared == 0 => not_looked_at(
            CHECK,
            format!("pg_stat_statements holds no query on tables that went{skipped}"),
        ),
        true => pass(
            CHECK,
            format!("{all}, are planned alike on both sides{skipped}"),
        ),
        false => warn(
            CHECK,
            &format!("{all}; worse on the target{skipped}"),
            worse,
            "the evidence has both plans; look for a missing index or missing statistics, then at the cost settings of the parameter group",
        ),
    }
}
