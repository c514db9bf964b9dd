//! Every shape in which a connection is found, and what holds for all of them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use towpath_model::connection::{ConnectionUrl, Secret, Side};

use crate::carrier::{self, Rewriting, Variables};
use crate::credentials::Credentials;
use crate::left::Why;
use crate::mapping::{Mapping, PasswordBy, Via};
use crate::server::SourceServer;
use crate::value::{self, Survey, ValueReading};

const REF: &str = "abcdefghijklmnopqrst";
const OTHER_REF: &str = "zyxwvutsrqponmlkjihg";
const OLD: &str = "old-Secret#1";
const NEW: &str = "new/Secret:2";

fn mapping() -> Mapping {
    let source = format!("postgres://postgres:old-Secret%231@db.{REF}.supabase.co/postgres");
    let target = "postgres://app:new%2FSecret%3A2@t.rds.example/orders";
    Mapping::new(
        ConnectionUrl::parse(&source, Side::Source).unwrap(),
        ConnectionUrl::parse(target, Side::Target).unwrap(),
    )
}

fn map(pairs: &[(&str, &str)]) -> Variables {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new(*value));
    pairs.iter().map(owned).collect()
}

fn rewrite(variables: &Variables, mapping: &Mapping, runtime: Option<&str>) -> Rewriting {
    let survey = Survey {
        server: &SourceServer::of(mapping),
        mapping,
        runtime,
    };
    carrier::variables(variables, survey)
}

/// The changed values, in the order of their names.
fn changed(pairs: &[(&str, &str)], mapping: &Mapping, runtime: Option<&str>) -> Vec<String> {
    let rewriting = rewrite(&map(pairs), mapping, runtime);
    let values = rewriting.values.iter();
    values
        .map(|(name, value)| format!("{name}={}", value.reveal()))
        .collect()
}

fn why(pairs: &[(&str, &str)], mapping: &Mapping) -> Vec<(String, Why)> {
    let mut rewriting = rewrite(&map(pairs), mapping, None);
    rewriting.give_up(Why::Incomplete);
    assert!(rewriting.values.is_empty(), "{:?}", rewriting.changes);
    rewriting.left
}

/// A text with the places of the source in it, as Supabase's dashboard and its integrations write
/// them.
fn at_source(text: &str) -> String {
    text.replace("DIRECT", &format!("db.{REF}.supabase.co"))
        .replace("POOLER", "aws-0-eu-west-1.pooler.supabase.com")
        .replace("USER", &format!("postgres.{REF}"))
        .replace("REF", REF)
        .replace("PW", "old-Secret%231")
}

