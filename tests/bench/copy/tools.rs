//! Who is measured, and how each is called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use towpath_tests::{Installation, S3Server, Watched};

use crate::bench::{Bench, Cpu, JOBS};
use crate::datasets::Dataset;

/// A way to move a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `towpath run`, store in a directory.
    TowpathFile,
    /// `towpath run`, store on an S3 server on loopback.
    TowpathS3,
    /// `pgcopydb clone`.
    Pgcopydb,
    /// `pg_dump` and `pg_restore` of a directory without compression.
    DumpPlain,
    /// The same as they come.
    DumpGzip,
    /// The best raw COPY, then indexes, then foreign keys.
    Floor,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::TowpathFile => "towpath file",
            Self::TowpathS3 => "towpath s3",
            Self::Pgcopydb => "pgcopydb",
            Self::DumpPlain => "pg_dump -Z0",
            Self::DumpGzip => "pg_dump gzip",
            Self::Floor => "floor",
        }
    }

    pub fn parse_peer(text: &str) -> Option<Self> {
        match text {
            "pgcopydb" => Some(Self::Pgcopydb),
            "z0" => Some(Self::DumpPlain),
            "gzip" => Some(Self::DumpGzip),
            "floor" => Some(Self::Floor),
            _ => None,
        }
    }

    pub fn parse_store(text: &str) -> Option<Self> {
        match text {
            "file" => Some(Self::TowpathFile),
            "s3" => Some(Self::TowpathS3),
            _ => None,
        }
    }

    /// Why it cannot be measured here.
    pub fn missing(self) -> Option<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has = |name: &str| std::env::split_paths(&path).any(|place| place.join(name).is_file());
        (self == Self::Pgcopydb && !has("pgcopydb")).then_some("pgcopydb is not on PATH")
    }
}

/// One measurement: a number by name. `seconds` is what is compared.
pub type Figures = BTreeMap<&'static str, f64>;

/// What the bench was told about towpath.
pub struct Towpath<'a> {
    pub binary: &'a Path,
    /// Whether `verify` and the server's own hash are timed on what a run has loaded.
    pub verify: bool,
}

/// Moves the data set with a tool into an empty target and proves that it arrived.
pub fn measure(bench: &Bench, data: &Dataset, tool: Tool, towpath: &Towpath) -> Figures {
    bench.fresh();
    let figures = match tool {
        Tool::TowpathFile => run_on_files(bench, data, towpath),
        Tool::TowpathS3 => run_on_s3(bench, data, towpath),
        Tool::Pgcopydb => pgcopydb(bench, data),
        Tool::DumpPlain => dump_and_restore(bench, data, &["-Z0"]),
        Tool::DumpGzip => dump_and_restore(bench, data, &[]),
        Tool::Floor => return floor(bench, data),
    };
    bench.expect_loaded(data, tool.name());
    figures
}

fn with_cpu(mut figures: Figures, cpu: Cpu) -> Figures {
    for (name, seconds) in [
        ("cpu_tool", cpu.tool),
        ("cpu_source", cpu.source),
        ("cpu_target", cpu.target),
        ("cpu_machine", cpu.machine),
    ] {
        *figures.entry(name).or_default() += seconds;
    }
    figures
}

// ------------------------------------------------------------------------------------------------
// towpath
// ------------------------------------------------------------------------------------------------

/// A directory of a user's, and what they have set: both URLs and nothing that tunes.
struct Site<'a> {
    towpath: &'a Towpath<'a>,
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

impl<'a> Site<'a> {
    fn new(bench: &Bench, data: &Dataset, towpath: &'a Towpath) -> Self {
        let directory = bench.scratch.join("project");
        std::fs::create_dir(&directory).expect("make a project directory");
        let set = |name: &str, value: String| (name.to_owned(), value);
        Self {
            towpath,
            directory,
            environment: vec![
                set("TOWPATH_SOURCE_URL", bench.source_url(data)),
                set("TOWPATH_TARGET_URL", bench.target_url()),
                set("TOWPATH_PROGRESS", "json".to_owned()),
            ],
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.towpath.binary);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.directory)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .args(arguments);
        command
    }

    fn run_id(&self) -> String {
        let file = self.directory.join(".towpath/current-run");
        let text = std::fs::read_to_string(file).expect("there is a current run");
        text.trim().to_owned()
    }

    /// The run, and the verification of what it has loaded. Its own one is not counted: no peer has
    /// any.
    fn measure(&self, bench: &Bench, data: &Dataset) -> Figures {
        let (ended, cpu) = bench.measure(&mut self.command(&["run", "--yes"]), "towpath run");
        let verify = ended.stage("verify");
        let mut figures = Figures::from([
            ("seconds", ended.seconds - verify.seconds),
            ("plan", ended.before_stages),
            ("run_verify", verify.seconds),
            ("cpu_wall", ended.seconds),
            ("memory_mib", mib(ended.high_water_kib)),
            ("cpu_moving", cpu.tool - verify.cpu_seconds),
        ]);
        for (name, stage) in [
            ("export", "export"),
            ("load", "load"),
            ("post_data", "post-data"),
        ] {
            if let Some(stage) = ended.stages.get(stage) {
                figures.insert(name, stage.seconds);
            }
        }
        if self.towpath.verify {
            bench.expect_loaded(data, "towpath run");
            figures.extend(self.prove(bench, data));
        }
        with_cpu(figures, cpu)
    }
}

