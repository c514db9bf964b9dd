//! Who is measured, and how each is called.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use towpath_tests::{Installation, Watched};

use crate::bench::{Bench, Cpu, JOBS};
use crate::datasets::{Dataset, census};

const MASKS: &str = include_str!("masks.toml");
const PGANONYMIZE: &str = include_str!("pganonymize.yml");

/// Database that every clone becomes.
const CLONE: &str = "bench_clone";

/// Tables that pganonymize masks.
const ITS_TABLES: [&str; 4] = [
    "public.purchase",
    "public.paper",
    "saas.member",
    "saas.change",
];

/// A way to have another database of the same rows, or of masked ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `towpath clone --from RUN --unmasked`.
    Unmasked,
    /// `towpath clone --from RUN` with ten masked columns.
    Masked,
    /// `towpath clone --unmasked` of the source.
    UnmaskedFresh,
    /// `towpath clone` of the source with ten masked columns.
    MaskedFresh,
    /// `pg_restore` of a directory without compression.
    Restore,
    /// `pganonymize` of a restored database.
    Pganonymize,
}

impl Tool {
    pub const OWN: [Self; 4] = [
        Self::Unmasked,
        Self::Masked,
        Self::UnmaskedFresh,
        Self::MaskedFresh,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Unmasked => "clone --from, unmasked",
            Self::Masked => "clone --from, masked",
            Self::UnmaskedFresh => "clone, unmasked",
            Self::MaskedFresh => "clone, masked",
            Self::Restore => "pg_restore -Z0",
            Self::Pganonymize => "pganonymize",
        }
    }

    pub fn peer(text: &str) -> Option<Self> {
        match text {
            "restore" => Some(Self::Restore),
            "pganonymize" => Some(Self::Pganonymize),
            _ => None,
        }
    }

    /// Why it cannot be measured here.
    pub fn missing(self) -> Option<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has = |name: &str| std::env::split_paths(&path).any(|place| place.join(name).is_file());
        (self == Self::Pganonymize && !has("pganonymize"))
            .then_some("it is not on PATH (PyPI: pganonymize 0.13)")
    }

    fn is_masked(self) -> bool {
        matches!(self, Self::Masked | Self::MaskedFresh)
    }

    fn is_of_sealed(self) -> bool {
        matches!(self, Self::Unmasked | Self::Masked)
    }
}

/// One measurement: a number by name. `seconds` is what is compared.
pub type Figures = BTreeMap<&'static str, f64>;

/// A data set with its sealed run and its dump.
pub struct Prepared<'a> {
    data: Dataset,
    directory: PathBuf,
    towpath: &'a Path,
    environment: Vec<(String, String)>,
    run: String,
}

impl<'a> Prepared<'a> {
    /// Exports and dumps.
    pub fn make(bench: &Bench, data: Dataset, below: &Path, towpath: &'a Path) -> Self {
        bench.fresh();
        let directory = below.join("clone");
        if directory.exists() {
            std::fs::remove_dir_all(&directory).expect("empty the directory of clones");
        }
        std::fs::create_dir_all(&directory).expect("make a directory for clones");
        std::fs::write(directory.join("masks.toml"), MASKS).expect("write the rules");
        std::fs::write(directory.join("pganonymize.yml"), PGANONYMIZE).expect("write the rules");
        let set = |name: &str, value: String| (name.to_owned(), value);
        let mut prepared = Self {
            environment: vec![
                set("TOWPATH_SOURCE_URL", bench.source_url(&data)),
                set("TOWPATH_TARGET_URL", bench.target_url()),
                set("TOWPATH_PROGRESS", "json".to_owned()),
                set(
                    "TOWPATH_MASK_KEY",
                    "a key of the bench and of nothing else".to_owned(),
                ),
                // Every clone is made for itself.
                set("TOWPATH_CLONE_REUSE", "no".to_owned()),
            ],
            data,
            directory,
            towpath,
            run: String::new(),
        };
        let export = Watched::start(&mut prepared.command(&["export", "--yes"])).wait();
        let _ = export.expect_success("towpath export");
        let current = prepared.directory.join(".towpath/current-run");
        let run = std::fs::read_to_string(current).expect("there is a current run");
        run.trim().clone_into(&mut prepared.run);
        let mut dump = program("pg_dump");
        dump.args(["-Fd", "-Z0", &format!("-j{JOBS}"), "-d"])
            .arg(bench.source_url(&prepared.data))
            .arg("-f")
            .arg(prepared.directory.join("dump"));
        let _ = Watched::start(&mut dump).wait().expect_success("pg_dump");
        prepared
    }

    /// Frees the disk.
    pub fn remove(self) {
        std::fs::remove_dir_all(&self.directory).expect("remove the directory of clones");
    }

    /// Makes a clone with a tool and proves that it is whole.
    pub fn measure(&self, bench: &Bench, tool: Tool) -> Figures {
        bench.fresh();
        self.forget_clones(bench);
        let (figures, database) = match tool {
            Tool::Restore => (self.restore(bench), "measured"),
            Tool::Pganonymize => (self.pganonymize(bench), "measured"),
            own => (self.clone(bench, own), CLONE),
        };
        let found = census(&bench.target, database);
        let found: BTreeSet<&str> = found.lines().collect();
        let missing = self.data.census.lines().find(|line| !found.contains(line));
        assert_eq!(missing, None, "missing after {}", tool.name());
        figures
    }

