//! Which tables have their rows, and what is to be built on them next.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use towpath_model::plan::PlannedTable;
use towpath_model::script::{Phase, Statement};
use towpath_model::{ChunkId, QualifiedName, TableId};

use crate::early::Early;

/// Bytes of a table from which on each of its statements is worth a transaction of its own. What is
/// done to smaller ones costs less than its commit.
pub(crate) const WORTH_A_TRANSACTION: u64 = 8 << 20;

/// Statements on small tables that share a transaction: as many as their locks are no burden to the
/// server's table of locks.
const TOGETHER: usize = 64;

/// Parallel workers of one build at most: what a fifth brings is less than the memory it takes.
const MOST_WORKERS: u32 = 4;

/// How long a builder sleeps at most before it looks whether the run was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What one builder does in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    /// The tables that it is about.
    pub tables: Vec<usize>,
    /// Statements, in order.
    pub statements: Vec<Statement>,
    /// Tables to be analysed after them.
    pub analyze: Vec<QualifiedName>,
    /// Parallel workers for each of its index builds; as the target is set, where nobody knows its
    /// processors.
    pub workers: Option<u32>,
}

/// What a builder is told.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// Work.
    Job(Job),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    End,
}

/// The state that workers share. Chunks that are committed come in, jobs go out.
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Notify,
    jobs: usize,
    processors: Option<u32>,
}

struct Table {
    name: QualifiedName,
    bytes: u64,
    /// Chunks that are not in yet.
    awaited: HashSet<u32>,
    /// Index builds that are not done yet.
    building: usize,
    indexes: Vec<Statement>,
    constraints: Vec<Statement>,
    is_analysed_early: bool,
}

