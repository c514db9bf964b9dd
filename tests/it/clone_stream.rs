//! How rows reach a clone: masked from one folder of the store to another, taken over as they are,
//! used again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use towpath_tests::pg::psql;
use towpath_tests::process::Finished;
use towpath_tests::sample::Site;
use towpath_tests::{MiniStack, Pair, Project, S3Server, pair, project};

/// Texts that CSV and binary treat each in their own way, and masks in the middle of them. Numbers
/// of people are enough for several chunks.
const TABLES: &str = r#"
    set role postgres;
    create table public.people (
        id bigint primary key, email text, "no,te" text, tag text, born date
    );
    insert into public.people
    select i, 'zqx' || i || '@zqx-mail.de',
           case i % 9
             when 0 then null when 1 then '' when 2 then '\.' when 3 then E'\uFEFFmark'
             when 4 then '"' || i || '"' when 5 then E'a\r\nb,c' when 6 then '\N'
             when 7 then E'\n' else repeat('long "text", ', 40) end,
           case when i % 7 > 0 then 't' || i % 5 end,
           date '1990-01-01' + i % 9000
      from generate_series(1, 30000) i;
    create table public.single (word text);
    insert into public.single values ('zqx-1'), ('\.'), (''), (null), (E'\uFEFF'), ('"');
    create table public.alone (mail text);
    insert into public.alone values ('zqxa@zqx-mail.de'), (null), (''), ('\.');
    create table public.odd (id integer primary key, word xml, note text);
    insert into public.odd select i, '<a b="c,d"/>', 'zqx ' || i from generate_series(1, 500) i;
    create table public.plain (id integer primary key, amount numeric(10, 2));
    insert into public.plain select i, i * 1.5 from generate_series(1, 20000) i;
    create table public.still (id integer primary key, amount numeric(10, 2));
    insert into public.still select i, i * 2.5 from generate_series(1, 3000) i;
    create table public.swapped (id integer primary key, amount integer);
    insert into public.swapped select i, i from generate_series(1, 300) i;
    create table public.other (id integer primary key, amount integer);
    insert into public.other select i, -i from generate_series(1, 300) i;
    create table public.column (id integer primary key, amount integer default 1);
    insert into public.column select i from generate_series(1, 300) i;
    create table public.empty (id integer primary key, amount integer);
    reset role;
"#;

/// A table whose chunk is larger than a part.
const NOISE: &str = "
    set role postgres;
    create table public.noise (id integer primary key, bytes bytea not null);
    insert into public.noise
    select i, (select string_agg(sha512((i || '-' || j)::bytea), '') from generate_series(1, 160) j)
      from generate_series(1, 2000) i";

const RULES: &str = r#"
version = 1
[[mask]]
column = "*mail"
with = "fake"
what = "email"
unique = true
domain = "mail"
[[mask]]
table = "public.single"
column = "word"
with = "hash"
digits = 12
[[mask]]
table = "public.odd"
column = "note"
with = "constant"
value = 'a "note", of no one'
[[mask]]
table = "public.people"
column = "born"
with = "date-shift"
max_days = 30
[[allow]]
table = "public.*"
column = "*"
reason = "made up"
"#;

struct Stream {
    pair: Pair,
    site: Site,
    project: Project,
}

impl Stream {
    fn new(format: &str) -> Self {
        let pair = pair();
        let site = Site::fresh(&pair, "stream");
        psql(&site.source_superuser, TABLES);
        let project = site
            .project(project!(&pair))
            .with("TOWPATH_MASK_KEY", "a key of masks that nobody guesses")
            .with("TOWPATH_COPY_FORMAT", format)
            .with("TOWPATH_CHUNK_MIB", "1")
            .with("TOWPATH_CODEC", "none");
        std::fs::write(project.path().join("rules.toml"), RULES).expect("write rules");
        Self {
            pair,
            site,
            project,
        }
    }

    fn clone(&self, name: &str, more: &[&str]) -> Finished {
        let arguments = [&["clone", "--to", name, "--yes", "-v"][..], more].concat();
        self.project.expect(0, &arguments)
    }

    fn ask(&self, database: &str, sql: &str) -> String {
        psql(&self.pair.target.cluster.superuser_url(database), sql)
    }

