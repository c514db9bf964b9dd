//! End-to-end tests: the program as a user runs it, on real servers.

mod harness;
mod process;