/// What it takes to prove what was loaded, each way of reading by itself, and the servers' own 64-bit
/// hash of the same rows.
impl Site<'_> {
    fn prove(&self, bench: &Bench, data: &Dataset) -> Figures {
        let run = self.run_id();
        let command = |options: &[&str]| self.command(&[&["verify", &run], options].concat());
        let seconds = |options: &[&str]| {
            let (ended, _) = bench.measure(&mut command(options), "towpath verify");
            ended.seconds
        };
        let (ended, cpu) = bench.measure(&mut command(&[]), "towpath verify");
        let live = ["--rows", "--source", "live"];
        let pushdown = [&live[..], &["--read", "pushdown"]].concat();
        let mut figures = Figures::from([
            ("verify", ended.seconds),
            ("cpu_verify", cpu.tool),
            ("memory_verify_mib", mib(ended.high_water_kib)),
            (
                "server_hash",
                bench.measure_work(|| bench.hash_target(data)).0,
            ),
            ("verify_rows", seconds(&["--rows"])),
            (
                "server_hash_both",
                bench.measure_work(|| bench.hash_both(data)).0,
            ),
            ("verify_live", seconds(&live)),
            ("verify_pushdown", seconds(&pushdown)),
        ]);
        bench.change_one_row(data);
        let ended = Watched::start(&mut command(&["--rows"])).wait();
        assert_eq!(ended.code, Some(12), "a changed row is found: {ended:?}");
        figures.insert("locate", ended.seconds);
        figures.insert("memory_locate_mib", mib(ended.high_water_kib));
        figures
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn run_on_files(bench: &Bench, data: &Dataset, towpath: &Towpath) -> Figures {
    let site = Site::new(bench, data, towpath);
    let figures = site.measure(bench, data);
    let manifest = site
        .directory
        .join(".towpath")
        .join(site.run_id())
        .join("manifest.json");
    let manifest = std::fs::read(manifest).expect("a run leaves a manifest");
    with_bytes(figures, &manifest)
}

fn run_on_s3(bench: &Bench, data: &Dataset, towpath: &Towpath) -> Figures {
    // One for each measurement: what an earlier one stored costs this one nothing.
    let server = S3Server::start();
    let aws = server.aws();
    aws.create_bucket("runs");
    let mut site = Site::new(bench, data, towpath);
    site.environment.extend(server.env());
    site.environment
        .push(("TOWPATH_STORE".to_owned(), "s3://runs/bench".to_owned()));
    let figures = site.measure(bench, data);
    let manifest = aws.object("runs", &format!("bench/{}/manifest.json", site.run_id()));
    with_bytes(figures, &manifest)
}

fn with_bytes(mut figures: Figures, manifest: &[u8]) -> Figures {
    let manifest: Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
    let tables = manifest["tables"].as_array().expect("tables is a list");
    let sum = |field: &str| -> f64 {
        let of = |table: &Value| table[field].as_f64().expect("a size is a number");
        tables.iter().map(of).sum()
    };
    figures.insert("raw_gb", sum("raw_bytes") / 1e9);
    figures.insert("stored_gb", sum("stored_bytes") / 1e9);
    let chunks = tables
        .iter()
        .flat_map(|table| table["chunks"].as_array().into_iter().flatten());
    for chunk in chunks {
        *figures.entry("chunks").or_default() += 1.0;
        if chunk["codec"] == "none" {
            *figures.entry("chunks_uncompressed").or_default() += 1.0;
        }
    }
    figures
}

// ------------------------------------------------------------------------------------------------
// Peers
// ------------------------------------------------------------------------------------------------

fn pgcopydb(bench: &Bench, data: &Dataset) -> Figures {
    let jobs = JOBS.to_string();
    let mut command = Command::new("pgcopydb");
    command
        .args(["clone", "--no-owner", "--no-acl"])
        .args(["--table-jobs", &jobs, "--index-jobs", &jobs, "--dir"])
        .arg(bench.scratch.join("pgcopydb"))
        .env("PGCOPYDB_SOURCE_PGURI", bench.source_url(data))
        .env("PGCOPYDB_TARGET_PGURI", bench.target_url());
    let (ended, cpu) = bench.measure(&mut command, "pgcopydb clone");
    with_cpu(Figures::from([("seconds", ended.seconds)]), cpu)
}

fn program(name: &str) -> Command {
    Command::new(Installation::usual().program(name))
}

fn dump_and_restore(bench: &Bench, data: &Dataset, options: &[&str]) -> Figures {
    let jobs = format!("-j{JOBS}");
    let directory = bench.scratch.join("dump");
    let mut dump = program("pg_dump");
    dump.args(["-Fd", &jobs])
        .args(options)
        .args(["-d", &bench.source_url(data), "-f"])
        .arg(&directory);
    let (dumped, dump_cpu) = bench.measure(&mut dump, "pg_dump");
    let mut restore = program("pg_restore");
    restore
        .args(["--no-owner", "--no-acl", &jobs, "-d", &bench.target_url()])
        .arg(&directory);
    let (restored, restore_cpu) = bench.measure(&mut restore, "pg_restore");
    let figures = Figures::from([
        ("seconds", dumped.seconds + restored.seconds),
        ("dump", dumped.seconds),
        ("restore", restored.seconds),
    ]);
    with_cpu(with_cpu(figures, dump_cpu), restore_cpu)
}

// ------------------------------------------------------------------------------------------------
// Floor
// ------------------------------------------------------------------------------------------------

/// Whole tables and split ones are two floors; the lower median of the rounds is taken, so both are
/// measured here. Indexes and foreign keys follow the second one.
fn floor(bench: &Bench, data: &Dataset) -> Figures {
    let schema = |bench: &Bench| -> PathBuf {
        let file = bench.scratch.join("schema");
        let mut dump = program("pg_dump");
        dump.args(["-Fc", "--schema-only", "-d", &bench.source_url(data), "-f"]);
        succeed(dump.arg(&file));
        let mut restore = restore(bench);
        succeed(restore.arg("--section=pre-data").arg(&file));
        bench.target.psql_superuser("postgres", "checkpoint");
        file
    };
    schema(bench);
    let (copy_whole, _) = bench.measure_work(|| bench.copy_rows(data, false));
    bench.fresh();
    let file = schema(bench);
    let (copy_split, copy_cpu) = bench.measure_work(|| bench.copy_rows(data, true));

    let mut listing = program("pg_restore");
    let listing = succeed(listing.args(["-l", "--section=post-data"]).arg(&file));
    let (keys, indexes): (Vec<&str>, Vec<&str>) = listing
        .lines()
        .filter(|line| !line.starts_with(';'))
        .partition(|line| line.contains(" FK CONSTRAINT "));
    let build = |what: &str, lines: &[&str]| -> (f64, Cpu) {
        if lines.is_empty() {
            return (0.0, Cpu::default());
        }
        let list = bench.scratch.join(what);
        std::fs::write(&list, lines.join("\n") + "\n").expect("write a list");
        let mut command = restore(bench);
        command
            .arg(format!("-j{JOBS}"))
            .arg("-L")
            .arg(list)
            .arg(&file);
        let (ended, cpu) = bench.measure(&mut command, what);
        (ended.seconds, cpu)
    };
    let (index, index_cpu) = build("indexes", &indexes);
    let (key, key_cpu) = build("foreign keys", &keys);
    bench.expect_loaded(data, "the floor");
    let figures = Figures::from([
        ("seconds", copy_whole.min(copy_split) + index + key),
        ("cpu_wall", copy_split + index + key),
        ("copy_whole", copy_whole),
        ("copy_split", copy_split),
        ("indexes", index),
        ("foreign_keys", key),
    ]);
    with_cpu(with_cpu(with_cpu(figures, copy_cpu), index_cpu), key_cpu)
}

fn restore(bench: &Bench) -> Command {
    let mut command = program("pg_restore");
    command.args(["--no-owner", "--no-acl", "-d", &bench.target_url()]);
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("start a command");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
