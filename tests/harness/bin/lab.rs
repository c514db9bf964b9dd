//! A laboratory on a laptop: the demo project, an empty target and AWS, until standard input closes.
//!
//! `lab --dir DIR [--demo-scale 1] [--s3]` writes DIR/lab.env, a file to source in a shell, and then
//! prints `lab ready`.
#![expect(
    clippy::print_stdout,
    reason = "its only output is what its caller waits for"
)]

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use towpath_tests::{MiniStack, Pair, S3Server, demo_pair};

const USAGE: &str = "usage: lab --dir DIR [--demo-scale SCALE] [--s3]";
const BUCKET: &str = "towpath-lab";
const INSTANCE: &str = "orders";

fn main() {
    let options = Options::parse(std::env::args().skip(1));
    // Signals are watched from the start, so that an impatient Ctrl-C does not leave servers behind.
    let end = end_wanted();
    let lab = Lab::start(&options);
    lab.write_environment(&options.directory);
    println!("lab ready");
    let _ = end.recv();
}

struct Options {
    directory: PathBuf,
    scale: f64,
    s3: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let (mut directory, mut scale, mut s3) = (None, 1.0, false);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--dir" => directory = arguments.next().map(PathBuf::from),
                "--demo-scale" => {
                    let given = arguments.next().and_then(|text| text.parse().ok());
                    scale = given.expect(USAGE);
                }
                "--s3" => s3 = true,
                other => panic!("what is {other}? {USAGE}"),
            }
        }
        Self {
            directory: directory.expect(USAGE),
            scale,
            s3,
        }
    }
}

struct Lab {
    pair: Pair,
    ministack: MiniStack,
    s3: Option<S3Server>,
}

impl Lab {
    fn start(options: &Options) -> Self {
        let pair = demo_pair(options.scale);
        let ministack = MiniStack::start();
        let s3 = options.s3.then(S3Server::start);
        let lab = Self {
            pair,
            ministack,
            s3,
        };
        lab.furnish();
        lab
    }

    /// Two functions that use the source, each configured in one of the two usual ways.
    fn furnish(&self) {
        let aws = self.ministack.aws();
        let url = self.pair.source.url();
        aws.create_function("orders-api", &[("DATABASE_URL", &url), ("STAGE", "lab")]);
        let secret = aws.create_secret("billing/database", &url);
        aws.create_function("billing-worker", &[("DB_SECRET_ARN", &secret)]);
        let Pair { target, .. } = &self.pair;
        let shape = target.shape();
        aws.create_db_instance(
            INSTANCE,
            target.cluster.port(),
            &shape.master,
            &shape.database,
        );
        self.s3
            .as_ref()
            .map_or(aws, S3Server::aws)
            .create_bucket(BUCKET);
    }

    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = self.ministack.env();
        if let Some(s3) = &self.s3 {
            // One pair of keys serves both.
            for (name, value) in s3.env() {
                variables.retain(|(other, _)| *other != name);
                variables.push((name, value));
            }
        }
        for (name, value) in [
            ("TOWPATH_SOURCE_URL", self.pair.source.url()),
            ("TOWPATH_TARGET_URL", self.pair.target.url()),
            ("LAB_BUCKET", BUCKET.to_owned()),
            ("LAB_RDS_INSTANCE", INSTANCE.to_owned()),
            ("LAB_FUNCTIONS", "orders-api billing-worker".to_owned()),
            ("LAB_PID", std::process::id().to_string()),
        ] {
            variables.push((name.to_owned(), value));
        }
        variables
    }

    /// It holds passwords, if only of the fixture: for its owner alone, from its first byte on.
    fn write_environment(&self, directory: &Path) {
        std::fs::create_dir_all(directory).expect("make the directory");
        let path = directory.join("lab.env");
        let _ = std::fs::remove_file(&path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .expect("make lab.env");
        for (name, value) in self.variables() {
            let quoted = value.replace('\'', r"'\''");
            writeln!(file, "export {name}='{quoted}'").expect("write lab.env");
        }
    }
}

/// Hears once that standard input has closed or that somebody asked for the end.
fn end_wanted() -> std::sync::mpsc::Receiver<()> {
    let (input_closed, end) = std::sync::mpsc::channel();
    let asked = input_closed.clone();
    std::thread::spawn(move || {
        let mut ignored = Vec::new();
        let _ = std::io::stdin().lock().read_to_end(&mut ignored);
        let _ = input_closed.send(());
    });
    let (watching, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("start a runtime");
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).expect("watch SIGTERM");
            let mut interrupt = signal(SignalKind::interrupt()).expect("watch SIGINT");
            let _ = watching.send(());
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        });
        let _ = asked.send(());
    });
    ready.recv().expect("signals are watched");
    end
}
