//! The least work a client can do: bytes of COPY forwarded from one socket to the other.
//!
//! Messages of PostgreSQL's protocol 3.0 (manual, "Message Formats"): a type, a length that counts
//! itself, a body. `CopyData` and `CopyDone` are the same in both directions, so nothing is repacked.

use std::io::{Read, Write};
use std::net::TcpStream;

const PROTOCOL: u32 = 3 << 16;
const BUFFER: usize = 1 << 20;
const HEADER: usize = 5;

/// A connection as a login that the server trusts.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Between them is what was read and not yet looked at.
    start: usize,
    filled: usize,
}

impl Wire {
    pub fn connect(port: u16, user: &str, database: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to a server");
        stream.set_nodelay(true).expect("send at once");
        let mut wire = Self {
            stream,
            buffer: vec![0; BUFFER],
            start: 0,
            filled: 0,
        };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, ""] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        let length = u32::try_from(body.len() + 4).expect("a short message");
        wire.send(&[&length.to_be_bytes(), &*body].concat());
        wire.until(b'Z');
        wire
    }

    /// Runs statements whose rows nobody wants.
    pub fn run(&mut self, sql: &str) {
        self.query(sql);
        self.until(b'Z');
    }

    /// COPY from this connection into another.
    pub fn copy_to(&mut self, target: &mut Self, copy_out: &str, copy_in: &str) {
        self.query(copy_out);
        self.until(b'H');
        target.query(copy_in);
        target.until(b'G');
        self.forward(target);
        self.until(b'Z');
        target.until(b'Z');
    }

    /// Everything up to and with `CopyDone`.
    fn forward(&mut self, target: &mut Self) {
        loop {
            // Whole messages in one write, and of the last one as much as is there.
            let mut end = self.start;
            let mut beyond = 0;
            let mut is_done = false;
            while !is_done && self.filled - end >= HEADER {
                let (kind, length) = header(&self.buffer[end..]);
                assert!(
                    matches!(kind, b'd' | b'c'),
                    "the source ends COPY with {}: {}",
                    char::from(kind),
                    String::from_utf8_lossy(&self.buffer[end..self.filled])
                );
                is_done = kind == b'c';
                let whole = end + 1 + length;
                beyond = whole.saturating_sub(self.filled);
                end = whole.min(self.filled);
            }
            target.send(&self.buffer[self.start..end]);
            self.start = end;
            if is_done && beyond == 0 {
                return;
            }
            while beyond > 0 {
                self.fill();
                let here = beyond.min(self.filled);
                target.send(&self.buffer[..here]);
                self.start = here;
                beyond -= here;
            }
            if is_done {
                return;
            }
            // There may be whole messages behind the one that was cut, and nothing after them.
            if self.filled - self.start < HEADER {
                self.fill();
            }
        }
    }

    fn query(&mut self, sql: &str) {
        let length = u32::try_from(sql.len() + 5).expect("a short statement");
        let message = [b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat();
        self.send(&message);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write to a server");
    }

    /// Reads up to the end of the next message of this kind; an error of the server's is a panic.
    fn until(&mut self, wanted: u8) {
        loop {
            while self.filled - self.start < HEADER {
                self.fill();
            }
            let (kind, length) = header(&self.buffer[self.start..]);
            while self.filled - self.start < 1 + length {
                self.fill();
            }
            let body = &self.buffer[self.start + HEADER..self.start + 1 + length];
            assert!(
                kind != b'E',
                "a server says {}",
                String::from_utf8_lossy(body)
            );
            self.start += 1 + length;
            if kind == wanted {
                return;
            }
        }
    }

    /// Reads more behind what is not looked at yet.
    fn fill(&mut self) {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.filled..]);
        let read = read.expect("read from a server");
        assert!(read > 0, "a server closed the connection");
        self.filled += read;
    }
}

/// Type and length of the message that begins here.
fn header(bytes: &[u8]) -> (u8, usize) {
    let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    (bytes[0], length as usize)
}