#[test]
fn one_value_in_every_shape() {
    let new = "app:new%2FSecret%3A2@t.rds.example";
    for (before, after) in [
        (
            "postgres://postgres:PW@DIRECT:5432/postgres",
            "postgres://NEW:5432/orders",
        ),
        (
            "postgres://postgres:PW@DIRECT/postgres",
            "postgres://NEW/orders",
        ),
        (
            "postgresql://USER:PW@POOLER:6543/postgres?pgbouncer=true&connection_limit=1",
            "postgresql://NEW:5432/orders?connection_limit=1",
        ),
        (
            "postgresql://USER:PW@POOLER:5432/postgres?application_name=a%20b&x",
            "postgresql://NEW:5432/orders?application_name=a%20b&x",
        ),
        (
            "postgres://postgres:PW@POOLER:6543/postgres?options=reference%3DREF",
            "postgres://NEW:5432/orders",
        ),
        (
            "postgres://USER:PW@POOLER:6543/postgres?supa=base-pooler.x&sslmode=require",
            "postgres://NEW:5432/orders?sslmode=require",
        ),
        (
            "postgresql+asyncpg://USER:PW@POOLER:6543/postgres?prepared_statement_cache_size=0",
            "postgresql+asyncpg://NEW:5432/orders",
        ),
        (
            "postgresql+psycopg2://postgres:PW@DIRECT/postgres",
            "postgresql+psycopg2://NEW/orders",
        ),
        (
            "postgresql+psycopg://postgres:PW@DIRECT/postgres",
            "postgresql+psycopg://NEW/orders",
        ),
        (
            "prisma+postgres://USER:PW@POOLER:6543/postgres?schema=public",
            "prisma+postgres://NEW:5432/orders?schema=public",
        ),
        (
            "jdbc:postgresql://DIRECT:5432/postgres?user=postgres&password=PW&prepareThreshold=0",
            "jdbc:postgresql://t.rds.example:5432/orders?user=app&password=new%2FSecret%3A2",
        ),
        (
            "host=DIRECT port=5432 dbname=postgres user=postgres password='old-Secret#1' connect_timeout=3",
            "host=t.rds.example port=5432 dbname=orders user=app password='new/Secret:2' connect_timeout=3",
        ),
        (
            "{ \"DATABASE_URL\" : \"postgres://postgres:PW@DIRECT/postgres\", \"n\": 1.0 }",
            "{ \"DATABASE_URL\" : \"postgres://NEW/orders\", \"n\": 1.0 }",
        ),
        (
            "[{\"a\":{\"url\":\"postgres://postgres:PW@DIRECT/postgres\"}}, null]",
            "[{\"a\":{\"url\":\"postgres://NEW/orders\"}}, null]",
        ),
        (
            "{\"engine\":\"postgres\",\"host\":\"DIRECT\",\"username\":\"postgres\",\"password\":\"old-Secret#1\",\"dbname\":\"postgres\",\"port\":5432,\"dbInstanceIdentifier\":\"x\"}",
            "{\"engine\":\"postgres\",\"host\":\"t.rds.example\",\"username\":\"app\",\"password\":\"new/Secret:2\",\"dbname\":\"orders\",\"port\":5432,\"dbInstanceIdentifier\":\"x\"}",
        ),
        (
            "{\"db\":{\"host\":\"POOLER\",\"port\":\"6543\",\"user\":\"USER\",\"pass\":\"x\",\"database\":\"postgres\"}}",
            "{\"db\":{\"host\":\"t.rds.example\",\"port\":\"5432\",\"user\":\"app\",\"pass\":\"new/Secret:2\",\"database\":\"orders\"}}",
        ),
        (
            " postgres://postgres:PW@DIRECT/postgres\n",
            " postgres://NEW/orders\n",
        ),
    ] {
        let (before, after) = (at_source(before), after.replace("NEW", new));
        assert_eq!(
            changed(&[("X", &before)], &mapping(), None),
            [format!("X={after}")]
        );
        // The same within Base64, and within that again.
        let once = STANDARD.encode(&before);
        assert_eq!(
            changed(&[("X", &once)], &mapping(), None),
            [format!("X={}", STANDARD.encode(&after))]
        );
        assert_eq!(
            changed(&[("X", &STANDARD.encode(&once))], &mapping(), None),
            [format!("X={}", STANDARD.encode(STANDARD.encode(&after)))]
        );
    }
}

