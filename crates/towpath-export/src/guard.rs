//! Watches the load of the source while its rows are read, and holds the workers back.
//!
//! One session of its own takes readings; between them nothing is asked. While a limit is exceeded
//! no worker begins a chunk, and one in the middle of a chunk stops reading, so that the server's
//! session waits for the network. The snapshot is kept alive all the while.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use towpath_model::connection::Side;
use towpath_model::event::Stage;
use towpath_model::failure::Retry;
use towpath_model::name::quote_literal;
use towpath_model::stop::Stop;
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;

use crate::limits::{Limit, Reading, SourceLimits, Step, Throttle};
use crate::options::ExportContext;

/// Time between readings.
const EVERY: Duration = Duration::from_secs(2);

/// How often a pause is spoken of.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How long a reading may take before it fails: the guard must not be a burden itself.
const READING: &str = "10s";

/// How often a reading is tried when its connection breaks.
const ATTEMPTS: u32 = 3;

/// How soon a waiting worker notices that it should stop.
const LISTEN: Duration = Duration::from_millis(200);

/// Client sessions that run something now, and how many this login may not look into
/// (PostgreSQL manual, "Cumulative Statistics System": others' activity is for `pg_read_all_stats`).
const SESSIONS: &str = "
    select pg_catalog.concat_ws(' ',
               pg_catalog.count(*) filter (where a.query = '<insufficient privilege>'
                                              or a.state = 'disabled'),
               pg_catalog.count(*) filter (where a.backend_type = 'client backend'
                                             and a.state in ('active', 'fastpath function call')))
      from pg_catalog.pg_stat_activity a
     where a.pid <> pg_catalog.pg_backend_pid()
       and a.usesysid is not null
       and a.datid is not null
       and a.application_name not like 'towpath/%'";

/// The slot that keeps the most WAL or the standby that has replayed the least; before it, how many
/// standbys this login may not look into.
const LAG_BYTES: &str = "
    select pg_catalog.concat_ws(' ',
               (select pg_catalog.count(*)
                  from pg_catalog.pg_stat_replication r
                 where r.state is null),
               coalesce(worst.bytes, 0),
               worst.who)
      from (select) as always
      left join (
            select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::int8
                       as bytes,
                   'slot ' || s.slot_name as who
              from pg_catalog.pg_replication_slots s
             where s.restart_lsn is not null
             union all
            select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.replay_lsn)::int8,
                   'standby ' || r.application_name
              from pg_catalog.pg_stat_replication r
             where r.replay_lsn is not null
             order by 1 desc
             limit 1) as worst on true";

/// The same by time, which slots do not tell. A standby that has caught up has no lag.
const LAG_MS: &str = "
    select pg_catalog.concat_ws(' ',
               (select pg_catalog.count(*)
                  from pg_catalog.pg_stat_replication r
                 where r.state is null),
               coalesce(worst.ms, 0),
               worst.who)
      from (select) as always
      left join (
            select (extract(epoch from r.replay_lag) * 1000)::int8 as ms,
                   'standby ' || r.application_name as who
              from pg_catalog.pg_stat_replication r
             where r.replay_lag is not null
             order by 1 desc
             limit 1) as worst on true";

/// How the source is guarded.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What it may be asked to bear.
    pub limits: SourceLimits,
    /// The longest pause. The snapshot is held meanwhile, and keeps the source from cleaning up
    /// behind its own writes: a pause without an end would do more harm than the reading.
    pub max_pause: Duration,
}

/// Where workers wait while the source has too much to do. Open where nobody guards it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Option<watch::Receiver<bool>>);

impl Gate {
    /// Waits until it is open, or until all should stop.
    pub(crate) async fn pass(&self, stop: &Stop) -> Result<()> {
        let Some(open) = &self.0 else { return Ok(()) };
        // Asked for each mebibyte: no more than a look while all is well.
        if *open.borrow() {
            return Ok(());
        }
        let mut open = open.clone();
        loop {
            stop.check()?;
            let opened = tokio::time::timeout(LISTEN, open.wait_for(|open| *open)).await;
            match opened.map(|open| open.is_ok()) {
                Ok(true) => return Ok(()),
                // The guard has failed, and all are about to be stopped.
                Ok(false) => tokio::time::sleep(LISTEN).await,
                Err(_) => {}
            }
        }
    }
}

