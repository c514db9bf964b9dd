//! End-to-end tests: the program as a user runs it, on real servers.

mod arrival;
mod cutover;
mod diff;
mod harness;
mod history;
mod idempotent;
mod kinds;
mod large_objects;
mod ownership;
mod process;
mod random;
mod refusals;
mod rules;
mod runtime_breaks;
mod s3;
mod samples;
mod schema_files;
mod tampering;
mod values;
mod versions;
