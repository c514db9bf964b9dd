//! Checks, chunk split and plan.
