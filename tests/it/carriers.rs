//! What is found in functions, secrets and parameters, what it becomes, and that nobody is shown a
//! secret on the way: not in the plan, not in a log, not in an error, not in the store.

use aws_sdk_lambda::config::{Builder, Credentials, Region};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use towpath_tests::{Act, AwsProxy, AwsState, MiniStack, Pair, Project, aws_state, pair, project};

/// A project of Supabase that the source is said to be.
const REF: &str = "abcdefghijklmnopqrst";

/// Stand in values that belong to the consumers alone, and in those of the source and the target.
const CANARIES: [&str; 4] = ["canary-old", "canary-other", "canary-new", "canary-api"];

const NEW: &str = "app:canary-new-1";

/// The smallest archive there is: nobody invokes these functions.
const EMPTY_ZIP: [u8; 22] = [
    0x50, 0x4b, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

struct World {
    pair: Pair,
    aws: MiniStack,
    proxy: AwsProxy,
    project: Project,
}

fn at_source(text: &str) -> String {
    text.replace("DIRECT", &format!("db.{REF}.supabase.co"))
        .replace("POOLER", "aws-0-eu-west-1.pooler.supabase.com")
        .replace("USER", &format!("postgres.{REF}"))
}

struct Function<'a> {
    name: &'a str,
    runtime: &'a str,
    region: Option<&'static str>,
    /// MiniStack takes an access key of twelve digits as the account.
    account: &'a str,
    tags: &'a [(&'a str, &'a str)],
    variables: &'a [(&'a str, &'a str)],
}

const PYTHON: Function<'static> = Function {
    name: "",
    runtime: "python3.11",
    region: None,
    account: "000000000000",
    tags: &[],
    variables: &[],
};

fn create(aws: &MiniStack, function: &Function<'_>) {
    let variables = function.variables.iter();
    let variables = variables.map(|(name, value)| ((*name).to_owned(), at_source(value)));
    let environment = Environment::builder().set_variables(Some(variables.collect()));
    let tags = function.tags.iter();
    let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let code = FunctionCode::builder().zip_file(Blob::new(EMPTY_ZIP));
    let credentials = Credentials::new(function.account, "fixture-key", None, None, "fixture");
    let mut there = Builder::new().credentials_provider(credentials);
    if let Some(region) = function.region {
        there = there.region(Region::new(region));
    }
    let aws = aws.aws();
    let call = aws
        .lambda()
        .create_function()
        .function_name(function.name)
        .runtime(Runtime::from(function.runtime))
        .role("arn:aws:iam::000000000000:role/lambda")
        .handler("orders_api.handler")
        .code(code.build())
        .environment(environment.build())
        .set_tags((!function.tags.is_empty()).then(|| tags.collect()))
        .customize()
        .config_override(there);
    aws.wait(call.send()).expect("create a function");
}

fn parameter(aws: &MiniStack, name: &str, kind: &str, value: &str) {
    let body = json!({"Name": name, "Value": at_source(value), "Type": kind});
    let _ = aws_state::call(&aws.url(), "AmazonSSM.PutParameter", &body);
}

fn encoded(text: &str) -> String {
    STANDARD.encode(at_source(text))
}

