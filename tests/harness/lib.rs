//! Test harness: throwaway servers, the program under test, and ways to disturb both.
//!
//! Nothing here skips. A server that is not installed is a failed test with a text that says what to
//! install, because a suite that passes without having looked is worse than none.
//!
//! ```no_run
//! let pair = towpath_tests::pair();
//! let users = pair.source.psql_superuser("select count(*) from auth.users");
//! ```

pub mod aws;
pub mod aws_proxy;
pub mod aws_state;
pub mod browser;
mod cache;
pub mod catalog;
pub mod catalog_facts;
pub mod consumers;
pub mod exact;
pub mod http_server;
pub mod installation;
mod kept;
pub mod oracle;
mod overlay;
pub mod pg;
pub mod process;
mod project;
pub mod random;
pub mod s3_proxy;
pub mod sample;
mod server;
mod small_disk;
mod split_mix;
pub mod tcp_proxy;
mod wait;
pub mod watch;

pub use aws::{Aws, MiniStack, S3Server};
pub use aws_proxy::{Act, AwsProxy, Call};
pub use aws_state::AwsState;
pub use consumers::{Consumers, Shape};
pub use http_server::HttpServer;
pub use installation::Installation;
pub use kept::{KEPT_MASTER, KeptServer};
pub use pg::{Pair, Source, Target, TargetShape, demo_pair, pair, pair_on, pair_with};
pub use process::{Finished, Running, Towpath};
pub use project::Project;
pub use s3_proxy::S3Proxy;
pub use small_disk::SmallDisk;
pub use split_mix::SplitMix64;
pub use tcp_proxy::{Fault, TcpProxy};
pub use wait::wait_until;
pub use watch::Watched;

use std::path::{Path, PathBuf};

/// Root of the checkout.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent")
}

/// Cargo's target directory of this checkout.
#[must_use]
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || repository().join("target"),
        |path| repository().join(path),
    )
}

/// A command of the project's own tool environment (`scripts/setup`), or of PATH. `variable`, if
/// set, wins.
fn tool(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(
            path.exists(),
            "{variable} is {}, and there is no such file",
            path.display()
        );
        return path;
    }
    let own = target_directory().join("tools/venv/bin").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(own)
        .chain(std::env::split_paths(&path).map(|directory| directory.join(name)))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!(
                "`{name}` is neither in target/tools/venv/bin nor on PATH, and tests need it: \
                 run scripts/setup, or set {variable}"
            )
        })
}
