//! Holds the arrows of docs/ARCHITECTURE.md: who depends on whom, and what is absent on purpose.
//!
//! A rule that is only written down lasts until the first busy night. Each assertion names the
//! offender; whoever means to change a rule changes it here and says why in an ADR.

mod dependencies;
mod layout;
mod sources;

use std::path::PathBuf;

/// The checkout that is judged: cargo says where it runs, which need not be where it built.
fn repository() -> PathBuf {
    let tests = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo or cargo-nextest runs this");
    PathBuf::from(tests)
        .parent()
        .expect("tests/ has a parent")
        .to_owned()
}
