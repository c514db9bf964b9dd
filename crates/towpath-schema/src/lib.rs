//! Clean schema: what of the source's structure goes to the target, and why.
