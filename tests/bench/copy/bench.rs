//! The two servers, and one measurement after the other on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use towpath_tests::watch::{Ended, cpu_of_family, cpu_of_machine, cpu_of_self};
use towpath_tests::{Installation, KeptServer, Watched};

use crate::datasets::{Dataset, census};
use crate::wire::Wire;

const SETTINGS: &str = include_str!("../postgresql.conf");

/// Database of the target that every measurement finds empty.
const TARGET: &str = "measured";

/// Connections of every tool: the processors of the machine that the goals were set on.
pub const JOBS: usize = 2;

/// A pair of servers and a place for files.
pub struct Bench {
    pub source: KeptServer,
    pub target: KeptServer,
    pub scratch: PathBuf,
}

/// Processor seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub tool: f64,
    pub source: f64,
    pub target: f64,
    /// Everything that runs on this machine.
    pub machine: f64,
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        Self {
            tool: self.tool - before.tool,
            source: self.source - before.source,
            target: self.target - before.target,
            machine: self.machine - before.machine,
        }
    }
}

impl Bench {
    pub fn start(directory: &Path) -> Self {
        let major = Installation::usual().major();
        let servers = directory.join(format!("postgresql-{major}"));
        let scratch = directory.join("scratch");
        Self {
            source: KeptServer::source(&servers.join("source"), SETTINGS),
            target: KeptServer::target(&servers.join("target"), SETTINGS),
            scratch,
        }
    }

    /// An empty target and an empty scratch directory; nothing of the measurement before is left to
    /// be written by this one.
    pub fn fresh(&self) {
        let owner = self.target.user();
        self.target.psql_superuser(
            "postgres",
            &format!(
                "drop database if exists {TARGET} with (force);
                 create database {TARGET} template template0 owner {owner};
                 checkpoint"
            ),
        );
        self.source.psql_superuser("postgres", "checkpoint");
        if self.scratch.exists() {
            fs::remove_dir_all(&self.scratch).expect("empty the scratch directory");
        }
        fs::create_dir_all(&self.scratch).expect("make the scratch directory");
    }

    pub fn source_url(&self, data: &Dataset) -> String {
        self.source.url(&data.database)
    }

    pub fn target_url(&self) -> String {
        self.target.url(TARGET)
    }

    /// Panics unless the target holds what the source does.
    pub fn expect_loaded(&self, data: &Dataset, by: &str) {
        let found = census(&self.target, TARGET);
        let missing: Vec<&str> = data
            .census
            .lines()
            .filter(|line| !found.lines().any(|other| other == *line))
            .collect();
        assert!(
            missing.is_empty(),
            "after {by} the target of {} lacks {} lines, such as {}",
            data.database,
            missing.len(),
            missing[0]
        );
    }

    /// Runs a command to its end and says what it cost on all three sides.
    pub fn measure(&self, command: &mut Command, what: &str) -> (Ended, Cpu) {
        let before = self.cpu();
        let ended = Watched::start(command).wait().expect_success(what);
        let mut cpu = self.cpu().since(before);
        cpu.tool = ended.cpu_seconds;
        (ended, cpu)
    }

    /// The same for work of this process.
    pub fn measure_work(&self, work: impl FnOnce()) -> (f64, Cpu) {
        let before = self.cpu();
        let began = Instant::now();
        work();
        (began.elapsed().as_secs_f64(), self.cpu().since(before))
    }

    fn cpu(&self) -> Cpu {
        Cpu {
            tool: cpu_of_self(),
            source: cpu_of_family(self.source.pid()),
            target: cpu_of_family(self.target.pid()),
            machine: cpu_of_machine(),
        }
    }

    /// Bytes of COPY from source to target, two connections on each side, the biggest table first.
    /// `is_split` gives both connections of a big table their own pages.
    pub fn copy_rows(&self, data: &Dataset, is_split: bool) {
        let whole = |name: &str| (name.to_owned(), name.to_owned());
        let parts = data.tables.iter().flat_map(|table| {
            let name = &table.name;
            if !is_split || table.ranges.is_empty() {
                return vec![whole(name)];
            }
            let part = |range: &String| {
                (
                    name.clone(),
                    format!("(select * from {name} where {range})"),
                )
            };
            table.ranges.iter().map(part).collect()
        });
        let parts = Mutex::new(parts);
        let next = || parts.lock().expect("no thread panicked").next();
        at_once(|| {
            let mut source = Wire::connect(self.source.port(), self.source.user(), &data.database);
            let mut target = Wire::connect(self.target.port(), self.target.user(), TARGET);
            while let Some((table, rows)) = next() {
                source.copy_to(
                    &mut target,
                    &format!("copy {rows} to stdout (format binary)"),
                    &format!("copy {table} from stdin (format binary)"),
                );
            }
        });
    }

    /// What the target can say of its own rows: their number and the sum of a 64-bit hash of each.
    pub fn hash_target(&self, data: &Dataset) {
        hash(&self.target, TARGET, data);
    }

    /// The same of both servers at once.
    pub fn hash_both(&self, data: &Dataset) {
        std::thread::scope(|scope| {
            scope.spawn(|| hash(&self.source, &data.database, data));
            scope.spawn(|| hash(&self.target, TARGET, data));
        });
    }

    /// Changes one value in the middle of the biggest table of the target. None that is in a key.
    pub fn change_one_row(&self, data: &Dataset) {
        let table = &data.tables[0].name;
        let column = self.target.psql_superuser(
            TARGET,
            &format!(
                "select quote_ident(a.attname)
                   from pg_attribute a
                  where a.attrelid = '{table}'::regclass
                    and a.atttypid in ('int4'::regtype, 'int8'::regtype)
                    and a.attnum > 0
                    and a.attgenerated = ''
                    and not exists (select from pg_constraint c
                                     where c.conrelid = a.attrelid and a.attnum = any (c.conkey))
                  order by a.attnum
                  limit 1"
            ),
        );
        let column = column.trim();
        assert!(!column.is_empty(), "{table} has a number outside of keys");
        self.target.psql_superuser(
            TARGET,
            &format!(
                "update {table} set {column} = coalesce({column}, 0) + 1
                  where ctid = (select ctid from {table}
                                 offset (select count(*) / 2 from {table}) limit 1)"
            ),
        );
    }
}

fn hash(server: &KeptServer, database: &str, data: &Dataset) {
    let tables = Mutex::new(data.tables.iter());
    let next = || tables.lock().expect("no thread panicked").next();
    at_once(|| {
        let mut wire = Wire::connect(server.port(), server.user(), database);
        while let Some(table) = next() {
            wire.run(&format!(
                "select count(*), sum(hashtextextended(t::text, 0)) from {} t",
                table.name
            ));
        }
    });
}

/// The same work in as many threads as there are jobs.
fn at_once(work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(&work);
        }
    });
}