#[test]
fn sets_of_every_spelling() {
    let direct = at_source("DIRECT");
    for (prefix, names) in [
        ("PG", ["PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE"]),
        ("DB", ["DB_HOST", "DB_USERNAME", "DB_PASS", "DB_NAME"]),
        (
            "POSTGRES",
            [
                "POSTGRES_HOST",
                "POSTGRES_USER",
                "POSTGRES_PASSWORD",
                "POSTGRES_DB",
            ],
        ),
        (
            "SUPABASE",
            [
                "SUPABASE_DB_HOST",
                "SUPABASE_DB_USER",
                "SUPABASE_DB_PASSWORD",
                "SUPABASE_DB_NAME",
            ],
        ),
        (
            "camel",
            [
                "ordersDbHost",
                "ordersDbUser",
                "ordersDbPassword",
                "ordersDbName",
            ],
        ),
        ("plain", ["host", "user", "password", "database"]),
    ] {
        let [host, user, password, database] = names;
        let given = [
            (host, direct.as_str()),
            (user, "postgres"),
            (password, OLD),
            (database, "postgres"),
        ];
        let mut expected = vec![
            format!("{host}=t.rds.example"),
            format!("{user}=app"),
            format!("{password}={NEW}"),
            format!("{database}=orders"),
        ];
        expected.sort();
        assert_eq!(changed(&given, &mapping(), None), expected, "{prefix}");
    }
    // The port is added as the host is spelled, and never where there is no need.
    let mut elsewhere = mapping();
    elsewhere.target.port = 5433;
    for (host, port) in [
        ("DB_HOST", "DB_PORT"),
        ("dbHost", "dbPort"),
        ("DbHost", "DbPort"),
        ("db_host_name", "db_port"),
    ] {
        let (user, password) = (
            host.replace("HOST", "USER"),
            host.replace("HOST", "PASSWORD"),
        );
        let (user, password) = (
            user.replace("Host", "User").replace("host_name", "user"),
            password
                .replace("Host", "Password")
                .replace("host_name", "password"),
        );
        let given = [
            (host, direct.as_str()),
            (&user, "postgres"),
            (&password, OLD),
        ];
        let found = changed(&given, &elsewhere, None);
        assert!(found.contains(&format!("{port}=5433")), "{found:?}");
    }
    let joint = format!("{direct}:6543");
    let given = [
        ("DB_HOST", joint.as_str()),
        ("DB_USER", "postgres"),
        ("DB_PASSWORD", OLD),
    ];
    assert!(changed(&given, &elsewhere, None).contains(&"DB_HOST=t.rds.example:5433".to_owned()));
}

#[test]
fn login_is_found_beside_the_url() {
    let jdbc = at_source("jdbc:postgresql://DIRECT:5432/postgres");
    let spring = [
        ("SPRING_DATASOURCE_URL", jdbc.as_str()),
        ("SPRING_DATASOURCE_USERNAME", "postgres"),
        ("SPRING_DATASOURCE_PASSWORD", "another"),
    ];
    assert_eq!(
        changed(&spring, &mapping(), Some("java21")),
        [
            "SPRING_DATASOURCE_PASSWORD=new/Secret:2",
            "SPRING_DATASOURCE_URL=jdbc:postgresql://t.rds.example:5432/orders",
            "SPRING_DATASOURCE_USERNAME=app"
        ]
    );
    let url = at_source("postgres://postgres@DIRECT/postgres");
    let libpq = [("DATABASE_URL", url.as_str()), ("PGPASSWORD", "another")];
    assert_eq!(
        changed(&libpq, &mapping(), None),
        [
            "DATABASE_URL=postgres://app@t.rds.example/orders",
            "PGPASSWORD=new/Secret:2"
        ]
    );
    // By its value alone: no name says that it belongs there.
    let odd = [("DATABASE_URL", url.as_str()), ("SECRET_SAUCE", OLD)];
    assert_eq!(changed(&odd, &mapping(), None).len(), 2);
    assert_eq!(
        why(
            &[("DATABASE_URL", &url), ("SECRET_SAUCE", "another")],
            &mapping()
        ),
        [("DATABASE_URL".to_owned(), Why::Incomplete)]
    );
    // A reference is no password to be overwritten.
    let by_arn = [
        ("DATABASE_URL", url.as_str()),
        ("PGPASSWORD", "arn:aws:secretsmanager:eu-west-1:1:secret:x"),
    ];
    assert_eq!(why(&by_arn, &mapping()).len(), 1);
}

#[test]
fn what_is_shared_with_another_server_stays() {
    let direct = at_source("DIRECT");
    let shared = [
        ("DB_HOST", direct.as_str()),
        ("DB_READ_HOST", "replica.example"),
        ("DB_USER", "postgres"),
        ("DB_PASSWORD", OLD),
    ];
    assert_eq!(
        why(&shared, &mapping()),
        [("DB_HOST".to_owned(), Why::SharedParts)]
    );
    // Two names of the source share a login as they should.
    let pooled = at_source("DIRECT");
    let both = [
        ("DB_HOST", direct.as_str()),
        ("DB_READ_HOST", pooled.as_str()),
        ("DB_USER", "postgres"),
        ("DB_PASSWORD", OLD),
    ];
    assert_eq!(changed(&both, &mapping(), None).len(), 4);
    // Another host under the same prefix that has nothing to do with it.
    let redis = [
        ("DB_HOST", direct.as_str()),
        ("DB_REDIS_HOST", "redis.example"),
        ("DB_USER", "postgres"),
        ("DB_PASSWORD", OLD),
    ];
    assert_eq!(changed(&redis, &mapping(), None).len(), 3);
}

