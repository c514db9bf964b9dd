//! Subsets: rows that belong together, against a choice made by the server in plain SQL.

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_model::clone_rules::{SubsetRules, TableRule};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::keys::KeyFacts;
use towpath_model::plan::PlannedTable;
use towpath_model::references::dangling_query;
use towpath_model::stop::Stop;
use towpath_model::subset::{KeptRows, tid_array};
use towpath_model::{ErrorKind, QualifiedName};
use towpath_postgres::{Session, SessionOptions, structure};
use towpath_subset::{Choice, choose};
use towpath_tests::pg::{SOURCE_PASSWORD, SOURCE_USER, psql, try_psql};
use towpath_tests::sample::Site;
use towpath_tests::{Project, Source, SplitMix64, pair, project};

use schema::{Rules, World};

/// Replays these, separated by commas.
const SEEDS: &str = "TOWPATH_TEST_SEEDS";

/// Rows by table: `(page,number)`.
type Rows = BTreeMap<QualifiedName, BTreeSet<String>>;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("make a runtime")
}

async fn session(url: &str) -> Session {
    session_named(url, "towpath/test").await
}

async fn session_named(url: &str, name: &str) -> Session {
    let url = ConnectionUrl::parse(url, Side::Source).expect("a URL");
    let options = SessionOptions::named(name);
    let mut session = Session::connect(&url, Side::Source, &options)
        .await
        .expect("connect");
    session.begin_reading().await.expect("begin");
    session
}

/// A database of its own for the customer, with a schema for extensions that is on no path.
fn database(source: &Source, name: &str) -> String {
    source.psql_superuser(&format!(
        "create database {name} template template0 owner {SOURCE_USER}"
    ));
    psql(
        &source.cluster.superuser_url(name),
        "create schema \"ext. ü\"; create extension citext schema \"ext. ü\";
         grant usage on schema \"ext. ü\" to public",
    );
    source.url_as(SOURCE_USER, SOURCE_PASSWORD, name)
}

fn places(kept: &KeptRows, tables: &[PlannedTable]) -> Rows {
    let of = |table: &PlannedTable| {
        let rows = kept.of(&table.id)?;
        let places = rows.places().iter();
        let texts = places.map(|place| format!("({},{})", place >> 16, place & 0xffff));
        Some((table.name.clone(), texts.collect()))
    };
    tables.iter().filter_map(of).collect()
}

/// Random worlds: the choice is the one that SQL makes, the same again, and grows with `percent`.
fn check(source: &Source, seed: u64) -> Result<(), String> {
    let name = format!("subset_{seed}");
    let url = database(source, &name);
    let mut random = SplitMix64(seed);
    let world = World::random(&mut random);
    try_psql(&url, &world.sql).map_err(|error| format!("the schema: {error}\n{}", world.sql))?;
    runtime().block_on(async {
        let mut session = session(&url).await;
        let structure = structure::read(&mut session).await.expect("a structure");
        let facts = KeyFacts::of(&structure);
        for _ in 0..4 {
            let rules = Rules::random(&mut random, &world);
            compare(&url, &mut session, &facts, &world, &rules)
                .await
                .map_err(|wrong| format!("{wrong}\n{rules:#?}\n{}", world.sql))?;
        }
        session.close().await;
        Ok(())
    })
}

