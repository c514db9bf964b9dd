//! The time without writes: from the fence to the first write on the target.
//!
//! Three clocks take part, so two are brought to the third, the source's, by round trips.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use towpath_model::connection::Side;
use towpath_model::cutover::{Baseline, Fence, WriteGap};
use towpath_model::journal::{Entry, Line};
use towpath_model::{ErrorKind, Failure, Result};
use towpath_postgres::Session;
use towpath_store::{Journal, RunStore, read_journal};
use towpath_switch::Record;

use crate::clock;
use crate::context::Context;
use crate::pipeline::cutover::target_writes;
use crate::run_state::RunState;

/// Between two looks at the target.
const LOOK: Duration = Duration::from_millis(200);

/// Round trips of which the shortest counts: half of it is how wrong a clock can be told.
const TRIPS: u32 = 5;

/// How long the clock of a server may be asked for. A gap that is told less exactly is no reason to
/// keep a switch waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Milliseconds to be added to this machine's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Offset(i64);

impl Offset {
    /// Asks a server what time it is.
    async fn of(context: &Context, side: Side) -> Result<Self> {
        let mut options = context.session_options(side, "towpath/clock");
        options.connect_timeout = options.connect_timeout.min(PATIENCE);
        let mut session = Session::connect(&context.url(side)?, side, &options).await?;
        let mut best: Option<(Duration, i64)> = None;
        for _ in 0..TRIPS {
            let (sent, sent_ms) = (Instant::now(), clock::now_ms());
            let there = session
                .scalar(
                    "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000)
                                ::pg_catalog.int8::pg_catalog.text",
                    &[],
                )
                .await?;
            let trip = sent.elapsed();
            let there: i64 = there.and_then(|it| it.parse().ok()).ok_or_else(|| {
                Failure::new(ErrorKind::Internal, "a server's clock gave no number")
            })?;
            let half = i64::try_from(trip.as_millis() / 2).unwrap_or(0);
            let here = i64::try_from(sent_ms)
                .unwrap_or(i64::MAX)
                .saturating_add(half);
            if best.is_none_or(|(shortest, _)| trip < shortest) {
                best = Some((trip, there - here));
            }
        }
        session.close().await;
        Ok(Self(best.map_or(0, |(_, offset)| offset)))
    }

    /// The same, and none where the server does not answer.
    async fn guessed(context: &Context, side: Side) -> Self {
        match tokio::time::timeout(PATIENCE, Self::of(context, side)).await {
            Ok(Ok(offset)) => offset,
            Ok(Err(failure)) => {
                tracing::warn!(%failure, %side, "could not ask for the time");
                Self::default()
            }
            Err(_) => {
                tracing::warn!(%side, "could not ask for the time");
                Self::default()
            }
        }
    }

    /// A moment of this machine's clock, by that of the server.
    fn there(self, here_ms: u64) -> u64 {
        here_ms.saturating_add_signed(self.0)
    }

    /// A moment of the server's clock, by that of this machine.
    fn here(self, there_ms: u64) -> u64 {
        there_ms.saturating_add_signed(-self.0)
    }
}

/// Measures the gap of a cutover while it happens.
pub struct Meter {
    source: Offset,
    target: Offset,
    /// By this machine's clock; 0 before there is one.
    first_switched_ms: AtomicU64,
    last_switched_ms: AtomicU64,
    /// By the target's clock; 0 before there is one.
    first_write_ms: Arc<AtomicU64>,
    looker: Option<JoinHandle<()>>,
}

impl Meter {
    /// Begins to measure: the baseline is taken, and consumers come next.
    pub async fn start(context: &Context, store: &RunStore) -> Result<Self> {
        let lines = read_journal(store).await?;
        let (source, target) = tokio::join!(
            Offset::guessed(context, Side::Source),
            Offset::guessed(context, Side::Target)
        );
        let first_write_ms = Arc::new(AtomicU64::new(0));
        let looker = RunState::of(&lines).baseline.map(|baseline| {
            let (context, seen) = (context.clone(), first_write_ms.clone());
            tokio::spawn(async move {
                if let Err(failure) = Box::pin(look(&context, &baseline, &seen)).await {
                    tracing::warn!(%failure, "could not look for the first write on the target");
                }
            })
        });
        let (first, last) = switched_before(&lines);
        Ok(Self {
            source,
            target,
            first_switched_ms: AtomicU64::new(first),
            last_switched_ms: AtomicU64::new(last),
            first_write_ms,
            looker,
        })
    }

    /// What records for the switch, and looks at the clock when a consumer is confirmed.
    pub fn record<'m>(&'m self, record: &'m dyn Record) -> Timed<'m> {
        Timed {
            meter: self,
            record,
        }
    }

    /// Journals what is known by now.
    pub async fn tell(&self, fence: &Fence, journal: &Journal) -> Result<WriteGap> {
        let gap = self.gap(fence);
        journal.append(Entry::WriteGap(gap.clone())).await?;
        Ok(gap)
    }