#[test]
fn what_cannot_be_switched_is_told_with_its_reason() {
    let helper = STANDARD.encode([&[1_u8, 2, 2, 0, 0x78][..], &[7; 160]].concat());
    let broken = STANDARD.encode(at_source("postgres://postgres:PW@DIRECT/postgres"));
    let broken = format!("{}\n{}\n", &broken[..40], &broken[40..]);
    for (value, reason) in [
        (helper, Why::Encrypted),
        (broken, Why::Encoded),
        (
            "prisma://accelerate.prisma-data.net/?api_key=x".to_owned(),
            Why::BehindPrisma,
        ),
        (
            at_source("postgres://postgres:PW@DIRECT/_analytics"),
            Why::OtherDatabase,
        ),
        (
            at_source("postgres://postgres:PW@DIRECT,other.example/postgres"),
            Why::UnknownShape,
        ),
        (
            at_source("postgres://POOLER:6543/postgres"),
            Why::Incomplete,
        ),
        (
            at_source("Host=DIRECT;Username=postgres;Password=PW"),
            Why::UnknownShape,
        ),
        (
            at_source("DATABASE_URL=postgres://postgres:PW@DIRECT/postgres\nX=1"),
            Why::UnknownShape,
        ),
        (OLD.to_owned(), Why::LonePassword),
    ] {
        assert_eq!(
            why(&[("X", &value)], &mapping()),
            [("X".to_owned(), reason)]
        );
    }
    let url = at_source("postgres://reader:PW@DIRECT/postgres");
    let mut other = mapping();
    other
        .users
        .insert("reader".to_owned(), "orders_ro".to_owned());
    assert_eq!(
        why(&[("X", &url)], &other),
        [("X".to_owned(), Why::NoPassword)]
    );
    let root = at_source(
        "postgres://reader:PW@DIRECT/postgres?sslmode=verify-full&sslrootcert=%2Fprod-ca.crt",
    );
    let rewriting = rewrite(&map(&[("X", &root)]), &mapping(), None);
    assert_eq!(rewriting.left, [("X".to_owned(), Why::RootCertificate)]);
    assert_eq!(rewriting.values.len(), 1);
    assert!(!Why::RootCertificate.leaves_database_behind());
}

#[test]
fn apis_are_told_by_name_and_by_value_and_do_not_block() {
    let token = |claims: String| {
        format!(
            "eyJhbGciOiJIUzI1NiJ9.{}.c2ln",
            URL_SAFE_NO_PAD.encode(claims)
        )
    };
    let own = token(format!(
        "{{\"iss\":\"supabase\",\"ref\":\"{REF}\",\"role\":\"anon\"}}"
    ));
    for (name, value) in [
        ("SUPABASE_URL", "https://api.example".to_owned()),
        ("VITE_SUPABASE_ANON_KEY", "x".to_owned()),
        ("STORAGE", at_source("https://REF.supabase.co/storage/v1")),
        ("PROJECT", REF.to_owned()),
        ("KEY", "sb_secret_abc".to_owned()),
        ("TOKEN", own),
        (
            "NESTED",
            at_source("{\"api\":{\"url\":\"https://REF.supabase.co\"}}"),
        ),
    ] {
        let left = why(&[(name, &value)], &mapping());
        assert_eq!(left.len(), 1, "{name}");
        assert!(
            left[0].0.starts_with(name) && left[0].1 == Why::DependsOnSupabase,
            "{left:?}"
        );
    }
    assert!(!Why::DependsOnSupabase.leaves_database_behind());
    let other = token(format!("{{\"iss\":\"supabase\",\"ref\":\"{OTHER_REF}\"}}"));
    assert!(why(&[("TOKEN", &other)], &mapping()).is_empty());
    // Under whatever name, a connection is a connection.
    let url = at_source("postgres://postgres:PW@DIRECT/postgres");
    assert_eq!(
        changed(&[("SUPABASE_URL", &url)], &mapping(), None).len(),
        1
    );
}