async fn compare(
    url: &str,
    session: &mut Session,
    facts: &KeyFacts,
    world: &World,
    rules: &Rules,
) -> Result<(), String> {
    let tables = world.planned(rules);
    let declared = world.declared();
    let choice = Choice {
        rules: &rules.subset,
        facts,
        declared: &declared,
        tables: &tables,
        empty: &rules.empty,
        search_path: "public",
        stop: &Stop::default(),
    };
    let said = |failure: towpath_model::Failure| format!("{failure:?}");
    let kept = choose(session, choice).await.map_err(said)?;
    let again = choose(session, choice).await.map_err(said)?;
    if again != kept {
        return Err("the same choice gives other rows".to_owned());
    }
    // What it begins with: the same where nothing refers to anything.
    let alone = KeyFacts {
        references: Vec::new(),
        ..facts.clone()
    };
    let starts = Choice {
        facts: &alone,
        declared: &[],
        empty: &[],
        ..choice
    };
    let starts = places(&choose(session, starts).await.map_err(said)?, &tables);
    world.check_starts(url, rules, &starts)?;
    let expected = world.expected(url, rules, &starts);
    let found = places(&kept, &tables);
    if expected != found {
        let mut text = String::new();
        for table in &tables {
            let (wanted, is) = (expected.get(&table.name), found.get(&table.name));
            if wanted != is {
                let _ = writeln!(text, "{}: wanted {wanted:?}\n  is {is:?}", table.name);
            }
        }
        return Err(text);
    }
    grows(session, choice, rules).await
}

/// Twice as many per cent hold what half of them do.
async fn grows(session: &mut Session, choice: Choice<'_>, rules: &Rules) -> Result<(), String> {
    let mut more = rules.subset.clone();
    let twice = |percent: &mut Option<f64>| *percent = percent.map(|percent| percent * 2.0);
    twice(&mut more.percent);
    more.tables
        .iter_mut()
        .for_each(|rule| twice(&mut rule.percent));
    let rules_of = |rules| Choice { rules, ..choice };
    let mut rows = Vec::new();
    for rules in [&rules.subset, &more] {
        let kept = choose(session, rules_of(rules)).await.expect("a choice");
        rows.push(places(&kept, choice.tables));
    }
    let (less, more) = (&rows[0], &rows[1]);
    match less
        .iter()
        .all(|(table, rows)| rows.is_subset(&more[table]))
    {
        true => Ok(()),
        false => Err("twice as many per cent hold fewer rows".to_owned()),
    }
}

/// A condition is one expression and no more, is read as the login reads it, and what is wrong with it
/// is told; the transaction is as it was.
fn check_conditions(source: &Source) {
    let url = database(source, "conditions");
    psql(
        &url,
        "create schema app;
         create table app.users (id integer primary key, name text);
         insert into app.users select n, 'user ' || n from generate_series(1, 100) n;
         create table app.notes (id integer primary key, author integer references app.users);
         insert into app.notes select n, 1 + n % 100 from generate_series(1, 300) n;
         create function public.few(n integer) returns boolean language sql as 'select n < 4';
         create table public.touched (n integer);
         create function public.touch() returns boolean language sql as
             'insert into public.touched values (1); select true';",
    );
    let tables = ["users", "notes"].map(|name| {
        schema::planned(
            &QualifiedName::new("app", name),
            &["id".to_owned()],
            &BTreeMap::new(),
        )
    });
    runtime().block_on(async {
        let mut session = session(&url).await;
        let structure = structure::read(&mut session).await.expect("a structure");
        let facts = KeyFacts::of(&structure);
        let settings = "select current_setting('search_path') || current_setting('work_mem')";
        let before = session.scalar(settings, &[]).await.expect("settings");
        for (condition, expected) in [
            ("few(id) -- and no more", Ok(3)),
            (
                "users.name in (select 'user ' || author from app.notes where notes.id < 3)",
                Ok(2),
            ),
            ("name = ';' or app.users.id = 7", Ok(1)),
            ("false", Ok(0)),
            ("id", Err("refuses the condition of table app.users")),
            ("nobody = 1", Err("refuses the condition")),
            ("name::integer = 4711", Err("refuses the condition")),
            (
                "true); delete from app.notes; select (true",
                Err("refuses the condition"),
            ),
            (
                "true)) to stdout; commit; begin; select ((true",
                Err("refuses the condition"),
            ),
            ("id = 1 /*", Err("refuses the condition")),
            ("id = $1", Err("refuses the condition")),
            ("touch()", Err("refuses the condition")),
            ("1 / (id - 50) = 0", Err("refuses the condition")),
        ] {
            let rule = TableRule {
                table: "app.users".to_owned(),
                condition: Some(condition.to_owned()),
                ..TableRule::default()
            };
            let rules = SubsetRules {
                tables: vec![rule],
                ..SubsetRules::default()
            };
            let choice = of_rules(&rules, &facts, &tables);
            match (choose(&mut session, choice).await, expected) {
                (Ok(kept), Ok(users)) => {
                    let rows = |at: usize| kept.of(&tables[at].id).expect("a subset").len();
                    assert_eq!((rows(0), rows(1)), (users, 3 * users), "{condition}");
                }
                (Err(failure), Err(text)) => {
                    assert_eq!(failure.kind(), ErrorKind::Config, "{condition}");
                    assert!(failure.to_string().contains(text), "{failure}");
                    // Neither what the operator wrote nor what a row holds.
                    let said = format!("{failure:?}");
                    assert!(!said.contains("user 1") && !said.contains("4711"), "{said}");
                }
                (found, expected) => panic!("{condition}: {expected:?}, and it is {found:?}"),
            }
            let after = session
                .scalar(settings, &[])
                .await
                .expect("the transaction goes on");
            assert_eq!(after, before, "{condition}");
        }
        session.close().await;
    });
    let touched =
        "select (select count(*) from touched) || ' ' || (select count(*) from app.notes)";
    assert_eq!(psql(&url, touched), "0 300");
}

