//! Verification: independent proof that target and store hold what the source held.
