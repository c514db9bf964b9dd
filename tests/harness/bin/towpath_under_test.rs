//! The product's `main`, as a binary of the tests' own package.

use std::process::ExitCode;

fn main() -> ExitCode {
    towpath::main_impl()
}