impl Table {
    fn cost(&self) -> usize {
        self.indexes.len() + self.constraints.len() + 1
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Big {
    bytes: u64,
    /// The last steps of a table first among equals: they are short, and then it is done.
    ends_table: bool,
    table: usize,
    at: usize,
}

struct State {
    tables: Vec<Table>,
    by_id: HashMap<TableId, usize>,
    big: BinaryHeap<Big>,
    small: VecDeque<usize>,
    small_cost: usize,
    /// Tables whose index builds are under way.
    unfinished: usize,
    /// Jobs that were taken and are not done.
    running: usize,
    rows_are_in: bool,
    analysed: HashSet<QualifiedName>,
}

impl Board {
    /// A board of every table of the plan; nothing is in yet. `done` are statements that are in the
    /// ledger, `late` are tables that ANALYZE has to wait for. `processors` are the target's.
    pub(crate) fn new(
        planned: &[PlannedTable],
        mut early: Early,
        done: &HashSet<u32>,
        late: &HashSet<QualifiedName>,
        jobs: usize,
        processors: Option<u32>,
    ) -> Self {
        let mut tables = Vec::with_capacity(planned.len());
        let mut by_id = HashMap::new();
        for (at, table) in planned.iter().enumerate() {
            let statements = early.by_table.remove(&table.name).unwrap_or_default();
            let left = statements.into_iter().filter(|it| !done.contains(&it.no));
            let (indexes, constraints) = left.partition(|it| it.phase == Phase::Index);
            by_id.insert(table.id.clone(), at);
            tables.push(Table {
                name: table.name.clone(),
                bytes: table.bytes,
                awaited: table.chunks.iter().map(|chunk| chunk.no).collect(),
                building: 0,
                indexes,
                constraints,
                is_analysed_early: table.rows.is_table()
                    && !early.looked_at_later.contains(&table.name)
                    && !late.contains(&table.name),
            });
        }
        Self {
            state: Mutex::new(State {
                tables,
                by_id,
                big: BinaryHeap::new(),
                small: VecDeque::new(),
                small_cost: 0,
                unfinished: 0,
                running: 0,
                rows_are_in: false,
                analysed: HashSet::new(),
            }),
            changed: Notify::new(),
            jobs: jobs.max(1),
            processors,
        }
    }

    /// The table of a chunk, by its place in the plan.
    pub(crate) fn place(&self, table: &TableId) -> Option<usize> {
        self.lock().by_id.get(table).copied()
    }

    /// Says that a chunk is committed, ledger row and all. Only then.
    pub(crate) fn is_in(&self, chunk: &ChunkId) {
        let mut state = self.lock();
        let Some(&at) = state.by_id.get(&chunk.table) else {
            return;
        };
        let table = &mut state.tables[at];
        if table.awaited.remove(&chunk.no) && table.awaited.is_empty() {
            state.open(at);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Says that no more chunks come.
    pub(crate) fn rows_are_in(&self) {
        self.lock().rows_are_in = true;
        self.changed.notify_waiters();
    }

    /// The biggest job there is.
    pub(crate) fn take(&self) -> Next {
        let mut state = self.lock();
        let mut next = state.take(self.jobs);
        if let Next::Job(job) = &mut next {
            state.running += 1;
            job.workers = self.workers(&state);
        }
        next
    }

    /// A build's share of the target's processors, less the one that builds without workers. What it
    /// starts beyond that only takes turns with the others, and each worker sorts a run of its own
    /// that has to be merged.
    fn workers(&self, state: &State) -> Option<u32> {
        let copying = if state.rows_are_in { 0 } else { self.jobs };
        let building = (state.running + state.big.len()).min(self.jobs);
        let busy = u32::try_from(copying + building).unwrap_or(u32::MAX).max(1);
        let share = self.processors? / busy;
        Some(share.saturating_sub(1).min(MOST_WORKERS))
    }

    /// Says that a job is committed.
    pub(crate) fn is_done(&self, job: &Job) {
        let mut state = self.lock();
        state.running -= 1;
        state.analysed.extend(job.analyze.iter().cloned());
        if let [at] = job.tables[..]
            && state.tables[at].building > 0
        {
            state.tables[at].building -= 1;
            if state.tables[at].building == 0 {
                state.unfinished -= 1;
                state.close(at);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until something may have changed.
    pub(crate) async fn wait(&self) {
        // Whoever is told between looking and waiting finds out a moment later.
        let _ = tokio::time::timeout(LOOK_AGAIN, self.changed.notified()).await;
    }

    /// The tables that are analysed.
    pub(crate) fn analysed(&self) -> HashSet<QualifiedName> {
        std::mem::take(&mut self.lock().analysed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A table has all its rows.
    fn open(&mut self, at: usize) {
        let table = &mut self.tables[at];
        if table.bytes < WORTH_A_TRANSACTION {
            if table.cost() > 1 || table.is_analysed_early {
                self.small_cost += table.cost();
                self.small.push_back(at);
            }
            return;
        }
        table.building = table.indexes.len();
        if table.building == 0 {
            self.close(at);
            return;
        }
        self.unfinished += 1;
        for index in 0..table.indexes.len() {
            self.big.push(Big {
                bytes: table.bytes,
                ends_table: false,
                table: at,
                at: index,
            });
        }
    }

    /// A big table has all its indexes.
    fn close(&mut self, at: usize) {
        let table = &self.tables[at];
        if !table.constraints.is_empty() || table.is_analysed_early {
            self.big.push(Big {
                bytes: table.bytes,
                ends_table: true,
                table: at,
                at: 0,
            });
        }
    }

    fn take(&mut self, jobs: usize) -> Next {
        if let Some(big) = self.big.pop() {
            return Next::Job(self.big_job(&big));
        }
        // One at a time they would be a transaction each: better to wait for company.
        if self.small_cost >= TOGETHER || self.rows_are_in && !self.small.is_empty() {
            return Next::Job(self.small_job(jobs));
        }
        // What is under way may end with more to do.
        if self.rows_are_in && self.unfinished == 0 {
            Next::End
        } else {
            Next::Wait
        }
    }

    fn big_job(&mut self, big: &Big) -> Job {
        let table = &mut self.tables[big.table];
        let mut job = Job {
            tables: vec![big.table],
            statements: Vec::new(),
            analyze: Vec::new(),
            workers: None,
        };
        if big.ends_table {
            job.statements = std::mem::take(&mut table.constraints);
            if table.is_analysed_early {
                job.analyze.push(table.name.clone());
            }
        } else {
            job.statements.push(table.indexes[big.at].clone());
        }
        job
    }

    /// All statements of a small table are in one transaction, so that no two builders lock small
    /// tables in different orders.
    fn small_job(&mut self, jobs: usize) -> Job {
        let share = self.small_cost.div_ceil(jobs).min(TOGETHER);
        let mut job = Job {
            tables: Vec::new(),
            statements: Vec::new(),
            analyze: Vec::new(),
            workers: None,
        };
        let mut cost = 0;
        while cost < share
            && let Some(at) = self.small.pop_front()
        {
            let table = &mut self.tables[at];
            cost += table.cost();
            self.small_cost -= table.cost();
            job.tables.push(at);
            job.statements.append(&mut table.indexes);
            job.statements.append(&mut table.constraints);
            if table.is_analysed_early {
                job.analyze.push(table.name.clone());
            }
        }
        job
    }
}

#[cfg(test)]
mod tests;
