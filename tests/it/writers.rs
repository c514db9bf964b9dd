//! Applications that write all the time, through the copy and the cutover.
//!
//! Each remembers what was acknowledged to it, and when. What was acknowledged must be on exactly one
//! side of the fence, and all of it on the target in the end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use towpath_tests::{
    Aws, MiniStack, Pair, SplitMix64, TargetShape, pair_with, project, wait_until,
};

const TABLES: &str = "
create table public.written (
    id bigint generated always as identity primary key,
    writer integer not null, n integer not null, version integer not null,
    unique (writer, n));
create table public.written_log (writer integer, n integer, at timestamptz default clock_timestamp());";

/// Where a writer finds its database, as an application would.
#[derive(Clone)]
enum Place {
    Variable(&'static str),
    Secret(String),
}

impl Place {
    fn url(&self, aws: &Aws) -> String {
        match self {
            Self::Variable(function) => {
                let mut variables = aws.configuration(function).environment;
                variables
                    .remove("DATABASE_URL")
                    .expect("the function has a URL")
            }
            Self::Secret(arn) => aws.secret(arn),
        }
    }
}

/// A session that is kept open, as a pool's.
struct Psql {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Psql {
    fn open(url: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start psql");
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            stdin,
            stdout,
        }
    }

    /// Whether the server acknowledged the statement. A session that broke has not.
    fn acknowledged(&mut self, sql: &str) -> bool {
        let asked = writeln!(self.stdin, "{sql};\n\\echo towpath-ack :ERROR")
            .and_then(|()| self.stdin.flush());
        if asked.is_err() {
            return false;
        }
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line).unwrap_or(0) == 0 {
                return false;
            }
            if let Some(failed) = line.trim().strip_prefix("towpath-ack ") {
                return failed == "false";
            }
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What was acknowledged to one writer.
#[derive(Default, Clone, Debug, PartialEq)]
struct Rows {
    /// Version of each row that is there, by number.
    written: BTreeMap<u32, u32>,
    /// Lines of the log.
    logged: u32,
}

/// What one writer knows at its end.
#[derive(Default, Debug)]
struct Memory {
    /// After the last acknowledgement of the source.
    at_source: Rows,
    /// After the last one of all.
    in_the_end: Rows,
    last_at_source_ms: u64,
    first_at_target_ms: Option<u64>,
    /// Writes that the source refused.
    refused: u32,
    acknowledged_at_target: u32,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("a clock after 1970").as_millis()).expect("it fits")
}

/// Writes until it is told to stop, wherever its URL leads to.
fn write_on(writer: u32, place: &Place, aws: &Aws, source_port: u16, stop: &AtomicBool) -> Memory {
    let mut random = SplitMix64(u64::from(writer) + 1);
    let mut memory = Memory::default();
    let mut rows = Rows::default();
    let mut url = place.url(aws);
    let mut session = Psql::open(&url);
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        next += 1;
        let (sql, after) = change(writer, next, &rows, random.number());
        if session.acknowledged(&sql) {
            rows = after;
            let now = now_ms();
            if url.contains(&format!(":{source_port}/")) {
                assert!(
                    memory.first_at_target_ms.is_none(),
                    "writer {writer} went back to the source"
                );
                memory.at_source = rows.clone();
                memory.last_at_source_ms = now;
            } else {
                memory.first_at_target_ms.get_or_insert(now);
                memory.acknowledged_at_target += 1;
            }
            std::thread::sleep(Duration::from_millis(15));
            continue;
        }
        memory.refused += 1;
        std::thread::sleep(Duration::from_millis(50));
        let found = place.url(aws);
        if found != url {
            url = found;
            session = Psql::open(&url);
        }
    }
    memory.in_the_end = rows;
    memory
}

/// One transaction: a row more, a row changed, a row gone; and a line in the log of it.
fn change(writer: u32, n: u32, rows: &Rows, random: u64) -> (String, Rows) {
    let mut after = rows.clone();
    after.logged += 1;
    let count = u64::try_from(rows.written.len()).unwrap_or(u64::MAX).max(1);
    let at = usize::try_from(random / 10 % count).unwrap_or(0);
    let known = rows.written.keys().nth(at).copied();
    let what = match (random % 10, known) {
        (0..=1, Some(old)) => {
            after.written.remove(&old);
            format!("delete from public.written where writer = {writer} and n = {old}")
        }
        (2..=5, Some(old)) => {
            after.written.insert(old, n);
            format!("update public.written set version = {n} where writer = {writer} and n = {old}")
        }
        _ => {
            after.written.insert(n, 0);
            format!("insert into public.written (writer, n, version) values ({writer}, {n}, 0)")
        }
    };
    let sql = format!(
        "with it as ({what} returning n)
         insert into public.written_log (writer, n) select {writer}, {n} from it"
    );
    (sql, after)
}

/// What a side holds of one writer.
fn found(psql: &dyn Fn(&str) -> String, writer: u32) -> Rows {
    let rows = psql(&format!(
        "select format('%s %s', n, version) from public.written where writer = {writer} order by n"
    ));
    let number = |text: Option<&str>| text.and_then(|it| it.parse().ok()).expect("a number");
    let pairs = rows.lines().map(|line| {
        let mut parts = line.split(' ');
        (number(parts.next()), number(parts.next()))
    });
    let logged = psql(&format!(
        "select count(*) from public.written_log where writer = {writer}"
    ));
    Rows {
        written: pairs.collect(),
        logged: number(Some(&logged)),
    }
}

