//! What was measured, as one table, a list of demands, and JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tools::{Figures, Tool};

/// All rounds of all cases, by the name of the data set.
#[derive(Default)]
pub struct Results {
    rounds: BTreeMap<(String, Tool), Vec<Figures>>,
    tables: BTreeMap<String, u64>,
}

impl Results {
    pub fn add(&mut self, set: &str, tool: Tool, figures: Figures) {
        let case = (set.to_owned(), tool);
        self.rounds.entry(case).or_default().push(figures);
    }

    /// How many tables there are to move.
    pub fn set_tables(&mut self, set: &str, tables: u64) {
        self.tables.insert(set.to_owned(), tables);
    }

    fn values(&self, set: &str, tool: Tool, name: &str) -> Vec<f64> {
        let case = (set.to_owned(), tool);
        let rounds = self.rounds.get(&case).into_iter().flatten();
        let mut values: Vec<f64> = rounds.filter_map(|one| one.get(name).copied()).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, set: &str, tool: Tool, name: &str) -> Option<f64> {
        let values = self.values(set, tool, name);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }

    /// The floor's copy is the better one of two, each by its own median.
    fn seconds(&self, set: &str, tool: Tool) -> Option<f64> {
        if tool != Tool::Floor {
            return self.median(set, tool, "seconds");
        }
        let of = |name: &str| self.median(set, tool, name);
        Some(of("copy_whole")?.min(of("copy_split")?) + of("indexes")? + of("foreign_keys")?)
    }

    /// Seconds of one tool over those of another.
    fn ratio(&self, set: &str, tool: Tool, to: Tool) -> Option<f64> {
        Some(self.seconds(set, tool)? / self.seconds(set, to)?)
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| set | tool | seconds (all rounds) | x pgcopydb | x floor | CPU s: tool, source, target | others' cores | MiB | of it |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for (set, tool) in self.rounds.keys() {
            let cells = [
                set.clone(),
                tool.name().to_owned(),
                self.seconds_cell(set, *tool),
                shown(self.ratio(set, *tool, Tool::Pgcopydb)),
                shown(self.ratio(set, *tool, Tool::Floor)),
                self.cpu_cell(set, *tool),
                shown(self.others(set, *tool)),
                self.median(set, *tool, "memory_mib")
                    .map_or_else(|| "–".to_owned(), |mib| format!("{mib:.0}")),
                self.detail(set, *tool),
            ];
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text
    }

    fn seconds_cell(&self, set: &str, tool: Tool) -> String {
        let all = self.values(set, tool, "seconds");
        let Some(seconds) = self.seconds(set, tool) else {
            return "–".to_owned();
        };
        let (least, most) = (all[0], all[all.len() - 1]);
        format!("{seconds:.2} ({least:.2}–{most:.2}, n={})", all.len())
    }

    fn cpu_cell(&self, set: &str, tool: Tool) -> String {
        let of = |name: &str| shown(self.median(set, tool, name));
        // The tool's without its verification, as its seconds.
        let own = if self.median(set, tool, "cpu_moving").is_some() {
            "cpu_moving"
        } else {
            "cpu_tool"
        };
        format!("{}, {}, {}", of(own), of("cpu_source"), of("cpu_target"))
    }

    /// Processors taken by what is not measured (a store's server included): with more than a quarter
    /// of one, walls are no figures, though ratios of one round still are.
    fn others(&self, set: &str, tool: Tool) -> Option<f64> {
        let of = |name: &str| self.median(set, tool, name);
        let wall = of("cpu_wall").or_else(|| of("seconds"))?;
        let measured = of("cpu_tool")? + of("cpu_source")? + of("cpu_target")?;
        Some(((of("cpu_machine")? - measured) / wall).max(0.0))
    }