/// A partition that is detached after the snapshot is no longer read by way of its table.
fn check_detached(source: &Source) {
    let url = database(source, "detached");
    psql(
        &url,
        "create schema app; create table app.users (id integer primary key) partition by range (id);
         create table app.few partition of app.users for values from (0) to (9);
         insert into app.users values (1);",
    );
    let name = QualifiedName::new("app", "few");
    let table = schema::planned(&name, &["id".to_owned()], &BTreeMap::new());
    let rules = SubsetRules {
        tables: vec![TableRule {
            table: "app.users".to_owned(),
            limit: Some(3),
            ..TableRule::default()
        }],
        ..SubsetRules::default()
    };
    runtime().block_on(async {
        let mut session = session(&url).await;
        let structure = structure::read(&mut session).await.expect("a structure");
        let facts = KeyFacts::of(&structure);
        let choice = of_rules(&rules, &facts, std::slice::from_ref(&table));
        session
            .execute(
                "rollback; begin isolation level repeatable read, read only; select from pg_class",
            )
            .await
            .expect("a snapshot without a lock");
        psql(&url, "alter table app.users detach partition app.few");
        let failure = choose(&mut session, choice).await.expect_err("no choice");
        assert!(
            failure.to_string().contains("app.few was just detached"),
            "{failure}"
        );
        session.close().await;
    });
}

/// What rules choose of tables, where nothing is declared.
fn of_rules<'c>(
    rules: &'c SubsetRules,
    facts: &'c KeyFacts,
    tables: &'c [PlannedTable],
) -> Choice<'c> {
    static STOP: LazyLock<Stop> = LazyLock::new(Stop::default);
    Choice {
        rules,
        facts,
        declared: &[],
        tables,
        empty: &[],
        search_path: "public",
        stop: &STOP,
    }
}

/// Keys of users that a rule takes, in whatever order the rows are.
async fn taken(url: &str, seed: &str, percent: Option<f64>, limit: Option<u64>) -> BTreeSet<i64> {
    let mut session = session(url).await;
    let structure = structure::read(&mut session).await.expect("a structure");
    let facts = KeyFacts::of(&structure);
    let name = QualifiedName::new("app", "users");
    let table = schema::planned(&name, &["id".to_owned()], &BTreeMap::new());
    let rules = SubsetRules {
        seed: Some(seed.to_owned()),
        tables: vec![TableRule {
            table: "app.users".to_owned(),
            percent,
            limit,
            ..TableRule::default()
        }],
        ..SubsetRules::default()
    };
    let choice = of_rules(&rules, &facts, std::slice::from_ref(&table));
    let kept = choose(&mut session, choice).await.expect("a choice");
    let places = tid_array(kept.of(&table.id).expect("a subset").places());
    let ids = format!("select id from app.users where ctid = any ('{places}'::tid[])");
    let ids: Vec<serde_json::Value> = session.fetch(&ids, &[]).await.expect("ids");
    session.close().await;
    ids.iter().filter_map(|row| row["id"].as_i64()).collect()
}

