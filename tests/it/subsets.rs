//! Subsets: rows that belong together, against a choice made by the server in plain SQL.

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use towpath_model::clone_rules::{SubsetRules, TableRule};
use towpath_model::connection::{ConnectionUrl, Side};
use towpath_model::keys::KeyFacts;
use towpath_model::plan::PlannedTable;
use towpath_model::stop::Stop;
use towpath_model::subset::KeptRows;
use towpath_model::{ErrorKind, QualifiedName};
use towpath_postgres::{Session, SessionOptions, structure};
use towpath_subset::{Choice, choose};
use towpath_tests::pg::{SOURCE_PASSWORD, SOURCE_USER, psql, try_psql};
use towpath_tests::{Source, SplitMix64};

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
    let url = ConnectionUrl::parse(url, Side::Source).expect("a URL");
    let options = SessionOptions::named("towpath/test");
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
            (
                "id",
                Err("the source refuses the condition of table app.users: id"),
            ),
            ("nobody = 1", Err("nobody = 1")),
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
            let choice = Choice {
                rules: &rules,
                facts: &facts,
                declared: &[],
                tables: &tables,
                empty: &[],
                search_path: "public",
                stop: &Stop::default(),
            };
            match (choose(&mut session, choice).await, expected) {
                (Ok(kept), Ok(users)) => {
                    let rows = |at: usize| kept.of(&tables[at].id).expect("a subset").len();
                    assert_eq!((rows(0), rows(1)), (users, 3 * users), "{condition}");
                }
                (Err(failure), Err(text)) => {
                    assert_eq!(failure.kind(), ErrorKind::Config, "{condition}");
                    assert!(failure.to_string().contains(text), "{failure}");
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
    check_all(&source, (3..5).chain(fresh_seeds(1)));
}

#[test]
fn whole_matrix_of_random_subsets() {
    check_all(&Source::start(), fresh_seeds(300));
}
