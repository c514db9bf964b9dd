//! A TCP proxy that misbehaves on request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to a connection. Bytes count from the start of each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// New connections are closed at once, existing ones now.
    Refuse,
    /// Both sides see the end of the connection once this much went in this direction.
    CutAfter(Direction, u64),
    /// Nothing moves in this direction any more once this much went; the connection stays open.
    StallAfter(Direction, u64),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Answers.
    ToClient,
}

/// A running proxy on 127.0.0.1. Connections end on drop.
pub struct TcpProxy {
    port: u16,
    fault: watch::Sender<Fault>,
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
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        // The runtime owns this task and those it starts; it ends them when it is dropped.
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("adopt a listener");
            let server = SocketAddr::from(([127, 0, 0, 1], server_port));
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, server, watched.clone()));
            }
        });
        Self {
            port,
            fault,
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

    /// How many connections were ever accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would wait, which tokio forbids inside an async test.
            runtime.shutdown_background();
        }
    }
}

/// Until one direction ends. Dropping the other then closes both sockets, which is the cut.
async fn serve(client: TcpStream, server: SocketAddr, mut fault: watch::Receiver<Fault>) {
    if *fault.borrow() == Fault::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let refused = {
        let mut fault = fault.clone();
        async move {
            let _ = fault.wait_for(|fault| *fault == Fault::Refuse).await;
        }
    };
    fault.mark_unchanged();
    tokio::select! {
        () = pass(client_read, server_write, Direction::ToServer, fault.clone()) => {}
        () = pass(server_read, client_write, Direction::ToClient, fault) => {}
        () = refused => {}
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    direction: Direction,
    mut fault: watch::Receiver<Fault>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0_u64;
    loop {
        let limit = *fault.borrow_and_update();
        let room = match limit {
            Fault::CutAfter(d, bytes) | Fault::StallAfter(d, bytes) if d == direction => {
                bytes.saturating_sub(passed)
            }
            _ => u64::MAX,
        };
        if room == 0 {
            if matches!(limit, Fault::CutAfter(..)) || fault.changed().await.is_err() {
                return;
            }
            continue;
        }
        let wanted = usize::try_from(room)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        tokio::select! {
            read = from.read(&mut buffer[..wanted]) => {
                let Ok(count @ 1..) = read else { return };
                if to.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
                passed += u64::try_from(count).expect("a count fits");
            }
            changed = fault.changed() => if changed.is_err() { return },
        }
    }
}