/// The same seed takes the same keys of rows that lie elsewhere now, another one takes others; about
/// as many as was said, and `limit` the first ones of those that `percent` takes.
fn check_seeds(source: &Source) {
    let url = database(source, "seeds");
    psql(
        &url,
        "create schema app; create table app.users (id integer primary key, name text);
         insert into app.users select n, 'user ' || n from generate_series(1, 2000) n;",
    );
    let take = |seed: &str, percent, limit| runtime().block_on(taken(&url, seed, percent, limit));
    let third = take("one", Some(33.3), None);
    assert!((566..=766).contains(&third.len()), "{}", third.len());
    let others = take("two", Some(33.3), None);
    let both = third.intersection(&others).count();
    assert!((150..=300).contains(&both), "{both} in both");
    let first = take("one", None, Some(100));
    assert!(first.len() == 100 && first.is_subset(&third));
    psql(
        &url,
        "create table app.moved as select * from app.users order by hashint4(id);
         truncate app.users; insert into app.users select * from app.moved",
    );
    assert_eq!(take("one", Some(33.3), None), third);
    assert_eq!(take("one", None, Some(100)), first);
    assert!(take("one", Some(0.0), None).is_empty());
    assert_eq!(take("one", Some(100.0), None).len(), 2000);
}

fn check_all(source: &Source, seeds: impl Iterator<Item = u64>) {
    let failed: Vec<String> = seeds
        .filter_map(|seed| {
            let wrong = check(source, seed).err()?;
            Some(format!("{SEEDS}={seed} replays this:\n{wrong}"))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

fn fresh_seeds(count: u64) -> impl Iterator<Item = u64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let first = now.as_secs() % 1_000_000_000;
    (0..count).map(move |n| first + n)
}

#[test]
fn a_subset_is_what_belongs_together_and_nothing_else() {
    let source = Source::start();
    if let Ok(given) = std::env::var(SEEDS) {
        let seed = |text: &str| text.trim().parse().expect("a seed is a number");
        return check_all(&source, given.split(',').map(seed));
    }
    check_conditions(&source);
    check_seeds(&source);
    check_detached(&source);
    check_all(&source, (3..5).chain(fresh_seeds(1)));
}

#[test]
fn whole_matrix_of_random_subsets() {
    check_all(&Source::start(), fresh_seeds(300));
}

/// People and their orders, some chunks of each.
const SHOP: &str = "
    set role postgres;
    create table public.people (id integer primary key, note text);
    insert into public.people select n, repeat('x', 2000) from generate_series(1, 3000) n;
    create table public.orders (
        id integer primary key, person integer references public.people, note text
    );
    insert into public.orders select n, n, repeat('y', 2000) from generate_series(1, 3000) n;";

/// Chunks in the store of a project.
fn stored(project: &Project) -> usize {
    let runs = std::fs::read_dir(project.path().join(".towpath"));
    let runs = runs.into_iter().flatten().flatten();
    let tables = runs.flat_map(|run| std::fs::read_dir(run.path().join("chunks")));
    let tables = tables.flat_map(Iterator::flatten);
    let chunks = tables.filter_map(|table| std::fs::read_dir(table.path()).ok());
    chunks.map(Iterator::count).sum()
}

/// The snapshot is what it was, and a condition says something else than it did to the process that
/// was killed.
#[test]
fn whole_matrix_of_choices_of_the_moment_that_another_process_goes_on_with() {
    let pair = pair();
    let site = Site::fresh(&pair, "moment");
    psql(&site.source_superuser, SHOP);
    let later =
        "id > (select 500 * count(*) from pg_stat_activity where application_name = 'later')";
    let runtime = runtime();
    for condition in [later, "random() < 0.5"] {
        let project = site
            .project(project!(&pair))
            .with("TOWPATH_CHUNK_MIB", "1")
            .with("TOWPATH_CODEC", "none");
        let people = format!("public.people={condition}");
        let arguments = [
            "clone",
            "--to",
            "staging",
            "--unmasked",
            "--yes",
            "--where",
            &people,
        ];
        let begun = project.towpath(&arguments).spawn();
        let end = begun.kill_9_when(|| stored(&project) >= 4);
        assert!(end.killed, "{end}");
        let session = runtime.block_on(session_named(&site.source, "later"));
        let end = project.expect(0, &arguments);
        runtime.block_on(session.close());
        assert!(end.stderr.contains("going on with clone"), "{end}");
        let clone = pair.target.cluster.superuser_url("staging");
        let apart = psql(
            &clone,
            "select count(*) from public.people p full join public.orders o on o.person = p.id
              where p.id is null or o.id is null",
        );
        assert_eq!(apart, "0", "{condition}");
        if condition == later {
            let people = "select min(id) || ' ' || count(*) from public.people";
            assert_eq!(psql(&clone, people), "501 2500");
        }
    }
}

#[test]
fn whole_matrix_of_periods_that_several_rows_cover() {
    let source = Source::start_on(18);
    let url = database(&source, "periods");
    psql(
        &url,
        "create table public.rooms (room int4range, open int4range, primary key (room, open without overlaps));
         insert into public.rooms select int4range(r, r + 1), int4range(10 * n, 10 * n + 10)
             from generate_series(1, 2) r, generate_series(0, 4) n;
         create table public.stays (id integer primary key, room int4range, during int4range,
             foreign key (room, period during) references public.rooms (room, period open));
         insert into public.stays values (1, '[1,2)', '[5,25)'), (2, '[1,2)', '[11,12)'),
             (3, '[2,3)', '[40,50)'), (4, null, '[1,900)');",
    );
    let tables = ["rooms", "stays"]
        .map(|name| schema::planned(&QualifiedName::new("public", name), &[], &BTreeMap::new()));
    let chosen = async |session: &mut Session, facts: &KeyFacts, table: &str, condition: &str| {
        let rules = SubsetRules {
            tables: vec![TableRule {
                table: table.to_owned(),
                condition: Some(condition.to_owned()),
                ..TableRule::default()
            }],
            ..SubsetRules::default()
        };
        let choice = of_rules(&rules, facts, &tables);
        let kept = choose(session, choice).await.expect("a choice");
        tables.each_ref().map(|table| {
            kept.of(&table.id)
                .map_or(0, towpath_model::subset::RowSet::len)
        })
    };
    let facts = runtime().block_on(async {
        let mut session = session(&url).await;
        let structure = structure::read(&mut session).await.expect("a structure");
        let facts = KeyFacts::of(&structure);
        assert_eq!(
            chosen(&mut session, &facts, "stays", "id = 1").await,
            [3, 1]
        );
        assert_eq!(
            chosen(&mut session, &facts, "stays", "id > 1").await,
            [2, 3]
        );
        // With the rooms that one of its stays needs besides.
        let first = "room = '[1,2)' and open @> 11";
        assert_eq!(chosen(&mut session, &facts, "rooms", first).await, [3, 2]);
        session.close().await;
        facts
    });
    let dangling = dangling_query(&facts.references[0], &facts);
    assert_eq!(psql(&url, &dangling), "0");
    psql(
        &url,
        "alter table public.stays drop constraint stays_room_during_fkey;
         delete from public.rooms where room = '[1,2)' and open @> 21",
    );
    assert_eq!(psql(&url, &dangling), "1");
}
