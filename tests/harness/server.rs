//! A server process that cannot outlive its test.
//!
//! A test may end by panic, by a runner's SIGKILL or by Ctrl-C, and `Drop` runs only after the first.
//! So each server is the child of a small shell that reads from a pipe whose other end is held here:
//! when the pipe closes, for whatever reason, the shell ends the server and removes its directory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::wait::holds_within;

const START_LIMIT: Duration = Duration::from_secs(60);

/// `setsid` makes the server the leader of a group of its own: the group can be ended as a whole,
/// and Ctrl-C in a terminal reaches it only through us.
const KEEPER: &str = r#"
set -u
ending=$1 directory=$2; shift 2
setsid "$@" >>"$directory/server.log" 2>&1 &
server=$!
echo "$server"
exec >/dev/null
word=; read -r word
case $ending in
    kill) kill -s KILL -- "-$server" || kill -s KILL "$server" ;;
    *) kill -s TERM -- "-$server" || kill -s TERM "$server"; kill -s QUIT "$server" ;;
esac 2>/dev/null
wait "$server"
[ "$word" = keep ] || rm -rf -- "$directory"
"#;

/// How a server is told to end.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// PostgreSQL's immediate shutdown: the postmaster ends its own children. SIGTERM comes first,
    /// for the shell that prepares the data directory: shells ignore SIGQUIT in the background.
    Quit,
    /// SIGKILL to the whole group, for servers whose children outlive them.
    KillGroup,
}

/// Who a server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// The caller, or an unprivileged account if the caller is root: PostgreSQL refuses root.
    pub(crate) fn unprivileged() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
        let find = |name: &str| {
            accounts.lines().find_map(|line| {
                let fields: Vec<_> = line.split(':').collect();
                (fields.len() > 3 && fields[0] == name).then(|| {
                    Some(Self {
                        uid: fields[2].parse().ok()?,
                        gid: fields[3].parse().ok()?,
                    })
                })?
            })
        };
        Some(find("postgres").or_else(|| find("nobody")).expect(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`",
        ))
    }

    /// A command that runs as this user. Its supplementary groups are dropped by std.
    pub(crate) fn command(user: Option<Self>, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = user {
            // A current directory it may not enter makes half of all programs complain.
            command.uid(user.uid).gid(user.gid).current_dir("/");
        }
        command
    }

    pub(crate) fn give(user: Option<Self>, path: &Path) {
        if let Some(user) = user {
            std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
                .unwrap_or_else(|e| panic!("give {} to the server's user: {e}", path.display()));
        }
    }
}

/// A running server and its directory.
pub(crate) struct Server {
    keeper: Child,
    leash: Option<ChildStdin>,
    pid: i32,
    directory: PathBuf,
    keep: bool,
}

impl Server {
    /// Starts `command`, whose standard output and error go to `server.log` in `directory`.
    pub(crate) fn start(
        command: &Command,
        user: Option<User>,
        directory: &Path,
        ending: Ending,
    ) -> Self {
        let ending = match ending {
            Ending::Quit => "quit",
            Ending::KillGroup => "kill",
        };
        let mut keeper = User::command(user, "sh");
        keeper.args(["-c", KEEPER, "keeper", ending]).arg(directory);
        keeper.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(name, value),
                None => keeper.env_remove(name),
            };
        }
        keeper
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut keeper = keeper.spawn().expect("start sh");
        let leash = keeper.stdin.take();
        let mut first_line = String::new();
        BufReader::new(keeper.stdout.take().expect("stdout is piped"))
            .read_line(&mut first_line)
            .expect("read the server's process id");
        let pid = first_line
            .trim()
            .parse()
            .expect("the keeper prints a process id");
        Self {
            keeper,
            leash,
            pid,
            directory: directory.to_owned(),
            keep: keep_wanted(),
        }
    }

    /// Waits until `ready`; false if the server ended by itself or did not get there in time.
    pub(crate) fn becomes_ready(&self, mut ready: impl FnMut() -> bool) -> bool {
        let mut is_ready = false;
        holds_within(START_LIMIT, || {
            is_ready = ready();
            is_ready || !self.is_alive()
        });
        is_ready
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("server.log")).unwrap_or_default()
    }

    /// Its keeper does not reap it before the end, so an exited server is a zombie.
    fn is_alive(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid)).is_ok_and(|stat| {
            stat.rsplit_once(')')
                .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
        })
    }

    /// Ends the server and keeps its directory, so that it can be started again.
    pub(crate) fn stop_and_keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut leash) = self.leash.take()
            && self.keep
        {
            // The keeper may be gone already, and then there is nobody left to tell.
            let _ = leash.write_all(b"keep\n");
        }
        let _ = self.keeper.wait();
    }
}

/// `TOWPATH_TEST_KEEP=1` keeps the directories of all servers, to look at after a failure.
fn keep_wanted() -> bool {
    std::env::var("TOWPATH_TEST_KEEP").is_ok_and(|value| value == "1")
}

/// Where a server's directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory if there is plenty. Removing thousands of small files makes the next thousands slow
    /// on ext4, which avoids inodes that were in use a moment ago: a second for each cluster.
    Memory,
    /// For what may grow.
    Disk,
}

const MEMORY: &str = "/dev/shm";
const PLENTY_BYTES: u64 = 4 << 30;

fn parent(place: Place) -> PathBuf {
    let plenty = rustix::fs::statvfs(MEMORY)
        .is_ok_and(|memory| memory.f_bavail.saturating_mul(memory.f_frsize) >= PLENTY_BYTES);
    match place {
        Place::Memory if plenty => PathBuf::from(MEMORY),
        _ => std::env::temp_dir(),
    }
}

/// A fresh directory for one server, owned by its user, reachable by nobody else. The keeper of the
/// server removes it.
pub(crate) fn directory(user: Option<User>, place: Place) -> PathBuf {
    let directory = tempfile::Builder::new()
        .prefix("towpath-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir_in(parent(place))
        .expect("make a temporary directory")
        .keep();
    User::give(user, &directory);
    directory
}

/// Ports nobody listens on at this moment. Somebody else may be faster: starters try again.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, or the same one might be handed out twice.
    let listeners: [_; N] =
        std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound port").port())
}
