//! A session: one connection whose settings are pinned and proven.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use towpath_model::connection::{ConnectionUrl, Endpoint, Side};
use towpath_model::event::Events;
use towpath_model::name::quote_literal;
use towpath_model::{ErrorKind, Failure, Result};

use crate::error::failure;
use crate::snapshot::LOCK_TIMEOUT;
use crate::watch::Watch;

/// How to connect.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Shown in `pg_stat_activity`: `towpath/<run>/<worker>`.
    pub application_name: String,
    /// File of root certificates in PEM, when the URL names none.
    pub root_certificates: Option<PathBuf>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long the server may be silent before it is asked on another connection what it is at.
    pub silence: Duration,
    /// Who is told what a session waits for.
    pub events: Option<Events>,
}

/// How long a session that ends may take to say so.
const GOODBYE: Duration = Duration::from_secs(5);

impl SessionOptions {
    /// Options under this application name, without extra certificates, waiting 15 s for a
    /// connection and 60 s for a word.
    pub fn named(application_name: impl Into<String>) -> Self {
        Self {
            application_name: application_name.into(),
            root_certificates: None,
            connect_timeout: Duration::from_secs(15),
            silence: Duration::from_secs(60),
            events: None,
        }
    }
}

/// Settings that change what COPY writes or whether it lives long enough. Supabase runs with
/// `extra_float_digits = 0` and a two-minute `statement_timeout`, and any of these can be set per
/// role or database. The search path is empty for reading the catalog, so that every name in a
/// definition is qualified; see [`Session::use_search_path`] for rows.
const PINNED: [(&str, &str); 16] = [
    ("client_encoding", "UTF8"),
    ("extra_float_digits", "3"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
    ("lc_monetary", "C"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    ("standard_conforming_strings", "on"),
    ("search_path", ""),
];

/// One connection to source or target.
pub struct Session {
    side: Side,
    pub(crate) connection: PgConnection,
    pub(crate) watch: Watch,
    version_num: u32,
}

impl Session {
    /// Connects, refusing a transaction pooler: neither settings nor snapshots survive there, and
    /// one swallows `extra_float_digits` without a word.
    pub async fn connect(
        url: &ConnectionUrl,
        side: Side,
        options: &SessionOptions,
    ) -> Result<Self> {
        if url.endpoint() == Endpoint::TransactionPooler {
            return Err(Failure::new(
                ErrorKind::Blocked,
                format!("the {side} URL names a transaction pooler ({}:{})", url.host, url.port),
            )
            .hint("use the session pooler: the same host with port 5432, or the direct host db.<ref>.supabase.co:5432"));
        }
        let doing = || format!("could not connect to {side} {url}");
        let driver = driver_options(url, side, options)?;
        let connecting = PgConnection::connect_with(&driver);
        let connection = tokio::time::timeout(options.connect_timeout, connecting)
            .await
            .map_err(|_| {
                Failure::new(ErrorKind::Connect, doing())
                    .because(format!("no answer within {} s", options.connect_timeout.as_secs()))
                    .hint("check host, port, security group and, for a direct Supabase host, that this machine has IPv6; the session pooler has IPv4")
            })?
            .map_err(|cause| connect_failure(side, doing(), cause))?;
        #[cfg(target_os = "linux")]
        crate::no_delay::send_at_once(url.port);
        let mut session = Self {
            side,
            connection,
            watch: Watch::new(side, url, options),
            version_num: 0,
        };
        let facts = session
            .scalar(
                "select pg_catalog.concat(current_setting('server_version_num'), ' ',
                                          pg_catalog.pg_backend_pid())",
                &[],
            )
            .await?
            .unwrap_or_default();
        let (version, pid) = facts.split_once(' ').unwrap_or_default();
        session.version_num = version.parse().unwrap_or(0);
        session.watch.set_pid(pid);
        Ok(session)
    }

    /// Which database this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// `server_version_num`.
    pub fn version_num(&self) -> u32 {
        self.version_num
    }

    /// Runs SQL by the simple protocol: any number of statements, no parameters.
    pub async fn execute(&mut self, sql: &str) -> Result<()> {
        let work = self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql)));
        let doing = || describe(sql, self.side);
        Box::pin(self.watch.over(doing, work)).await.map(|_| ())
    }

    /// Runs one statement with text parameters (cast them in the SQL: `$1::int8`); gives the
    /// number of rows affected.
    pub async fn execute_with(&mut self, sql: &str, parameters: &[&str]) -> Result<u64> {
        let work = self.connection.execute(query(sql, parameters));
        let doing = || describe(sql, self.side);
        let done = Box::pin(self.watch.over(doing, work)).await?;
        Ok(done.rows_affected())
    }

    /// Runs a query and reads each row into `T` by column name. Parameters are text. The rows
    /// travel as JSON, so that callers need no type of the driver: `bigint` and text are exact,
    /// cast anything finer to text.
    pub async fn fetch<T: DeserializeOwned>(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Vec<T>> {
        let as_json = format!("select row_to_json(answer)::text from (\n{sql}\n) as answer");
        let side = self.side;
        let doing = || describe(sql, side);
        let failed = |cause| failure(side, doing(), cause);
        // Read row by row: the text of all of them is several times what is kept.
        let mut rows = self.connection.fetch(query(&as_json, parameters));
        let mut answers = Vec::new();
        while let Some(row) = self.watch.over(doing, rows.try_next()).await? {
            let text: &str = row.try_get(0).map_err(failed)?;
            let answer = serde_json::from_str(text).map_err(|cause| {
                Failure::new(ErrorKind::Internal, describe(sql, side)).because(cause)
            })?;
            answers.push(answer);
        }
        Ok(answers)
    }

    /// The first row of a query, which must have one.
    pub async fn fetch_one<T: DeserializeOwned>(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<T> {
        let side = self.side;
        self.fetch(sql, parameters)
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| {
                Failure::new(ErrorKind::Internal, describe(sql, side)).because("no row came back")
            })
    }

    /// The first column of the first row as text; nothing when there is no row or it is NULL.
    /// The column must be of a text type.
    pub async fn scalar(&mut self, sql: &str, parameters: &[&str]) -> Result<Option<String>> {
        let side = self.side;
        let work = self.connection.fetch_optional(query(sql, parameters));
        let row = Box::pin(self.watch.over(|| describe(sql, side), work)).await?;
        match row {
            None => Ok(None),
            Some(row) => row
                .try_get(0)
                .map_err(|cause| failure(side, describe(sql, side), cause)),
        }
    }

    /// Begins a transaction that reads only, sees one snapshot, and copies faithfully.
    pub async fn begin_reading(&mut self) -> Result<()> {
        self.execute("begin transaction isolation level repeatable read, read only")
            .await?;
        self.pin().await
    }

    /// The same, but able to write: for a proof that lifts forced row-level security inside a
    /// transaction that is rolled back. The caller never commits it.
    pub async fn begin_proving(&mut self) -> Result<()> {
        self.execute("begin transaction isolation level repeatable read")
            .await?;
        self.pin().await
    }

    /// The same in the snapshot that a holder has exported.
    pub async fn begin_reading_snapshot(&mut self, snapshot_id: &str) -> Result<()> {
        self.execute("begin transaction isolation level repeatable read, read only")
            .await?;
        let import = format!("set transaction snapshot {}", quote_literal(snapshot_id));
        self.execute(&import).await.map_err(|cause| {
            let doing = format!("could not import snapshot {snapshot_id} on {}", self.side);
            match cause.kind() {
                ErrorKind::Source => Failure::new(ErrorKind::SnapshotLost, doing)
                    .because(cause)
                    .hint(
                        "the session that held it is gone; the same command resumes with a new one",
                    ),
                _ => cause.while_doing(doing),
            }
        })?;
        self.pin().await?;
        self.execute(&format!("set local lock_timeout = '{LOCK_TIMEOUT}'"))
            .await
    }

    /// Begins a transaction that writes, with the settings that reading had.
    pub async fn begin_writing(&mut self, search_path: &str) -> Result<()> {
        let pinned = self.pinned();
        // All in one message: small chunks and small statements cost little but their round trips.
        let sql = format!(
            "begin; {}; {}; select pg_catalog.set_config('search_path', {}, true)",
            set_local(&pinned),
            read_back(&pinned),
            quote_literal(search_path)
        );
        let side = self.side;
        let doing = || format!("could not begin on {side}");
        let work = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql)));
        let rows = self.watch.over(doing, work).await?;
        let found: Option<&str> = match rows.first() {
            Some(row) => row
                .try_get(0)
                .map_err(|cause| failure(side, doing(), cause))?,
            None => None,
        };
        self.prove_pinned(&pinned, found.unwrap_or_default())
    }

    /// Gives the current transaction the search path of the source's login. Indexes, checks and
    /// generated columns may hold functions whose SQL bodies name nothing's schema, and even a
    /// plain select makes the planner inline them: under an empty path that fails. What `reg*`
    /// columns print depends on it too, so both sides use this same one.
    pub async fn use_search_path(&mut self, search_path: &str) -> Result<()> {
        let set = "select pg_catalog.set_config('search_path', $1, true)";
        self.scalar(set, &[search_path]).await.map(|_| ())
    }

    /// Commits.
    pub async fn commit(&mut self) -> Result<()> {
        self.execute("commit").await
    }

    /// Rolls back.
    pub async fn rollback(&mut self) -> Result<()> {
        self.execute("rollback").await
    }

    /// Sets what must not depend on role, database or pooler, and reads it back: a setting that
    /// was accepted and dropped on the way would corrupt in silence.
    async fn pin(&mut self) -> Result<()> {
        let pinned = self.pinned();
        self.execute(&set_local(&pinned)).await?;
        let found = self.scalar(&read_back(&pinned), &[]).await?;
        self.prove_pinned(&pinned, &found.unwrap_or_default())
    }

    fn pinned(&self) -> Vec<(&'static str, &'static str)> {
        let mut settings = PINNED.to_vec();
        if self.version_num >= 170_000 {
            settings.push(("transaction_timeout", "0"));
        }
        settings
    }

    fn prove_pinned(&self, settings: &[(&str, &str)], found: &str) -> Result<()> {
        for ((name, wanted), found) in settings.iter().zip(found.split('\n')) {
            // An empty search path reads back as two double quotes on some versions.
            let same = found == *wanted || (*name == "search_path" && found == "\"\"");
            if !same {
                return Err(Failure::new(
                    ErrorKind::Blocked,
                    format!(
                        "could not pin {name} on {}: wanted {wanted:?}, it is {found:?}",
                        self.side
                    ),
                )
                .hint(
                    "a pooler in between drops settings; connect directly or by the session pooler",
                ));
            }
        }
        Ok(())
    }

    /// Ends the session politely.
    pub async fn close(self) {
        // The server notices a closed socket just as well; there is nothing to report.
        drop(tokio::time::timeout(GOODBYE, self.connection.close()).await);
    }
}

