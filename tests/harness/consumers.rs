//! Functions, secrets and parameters that point at a source in every shape that the field knows.

use std::fs;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, Runtime};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::aws::{MiniStack, orders_api_zip};
use crate::aws_state::{call, lambda};
use crate::wait::wait_until;

/// How a function is told where the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `postgres://…` in a variable, beside one that is nobody's business.
    Url,
    /// `postgresql://…` with parameters, and a second URL.
    TwoUrls,
    /// `postgresql+psycopg2://…`.
    SqlAlchemy,
    /// `jdbc:postgresql://…` with user and password as parameters.
    Jdbc,
    /// `host=… port=…`.
    Dsn,
    /// JSON that holds a URL.
    Json,
    /// `PGHOST`, `PGPORT` and so on.
    PgVariables,
    /// `DB_HOST`, `DB_PORT` and so on.
    DbVariables,
    /// The ARN of a secret as RDS writes them.
    RdsSecret,
    /// The ARN of a secret that is JSON of its own kind.
    CustomSecret,
    /// The name of a secret that is a URL.
    PlainSecret,
    /// The ARN of a secret that every function of this shape reads.
    SharedSecret,
    /// The name of a parameter.
    Parameter,
    /// The name of an encrypted parameter.
    SecureParameter,
    /// A URL in a variable, and an alias on a published version.
    Alias,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 15] = [
        Self::Url,
        Self::TwoUrls,
        Self::SqlAlchemy,
        Self::Jdbc,
        Self::Dsn,
        Self::Json,
        Self::PgVariables,
        Self::DbVariables,
        Self::RdsSecret,
        Self::CustomSecret,
        Self::PlainSecret,
        Self::SharedSecret,
        Self::Parameter,
        Self::SecureParameter,
        Self::Alias,
    ];

    fn label(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A server as consumers know it.
#[derive(Clone, Debug)]
struct Server {
    user: String,
    password: String,
    host: String,
    port: String,
    database: String,
}

impl Server {
    fn of(url: &str) -> Self {
        let rest = url.split_once("://").expect("a URL").1;
        let (login, rest) = rest.split_once('@').expect("a user");
        let (user, password) = login.split_once(':').expect("a password");
        let (place, database) = rest.split_once('/').expect("a database");
        let (host, port) = place.split_once(':').expect("a port");
        let [user, password, host, port] = [user, password, host, port].map(str::to_owned);
        let database = database.split('?').next().unwrap_or_default().to_owned();
        Self {
            user,
            password,
            host,
            port,
            database,
        }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Consumers {
    /// Names of the functions with their shapes.
    pub functions: Vec<(String, Shape)>,
}

type Function = (String, Vec<(String, String)>);

impl Consumers {
    /// Makes `copies` functions of each shape, named `orders-<shape>-<number>`, with what they read.
    /// `url` has neither percent signs nor parameters.
    #[must_use]
    pub fn create(aws: &MiniStack, url: &str, shapes: &[Shape], copies: usize) -> Self {
        let server = Server::of(url);
        let mut made: Vec<Function> = Vec::new();
        let mut functions = Vec::new();
        let mut shared = None;
        for &shape in shapes {
            for copy in 1..=copies {
                let name = format!("orders-{}-{copy}", shape.label());
                let variables = variables(aws, &server, url, shape, &name, &mut shared);
                made.push((name.clone(), variables));
                functions.push((name, shape));
            }
        }
        create_functions(aws, made);
        for (name, _) in functions.iter().filter(|it| it.1 == Shape::Alias) {
            publish(aws, name);
        }
        Self { functions }
    }
}

fn variables(
    aws: &MiniStack,
    server: &Server,
    url: &str,
    shape: Shape,
    name: &str,
    shared: &mut Option<String>,
) -> Vec<(String, String)> {
    let Server {
        user,
        password,
        host,
        port,
        database,
    } = server;
    let rest = url.split_once("://").expect("a URL").1;
    let pairs: Vec<(&str, String)> = match shape {
        Shape::Url | Shape::Alias => vec![
            ("DATABASE_URL", url.to_owned()),
            ("GREETING", "snow \u{2603} & \"quotes\" = 'fine'".to_owned()),
        ],
        Shape::TwoUrls => vec![
            (
                "DATABASE_URL",
                format!("postgresql://{rest}?connect_timeout=9&application_name=a%20b"),
            ),
            ("DIRECT_URL", url.to_owned()),
        ],
        Shape::SqlAlchemy => vec![("DB_URL", format!("postgresql+psycopg2://{rest}"))],
        Shape::Jdbc => vec![(
            "JDBC_URL",
            format!("jdbc:postgresql://{host}:{port}/{database}?user={user}&password={password}"),
        )],
        Shape::Dsn => vec![(
            "PG_DSN",
            format!("host={host} port={port} user={user} password='{password}' dbname={database}"),
        )],
        Shape::Json => vec![(
            "CONFIG",
            format!("{{ \"cache\": 1.50, \"db\": {{\"url\": \"{url}\"}} }}"),
        )],
        Shape::PgVariables => vec![
            ("PGHOST", host.clone()),
            ("PGPORT", port.clone()),
            ("PGUSER", user.clone()),
            ("PGPASSWORD", password.clone()),
            ("PGDATABASE", database.clone()),
        ],
        Shape::DbVariables => vec![
            ("DB_HOST", host.clone()),
            ("DB_PORT", port.clone()),
            ("DB_USER", user.clone()),
            ("DB_PASSWORD", password.clone()),
            ("DB_NAME", database.clone()),
        ],
        Shape::RdsSecret => {
            let text = format!(
                "{{\"engine\":\"postgres\",\"host\":\"{host}\",\"username\":\"{user}\",\"password\":\"{password}\",\"dbname\":\"{database}\",\"port\":{port}}}"
            );
            vec![("DB_SECRET_ARN", create_secret(aws, name, &text))]
        }
        Shape::CustomSecret => {
            let text = format!("{{\"z\": [1,  2], \"DATABASE_URL\": \"{url}\"}}");
            vec![("DB_SECRET_ARN", create_secret(aws, name, &text))]
        }
        Shape::PlainSecret => {
            let _ = create_secret(aws, name, url);
            vec![("SECRET_NAME", name.to_owned())]
        }
        Shape::SharedSecret => {
            let arn = shared.get_or_insert_with(|| create_secret(aws, "shared/database", url));
            vec![("DB_SECRET_ARN", arn.clone())]
        }
        Shape::Parameter => {
            vec![("DB_PARAM", create_parameter(aws, name, "String", url))]
        }
        Shape::SecureParameter => {
            vec![("DB_PARAM", create_parameter(aws, name, "SecureString", url))]
        }
    };
    pairs
        .into_iter()
        .chain([("LOG_LEVEL", "info".to_owned())])
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn create_secret(aws: &MiniStack, name: &str, text: &str) -> String {
    let asked = json!({"Name": name, "SecretString": text});
    let made = call(&aws.url(), "secretsmanager.CreateSecret", &asked);
    made["ARN"].as_str().expect("an ARN").to_owned()
}

fn create_parameter(aws: &MiniStack, name: &str, kind: &str, value: &str) -> String {
    let name = format!("/orders/{name}");
    let asked = json!({"Name": name, "Type": kind, "Value": value, "Description": "kept"});
    let _ = call(&aws.url(), "AmazonSSM.PutParameter", &asked);
    name
}

/// Side by side: each takes half a second until it may be changed.
fn create_functions(aws: &MiniStack, functions: Vec<Function>) {
    let code = fs::read(orders_api_zip()).expect("read the function's package");
    let client = aws.aws();
    let lambda = client.lambda().clone();
    let names: Vec<String> = functions.iter().map(|(name, _)| name.clone()).collect();
    client.wait(async move {
        let mut making = JoinSet::new();
        for (name, variables) in functions {
            let environment =
                Environment::builder().set_variables(Some(variables.into_iter().collect()));
            let code = FunctionCode::builder().zip_file(Blob::new(code.clone()));
            let call = lambda
                .create_function()
                .function_name(name)
                .runtime(Runtime::from("python3.11"))
                .role("arn:aws:iam::000000000000:role/lambda")
                .handler("orders_api.handler")
                .timeout(20)
                .code(code.build())
                .environment(environment.build());
            making.spawn(call.send());
        }
        for made in making.join_all().await {
            made.expect("create a function");
        }
    });
    let url = aws.url();
    wait_until("the functions are active", Duration::from_secs(60), || {
        names.iter().all(|name| is_settled(&url, name))
    });
}

fn is_settled(url: &str, name: &str) -> bool {
    let line = format!("GET /2015-03-31/functions/{name}/configuration");
    let found = lambda(url, &line, &Value::Null);
    found["State"] == "Active" && found["LastUpdateStatus"] == "Successful"
}

fn publish(aws: &MiniStack, name: &str) {
    let url = aws.url();
    let line = format!("POST /2015-03-31/functions/{name}/versions");
    let version = lambda(&url, &line, &json!({}));
    let line = format!("POST /2015-03-31/functions/{name}/aliases");
    let asked = json!({"Name": "live", "FunctionVersion": version["Version"]});
    let _ = lambda(&url, &line, &asked);
}

/// Replaces all variables of a function, as a deployment would, and waits until that is done.
pub fn deploy(aws: &str, name: &str, variables: &Value) {
    let line = format!("PUT /2015-03-31/functions/{name}/configuration");
    let asked = json!({"Environment": {"Variables": variables}});
    let _ = lambda(aws, &line, &asked);
    wait_until("the deployment is done", Duration::from_secs(30), || {
        is_settled(aws, name)
    });
}