    /// What no mask touches, and how many masked values there are.
    fn told_of(&self, url: &str) -> String {
        psql(
            url,
            r#"select 'people ' || count(*) || ' ' || count(email) || ' ' || count(distinct email)
                      || ' ' || md5(string_agg(id || '|' || coalesce("no,te", '-NULL-') || '|' ||
                                               coalesce(tag, '-NULL-'), E'\n' order by id))
                 from public.people
               union all select 'single ' || count(*) || ' ' || count(word) from public.single
               union all select 'alone ' || count(*) || ' ' || count(mail) from public.alone
               union all select 'odd ' || count(*) || ' ' || md5(string_agg(id || word::text, ',' order by id))
                 from public.odd
               union all select 'plain ' || count(*) || ' ' || sum(amount) from public.plain
               union all select 'still ' || count(*) || ' ' || sum(amount) from public.still
               union all select 'swapped ' || count(*) || ' ' || sum(amount) from public.swapped
               union all select 'column ' || count(*) || ' ' || sum(amount) from public.column
               union all select 'empty ' || count(*) from public.empty"#,
        )
    }

    /// Folders of runs in the store, the latest last.
    fn runs(&self) -> Vec<PathBuf> {
        let store = std::fs::read_dir(self.project.path().join(".towpath"));
        let mut runs: Vec<PathBuf> = store
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("read a directory").path())
            .filter(|path| path.join("plan.json").is_file())
            .collect();
        runs.sort_by_key(|path| {
            let plan = path.join("plan.json");
            std::fs::metadata(plan)
                .and_then(|it| it.modified())
                .expect("a time")
        });
        runs
    }

    fn assert_masked(&self, name: &str) {
        assert_eq!(
            self.told_of(&self.pair.target.cluster.superuser_url(name)),
            self.told_of(&self.site.source_superuser)
        );
        let left = self.ask(
            name,
            "select count(*) filter (where email like '%zqx-mail%') from public.people
             union all select count(*) from public.odd where note <> 'a \"note\", of no one'
             union all select count(*) from public.single where word = 'zqx-1'
             union all select count(*) from public.alone where mail like '%zqx-mail%'",
        );
        assert_eq!(left, "0\n0\n0\n0");
    }
}

