//! The journal: entries are durable when [`Journal::append`] returns, and entries that wait
//! together share one object.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use towpath_model::failure::Retry;
use towpath_model::journal::{Entry, Line, WriterHead};
use towpath_model::{ErrorKind, Failure, Result};

use crate::run_store::RunStore;

/// How many entries may wait for one flush.
const BATCH: usize = 256;

/// Seconds before each repetition of a put that failed for a reason that may pass.
const RETRY_WAITS_S: [u64; 3] = [1, 4, 10];

type Waiting = (Line, oneshot::Sender<Result<(), Arc<Failure>>>);

/// Writes the journal of one process. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::Sender<Waiting>,
    clock: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Journal {
    /// Opens a new writer of the run's journal, after all writers before it. `clock` gives the
    /// time as RFC 3339. The writer ends when its last clone is dropped.
    pub async fn open(
        store: &RunStore,
        who: &str,
        clock: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut writer = 1;
        loop {
            let head = WriterHead {
                writer,
                who: who.to_owned(),
                began_at: clock(),
            };
            match store.put_document(&head_key(writer), &head).await {
                Ok(()) => break,
                Err(failure) if failure.kind() == ErrorKind::ObjectExists => writer += 1,
                Err(failure) => return Err(failure),
            }
        }
        let (queue, waiting) = mpsc::channel(BATCH);
        tokio::spawn(flush(store.clone(), writer, waiting));
        Ok(Self {
            queue,
            clock: Arc::new(clock),
        })
    }

    /// Appends an entry; it is stored when this returns.
    pub async fn append(&self, entry: Entry) -> Result<()> {
        let (tell, told) = oneshot::channel();
        let line = Line {
            at: (self.clock)(),
            entry,
        };
        let gone = || Failure::new(ErrorKind::Internal, "the journal's writer has ended");
        self.queue.send((line, tell)).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?.map_err(|shared| {
            let letter = Failure::new(shared.kind(), "could not write the journal");
            // A shared cause is not asked for its hint by who tells the chain.
            match shared.find_hint().map(str::to_owned) {
                Some(hint) => letter.because(shared).hint(hint),
                None => letter.because(shared),
            }
        })
    }
}

async fn flush(store: RunStore, writer: u32, mut waiting: mpsc::Receiver<Waiting>) {
    let mut sequence = 0u32;
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        sequence += 1;
        let mut stored = put(&store, writer, sequence, &batch).await;
        // The put may be repeated: it names its object and its bytes. A gap may not happen.
        for wait_s in RETRY_WAITS_S {
            match &stored {
                Err(failure) if failure.kind().retry() == Retry::Later => {
                    tracing::warn!(?failure, "could not write the journal; trying again");
                    tokio::time::sleep(Duration::from_secs(wait_s)).await;
                    stored = put(&store, writer, sequence, &batch).await;
                }
                _ => break,
            }
        }
        let stored = stored.map_err(Arc::new);
        let failed = stored.is_err();
        for (_, tell) in batch.drain(..) {
            // A caller that has gone does not want to know.
            drop(tell.send(stored.clone()));
        }
        if failed {
            // A gap would hide everything after it from readers: this writer has written its last.
            return;
        }
    }
}

async fn put(store: &RunStore, writer: u32, sequence: u32, batch: &[Waiting]) -> Result<()> {
    let mut text = Vec::new();
    for (line, _) in batch {
        serde_json::to_writer(&mut text, line).map_err(|cause| {
            Failure::new(ErrorKind::Internal, "could not write a journal entry").because(cause)
        })?;
        text.push(b'\n');
    }
    store.put_same(&object_key(writer, sequence), text).await
}

/// Reads the whole journal of a run, in order.
pub async fn read_journal(store: &RunStore) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for writer in 1.. {
        if store
            .get_document::<WriterHead>(&head_key(writer))
            .await?
            .is_none()
        {
            break;
        }
        for sequence in 1.. {
            let key = object_key(writer, sequence);
            let Some(bytes) = store.get(&key).await? else {
                break;
            };
            for line in bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                lines.push(serde_json::from_slice(line).map_err(|cause| {
                    Failure::new(
                        ErrorKind::DocumentCorrupt,
                        format!("could not read {}", store.describe(&key)),
                    )
                    .because(cause)
                })?);
            }
        }
    }
    Ok(lines)
}

fn head_key(writer: u32) -> String {
    format!("journal/{writer:04}/head.json")
}

fn object_key(writer: u32, sequence: u32) -> String {
    format!("journal/{writer:04}/{sequence:08}.ndjson")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreLocation, StoreOptions};
    use towpath_model::RunId;
    use towpath_model::journal::RunStage;

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_come_back_in_order_over_writers() {
        let directory = tempfile::tempdir().unwrap();
        let location = StoreLocation::File {
            directory: directory.path().to_owned(),
        };
        let run = RunId::compose("20260101", [1; 5]);
        let store = RunStore::open(&location, &run, &StoreOptions::default()).await;
        let stages = [RunStage::Planned, RunStage::Exporting, RunStage::Sealed];
        for stage in stages {
            let journal = Journal::open(&store, "test", String::new).await.unwrap();
            journal.append(Entry::Stage { stage }).await.unwrap();
        }
        let read: Vec<Entry> = read_journal(&store)
            .await
            .unwrap()
            .into_iter()
            .map(|line| line.entry)
            .collect();
        assert_eq!(read, stages.map(|stage| Entry::Stage { stage }));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_to_try_is_told_of_a_journal_that_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let location = StoreLocation::File {
            directory: directory.path().to_owned(),
        };
        let run = RunId::compose("20260101", [1; 5]);
        let store = RunStore::open(&location, &run, &StoreOptions::default()).await;
        let journal = Journal::open(&store, "test", String::new).await.unwrap();
        let folder = directory.path().join(run.as_str()).join("journal");
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, b"in the way").unwrap();
        let stage = RunStage::Planned;
        let failure = journal.append(Entry::Stage { stage }).await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::StoreAccess);
        assert!(failure.find_hint().is_some(), "{failure:?}");
    }
}
