//! towpath beside its peers, on the same servers in the same rounds.
//!
//! `scripts/bench` builds and runs it. Source and target are servers of its own, made and filled below
//! `--directory` on first use and kept there. Every measurement finds an empty target and both servers
//! checkpointed; every tool is called as its users call it, with two jobs, and what it leaves is
//! counted: rows of every table, valid indexes, valid constraints.
//!
//! The source's login is the customer's `postgres` of Supabase, the target's one a master of RDS: none
//! is a superuser. No TLS, no passwords.
#![expect(clippy::print_stdout, reason = "its output is the measurement")]

#[path = "copy/bench.rs"]
mod bench;
#[path = "copy/datasets.rs"]
mod datasets;
#[path = "copy/table.rs"]
mod table;
#[path = "copy/tools.rs"]
mod tools;
#[path = "copy/wire.rs"]
mod wire;

use std::path::PathBuf;

use serde_json::json;

use crate::bench::Bench;
use crate::datasets::{Dataset, Set, dataset};
use crate::table::Results;
use crate::tools::{Tool, Towpath, measure};

const USAGE: &str = "usage: bench-copy [--rounds N] [--scale F] [--sets d1,d2,d3,growth,many] \
    [--store file,s3] [--peers pgcopydb,z0,gzip,floor] [--json FILE] [--directory DIR] [--fresh] [--towpath FILE]";

/// Of D3, which has one table: what grows is rows and nothing else.
const GROWTH: [(&str, f64); 2] = [("growth 1x", 0.125), ("growth 4x", 0.5)];

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    if options.fresh && options.directory.exists() {
        std::fs::remove_dir_all(&options.directory).expect("remove what an earlier bench kept");
    }
    let bench = Bench::start(&options.directory);
    let cases = cases(&options, &bench);
    let mut results = Results::default();
    for case in &cases {
        let tables = u64::try_from(case.data.tables.len()).expect("a count of tables");
        results.set_tables(&case.name, tables);
    }
    for round in 1..=options.rounds {
        for case in cases.iter().filter(|case| round <= case.rounds) {
            // Whoever is first finds colder caches and fewer segments of WAL to recycle: each in turn.
            let turn = (round - 1) % case.tools.len();
            for tool in case.tools.iter().cycle().skip(turn).take(case.tools.len()) {
                let towpath = Towpath {
                    binary: &options.towpath,
                    verify: *tool == Tool::TowpathFile && case.verify,
                };
                let figures = measure(&bench, &case.data, *tool, &towpath);
                println!(
                    "round {round}  {:<9}  {:<12}  {:>8.2} s",
                    case.name,
                    tool.name(),
                    figures["seconds"]
                );
                results.add(&case.name, *tool, figures);
            }
        }
        options.write(&results, round);
    }
    println!("\n{}", results.table());
    println!("| demand | measured | at most | |\n|---|---|---|---|");
    for line in results.demands().iter().filter_map(table::Demand::line) {
        println!("{line}");
    }
    // Only what would have to be replayed if the servers end now.
    bench.source.psql_superuser("postgres", "checkpoint");
    bench.target.psql_superuser("postgres", "checkpoint");
}

/// A data set and who moves it.
struct Case {
    name: String,
    data: Dataset,
    tools: Vec<Tool>,
    /// It is left out of the rounds after these.
    rounds: usize,
    verify: bool,
}

fn cases(options: &Options, bench: &Bench) -> Vec<Case> {
    let mut cases = Vec::new();
    let available = |tool: &Tool| {
        let missing = tool.missing();
        if let Some(why) = missing {
            println!("{} is not measured: {why}", tool.name());
        }
        missing.is_none()
    };
    let peers: Vec<Tool> = options.peers.iter().copied().filter(available).collect();
    let own = &options.stores;
    for set in Set::COPIED
        .into_iter()
        .filter(|set| options.has(set.name()))
    {
        cases.push(Case {
            name: set.name().to_owned(),
            data: dataset(&bench.source, set, options.scale),
            tools: own.iter().chain(&peers).copied().collect(),
            rounds: options.rounds,
            verify: true,
        });
    }
    if options.has("growth") {
        for (name, share) in GROWTH {
            cases.push(Case {
                name: name.to_owned(),
                data: dataset(&bench.source, Set::Skew, options.scale * share),
                tools: vec![Tool::TowpathFile],
                rounds: options.rounds,
                verify: false,
            });
        }
    }
    if options.has("many") {
        let peer = peers.iter().copied().filter(|tool| *tool == Tool::Pgcopydb);
        cases.push(Case {
            name: "many".to_owned(),
            data: dataset(&bench.source, Set::Many, options.scale),
            tools: std::iter::once(Tool::TowpathFile).chain(peer).collect(),
            // Minutes each, for a goal that is far from the noise.
            rounds: 1,
            verify: false,
        });
    }
    cases
}

struct Options {
    rounds: usize,
    scale: f64,
    sets: Vec<String>,
    stores: Vec<Tool>,
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
            sets: list("d1,d2,d3,growth,many"),
            stores: vec![Tool::TowpathFile, Tool::TowpathS3],
            peers: vec![Tool::Pgcopydb, Tool::DumpPlain, Tool::DumpGzip, Tool::Floor],
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
                "--sets" => options.sets = known_sets(&value()),
                "--store" => options.stores = tools(&value(), Tool::parse_store),
                "--peers" => options.peers = tools(&value(), Tool::parse_peer),
                "--json" => options.json = Some(value().into()),
                "--directory" => options.directory = absolute(&value()),
                "--fresh" => options.fresh = true,
                "--towpath" => options.towpath = absolute(&value()),
                other => panic!("what is {other}? {USAGE}"),
            }
        }
        options
    }

    fn has(&self, set: &str) -> bool {
        self.sets.iter().any(|wanted| wanted == set)
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

fn known_sets(text: &str) -> Vec<String> {
    let sets = list(text);
    for set in &sets {
        let known = Set::parse(set).is_some() || set == "growth" || set == "many";
        assert!(known, "what is {set}? {USAGE}");
    }
    sets
}

fn tools(text: &str, parse: impl Fn(&str) -> Option<Tool>) -> Vec<Tool> {
    let parsed = list(text)
        .into_iter()
        .map(|item| parse(&item).unwrap_or_else(|| panic!("what is {item}? {USAGE}")));
    parsed.collect()
}
