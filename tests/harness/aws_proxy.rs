//! An HTTP proxy in front of MiniStack that numbers the calls of the program under test and lets a
//! test decide about each: pass it on, answer in the service's place, lose the answer, fall silent,
//! do something else first, or stop the world there so that the program can be killed.

use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::s3_proxy::{final_head, header, read_body, read_head};

/// A call that the program makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number since the last [`AwsProxy::decide`], from 1.
    pub number: usize,
    /// Service and operation, such as `lambda:UpdateFunctionConfiguration`.
    pub operation: String,
    /// Path and query; where that says nothing, the name of what is meant.
    pub path: String,
}

impl Call {
    /// Whether it is the same call as another, if not the same time.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.operation == other.operation && self.path == other.path
    }

    /// The how many-th of its like it is among these.
    #[must_use]
    pub fn occurrence(&self, among: &[Self]) -> usize {
        let before = among.iter().filter(|call| call.number <= self.number);
        before.filter(|call| call.is_like(self)).count()
    }

    /// Whether the call changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let (_, operation) = self.operation.split_once(':').unwrap_or_default();
        let reads = ["Get", "List", "Describe", "Decrypt", "Invoke"];
        !reads.iter().any(|read| operation.starts_with(read))
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is passed on.
    Pass,
    /// 429: asked too often. The service hears nothing.
    Throttle,
    /// 409: another change is under way. The service hears nothing.
    Busy,
    /// 500: the service failed. It hears nothing.
    Break,
    /// 403: the identity may not do that. The service hears nothing.
    Refuse,
    /// 400: the value is not allowed, and the refusal quotes everything that was sent, as services
    /// do. The service hears nothing.
    Quote,
    /// The service does what it was asked, and its answer is lost with the connection.
    LoseAnswer,
    /// The service hears nothing and nobody answers for so long; then the connection ends.
    Silence(Duration),
    /// The service hears nothing, and the call stays open until the next [`AwsProxy::decide`].
    HaltBefore,
    /// The service does what it was asked, and the call stays open.
    HaltAfter,
}

type Decide = Box<dyn FnMut(&Call) -> Act + Send>;

struct Shared {
    decide: Mutex<Decide>,
    calls: Mutex<Vec<Call>>,
    /// Grows with every `decide`; a halted call ends when it does.
    era: AtomicUsize,
    is_halted: AtomicBool,
    is_over: AtomicBool,
}

/// A running proxy on 127.0.0.1.
pub struct AwsProxy {
    port: u16,
    shared: Arc<Shared>,
}

impl AwsProxy {
    /// Starts passing calls to the server of this URL.
    #[must_use]
    pub fn start(url: &str) -> Self {
        let server = url
            .strip_prefix("http://")
            .expect("a server without TLS")
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Shared {
            decide: Mutex::new(Box::new(|_| Act::Pass)),
            calls: Mutex::default(),
            era: AtomicUsize::new(0),
            is_halted: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        // It ends at the connection that `drop` makes; those of its connections, with their peers.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let (server, shared) = (server.clone(), Arc::clone(&accepting));
                std::thread::spawn(move || serve(&client, &server, &shared));
            }
        });
        Self { port, shared }
    }

    /// Its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this decides, calls are numbered from 1 again, and halted calls end.
    pub fn decide(&self, decide: impl FnMut(&Call) -> Act + Send + 'static) {
        *lock(&self.shared.decide) = Box::new(decide);
        lock(&self.shared.calls).clear();
        self.shared.is_halted.store(false, Ordering::SeqCst);
        self.shared.era.fetch_add(1, Ordering::SeqCst);
    }

    /// Everything is passed on from now on.
    pub fn pass(&self) {
        self.decide(|_| Act::Pass);
    }

    /// The calls since the last decision.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// Whether a call is halted.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.shared.is_halted.load(Ordering::SeqCst)
    }
}

impl Drop for AwsProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.pass();
        // Nobody may listen any more, and then nobody needs to be woken.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection of a client, with one to the server for each of its calls.
