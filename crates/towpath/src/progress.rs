//! Shows events of the workers: bars on a terminal, lines elsewhere, JSON on request.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use towpath_model::event::{Event, Events, Stage, Unit};

use crate::table;

/// How often a plain line is written for a stage that works.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Where events go, by the setting `progress`.
pub fn events(mode: &str) -> Events {
    match mode {
        "none" => Events::silent(),
        "json" => Events::new(|event| {
            if let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(&event) {
                fields.insert("v".to_owned(), 1.into());
                eprintln!("{}", serde_json::Value::Object(fields));
            }
        }),
        "auto" if stderr_is_terminal() => bars(),
        _ => lines(),
    }
}

fn bars() -> Events {
    let all = MultiProgress::new();
    let bars: Mutex<HashMap<Stage, ProgressBar>> = Mutex::default();
    Events::new(move |event| {
        let Ok(mut bars) = bars.lock() else { return };
        match event {
            Event::Started { stage, total, unit } => {
                let bar = all.add(ProgressBar::new(total));
                bar.set_style(style(unit));
                bar.set_prefix(stage.label());
                bar.enable_steady_tick(Duration::from_millis(250));
                bars.insert(stage, bar);
            }
            Event::Advanced { stage, by } => {
                if let Some(bar) = bars.get(&stage) {
                    bar.inc(by);
                    // Bytes are estimated before they are read: a table may hold more than that.
                    if bar.length().is_some_and(|length| bar.position() > length) {
                        bar.set_length(bar.position());
                    }
                }
            }
            Event::Note { stage, text } => {
                // Through the bars, or the line would be drawn over.
                let _ = all.println(format!("{:<9} {text}", stage.label()));
            }
            Event::Finished { stage } => {
                if let Some(bar) = bars.remove(&stage) {
                    // Bytes were estimated from the heap; what was read is what there is.
                    bar.set_length(bar.position());
                    bar.finish();
                }
            }
        }
    })
}

fn style(unit: Unit) -> ProgressStyle {
    let template = match unit {
        Unit::Bytes => {
            "{prefix:<9} {bar:30} {binary_bytes:>10}/{binary_total_bytes:<10} {binary_bytes_per_sec:>12} eta {eta}"
        }
        Unit::Items => "{prefix:<9} {bar:30} {pos:>10}/{len:<10} {elapsed:>12}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

struct Line {
    total: u64,
    done: u64,
    unit: Unit,
    began: Instant,
    told: Instant,
}

impl Line {
    /// While a stage works: so much of so much.
    fn under_way(&self, stage: Stage) -> String {
        let percent = (self.done * 100)
            .checked_div(self.total)
            .unwrap_or(100)
            .min(100);
        let total = self.shown(self.total.max(self.done));
        let (done, pace) = (self.shown(self.done), self.pace());
        format!(
            "{:<9} {done} of {total}, {percent} %, {pace}",
            stage.label()
        )
    }

    /// After a stage: totals were estimates, what was done is a fact.
    fn done(&self, stage: Stage) -> String {
        format!(
            "{:<9} done, {}, {}",
            stage.label(),
            self.shown(self.done),
            self.pace()
        )
    }

    fn shown(&self, count: u64) -> String {
        match self.unit {
            Unit::Bytes => table::bytes(count),
            Unit::Items => count.to_string(),
        }
    }

    fn pace(&self) -> String {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.unit {
            Unit::Bytes if elapsed > 0 => format!(
                "{}, {}/s",
                table::duration(elapsed),
                table::bytes(self.done.saturating_mul(1000) / elapsed)
            ),
            _ => table::duration(elapsed),
        }
    }
}

fn lines() -> Events {
    let stages: Arc<Mutex<HashMap<Stage, Line>>> = Arc::default();
    Events::new(move |event| {
        let Ok(mut stages) = stages.lock() else {
            return;
        };
        match event {
            Event::Started { stage, total, unit } => {
                let now = Instant::now();
                stages.insert(
                    stage,
                    Line {
                        total,
                        done: 0,
                        unit,
                        began: now,
                        told: now,
                    },
                );
            }
            Event::Advanced { stage, by } => {
                if let Some(line) = stages.get_mut(&stage) {
                    line.done += by;
                    if line.told.elapsed() >= LINE_EVERY {
                        line.told = Instant::now();
                        eprintln!("{}", line.under_way(stage));
                    }
                }
            }
            Event::Note { stage, text } => eprintln!("{:<9} {text}", stage.label()),
            Event::Finished { stage } => {
                if let Some(line) = stages.remove(&stage) {
                    eprintln!("{}", line.done(stage));
                }
            }
        }
    })
}