/// The context with its gate, and what must be polled for it to open and close: that ends only by
/// failing. Workers pass no sooner than the first reading allows.
pub(crate) fn guarded(
    context: &ExportContext,
) -> (
    ExportContext,
    impl Future<Output = Result<Infallible>> + Send,
) {
    let guard = context.options.guard.clone();
    let (opens, open) = watch::channel(false);
    let mut context = context.clone();
    context.gate = Gate(guard.is_some().then_some(open));
    let watched = context.clone();
    let watching = async move {
        match guard {
            None => std::future::pending().await,
            Some(guard) => keep_watch(&watched, &guard, &opens).await,
        }
    };
    (context, watching)
}

async fn keep_watch(
    context: &ExportContext,
    guard: &Guard,
    opens: &watch::Sender<bool>,
) -> Result<Infallible> {
    let began = Instant::now();
    let mut throttle = Throttle::default();
    let mut said = Duration::ZERO;
    let mut session = context.connect_guard().await?;
    let note = |text| context.events.note(Stage::Export, text);
    loop {
        let readings = read_again(context, guard, &mut session).await?;
        let now = began.elapsed();
        let pause = throttle.paused_for(now);
        match throttle.take(&readings, now) {
            Step::Work => {
                opens.send_replace(true);
            }
            Step::Pause(reason) => {
                opens.send_replace(false);
                said = now;
                note(format!("paused: {reason}"));
            }
            Step::Wait(reason) => {
                let pause = pause.unwrap_or_default();
                if pause > guard.max_pause {
                    return Err(too_long(guard, &reason));
                }
                if now.saturating_sub(said) >= SAY_EVERY {
                    said = now;
                    note(format!(
                        "still paused after {} s: {reason}",
                        pause.as_secs()
                    ));
                }
            }
            Step::Resume(reason) => {
                let pause = pause.unwrap_or_default();
                note(format!("resumed after {} s: {reason}", pause.as_secs()));
                opens.send_replace(true);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn too_long(guard: &Guard, reason: &str) -> Failure {
    Failure::new(
        ErrorKind::SourceBusy,
        format!(
            "the source was above its limit for more than {} s: {reason}",
            guard.max_pause.as_secs()
        ),
    )
    .hint("the same command resumes, best at a quieter hour; or raise --max-source-load or source.max_pause_s")
}

/// One set of readings, on a new connection when the old one breaks.
async fn read_again(
    context: &ExportContext,
    guard: &Guard,
    session: &mut Session,
) -> Result<Vec<Reading>> {
    let mut attempt = 1;
    loop {
        match read(context, guard, session).await {
            Err(failure) if failure.kind().retry() == Retry::Later && attempt < ATTEMPTS => {
                tracing::warn!(?failure, attempt, "asking for the load on a new connection");
                attempt += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
                *session = context.connect_guard().await?;
            }
            other => {
                return other.map_err(|failure| {
                    failure.while_doing("could not tell the load of the source")
                });
            }
        }
    }
}

/// Each time in a transaction of its own: within one, the server shows the same statistics again.
async fn read(
    context: &ExportContext,
    guard: &Guard,
    session: &mut Session,
) -> Result<Vec<Reading>> {
    let begin = format!("begin read only; set local statement_timeout = '{READING}'");
    session.execute(&begin).await?;
    let mut readings = Vec::new();
    for limit in &guard.limits.limits {
        readings.extend(measure(session, *limit).await?);
    }
    if let Some(query) = &guard.limits.query {
        session
            .use_search_path(&context.plan.source.facts.search_path)
            .await?;
        readings.push(ask(session, query, &guard.limits).await?);
    }
    session.rollback().await?;
    Ok(readings)
}

async fn measure(session: &mut Session, limit: Limit) -> Result<Option<Reading>> {
    let sql = match limit {
        Limit::Sessions(_) => SESSIONS,
        Limit::LagBytes(_) => LAG_BYTES,
        Limit::LagMs(_) => LAG_MS,
        Limit::Query(_) => return Ok(None),
    };
    let answer = session.scalar(sql, &[]).await?.unwrap_or_default();
    let mut parts = answer.splitn(3, ' ');
    let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
    let (Some(hidden), Some(found)) = (number(), number()) else {
        return Err(Failure::new(
            ErrorKind::Internal,
            "the source answered its load in another form",
        ));
    };
    if hidden > 0 {
        // A guard that does not see is no guard.
        return Err(Failure::new(
            ErrorKind::Blocked,
            format!("the source login may not see what {hidden} other sessions do"),
        )
        .hint("grant pg_read_all_stats to it, or measure with source.load_query"));
    }
    let found = u64::try_from(found).unwrap_or(0);
    Ok(Some(Reading::of_count(
        limit,
        found,
        parts.next().unwrap_or_default(),
    )))
}

/// Asks the operator's query: one row of one column, a number or a yes or no.
async fn ask(session: &mut Session, query: &str, limits: &SourceLimits) -> Result<Reading> {
    let sql = format!(
        "select pg_catalog.concat_ws(' ', pg_catalog.count(*) over (),
                                     pg_catalog.json_typeof(e.value), e.value #>> '{{}}')
           from (\n{query}\n) as answer
          cross join lateral pg_catalog.json_each(pg_catalog.row_to_json(answer)) as e"
    );
    let answer = session
        .scalar(&sql, &[])
        .await
        .map_err(|failure| failure.while_doing("could not run source.load_query on source"))?;
    interpret(answer.as_deref(), limits)
}

fn interpret(answer: Option<&str>, limits: &SourceLimits) -> Result<Reading> {
    let wrong = |what: &str| {
        Failure::new(ErrorKind::Config, format!("could not use source.load_query: it gives {what}"))
            .hint("it must give one number, with query=LIMIT in source.max_load, or one boolean that is true when the source has too much to do")
    };
    let Some(answer) = answer else {
        return Ok(Reading::of_nothing());
    };
    let parts: Vec<&str> = answer.splitn(3, ' ').collect();
    let limit = limits.limits.iter().find_map(|limit| match limit {
        Limit::Query(most) => Some(*most),
        _ => None,
    });
    match (parts.as_slice(), limit) {
        (["1", "null", ..], _) => Ok(Reading::of_nothing()),
        (["1", "boolean", verdict], _) => Ok(Reading::of_verdict(*verdict == "true")),
        (["1", "number", number], Some(limit)) => number
            .parse()
            .map(|number| Reading::of_number(limit, number))
            .map_err(|cause| wrong("a number out of range").because(cause)),
        (["1", "number", _], None) => Err(wrong("a number, and there is no limit for it")),
        (["1", kind, ..], _) => Err(wrong(&format!("a value of JSON type {kind}"))),
        _ => Err(wrong("more than one value")),
    }
}

impl ExportContext {
    /// The guard's session. It outlives transactions and can be cut at any moment.
    async fn connect_guard(&self) -> Result<Session> {
        let mut options = self.options.session.clone();
        options.application_name = format!("towpath/{}/guard", self.plan.run);
        let mut session = Session::connect(&self.source, Side::Source, &options).await?;
        name_session(&mut session, &options.application_name).await?;
        Ok(session)
    }
}

/// Says once more whose session this is: a pooler in between may have put its own name there, and
/// sessions are told apart by it.
pub(crate) async fn name_session(session: &mut Session, name: &str) -> Result<()> {
    session
        .execute(&format!("set application_name = {}", quote_literal(name)))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_number_or_verdict_is_taken() {
        let limits = |text: &str| {
            SourceLimits::parse(text, Some("select 1".to_owned()))
                .unwrap()
                .unwrap()
        };
        let (bare, limited) = (limits(""), limits("query=10"));
        assert_eq!(interpret(None, &bare).unwrap(), Reading::of_nothing());
        assert_eq!(
            interpret(Some("1 null"), &bare).unwrap(),
            Reading::of_nothing()
        );
        assert_eq!(
            interpret(Some("1 boolean true"), &bare).unwrap(),
            Reading::of_verdict(true)
        );
        assert_eq!(
            interpret(Some("1 number 10.5"), &limited).unwrap(),
            Reading::of_number(10.0, 10.5)
        );
        for (answer, limits) in [
            ("1 number 4", &bare),
            ("2 number 4", &limited),
            ("1 string NaN", &limited),
            ("1 object {\"a\": 1}", &limited),
        ] {
            let failure = interpret(Some(answer), limits).unwrap_err();
            assert_eq!(failure.kind(), ErrorKind::Config, "{answer}");
            assert!(failure.to_string().contains("source.load_query"));
        }
    }

    #[tokio::test]
    async fn a_closed_gate_lets_go_of_who_should_stop() {
        let (opens, open) = watch::channel(false);
        let gate = Gate(Some(open));
        let stop = Stop::default();
        let waiting = tokio::time::timeout(Duration::from_millis(50), gate.pass(&stop));
        assert!(waiting.await.is_err(), "a closed gate let somebody through");
        opens.send_replace(true);
        gate.pass(&stop).await.unwrap();
        opens.send_replace(false);
        stop.raise();
        let failure = gate.pass(&stop).await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Interrupted);
        Gate::default().pass(&stop).await.unwrap();
    }
}
