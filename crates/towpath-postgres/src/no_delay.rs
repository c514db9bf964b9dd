//! Small messages leave at once.
//!
//! The driver leaves the algorithm of Nagle on. A COPY of a few rows is two small messages, rows and
//! end: the second waits until the server's kernel has acknowledged the first, which takes 40 ms when
//! the server has nothing to say (RFC 1122, section 4.2.3.2, "When to Send an ACK Segment"). That is
//! many times what the copy itself takes. The driver keeps its socket to itself, so it is found among
//! those of this process.

use std::net::TcpStream;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Lets every connection of this process to such a port send at once. Does what it can: where the
/// kernel or a sandbox refuses (`pidfd_getfd(2)`), connections are slower and just as right.
pub(crate) fn send_at_once(port: u16) {
    let Ok(own) = pidfd_open(getpid(), PidfdFlags::empty()) else {
        return;
    };
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    for entry in descriptors.flatten() {
        let is_socket = std::fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_string_lossy().parse();
        let (true, Ok(number)) = (is_socket, number) else {
            continue;
        };
        // Another name for the same socket, which is closed again at once; its options are shared.
        let Ok(socket) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let socket = TcpStream::from(socket);
        if socket.peer_addr().is_ok_and(|peer| peer.port() == port) {
            // A connection that has gone meanwhile needs nothing.
            let _ = socket.set_nodelay(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_connection_to_the_port_sends_at_once_and_no_other_does() {
        let (one, other) = (listener(), listener());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let connect = |listener| TcpStream::connect(("127.0.0.1", port(listener))).unwrap();
        let (to_one, to_other) = (connect(&one), connect(&other));
        send_at_once(port(&one));
        // A sandbox may refuse, and then nothing changes.
        assert_eq!(to_one.nodelay().unwrap(), is_allowed(&to_one));
        assert!(!to_other.nodelay().unwrap());
    }

    fn is_allowed(socket: &TcpStream) -> bool {
        let own = pidfd_open(getpid(), PidfdFlags::empty());
        own.is_ok_and(|own| pidfd_getfd(own, socket.as_raw_fd(), PidfdGetfdFlags::empty()).is_ok())
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }
}
