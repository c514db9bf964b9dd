//! A session that looks at a database as somebody.

use serde::de::DeserializeOwned;
use towpath_model::Result;
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::name::quote_identifier;
use towpath_postgres::Session;

use crate::access::refused::{Answer, refused};
use crate::access::subject::Subject;
use crate::options::VerifyContext;

/// How long a statement waits for a lock: nobody's queries queue up behind towpath.
const LOCK_TIMEOUT: &str = "10s";

/// What each statement is tried under: a refusal leaves the transaction as it was.
const BACK: &str = "rollback to savepoint looked";

/// A transaction as somebody, never committed.
pub(crate) struct Standpoint {
    context: VerifyContext,
    url: ConnectionUrl,
    side: Side,
    session: Session,
    subject: Subject,
    writes: bool,
}

/// Connects as the login, in a transaction that reads.
pub(crate) async fn login(
    context: &VerifyContext,
    url: &ConnectionUrl,
    side: Side,
) -> Result<Session> {
    let mut session = connect(context, url, side).await?;
    session.begin_reading().await?;
    let limits = limits(context);
    session.execute(&limits).await?;
    Ok(session)
}

async fn connect(context: &VerifyContext, url: &ConnectionUrl, side: Side) -> Result<Session> {
    let options = context.session_options(side, "verify-access");
    Session::connect(url, side, &options).await
}

fn limits(context: &VerifyContext) -> String {
    let seconds = context.options.access.timeout.as_secs().max(1);
    format!("set local statement_timeout = '{seconds}s'; set local lock_timeout = '{LOCK_TIMEOUT}'")
}

impl Standpoint {
    /// Connects and takes the subject on. A session of its own for each: a setting that another
    /// subject had would be left behind as an empty text, and not as none at all.
    pub(crate) async fn of(
        context: &VerifyContext,
        url: &ConnectionUrl,
        side: Side,
        subject: &Subject,
        writes: bool,
    ) -> Result<Answer<Self>> {
        let mut standpoint = Self {
            context: context.clone(),
            url: url.clone(),
            side,
            session: connect(context, url, side).await?,
            subject: subject.clone(),
            writes,
        };
        Ok(match standpoint.take_on().await? {
            Ok(()) => Ok(standpoint),
            Err(refused) => {
                standpoint.close().await;
                Err(refused)
            }
        })
    }

    async fn take_on(&mut self) -> Result<Answer<()>> {
        match self.writes {
            true => self.session.begin_proving().await?,
            false => self.session.begin_reading().await?,
        }
        let search_path = self.context.plan.source.facts.search_path.clone();
        self.session.use_search_path(&search_path).await?;
        let limits = limits(&self.context);
        self.session
            .execute(&format!("{limits}; set local row_security = on"))
            .await?;
        let set =
            "select pg_catalog.count(pg_catalog.set_config(key, value, true))::pg_catalog.text
                     from pg_catalog.json_each_text($1::pg_catalog.json)";
        self.session
            .scalar(set, &[&self.subject.settings()])
            .await?;
        let role = quote_identifier(&self.subject.role);
        let become_them = format!("set local role {role}; savepoint looked");
        match self.session.execute(&become_them).await {
            Ok(()) => Ok(Ok(())),
            Err(failure) => refused(failure),
        }
    }

    /// Runs statements in one message; what they answer is not read.
    pub(crate) async fn attempt(&mut self, sql: &str) -> Result<Answer<()>> {
        match self.session.execute(sql).await {
            Ok(()) => Ok(Ok(())),
            Err(failure) => self.back(failure).await,
        }
    }

    /// Reads rows into memory.
    pub(crate) async fn fetch<T: DeserializeOwned>(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Answer<Vec<T>>> {
        match self.session.fetch(sql, parameters).await {
            Ok(rows) => Ok(Ok(rows)),
            Err(failure) => self.back(failure).await,
        }
    }

    /// Reads rows into memory as the login itself, in the same snapshot.
    pub(crate) async fn fetch_as_login<T: DeserializeOwned>(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Answer<Vec<T>>> {
        self.become_login().await?;
        let answer = self.fetch(sql, parameters).await?;
        if answer.is_ok() {
            // Brings the role back too: it is what it was when the savepoint was set.
            self.undo().await?;
        }
        Ok(answer)
    }

    /// Runs one statement with parameters, in a savepoint that is rolled back; gives the number of
    /// rows it affected.
    pub(crate) async fn try_writing(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Answer<u64>> {
        match self.session.execute_with(sql, parameters).await {
            Ok(rows) => {
                self.undo().await?;
                Ok(Ok(rows))
            }
            Err(failure) => self.back(failure).await,
        }
    }

    /// Tells a visitor of every row of a query of one text column without line breaks, in the form
    /// that COPY gives it (backslashes doubled). Rows are not gathered.
    pub(crate) async fn each_line(
        &mut self,
        query: &str,
        visitor: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Answer<()>> {
        let statement = format!("copy ({query}) to stdout");
        match read_lines(&mut self.session, &statement, visitor).await {
            Ok(()) => Ok(Ok(())),
            Err(failure) => {
                let answer = refused(failure)?;
                // After a refused COPY the stream's state is not certain; begin afresh.
                self.session = connect(&self.context, &self.url, self.side).await?;
                match self.take_on().await? {
                    Ok(()) => Ok(answer),
                    Err(refused) => Ok(Err(refused)),
                }
            }
        }
    }

    /// The same as the login itself.
    pub(crate) async fn each_line_as_login(
        &mut self,
        query: &str,
        visitor: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Answer<()>> {
        self.become_login().await?;
        let answer = self.each_line(query, visitor).await?;
        self.undo().await?;
        Ok(answer)
    }

    async fn become_login(&mut self) -> Result<()> {
        self.session
            .execute("set local role none; set local row_security = off")
            .await
    }

    /// Back to where the subject had been taken on: without what was tried, and without its locks.
    pub(crate) async fn undo(&mut self) -> Result<()> {
        self.session.execute(BACK).await
    }

    async fn back<T>(&mut self, failure: towpath_model::Failure) -> Result<Answer<T>> {
        let answer = refused(failure)?;
        self.undo().await?;
        Ok(answer)
    }

    /// Ends the session; nothing of it stays.
    pub(crate) async fn close(mut self) {
        // A session that ends rolls back whether it says so or not.
        drop(self.session.rollback().await);
        self.session.close().await;
    }
}

async fn read_lines(
    session: &mut Session,
    statement: &str,
    visitor: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<()> {
    let mut copy = session.copy_out(statement).await?;
    let mut pending: Vec<u8> = Vec::new();
    while let Some(block) = copy.next().await? {
        let mut rest: &[u8] = &block;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            if pending.is_empty() {
                visitor(line);
            } else {
                pending.extend_from_slice(line);
                visitor(&pending);
                pending.clear();
            }
            rest = &after[1..];
        }
        pending.extend_from_slice(rest);
    }
    Ok(())
}
