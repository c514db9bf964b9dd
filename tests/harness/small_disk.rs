//! A disk of a few mebibytes that really fills up.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::server::User;

/// Mounts, tells, grows on request, and unmounts when the pipe closes, for whatever reason.
const KEEPER: &str = r#"
set -eu
mount -t tmpfs -o "size=$2,mode=0700" towpath-small-disk "$1"
echo ready
while read -r size; do mount -o "remount,size=$size" "$1"; echo grown; done
umount -l "$1"
"#;

/// A tmpfs of a fixed size. It goes on drop.
pub struct SmallDisk {
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one, as root or in a user namespace of its own. Panics where neither is possible.
    #[must_use]
    pub fn mount(mebibytes: u32) -> Self {
        let directory = tempfile::tempdir().expect("make a directory to mount on");
        let is_root = rustix::process::geteuid().is_root();
        let mut command = match is_root {
            true => Command::new("sh"),
            false => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--mount", "sh"]);
                command
            }
        };
        let mut keeper = command
            .args(["-c", KEEPER, "keeper"])
            .arg(directory.path())
            .arg(format!("{mebibytes}m"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a shell that mounts");
        let orders = keeper.stdin.take();
        let mut answers = BufReader::new(keeper.stdout.take().expect("stdout is piped"));
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("hear of the mount");
        assert_eq!(
            answer.trim(),
            "ready",
            "a disk that fills up is a small tmpfs, and this user may not mount one: run the tests \
             as root, or where user namespaces are allowed"
        );
        // What is mounted in another namespace is seen through a process of it.
        let path = match is_root {
            true => directory.path().to_owned(),
            false => {
                let inside = directory.path().strip_prefix("/").expect("absolute");
                Path::new("/proc")
                    .join(keeper.id().to_string())
                    .join("root")
                    .join(inside)
            }
        };
        Self {
            keeper,
            orders,
            answers,
            _directory: directory,
            path,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the servers' user write there.
    pub fn give_to_servers(&self) {
        User::give(User::unprivileged(), &self.path);
    }

    /// Gives it more room, as an operator would.
    pub fn grow(&mut self, mebibytes: u32) {
        let orders = self.orders.as_mut().expect("present until drop");
        writeln!(orders, "{mebibytes}m").expect("order a larger disk");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("hear of the larger disk");
        assert_eq!(answer.trim(), "grown");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.keeper.wait();
    }
}