fn set_local(settings: &[(&str, &str)]) -> String {
    let set: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("set local {name} = {}", quote_literal(value)))
        .collect();
    set.join("; ")
}

fn read_back(settings: &[(&str, &str)]) -> String {
    let current: Vec<String> = settings
        .iter()
        .map(|(name, _)| format!("current_setting({})", quote_literal(name)))
        .collect();
    format!(
        "select array_to_string(array[{}], E'\\n')",
        current.join(", ")
    )
}

pub(crate) fn query<'q>(
    sql: &'q str,
    parameters: &[&'q str],
) -> sqlx::query::Query<'q, sqlx::Postgres, PgArguments> {
    // Named prepared statements do not survive a pooler that moves sessions between servers.
    parameters.iter().fold(
        sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false),
        |query, parameter| query.bind(*parameter),
    )
}

/// What a statement is, for an error: its first line, cut. SQL of towpath holds names, no values.
fn describe(sql: &str, side: Side) -> String {
    let line = sql
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    // Up to the first literal: a default or a policy of the user's may hold what nobody should see.
    let mut short: String = line
        .chars()
        .take(100)
        .take_while(|c| !matches!(c, '\'' | '$'))
        .collect();
    if short.len() < line.len() {
        short.push('…');
    }
    format!("could not run on {side}: {short}")
}

