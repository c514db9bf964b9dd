//! COPY in both directions, as bytes.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgConnection, PgCopyIn};
use towpath_model::Result;
use towpath_model::connection::Side;

use crate::error::failure;
use crate::session::Session;

/// Rows coming out of a server. Every message is one row of the COPY stream (PostgreSQL's protocol
/// chapter, "COPY Operations"); callers prove that for their format rather than trust it.
pub struct CopyOut<'c> {
    side: Side,
    stream: BoxStream<'c, sqlx::Result<Bytes>>,
}

impl CopyOut<'_> {
    /// The next message; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(cause)) => Err(failure(
                self.side,
                format!("could not read rows from {}", self.side),
                cause,
            )),
        }
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
        self.copy
            .send(bytes)
            .await
            .map(|_| ())
            .map_err(|cause| failure(side, format!("could not send rows to {side}"), cause))
    }

    /// Ends the copy; gives the number of rows that the server took.
    pub async fn finish(self) -> Result<u64> {
        let side = self.side;
        self.copy
            .finish()
            .await
            .map_err(|cause| failure(side, format!("{side} refused the rows"), cause))
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
