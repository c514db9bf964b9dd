//! COPY in both directions, as bytes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use sqlx::postgres::{PgConnection, PgCopyIn};
use towpath_model::connection::Side;
use towpath_model::{ErrorKind, Failure, Result};

use crate::error::{explain_name, failure};
use crate::session::Session;
use crate::watch::Watch;

/// How long giving a copy up may take: what it is given up for may be a connection that is dead.
const ABORT: Duration = Duration::from_secs(5);

/// Rows coming out of a server. Every message is one row of the COPY stream (PostgreSQL's protocol
/// chapter, "COPY Operations"); callers prove that for their format rather than trust it.
pub struct CopyOut<'c> {
    side: Side,
    watch: &'c Watch,
    stream: BoxStream<'c, sqlx::Result<Bytes>>,
}

impl CopyOut<'_> {
    /// The next message; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let side = self.side;
        let doing = || format!("could not read rows from {side}");
        // Most messages have come already, and there is one a row: a clock is looked at only where
        // there is something to wait for.
        if let Some(come) = self.stream.next().now_or_never() {
            return come
                .transpose()
                .map_err(|cause| failure(side, doing(), cause));
        }
        let next = async { self.stream.next().await.transpose() };
        self.watch.over(doing, next).await
    }
}

/// Rows going into a server.
pub struct CopyIn<'c> {
    side: Side,
    watch: &'c Watch,
    copy: PgCopyIn<&'c mut PgConnection>,
}

impl CopyIn<'_> {
    /// Sends bytes; boundaries mean nothing.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let side = self.side;
        let send = async { self.copy.send(bytes).await.map(|_| ()) };
        let doing = || format!("could not send rows to {side}");
        self.watch.over(doing, send).await.map_err(explain_name)
    }

    /// Ends the copy; gives the number of rows that the server took.
    pub async fn finish(self) -> Result<u64> {
        let side = self.side;
        let doing = || format!("{side} refused the rows");
        let finish = self.copy.finish();
        self.watch.over(doing, finish).await.map_err(explain_name)
    }

    /// Gives the copy up: the server forgets every row of it. The session is not fit for more
    /// afterwards when the server had an objection of its own, so drop it.
    pub async fn abort(self, reason: &str) -> Result<()> {
        let side = self.side;
        let doing = format!("could not abort the copy on {side}");
        match tokio::time::timeout(ABORT, self.copy.abort(reason)).await {
            // The rows sent so far were refused before the abort was read: forgotten just as well.
            Ok(Ok(()) | Err(sqlx::Error::Database(_))) => Ok(()),
            Ok(Err(cause)) => Err(failure(side, doing, cause)),
            Err(_) => Err(Failure::new(ErrorKind::Connect, doing).because("no answer")),
        }
    }
}

impl Session {
    /// Starts `COPY … TO STDOUT`. Read it to the end, or drop the session.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>> {
        let side = self.side();
        let doing = || format!("could not start reading rows on {side}");
        let start = self.connection.copy_out_raw(sql);
        let stream = Box::pin(self.watch.over(doing, start)).await?;
        let watch = &self.watch;
        Ok(CopyOut {
            side,
            watch,
            stream,
        })
    }

    /// Starts `COPY … FROM STDIN`.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>> {
        let side = self.side();
        let doing = || format!("could not start sending rows to {side}");
        let start = self.connection.copy_in_raw(sql);
        let copy = Box::pin(self.watch.over(doing, start)).await?;
        let watch = &self.watch;
        Ok(CopyIn { side, watch, copy })
    }
}