fn connect_failure(side: Side, doing: String, cause: sqlx::Error) -> Failure {
    match failure(side, doing, cause) {
        letter if letter.kind() == ErrorKind::Connect && letter.find_hint().is_some() => letter.hint(
            "check host, port, security group and, for a direct Supabase host, that this machine has IPv6; the session pooler has IPv4",
        ),
        letter => letter,
    }
}

pub(crate) fn driver_options(
    url: &ConnectionUrl,
    side: Side,
    options: &SessionOptions,
) -> Result<PgConnectOptions> {
    let mut driver = PgConnectOptions::new()
        .port(url.port)
        .username(&url.user)
        .database(&url.database)
        .application_name(&options.application_name)
        .statement_cache_capacity(0);
    driver = if url.host.starts_with('/') {
        driver.socket(&url.host)
    } else {
        driver.host(&url.host)
    };
    if let Some(password) = &url.password {
        driver = driver.password(password.reveal());
    }
    let mode = match url.parameter("sslmode") {
        Some(text) => text.parse().map_err(|cause| {
            Failure::new(
                ErrorKind::Config,
                format!("sslmode of the {side} URL is not known"),
            )
            .because(cause)
            .hint("use verify-full, or disable on a trusted network")
        })?,
        None if url.is_loopback() => PgSslMode::Prefer,
        None => PgSslMode::VerifyFull,
    };
    driver = driver.ssl_mode(mode);
    if let Some(file) = url.parameter("sslrootcert").map(PathBuf::from) {
        driver = driver.ssl_root_cert(file);
    } else if let Some(file) = &options.root_certificates {
        driver = driver.ssl_root_cert(file);
    }
    Ok(driver)
}