    fn gap(&self, fence: &Fence) -> WriteGap {
        let known = |moment: &AtomicU64| Some(moment.load(Ordering::Relaxed)).filter(|ms| *ms > 0);
        let by_source = |ms| self.source.there(ms);
        WriteGap {
            refused_from_ms: fence.at_ms,
            first_switched_ms: known(&self.first_switched_ms).map(by_source),
            last_switched_ms: known(&self.last_switched_ms).map(by_source),
            first_write_seen_ms: known(&self.first_write_ms)
                .map(|ms| by_source(self.target.here(ms))),
        }
    }

    fn saw_switched(&self, now_ms: u64) {
        let first = &self.first_switched_ms;
        if first.load(Ordering::Relaxed) == 0 {
            first.store(now_ms, Ordering::Relaxed);
        }
        self.last_switched_ms.fetch_max(now_ms, Ordering::Relaxed);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(looker) = &self.looker {
            looker.abort();
        }
    }
}

/// A record that looks at the clock.
pub struct Timed<'m> {
    meter: &'m Meter,
    record: &'m dyn Record,
}

impl Record for Timed<'_> {
    fn record<'a>(
        &'a self,
        entry: Entry,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        if matches!(entry, Entry::SwitchDone { .. }) {
            self.meter.saw_switched(clock::now_ms());
        }
        self.record.record(entry)
    }
}

/// Looks at the target until it counts a row that was written since the baseline.
async fn look(context: &Context, baseline: &Baseline, seen: &AtomicU64) -> Result<()> {
    let mut session = target_writes::watching(context).await?;
    loop {
        let (rows, at_ms) = target_writes::seen(&mut session, baseline).await?;
        if rows > 0 {
            seen.store(at_ms, Ordering::Relaxed);
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    session.close().await;
    Ok(())
}

/// When an earlier process of this cutover switched its first and its last consumer, in whole seconds;
/// 0 when there was none.
fn switched_before(lines: &[Line]) -> (u64, u64) {
    let fenced = lines
        .iter()
        .rposition(|line| matches!(line.entry, Entry::Fenced(_)))
        .unwrap_or(0);
    let moments = lines[fenced.min(lines.len())..].iter().filter_map(|line| {
        let is_switch = matches!(line.entry, Entry::SwitchDone { .. });
        is_switch.then(|| moment(&line.at)).flatten()
    });
    let (first, last) = moments.fold((None, 0), |(first, last): (Option<u64>, u64), ms| {
        (Some(first.map_or(ms, |it| it.min(ms))), last.max(ms))
    });
    (first.unwrap_or(0), last)
}

fn moment(at: &str) -> Option<u64> {
    let seconds = OffsetDateTime::parse(at, &Rfc3339).ok()?.unix_timestamp();
    Some(u64::try_from(seconds).ok()? * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_model::cutover::FenceMode;

    fn line(at: &str, entry: Entry) -> Line {
        Line {
            at: at.to_owned(),
            entry,
        }
    }

    fn switched(binding: &str) -> Entry {
        Entry::SwitchDone {
            binding: binding.to_owned(),
        }
    }

    #[test]
    fn a_resumed_cutover_knows_when_its_first_consumer_was_switched() {
        let fence = Entry::Fenced(Fence {
            lsn: "0/1".to_owned(),
            at_ms: 1,
            mode: FenceMode::Refuse,
            tables: 1,
            weak: Vec::new(),
            open: Vec::new(),
        });
        let lines = [
            line("2026-11-23T01:00:00Z", switched("of an earlier cutover")),
            line("2026-11-23T02:00:00Z", fence),
            line("2026-11-23T02:00:05Z", switched("a")),
            line("2026-11-23T02:00:09Z", switched("b")),
        ];
        let (first, last) = switched_before(&lines);
        assert_eq!(last - first, 4000);
        assert_eq!(Some(first), moment("2026-11-23T02:00:05Z"));
        assert_eq!(switched_before(&lines[..0]), (0, 0));
    }

    #[test]
    fn three_clocks_become_one() {
        let meter = Meter {
            source: Offset(5_000),
            target: Offset(-2_000),
            first_switched_ms: AtomicU64::new(0),
            last_switched_ms: AtomicU64::new(0),
            first_write_ms: Arc::new(AtomicU64::new(98_500)),
            looker: None,
        };
        meter.saw_switched(100_000);
        meter.saw_switched(100_200);
        let gap = meter.gap(&Fence {
            lsn: "0/1".to_owned(),
            at_ms: 104_000,
            mode: FenceMode::Refuse,
            tables: 1,
            weak: Vec::new(),
            open: Vec::new(),
        });
        assert_eq!(gap.refused_from_ms, 104_000);
        assert_eq!(gap.first_switched_ms, Some(105_000));
        assert_eq!(gap.last_switched_ms, Some(105_200));
        assert_eq!(gap.first_write_seen_ms, Some(105_500));
    }
}