#[test]
fn passwords_by_reference_go_where_there_is_a_place_for_them() {
    let with = at_source("postgres://postgres:PW@DIRECT/postgres");
    let without = at_source("postgres://postgres@DIRECT/postgres");
    let iam = Mapping {
        password_by: PasswordBy::Iam,
        ..mapping()
    };
    assert_eq!(
        why(&[("X", &with)], &iam),
        [("X".to_owned(), Why::NoPlaceForReference)]
    );
    assert_eq!(
        changed(&[("X", &without)], &iam, None),
        ["X=postgres://app@t.rds.example/orders"]
    );
    let direct = at_source("DIRECT");
    let set = [("PGHOST", direct.as_str()), ("PGUSER", "postgres")];
    assert_eq!(
        changed(&set, &iam, None),
        ["PGHOST=t.rds.example", "PGUSER=app"]
    );
    let by_secret = Mapping {
        password_by: PasswordBy::Secret("arn:x".to_owned()),
        ..mapping()
    };
    // A set whose password a secret holds waits for that secret.
    let rewriting = rewrite(&map(&set), &by_secret, None);
    assert_eq!((rewriting.pending.len(), rewriting.values.len()), (1, 0));
}

#[test]
fn libraries_are_told_of_tls_in_their_own_words() {
    let mapping = Mapping {
        sslmode: Some("verify-full".to_owned()),
        sslrootcert: Some("/opt/rds.pem".to_owned()),
        ..mapping()
    };
    let value = |text: &str, runtime| {
        let found = changed(&[("X", &at_source(text))], &mapping, Some(runtime));
        let text = found.first().cloned().unwrap_or_default();
        text.rsplit_once("orders").map(|(_, rest)| rest.to_owned())
    };
    let url = "postgres://postgres:PW@DIRECT/postgres";
    assert_eq!(
        value(url, "python3.12").as_deref(),
        Some("?sslmode=verify-full&sslrootcert=%2Fopt%2Frds.pem")
    );
    assert_eq!(
        value(
            "postgres://postgres:PW@DIRECT/postgres?schema=a",
            "nodejs22.x"
        )
        .as_deref(),
        Some("?schema=a&sslmode=require&sslaccept=strict&sslcert=%2Fopt%2Frds.pem")
    );
    assert_eq!(
        value(
            "postgresql+asyncpg://postgres:PW@DIRECT/postgres",
            "python3.12"
        )
        .as_deref(),
        Some("?ssl=verify-full")
    );
    let direct = at_source("DIRECT");
    let set = [
        ("PGHOST", direct.as_str()),
        ("PGUSER", "postgres"),
        ("PGPASSWORD", OLD),
    ];
    let found = changed(&set, &mapping, Some("python3.12"));
    assert!(
        found.contains(&"PGSSLMODE=verify-full".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"PGSSLROOTCERT=/opt/rds.pem".to_owned()),
        "{found:?}"
    );
}

#[test]
fn credentials_without_a_place_change_alone() {
    let rewritten = |text: &str| {
        let found = Credentials::read(text).unwrap();
        found
            .rewritten(Some("postgres"), &mapping())
            .unwrap()
            .reveal()
            .to_owned()
    };
    assert_eq!(rewritten(OLD), NEW);
    assert_eq!(
        rewritten("{\"username\": \"postgres\", \"password\": \"x\", \"n\":1}"),
        "{\"username\": \"app\", \"password\": \"new/Secret:2\", \"n\":1}"
    );
    assert!(Credentials::read("two words").is_none());
    assert!(Credentials::read("{\"key\":\"x\"}").is_none());
}

