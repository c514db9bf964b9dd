//! A command that is watched while it runs: its events, its memory, its processor time.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(10);

/// A started command. Its standard error is read for the events of `TOWPATH_PROGRESS=json`.
pub struct Watched {
    child: Child,
    began: Instant,
    cpu_before: f64,
    memory: Arc<Mutex<Memory>>,
}

/// What a process has held.
#[derive(Default)]
struct Memory {
    /// What it is doing, as its events tell.
    doing: String,
    /// KiB held at most, by what it was doing, in order.
    peaks: Vec<(String, u64)>,
    /// KiB held at most, as the system counts.
    high_water: u64,
    ended: bool,
}

impl Memory {
    fn saw(&mut self, kib: u64) {
        match self.peaks.last_mut() {
            Some((doing, peak)) if *doing == self.doing => *peak = kib.max(*peak),
            _ => self.peaks.push((self.doing.clone(), kib)),
        }
    }
}

/// One stage of a command, between its two events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stage {
    /// Wall time.
    pub seconds: f64,
    /// Processor time of the process itself.
    pub cpu_seconds: f64,
}

/// A watched command after its end.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Wall time of the whole command.
    pub seconds: f64,
    /// Processor time of the command and the children it waited for.
    pub cpu_seconds: f64,
    /// KiB held at most, by what it was doing, in order.
    pub peaks: Vec<(String, u64)>,
    /// KiB held at most.
    pub high_water_kib: u64,
    /// Wall time before its first stage began.
    pub before_stages: f64,
    /// Stages by name.
    pub stages: BTreeMap<String, Stage>,
    /// What it said beside events.
    pub words: String,
}

impl Ended {
    /// Panics with the command's words if it failed.
    #[must_use]
    #[track_caller]
    pub fn expect_success(self, what: &str) -> Self {
        assert_eq!(self.code, Some(0), "{what} failed:\n{}", self.words);
        self
    }

    /// A stage that must have been.
    #[must_use]
    #[track_caller]
    pub fn stage(&self, name: &str) -> Stage {
        *self
            .stages
            .get(name)
            .unwrap_or_else(|| panic!("no event of stage {name}: {:?}", self.stages))
    }
}

impl Watched {
    /// Starts it; its standard output goes nowhere.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let cpu_before = cpu_of_children();
        let began = Instant::now();
        let child = command.spawn().expect("start a command");
        let memory = Arc::new(Mutex::new(Memory {
            doing: "beginning".to_owned(),
            ..Memory::default()
        }));
        let (seen, pid) = (memory.clone(), child.id());
        std::thread::spawn(move || {
            loop {
                let (now, high_water) = (status_kib(pid, "VmRSS:"), status_kib(pid, "VmHWM:"));
                let mut seen = seen.lock().expect("no thread panicked");
                if seen.ended {
                    break;
                }
                seen.saw(now);
                seen.high_water = high_water.max(seen.high_water);
                drop(seen);
                std::thread::sleep(LOOK);
            }
        });
        Self {
            child,
            began,
            cpu_before,
            memory,
        }
    }

    /// Waits for its end.
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let stderr = self.child.stderr.take().expect("stderr is piped");
        let mut stages = Stages::default();
        let mut words = String::new();
        for line in BufReader::new(stderr).lines() {
            let line = line.expect("stderr is text");
            match serde_json::from_str::<Value>(&line) {
                Ok(event) => {
                    let cpu = cpu_of(self.child.id()).own;
                    if let Some(doing) = stages.event(&event, cpu) {
                        self.memory.lock().expect("no thread panicked").doing = doing;
                    }
                }
                Err(_) => words.extend([line.as_str(), "\n"]),
            }
        }
        let status = self.child.wait().expect("wait for a command");
        let seconds = self.began.elapsed().as_secs_f64();
        let mut memory = self.memory.lock().expect("no thread panicked");
        memory.ended = true;
        Ended {
            code: status.code(),
            seconds,
            cpu_seconds: cpu_of_children() - self.cpu_before,
            peaks: std::mem::take(&mut memory.peaks),
            high_water_kib: memory.high_water,
            before_stages: stages
                .first
                .map_or(seconds, |first| (first - self.began).as_secs_f64()),
            stages: stages.finished,
            words,
        }
    }
}

#[derive(Default)]
struct Stages {
    first: Option<Instant>,
    begun: BTreeMap<String, (Instant, f64)>,
    finished: BTreeMap<String, Stage>,
}

impl Stages {
    /// What the process does from this event on.
    fn event(&mut self, event: &Value, cpu: f64) -> Option<String> {
        let stage = event["stage"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str()? {
            "started" => {
                self.first.get_or_insert_with(Instant::now);
                self.begun.insert(stage.clone(), (Instant::now(), cpu));
                Some(stage)
            }
            "finished" => {
                if let Some((start, cpu_then)) = self.begun.remove(&stage) {
                    let one = self.finished.entry(stage.clone()).or_default();
                    one.seconds += start.elapsed().as_secs_f64();
                    one.cpu_seconds += (cpu - cpu_then).max(0.0);
                }
                Some(format!("after {stage}"))
            }
            _ => None,
        }
    }
}

/// A line of what the system tells of a process; 0 when it is gone.
fn status_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Processor time in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    own: f64,
    /// Of children that were waited for, and theirs.
    children: f64,
}

/// Zero when the process is gone.
fn cpu_of(pid: u32) -> Cpu {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses that may hold anything; proc(5) counts from 1.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks = |number: usize| -> f64 {
        let text = fields.get(number - 3).copied().unwrap_or("0");
        text.parse().unwrap_or(0.0)
    };
    // USER_HZ is 100 on every architecture that runs this.
    Cpu {
        own: (ticks(14) + ticks(15)) / 100.0,
        children: (ticks(16) + ticks(17)) / 100.0,
    }
}

fn cpu_of_children() -> f64 {
    cpu_of(std::process::id()).children
}

/// Processor seconds of a process, of the children it has and of those it had.
#[must_use]
pub fn cpu_of_family(pid: u32) -> f64 {
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let alive: f64 = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .map(|child| {
            let cpu = cpu_of(child);
            cpu.own + cpu.children
        })
        .sum();
    let own = cpu_of(pid);
    own.own + own.children + alive
}

/// Processor seconds of this process itself.
#[must_use]
pub fn cpu_of_self() -> f64 {
    cpu_of(std::process::id()).own
}

/// Seconds for which the machine's processors were busy since it started, with anything.
#[must_use]
pub fn cpu_of_machine() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = all
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let busy = [0, 1, 2, 5, 6, 7].map(|field| ticks.get(field).copied().unwrap_or(0.0));
    busy.iter().sum::<f64>() / 100.0
}