    fn detail(&self, set: &str, tool: Tool) -> String {
        let names = [
            ("plan", "plan"),
            ("export", "export"),
            ("load", "load"),
            ("post_data", "post-data"),
            ("raw_gb", "raw GB"),
            ("stored_gb", "stored GB"),
            ("dump", "dump"),
            ("restore", "restore"),
            ("copy_whole", "copy of whole tables"),
            ("copy_split", "of split ones"),
            ("indexes", "indexes"),
            ("foreign_keys", "foreign keys"),
            ("verify", "`verify`"),
            ("verify_rows", "`verify --rows`"),
            ("server_hash", "server's own hash"),
            ("verify_live", "`verify --rows --source live`"),
            ("verify_pushdown", "with `--read pushdown`"),
            ("server_hash_both", "both servers' own hash"),
            ("locate", "`verify --rows` that finds one row"),
        ];
        let parts = names.iter().filter_map(|(name, label)| {
            let value = self.median(set, tool, name)?;
            Some(format!("{label} {value:.2}"))
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// What is wanted of the measured cases.
    pub fn demands(&self) -> Vec<Demand> {
        let mut demands = Vec::new();
        for (set, limits) in [
            ("d1", [1.0, 0.85, 0.85, 1.35]),
            ("d2", [0.75, 0.80, 0.45, 1.2]),
            ("d3", [1.0, 0.85, 0.5, 1.35]),
        ] {
            demands.extend(self.demands_on_set(set, limits));
        }
        demands.extend(self.demands_on_growth());
        demands.push(self.demand_on_tables());
        demands
    }

    fn demands_on_set(&self, set: &str, limits: [f64; 4]) -> Vec<Demand> {
        let own = Tool::TowpathFile;
        let of = |name: &str| self.median(set, own, name);
        let per = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
        let peers = [Tool::Pgcopydb, Tool::DumpPlain, Tool::DumpGzip, Tool::Floor];
        let mut demands: Vec<Demand> = peers
            .iter()
            .zip(limits)
            .map(|(peer, limit)| {
                let what = format!("{set}: towpath over {}", peer.name());
                Demand::new(what, self.ratio(set, own, *peer), limit)
            })
            .collect();
        let (chunks, plain) = (of("chunks"), of("chunks_uncompressed").unwrap_or(0.0));
        let is_plain = chunks.is_some_and(|chunks| chunks <= plain);
        let codec = if is_plain {
            "uncompressed"
        } else {
            "compressed"
        };
        demands.push(Demand::new(
            format!("{set}: towpath's CPU s per GB raw, {codec}"),
            per(of("cpu_moving"), of("raw_gb")),
            if is_plain { 2.0 } else { 5.5 },
        ));
        demands.push(Demand::new(
            format!("{set}: MiB held at most"),
            of("memory_mib"),
            200.0,
        ));
        for (what, name, beside, limit) in [
            ("`verify`", "verify", "server_hash", 1.0),
            ("`verify --rows`", "verify_rows", "server_hash", 1.0),
            ("live", "verify_live", "server_hash_both", 1.0),
            ("pushdown", "verify_pushdown", "server_hash_both", 1.5),
        ] {
            let what = format!("{set}: {what} over the servers' own 64-bit hash");
            demands.push(Demand::new(what, per(of(name), of(beside)), limit));
        }
        let what = format!("{set}: a row located, over nothing to locate");
        let located = per(of("locate"), of("verify_rows"));
        // The first pass, and at most twice as much again.
        demands.push(Demand::new(what, located, 3.0));
        demands
    }

    fn demands_on_growth(&self) -> [Demand; 2] {
        let grown = |name: &str| {
            let of = |set: &str| self.median(set, Tool::TowpathFile, name);
            Some(of("growth 4x")? / of("growth 1x")?)
        };
        [
            Demand::new(
                "4x rows: times the seconds".to_owned(),
                grown("seconds"),
                4.4,
            ),
            Demand::new(
                "4x rows: times the memory".to_owned(),
                grown("memory_mib"),
                1.2,
            ),
        ]
    }

    fn demand_on_tables(&self) -> Demand {
        let tables = self.tables.get("many").copied().unwrap_or(0);
        let beyond = || {
            let own = self.seconds("many", Tool::TowpathFile)?;
            let peer = self.seconds("many", Tool::Pgcopydb)?;
            #[expect(clippy::cast_precision_loss, reason = "a count of tables")]
            let tables = tables as f64;
            Some((own - peer) * 1000.0 / tables)
        };
        Demand::new(
            format!("{tables} small tables: ms a table beyond pgcopydb"),
            beyond(),
            10.0,
        )
    }

    /// Everything, for a program.
    pub fn json(&self, told: Value) -> Value {
        let case = |((set, tool), rounds): (&(String, Tool), &Vec<Figures>)| {
            json!({
                "set": set,
                "tool": tool.name(),
                "seconds": self.seconds(set, *tool),
                "over_pgcopydb": self.ratio(set, *tool, Tool::Pgcopydb),
                "over_floor": self.ratio(set, *tool, Tool::Floor),
                "rounds": rounds,
            })
        };
        let demand = |demand: Demand| {
            json!({
                "what": demand.what,
                "value": demand.value,
                "limit": demand.limit,
                "met": demand.is_met(),
            })
        };
        json!({
            "v": 1,
            "told": told,
            "cases": self.rounds.iter().map(case).collect::<Vec<_>>(),
            "demands": self.demands().into_iter().map(demand).collect::<Vec<_>>(),
        })
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// A number and what it may be at most.
pub struct Demand {
    what: String,
    value: Option<f64>,
    limit: f64,
}

impl Demand {
    fn new(what: String, value: Option<f64>, limit: f64) -> Self {
        Self { what, value, limit }
    }

    fn is_met(&self) -> Option<bool> {
        self.value.map(|value| value <= self.limit)
    }

    /// A line for a person; none when it was not measured.
    pub fn line(&self) -> Option<String> {
        let word = if self.is_met()? { "met" } else { "NOT MET" };
        let Self { what, limit, .. } = self;
        Some(format!(
            "| {what} | {} | {limit} | {word} |",
            shown(self.value)
        ))
    }
}