/// Connections of every shape, with a hole for the host.
const SHAPES: [&str; 9] = [
    "postgres://USERNAME:SECRET@HOST/postgres?x=1",
    "postgresql+psycopg://USERNAME:SECRET@HOST:5432/postgres",
    "jdbc:postgresql://HOST/postgres?user=USERNAME&password=SECRET&x=a%20b",
    "host=HOST user=USERNAME password=SECRET dbname=postgres",
    "{\"host\":\"HOST\",\"username\":\"USERNAME\",\"password\":\"SECRET\",\"k\":[1, 2]}",
    "{\"url\": \"postgres://USERNAME:SECRET@HOST/postgres\"}",
    "[\"postgres://USERNAME:SECRET@HOST/postgres\"]",
    "BASE64",
    "SET",
];

fn shape(index: usize, host: &str, secret: &str) -> Variables {
    let fill = |text: &str| {
        text.replace("HOST", host)
            .replace("USERNAME", "postgres")
            .replace("SECRET", secret)
    };
    match SHAPES[index] {
        "BASE64" => map(&[("X", &STANDARD.encode(fill(SHAPES[0])))]),
        "SET" => map(&[
            ("PGHOST", host),
            ("PGUSER", "postgres"),
            ("PGPASSWORD", secret),
        ]),
        text => map(&[("X", &fill(text))]),
    }
}

proptest! {
    #[test]
    fn a_value_of_another_server_is_never_touched(index in 0..SHAPES.len(), host in "[a-z]{1,9}\\.example", secret in "[a-zA-Z0-9]{12,20}") {
        let mut plain = mapping();
        let source = "postgres://postgres:old-Secret%231@localhost:54322/postgres";
        plain.source = ConnectionUrl::parse(source, Side::Source).unwrap();
        let other = format!("db.{OTHER_REF}.supabase.co");
        for host in [host.as_str(), &other, "localhost", "aws-0-eu-west-1.pooler.supabase.com.example"] {
            for mapping in [&mapping(), &plain] {
                let rewriting = rewrite(&shape(index, host, &secret), mapping, None);
                prop_assert!(rewriting.is_empty(), "{:?} {:?}", rewriting.changes, rewriting.left);
            }
        }
    }

    #[test]
    fn rewriting_twice_changes_nothing_and_shows_nothing(index in 0..SHAPES.len(), secret in "[a-zA-Z0-9]{12,20}", password in "[a-zA-Z0-9:/@?#'\" \\\\]{12,20}", mode in proptest::option::of("require|verify-full|no-verify"), proxy in any::<bool>()) {
        let mut mapping = mapping();
        mapping.target.password = Some(Secret::new(password.clone()));
        mapping.sslmode = mode;
        mapping.via = if proxy { Via::Proxy } else { Via::Direct };
        let before = shape(index, &at_source("DIRECT"), &secret);
        let rewriting = rewrite(&before, &mapping, None);
        prop_assert!(!rewriting.values.is_empty(), "{:?}", rewriting.left);
        let shown = format!("{:?} {:?} {:?}", rewriting.changes, rewriting.left, rewriting.pending);
        prop_assert!(!shown.contains(&secret) && !shown.contains(&password), "{}", shown);
        let mut after = before.clone();
        after.extend(rewriting.values);
        let again = rewrite(&after, &mapping, None);
        prop_assert!(again.is_empty(), "{:?} {:?}", again.changes, again.left);
        // On the target's side the same shape reads as a connection to the target.
        let back = Mapping { source: mapping.target.clone(), ..mapping.clone() };
        prop_assert_eq!(rewrite(&after, &back, None).values.len(), if SHAPES[index] == "SET" { 3 + usize::from(mapping.sslmode.is_some()) } else { 1 });
    }

    #[test]
    fn no_text_makes_it_stumble(text in "\\PC{0,60}", name in "[A-Z_]{1,12}") {
        let rewriting = rewrite(&map(&[(&name, &text)]), &mapping(), None);
        prop_assert!(rewriting.values.is_empty());
        let survey = Survey { server: &SourceServer::of(&mapping()), mapping: &mapping(), runtime: None };
        let reading = value::read(&text, survey);
        let is_elsewhere = matches!(reading, ValueReading::Elsewhere { .. });
        prop_assert!(is_elsewhere);
    }
}
