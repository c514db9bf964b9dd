//! COPY in both directions, as bytes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgConnection, PgCopyIn};
use towpath_model::connection::Side;
use towpath_model::{ErrorKind, Failure, Result};

use crate::error::failure;
use crate::session::Session;

/// How long a server may be silent in the middle of a copy. A connection that was cut without a word
/// would otherwise be waited for until somebody notices, under a lease that is renewed all the time.
const STALL: Duration = Duration::from_secs(300);

async fn bounded<T>(
    side: Side,
    doing: impl Fn() -> String,
    work: impl Future<Output = sqlx::Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(STALL, work).await {
        Ok(done) => done.map_err(|cause| failure(side, doing(), cause)),
        Err(_) => Err(Failure::new(ErrorKind::Connect, doing())
            .because(format!("no answer within {} s", STALL.as_secs()))
            .hint(format!(
                "look at the {side} and the network; the same command resumes"
            ))),
    }
}

/// Rows coming out of a server. Every message is one row of the COPY stream (PostgreSQL's protocol
/// chapter, "COPY Operations"); callers prove that for their format rather than trust it.
pub struct CopyOut<'c> {
    side: Side,
    stream: BoxStream<'c, sqlx::Result<Bytes>>,
}

impl CopyOut<'_> {
    /// The next message; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let side = self.side;
        let next = async { self.stream.next().await.transpose() };
        bounded(side, || format!("could not read rows from {side}"), next).await
    }
}

/// Rows going into a server.
pub struct CopyIn<'c> {
    side: Side,
    copy: PgCopyIn<&'c mut PgConnection>,
}

impl CopyIn<'_> {
    /// Sends bytes; boundaries mean nothing.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let side = self.side;
        let send = async { self.copy.send(bytes).await.map(|_| ()) };
        bounded(side, || format!("could not send rows to {side}"), send).await
    }

    /// Ends the copy; gives the number of rows that the server took.
    pub async fn finish(self) -> Result<u64> {
        let side = self.side;
        bounded(
            side,
            || format!("{side} refused the rows"),
            self.copy.finish(),
        )
        .await
    }

    /// Gives the copy up: the server forgets every row of it. The session is not fit for more
    /// afterwards when the server had an objection of its own, so drop it.
    pub async fn abort(self, reason: &str) -> Result<()> {
        let side = self.side;
        match self.copy.abort(reason).await {
            // The rows sent so far were refused before the abort was read: forgotten just as well.
            Ok(()) | Err(sqlx::Error::Database(_)) => Ok(()),
            Err(cause) => Err(failure(
                side,
                format!("could not abort the copy on {side}"),
                cause,
            )),
        }
    }
}

impl Session {
    /// Starts `COPY … TO STDOUT`. Read it to the end, or drop the session.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>> {
        let side = self.side();
        let stream = self.connection.copy_out_raw(sql).await.map_err(|cause| {
            failure(
                side,
                format!("could not start reading rows on {side}"),
                cause,
            )
        })?;
        Ok(CopyOut { side, stream })
    }

    /// Starts `COPY … FROM STDIN`.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>> {
        let side = self.side();
        let copy = self.connection.copy_in_raw(sql).await.map_err(|cause| {
            failure(
                side,
                format!("could not start sending rows to {side}"),
                cause,
            )
        })?;
        Ok(CopyIn { side, copy })
    }
}