fn assert_nothing_is_lost_or_doubled(pair: &Pair, memories: &[Memory]) {
    for (writer, memory) in (0..).zip(memories) {
        let source = found(&|sql| pair.source.psql_superuser(sql), writer);
        let target = found(&|sql| pair.target.psql_superuser(sql), writer);
        assert_eq!(source, memory.at_source, "writer {writer} at the source");
        assert_eq!(target, memory.in_the_end, "writer {writer} at the target");
    }
    let doubled = pair
        .target
        .psql_superuser("select count(*) - count(distinct (writer, n)) from public.written_log");
    assert_eq!(doubled, "0");
}

fn writers_lose_nothing(writers: u32, capable: bool) {
    let pair = pair_with(&TargetShape {
        capable,
        ..TargetShape::default()
    });
    pair.source.psql(TABLES);
    let ministack = MiniStack::start();
    let aws = ministack.aws();
    let url = pair.source.url();
    aws.create_function("orders-api", &[("DATABASE_URL", &url)]);
    let secret = aws.create_secret("orders/database", &url);
    aws.create_function("orders-worker", &[("DB_SECRET_ARN", &secret)]);
    let project = project!(&pair)
        .with_all(&ministack.env())
        .with("TOWPATH_SWITCH_PREFIXES", "orders-");
    let places = [Place::Variable("orders-api"), Place::Secret(secret)];
    let stop = AtomicBool::new(false);
    let port = pair.source.cluster.port();
    let memories: Vec<Memory> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .zip(places.iter().cycle())
            .map(|(writer, place)| {
                let (aws, stop) = (ministack.aws(), &stop);
                scope.spawn(move || write_on(writer, place, &aws, port, stop))
            })
            .collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let written = |least: u32| {
                let count = pair
                    .source
                    .psql_superuser("select count(*) from public.written_log");
                count.parse::<u32>().expect("a count") >= least
            };
            wait_until("writers write", Duration::from_secs(30), || written(20));
            project.expect(0, &["run", "--yes"]);
            let id = project.run_id();
            project.expect(0, &["cutover", "--confirm", &id, "--watch", "3s"]);
        }));
        stop.store(true, Ordering::Relaxed);
        let memories = threads
            .into_iter()
            .map(|thread| thread.join().expect("a writer panicked"))
            .collect();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        memories
    });
    for memory in &memories {
        assert!(memory.refused > 0, "nobody was fenced: {memory:?}");
        assert!(memory.acknowledged_at_target > 0, "nobody came: {memory:?}");
    }
    assert_nothing_is_lost_or_doubled(&pair, &memories);
    assert_gap_agrees(&project, &memories);

    // Consumers have written: going back is their loss, and somebody has to say so.
    let end = project.expect(10, &["rollback", "--yes"]);
    assert!(
        end.stderr.contains("row change") && end.stderr.contains("--accept-loss"),
        "{end}"
    );
    let id = project.run_id();
    let end = project.expect(0, &["rollback", "--yes", "--accept-loss", &id]);
    assert!(end.stderr.contains("row change"), "{end}");
    pair.source
        .psql("insert into public.written (writer, n, version) values (-1, 1, 0)");
}

/// The tool's clock readings beside those of the writers, all on this machine's one clock.
///
/// The last write on the source was acknowledged before the fence's lock was granted, but its thread
/// may have looked at the clock late. How much earlier depends on how often somebody writes, and on
/// how long the fence waited for its locks with writers queued behind: a second or two. The first write
/// on the target is seen by the statistics up to a second after its commit, and the next look; later
/// still on a machine that is busy.
fn assert_gap_agrees(project: &towpath_tests::Project, memories: &[Memory]) {
    const LATE_MS: u64 = 1_500;
    const SEEN_MS: u64 = 3_000;
    let last = memories.iter().map(|it| it.last_at_source_ms).max();
    let first = memories.iter().filter_map(|it| it.first_at_target_ms).min();
    let (last, first) = (last.expect("a writer"), first.expect("a writer"));
    let id = project.run_id();
    let report = project
        .path()
        .join(format!(".towpath/reports/{id}/report.json"));
    let report = std::fs::read_to_string(&report).expect("there is a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    let gap = &report["cutover"]["gap"];
    let told = |field: &str| {
        gap[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field} is not told: {gap}"))
    };
    let (refused, switched) = (told("refused_from_ms"), told("first_switched_ms"));
    let seen = told("first_write_seen_ms");
    let facts = format!("writers: {last} to {first}; {gap}");
    assert!(
        last <= refused + LATE_MS,
        "accepted behind the fence: {facts}"
    );
    assert!(
        refused <= last + SEEN_MS,
        "fenced long after the last write: {facts}"
    );
    assert!(refused <= switched, "{facts}");
    assert!(
        switched <= first + LATE_MS,
        "written before the switch: {facts}"
    );
    assert!(
        first <= seen + LATE_MS,
        "seen before it was written: {facts}"
    );
    assert!(seen <= first + SEEN_MS, "seen late: {facts}");
}

#[test]
fn every_acknowledged_write_is_on_one_side_of_the_fence_and_on_the_target_in_the_end() {
    writers_lose_nothing(4, true);
    if std::env::var_os("TOWPATH_TEST_FULL").is_some() {
        writers_lose_nothing(8, false);
    }
}
