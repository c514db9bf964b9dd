//! A source worth moving, proxies on the way to both servers, and what has to hold at the end.

use std::path::Path;
use std::time::Duration;

use towpath_tests::oracle::assert_same_rows;
use towpath_tests::{
    Finished, Pair, Project, Running, S3Proxy, S3Server, TcpProxy, pair, pg, project,
};

/// Large enough for a kill to fall into the middle of the copy and of the index builds.
pub const BULK: &str = "
    create table public.bulk (id bigint primary key, account integer not null, note text, at timestamptz);
    insert into public.bulk
    select i, i % 97, repeat(md5(i::text), 3), timestamptz '2026-01-01' + i * interval '1 second'
      from generate_series(1, 60000) i;
    create index bulk_note on public.bulk (note);
    create index bulk_at on public.bulk (at, account);
    create index bulk_account on public.bulk (account) where note like 'a%';";

/// How often the same command is given before it has to have succeeded.
const COMMANDS: usize = 4;

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(240);

pub struct World {
    pub pair: Pair,
    pub project: Project,
    /// Where the run store is, unless it is the project's folder.
    pub s3: Option<S3Server>,
}

/// The bucket of a store on S3.
pub const BUCKET: &str = "runs";

pub fn world() -> World {
    let pair = pair();
    pair.source.psql(BULK);
    let project = project!(&pair).with("TOWPATH_CHUNK_MIB", "1");
    World {
        pair,
        project,
        s3: None,
    }
}

/// A world whose run store is on S3, behind a proxy.
pub fn world_on_s3() -> (World, S3Proxy) {
    let s3 = S3Server::start();
    s3.aws().create_bucket(BUCKET);
    let proxy = S3Proxy::start(&s3.url());
    let mut world = world();
    world.project = world
        .project
        .with_all(&s3.env())
        .with("AWS_ENDPOINT_URL_S3", &proxy.url())
        .with("TOWPATH_STORE", &format!("s3://{BUCKET}"))
        .with("TOWPATH_SILENCE_S", "2");
    world.s3 = Some(s3);
    (world, proxy)
}

/// Whether all of the matrix is asked for and not a slice of it.
pub fn is_full() -> bool {
    std::env::var_os("TOWPATH_TEST_FULL").is_some()
}

/// A world whose servers are reached through proxies.
pub struct Proxied {
    pub world: World,
    pub source: TcpProxy,
    pub target: TcpProxy,
}

/// `sslmode` is `disable` where a test looks for words in the stream, `require` where it damages it.
pub fn proxied(sslmode: &str) -> Proxied {
    let World { pair, project, s3 } = world();
    let through = |port: u16, url: &str| {
        let proxy = TcpProxy::start(port);
        let url = format!("{}?sslmode={sslmode}", proxy.through(url, port));
        (proxy, url)
    };
    let (source, source_url) = through(pair.source.cluster.port(), &pair.source.url());
    let (target, target_url) = through(pair.target.cluster.port(), &pair.target.url());
    let project = project
        .with("TOWPATH_SOURCE_URL", &source_url)
        .with("TOWPATH_TARGET_URL", &target_url)
        .with("TOWPATH_SILENCE_S", "1");
    Proxied {
        world: World { pair, project, s3 },
        source,
        target,
    }
}

fn files_below(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.path() {
            path if path.is_dir() => files_below(&path, wanted),
            path => usize::from(wanted(&path)),
        })
        .sum()
}

/// The exit code that docs/reference/exit-codes.md gives a kind of error.
fn documented_code(kind: &str) -> Option<i32> {
    let page = towpath_tests::repository().join("docs/reference/exit-codes.md");
    let text = std::fs::read_to_string(page).expect("the page of exit codes");
    let link = format!("(errors.md#{kind})");
    let row = text
        .lines()
        .find(|line| line.starts_with("| `") && line.contains(&link))?;
    row.trim_start_matches("| `")
        .split('`')
        .next()?
        .parse()
        .ok()
}

