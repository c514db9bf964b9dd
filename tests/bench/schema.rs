//! The schema stage side by side with pg_dump and psql: many tables, each with a key and three
//! indexes.
//!
//! `bench-schema [--tables N] [--rounds N] [--towpath FILE]` starts a source and a target of its own
//! and prints a line a round and the median ratio. pg_dump and psql are timed as whole commands, as
//! is `towpath plan`; the two halves of the load are timed from the events of `towpath run`. The
//! second one begins while tables are copied: that they are copied at all, though empty, is in it.
#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use towpath_tests::watch::Ended;
use towpath_tests::{Installation, Pair, Project, Target, TargetShape, Watched, pair};

const USAGE: &str = "usage: bench-schema [--tables N] [--rounds N] [--towpath FILE]";

/// Tables made per transaction: the locks of one must fit the server's table of locks.
const PER_TRANSACTION: usize = 500;

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    let pair = laden_pair(options.tables);
    println!("{} tables, each a key and 3 indexes", options.tables);
    println!("round  pg_dump  psql     sum    | plan     pre-data post-data sum    | ratio  MiB");
    let mut ratios = Vec::new();
    for round in 1..=options.rounds {
        let peer = Peer::measure(&pair, round);
        let own = Own::measure(&pair, &options.towpath);
        let ratio = own.sum() / peer.sum();
        println!(
            "{round:<6} {:<8.1} {:<8.1} {:<6.1} | {:<8.1} {:<8.1} {:<9.1} {:<6.1} | {ratio:<6.2} {}",
            peer.dump,
            peer.replay,
            peer.sum(),
            own.plan,
            own.pre_data,
            own.post_data,
            own.sum(),
            own.memory_mib(),
        );
        let memory: Vec<String> = own
            .peaks
            .iter()
            .map(|(at, kib)| format!("{at} {}", kib >> 10))
            .collect();
        println!("       MiB: {}", memory.join(", "));
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ratios.len() / 2]);
}

struct Options {
    tables: usize,
    rounds: usize,
    towpath: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let beside = std::env::current_exe().expect("know the own path");
        let mut options = Self {
            tables: 10_000,
            rounds: 3,
            towpath: beside.with_file_name("towpath-under-test"),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect(USAGE);
            match argument.as_str() {
                "--tables" => options.tables = value().parse().expect(USAGE),
                "--rounds" => options.rounds = value().parse().expect(USAGE),
                "--towpath" => options.towpath = value().into(),
                other => panic!("what is {other}? {USAGE}"),
            }
        }
        options
    }
}

/// One transaction locks all tables, in pg_dump as in towpath, so every server gets room for that.
const ROOM_FOR_LOCKS: &str = "alter system set max_locks_per_transaction = 2000";

/// A pair whose source holds many tables.
fn laden_pair(tables: usize) -> Pair {
    let mut pair = pair();
    pair.source.psql_superuser(ROOM_FOR_LOCKS);
    pair.source.cluster.crash_and_restart();
    pair.source.psql("create schema many");
    for first in (0..tables).step_by(PER_TRANSACTION) {
        let last = (first + PER_TRANSACTION).min(tables) - 1;
        pair.source.psql(&format!(
            "do $$ begin for n in {first}..{last} loop execute format('
                create table many.t%1$s (
                    id bigint generated always as identity primary key,
                    owner uuid not null default gen_random_uuid(),
                    label text not null check (label <> ''''),
                    amount numeric(12, 2) default 0,
                    made_at timestamptz not null default now()
                );
                create index on many.t%1$s (owner);
                create index on many.t%1$s (made_at desc, id);
                create index on many.t%1$s (lower(label)) where amount > 0', n);
            end loop; end $$"
        ));
    }
    pair.source.psql("analyze");
    pair
}

/// A target of its own for every measurement: nothing is left of the one before.
fn fresh_target() -> Target {
    let mut target = Target::start(&TargetShape::default());
    target.psql_superuser(ROOM_FOR_LOCKS);
    target.cluster.crash_and_restart();
    target
}

/// Seconds of the tools everybody has.
struct Peer {
    dump: f64,
    replay: f64,
}

impl Peer {
    fn sum(&self) -> f64 {
        self.dump + self.replay
    }

    fn measure(pair: &Pair, round: usize) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let file = directory.path().join(format!("{round}.sql"));
        let dump = seconds(|| {
            let mut command = Command::new(Installation::usual().program("pg_dump"));
            command.args(["--schema-only", "--no-owner", "-d", &pair.source.url()]);
            succeed(command.arg("-f").arg(&file));
        });
        let target = fresh_target();
        let replay = seconds(|| {
            // It meets errors (roles, extensions and event triggers that the target cannot have) and
            // goes on, as everybody lets it.
            let mut command = Command::new(Installation::usual().program("psql"));
            command.args(["-Xq", "-d", &target.url(), "-f"]).arg(&file);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().expect("run psql");
        });
        Self { dump, replay }
    }
}

/// Seconds of towpath, and its memory.
struct Own {
    plan: f64,
    pre_data: f64,
    post_data: f64,
    /// KiB held at most, by what was going on.
    peaks: Vec<(String, u64)>,
}

impl Own {
    fn sum(&self) -> f64 {
        self.plan + self.pre_data + self.post_data
    }

    fn memory_mib(&self) -> u64 {
        self.peaks
            .iter()
            .map(|(_, kib)| kib >> 10)
            .max()
            .unwrap_or(0)
    }

    fn measure(pair: &Pair, binary: &Path) -> Self {
        let target = fresh_target();
        let project = Project::new(
            Box::leak(binary.to_string_lossy().into_owned().into_boxed_str()),
            pair,
        )
        .with("TOWPATH_TARGET_URL", &target.url())
        .with("TOWPATH_PROGRESS", "json");
        let watched = |arguments: &[&str]| {
            let ended = Watched::start(&mut project.command(arguments)).wait();
            ended.expect_success("towpath")
        };
        let (plan, run) = (watched(&["plan"]), watched(&["run", "--yes"]));
        let at_most = |ended: &Ended| ("at most".to_owned(), ended.high_water_kib);
        let (plan_peak, run_peak) = (at_most(&plan), at_most(&run));
        Self {
            plan: plan.seconds,
            pre_data: run.stage("pre-data").seconds,
            post_data: run.stage("post-data").seconds,
            peaks: plan
                .peaks
                .into_iter()
                .chain([plan_peak])
                .chain(run.peaks)
                .chain([run_peak])
                .collect(),
        }
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("start a command");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