    /// Databases and stored rows of the clones before.
    fn forget_clones(&self, bench: &Bench) {
        let named = format!(
            "select datname from pg_database where datname = '{CLONE}' or datname like 'towpath_clone_%'"
        );
        for database in bench.target.psql_superuser("postgres", &named).lines() {
            let drop = format!("drop database \"{database}\" with (force)");
            bench.target.psql_superuser("postgres", &drop);
        }
        let entries = std::fs::read_dir(self.directory.join(".towpath")).expect("there is a store");
        for entry in entries {
            let path = entry.expect("read a directory").path();
            let is_a_clone =
                path.is_dir() && !path.ends_with(&self.run) && path.join("plan.json").exists();
            if is_a_clone {
                std::fs::remove_dir_all(path).expect("remove a clone's run");
            }
        }
        bench.target.psql_superuser("postgres", "checkpoint");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.towpath);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.directory)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .args(arguments);
        command
    }

    fn clone(&self, bench: &Bench, tool: Tool) -> Figures {
        let mut arguments = vec!["clone", "--to", CLONE, "--keep", "0", "--yes"];
        if tool.is_of_sealed() {
            arguments.extend(["--from", self.run.as_str()]);
        }
        match tool.is_masked() {
            true => arguments.extend(["--rules", "masks.toml"]),
            false => arguments.push("--unmasked"),
        }
        let (ended, cpu) = bench.measure(&mut self.command(&arguments), "towpath clone");
        let verify = ended.stage("verify");
        let mut figures = Figures::from([
            // No peer verifies; what it takes is told beside.
            ("seconds", ended.seconds - verify.seconds),
            ("verify", verify.seconds),
            ("plan", ended.before_stages),
            ("memory_mib", mib(ended.high_water_kib)),
            ("cpu_tool", cpu.tool),
            ("cpu_moving", cpu.tool - verify.cpu_seconds),
        ]);
        for (name, stage) in [("export", "export"), ("load", "load")] {
            if let Some(stage) = ended.stages.get(stage) {
                figures.insert(name, stage.seconds);
            }
        }
        let raw = self.raw_bytes(tool.is_masked());
        figures.insert("raw_mb", raw / 1e6);
        figures.insert("mb_per_s", raw / 1e6 / (ended.seconds - verify.seconds));
        if let Some(export) = figures.get("export") {
            // What peers that mask as they dump are told to do: read, mask, store.
            figures.insert("stored_mb_per_s", raw / 1e6 / export);
        }
        with_cpu(figures, cpu)
    }

    /// Bytes that COPY gave of the tables with masks; of all tables of the sealed run where none has.
    fn raw_bytes(&self, masked: bool) -> f64 {
        let tables: BTreeSet<&str> = match masked {
            true => MASKS
                .lines()
                .filter_map(|line| line.strip_prefix("table = \"")?.strip_suffix('"'))
                .collect(),
            false => BTreeSet::new(),
        };
        self.raw_bytes_of(|name| tables.is_empty() || tables.contains(name))
    }

    fn raw_bytes_of(&self, wanted: impl Fn(&str) -> bool) -> f64 {
        let folder = self.directory.join(".towpath").join(&self.run);
        let manifest = std::fs::read(folder.join("manifest.json")).expect("the export is sealed");
        let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest is JSON");
        let tables = manifest["tables"].as_array().expect("tables is a list");
        tables
            .iter()
            .filter(|table| table["table"].as_str().is_some_and(&wanted))
            .filter_map(|table| table["raw_bytes"].as_f64())
            .sum()
    }

    fn restore(&self, bench: &Bench) -> Figures {
        let (ended, cpu) = bench.measure(&mut self.restoring(bench), "pg_restore");
        with_cpu(Figures::from([("seconds", ended.seconds)]), cpu)
    }

    fn restoring(&self, bench: &Bench) -> Command {
        let mut restore = program("pg_restore");
        restore
            .args(["--no-owner", "--no-acl", &format!("-j{JOBS}"), "-d"])
            .arg(bench.target_url())
            .arg(self.directory.join("dump"));
        restore
    }

    /// It masks in place: what it masks has been in the database before.
    fn pganonymize(&self, bench: &Bench) -> Figures {
        let (restored, restore_cpu) = bench.measure(&mut self.restoring(bench), "pg_restore");
        let mut command = Command::new("pganonymize");
        command
            .args(["--dbname", "measured", "--host", "127.0.0.1"])
            .args(["--user", bench.target.user()])
            .args(["--port", &bench.target.port().to_string()])
            .args(["--init-sql", "set search_path = public, saas, pg_catalog"])
            .arg("--schema")
            .arg(self.directory.join("pganonymize.yml"));
        let (masked, cpu) = bench.measure(&mut command, "pganonymize");
        let raw = self.raw_bytes_of(|name| ITS_TABLES.contains(&name));
        let figures = Figures::from([
            ("seconds", restored.seconds + masked.seconds),
            ("masking", masked.seconds),
            ("raw_mb", raw / 1e6),
            // Its masking alone: the better figure for it.
            ("mb_per_s", raw / 1e6 / masked.seconds),
        ]);
        with_cpu(with_cpu(figures, restore_cpu), cpu)
    }
}

fn with_cpu(mut figures: Figures, cpu: Cpu) -> Figures {
    *figures.entry("cpu_source").or_default() += cpu.source;
    *figures.entry("cpu_target").or_default() += cpu.target;
    *figures.entry("cpu_machine").or_default() += cpu.machine;
    if !figures.contains_key("cpu_moving") {
        *figures.entry("cpu_tool").or_default() += cpu.tool;
    }
    figures
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn program(name: &str) -> Command {
    Command::new(Installation::usual().program(name))
}
