//! AWS on loopback: MiniStack for everything, SeaweedFS as a second, stricter S3.
//!
//! MiniStack runs Lambda functions as local processes and answers a described RDS instance with the
//! port it was created with, so a switched function really reaches the target.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Environment, FunctionCode, LastUpdateStatus, Runtime, State};
use serde_json::Value;

use crate::cache::{self, Key};
use crate::server::{self, Ending, Place, Server};
use crate::wait::wait_until;

/// Region of everything here.
pub const REGION: &str = "eu-west-1";
/// One for both servers, so that a program can use them together. MiniStack takes an access key of
/// twelve digits as the account's id and accepts any secret; SeaweedFS is started with this pair.
const KEY: (&str, &str) = ("000000000000", "fixture-secret-aws");

const PORT_ATTEMPTS: usize = 5;
const SETTLED: Duration = Duration::from_secs(30);

/// A running MiniStack. It and the processes of its functions end on drop.
pub struct MiniStack {
    port: u16,
    _server: Server,
}

impl MiniStack {
    /// Starts one and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        let program = crate::tool("ministack", "TOWPATH_TEST_MINISTACK");
        start_server("ministack", |directory| {
            let [port] = server::free_ports();
            let mut command = Command::new(&program);
            command
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port.to_string());
            // Unpacked functions and state land in the directory that goes with the server.
            for (name, path) in [("TMPDIR", "."), ("HOME", "."), ("S3_DATA_DIR", "s3")] {
                command.env(name, directory.join(path));
            }
            (port, command)
        })
        .map_server(|port, server| Self {
            port,
            _server: server,
        })
    }

    /// Its endpoint, for every service.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a child needs to use it. Nothing else of AWS is to be inherited.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        environment("AWS_ENDPOINT_URL", &self.url())
    }

    /// Clients for it.
    #[must_use]
    pub fn aws(&self) -> Aws {
        Aws::new(&self.url())
    }
}

/// A running SeaweedFS. Ends on drop.
pub struct S3Server {
    port: u16,
    _server: Server,
}

impl S3Server {
    /// Starts one and waits until its S3 gateway answers.
    #[must_use]
    pub fn start() -> Self {
        let program = crate::tool("weed", "TOWPATH_TEST_WEED");
        start_server("weed", |directory| {
            let (port, mut command) = weed(&program, directory);
            command
                .env("AWS_ACCESS_KEY_ID", KEY.0)
                .env("AWS_SECRET_ACCESS_KEY", KEY.1);
            (port, command)
        })
        .map_server(|port, server| Self {
            port,
            _server: server,
        })
    }

    /// Its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a child needs to use it for S3. It has no other service.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        environment("AWS_ENDPOINT_URL_S3", &self.url())
    }

    /// Clients for it; only S3 answers.
    #[must_use]
    pub fn aws(&self) -> Aws {
        Aws::new(&self.url())
    }
}

/// All its parts in one process, each on a port of its own, and nothing told to its makers.
fn weed(program: &Path, directory: &Path) -> (u16, Command) {
    let mut command = Command::new(program);
    command.args([
        "mini",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-webdav=false",
        "-admin.ui=false",
    ]);
    command.args([
        "-master.telemetry=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]);
    command.arg(format!("-dir={}", directory.join("data").display()));
    fs::create_dir_all(directory.join("data")).expect("make a data directory");
    command.arg(format!(
        "-filer.localSocket={}",
        directory.join("filer.sock").display()
    ));
    command.env("HOME", directory).env("TMPDIR", directory);
    let options = [
        "s3.port",
        "s3.port.grpc",
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "admin.port",
        "admin.port.grpc",
    ];
    let ports: [u16; 10] = server::free_ports();
    for (option, port) in options.iter().zip(ports) {
        command.arg(format!("-{option}={port}"));
    }
    (ports[0], command)
}

struct Started {
    port: u16,
    server: Server,
}

impl Started {
    fn map_server<T>(self, make: impl FnOnce(u16, Server) -> T) -> T {
        make(self.port, self.server)
    }
}

fn start_server(name: &str, prepare: impl Fn(&Path) -> (u16, Command)) -> Started {
    let mut said = String::new();
    for _ in 0..PORT_ATTEMPTS {
        let directory = server::directory(None, Place::Disk);
        let (port, mut command) = prepare(&directory);
        forget_outer_aws(&mut command);
        let server = Server::start(&command, None, &directory, Ending::KillGroup);
        if server.becomes_ready(|| answers(name, port)) {
            return Started { port, server };
        }
        said = server.log();
    }
    panic!("{name} does not start:\n{said}");
}

/// A developer's own profile must neither reach a server nor be reached by it.
fn forget_outer_aws(command: &mut Command) {
    let given: Vec<_> = command
        .get_envs()
        .map(|(name, _)| name.to_owned())
        .collect();
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") && !given.contains(&name) {
            command.env_remove(name);
        }
    }
}

