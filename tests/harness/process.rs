//! Runs the program under test as a user would, and ends it as a crash would.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const POLL: Duration = Duration::from_millis(5);

/// The binary under test, to run in a directory: `towpath!(dir)`.
///
/// Cargo tells the path of a binary to the tests of its own package only, hence a macro.
#[macro_export]
macro_rules! towpath {
    ($directory:expr) => {
        $crate::Towpath::new(env!("CARGO_BIN_EXE_towpath-under-test"), $directory)
    };
}

/// A call of the program that has not begun. Its environment is empty but for PATH, HOME and TMPDIR.
#[derive(Debug)]
pub struct Towpath {
    command: Command,
    timeout: Duration,
}

impl Towpath {
    /// `binary`, to be run in `directory`.
    #[must_use]
    pub fn new(binary: impl AsRef<OsStr>, directory: impl AsRef<Path>) -> Self {
        let mut command = Command::new(binary);
        command.current_dir(directory.as_ref()).env_clear();
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // A developer's own ~/.aws or ~/.pgpass has no say in a test.
        command.env("HOME", directory.as_ref());
        Self {
            command,
            timeout: Duration::from_secs(120),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets variables, such as `MiniStack::env` returns.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.command.envs(variables);
        self
    }

    /// How long it may take; 120 s unless told.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its end. Panics with its output if that takes longer than the timeout.
    #[must_use]
    pub fn run(self) -> Finished {
        self.spawn().wait()
    }

    /// Starts it.
    #[must_use]
    pub fn spawn(mut self) -> Running {
        let stdout = tempfile::tempfile().expect("make a temporary file");
        let stderr = tempfile::tempfile().expect("make a temporary file");
        // Files and not pipes: output that nobody reads in time cannot stop the program.
        self.command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("share a file"))
            .stderr(stderr.try_clone().expect("share a file"))
            .process_group(0);
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|e| panic!("start {:?}: {e}", self.command));
        Running {
            child,
            stdout,
            stderr,
            start: Instant::now(),
            timeout: self.timeout,
            line: shown(&self.command),
        }
    }
}

/// The program and its arguments, without the environment: that holds passwords.
fn shown(command: &Command) -> String {
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once("towpath".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The program while it runs. Its process group ends on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    start: Instant,
    timeout: Duration,
    line: String,
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    #[must_use]
    pub fn stdout_so_far(&self) -> String {
        text(&self.stdout)
    }

    /// Its standard error so far.
    #[must_use]
    pub fn stderr_so_far(&self) -> String {
        text(&self.stderr)
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look at a child").is_none()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGTERM, as a scheduler does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL to the program alone: what a crash leaves behind, it leaves behind.
    pub fn kill_9(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.group(), signal).expect("signal a child that is not waited for yet");
    }

    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for `condition` and then sends SIGKILL. The answer's `killed` is false if the program
    /// ended by itself before; panics if neither happens within the timeout.
    #[must_use]
    pub fn kill_9_when(mut self, mut condition: impl FnMut() -> bool) -> Finished {
        while self.is_running() {
            if condition() {
                self.kill_9();
                break;
            }
            self.keep_time();
        }
        self.wait()
    }

    /// Waits for its end. Panics with its output if that takes longer than the timeout.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("look at a child") {
                break status;
            }
            self.keep_time();
        };
        Finished {
            code: status.code(),
            killed: killed(status),
            stdout: self.stdout_so_far(),
            stderr: self.stderr_so_far(),
            elapsed: self.start.elapsed(),
            line: self.line.clone(),
        }
    }

    fn keep_time(&self) {
        assert!(
            self.start.elapsed() < self.timeout,
            "`{}` took longer than {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.timeout,
            self.stdout_so_far(),
            self.stderr_so_far(),
        );
        std::thread::sleep(POLL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its own children too, such as pg_dump. Usually there is nobody left.
        let _ = kill_process_group(self.group(), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Reads without moving the position, which the child shares.
fn text(file: &File) -> String {
    let length = file.metadata().map_or(0, |data| data.len());
    let mut bytes = vec![0; usize::try_from(length).expect("output fits into memory")];
    file.read_exact_at(&mut bytes, 0).expect("read the output");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The program after its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Ended by SIGKILL.
    pub killed: bool,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
    line: String,
}

impl Finished {
    /// Panics with the whole output unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "wanted exit code {code}, got\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            code,
            killed,
            stdout,
            stderr,
            elapsed,
            line,
        } = self;
        writeln!(
            f,
            "`{line}` after {elapsed:?}: exit code {code:?}, killed {killed}"
        )?;
        write!(f, "--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