/// Files of rows below a run's folder.
fn chunks(run: &Path) -> Vec<PathBuf> {
    let mut folders = vec![run.join("chunks")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("read a directory").path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

fn holds_originals(file: &Path) -> bool {
    let bytes = std::fs::read(file).expect("read a chunk");
    // Longer than what masks could make by chance.
    bytes.windows(8).any(|part| part == b"zqx-mail")
}

#[test]
fn a_sealed_run_is_masked_within_the_store_and_a_kill_costs_nothing_that_was_stored() {
    let stream = Stream::new("csv");
    stream.project.expect(0, &["export", "--yes"]);
    let run = stream.project.run_id();
    let nobody = "postgresql://nobody@127.0.0.1:1/nothing";
    let stream = Stream {
        project: stream.project.with("TOWPATH_SOURCE_URL", nobody),
        ..stream
    };
    let from = ["--from", &run, "--rules", "rules.toml"];

    // Killed when some of the chunks are stored.
    let arguments = [&["clone", "--to", "staging", "--yes"][..], &from].concat();
    let begun = stream.project.towpath(&arguments).spawn();
    let end = begun.kill_9_when(|| stream.runs().len() == 2 && chunks(&stream.runs()[1]).len() > 3);
    assert!(end.killed, "{end}");
    let gone_on = stream.clone("staging", &from);
    assert!(gone_on.stderr.contains("going on with clone"), "{gone_on}");
    stream.assert_masked("staging");

    let runs = stream.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    let (whole, mine) = (chunks(&runs[0]), chunks(&runs[1]));
    assert!(whole.iter().any(|file| holds_originals(file)));
    let leaks: Vec<_> = mine.iter().filter(|file| holds_originals(file)).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
    // Tables without masks cost no bytes.
    let whole = ["column", "other", "plain", "still", "swapped"].map(|it| format!("public.{it}"));
    assert_eq!(shared(&mine), whole);

    // A run that was never loaded has arrived by its clone, and expires.
    let store = format!(
        "file://{}",
        stream.project.path().join(".towpath").display()
    );
    let elsewhere = project!(&pair())
        .with("TOWPATH_STORE", &store)
        .with("TOWPATH_CLEAN_RETAIN_DAYS", "0");
    elsewhere.expect(0, &["clean", "--expired", "--yes"]);
    assert_eq!(runs.iter().flat_map(|run| chunks(run)).count(), 0);
}

/// A server of a copy of the same disk has the same cluster, timeline, OIDs and transaction ids, and
/// its transactions did something else.
#[test]
fn whole_matrix_of_a_source_that_was_put_back() {
    let stream = Stream::new("csv");
    // All of these servers begin as copies of one disk.
    let copied = pair();
    let there = Site::fresh(&copied, "stream");
    psql(&there.source_superuser, TABLES);
    for (site, id, later) in [(&stream.site, 7, 50), (&there, 8, 500)] {
        let change = format!("update public.plain set amount = amount + {id} where id = {id};");
        let later = "select pg_current_xact_id();".repeat(later);
        psql(&site.source_superuser, &(change + &later));
    }
    let rules = ["--rules", "rules.toml"];
    stream.clone("staging", &rules);
    stream.assert_masked("staging");
    let stream = Stream {
        project: stream.project.with("TOWPATH_SOURCE_URL", &there.source),
        site: there,
        ..stream
    };
    let second = stream.clone("staging", &rules);
    stream.assert_masked("staging");
    assert!(!second.stderr.contains("used again"), "{second}");
}

/// Tables whose chunks with rows are files of another run as well.
fn shared(files: &[PathBuf]) -> Vec<String> {
    let mut tables: Vec<String> = files
        .iter()
        .filter(|file| {
            let file = std::fs::metadata(file).expect("a file");
            file.nlink() > 1 && file.len() > 100
        })
        .map(|file| {
            let folder = file.parent().and_then(Path::file_name).expect("a folder");
            folder.to_string_lossy().into_owned()
        })
        .collect();
    tables.sort();
    tables.dedup();
    tables
}

#[test]
fn whole_matrix_of_kills_while_a_sealed_run_is_taken_over() {
    let stream = Stream::new("auto");
    stream.project.expect(0, &["export", "--yes"]);
    let run = stream.project.run_id();
    let arguments = [
        "clone",
        "--to",
        "staging",
        "--yes",
        "--rules",
        "rules.toml",
        "--from",
        &run,
    ];
    // The same clone is killed again and again, and gone on with; in the end it may be quicker than who
    // looks whether it is to be killed.
    let (mut kills, mut is_done) = (0, false);
    for wanted in [1, 2, 6, 9, 12, 14] {
        let begun = stream.project.towpath(&arguments).spawn();
        let end = begun.kill_9_when(|| {
            let runs = stream.runs();
            assert!(runs.len() <= 2, "{runs:?}");
            runs.get(1).is_some_and(|run| chunks(run).len() >= wanted)
        });
        if !end.killed {
            assert_eq!(end.code, Some(0), "{end}");
            is_done = true;
            break;
        }
        kills += 1;
    }
    assert!(kills >= 4, "{kills} kills");
    if !is_done {
        stream.project.expect(0, &arguments);
    }
    stream.assert_masked("staging");
    let mine = chunks(&stream.runs()[1]);
    assert!(!mine.iter().any(|file| holds_originals(file)));
}

#[test]
fn whole_matrix_of_kills_while_a_source_that_moves_on_is_masked() {
    let stream = Stream::new("csv");
    let rules = ["--rules", "rules.toml"];
    let arguments = [&["clone", "--to", "staging", "--yes", "-v"][..], &rules].concat();
    let mut gone_on = 0;
    for (no, wanted) in [1, 2, 3, 4, 5, 6].into_iter().enumerate() {
        let begun = stream.project.towpath(&arguments).spawn();
        let end = begun.kill_9_when(|| {
            let runs = stream.runs();
            runs.last().is_some_and(|run| chunks(run).len() >= wanted)
        });
        assert!(end.killed, "{end}");
        gone_on += usize::from(end.stderr.contains("going on with clone"));
        psql(
            &stream.site.source_superuser,
            &format!("update public.people set tag = 'new {no}' where id in ({no}, 29000 + {no})"),
        );
    }
    let end = stream.clone("staging", &rules);
    gone_on += usize::from(end.stderr.contains("going on with clone"));
    assert!(
        gone_on > 0,
        "no process went on with what another had begun:\n{end}"
    );
    // What the killed processes had seen of masked columns was seen again.
    assert!(end.stdout.contains("none of the source's"), "{end}");
    stream.assert_masked("staging");
    for run in stream.runs() {
        assert!(!chunks(&run).iter().any(|file| holds_originals(file)));
    }
}

#[test]
fn whole_matrix_of_stores_on_s3_that_copy_by_themselves() {
    let weed = S3Server::start();
    weed.aws().create_bucket("runs");
    let stack = MiniStack::start();
    stack.aws().create_bucket("runs");
    let stream = Stream::new("auto");
    psql(&stream.site.source_superuser, NOISE);
    let mut project = stream.project.with("TOWPATH_CHUNK_MIB", "64");
    for (url, environment, aws) in [
        (weed.url(), weed.env(), weed.aws()),
        (stack.url(), stack.env(), stack.aws()),
    ] {
        // A prefix that a header cannot hold as it is.
        project = project
            .with_all(&environment)
            .with("AWS_ENDPOINT_URL_S3", &url)
            .with("TOWPATH_STORE", "s3://runs/team ü+/moves");
        project.expect(0, &["export", "--yes", "--new-run"]);
        let run = project.run_id();
        let arguments = [
            "clone",
            "--to",
            "staging",
            "--yes",
            "--rules",
            "rules.toml",
            "--from",
            &run,
        ];
        project.expect(0, &arguments);
        let keys = aws.object_keys("runs", "");
        let of = |table: &str| -> Vec<&String> {
            let folder = format!("/chunks/{table}/");
            keys.iter().filter(|key| key.contains(&folder)).collect()
        };
        let noise = of("public.noise");
        assert_eq!(noise.len(), 2, "{keys:?}");
        let bytes = |key: &str| aws.object("runs", key);
        assert!(bytes(noise[0]) == bytes(noise[1]), "a copy is another");
        let people = of("public.people");
        let masked = people.iter().filter(|key| !key.contains(&run));
        for key in masked {
            assert!(
                !bytes(key).windows(8).any(|part| part == b"zqx-mail"),
                "{key}"
            );
        }
        let plain = of("public.plain");
        let lost = plain.iter().find(|key| key.contains(&run));
        aws.delete_object("runs", lost.expect("a chunk"));
        let end = project.expect(12, &[&arguments[..], &["--anew"]].concat());
        for said in ["could not take over chunk public.plain/", "is missing"] {
            assert!(end.stderr.contains(said), "{said}: {end}");
        }
    }
    let stream = Stream { project, ..stream };
    stream.assert_masked("staging");
}

#[test]
fn whole_matrix_of_changes_between_two_clones() {
    let stream = Stream::new("csv");
    let rules = ["--rules", "rules.toml"];
    stream.clone("staging", &rules);
    stream.assert_masked("staging");
    // As many rows as before, and other ones: a changed row, another table of the name, another
    // column of the name. None of these has left a row that is new but the first.
    psql(
        &stream.site.source_superuser,
        "set role postgres;
         update public.plain set amount = amount + 1 where id = 7;
         alter table public.swapped rename to was;
         alter table public.other rename to swapped;
         alter table public.column drop column amount;
         alter table public.column add column amount integer default 2",
    );
    psql(&stream.site.source_superuser, "vacuum full public.still");
    let second = stream.clone("staging", &rules);
    stream.assert_masked("staging");
    assert!(second.stderr.contains("used again: "), "{second}");
    let runs = stream.runs();
    assert_eq!(shared(&chunks(&runs[1])), ["public.still"]);
    // It outlives the run that it was stored by.
    std::fs::remove_dir_all(runs[0].join("chunks")).expect("delete chunks");
    let run = runs[1]
        .file_name()
        .expect("a folder")
        .to_string_lossy()
        .into_owned();
    stream.project.expect(0, &["verify", &run, "--chunks"]);

    // What cannot be used again is read again.
    std::fs::remove_dir_all(runs[1].join("chunks/public.still")).expect("delete chunks");
    let third = stream.clone("staging", &rules);
    stream.assert_masked("staging");
    let said = format!("1 table of which run {run} has lost chunks: read again");
    assert!(third.stderr.contains(&said), "{third}");
    // A chunk whose bytes are others is found when it is loaded, and the way out is told.
    let flipped = chunks(&stream.runs()[2]).into_iter().find(|file| {
        let folder = file.parent().and_then(Path::file_name);
        folder.is_some_and(|name| name == "public.still")
    });
    let flipped = flipped.expect("a chunk");
    let mut bytes = std::fs::read(&flipped).expect("read a chunk");
    bytes[200] ^= 1;
    std::fs::write(&flipped, bytes).expect("write a chunk");
    let arguments = [&["clone", "--to", "staging", "--yes"][..], &rules].concat();
    let end = stream.project.expect(12, &arguments);
    assert!(end.stderr.contains("TOWPATH_CLONE_REUSE=no"), "{end}");
    let project = stream.project.with("TOWPATH_CLONE_REUSE", "no");
    let stream = Stream { project, ..stream };
    stream.clone("staging", &[&rules[..], &["--anew"]].concat());
    stream.assert_masked("staging");
}