/// MiniStack has a page that says when it is ready. SeaweedFS binds its S3 port last, but refuses
/// callers until it knows its identities, so an answer with a status is what counts.
fn answers(name: &str, port: u16) -> bool {
    let (path, wanted): (_, &[_]) = match name {
        "ministack" => ("/_ministack/ready", &["200"]),
        _ => ("/", &["200", "403"]),
    };
    status(port, path).is_some_and(|status| wanted.contains(&status.as_str()))
}

fn status(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )
    .ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start[9..]).into_owned())
}

fn environment(endpoint: &str, url: &str) -> Vec<(String, String)> {
    [
        ("AWS_ACCESS_KEY_ID", KEY.0),
        ("AWS_SECRET_ACCESS_KEY", KEY.1),
        ("AWS_REGION", REGION),
        (endpoint, url),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

// ------------------------------------------------------------------------------------------------
// Clients
// ------------------------------------------------------------------------------------------------

/// What tests do to AWS beside the program under test. Blocking; every refusal panics.
pub struct Aws {
    /// Absent only while dropped: a plain drop would wait, which tokio forbids inside an async test.
    runtime: Option<tokio::runtime::Runtime>,
    s3: aws_sdk_s3::Client,
    lambda: aws_sdk_lambda::Client,
    secrets: aws_sdk_secretsmanager::Client,
    rds: aws_sdk_rds::Client,
    alarms: aws_sdk_cloudwatch::Client,
    topics: aws_sdk_sns::Client,
}

/// What a function is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionConfiguration {
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// Changes with every change.
    pub revision_id: String,
    /// `Successful`, `InProgress` or `Failed`.
    pub last_update_status: String,
}

impl Aws {
    fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("start a runtime");
        let credentials = aws_sdk_s3::config::Credentials::new(KEY.0, KEY.1, None, None, "fixture");
        let loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(REGION)
            .endpoint_url(url)
            .credentials_provider(credentials);
        let config = wait_for(&runtime, loader.load());
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(true)
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            lambda: aws_sdk_lambda::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            rds: aws_sdk_rds::Client::new(&config),
            alarms: aws_sdk_cloudwatch::Client::new(&config),
            topics: aws_sdk_sns::Client::new(&config),
            runtime: Some(runtime),
        }
    }

    /// Waits for one call to S3, Lambda, Secrets Manager or RDS that has no function here.
    pub fn wait<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        wait_for(self.runtime.as_ref().expect("present until drop"), call)
    }

    /// The S3 client, for `wait`.
    #[must_use]
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }

    /// The Lambda client, for `wait`.
    #[must_use]
    pub fn lambda(&self) -> &aws_sdk_lambda::Client {
        &self.lambda
    }

    /// The Secrets Manager client, for `wait`.
    #[must_use]
    pub fn secrets(&self) -> &aws_sdk_secretsmanager::Client {
        &self.secrets
    }

    /// The RDS client, for `wait`.
    #[must_use]
    pub fn rds(&self) -> &aws_sdk_rds::Client {
        &self.rds
    }

    // --- S3 ---

    /// Makes a bucket.
    pub fn create_bucket(&self, bucket: &str) {
        use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
        let place = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(REGION))
            .build();
        let call = self
            .s3
            .create_bucket()
            .bucket(bucket)
            .create_bucket_configuration(place);
        self.wait(call.send()).expect("create a bucket");
    }

    /// All keys below a prefix, sorted.
    #[must_use]
    pub fn object_keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let pages = self
            .s3
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            .into_paginator();
        let pages = self.wait(async move { pages.send().try_collect().await });
        let mut keys: Vec<_> = pages
            .expect("list objects")
            .into_iter()
            .flat_map(|page| page.contents.unwrap_or_default())
            .filter_map(|object| object.key)
            .collect();
        keys.sort();
        keys
    }

    /// The bytes of an object.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Vec<u8> {
        let call = self.s3.get_object().bucket(bucket).key(key).send();
        self.wait(async { call.await.expect("get an object").body.collect().await })
            .expect("read an object")
            .to_vec()
    }

    /// Writes or overwrites an object.
    pub fn put_object(&self, bucket: &str, key: &str, bytes: Vec<u8>) {
        let call = self
            .s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(bytes.into());
        self.wait(call.send()).expect("put an object");
    }

    /// Deletes an object.
    pub fn delete_object(&self, bucket: &str, key: &str) {
        let call = self.s3.delete_object().bucket(bucket).key(key);
        self.wait(call.send()).expect("delete an object");
    }

    // --- Lambda ---

    /// Makes a function from tests/fixtures/lambda that answers which database it reaches, and waits
    /// until it is active.
    pub fn create_function(&self, name: &str, environment: &[(&str, &str)]) {
        let code = fs::read(orders_api_zip()).expect("read the function's package");
        let call = self
            .lambda
            .create_function()
            .function_name(name)
            .runtime(Runtime::from("python3.11"))
            .role("arn:aws:iam::000000000000:role/lambda")
            .handler("orders_api.handler")
            .timeout(20)
            .code(FunctionCode::builder().zip_file(Blob::new(code)).build())
            .environment(variables(environment));
        self.wait(call.send()).expect("create a function");
        self.wait_until_settled(name);
    }

    /// What the function answers; the error is the function's own.
    pub fn invoke(&self, name: &str) -> Result<Value, String> {
        let call = self
            .lambda
            .invoke()
            .function_name(name)
            .payload(Blob::new("{}"));
        let answer = self.wait(call.send()).expect("invoke a function");
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let text = String::from_utf8_lossy(&payload).into_owned();
        match answer.function_error {
            Some(_) => Err(text),
            None => Ok(serde_json::from_str(&text).expect("a function answers JSON")),
        }
    }

    /// The function's configuration as it is.
    #[must_use]
    pub fn configuration(&self, name: &str) -> FunctionConfiguration {
        let call = self.lambda.get_function_configuration().function_name(name);
        let answer = self
            .wait(call.send())
            .expect("get a function's configuration");
        let environment = answer
            .environment
            .and_then(|e| e.variables)
            .unwrap_or_default();
        FunctionConfiguration {
            environment: environment.into_iter().collect(),
            revision_id: answer.revision_id.unwrap_or_default(),
            last_update_status: answer
                .last_update_status
                .map(|status| status.as_str().to_owned())
                .unwrap_or_default(),
        }
    }

    /// Replaces all variables, as a deployment in between would, and waits until that is done.
    pub fn set_environment(&self, name: &str, environment: &[(&str, &str)]) {
        let call = self
            .lambda
            .update_function_configuration()
            .function_name(name);
        let call = call.environment(variables(environment));
        self.wait(call.send())
            .expect("update a function's configuration");
        self.wait_until_settled(name);
    }

    fn wait_until_settled(&self, name: &str) {
        wait_until("the function is active and updated", SETTLED, || {
            let call = self.lambda.get_function_configuration().function_name(name);
            let answer = self
                .wait(call.send())
                .expect("get a function's configuration");
            answer.state == Some(State::Active)
                && answer.last_update_status == Some(LastUpdateStatus::Successful)
        });
    }

    // --- Secrets Manager ---

    /// Makes a secret and returns its ARN.
    #[must_use]
    pub fn create_secret(&self, name: &str, value: &str) -> String {
        let call = self.secrets.create_secret().name(name).secret_string(value);
        self.wait(call.send())
            .expect("create a secret")
            .arn
            .expect("a secret has an ARN")
    }

    /// The current value of a secret, by name or ARN.
    #[must_use]
    pub fn secret(&self, id: &str) -> String {
        let call = self.secrets.get_secret_value().secret_id(id);
        let answer = self.wait(call.send()).expect("get a secret's value");
        answer.secret_string.expect("the secret is text")
    }

    /// Gives a secret a new current value.
    pub fn put_secret(&self, id: &str, value: &str) {
        let call = self
            .secrets
            .put_secret_value()
            .secret_id(id)
            .secret_string(value);
        self.wait(call.send()).expect("put a secret's value");
    }

    // --- CloudWatch and SNS ---

    /// Makes an alarm, or keeps it, and puts it into a state: `OK`, `ALARM`, `INSUFFICIENT_DATA`.
    pub fn set_alarm(&self, name: &str, state: &str) {
        use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
        let call = self
            .alarms
            .put_metric_alarm()
            .alarm_name(name)
            .namespace("Fixture")
            .metric_name("Errors")
            .statistic(Statistic::Sum)
            .period(60)
            .evaluation_periods(1)
            .threshold(1.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold);
        self.wait(call.send()).expect("put an alarm");
        let call = self
            .alarms
            .set_alarm_state()
            .alarm_name(name)
            .state_value(StateValue::from(state))
            .state_reason("fixture");
        self.wait(call.send()).expect("set an alarm's state");
    }

    /// Makes a topic and subscribes an HTTP endpoint to it, which must confirm; gives its ARN.
    #[must_use]
    pub fn create_topic(&self, name: &str, server: &crate::HttpServer, path: &str) -> String {
        let call = self.topics.create_topic().name(name);
        let topic = self.wait(call.send()).expect("create a topic").topic_arn;
        let topic = topic.expect("a topic has an ARN");
        let call = self
            .topics
            .subscribe()
            .topic_arn(&topic)
            .protocol("http")
            .endpoint(server.url(path));
        self.wait(call.send()).expect("subscribe to a topic");
        server.wait_for(path, 1);
        let asked = server.asked(path)[0].json();
        let token = asked["Token"].as_str().expect("a token");
        let call = self
            .topics
            .confirm_subscription()
            .topic_arn(&topic)
            .token(token);
        self.wait(call.send()).expect("confirm a subscription");
        topic
    }

    // --- RDS ---

    /// Enters an instance whose endpoint is `localhost:port`, where a local server listens.
    pub fn create_db_instance(&self, id: &str, port: u16, master: &str, database: &str) {
        let call = self
            .rds
            .create_db_instance()
            .db_instance_identifier(id)
            .engine("postgres")
            .engine_version(crate::Installation::usual().major().to_string())
            .db_instance_class("db.t4g.medium")
            .allocated_storage(100)
            .port(i32::from(port))
            .master_username(master)
            .master_user_password(crate::pg::MASTER_PASSWORD)
            .db_name(database);
        self.wait(call.send()).expect("create an RDS instance");
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn variables(variables: &[(&str, &str)]) -> Environment {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::builder()
        .set_variables(Some(variables.collect()))
        .build()
}

/// On a thread of its own: an async test blocks inside its runtime, which tokio forbids.
fn wait_for<T: Send>(runtime: &tokio::runtime::Runtime, call: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| runtime.block_on(call));
        waiter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The package of the fixture's function, made by scripts/lambda-zip.
pub(crate) fn orders_api_zip() -> PathBuf {
    let script = crate::repository().join("scripts/lambda-zip");
    let mut key = Key::new();
    key.files(&crate::repository().join("tests/fixtures/lambda"))
        .files(&script);
    let entry = cache::entry("lambda", &key, |entry| {
        crate::pg::run(Command::new(&script).arg(entry.join("orders_api.zip")));
    });
    entry.join("orders_api.zip")
}
