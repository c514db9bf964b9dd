//! An HTTP server on loopback that remembers what it was asked and answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wait::wait_until;

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// With a status and no body.
    Status(u16),
    /// With a status and a `Location`.
    Redirect(String),
    /// Not at all: the connection stays open and silent.
    Hang,
    /// The connection is closed before a byte.
    Close,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET`, `POST`.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
}

impl Asked {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }
}

#[derive(Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    /// Replies by path: the first ones once each, the last for ever.
    replies: Mutex<BTreeMap<String, Vec<Reply>>>,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running server. Ends on drop; connections that hang are let go then.
pub struct HttpServer {
    port: u16,
    state: Arc<State>,
    listener: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Starts one that answers 200 to everything.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen on loopback");
        let port = listener.local_addr().expect("have an address").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self {
            port,
            state,
            listener: Some(listener),
        }
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers a path so: each reply once, in this order, and the last one from then on.
    pub fn reply(&self, path: &str, replies: &[Reply]) {
        lock(&self.state.replies).insert(path.to_owned(), replies.to_vec());
    }

    /// What was asked of a path so far.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = lock(&self.state.asked);
        let of_path = asked.iter().filter(|asked| asked.path == path);
        of_path.cloned().collect()
    }

    /// Waits until a path was asked so often.
    pub fn wait_for(&self, path: &str, times: usize) {
        let what = format!("{path} was asked {times} times");
        wait_until(&what, Duration::from_secs(30), || {
            self.asked(path).len() >= times
        });
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it has ended.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn serve(state: &State, stream: TcpStream) {
    let mut reader = BufReader::new(&stream);
    let Some(asked) = read(&mut reader) else {
        return;
    };
    let reply = {
        let mut replies = lock(&state.replies);
        match replies.get_mut(&asked.path) {
            Some(queue) if queue.len() > 1 => queue.remove(0),
            Some(queue) => queue.first().cloned().unwrap_or(Reply::Status(200)),
            None => Reply::Status(200),
        }
    };
    lock(&state.asked).push(asked);
    let mut stream = &stream;
    let head = match reply {
        Reply::Close => return,
        Reply::Hang => {
            while !state.ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
            }
            return;
        }
        Reply::Status(status) => format!("HTTP/1.1 {status} x\r\n"),
        Reply::Redirect(to) => format!("HTTP/1.1 302 x\r\nLocation: {to}\r\n"),
    };
    let _ = write!(
        stream,
        "{head}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map(String::as_str);
    let length: usize = length.unwrap_or("0").parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        method,
        path,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
