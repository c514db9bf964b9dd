//! End-to-end tests: the program as a user runs it, on real servers.

mod arrival;
mod cutover;
mod harness;
mod ownership;
mod process;
mod refusals;
mod s3;
mod tampering;
mod values;
