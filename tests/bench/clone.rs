//! Clones beside `pg_restore` and beside a peer that masks, on the same servers in the same rounds.
//!
//! `scripts/bench clone` builds and runs it. The servers and the data set are those of the other bench
//! (`tests/bench/copy`), kept below `--directory`. Before the rounds the data set is exported once and
//! dumped once: neither is measured. Every measurement finds no clone on the target and both servers
//! checkpointed; what it leaves is counted: rows of every table, valid indexes, valid constraints.
#![expect(clippy::print_stdout, reason = "its output is the measurement")]

#[path = "copy/bench.rs"]
#[expect(dead_code, reason = "the other bench uses all of it")]
mod bench;
#[path = "copy/datasets.rs"]
#[expect(dead_code, reason = "the other bench uses all of it")]
mod datasets;
#[path = "clone/table.rs"]
mod table;
#[path = "clone/tools.rs"]
mod tools;
#[path = "copy/wire.rs"]
mod wire;

use std::path::PathBuf;

use serde_json::json;

use crate::bench::Bench;
use crate::datasets::{Set, dataset};
use crate::table::Results;
use crate::tools::{Prepared, Tool};

const USAGE: &str = "usage: bench-clone [--rounds N] [--scale F] [--sets d2,growth] \
    [--peers restore,pganonymize] [--json FILE] [--directory DIR] [--fresh] [--towpath FILE]";

/// Name and part of the scale: what grows is rows and nothing else.
const GROWTH: [(&str, f64); 2] = [("growth 1x", 0.125), ("growth 4x", 0.5)];

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    if options.fresh && options.directory.exists() {
        std::fs::remove_dir_all(&options.directory).expect("remove what an earlier bench kept");
    }
    let bench = Bench::start(&options.directory);
    let mut results = Results::default();
    if options.has("d2") {
        let data = dataset(&bench.source, Set::Saas, options.scale);
        let prepared = Prepared::make(&bench, data, &options.directory, &options.towpath);
        for round in 1..=options.rounds {
            let tools = options.tools(round);
            // Whoever is first finds colder caches and fewer segments of WAL to recycle: each in turn.
            let turn = (round - 1) % tools.len();
            for tool in tools.iter().cycle().skip(turn).take(tools.len()) {
                let figures = prepared.measure(&bench, *tool);
                println!(
                    "round {round}  {:<22}  {:>8.2} s",
                    tool.name(),
                    figures["seconds"]
                );
                results.add("d2", *tool, figures);
            }
            options.write(&results, round);
        }
        prepared.remove();
    }
    if options.has("growth") {
        for (name, share) in GROWTH {
            let data = dataset(&bench.source, Set::Saas, options.scale * share);
            let prepared = Prepared::make(&bench, data, &options.directory, &options.towpath);
            for round in 1..=options.rounds {
                let figures = prepared.measure(&bench, Tool::MaskedFresh);
                println!("round {round}  {name:<22}  {:>8.2} s", figures["seconds"]);
                results.add(name, Tool::MaskedFresh, figures);
            }
            prepared.remove();
        }
        options.write(&results, options.rounds);
    }
    println!("\n{}", results.table());
    println!("| demand | measured | wanted | |\n|---|---|---|---|");
    for line in results.demands().iter().filter_map(table::Demand::line) {
        println!("{line}");
    }
    bench.source.psql_superuser("postgres", "checkpoint");
    bench.target.psql_superuser("postgres", "checkpoint");
}

struct Options {
    rounds: usize,
    scale: f64,
    sets: Vec<String>,
    peers: Vec<Tool>,
    json: Option<PathBuf>,
    directory: PathBuf,
    fresh: bool,
    towpath: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let beside = std::env::current_exe().expect("know the own path");
        let mut options = Self {
            rounds: 3,
            scale: 1.0,
            sets: list("d2,growth"),
            peers: vec![Tool::Restore, Tool::Pganonymize],
            json: None,
            directory: towpath_tests::target_directory().join("bench"),
            fresh: false,
            towpath: beside.with_file_name("towpath-under-test"),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect(USAGE);
            match argument.as_str() {
                "--rounds" => options.rounds = value().parse().expect(USAGE),
                "--scale" => options.scale = value().parse().expect(USAGE),
                "--sets" => options.sets = list(&value()),
                "--peers" => {
                    options.peers = list(&value())
                        .iter()
                        .map(|name| {
                            Tool::peer(name).unwrap_or_else(|| panic!("what is {name}? {USAGE}"))
                        })
                        .collect();
                }
                "--json" => options.json = Some(value().into()),
                "--directory" => options.directory = absolute(&value()),
                "--fresh" => options.fresh = true,
                "--towpath" => options.towpath = absolute(&value()),
                other => panic!("what is {other}? {USAGE}"),
            }
        }
        for set in &options.sets {
            assert!(
                ["d2", "growth"].contains(&set.as_str()),
                "what is {set}? {USAGE}"
            );
        }
        options.peers.retain(|tool| match tool.missing() {
            Some(why) => {
                println!("{} is not measured: {why}", tool.name());
                false
            }
            None => true,
        });
        options
    }

    fn has(&self, set: &str) -> bool {
        self.sets.iter().any(|wanted| wanted == set)
    }

    /// The peer that masks takes minutes, for a goal that is far from the noise: once is enough.
    fn tools(&self, round: usize) -> Vec<Tool> {
        let peers = self.peers.iter().copied();
        let peers = peers.filter(|tool| round == 1 || *tool != Tool::Pganonymize);
        Tool::OWN.into_iter().chain(peers).collect()
    }

    /// After each round, so that an interrupted bench is not for nothing.
    fn write(&self, results: &Results, rounds: usize) {
        let Some(file) = &self.json else { return };
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let told = json!({"scale": self.scale, "rounds": rounds, "processors": processors});
        let text = serde_json::to_string_pretty(&results.json(told)).expect("results are JSON");
        std::fs::write(file, text + "\n").expect("write the results");
    }
}

/// Servers and tools are started elsewhere.
fn absolute(text: &str) -> PathBuf {
    std::path::absolute(text).expect("know the current directory")
}

fn list(text: &str) -> Vec<String> {
    let items = text.split(',').filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}