/// A run that failed says what, why, what to try and of which kind it is, ends with the code that is
/// documented for that kind, and claims nothing.
#[track_caller]
pub fn assert_letter(end: &Finished) -> String {
    for part in ["error: ", "hint: ", "docs: docs/reference/errors.md#"] {
        assert!(end.stderr.contains(part), "{part:?} is not said:\n{end}");
    }
    let kind = end
        .stderr
        .rsplit_once("errors.md#")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .unwrap_or_default();
    assert_eq!(documented_code(kind), end.code, "kind {kind}:\n{end}");
    assert!(!end.stdout.contains("no difference"), "{end}");
    assert_ne!(kind, "internal", "{end}");
    kind.to_owned()
}

impl World {
    pub fn stored_chunks(&self) -> usize {
        files_below(&self.project.path().join(".towpath"), &|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_chunk = path.components().any(|part| part.as_os_str() == "chunks");
            is_chunk && !name.starts_with('.')
        })
    }

    /// Rows of a table of the ledger; 0 while there is none. Asked as superuser, on another
    /// connection than the load's.
    pub fn ledger(&self, table: &str, filter: &str) -> u64 {
        let sql = format!("select count(*) from towpath.{table} where {filter}");
        self.asked(&sql)
    }

    /// A number that the target's superuser is told; 0 while it is told none.
    pub fn asked(&self, sql: &str) -> u64 {
        let url = self.pair.target.cluster.superuser_url("app");
        pg::try_psql(&url, sql)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
    }

    pub fn kill_when(&self, condition: impl FnMut() -> bool) -> Finished {
        self.project
            .towpath(&["run", "--yes"])
            .spawn()
            .kill_9_when(condition)
    }

    /// The same command finishes the run, and everything is as if nothing had happened.
    pub fn assert_resumes(&self) {
        let end = self.project.expect(0, &["run", "--yes"]);
        self.assert_arrived(&end);
    }

    /// The same command again and again, until it succeeds: soon, and with a letter each time that
    /// it does not. Gives the kinds of the errors on the way.
    #[track_caller]
    pub fn finish(&self) -> Vec<String> {
        let first = self.project.towpath(&["run", "--yes"]);
        self.finish_after(first.timeout(PATIENCE).spawn())
    }

    /// The same, of which the first is at work already.
    #[track_caller]
    pub fn finish_after(&self, first: Running) -> Vec<String> {
        let mut kinds = Vec::new();
        let mut first = Some(first);
        for _ in 0..COMMANDS {
            let again = || {
                self.project
                    .towpath(&["run", "--yes"])
                    .timeout(PATIENCE)
                    .spawn()
            };
            let end = first.take().unwrap_or_else(again).wait();
            if end.code == Some(0) {
                self.assert_arrived(&end);
                return kinds;
            }
            kinds.push(assert_letter(&end));
            self.assert_claims_nothing();
        }
        panic!("not done after {COMMANDS} commands: {kinds:?}");
    }

    /// A run that is not done does not say that it is.
    pub fn assert_claims_nothing(&self) {
        let status = self.project.towpath(&["status", "--json"]).run();
        for claim in ["\"stage\":\"verified\"", "\"stage\":\"switched\""] {
            assert!(!status.stdout.contains(claim), "{status}");
        }
    }

    /// Rows are those of the source; each chunk is in the ledger once; the report says so.
    #[track_caller]
    pub fn assert_arrived(&self, end: &Finished) {
        assert!(end.stdout.contains("no difference"), "{end}");
        assert_same_rows(&self.pair);
        let status = self.project.expect(0, &["status", "--json"]);
        assert!(status.stdout.contains("\"stage\":\"verified\""), "{status}");
        let manifest = self.manifest();
        let chunks: usize = manifest["tables"]
            .as_array()
            .expect("tables")
            .iter()
            .map(|table| table["chunks"].as_array().map_or(0, Vec::len))
            .sum();
        assert_eq!(self.ledger("chunk", "true"), chunks as u64);
        let names = "select count(distinct (table_id, no)) from towpath.chunk";
        assert_eq!(self.asked(names), chunks as u64);
    }

    /// The manifest, wherever the store is.
    fn manifest(&self) -> serde_json::Value {
        let Some(s3) = &self.s3 else {
            return self.project.document("manifest.json");
        };
        let key = format!("{}/manifest.json", self.project.run_id());
        let bytes = s3.aws().object(BUCKET, &key);
        serde_json::from_slice(&bytes).expect("a document is JSON")
    }
}
