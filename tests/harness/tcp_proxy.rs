//! A TCP proxy that misbehaves on request.
//!
//! A [`Fault`] holds for every connection until another is set. A [`Disturbance`] strikes where its
//! [`Trigger`] says, so many times, and lets everything else pass: what a program does that tries
//! again is seen to its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to a connection. Bytes count from the start of each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// New connections are closed at once, existing ones now.
    Refuse,
    /// Connections are accepted, and nothing moves in either direction.
    Stall,
    /// Both sides see the end of the connection once this much went in this direction.
    CutAfter(Direction, u64),
    /// Nothing moves in this direction any more once this much went; the connection stays open.
    StallAfter(Direction, u64),
    /// So many bytes a second in this direction, for each connection.
    Throttle(Direction, u64),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Answers.
    ToClient,
}

/// Where a disturbance strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// When this much has gone in this direction, over all connections, since it was set or struck.
    Bytes(Direction, u64),
    /// When these bytes pass. Only a connection without TLS shows them.
    Pattern(Direction, Vec<u8>),
}

/// What a disturbance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Both ends get a reset. What has just arrived goes nowhere.
    Reset,
    /// What has just arrived goes half of its way, then both ends get a reset.
    Truncate,
    /// The connection stays open and nothing moves on it any more; others are left alone.
    Stall,
    /// The same for so long.
    StallFor(Duration),
    /// One bit of what has just arrived is another: of the last byte of the pattern, if there is one.
    Flip,
    /// The request is passed on, and what the server answers goes nowhere: both ends get a reset.
    LoseAnswer,
}

/// Something that goes wrong so many times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Where.
    pub trigger: Trigger,
    /// What.
    pub trouble: Trouble,
    /// How often.
    pub times: usize,
}

#[derive(Default)]
struct Armed {
    disturbance: Option<Disturbance>,
    passed: u64,
    struck: usize,
}

impl Armed {
    /// What to do with bytes that have just been read.
    /// And at which byte of them.
    fn strike(
        &mut self,
        direction: Direction,
        seen: &Seen,
        count: usize,
    ) -> Option<(Trouble, usize)> {
        let disturbance = self.disturbance.as_mut()?;
        let at = match &disturbance.trigger {
            Trigger::Bytes(wanted, bytes) if *wanted == direction => {
                self.passed += u64::try_from(count).expect("a count fits");
                (self.passed >= *bytes).then_some(count / 2)?
            }
            Trigger::Pattern(wanted, pattern) if *wanted == direction => {
                seen.end_of(pattern, count)?
            }
            _ => return None,
        };
        disturbance.times = disturbance.times.checked_sub(1)?;
        self.passed = 0;
        self.struck += 1;
        Some((disturbance.trouble, at))
    }
}

/// The last bytes of one direction of a connection: a pattern may come in two pieces.
#[derive(Default)]
struct Seen(Vec<u8>);

impl Seen {
    const KEPT: usize = 256;

    fn add(&mut self, bytes: &[u8]) {
        let surplus = self.0.len().saturating_sub(Self::KEPT);
        self.0.drain(..surplus);
        self.0.extend_from_slice(bytes);
    }

    /// Which of the last `count` bytes is the last one of the pattern.
    fn end_of(&self, pattern: &[u8], count: usize) -> Option<usize> {
        let fresh = self.0.len() - count;
        let from = (fresh + 1).saturating_sub(pattern.len());
        let at = self.0[from..]
            .windows(pattern.len())
            .position(|window| window == pattern)?;
        Some(from + at + pattern.len() - 1 - fresh)
    }
}

/// A running proxy on 127.0.0.1. Connections end on drop.
pub struct TcpProxy {
    port: u16,
    fault: watch::Sender<Fault>,
    armed: Arc<Mutex<Armed>>,
    connections: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl TcpProxy {
    /// Starts passing connections to a port on 127.0.0.1.
    #[must_use]
    pub fn start(server_port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("start a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("make a listener asynchronous");
        let port = listener.local_addr().expect("a bound port").port();
        let (fault, watched) = watch::channel(Fault::Pass);
        let armed = Arc::new(Mutex::new(Armed::default()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, shared) = (Arc::clone(&connections), Arc::clone(&armed));
        // The runtime owns this task and those it starts; it ends them when it is dropped.
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("adopt a listener");
            let server = SocketAddr::from(([127, 0, 0, 1], server_port));
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, server, watched.clone(), Arc::clone(&shared)));
            }
        });
        Self {
            port,
            fault,
            armed,
            connections,
            runtime: Some(runtime),
        }
    }

    /// Port to use instead of the server's.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Rewrites the port of a URL that names the server's.
    #[must_use]
    pub fn through(&self, url: &str, server_port: u16) -> String {
        let there = format!(":{server_port}/");
        assert!(
            url.contains(&there),
            "the URL does not name port {server_port}"
        );
        url.replacen(&there, &format!(":{}/", self.port), 1)
    }

    /// From now on, for existing connections too.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// From now on, in place of any disturbance before. Its strikes count from 0.
    pub fn disturb(&self, trigger: Trigger, trouble: Trouble, times: usize) {
        let disturbance = Some(Disturbance {
            trigger,
            trouble,
            times,
        });
        *lock(&self.armed) = Armed {
            disturbance,
            ..Armed::default()
        };
    }

    /// How often the disturbance has struck.
    #[must_use]
    pub fn struck(&self) -> usize {
        lock(&self.armed).struck
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn lock(armed: &Mutex<Armed>) -> MutexGuard<'_, Armed> {
    armed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would wait, which tokio forbids inside an async test.
            runtime.shutdown_background();
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

/// Until one direction ends. Dropping the other then closes both sockets, which is the cut.
async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    mut fault: watch::Receiver<Fault>,
    armed: Arc<Mutex<Armed>>,
) {
    // A stalled host takes connections in: its kernel does.
    if fault
        .wait_for(|fault| *fault != Fault::Stall)
        .await
        .is_err()
        || *fault.borrow() == Fault::Refuse
    {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let end = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let refused = {
            let mut fault = fault.clone();
            async move {
                let _ = fault.wait_for(|fault| *fault == Fault::Refuse).await;
            }
        };
        fault.mark_unchanged();
        let line = Line {
            armed,
            frozen: watch::channel(false).0,
            losing: Mutex::new(false),
        };
        let to_server = Pass {
            line: &line,
            direction: Direction::ToServer,
            fault: fault.clone(),
        };
        let to_client = Pass {
            line: &line,
            direction: Direction::ToClient,
            fault,
        };
        tokio::select! {
            end = to_server.run(client_read, server_write) => end,
            end = to_client.run(server_read, client_write) => end,
            () = refused => End::Close,
        }
    };
    if end == End::Reset {
        for stream in [&client, &server] {
            // A socket that is gone already needs no reset.
            let _ = stream.set_zero_linger();
        }
    }
}