fn serve(client: &TcpStream, server: &str, shared: &Shared) -> Option<()> {
    let mut from_client = BufReader::new(client);
    loop {
        let mut request = read_head(&mut from_client)?;
        let line = request.first_line();
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        request.body = read_body(&mut from_client, &request.head)?;
        let operation = operation(&method, &path, &request.head, &request.body);
        let era = shared.era.load(Ordering::SeqCst);
        let named = if path == "/" {
            meant(&request.body)
        } else {
            path
        };
        let act = decide(shared, operation, named);
        match act {
            Act::Throttle => {
                answer(client, 429, "TooManyRequestsException")?;
                continue;
            }
            Act::Busy => {
                answer(client, 409, "ResourceConflictException")?;
                continue;
            }
            Act::Break => {
                answer(client, 500, "ServiceException")?;
                continue;
            }
            Act::Refuse => {
                answer(client, 403, "AccessDeniedException")?;
                continue;
            }
            Act::Quote => {
                quote(client, &request.body)?;
                continue;
            }
            Act::Silence(time) => {
                wait(shared, era, time);
                return None;
            }
            Act::HaltBefore => return halt(shared, era),
            Act::Pass | Act::LoseAnswer | Act::HaltAfter => {}
        }
        let mut backend = TcpStream::connect(server).ok()?;
        backend.write_all(&request.head).ok()?;
        backend.write_all(&request.body).ok()?;
        let mut from_backend = BufReader::new(&backend);
        let mut response = final_head(&mut from_backend)?;
        response.body = read_body(&mut from_backend, &response.head)?;
        match act {
            Act::LoseAnswer => {
                client.shutdown(Shutdown::Both).ok()?;
                return None;
            }
            Act::HaltAfter => return halt(shared, era),
            _ => {}
        }
        (&*client).write_all(&response.head).ok()?;
        (&*client).write_all(&response.body).ok()?;
    }
}

/// Calls come side by side; a decision is made about one at a time.
fn decide(shared: &Shared, operation: String, path: String) -> Act {
    let mut decide = lock(&shared.decide);
    let call = {
        let mut calls = lock(&shared.calls);
        let number = calls.len() + 1;
        calls.push(Call {
            number,
            operation,
            path,
        });
        calls[number - 1].clone()
    };
    decide(&call)
}

fn halt(shared: &Shared, era: usize) -> Option<()> {
    shared.is_halted.store(true, Ordering::SeqCst);
    wait(shared, era, Duration::from_secs(120));
    None
}

fn wait(shared: &Shared, era: usize, time: Duration) {
    let end = Instant::now() + time;
    while shared.era.load(Ordering::SeqCst) == era && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// In JSON and under a header, as both of AWS's JSON protocols read it.
fn answer(client: &TcpStream, status: u16, code: &str) -> Option<()> {
    answer_with(client, status, code, "The proxy says so.")
}

fn quote(client: &TcpStream, body: &[u8]) -> Option<()> {
    let sent = String::from_utf8_lossy(body);
    let message = format!("1 validation error detected: Value '{sent}' is not valid");
    answer_with(client, 400, "ValidationException", &message)
}

fn answer_with(mut client: &TcpStream, status: u16, code: &str, message: &str) -> Option<()> {
    let body = serde_json::json!({"__type": code, "message": message}).to_string();
    write!(
        client,
        "HTTP/1.1 {status} Mishap\r\ncontent-type: application/json\r\n\
         x-amzn-errortype: {code}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

fn operation(method: &str, path: &str, head: &[u8], body: &[u8]) -> String {
    if let Some(target) = header(head, "x-amz-target") {
        let (service, operation) = target.split_once('.').unwrap_or(("", &target));
        let service = match service {
            "secretsmanager" => "secretsmanager",
            "AmazonSSM" => "ssm",
            "TrentService" => "kms",
            other => other,
        };
        return format!("{service}:{operation}");
    }
    if let Some(operation) = lambda_operation(method, path) {
        return format!("lambda:{operation}");
    }
    let form = String::from_utf8_lossy(body);
    let action = form.split('&').find_map(|it| it.strip_prefix("Action="));
    format!("query:{}", action.unwrap_or(method))
}

/// What a call of a JSON protocol is about.
fn meant(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let mut names = ["SecretId", "Name", "KeyId"].iter();
    let found = names.find_map(|name| body[name].as_str());
    found.unwrap_or_default().to_owned()
}

/// Lambda's operations are told by method and path
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>).
fn lambda_operation(method: &str, path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let mut parts = path.trim_matches('/').split('/');
    let version = parts.next()?;
    if !version.starts_with("20") {
        return None;
    }
    let rest: Vec<&str> = parts.collect();
    Some(match (method, rest.as_slice()) {
        ("GET", ["functions"]) => "ListFunctions",
        ("GET", ["functions", _, "configuration"]) => "GetFunctionConfiguration",
        ("PUT", ["functions", _, "configuration"]) => "UpdateFunctionConfiguration",
        ("PUT", ["functions", _, "code"]) => "UpdateFunctionCode",
        ("POST", ["functions", _, "versions"]) => "PublishVersion",
        ("GET", ["functions", _, "versions"]) => "ListVersionsByFunction",
        ("GET", ["functions", _, "aliases"]) => "ListAliases",
        ("GET", ["functions", _, "aliases", _]) => "GetAlias",
        ("PUT", ["functions", _, "aliases", _]) => "UpdateAlias",
        ("GET", ["functions", _, "provisioned-concurrency"]) => "GetProvisionedConcurrencyConfig",
        ("POST", ["functions", _, "invocations"]) => "Invoke",
        ("GET", ["tags", _]) => "ListTags",
        ("GET", ["functions", ..]) => "GetFunction",
        _ => "Other",
    })
}
