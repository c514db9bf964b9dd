//! An HTTP proxy in front of an S3 server: it answers in the server's place, loses answers, and
//! damages bodies, for the requests that a rule names.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Which requests go wrong, and how.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `PUT`, `GET`…; empty for all.
    pub method: &'static str,
    /// What the path and query must hold.
    pub path: String,
    /// So many of these pass first.
    pub after: usize,
    /// And so many go wrong then.
    pub times: usize,
    /// How.
    pub mishap: Mishap,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The proxy answers itself, with a status and a code of S3's; the server hears nothing.
    Answer(u16, &'static str),
    /// The server hears nothing, and nobody answers; the connection stays open for so long.
    Silence(Duration),
    /// The server does what it was asked, and its answer is lost with the connection.
    LoseAnswer,
    /// Half of the answer's body, then the end of the connection.
    TruncateAnswer,
    /// Half of the request, then the end of the connection on both sides.
    TruncateRequest,
    /// A bit of the answer's body is another.
    FlipAnswer,
    /// A bit of the request's body is another.
    FlipRequest,
}

/// All the time that a test has.
pub const FOR_EVER: usize = usize::MAX;

struct Rules(Mutex<Vec<(Rule, usize)>>);

impl Rules {
    fn strike(&self, method: &str, path: &str) -> Option<Mishap> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (rule, struck) in rules.iter_mut() {
            let meant =
                (rule.method.is_empty() || rule.method == method) && path.contains(&rule.path);
            if !meant {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            if *struck < rule.times {
                *struck += 1;
                return Some(rule.mishap);
            }
        }
        None
    }
}

/// A running proxy on 127.0.0.1.
pub struct S3Proxy {
    port: u16,
    rules: Arc<Rules>,
    ended: Arc<AtomicBool>,
}

impl S3Proxy {
    /// Starts passing requests to the server of this URL.
    #[must_use]
    pub fn start(url: &str) -> Self {
        let server = url
            .strip_prefix("http://")
            .expect("a server without TLS")
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let rules = Arc::new(Rules(Mutex::new(Vec::new())));
        let ended = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&rules), Arc::clone(&ended));
        // It ends at the connection that `drop` makes; those of its connections, with their peers.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let (server, rules) = (server.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(&client, &server, &rules));
            }
        });
        Self { port, rules, ended }
    }

    /// Its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, beside the rules before.
    pub fn when(&self, rule: Rule) {
        let mut rules = self.rules.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.push((rule, 0));
    }

    /// No rule holds any more.
    pub fn pass(&self) {
        let mut rules = self.rules.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.clear();
    }

    /// How many requests went wrong since the last `pass`.
    #[must_use]
    pub fn struck(&self) -> usize {
        let rules = self.rules.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().map(|(_, struck)| struck).sum()
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Nobody may listen any more, and then nobody needs to be woken.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

pub(crate) struct Message {
    /// First line and headers, with the empty line.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn first_line(&self) -> String {
        let line = self.head.split(|byte| *byte == b'\r').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    }
}

/// One connection of a client, with one to the server for each of its requests.
fn serve(client: &TcpStream, server: &str, rules: &Rules) -> Option<()> {
    let mut from_client = BufReader::new(client);
    loop {
        let mut request = read_head(&mut from_client)?;
        let line = request.first_line();
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        if header(&request.head, "expect").is_some() {
            // The client waits for this before it sends the body.
            (&*client)
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .ok()?;
        }
        request.body = read_body(&mut from_client, &request.head)?;
        let mishap = rules.strike(&method, &path);
        match mishap {
            Some(Mishap::Answer(status, code)) => {
                answer(client, status, code, method == "HEAD")?;
                continue;
            }
            Some(Mishap::Silence(time)) => {
                std::thread::sleep(time);
                return None;
            }
            Some(Mishap::FlipRequest) => flip(&mut request.body),
            _ => {}
        }
        let mut backend = TcpStream::connect(server).ok()?;
        backend.write_all(&request.head).ok()?;
        if mishap == Some(Mishap::TruncateRequest) {
            let half = request.body.len() / 2;
            backend.write_all(&request.body[..half]).ok()?;
            return shut(client);
        }
        backend.write_all(&request.body).ok()?;
        let mut from_backend = BufReader::new(&backend);
        let mut response = final_head(&mut from_backend)?;
        if method != "HEAD" {
            response.body = read_body(&mut from_backend, &response.head)?;
        }
        match mishap {
            Some(Mishap::LoseAnswer) => return shut(client),
            Some(Mishap::FlipAnswer) => flip(&mut response.body),
            Some(Mishap::TruncateAnswer) => {
                response.body.truncate(response.body.len() / 2);
                (&*client).write_all(&response.head).ok()?;
                (&*client).write_all(&response.body).ok()?;
                return shut(client);
            }
            _ => {}
        }
        (&*client).write_all(&response.head).ok()?;
        (&*client).write_all(&response.body).ok()?;
    }
}

fn shut(client: &TcpStream) -> Option<()> {
    client.shutdown(Shutdown::Both).ok()?;
    None
}

fn flip(body: &mut [u8]) {
    let middle = body.len() / 2;
    if let Some(byte) = body.get_mut(middle) {
        *byte ^= 1;
    }
}

fn answer(mut client: &TcpStream, status: u16, code: &str, head_only: bool) -> Option<()> {
    let body = match head_only {
        true => String::new(),
        false => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code>\
             <Message>The proxy says so.</Message><RequestId>1</RequestId></Error>"
        ),
    };
    write!(
        client,
        "HTTP/1.1 {status} Mishap\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

/// The first answer that is not about going on.
pub(crate) fn final_head(from: &mut impl BufRead) -> Option<Message> {
    loop {
        let message = read_head(from)?;
        if !message.first_line().contains(" 100 ") {
            return Some(message);
        }
    }
}

pub(crate) fn read_head(from: &mut impl BufRead) -> Option<Message> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        from.read_until(b'\n', &mut head).ok().filter(|n| *n > 0)?;
        if &head[before..] == b"\r\n" {
            break;
        }
    }
    Some(Message {
        head,
        body: Vec::new(),
    })
}

pub(crate) fn header(head: &[u8], name: &str) -> Option<String> {
    String::from_utf8_lossy(head).lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// The body as it goes over the line, with the marks of its pieces if it is chunked.
pub(crate) fn read_body(from: &mut impl BufRead, head: &[u8]) -> Option<Vec<u8>> {
    if let Some(length) = header(head, "content-length") {
        let mut body = vec![0; length.parse().ok()?];
        return from.read_exact(&mut body).ok().map(|()| body);
    }
    let chunked = header(head, "transfer-encoding").is_some_and(|v| v.contains("chunked"));
    if !chunked {
        return Some(Vec::new());
    }
    let mut body = Vec::new();
    loop {
        let start = body.len();
        from.read_until(b'\n', &mut body).ok().filter(|n| *n > 0)?;
        let line = String::from_utf8_lossy(&body[start..]).into_owned();
        let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
        if size == 0 {
            // Trailers, up to an empty line.
            loop {
                let start = body.len();
                from.read_until(b'\n', &mut body).ok().filter(|n| *n > 0)?;
                if &body[start..] == b"\r\n" {
                    return Some(body);
                }
            }
        }
        let start = body.len();
        body.resize(start + size + 2, 0);
        from.read_exact(&mut body[start..]).ok()?;
    }
}