/// What both directions of a connection share.
struct Line {
    armed: Arc<Mutex<Armed>>,
    frozen: watch::Sender<bool>,
    losing: Mutex<bool>,
}

impl Line {
    fn is_losing(&self) -> bool {
        *self.losing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        *self.losing.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// One direction of a connection.
struct Pass<'a> {
    line: &'a Line,
    direction: Direction,
    fault: watch::Receiver<Fault>,
}

impl Pass<'_> {
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> End {
        let mut buffer = vec![0; 64 * 1024];
        let mut passed = 0_u64;
        let mut seen = Seen::default();
        loop {
            let limit = *self.fault.borrow_and_update();
            let room = self.room(limit, passed);
            if room == 0 {
                if matches!(limit, Fault::CutAfter(..)) || self.fault.changed().await.is_err() {
                    return End::Close;
                }
                continue;
            }
            let wanted = usize::try_from(room)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let count = tokio::select! {
                read = from.read(&mut buffer[..wanted]) => match read {
                    Ok(count @ 1..) => count,
                    _ => {
                        self.thaw().await;
                        return End::Close;
                    }
                },
                changed = self.fault.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return End::Close,
                },
            };
            seen.add(&buffer[..count]);
            let sent = match self.disturb(&mut buffer[..count], &seen).await {
                Ok(sent) => sent,
                Err(end) => return end,
            };
            if to.write_all(&buffer[..sent]).await.is_err() {
                return End::Close;
            }
            if sent < count {
                return End::Reset;
            }
            passed += u64::try_from(count).expect("a count fits");
            if let Fault::Throttle(direction, per_second) = limit
                && direction == self.direction
            {
                let count = f64::from(u32::try_from(count).expect("a buffer is small"));
                let rate = f64::from(u32::try_from(per_second).expect("a rate that throttles"));
                tokio::time::sleep(Duration::from_secs_f64(count / rate)).await;
            }
        }
    }

    fn room(&self, limit: Fault, passed: u64) -> u64 {
        match limit {
            Fault::Stall => 0,
            Fault::CutAfter(direction, bytes) | Fault::StallAfter(direction, bytes)
                if direction == self.direction =>
            {
                bytes.saturating_sub(passed)
            }
            Fault::Throttle(direction, per_second) if direction == self.direction => {
                (per_second / 20).max(1)
            }
            _ => u64::MAX,
        }
    }

    /// How much of what was read goes on; or the end.
    async fn disturb(&self, bytes: &mut [u8], seen: &Seen) -> Result<usize, End> {
        self.thaw().await;
        if self.direction == Direction::ToClient && self.line.is_losing() {
            return Err(End::Reset);
        }
        let trouble = lock(&self.line.armed).strike(self.direction, seen, bytes.len());
        match trouble {
            None => {}
            Some((Trouble::Reset, _)) => return Err(End::Reset),
            Some((Trouble::Truncate, _)) => return Ok(bytes.len() / 2),
            Some((Trouble::Flip, at)) => bytes[at] ^= 1,
            Some((Trouble::LoseAnswer, _)) => self.line.lose(),
            Some((Trouble::Stall, _)) => {
                self.line.frozen.send_replace(true);
                std::future::pending::<()>().await;
            }
            Some((Trouble::StallFor(time), _)) => {
                self.line.frozen.send_replace(true);
                tokio::time::sleep(time).await;
                self.line.frozen.send_replace(false);
            }
        }
        Ok(bytes.len())
    }

    /// Waits while the connection is stalled. The end of one side does not get to the other then.
    async fn thaw(&self) {
        let mut frozen = self.line.frozen.subscribe();
        // The sender lives as long as the connection.
        let _ = frozen.wait_for(|frozen| !*frozen).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_seen_in_two_pieces_and_once() {
        let mut seen = Seen::default();
        seen.add(b"xxcom");
        assert_eq!(seen.end_of(b"commit", 5), None);
        seen.add(b"mit;");
        assert_eq!(seen.end_of(b"commit", 4), Some(2));
        seen.add(b"yy");
        assert_eq!(seen.end_of(b"commit", 2), None);
    }
}