fn world() -> World {
    let pair = pair();
    let aws = MiniStack::start();
    let secret = |name: &str, value: &str| aws.aws().create_secret(name, &at_source(value));
    let managed = secret(
        "rds!managed",
        "{\"username\":\"postgres\", \"password\":\"canary-old-managed\"}",
    );
    let plain = secret("odd/password", "canary-old-plain");
    let foreign = secret(
        "odd/foreign",
        "postgres://u:canary-other-1@other.example/db",
    );
    for (name, value) in [
        ("/odd/db/host", "DIRECT"),
        ("/odd/db/port", "5432"),
        ("/odd/db/username", "postgres"),
        ("/odd/db/password", "canary-old-ssm"),
        ("/odd/db/dbname", "postgres"),
        ("/odd/level", "info"),
    ] {
        parameter(
            &aws,
            name,
            if name.ends_with("word") {
                "SecureString"
            } else {
                "String"
            },
            value,
        );
    }
    let base64 = encoded("postgres://postgres:canary-old-64@DIRECT/postgres");
    let helper = encoded(&format!(
        "\u{1}\u{2}\u{2}\0x{}",
        "canary-other-kms ".repeat(12)
    ));
    for function in [
        Function {
            name: "odd-prisma",
            runtime: "nodejs22.x",
            tags: &[
                ("aws:cloudformation:stack-name", "odd"),
                ("lambda:createdBy", "SAM"),
            ],
            variables: &[
                (
                    "DATABASE_URL",
                    "postgresql://USER:canary-old-1@POOLER:6543/postgres?pgbouncer=true&connection_limit=1",
                ),
                (
                    "DIRECT_URL",
                    "postgresql://USER:canary-old-1@POOLER:5432/postgres",
                ),
                ("SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co"),
                ("SUPABASE_SERVICE_ROLE_KEY", "canary-api-1"),
                ("GREETING", "snow \u{2603} 'quoted'"),
            ],
            ..PYTHON
        },
        Function {
            name: "odd-base64",
            variables: &[("CONNECTION", &base64)],
            ..PYTHON
        },
        Function {
            name: "odd-managed",
            variables: &[
                ("PGHOST", "DIRECT"),
                ("PGUSER", "postgres"),
                ("DB_SECRET_ARN", &managed),
            ],
            ..PYTHON
        },
        Function {
            name: "odd-plain",
            variables: &[
                ("DATABASE_URL", "postgres://postgres@DIRECT/postgres"),
                ("PASSWORD_ARN", &plain),
                ("OTHER_ARN", &foreign),
            ],
            ..PYTHON
        },
        Function {
            name: "odd-path",
            variables: &[("SSM_PATH", "/odd/")],
            ..PYTHON
        },
        Function {
            name: "odd-spring",
            runtime: "java21",
            variables: &[
                (
                    "SPRING_DATASOURCE_URL",
                    "jdbc:postgresql://DIRECT:5432/postgres?prepareThreshold=0",
                ),
                ("SPRING_DATASOURCE_USERNAME", "postgres"),
                ("SPRING_DATASOURCE_PASSWORD", "canary-old-spring"),
            ],
            ..PYTHON
        },
        Function {
            name: "odd-elsewhere",
            variables: &[(
                "DATABASE_URL",
                "postgres://u:canary-other-2@other.example/postgres",
            )],
            ..PYTHON
        },
        Function {
            name: "odd-silent",
            variables: &[("LEVEL", "info")],
            ..PYTHON
        },
        Function {
            name: "odd-helper",
            variables: &[("CIPHER", &helper)],
            ..PYTHON
        },
        Function {
            name: "odd-accelerate",
            variables: &[(
                "DATABASE_URL",
                "prisma://accelerate.prisma-data.net/?api_key=canary-other-3",
            )],
            ..PYTHON
        },
    ] {
        create(&aws, &function);
    }
    let proxy = AwsProxy::start(&aws.url());
    let target = pair.target.url();
    let (_, place) = target.rsplit_once('@').expect("a URL");
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("AWS_ENDPOINT_URL", &proxy.url())
        .with("TOWPATH_SWITCH_PREFIXES", "odd-")
        .with("TOWPATH_SWITCH_SOURCE_HOSTS", &at_source("DIRECT"))
        .with("TOWPATH_SWITCH_URL", &format!("postgres://{NEW}@{place}"))
        .with(
            "TOWPATH_SWITCH_NODE_EXTRA_CA_CERTS",
            "/var/runtime/ca-cert.pem",
        )
        .with("TOWPATH_SWITCH_SSLMODE", "require")
        .with("TOWPATH_SWITCH_CACHES", "ignore")
        .with("TOWPATH_PROBE_SQL", "off")
        .with("TOWPATH_FENCE_MODE", "none");
    World {
        pair,
        aws,
        proxy,
        project,
    }
}

impl World {
    fn state(&self) -> AwsState {
        AwsState::read(&self.aws.url())
    }

