//! What was measured, as one table, a list of demands, and JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tools::{Figures, Tool};

/// All rounds, by the name of the data set.
#[derive(Default)]
pub struct Results {
    rounds: BTreeMap<(String, Tool), Vec<Figures>>,
}

impl Results {
    pub fn add(&mut self, set: &str, tool: Tool, figures: Figures) {
        let case = (set.to_owned(), tool);
        self.rounds.entry(case).or_default().push(figures);
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

    fn ratio(&self, set: &str, tool: Tool, to: Tool) -> Option<f64> {
        let seconds = |tool| self.median(set, tool, "seconds");
        Some(seconds(tool)? / seconds(to)?)
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| set | tool | seconds without verification (all rounds) | x pg_restore | verification | MB/s of what it masks | CPU s: tool, source, target | MiB | of it |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        for (set, tool) in self.rounds.keys() {
            let of = |name: &str| shown(self.median(set, *tool, name));
            let all = self.values(set, *tool, "seconds");
            let parts = [
                ("plan", "plan"),
                ("export", "export"),
                ("load", "load"),
                ("masking", "masking"),
                ("raw_mb", "raw MB"),
                ("stored_mb_per_s", "MB/s stored"),
            ];
            let parts = parts.iter().filter_map(|(name, label)| {
                let value = self.median(set, *tool, name)?;
                Some(format!("{label} {value:.2}"))
            });
            let cells = [
                set.clone(),
                tool.name().to_owned(),
                format!(
                    "{} ({:.2}–{:.2}, n={})",
                    of("seconds"),
                    all[0],
                    all[all.len() - 1],
                    all.len()
                ),
                shown(self.ratio(set, *tool, Tool::Restore)),
                of("verify"),
                of("mb_per_s"),
                format!(
                    "{}, {}, {}",
                    of("cpu_tool"),
                    of("cpu_source"),
                    of("cpu_target")
                ),
                of("memory_mib"),
                parts.collect::<Vec<_>>().join(", "),
            ];
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text
    }

    /// What is wanted.
    pub fn demands(&self) -> Vec<Demand> {
        let most = |what: &str, value, limit| Demand {
            what: what.to_owned(),
            value,
            wanted: Wanted::AtMost(limit),
        };
        let grown = |name: &str| {
            let of = |set: &str| self.median(set, Tool::MaskedFresh, name);
            Some(of("growth 4x")? / of("growth 1x")?)
        };
        let speed = |tool: Tool| self.median("d2", tool, "mb_per_s");
        let stored = |tool: Tool| self.median("d2", tool, "stored_mb_per_s");
        let beyond = || Some(speed(Tool::Masked)? / speed(Tool::Pganonymize)?);
        let least = |what: &str, value, limit| Demand {
            what: what.to_owned(),
            value,
            wanted: Wanted::AtLeast(limit),
        };
        vec![
            most(
                "unmasked clone of a sealed run over pg_restore",
                self.ratio("d2", Tool::Unmasked, Tool::Restore),
                1.0,
            ),
            most(
                "ten masked columns over none, of a sealed run",
                self.ratio("d2", Tool::Masked, Tool::Unmasked),
                1.5,
            ),
            most(
                "ten masked columns over none, of the source",
                self.ratio("d2", Tool::MaskedFresh, Tool::UnmaskedFresh),
                1.5,
            ),
            least(
                "MB/s while they are masked and stored, of a sealed run",
                stored(Tool::Masked),
                40.0,
            ),
            least(
                "MB/s while they are masked and stored, of the source",
                stored(Tool::MaskedFresh),
                40.0,
            ),
            least("times the MB/s of pganonymize", beyond(), 20.0),
            most(
                "4x rows, masked: times the memory",
                grown("memory_mib"),
                1.2,
            ),
            most("4x rows, masked: times the seconds", grown("seconds"), 4.4),
        ]
    }

    /// Everything, for a program.
    pub fn json(&self, told: Value) -> Value {
        let case = |((set, tool), rounds): (&(String, Tool), &Vec<Figures>)| {
            json!({
                "set": set,
                "tool": tool.name(),
                "seconds": self.median(set, *tool, "seconds"),
                "over_pg_restore": self.ratio(set, *tool, Tool::Restore),
                "rounds": rounds,
            })
        };
        let demand = |demand: &Demand| json!({"what": demand.what, "value": demand.value, "met": demand.is_met()});
        json!({
            "v": 1,
            "told": told,
            "cases": self.rounds.iter().map(case).collect::<Vec<_>>(),
            "demands": self.demands().iter().map(demand).collect::<Vec<_>>(),
        })
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// A number, and what it should be.
pub struct Demand {
    what: String,
    value: Option<f64>,
    wanted: Wanted,
}

enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

impl Demand {
    fn is_met(&self) -> Option<bool> {
        self.value.map(|value| match self.wanted {
            Wanted::AtMost(limit) => value <= limit,
            Wanted::AtLeast(limit) => value >= limit,
        })
    }

    /// A line for a person; none when it was not measured.
    pub fn line(&self) -> Option<String> {
        let word = if self.is_met()? { "met" } else { "NOT MET" };
        let wanted = match self.wanted {
            Wanted::AtMost(limit) => format!("at most {limit}"),
            Wanted::AtLeast(limit) => format!("at least {limit}"),
        };
        Some(format!(
            "| {} | {} | {wanted} | {word} |",
            self.what,
            shown(self.value)
        ))
    }
}
