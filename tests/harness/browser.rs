//! A browser without a window: opens a page as its reader would, and tells what it made of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::wait::holds_within;

/// What is tried, the one that is nothing else first.
const NAMES: [&str; 5] = [
    "chromium-headless-shell",
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chromium-browser",
];

/// How long one page may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Chromium.
#[derive(Debug)]
pub struct Browser {
    program: PathBuf,
}

/// What a page became.
#[derive(Debug)]
pub struct Opened {
    /// Its elements, as the browser holds them.
    pub dom: String,
    /// What the browser said: errors of the console are lines with `CONSOLE`.
    pub log: String,
    /// Every URL that the network was asked for.
    pub requests: Vec<String>,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    /// Dark letters on a light ground.
    Day,
    /// Light letters on a dark ground.
    Night,
}

impl Browser {
    /// The browser of this machine. Panics with what to do when there is none.
    #[must_use]
    pub fn find() -> Self {
        if let Some(path) = std::env::var_os("TOWPATH_TEST_BROWSER") {
            let program = PathBuf::from(path);
            assert!(
                program.is_file(),
                "TOWPATH_TEST_BROWSER is {}, and there is no such file",
                program.display()
            );
            return Self { program };
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = NAMES
            .iter()
            .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
            .find(|candidate| candidate.is_file());
        let program = program.unwrap_or_else(|| {
            panic!(
                "none of {} is on PATH, and the test of the report's page needs one: run \
                 scripts/setup, or set TOWPATH_TEST_BROWSER",
                NAMES.join(", ")
            )
        });
        Self { program }
    }

    fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--headless",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-extensions",
                "--disable-sync",
                "--disable-dev-shm-usage",
            ])
            // Whatever asks for a host gets none.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .args(["--enable-logging=stderr", "--log-level=0"])
            .arg(format!("--user-data-dir={}", home.display()))
            .env("HOME", home)
            .stdin(Stdio::null());
        if rustix::process::geteuid().is_root() {
            // Its sandbox refuses root, who needs none against a page of our own.
            command.arg("--no-sandbox");
        }
        command
    }

    /// Opens a page, and takes its picture.
    #[must_use]
    pub fn open(&self, page: &Path, light: Light, picture: &Path) -> Opened {
        let home = tempfile::tempdir().expect("make a directory");
        let net_log = home.path().join("net.json");
        let scheme = match light {
            Light::Night => 0,
            Light::Day => 1,
        };
        let mut command = self.command(home.path());
        command
            .arg("--dump-dom")
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg("--window-size=1200,3200")
            .arg(format!("--log-net-log={}", net_log.display()))
            .arg(format!("file://{}", page.display()));
        let (dom, log) = finish(command);
        assert!(picture.is_file(), "no picture was taken:\n{log}");
        let net_log = std::fs::read_to_string(&net_log).unwrap_or_default();
        Opened {
            dom,
            log,
            requests: requests(&net_log),
        }
    }

    /// Prints a page into a PDF, as its reader would on paper.
    pub fn print(&self, page: &Path, pdf: &Path) {
        let home = tempfile::tempdir().expect("make a directory");
        let mut command = self.command(home.path());
        command
            .arg(format!("--print-to-pdf={}", pdf.display()))
            .arg("--no-pdf-header-footer")
            .arg(format!("file://{}", page.display()));
        let (_, log) = finish(command);
        assert!(pdf.is_file(), "nothing was printed:\n{log}");
    }
}

/// Runs it to its end; gives its standard output and error.
fn finish(mut command: Command) -> (String, String) {
    let output = tempfile::NamedTempFile::new().expect("make a file");
    let errors = tempfile::NamedTempFile::new().expect("make a file");
    let mut child = command
        .stdout(output.reopen().expect("open a file"))
        .stderr(errors.reopen().expect("open a file"))
        .spawn()
        .unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    let ended = holds_within(LIMIT, || {
        child.try_wait().expect("look at a child").is_some()
    });
    let text = |file: &tempfile::NamedTempFile| {
        String::from_utf8_lossy(&std::fs::read(file.path()).expect("read the output")).into_owned()
    };
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the browser took longer than {LIMIT:?}:\n{}", text(&errors));
    }
    let status = child.wait().expect("wait for the browser");
    assert!(
        status.success(),
        "the browser ended with {status}:\n{}",
        text(&errors)
    );
    (text(&output), text(&errors))
}

/// URLs in a log of the network.
fn requests(net_log: &str) -> Vec<String> {
    let urls = net_log.split("\"url\":\"").skip(1);
    urls.filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}