    fn variable(&self, function: &str, name: &str) -> String {
        let state = self.state();
        let value = &state.variables(function)[name];
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a command at its most talkative, and looks for secrets in everything it leaves.
    fn quietly(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let arguments = [&["-vv"], arguments].concat();
        let end = self.project.expect(code, &arguments);
        for canary in CANARIES {
            assert!(!end.stdout.contains(canary), "{canary}: {end}");
            assert!(!end.stderr.contains(canary), "{canary}: {end}");
        }
        (end.stdout, end.stderr)
    }

    fn assert_nothing_kept(&self) {
        let mut folders = vec![self.project.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("read a folder") {
                let path = entry.expect("read an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                for canary in CANARIES {
                    assert!(!text.contains(canary), "{canary} is in {}", path.display());
                }
            }
        }
    }
}

#[test]
fn every_carrier_is_told_masked_switched_and_put_back() {
    let world = world();
    world.project.expect(0, &["run", "--yes"]);
    let id = world.project.run_id();
    let before = world.state();
    let held = format!("{before:?} {NEW}");
    assert!(CANARIES.iter().all(|canary| held.contains(canary)));
    let host = world.pair.target.url();
    let (_, host) = host.rsplit_once('@').expect("a URL");
    let (place, database) = host.split_once('/').expect("a database");
    let (host, port) = place.split_once(':').expect("a port");

    let (table, _) = world.quietly(0, &["cutover", "--dry-run"]);
    for part in [
        &format!(
            "DATABASE_URL postgresql://postgres.{REF}@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1"
        ),
        &format!(
            "DATABASE_URL postgresql://app@{place}/{database}?connection_limit=1&sslmode=require&sslaccept=accept_invalid_certs"
        ),
        "NODE_EXTRA_CA_CERTS",
        "SUPABASE_URL: still depends on Supabase",
        "SUPABASE_SERVICE_ROLE_KEY: still depends on Supabase",
        "lambda odd-silent its code: holds no connection",
        "lambda odd-helper CIPHER: looks encrypted",
        "lambda odd-accelerate DATABASE_URL: reaches its database through Prisma's service",
        "lambda odd-prisma: is deployed by a template that holds the old value (CloudFormation stack odd (AWS SAM))",
        "password for postgres://postgres@",
        "parameter /odd/db/password",
        "change the template too",
    ] {
        assert!(table.contains(part), "{part:?} is not said:\n{table}");
    }
    assert!(
        !table.contains("odd-elsewhere") && !table.contains("/odd/level"),
        "{table}"
    );
    let (json, _) = world.quietly(0, &["cutover", "--dry-run", "--json"]);
    let document: Value = json
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Value| line["type"] == "bindings")
        .expect("the bindings");
    let bindings = document["bindings"].as_array().expect("bindings");
    assert_eq!(bindings.len(), 12, "{document:#}");
    assert_eq!(world.state(), before);

    // Errors quote: Lambda its whole variable map, validation the value it does not like.
    for operation in [
        "ListFunctions",
        "GetSecretValue",
        "GetParametersByPath",
        "GetFunctionConfiguration",
    ] {
        world
            .proxy
            .decide(move |call| match call.operation.ends_with(operation) {
                true => Act::Refuse,
                false => Act::Pass,
            });
        let (_, said) = world.quietly(1, &["cutover", "--dry-run"]);
        assert!(said.contains(operation), "{said}");
    }
    let operations = [
        "lambda:UpdateFunctionConfiguration",
        "secretsmanager:PutSecretValue",
        "ssm:PutParameter",
    ];
    // Parameters come last: everything else is switched by then, and goes back.
    let is_full = std::env::var_os("TOWPATH_TEST_FULL").is_some();
    for operation in operations.into_iter().skip(if is_full { 0 } else { 2 }) {
        world
            .proxy
            .decide(move |call| match call.operation == operation {
                true => Act::Quote,
                false => Act::Pass,
            });
        let (_, said) = world.quietly(13, &["cutover", "--confirm", &id]);
        assert!(said.contains("it may quote values"), "{said}");
        before.assert_restored(&world.state());
        world.quietly(0, &["verify"]);
    }
    world.proxy.pass();

    world.quietly(0, &["cutover", "--confirm", &id]);
    let target = format!("app:canary-new-1@{place}/{database}");
    assert_eq!(
        world.variable("odd-prisma", "DATABASE_URL"),
        format!(
            "postgresql://{target}?connection_limit=1&sslmode=require&sslaccept=accept_invalid_certs"
        )
    );
    assert_eq!(
        world.variable("odd-prisma", "NODE_EXTRA_CA_CERTS"),
        "/var/runtime/ca-cert.pem"
    );
    assert_eq!(
        world.variable("odd-prisma", "GREETING"),
        "snow \u{2603} 'quoted'"
    );
    assert_eq!(
        world.variable("odd-base64", "CONNECTION"),
        STANDARD.encode(format!("postgres://{target}?sslmode=require"))
    );
    assert_eq!(world.variable("odd-managed", "PGHOST"), host);
    assert_eq!(world.variable("odd-managed", "PGPORT"), port);
    assert_eq!(
        world.variable("odd-spring", "SPRING_DATASOURCE_PASSWORD"),
        "canary-new-1"
    );
    let secret = |name: &str| world.aws.aws().secret(name);
    assert_eq!(
        secret("rds!managed"),
        "{\"username\":\"app\", \"password\":\"canary-new-1\"}"
    );
    assert_eq!(secret("odd/password"), "canary-new-1");
    assert!(secret("odd/foreign").contains("canary-other-1"));
    let state = world.state();
    for (name, value) in [
        ("host", host),
        ("port", port),
        ("username", "app"),
        ("password", "canary-new-1"),
        ("dbname", database),
    ] {
        let held = state.get(&format!("parameter /odd/db/{name}"));
        assert_eq!(held["value"], value, "{held}");
    }

