//! Load: chunks to the target, exactly once.
