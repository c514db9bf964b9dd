//! End-to-end tests: the program as a user runs it, on real servers.

mod arrival;
mod bench;
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
mod source_guard;
mod tampering;
mod values;
mod values_binary;
mod values_every;
mod values_large;
mod values_random;
mod versions;