    world.quietly(0, &["rollback", "--yes"]);
    before.assert_restored(&world.state());
    world.quietly(0, &["report"]);
    world.assert_nothing_kept();
}

#[test]
fn functions_of_other_regions_accounts_and_stacks_are_found() {
    let pair = pair();
    let aws = MiniStack::start();
    let url = "postgres://postgres:canary-old-1@DIRECT/postgres";
    let variables = [("DATABASE_URL", url)];
    for (name, region, stack) in [
        ("shop-here", None, "shop"),
        ("shop-there", Some("us-east-1"), "shop"),
        ("blog-there", Some("us-east-1"), "blog"),
    ] {
        let function = Function {
            name,
            region,
            tags: &[("aws:cloudformation:stack-name", stack)],
            variables: &variables,
            ..PYTHON
        };
        create(&aws, &function);
    }
    let project = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_STACKS", "shop")
        .with("TOWPATH_SWITCH_SOURCE_HOSTS", &at_source("DIRECT"));
    let planned = |project: &Project| -> Vec<String> {
        let end = project.expect(0, &["plan", "--json"]);
        assert!(!end.stdout.contains("canary-old"), "{end}");
        let plan: Value = serde_json::from_str(end.stdout.trim()).expect("a plan");
        let bindings = plan["bindings"].as_array().expect("bindings").iter();
        let names = bindings.map(|it| it["binding"].as_str().unwrap_or_default().to_owned());
        names.collect()
    };
    assert_eq!(planned(&project), ["lambda shop-here"]);
    let arn = |region: &str, account: &str, name: &str| {
        format!("lambda arn:aws:lambda:{region}:{account}:function:{name}")
    };
    let project = project.with("TOWPATH_SWITCH_REGIONS", "eu-west-1,us-east-1");
    assert_eq!(
        planned(&project),
        [
            arn("eu-west-1", "000000000000", "shop-here"),
            arn("us-east-1", "000000000000", "shop-there")
        ]
    );
    let project = project.with("TOWPATH_SWITCH_ALL", "true");
    assert_eq!(planned(&project).len(), 3);
    // A secret in place of the one that holds the source.
    let secret = |name: &str, value: &str| aws.aws().create_secret(name, &at_source(value));
    let (old, new) = (secret("old", url), secret("new", "{}"));
    let by_secret = Function {
        name: "by-secret",
        variables: &[("DB_SECRET_ARN", &old)],
        ..PYTHON
    };
    create(&aws, &by_secret);
    let other = project!(&pair)
        .with_all(&aws.env())
        .with("TOWPATH_SWITCH_FUNCTIONS", "by-secret")
        .with("TOWPATH_SWITCH_PASSWORD", &new)
        .with("TOWPATH_SWITCH_SOURCE_HOSTS", &at_source("DIRECT"));
    let end = other.expect(0, &["plan"]);
    for part in [
        format!("before  DB_SECRET_ARN secret {old} (postgres://postgres@db."),
        format!("after   DB_SECRET_ARN secret {new}"),
    ] {
        assert!(end.stdout.contains(&part), "{part:?} is not said:\n{end}");
    }
    // A role of another account, whose functions are other ones.
    let role = "arn:aws:iam::111122223333:role/towpath";
    let project = project.with("TOWPATH_SWITCH_ROLES", role);
    let far = Function {
        name: "far",
        account: "111122223333",
        variables: &variables,
        ..PYTHON
    };
    create(&aws, &far);
    assert_eq!(planned(&project), [arn("eu-west-1", "111122223333", "far")]);
    let project = project.with("TOWPATH_SWITCH_ROLES", "towpath");
    let end = project.expect(2, &["plan"]);
    assert!(end.stderr.contains("not the ARN of a role"), "{end}");
}
